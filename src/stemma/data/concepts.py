"""Concepts and how near they are: WordNet's nouns from its dictionary files, Lin's similarity, and the five levels of
unseen concepts of ImageNet-CoG (Sariyildiz et al. 2021, arXiv 2012.05649, sec. 3).

A concept is "n" and the eight digits of its offset in WordNet 3.0's data.noun, which is what ImageNet calls it; other
versions have other offsets.
"""
from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.samples import DataError
from .files import read_bytes, text_of

PERSON = "n00007846"  # all that are kinds of person are left out
LEVELS = 5
PICTURES = 782  # that a concept has at least: 732 to learn from and 50 to measure on (CoG's data/datasets.py)
Content = Literal["counts", "descendants"]


@dataclass(frozen=True)
class Concepts:
    """A graph of concepts: `parents` of each, its first `names`, and how often it was met (`counts`, which may lack
    concepts)."""

    parents: Mapping[str, tuple[str, ...]]
    names: Mapping[str, str]
    counts: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.parents)

    @cached_property
    def ancestors(self) -> dict[str, frozenset[str]]:
        """Every concept with all that it is a kind of, itself included. Raises `DataError` for one that is a kind of
        itself by way of others."""
        found: dict[str, frozenset[str]] = {}
        try:
            for c in TopologicalSorter(self.parents).static_order():
                found[c] = frozenset({c}).union(*(found[p] for p in self.parents[c]))
        except CycleError as e:
            raise DataError("the graph of concepts", f"has {e.args[1][0]}, which is a kind of itself by way of "
                            f"{e.args[1][1]}", "restore data.noun") from None
        return found

    def kinds_of(self, root: str) -> set[str]:
        """All that is a kind of `root`, itself included."""
        return {c for c, above in self.ancestors.items() if root in above}

    def content(self, by: Content = "counts", smooth: float = 1.0) -> dict[str, float]:
        """The information of each concept, in nats. "counts": -ln of the share of all that was met which is of its
        kind, every concept met `smooth` times more than it was (Resnik 1995); "descendants": 1 - ln of how many kinds
        it has over ln of all, which asks for no text (Seco et al. 2004)."""
        mass = dict.fromkeys(self.parents, 0.0)
        for c, above in self.ancestors.items():
            own = 1.0 if by == "descendants" else self.counts.get(c, 0) + smooth
            if own:
                for a in above:
                    mass[a] += own
        if by == "descendants":
            return {c: 1 - math.log(m) / math.log(len(self)) for c, m in mass.items()}
        total = sum(self.counts.get(c, 0) + smooth for c in self.parents)
        return {c: -math.log(m / total) if m else math.inf for c, m in mass.items()}

    def lin(self, a: str, b: str, content: Mapping[str, float]) -> float:
        """2 IC(nearest common ancestor) / (IC(a) + IC(b)) (Lin 1998): 1 of itself, 0 where only the root is common."""
        if a == b:
            return 1.0
        common = max((content[c] for c in self.ancestors[a] & self.ancestors[b]), default=0.0)
        return 2 * common / (content[a] + content[b]) if common else 0.0

    def nearness(self, these: Sequence[str], seen: Sequence[str], content: Mapping[str, float]) -> NDArray[np.float64]:
        """Lin's similarity of each of `these` to each of `seen`, (N, M)."""
        column = {c: i for i, c in enumerate(seen)}
        row: dict[str, NDArray[np.bool_]] = {}
        for c, i in column.items():
            for a in self.ancestors[c]:
                row.setdefault(a, np.zeros(len(seen), bool))[i] = True
        own = np.array([content[c] for c in seen])
        out = np.zeros((len(these), len(seen)))
        for n, c in enumerate(these):
            shared = [a for a in self.ancestors[c] if a in row]
            if shared:
                common = (np.array([content[a] for a in shared])[:, None] * np.stack([row[a] for a in shared])).max(0)
                with np.errstate(invalid="ignore"):
                    out[n] = np.where(common > 0, 2 * common / (content[c] + own), 0.0)
            if c in column:
                out[n, column[c]] = 1.0
        return out


