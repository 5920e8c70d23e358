"""The arguments of `recbole-mm export`."""

from __future__ import annotations

from recbole_mm.commands.parser import Parser


def parser() -> Parser:
    """Return the parser."""
    found = Parser(
        "export",
        "CHECKPOINT|FOLDER --out=FOLDER [--index] [--onnx] [--parquet]",
        "Write what serving needs of a trained model: vectors, ids, seen items and a card; not the data.",
    )
    found.add_argument("source", metavar="CHECKPOINT|FOLDER", help="a checkpoint, or a run's folder")
    found.add_argument("--out", required=True, metavar="FOLDER", help="gets the files")
    found.add_argument("--index", action="store_true", help="and an index of the items by faiss, with its recall")
    found.add_argument("--onnx", action="store_true", help="and the encoder of histories, of a sequential model")
    found.add_argument("--parquet", action="store_true", help="and the vectors as Parquet, too")
    found.add_argument("--device", default="", metavar="DEVICE", help="cpu, cuda or cuda:N (default: the checkpoint's)")
    return found
