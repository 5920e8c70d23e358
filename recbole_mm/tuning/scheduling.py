"""Ray Tune's schedulers, which stop poor trials, as a sweep needs them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from pyarrow.fs import FileSelector, FileType, copy_files

from recbole_mm.tuning.spec import SweepSpec
from recbole_mm.tuning.store import Store
from recbole_mm.tuning.trial import HISTORY, REPORTED


def name_of(trial: Any) -> str:
    """Return the name of a trial of Ray's, which is that of its folder, too."""
    return f"trial_{trial.trial_id}"


def scheduler(spec: SweepSpec, address: str) -> Any:
    """Return the scheduler, which may stop a trial after `grace` epochs and never at the last.

    Parameters
    ----------
    spec : SweepSpec
        The trials of the values `spec.first` are never stopped: the others are compared with them in the end.
    address : str
        Of the sweep; a scheduler of a sweep that is restored takes up what the trials have reported before.
    """
    from ray.tune import schedulers  # noqa: PLC0415 (heavy)

    options = spec.options
    if options.scheduler == "none":
        return lasting(schedulers.FIFOScheduler, spec.first, address)()
    if options.scheduler == "median":  # which would put trials off until there are others: each time from a checkpoint
        kind = lasting(schedulers.MedianStoppingRule, spec.first, address)
        return kind(time_attr="epoch", grace_period=options.grace, min_time_slice=math.inf)
    longest = max(spec.config({})["epochs"], options.grace) + 1
    kind = lasting(schedulers.ASHAScheduler, spec.first, address)
    return kind(time_attr="epoch", grace_period=options.grace, max_t=longest, reduction_factor=3)


def lasting(kind: Any, first: list[dict[str, Any]], address: str) -> Any:
    """Return the scheduler class, which spares the trials of `first` and remembers those before a restart.

    Ray restores trials and search, and begins with a new scheduler.
    """

    class Lasting(kind):
        def on_trial_add(self, controller: Any, trial: Any) -> None:
            before = list(reported(trial, address))
            keep_restorable(trial, max((int(result["epoch"]) for result in before), default=0))
            super().on_trial_add(controller, trial)
            for result in before:
                super().on_trial_result(controller, trial, result)

        def on_trial_result(self, controller: Any, trial: Any, result: Any) -> str:
            decision: str = super().on_trial_result(controller, trial, result)
            return self.CONTINUE if trial.config in first else decision

    return Lasting


def keep_restorable(trial: Any, n_reported: int) -> None:
    """Put the newest checkpoint of a trial in the place of the one that Ray has noted, where that is gone.

    Ray deletes old checkpoints before it notes new ones. A trial of a sweep that was killed between the two would fail.

    Parameters
    ----------
    trial : ray.tune.experiment.Trial
    n_reported : int
        Epochs that it has reported, which is written beside the checkpoint: Ray writes reports later than checkpoints,
        and a trial that outlives the sweep goes on making them. What lies between is reported by the restored trial.
    """
    noted = trial.checkpoint
    if noted is None:
        return
    if noted.filesystem.get_file_info(noted.path).type is FileType.NotFound:
        around, _, _ = noted.path.rpartition("/")
        found = noted.filesystem.get_file_info(FileSelector(around, allow_not_found=True))
        newer = sorted(one.path for one in found if one.base_name.startswith("checkpoint_"))
        whole = [path for path in newer if _is_whole(noted.filesystem, path)]
        noted.filesystem.create_dir(noted.path)  # without any other the trial finds it empty, and begins anew
        if whole:
            both = {"source_filesystem": noted.filesystem, "destination_filesystem": noted.filesystem}
            copy_files(whole[-1], noted.path, **both)
    with noted.filesystem.open_output_stream(f"{noted.path}/{REPORTED}") as stream:
        stream.write(str(n_reported).encode())


def _is_whole(filesystem: Any, checkpoint: str) -> bool:
    """Return whether the history of a checkpoint, which is written last, can be read."""
    try:
        with filesystem.open_input_stream(f"{checkpoint}/{HISTORY}") as stream:
            return isinstance(json.loads(stream.read()), list)
    except (OSError, ValueError):
        return False


def reported(trial: Any, address: str) -> Iterator[dict[str, Any]]:
    """Yield what a trial has reported so far; a line that a kill has cut is left out."""
    for line in (Store(address).read(f"{name_of(trial)}/result.json") or "").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue
