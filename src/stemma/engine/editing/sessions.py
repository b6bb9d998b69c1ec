"""Sessions: each turn by itself, from the true picture before it, and one turn after another from what the editor made
of the turn before (MagicBrush, arXiv 2306.10012, sec. 4: single-turn and multi-turn)."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ...data.editing.loading import At, readable
from ...data.editing.pairs import Pair, Pairs
from ...metrics import edits as by
from .clip import Clip

Row = dict[str, float]
Make = Callable[[torch.Tensor, list[Pair], list[int]], torch.Tensor]


def compared(first: np.ndarray, after: np.ndarray, made: np.ndarray) -> Row:
    """How far a picture is from the one that it should be: l1, l2, and whether what changes from `first` to it was made
    ("right"), where something does. Pictures float [3, H, W] in 0..1."""
    right = by.done(first, after, made)
    return {"l1": float(np.abs(made - after).mean()), "l2": float(np.square(made - after).mean()),
            **({} if right is None else {"right": float(right)})}


def as_file(x: torch.Tensor) -> torch.Tensor:
    """Pictures in 0..1 as they are read again from a file: eight bits a colour."""
    return (x.clamp(0, 1) * 255).round() / 255


def in_turn(pairs: Pairs, found: list[list[int]], size: int, make: Make, batch: int = 50, device: str = "cpu",
            judge: Clip | None = None) -> dict[str, Any]:
    """What `make` does of sessions, lists of numbers of edits in `pairs`.

    "alone", each turn from the true picture; "all", each turn from what was made of the turn before; "final", the last
    of these of each session; "by_turn" both, by the number of the turn. Each {"edits", "l1", "l2", "right"}, of colours
    in 0..1 beside the true picture after the turn; "right" of "all" and "final" is whether all that changed since the
    session's first picture did. With a `judge` also "alike", the cosine of CLIP's features of both. "sessions": how
    many there are. A session of which a picture cannot be read is left out, and it is said.
    """
    at = At(pairs, size)
    there = readable(at, sorted({i for turns in found for i in turns}))
    found = [turns for turns in found if all(i in there for i in turns)]
    true = {i: torch.from_numpy(at.sized(p)).float() / 255 for i, p in there.items()}
    rows: dict[tuple[str, int], list[Row]] = defaultdict(list)
    final: list[Row] = []
    now = [true[turns[0]][0] for turns in found]

    def made_of(before: list[torch.Tensor], numbers: list[int]) -> torch.Tensor:
        told: list[Pair] = [there[i] for i in numbers]
        return torch.cat([as_file(make(torch.stack(before[k : k + batch]).to(device), told[k : k + batch],
                                       numbers[k : k + batch]).cpu()) for k in range(0, len(numbers), batch)])

    for turn in range(max(map(len, found), default=0)):
        going = [s for s, turns in enumerate(found) if turn < len(turns)]
        numbers = [found[s][turn] for s in going]
        for way, before in (("alone", [true[i][0] for i in numbers]), ("all", [now[s] for s in going])):
            made = made_of(before, numbers)
            alike = by.cosine(*(judge.pictures(list((x * 255).byte().permute(0, 2, 3, 1).numpy())) for x in (
                made, torch.stack([true[i][1] for i in numbers])))) if judge is not None else None
            for k, (s, i) in enumerate(zip(going, numbers)):
                first = true[i][0] if way == "alone" else true[found[s][0]][0]
                row = compared(first.numpy(), true[i][1].numpy(), made[k].numpy())
                row |= {} if alike is None else {"alike": float(alike[k])}
                rows[way, turn].append(row)
                if way == "all":
                    now[s] = made[k]
                    final += [row] if turn == len(found[s]) - 1 else []
    turns = range(max(map(len, found), default=0))
    return {
        "sessions": len(found), **{w: _mean([r for t in turns for r in rows[w, t]]) for w in ("alone", "all")},
        "final": _mean(final),
        "by_turn": [{"turn": t + 1, "alone": _mean(rows["alone", t]), "all": _mean(rows["all", t])} for t in turns],
    }


def _mean(rows: list[Row]) -> dict[str, float]:
    return {"edits": len(rows), **{k: float(np.mean([r[k] for r in rows if k in r]))
                                   for k in dict.fromkeys(k for r in rows for k in r)}}


__all__ = ["as_file", "compared", "in_turn"]
