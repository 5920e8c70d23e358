"""A user's program in a fresh process: one import of the pack, and then nothing but RecBole's own functions."""

import json
import sys
from pathlib import Path

import torch
from recbole.quick_start import load_data_and_model, run_recbole
from recbole.utils.case_study import full_sort_scores, full_sort_topk

import recbole_mm  # noqa: F401  (the one import)

TOP = 5


def main(model: str, settings: dict[str, object]) -> dict[str, object]:
    """Train, load, score and rank; return what was found, as values of json."""
    run = run_recbole(model=model, dataset=settings.pop("dataset"), config_dict={**settings, "checkpoint_dir": "own"})
    (file,) = Path("own").glob("*.pth")
    config, loaded, dataset, _, _, test = load_data_and_model(str(file))
    field = dataset.uid_field
    users = test.dataset.inter_feat[field].unique()[:3].numpy()
    scores = full_sort_scores(users, loaded, test)
    best, items = full_sort_topk(users, loaded, test, k=TOP)
    if test.is_sequential:
        rows = torch.cat([(test.dataset.inter_feat[field] == int(user)).nonzero()[:, 0] for user in users])
        asked = test.dataset[rows]
    else:
        asked = dataset.join(type(test.dataset.inter_feat)({field: torch.from_numpy(users)}))
    direct = loaded.full_sort_predict(asked.to(config["device"])).detach().view(-1, dataset.item_num)
    ranked = torch.isfinite(scores)
    return {
        "test": run["test_result"],
        "shape": [*scores.shape],
        "ranked": int(ranked.sum()),
        "scores agree": torch.equal(scores[ranked], direct[ranked]),
        "best agree": torch.equal(best, scores.gather(1, items)) and torch.equal(best, scores.topk(TOP).values),
    }


if __name__ == "__main__":
    name, given = sys.argv[1:]
    sys.argv = sys.argv[:1]  # RecBole reads the rest as settings
    found = main(name, json.loads(given))
    sys.stdout.write("\n" + json.dumps(found) + "\n")
