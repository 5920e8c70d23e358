"""A run in one of its other processes: it trains and ranks with the first one, writes nothing and says nothing."""

from __future__ import annotations

from recbole.utils import init_seed

from recbole_mm.configuration.request import Request, configure
from recbole_mm.configuration.resuming import configure_resumed
from recbole_mm.parallel.process_group import ProcessGroup
from recbole_mm.recbole_bridge.engine import computing
from recbole_mm.settings.execution import Engine
from recbole_mm.settings.parameters import read_config
from recbole_mm.training.run import prepared_run


def follow(request: Request, group: ProcessGroup) -> None:
    """Take part in `recbole_mm.training.run.run` of the first process; see there."""
    resumed = configure_resumed(request) if request.resume else None
    config = resumed.config if resumed else configure(request)
    with computing(read_config(Engine, config)):
        init_seed(config["seed"], config["reproducibility"])
        trainer, (train_data, valid_data, test_data) = prepared_run(config, request, resumed, group)
        trainer.fit(train_data, valid_data, saved=test_data is not None, show_progress=False)
        if test_data is not None:
            trainer.evaluate(test_data, load_best_model=True)
        if not trainer.best_valid_result:
            trainer.evaluate(valid_data, load_best_model=False)
