"""How long a training lasts, in one unit: `Budget.parse("90s" | "2m" | "2000steps" | "12epochs" | "50000images")`."""
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ...core.types import StemmaError

Unit = Literal["seconds", "steps", "epochs", "images"]
_UNITS: dict[str, tuple[Unit, float]] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), ("seconds", 1.0)),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), ("seconds", 60.0)),
    **dict.fromkeys(("h", "hr", "hour", "hours"), ("seconds", 3600.0)),
    **dict.fromkeys(("step", "steps", "iter", "iters", "iterations"), ("steps", 1.0)),
    **dict.fromkeys(("epoch", "epochs", "episode", "episodes"), ("epochs", 1.0)),  # agents: an episode that was lived
    **dict.fromkeys(("image", "images", "img", "imgs", "decision", "decisions"), ("images", 1.0)),
}


@dataclass(frozen=True)
class Spent:
    """What a run has used so far. `seconds` are seconds of training."""

    seconds: float = 0.0
    steps: int = 0
    epochs: float = 0.0
    images: int = 0


@dataclass(frozen=True)
class Budget:
    """An amount of one unit. Schedules are functions of `fraction`, so a rate decays fully whatever the unit.

    Seconds are seconds of *training* (fetching batches and stepping): validation, filling the cache of drawn scenes,
    compiling and saving do not count, and a resumed run continues the seconds that it had used. Because a clock decides
    where it ends, a run with a budget of seconds cannot be repeated bit by bit; one with steps, epochs or images can.
    """

    amount: float
    unit: Unit

    @classmethod
    def parse(cls, text: str | Budget) -> Budget:
        """Read "90s", "2m", "1.5h", "2000steps", "12epochs" or "50000images";
        spaces, `_` and `,` in numbers are allowed.

        Raises `StemmaError` when it is none of them, or not above 0.
        """
        if isinstance(text, Budget):
            return text
        found = re.fullmatch(r"([\d_,]*\.?\d+)(k?)([a-z]+)", re.sub(r"\s+", "", str(text).lower()))
        number, kilo, word = found.groups() if found else ("", "", "")
        if kilo and kilo + word in _UNITS:
            kilo, word = "", kilo + word
        if word not in _UNITS:
            raise StemmaError(f"cannot read the budget '{text}'; write one number and one unit, such as 90s, 2m, "
                              "2000steps, 12epochs or 50000images")
        unit, scale = _UNITS[word]
        amount = float(number.replace("_", "").replace(",", "")) * scale * (1000 if kilo else 1)
        if not amount > 0:
            raise StemmaError(f"the budget '{text}' is not above 0")
        return cls(amount, unit)

    def fraction(self, spent: Spent) -> float:
        """The part that is used up, in 0..1; it never falls as `spent` grows."""
        return min(1.0, max(0.0, float(getattr(spent, self.unit)) / self.amount))

    def for_batch(self, written: int, actual: int) -> Budget:
        """The budget of as many images when a step holds `actual` images and the recipe was written for `written`."""
        return Budget(max(1.0, round(self.amount * written / actual)), "steps") if self.unit == "steps" else self

    @property
    def repeatable(self) -> bool:
        """Whether two runs of it end at the same step."""
        return self.unit != "seconds"

    def __str__(self) -> str:
        number = f"{self.amount:g}" if self.amount < 1e6 else f"{self.amount:.0f}"
        return number + ("s" if self.unit == "seconds" else self.unit)


__all__ = ["Budget", "Spent", "Unit"]