def read_wordnet(folder: str | Path) -> Concepts:
    """The nouns of WordNet's dictionary files: data.noun, and index.sense for how often each sense was met (SemCor's
    tags) where it is there. Raises `DataError`."""
    folder = Path(folder).expanduser()
    parents: dict[str, tuple[str, ...]] = {}
    names: dict[str, str] = {}
    file = folder / "data.noun"
    for number, line in enumerate(text_of(read_bytes(file), file).splitlines(), 1):
        if line.startswith("  "):
            continue  # the licence
        try:
            fields = line.split("|")[0].split()
            words = int(fields[3], 16)
            at = 4 + 2 * words
            pointers = [fields[at + 1 + 4 * i : at + 5 + 4 * i] for i in range(int(fields[at]))]
            parents[f"n{int(fields[0]):08d}"] = tuple(dict.fromkeys(f"n{int(p[1]):08d}" for p in pointers
                                                                    if p[0] in ("@", "@i") and p[2] == "n"))
            names[f"n{int(fields[0]):08d}"] = fields[4]
        except (ValueError, IndexError):
            raise DataError(str(file), "is no line of WordNet's dictionary", "give the folder of WordNet 3.0's "
                            "data.noun", f"line {number}") from None
    lost = next((p for above in parents.values() for p in above if p not in parents), None)
    if lost or not parents:
        raise DataError(str(file), f"names {lost or 'nothing'}, which it does not hold", "restore the file")
    met = _met(folder / "index.sense")
    if other := next((c for c in met if c not in parents), None):
        raise DataError(str(folder / "index.sense"), f"tells of {other}, which data.noun does not hold",
                        "take both files from WordNet 3.0")
    return Concepts(parents, names, met)


def _met(file: Path) -> dict[str, int]:
    """How often each noun's senses were met, by concept."""
    counts: dict[str, int] = {}
    if file.is_file():
        for number, line in enumerate(text_of(read_bytes(file), file).splitlines(), 1):
            fields = line.split()
            if "%1:" not in line:
                continue
            if len(fields) != 4 or not (fields[1] + fields[3]).isdecimal():
                raise DataError(str(file), "is no line of index.sense", "restore the file", f"line {number}")
            key = f"n{int(fields[1]):08d}"
            counts[key] = counts.get(key, 0) + int(fields[3])
    return counts


def read_list(file: str | Path) -> list[str]:
    """Concepts, one a line. Raises `DataError`."""
    lines = [s.split()[0] for s in text_of(read_bytes(Path(file)), file).splitlines() if s.strip()]
    if wrong := next((s for s in lines if not re.fullmatch(r"n\d{8}", s)), None):
        raise DataError(str(file), f"holds {wrong!r}", "write a concept a line, such as n02084071")
    return list(dict.fromkeys(lines))


def read_counts(file: str | Path) -> dict[str, int]:
    """How many pictures concepts have, "n02084071 1603" a line. Raises `DataError`."""
    found: dict[str, int] = {}
    for number, line in enumerate(text_of(read_bytes(Path(file)), file).splitlines(), 1):
        fields = line.replace(",", " ").split()
        if fields and not (len(fields) == 2 and re.fullmatch(r"n\d{8}", fields[0]) and fields[1].isdecimal()):
            raise DataError(str(file), f"holds {line.strip()[:40]!r}", "write a concept and its count a line, such as "
                            "n02084071 1603", f"line {number}")
        if fields:
            found[fields[0]] = int(fields[1])
    return found


# ---------------------------------------------------------------- levels


@dataclass(frozen=True)
class Chosen:
    """Levels of unseen concepts, the nearest first; `scores` of those in them, and what each step left (`steps`:
    sentence, count)."""

    levels: tuple[tuple[str, ...], ...]
    scores: Mapping[str, float]
    steps: tuple[tuple[str, int], ...]

    def means(self) -> list[float]:
        """Mean similarity of each level."""
        return [float(np.mean([self.scores[c] for c in level])) for level in self.levels]


