"""How long a training lasts, in one unit: `Budget.parse("90s" | "2m" | "2000steps" | "12epochs" | "50000images")`."""
from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

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
    """What a training has used so far. `seconds` are seconds of work (`clock`), steps at their price where they have
    one (`prices`); `wall` those that passed by the clock meanwhile, `worked` those that processors worked."""

    seconds: float = 0.0
    steps: int = 0
    epochs: float = 0.0
    images: int = 0
    wall: float = 0.0
    worked: float = 0.0

    @classmethod
    def of(cls, record: dict[str, Any]) -> Spent:
        """What a record (run.json) says was spent; before work was counted, seconds were those of the wall's clock."""
        spent = record["spent"]
        return cls(**{"wall": spent["seconds"], "worked": spent["seconds"]} | spent)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(*(a - b for a, b in zip(vars(self).values(), vars(other).values())))

    def __str__(self) -> str:
        """The time: "35 s of work in 52 s", or "52 s" where they are the same."""
        return (f"{self.wall:.0f} s" if self.seconds == self.wall else f"{self.seconds:.0f} s of work in "
                f"{self.wall:.0f} s")


@dataclass(frozen=True)
class Budget:
    """An amount of one unit. Schedules are functions of `fraction`, so a rate decays fully whatever the unit.

    Seconds are seconds of *work* in training (fetching batches and stepping). On a CPU that is processor time over the
    threads that the training was given, so that on a busy machine it lasts longer; on a GPU it is time by the clock.
    On a CPU a training finds what a step costs before it begins, and counts steps at that price
    (`prices`): seconds then are as many steps as they buy, whatever else the machine does, and the next time too.
    Validation, filling the cache of drawn scenes, compiling and saving do not count, and a resumed run continues the
    seconds that it had used. Where a clock decides (GPUs, several processes, the first life of an agent or fit without
    gradient), a run is repeated bit by bit with a budget of steps, epochs or images alone.

    wall: the most seconds by the clock that training may take. Where they run out first, the schedule ends with them.
    """

    amount: float
    unit: Unit
    wall: float | None = None

    @classmethod
    def parse(cls, text: str | Budget, wall: str | None = None) -> Budget:
        """Read "90s", "2m", "1.5h", "2000steps", "12epochs" or "50000images";
        spaces, `_` and `,` in numbers are allowed.

        wall: "1h", a time. Raises `StemmaError` when they are none of these, or not above 0.
        """
        if wall is not None:
            try:
                limit = cls.parse(wall)
            except StemmaError:
                limit = None
            if limit is None or limit.unit != "seconds":
                raise StemmaError(f"wall time is limited to a time above 0, such as 90s, 30m or 1h, not '{wall}'")
            return replace(cls.parse(text), wall=limit.amount)
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
        """The part that is used up, in 0..1, of the amount or of the wall time, whichever is more;
        it never falls as `spent` grows."""
        return min(1.0, max(0.0, self._own(spent), spent.wall / self.wall if self.wall else 0.0))

    def _own(self, spent: Spent) -> float:
        return float(getattr(spent, self.unit)) / self.amount

    def cut(self, spent: Spent, begun: Spent | None = None) -> str | None:
        """Where wall time ended it before the amount was used, as a sentence; None where it did not. begun: what was
        spent when it was taken up again, where that was all."""
        if self.wall is None or spent.wall < self.wall or self._own(spent) >= 1:
            return None
        more = begun is None or (spent.steps, spent.images) != (begun.steps, begun.images)
        none = "" if more or begun is None else (f": {begun.wall:.0f} s were spent before, so that nothing more was "
                                                 "learned; --wall counts all that a run takes")
        return f"wall time of {self.wall:g} s ran out at {100 * self._own(spent):.0f} % of the budget of {self}{none}"

    def over(self, record: dict[str, Any]) -> bool:
        """Whether a finished training of this record (run.json) would not be longer under this budget."""
        limit = record.get("wall_limit")
        return bool(record["budget"] == str(self) and (limit == self.wall or not record.get("cut")))

    def passed(self, then: Spent, now: Spent) -> bool:
        """Whether so much was spent in between; of seconds, by the clock: what is saved now and then is saved from what
        may happen."""
        between = now - then
        return self.fraction(replace(between, seconds=between.wall)) >= 1

    def for_batch(self, written: int, actual: int) -> Budget:
        """The budget of as many images when a step holds `actual` images and the recipe was written for `written`."""
        return replace(self, amount=max(1.0, round(self.amount * written / actual))) if self.unit == "steps" else self

    @property
    def repeatable(self) -> bool:
        """Whether two runs of it end at the same step."""
        return self.unit != "seconds" and self.wall is None

    def __str__(self) -> str:
        number = f"{self.amount:g}" if self.amount < 1e6 else f"{self.amount:.0f}"
        return number + ("s" if self.unit == "seconds" else self.unit)


__all__ = ["Budget", "Spent", "Unit"]
