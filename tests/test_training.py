"""How systems are trained differently is told beside what a paper changes, of the systems as they were trained."""
from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from stemma.core import paper as cards
from stemma.core.part import diff, leaves
from stemma.core.recipe import Augment, Life, Phase, ProposalSource, Recipe, Resize
from stemma.core.training import GROUPS, OWN, differences, trained_as, untold
from stemma.engine.comparing.job import Job
from stemma.engine.pictures.results import Trained, as_trained, between, edges
from stemma.engine.running.checkpoint import plan

EDGES = [(p.name, e.paper.name) for p in cards.papers() for e in p.parents]


def test_every_field_of_a_recipe_is_told() -> None:
    """Were a field added that no group has, this fails."""
    assert {f.name for f in fields(Recipe)} == {f for g in GROUPS for f in g.fields}
    assert set(OWN) <= {f.name for f in fields(Recipe)}


@pytest.mark.parametrize("change", [
    {"lr": 0.5}, {"optimizer": "adam"}, {"batch": 3}, {"momentum": 0.5}, {"eps": 1e-3}, {"other_lr": 0.1},
    {"length": "7epochs"}, {"schedule": "poly"}, {"milestones": (0.5,)}, {"gamma": 0.2}, {"warmup": 0.3},
    {"gammas": (0.5, 0.2)}, {"warmup_power": 4.0}, {"clip_value": 5.0},
    {"weight_decay": 0.1}, {"no_decay": "bias"}, {"lr_mult": (("x", 2.0),)}, {"clip": 1.0}, {"ema": 0.9},
    {"precision": "bf16"}, {"channels_last": False}, {"loss_weights": (("box", 2.0),)},
    {"resize": Resize("square", 300)}, {"resize": Resize(scales=(600, 800))}, {"augment": Augment(flip=0.1)},
    {"augment": Augment(crop=True)}, {"proposals": ProposalSource("grid", 7)}, {"phases": (Phase("late", 1.0, "x"),)},
    {"life": Life(first=(), then=())},
])
def test_a_field_that_differs_is_in_a_sentence(change: dict[str, Any]) -> None:
    new = replace(Recipe(), **change)
    ((slots, what),) = differences(Recipe(), new)
    assert not untold(Recipe(), new) and all(s.startswith(f"recipe.{next(iter(change))}") for s in slots)
    value = next(iter(change.values()))
    if isinstance(value, (int, float, str)) and not isinstance(value, bool) and "schedule" not in change:
        assert (f"{value:g}" if isinstance(value, float) else str(value)) in what


def test_milestones_of_phases_are_told_and_are_of_the_schedule() -> None:
    old, new = (Recipe(phases=(Phase("late", 1.0, milestones=m, warmup=w),)) for m, w in (((0.5,), 0.0), ((0.75,), 0.1)))
    assert [what for _, what in differences(old, new)] == ["in its phases rates go otherwise"]
    assert trained_as(new, Recipe(lr=0.5)) == Recipe(lr=0.5, phases=(Phase("late", 1.0),))


def test_equal_recipes_are_told_by_nothing() -> None:
    assert differences(Recipe(), Recipe()) == () and untold(Recipe(), Recipe()) == []


@pytest.mark.parametrize("name,parent", EDGES)
def test_each_edge_tells_its_recipe(name: str, parent: str) -> None:
    child = cards.get(name)
    edge = next(e for e in child.parents if e.paper.name == parent)
    for preset in ("paper", "small"):
        a, b = edge.paper.recipe(edge.preset(preset)), child.recipe(preset)
        told = {s for slots, _ in cards.trained_apart(edge, child, preset) for s in slots}
        assert told == {f"recipe.{k.removesuffix('.()') or '()'}" for k in diff(a, b)}


def test_a_difference_that_no_group_tells_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import stemma.core.training as training

    child = cards.get("yolo_v2")
    assert cards.check_edge(child.parents[0], child, "small") == []
    monkeypatch.setattr(training, "GROUPS", tuple(g for g in GROUPS if "resize" not in g.fields))
    wrong = cards.check_edge(child.parents[0], child, "small")
    assert wrong and all(w.startswith("trained differently but not told: recipe.resize") for w in wrong)


def trained(paper: str, preset: str = "small", **sets: Any) -> Trained:
    return Trained(*plan(paper, preset, sets)[1:])


def told(paper: str, parent: str) -> list[dict[str, Any]]:
    edge = next(e for e in cards.get(paper).parents if e.paper.name == parent)
    return [{"slots": list(s), "what": w} for s, w in edge.told]


def test_sentences_are_those_that_the_two_systems_bear_out() -> None:
    said = told("retinanet", "fpn")
    plain = between(trained("fpn"), trained("retinanet"), said)
    assert plain["changes"] == said and not plain["untrue"] and not plain["besides"]
    said = told("r_fcn", "faster_rcnn")
    (own,) = (c for c in said if c["slots"] == ["backbone"])
    both = {"backbone": "resnet18"}
    same = between(trained("faster_rcnn", "small", **both), trained("faster_rcnn", "small", **both), said)
    assert same["changes"] == [] and same["untrue"] == said
    apart = between(trained("faster_rcnn", "small", **both), trained("r_fcn", "small", **both), said)
    assert own in apart["changes"]  # dilated there too


def test_a_setting_of_the_command_line_is_told_apart_from_the_idea() -> None:
    said = told("retinanet", "fpn")
    found = between(trained("fpn"), trained("retinanet", **{"neck.width": 32, "recipe.lr": 0.5}), said)
    assert any(line.startswith("neck.width 64 -> 32") or "neck.width" in line for line in found["besides"])
    assert any("recipe.lr" in c["slots"] and "0.5" in c["what"] for c in found["trained"])
    job = Job("ssd-s0", "ssd", "small", 0, "scenes", "1steps", "x", sets={"recipe.lr": 0.25}, batch=5)
    assert (as_trained(job, None).recipe.lr, as_trained(job, None).recipe.batch) == (0.25, 5)


def test_edges_carry_it() -> None:
    def system(name: str) -> dict[str, Any]:
        return {"id": name, "paper": name, "preset": "small", "main": "AP",
                "summary": {"AP": {"values": [0.5], "mean": 0.5, "spread": None}}}

    (edge,) = edges([system("fpn"), system("retinanet")], {"fpn": trained("fpn"), "retinanet": trained("retinanet")})
    assert edge["changes"] and edge["untrue"] == [] and "trained" in edge
    (bare,) = edges([system("fpn"), system("retinanet")])
    assert "trained" not in bare and bare["changes"] == edge["changes"]


def test_one_recipe_for_all_as_far_as_shapes_allow() -> None:
    own, other = cards.get("ssd").recipe("small"), cards.get("fpn").recipe("small")
    new = trained_as(own, replace(other, lr=0.123))
    assert new.lr == 0.123 and new.resize == own.resize
    rest = {slot.split(".")[1] for slots, _ in differences(other, trained_as(own, other)) for slot in slots}
    assert rest <= set(OWN)
    assert trained("ssd", **{"trained-as": "fpn:small"}).recipe == trained_as(own, other)
    with pytest.raises(cards.StemmaError, match="no paper named"):
        plan("ssd", "small", {"trained-as": "nothing:small"})


def test_compare_hands_the_first_ones_recipe_to_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stemma.engine.comparing import compare as module

    jobs: list[Job] = []

    def stop(work: list[Job], *rest: Any) -> Any:
        jobs.extend(work)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_run_all", stop)
    with pytest.raises(KeyboardInterrupt):
        module.compare(["fpn", "ssd", "retinanet"], "scenes:64:12", "1steps", out=tmp_path / "c", same_recipe=True)
    recipes = [as_trained(j, None).recipe for j in jobs]
    for r in recipes[1:]:
        assert {s.split(".")[1] for slots, _ in differences(recipes[0], r) for s in slots} <= set(OWN)
    assert dict(leaves(recipes[0])) == dict(leaves(cards.get("fpn").recipe("small")))
