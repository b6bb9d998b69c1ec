"""A paper's card: where it comes from, what it changes, what it claims. The file's name is the paper's name."""
from __future__ import annotations

import functools
import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .nearest import paper_key
from .part import diff, leaves
from .recipe import Recipe
from .sentence import first_sentence
from .training import differences
from .training import untold as untold_of
from .types import Batch, Info, StemmaError

Task = Literal["detection", "instances", "keypoints", "semantic", "panoptic", "amodal", "proposals", "weak", "world",
               "editing", "transfer", "language"]
AGNOSTIC = frozenset({"amodal", "proposals"})  # tasks whose answers name no class
GROUPS = ("localization", "worlds", "editing", "transfer", "language")


@dataclass(frozen=True)
class Parent:
    """A lineage edge: `changes` are (slot path prefix, one sentence), or (several prefixes, the sentence that tells
    them all).

    A prefix of "" says that the whole was replaced, "()" that a node is of another class. A test holds the sentences
    against `diff(parent.spec(), child.spec())`, both ways. presets: (the child's preset, the parent's that it stands
    on), where that is another than the one of its name.
    """

    paper: Paper
    changes: tuple[tuple[str | tuple[str, ...], str], ...]
    presets: tuple[tuple[str, str], ...] = ()

    def preset(self, own: str) -> str:
        """The parent's preset that a preset of the child is told by."""
        return dict(self.presets).get(own, own)

    @property
    def told(self) -> tuple[tuple[tuple[str, ...], str], ...]:
        """`changes` with the slots of every sentence as a tuple."""
        return tuple(((slots,) if isinstance(slots, str) else slots, sentence) for slots, sentence in self.changes)


@dataclass(frozen=True)
class Claim:
    """A number that a paper or its authors' code states, with where it stands. Never one that we measured."""

    what: str
    value: float
    source: str


@dataclass(frozen=True)
class Fact:
    """A count that can be checked: `what` of the net built from `preset` with `classes` and edits `sets` is `value`."""

    what: str
    value: int
    classes: int = 80
    sets: tuple[tuple[str, Any], ...] = ()
    variant: str = ""
    source: str = ""


def pictures_alone(spec: Any, recipe: Recipe, size: int) -> tuple[Any, Recipe]:
    """The pictures, and what the recipe does to them; the network stays as it is. In whole cells, where it has cells.

    Raises `StemmaError` for a part of a cell.
    """
    in_steps(recipe.resize.step, size)
    return spec, recipe.at(size)


@dataclass(frozen=True)
class Size:
    """What `--size N` means to a paper, in a sentence, and how it comes to pass: (spec, recipe, N) -> both at N pixels.

    `change` is a function of the values that it is given, so that it may be applied to a system whose settings were
    edited, or to a trained one.
    """

    says: str
    change: Callable[[Any, Recipe, int], tuple[Any, Recipe]] = pictures_alone


