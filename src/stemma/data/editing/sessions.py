"""Edits in turn: where the picture after one edit is the picture before another, both are turns of a session, whose
last picture is what somebody wanted (MagicBrush, arXiv 2306.10012, sec. 3)."""
from __future__ import annotations

from typing import Protocol, runtime_checkable

from .pairs import Pairs


@runtime_checkable
class Filed(Protocol):
    """Edits of which it is known in which files their pictures are."""

    def ends(self, i: int) -> tuple[str, str] | None:
        """The files of the pictures before and after; None of an edit that has several versions, or no files."""


def ends_of(pairs: Pairs, i: int) -> tuple[str, str] | None:
    """`Filed.ends`, None of other edits."""
    return pairs.ends(i) if isinstance(pairs, Filed) else None


def sessions(pairs: Pairs) -> list[list[int]]:
    """The turns of each session, numbers of edits in order; those with one turn alone are left out.

    Where a picture is edited in two ways, either is a session with what went before. Of edits that lead back to where
    they began none is the first, so that they are no session.
    """
    files = {i: e for i in range(len(pairs)) if (e := ends_of(pairs, i)) is not None and e[0] != e[1]}
    made = dict(reversed([(after, i) for i, (_, after) in files.items()]))
    seen = {before for before, _ in files.values()}
    found = []
    for last, (_, after) in files.items():
        if after in seen:
            continue
        turns, known = [last], {last}
        while (earlier := made.get(files[turns[0]][0])) is not None and earlier not in known:
            turns.insert(0, earlier)
            known.add(earlier)
        if earlier is None and len(turns) > 1:
            found.append(turns)
    return sorted(found)


def spread_out(found: list[list[int]], limit: int | None) -> list[list[int]]:
    """At most so many sessions, evenly spread, as have `limit` turns together, but one at least."""
    total = sum(map(len, found))
    if limit is None or total <= limit:
        return found
    count = max(1, len(found) * limit // total)
    return [found[k * len(found) // count] for k in range(count)]


__all__ = ["Filed", "ends_of", "sessions", "spread_out"]
