"""What happens between two units of work, for lives and for learning from sentences: a line, a validation, a save."""
from __future__ import annotations

from typing import Any

from torch import Tensor

from ...core.interrupts import Wishes
from .budget import Budget, Spent
from .progress import Training


class Loop:
    """A work in units that counts `steps` and adds up `sums` of losses ("": the total; "told/NAME": what else a model
    says of itself) over `summed` of them. Who has it says `fraction` and `spent`, and how to write a line, to validate
    and to save."""

    bar: Training
    wishes: Wishes
    steps: int
    sums: dict[str, Tensor]
    summed: int
    loss: float
    saved: Spent
    save_every: Budget | None
    val_every: float
    validations: int
    log_every = 0  # steps between two lines of losses; 0: LINES of them in all
    LINES = 200

    @property
    def fraction(self) -> float:
        """The part of the work that is done."""
        raise NotImplementedError

    @property
    def spent(self) -> Spent:
        raise NotImplementedError

    def _write(self, entry: dict[str, Any]) -> None:
        raise NotImplementedError

    def _validate(self) -> None:
        raise NotImplementedError

    def _save(self) -> None:
        raise NotImplementedError

    def _between(self) -> None:
        """Do what is due. None of it changes what the next unit computes. Raises `Interrupted` where told to end."""
        fraction = self.fraction
        if self.summed and self.summed >= (self.log_every
                                           or max(1, round(self.steps / max(fraction, 1e-9) / self.LINES))):
            self._log()
        self.bar.update(fraction, self.spent, self.loss)
        due = self.save_every is not None and self.save_every.passed(self.saved, self.spent)
        self.wishes.heed()
        if self.val_every and (self.validations + 1) * self.val_every - 1e-9 <= fraction < 1:
            self._validate()
            due = True
        if due:
            self._save()

    def _log(self) -> None:
        """A line of metrics.jsonl: the means of the losses since the last one."""
        if self.summed:
            values = {k: float(v) / self.summed for k, v in self.sums.items()}
            self.loss = values.pop("")
            told = {k.removeprefix("told/"): values.pop(k) for k in [*values] if k.startswith("told/")}
            self.sums, self.summed = {}, 0
            self._write({"kind": "train", "loss": self.loss, "losses": values} | ({"told": told} if told else {}))


__all__ = ["Loop"]