def in_steps(step: int, size: int) -> None:
    """Raises `StemmaError` for a size that is no multiple of `step`: the network's cells are as large."""
    if size % step:
        below = max(size // step, 1) * step
        raise StemmaError(f"sizes are multiples of {step} here, the side of a cell: {below} or {below + step}, "
                          f"not {size}")


@dataclass(frozen=True)
class Paper:
    """`spec(preset)` is the system as a value, `recipe(preset)` its training.
    Presets: "paper" (published) and "small"."""

    title: str
    authors: str
    year: int
    arxiv: str
    task: Task
    spec: Callable[[str], Any]
    recipe: Callable[[str], Recipe]
    summary: str
    parents: tuple[Parent, ...] = ()
    claims: tuple[Claim, ...] = ()
    facts: tuple[Fact, ...] = ()
    notes: tuple[str, ...] = ()  # what the paper leaves open, and what we chose
    presets: tuple[str, ...] = ("paper", "small")  # more where a paper has variants: "ssd512", "c4", "keypoint"
    tasks: tuple[tuple[str, Task], ...] = ()  # (preset, task) where a preset does another than the paper's
    prepare: Callable[[Any, Info], Any] | None = None  # settings computed from the data: (spec, info) -> spec
    # (spec, training boxes (N, 4) in network pixels) -> settings by path, kept by the run
    measure: Callable[[Any, np.ndarray], dict[str, Any]] | None = None
    # (spec, training batches with their proposals) -> settings by path, kept by the run
    statistics: Callable[[Any, Iterable[Batch]], dict[str, Any]] | None = None
    starts: str = ""  # what the published system begins from, with its place; "": as the first parent
    size: Size | None = None  # what `--size` does; None: as to the first parent

    @property
    def name(self) -> str:
        return self.spec.__module__.rsplit(".", 1)[-1]

    @property
    def cli_name(self) -> str:
        return self.name.replace("_", "-")

    @property
    def line(self) -> str:
        """What it is in one sentence: the first paragraph of its file, "FPN: ... .", without the arXiv number."""
        return first_sentence(sys.modules[self.spec.__module__].__doc__ or self.cli_name)

    @property
    def label(self) -> str:
        """What people call it, "Faster R-CNN": the line up to its colon."""
        return self.line.split(":")[0]

    @property
    def begins(self) -> str:
        """What the published system begins from: its own sentence, or its first parent's."""
        return self.starts or (self.parents[0].paper.begins if self.parents else "")

    @property
    def sizing(self) -> Size | None:
        """What a size means: its own, or its first parent's. None for what looks at no pictures of a size."""
        return self.size or (self.parents[0].paper.sizing if self.parents else None)

    def at(self, spec: Any, recipe: Recipe, size: Any) -> tuple[Any, Recipe]:
        """A spec and a recipe of this paper at `size` pixels. Raises `StemmaError` for a size that it cannot have."""
        if self.sizing is None:
            raise StemmaError(f"{self.cli_name} looks at no pictures whose size could be chosen")
        if not str(size).isdecimal() or int(size) < 1:
            raise StemmaError(f"a size is a whole number of pixels, 1 or more, not {size}")
        try:
            return self.sizing.change(spec, recipe, int(size))
        except StemmaError as error:
            raise StemmaError(f"{self.cli_name}: {error}") from error

    def ancestors(self) -> set[str]:
        return {self.name} | {n for p in self.parents for n in p.paper.ancestors()}

    def needs(self, preset: str = "paper") -> str:
        """The kind of target that training wants: "boxes", "masks", "keypoints", "semantic" or "panoptic"."""
        return {"detection": "boxes", "proposals": "boxes",
                "instances": "masks"}.get(self.task_of(preset), self.task_of(preset))

    def task_of(self, preset: str = "paper") -> str:
        return dict(self.tasks).get(preset, "keypoints" if preset.startswith("keypoint") else self.task)


def check_edge(parent: Parent, child: Paper, preset: str = "paper") -> list[str]:
    """What is wrong with a lineage edge: differences that no sentence tells,
    and sentences that no difference bears out.

    A sentence is about the published system: another preset may not show it, but differs in nothing that is not told.
    How the two are trained besides is told by `training.differences`, which leaves no field of a recipe out.
    """
    theirs = parent.preset(preset)
    d = diff(parent.paper.spec(theirs), child.spec(preset))
    published = d if preset == "paper" else diff(parent.paper.spec("paper"), child.spec("paper"))
    said = [slot for slots, _ in parent.told for slot in slots]
    covers = lambda slot, path: slot == "" or path == slot or path.startswith(slot + ".")  # noqa: E731
    untold = [f"changed but not told: {k} {v[0]} "
              f"-> {v[1]}" for k, v in d.items() if not any(covers(s, k) for s in said)]
    untrue = [f"told but not changed: {s}" for s in said if not any(covers(s, k) for k in (*d, *published))]
    trained = untold_of(parent.paper.recipe(theirs), child.recipe(preset))
    return untold + untrue + [f"trained differently but not told: recipe.{k}" for k in trained]


def trained_apart(edge: Parent, child: Paper, preset: str = "paper") -> tuple[tuple[tuple[str, ...], str], ...]:
    """How a preset is trained differently from its parent's, or from the published one where the parent has none such:
    ((fields, sentence), ...)."""
    theirs = edge.preset(preset)
    return differences(edge.paper.recipe(theirs if theirs in edge.paper.presets else "paper"), child.recipe(preset))


def named(slots: Iterable[str]) -> str:
    """Slots as a reader is shown them: "rpn, rpn_head"; the root is "the whole", a node's own class "the kind"."""
    return ", ".join({"": "the whole", "()": "the kind"}.get(s, s) for s in slots)


@functools.cache
def _modules() -> dict[str, str]:
    root = importlib.import_module("stemma.papers")
    found: dict[str, str] = {}
    for group in GROUPS:
        package = importlib.import_module(f"{root.__name__}.{group}")
        for m in pkgutil.iter_modules(package.__path__):
            if not m.name.startswith("_"):
                found[m.name] = f"{package.__name__}.{m.name}"
    return found


def names() -> list[str]:
    """Every paper's name: the file system is the registry."""
    return sorted(_modules())


def get(name: str) -> Paper:
    """The card of a paper, by file name; hyphens, underscores and case do not matter.

    Raises `StemmaError` with the nearest names when there is none.
    """
    found = _modules()
    paper = importlib.import_module(found[paper_key(name, found)]).PAPER
    assert isinstance(paper, Paper)
    return paper


def papers() -> list[Paper]:
    """All papers, by year then name."""
    return sorted((get(n) for n in names()), key=lambda p: (p.year, p.name))


__all__ = ["Claim", "Fact", "Paper", "Parent", "Task", "check_edge", "get", "leaves", "named", "names", "papers",
           "trained_apart"]
