"""RecTools' SASRec, an epoch for every line on the standard input; runs in an environment of RecTools' own.

Arguments: the file of interactions and a json of its fields and sizes. Each answer is a line of json: seconds of the
epoch, the validation's NDCG of the item before the last one of each user, among all items, and a sum of those items.
"""

import json
import sys
from time import perf_counter
from zlib import crc32

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel


def trainer() -> Trainer:
    """Return Lightning's trainer on the CPU, which says and keeps nothing."""
    return Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )


def main() -> None:
    file, sizes = sys.argv[1], json.loads(sys.argv[2])
    torch.set_num_threads(sizes["threads"])
    torch.set_flush_denormal(True)
    seed_everything(sizes["seed"], verbose=False)
    table = pd.read_csv(file, sep="\t", dtype=str).rename(columns=lambda column: column.partition(":")[0])
    table = table[sizes["fields"]].set_axis(["user_id", "item_id", "datetime"], axis=1)
    table["datetime"] = table["datetime"].astype(float)
    table = table.sort_values("datetime", kind="stable").sort_values("user_id", kind="stable")
    from_the_end = table.groupby("user_id").cumcount(ascending=False)
    target = table[from_the_end == 1].set_index("user_id")["item_id"]
    train = table[from_the_end >= 2].assign(**{Columns.Weight: 1.0})
    train["datetime"] = pd.to_datetime(np.arange(len(train)), unit="s")  # the order as it is here, ties and all
    targets = crc32("\n".join(sorted(f"{user} {item}" for user, item in target.items())).encode())
    dataset = Dataset.construct(train)
    predictions = (train.groupby("user_id").size() - 1).clip(upper=sizes["history"]).sum()
    model = SASRecModel(
        n_blocks=sizes["layers"],
        n_heads=sizes["heads"],
        n_factors=sizes["width"],
        session_max_len=sizes["history"],
        dropout_rate=sizes["dropout"],
        batch_size=sizes["batch"],
        lr=sizes["learning_rate"],
        loss="softmax",
        get_trainer_func=trainer,
    )
    for _ in sys.stdin:
        start = perf_counter()
        model.fit_partial(dataset, min_epochs=1, max_epochs=1)
        took = perf_counter() - start
        known = target[target.index.isin(train["user_id"])]
        given = model.recommend(known.index.to_numpy(), dataset, k=sizes["top"], filter_viewed=False)
        hits = given[given["item_id"].to_numpy() == known.loc[given["user_id"]].to_numpy()]
        ndcg = float((1 / np.log2(hits["rank"] + 1)).sum() / len(target))
        n = sum(weight.numel() for weight in model.torch_model.parameters())
        answer = {"seconds": took, "ndcg": ndcg, "parameters": n, "predictions": int(predictions), "targets": targets}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
