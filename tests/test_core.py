"""Parts, edits and diffs of specs."""
from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from stemma.core import paper as papers
from stemma.core.part import In, Part, diff, edit, leaves, part
from stemma.core.recipe import Recipe
from stemma.core.types import Classes, Detections


class Layer(nn.Linear):
    def __init__(self, inp: In, width: int = 8, bias: bool = True, name: str | None = "y"):
        super().__init__(inp.channels[0], width, bias)


@dataclass(frozen=True)
class Rule:
    gamma: float = 2.0
    sizes: tuple[int, ...] = (1, 2)
    empty: tuple[int, ...] = ()


@dataclass(frozen=True)
class Spec:
    head: Part[Layer] = part(Layer, width=4)
    stages: tuple[Rule, ...] = (Rule(), Rule(1.0))


def test_a_part_is_a_value() -> None:
    assert part(Layer, width=8) == part(Layer) != part(Layer, width=9)
    assert part(Layer).but(width=3)["width"] == 3
    assert part(Layer, 5).build(In((2,), (1,))).weight.shape == (5, 2)
    with pytest.raises(TypeError):
        part(Layer, wide=3)  # type: ignore[call-arg]


def test_leaves_name_every_setting_once() -> None:
    paths = [p for p, _ in leaves(Spec())]
    assert len(paths) == len(set(paths))
    assert dict(leaves(Spec()))["stages.1.gamma"] == 1.0
    assert dict(leaves(Spec()))["head.()"] == "Layer"


def test_diff_sees_both_sides() -> None:
    d = diff(Spec(), Spec(stages=(Rule(),)))
    assert d["stages.1.gamma"] == (1.0, "-")
    assert not diff(Spec(), Spec())


@pytest.mark.parametrize(
    "path,text,want",
    [("head.width", "16", 16), ("stages.0.gamma", "1", 1.0), ("stages.1.sizes", "3,4", (3, 4)),
     ("head.bias", "no", False),
     ("head.name", "x", "x"), ("head.name", "none", None), ("stages.0.empty", "600,800", (600, 800))],
)
def test_edit_reads_the_type_that_is_there(path: str, text: str, want: object) -> None:
    new = edit(Spec(), path, text)
    assert dict(leaves(new))[path] == want
    assert set(diff(Spec(), new)) == {path}


@pytest.mark.parametrize(
    "path,text,says",
    [("head.widht", "3", "width"), ("head.width", "many", "cannot read"), ("stages.7.gamma", "1", "not in"),
     ("head", "x", "whole"), ("head.width", "1.5", "cannot read")],
)
def test_a_wrong_edit_says_what_is_there(path: str, text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        edit(Spec(), path, text)


@pytest.mark.parametrize("path,text,says", [
    ("rpn.keep", "0", "must be 1 or more, not 0"), ("rpn.proposals.keep_train", "-5", "must be 1 or more"),
    ("stages.0.sample.count", "0", "must be 1 or more"), ("post.0.keep", "0", "must be 1 or more"),
    ("rpn.proposals.pre", "-1", "must be 0 or more"), ("post.0.score", "nan", "a finite number, not nan"),
    ("rpn.anchors.scales", "8,inf", "a finite number"),
    ("rpn.nms", "inf", "a finite number")])
def test_a_setting_that_leaves_nothing_to_do_is_refused_by_its_kind(path: str, text: str, says: str) -> None:
    """Boxes, samples and steps of which there would be none, whole numbers below none, numbers that are not finite."""
    spec = papers.get("fpn").spec()
    with pytest.raises(ValueError, match=rf"'{path}' .*{says}"):
        edit(spec, path, text)


def test_what_means_none_or_all_stays_so() -> None:
    """0 proposals before suppression are all of them, -1 is a place in a list, and a score may begin at -inf."""
    spec = papers.get("fpn").spec()
    assert edit(spec, "post.0.pre", "0").post[0].pre == 0
    for card in papers.papers():
        spec = card.spec()
        for path, value in leaves(spec):
            if isinstance(value, int | float | tuple) and value != ():
                assert dict(leaves(edit(spec, path, value)))[path] == value, (card.cli_name, path)


def test_edit_reads_rows() -> None:
    """Pairs, as of names and factors, in brackets of either kind; what is not rows is refused,
    never cut at its commas."""
    for text in ("[['backbone', 0.1], ['head', 2]]", "(('backbone', 0.1), ('head', 2))",
                 [["backbone", 0.1], ["head", 2]], (("backbone", 0.1), ("head", 2))):
        assert edit(Recipe(), "lr_mult", text).lr_mult == (("backbone", 0.1), ("head", 2))
    assert edit(Recipe(lr_mult=(("a", 1.0),)), "lr_mult", "()").lr_mult == ()
    for text in ("backbone,0.1", "['backbone', 0.1]", "[['backbone', 0.1]"):
        with pytest.raises(ValueError, match="rows"):
            edit(Recipe(), "lr_mult", text)


def test_a_literal_takes_its_own_words_only() -> None:
    assert edit(Recipe(), "schedule", "poly").schedule == "poly"
    with pytest.raises(ValueError, match="cosine"):
        edit(Recipe(), "schedule", "polly")


def test_detections_take_pads_and_scale() -> None:
    d = Detections(torch.arange(8.0).view(1, 2, 4), torch.tensor([[0.9, 0.8]]), torch.tensor([[1, 0]]),
                   masks=torch.rand(1, 2, 3, 3))
    t = d.take(torch.tensor([[1, -1, 0]]))
    assert t.labels.tolist() == [[0, -1, 1]] and t.boxes[0, 1].abs().sum() == 0
    assert torch.equal(t.masks[0, 2], d.masks[0, 0])  # type: ignore[index]
    assert t.scale(torch.tensor([[2.0, 3.0]])).boxes[0, 2].tolist() == [0, 2, 6, 6]
    assert [len(x["labels"]) for x in t.unpad()] == [2]


def test_classes_refuse_twins() -> None:
    with pytest.raises(ValueError, match="cat"):
        Classes(("cat", "dog", "cat"))
    assert Classes(("a", "b")).ids == (0, 1)
