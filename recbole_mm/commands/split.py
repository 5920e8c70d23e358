"""`recbole-mm split`: splits of a dataset by time or with a cold start, for `--config_files`."""

from __future__ import annotations

import shlex
from pathlib import Path

import recbole

from recbole_mm.base.errors import InputError, check_plain_name
from recbole_mm.base.screen_tables import text_table
from recbole_mm.commands import Say
from recbole_mm.commands.parser import Arguments
from recbole_mm.configuration.recbole_settings import SETTING_TABLE
from recbole_mm.configuration.request import Request, configure
from recbole_mm.data.coldstart import LEFT_OUT
from recbole_mm.data.interactions import read_interactions
from recbole_mm.data.splits import assign, split_summary, write_split
from recbole_mm.settings.names import DATA_PATH
from recbole_mm.settings.value_kinds import Whole

FILTERS = ("user_inter_num_interval", "item_inter_num_interval", "val_interval", "rm_dup_inter")
NO_FILTER = (None, "[0,inf)")


def main(arguments: Arguments, say: Say) -> int:
    """Write a split and tell how to use it; return 0."""
    known = arguments.options
    kinds = {key: getattr(known, key) for key in ("cold_items", "cold_users", "min_history")}
    what, amount = next(((key, value) for key, value in kinds.items() if value is not None), ("time", 0.0))
    _check_amounts(what, amount, known.valid, known.test)
    SETTING_TABLE["seed"].kind.check("--seed", known.seed)
    if known.name:
        check_plain_name("--name", known.name)

    config = configure(Request(model="MHCR", dataset=known.dataset, settings={"data_path": known.data_path}))
    if Path(recbole.__file__).parent in Path(config["data_path"]).resolve().parents:
        raise InputError(
            f"{known.dataset} lies inside RecBole's installation: copy its folder and files under another name first"
        )
    if filters := [key for key in FILTERS if config[key] not in NO_FILTER]:
        say(
            f"{', '.join(filters)}: RecBole does not filter where the data come split; all interactions are in this one"
        )
    data = read_interactions(config)
    parts = assign(data, config, what, amount, shares=(known.valid, known.test), seed=known.seed)
    name = known.name or (what if what == "time" else f"{what}_{amount:g}".replace(".", "_"))
    settings = write_split(data, parts, name, config, known.overwrite)
    summary = split_summary(data, parts)
    say(text_table(list(summary[0]), [list(row.values()) for row in summary]))
    if left_out := int((parts == LEFT_OUT).sum()):
        lack = "have no training interaction" if what == "time" else "have interacted with cold items alone"
        say(f"{left_out} interactions are left out: their users {lack}")
    say(f"{settings} has the setting; train on it with")
    where = [] if known.data_path == DATA_PATH else [f"--data_path={known.data_path}"]
    command = ["recbole-mm", "run", "--model=MHCR", f"--dataset={known.dataset}", *where, f"--config_files={settings}"]
    say(shlex.join(command))
    return 0


def _check_amounts(what: str, amount: float, valid: float, test: float) -> None:
    option = f"--{what.replace('_', '-')}"
    if what == "min_history":
        Whole(1).check(option, amount)
    if what.startswith("cold") and not 0 < amount < 1:
        raise InputError(f"{option} is {amount:g}: it must be a share between 0 and 1, such as 0.1")
    if not (0 <= valid < 1 and 0 <= test < 1 and valid + test < 1):
        raise InputError(f"--valid {valid:g} and --test {test:g} must be shares that leave something to train on")
