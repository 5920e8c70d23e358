"""What RecBole's trainers lack for a run that is watched: a history, a progress bar, a stop at NaN scores."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from tqdm import tqdm

from recbole_mm.checks import refuse_nan
from recbole_mm.errors import InputError


class Watched:
    """Mixin in front of a RecBole trainer class.

    Attributes
    ----------
    history : list of dict
        One entry an epoch: `epoch`, `train_loss`, `seconds` (training alone), and `valid_score` and `valid`
        (metric -> value), which are None for an epoch without validation.
    """

    history: list[dict[str, Any]]
    bar: tqdm[Any]

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        done = self.start_epoch  # type: ignore[attr-defined]
        self.history = [entry for entry in getattr(self, "history", []) if entry["epoch"] < done]
        with tqdm(total=self.epochs, initial=done, desc="epochs", unit="epoch", dynamic_ncols=True) as self.bar:  # type: ignore[attr-defined]
            return super().fit(*args, **kwargs)  # type: ignore[misc]

    def _train_epoch(self, train_data: Any, epoch_idx: int, *args: Any, **kwargs: Any) -> Any:
        start = perf_counter()
        loss = super()._train_epoch(train_data, epoch_idx, *args, **kwargs)  # type: ignore[misc]
        seconds = perf_counter() - start
        total = sum(loss) if isinstance(loss, tuple) else loss
        mean = total / max(len(train_data), 1)
        self.history.append(
            {"epoch": epoch_idx, "train_loss": mean, "seconds": seconds, "valid_score": None, "valid": None}
        )
        self.bar.update()
        self.bar.set_postfix(loss=f"{mean:.4f}", refresh=True)
        return loss

    def _valid_epoch(self, *args: Any, **kwargs: Any) -> Any:
        score, result = super()._valid_epoch(*args, **kwargs)  # type: ignore[misc]
        entry = self.history[-1]
        entry.update(valid_score=score, valid=dict(result))
        metric = self.config["valid_metric"]  # type: ignore[attr-defined]
        self.bar.set_postfix({"loss": f"{entry['train_loss']:.4f}", f"valid {metric}": f"{score:.4f}"})
        return score, result

    def _check_nan(self, loss: Any) -> None:
        if not loss.isfinite():
            raise InputError(
                f"{type(self.model).__name__}: the training loss is {loss.item()} in epoch {len(self.history)}: "  # type: ignore[attr-defined]
                "lower learning_rate or the weights of the losses, and look for huge values in the features"
            )

    def _full_sort_batch_eval(self, batched_data: Any) -> Any:
        return self._checked(super()._full_sort_batch_eval(batched_data))  # type: ignore[misc]

    def _neg_sample_batch_eval(self, batched_data: Any) -> Any:
        return self._checked(super()._neg_sample_batch_eval(batched_data))  # type: ignore[misc]

    def _checked(self, evaluated: Any) -> Any:
        refuse_nan(evaluated[1], type(self.model).__name__)  # type: ignore[attr-defined]
        return evaluated


def watched(trainer_class: type[Any]) -> type[Any]:
    """Return the RecBole trainer class with `Watched` in front of it."""
    return type(f"Watched{trainer_class.__name__}", (Watched, trainer_class), {})
