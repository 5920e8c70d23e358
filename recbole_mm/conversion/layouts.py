"""The layouts that `recbole-mm convert` reads, in words, the usual names of columns, and the forms that it writes."""

from __future__ import annotations

INTERACTION_FORMS = ("text", "parquet")  # in which interactions are written
LAYOUT_KINDS = ("mmrec", "diffmm", "mmssl", "microlens", "table")

MMREC = """\
mmrec       SOURCE/NAME.inter       tab separated, columns userID, itemID, optionally rating, timestamp and
                                    x_label (0 train, 1 valid, 2 test), whose split is kept
            SOURCE/image_feat.npy   and text_feat.npy, any *_feat.npy, or none: row i belongs to itemID i"""

MATRICES = """\
diffmm      SOURCE/trnMat.pkl       and valMat.pkl, tstMat.pkl: scipy.sparse matrices, users x items; or
mmssl       SOURCE/train.json       and val.json, test.json: {"user": [item, ...]}
            SOURCE/image_feat.npy   and any other *_feat.npy, or none: row i belongs to item i"""

MICROLENS = """\
microlens   SOURCE/*pairs*.csv      columns user, item, timestamp
            SOURCE/*title*.csv      columns item, title; may be left out
            SOURCE/*.npy            features, or none: row i belongs to item i, from 0 or 1 as the ids tell; where
                                    they do not, to line i of a file STEM.ids beside it"""

TABLE = """\
table       SOURCE                  a .csv, .tsv or .parquet file of interactions, or a folder with one, or with
                                    train, valid (or val) and test, whose split is kept
            beside it               features, or none: *.npy, *.npz, *.safetensors, whose rows belong to the lines
                                    of STEM.ids beside them, else row i to item i; *.parquet, columns item_id
                                    and one of lists"""

USUAL = {
    "user": ("user_id", "user", "uid", "reviewerID"),
    "item": ("item_id", "item", "iid", "video_id", "photo_id", "movie_id", "product_id", "asin"),
    "rating": ("rating", "score", "stars", "overall"),
    "time": ("timestamp", "time", "datetime", "date", "unixReviewTime", "ts"),
}