def choose(
    graph: Concepts, pool: Iterable[str], seen: Sequence[str], content: Mapping[str, float], agg: str = "max",
    size: int = 0, levels: int = LEVELS, without: str = PERSON, pictures: Mapping[str, int] | None = None,
    least: int = PICTURES,
) -> Chosen:
    """Levels of a pool of concepts by how near they are to those that were seen.

    What was seen is left out, and what is above it, and every kind of `without`; where it is known how many pictures
    each concept has, those with fewer than `least` too. The rest is sorted by the largest (agg
    "max") or the mean similarity to the seen ones and cut into as many equal groups; of each the middle `size` are
    taken (0: all).
    """
    if not seen:
        raise DataError("the list of what was seen", "holds no concept", "name one a line, such as n02084071")
    steps = [("in the pool", len(left := list(dict.fromkeys(pool))))]
    left = [c for c in left if c in graph.parents]
    steps.append(("known to WordNet", len(left)))
    left = [c for c in left if c not in set(seen)]
    steps.append(("not seen themselves", len(left)))
    above = frozenset().union(*(graph.ancestors[s] for s in seen))
    left = [c for c in left if c not in above]
    steps.append(("above none that was seen", len(left)))
    if without in graph.parents:
        left = [c for c in left if without not in graph.ancestors[c]]
        steps.append((f"no kind of {graph.names.get(without, without)}", len(left)))
    if pictures is not None:
        left = [c for c in left if pictures.get(c, 0) >= least]
        steps.append((f"of {least} pictures or more", len(left)))
    if len(left) < levels:
        raise DataError("the pool", f"leaves {len(left)} concepts for {levels} levels", "take a larger pool")
    near = graph.nearness(left, seen, content)
    score = near.max(1) if agg == "max" else near.mean(1)
    order = np.argsort(-score, kind="stable")
    groups = [g.tolist() for g in np.array_split(order, levels)]
    if size:
        groups = [g[(len(g) - size) // 2 : (len(g) - size) // 2 + size] if len(g) > size else g for g in groups]
    return Chosen(tuple(tuple(left[i] for i in g) for g in groups),
                  {left[i]: float(score[i]) for g in groups for i in g}, tuple(steps))


def read_levels(file: str | Path) -> list[list[str]]:
    """The levels of a mapping file: a list of lists of concepts, as JSON or as CoG released it (a pickle, of which
    lists, texts and numbers are read and nothing is run). Raises `DataError`."""
    said = _plain(Path(file))
    if not (isinstance(said, list) and said and all(isinstance(v, list) and v and all(isinstance(c, str) for c in v)
                                           for v in said)):
        raise DataError(str(file), "is no list of lists of concepts", "write [[\"n02084071\", ...], ...]")
    every = [c for level in said for c in level]
    if len(set(every)) != len(every):
        raise DataError(str(file), "puts a concept into two levels", "put each into one")
    return said


def read_split(file: str | Path) -> dict[str, dict[str, list[str]]]:
    """The split file: concept -> {"train": names of files, "test": names of files}; as `read_levels`."""
    said = _plain(Path(file))
    if not (isinstance(said, dict) and all(isinstance(v, dict) and all(isinstance(v.get(s), list) for s in (
            "train", "test")) for v in said.values())):
        raise DataError(str(file), "is no object of concepts with train and test", "write {\"n02084071\": {\"train\": "
                        "[...], \"test\": [...]}, ...}")
    return {str(k): {s: [str(f) for f in v[s]] for s in ("train", "test")} for k, v in said.items()}


def _plain(file: Path) -> Any:
    raw = read_bytes(file)
    if raw[:1] == b"\x80":
        return unpacked(raw, file)
    try:
        return json.loads(text_of(raw, file))
    except ValueError as e:
        raise DataError(str(file), f"is no JSON ({str(e)[:60]})", "write it again") from None


@dataclass(frozen=True)
class _Known:
    """A name of a pickle that is known by what it makes, and never called."""

    what: str


# as numpy writes its arrays, by the name that a pickle has for it ("numpy._core" since 2.0)
_KNOWN = {"numpy.core.multiarray _reconstruct": "array", "numpy ndarray": "kind", "numpy dtype": "dtype",
          "numpy.core.numeric _frombuffer": "buffer", "_codecs encode": "bytes",
          "__builtin__ bytes": "bytes", "builtins bytes": "bytes"}


class _Array(list[Any]):
    """What an array holds, as lists; empty until its state is told."""

    def fill(self, shape: tuple[int, ...], dtype: Any, fortran: bool, data: Any) -> None:
        """Raises `ValueError` for an array of anything but texts and numbers."""
        if not isinstance(dtype, np.dtype) or dtype.kind not in "USbiufO" or (dtype.kind == "O") != isinstance(
                data, list):
            raise ValueError(f"an array of {dtype}")
        flat = np.empty(len(data), object) if dtype.kind == "O" else np.frombuffer(data, dtype)
        if dtype.kind == "O":
            flat[:] = data
        self.extend(flat.reshape(shape, order="F" if fortran else "C").tolist())


def _called(what: Any, given: Any) -> Any:
    """What a known name makes of its arguments. Raises `ValueError` for another."""
    if not isinstance(what, _Known) or not isinstance(given, tuple):
        raise ValueError("REDUCE")
    if what.what == "dtype" and isinstance(given[0], str):
        return np.dtype(given[0])
    if what.what == "array":
        return _Array()
    if what.what == "bytes" and given[1:] in ((), ("latin1",)):
        return given[0].encode("latin1") if given else b""
    if what.what == "buffer":
        made = _Array()
        made.fill(given[2], given[1], given[3] == "F", given[0])
        return made
    raise ValueError("REDUCE")


def _only_data(said: Any) -> None:
    """Raises `ValueError` for names and kinds of arrays that stand for themselves."""
    for v in (*said, *said.values()) if isinstance(said, dict) else said if isinstance(said, list | tuple) else ():
        _only_data(v)
    if isinstance(said, _Known | np.dtype):
        raise ValueError(getattr(said, "what", str(said)))


def unpacked(raw: bytes, file: str | Path = "") -> Any:
    """Lists, tuples, objects, texts, numbers and truths of a pickle, and numpy's arrays of texts or of these as lists,
    read without running anything. Raises `DataError` for a pickle that asks for more."""
    from pickletools import genops

    stack: list[Any] = []
    memo: dict[int, Any] = {}
    mark = object()

    def popped() -> list[Any]:
        at = len(stack) - 1 - next(i for i, v in enumerate(reversed(stack)) if v is mark)
        out = stack[at + 1 :]
        del stack[at:]
        return out

    plain: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple,
             "NONE": lambda: None, "NEWTRUE": lambda: True,
             "NEWFALSE": lambda: False}
    try:
        for op, arg, _ in genops(raw):
            name = op.name
            if name in plain:
                stack.append(plain[name]())
            elif name == "MARK":
                stack.append(mark)
            elif name in ("LIST", "TUPLE"):
                stack.append(list(popped()) if name == "LIST" else tuple(popped()))
            elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
                n = int(name[-1])
                stack[-n:] = [tuple(stack[-n:])]
            elif name == "APPEND":
                v = stack.pop()
                stack[-1].append(v)
            elif name == "APPENDS":
                more = popped()
                stack[-1].extend(more)
            elif name == "SETITEM":
                k, v = stack[-2:]
                del stack[-2:]
                stack[-1][k] = v
            elif name in ("SETITEMS", "DICT"):
                more = popped()
                if name == "DICT":
                    stack.append({})
                stack[-1].update(zip(more[::2], more[1::2]))
            elif name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
                memo[len(memo) if name == "MEMOIZE" else int(str(arg))] = stack[-1]
            elif name in ("GET", "BINGET", "LONG_BINGET"):
                stack.append(memo[int(str(arg))])
            elif name in ("GLOBAL", "STACK_GLOBAL"):
                if name == "STACK_GLOBAL":
                    stack[-2:] = [" ".join(map(str, stack[-2:]))]
                else:
                    stack.append(arg)
                stack.append(_Known(_KNOWN[str(stack.pop()).replace("._core", ".core")]))
            elif name == "REDUCE":
                given = stack.pop()
                stack.append(_called(stack.pop(), given))
            elif name == "BUILD":
                state = stack.pop()
                if isinstance(stack[-1], _Array):
                    stack[-1].fill(*state[1:])
                elif not isinstance(stack[-1], np.dtype):
                    raise ValueError(name)
            elif isinstance(arg, (str, int, float, bytes, bytearray)) and name not in (
                    "PROTO", "FRAME", "PERSID", "INST", "EXT1", "EXT2", "EXT4"):
                stack.append(arg)
            elif name not in ("PROTO", "FRAME", "STOP"):
                raise ValueError(name)
        (found,) = stack
        _only_data(found)
    except (ValueError, IndexError, KeyError, AttributeError, TypeError, StopIteration, RecursionError) as e:
        raise DataError(str(file), f"is a pickle that holds more than lists, texts, numbers and arrays ({e})",
                        "write it as JSON") from None
    return found


__all__ = ["LEVELS", "PERSON", "PICTURES", "Chosen", "Concepts", "choose", "read_counts", "read_levels", "read_list",
           "read_split", "read_wordnet", "unpacked"]
