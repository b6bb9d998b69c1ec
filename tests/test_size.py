"""`--size N`: every paper says what it means, and what it says is what comes."""
from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stemma
from engine_help import scenes, short
from stemma.core import paper as cards
from stemma.core.part import diff, leaves
from stemma.core.types import Batch, StemmaError
from stemma.data.loader import Loader
from stemma.data.scenes import Scenes
from stemma.engine.pictures import outside
from stemma.engine.pictures.begin import left_behind
from stemma.engine.running import checkpoint
from stemma.parts.dense.anchors import lay
from stemma.skeletons.windows import ladder

VISION = [n for n in cards.names() if cards.get(n).sizing is not None]
# pairs of pictures with a sentence have batches of their own (test_editing)
SMALL = [(n, p) for n in VISION for p in cards.get(n).presets if p.endswith("small") and cards.get(n).task != "editing"]
EVERY = [(n, p) for n in VISION for p in cards.get(n).presets if p != "pretrained"]


def at(name: str, preset: str, size: int | None = None) -> tuple[Any, Any]:
    _, spec, recipe = checkpoint.plan(name, preset, {} if size is None else {"size": str(size)})
    return spec, recipe


def test_every_paper_that_looks_at_pictures_says_what_a_size_is() -> None:
    others = {n for n in cards.names() if cards.get(n).task in ("world", "transfer", "language")}
    assert set(VISION) == set(cards.names()) - others and others
    for name in VISION:
        says = cards.get(name).sizing
        assert says is not None and 20 < len(says.says) < 200 and not says.says.endswith(".")
    with pytest.raises(StemmaError, match="looks at no pictures"):
        checkpoint.plan("planet", "small", {"size": 64})


@pytest.mark.parametrize("name,preset", EVERY)
def test_its_own_size_changes_nothing_and_twice_the_size_doubles_the_pictures(name: str, preset: str) -> None:
    spec, recipe = at(name, preset)
    size = recipe.resize.size
    same, again = at(name, preset, size)
    kept = recipe.resize.kind == "keep"
    assert not diff(spec, same) and (kept or not diff(recipe, again))
    _, double = at(name, preset, 2 * size)
    assert double.resize.size == 2 * size and double.resize.kind == ("shortest" if kept else recipe.resize.kind)
    assert double.resize.scales == tuple(2 * v for v in recipe.resize.scales)
    assert double.augment.window == tuple(2 * v for v in recipe.augment.window)
    assert double.augment.elastic == 2 * recipe.augment.elastic
    if recipe.resize.kind == "shortest":
        assert double.resize.longest == 2 * recipe.resize.longest


def batch_of(model: Any) -> Batch:
    recipe = model.recipe
    if outside.wants(recipe):
        recipe = replace(recipe, proposals=replace(recipe.proposals, kind="jitter", count=32))
    data = outside.with_proposals(Scenes(2, size=96, seed=3), recipe)
    kinds = outside.needed(recipe) | frozenset({"boxes", "masks", "amodal", "keypoints", "semantic", "panoptic"})
    mean = model.spec.preprocess.mean
    return next(iter(Loader(data, replace(recipe, resize=replace(recipe.resize, scales=())), train=True, batch=2,
                            mean=mean, needs=kinds, seed=1).epoch(0)))


@pytest.mark.parametrize("name,preset", SMALL)
def test_every_small_preset_learns_and_answers_at_another_size(name: str, preset: str) -> None:
    model: Any = stemma.build(name, preset=preset, sets={"size": 192}, info=Scenes(1).info)
    batch = batch_of(model)
    assert max(batch.images.shape[-2:]) == 192
    assert all(torch.isfinite(v) for v in model.train().loss(batch).values())
    found = model.eval().predict(batch.images, batch.sizes, **outside.given(model.recipe, batch))
    assert len(next(v for v in vars(found).values() if v is not None)) == 2


# ---------------------------------------------------------------- what each says


def anchors(spec: Any, recipe: Any) -> np.ndarray:
    """Sides of all anchors (A, 2) as shares of the picture."""
    size = recipe.resize.size
    rule = spec.rule if hasattr(spec, "rule") else spec.rpn
    with torch.device("meta"):
        model = spec.build(3)
        out = model.neck(model.backbone(torch.zeros(1, 3, size, size)))
    maps, strides = tuple((x.shape[-2], x.shape[-1]) for x in out), model.neck.out.strides
    boxes = lay(rule.anchors, maps, strides, (size, size), torch.zeros(1)).boxes.numpy()
    assert boxes[:, :2].mean() > -size  # they lie on the picture
    return np.asarray((boxes[:, 2:] - boxes[:, :2]) / size)


@pytest.mark.parametrize("name,preset,size",
                         [("ssd", "small", 256), ("ssd", "paper", 600), ("faster_rcnn", "small", 256),
                          ("faster_rcnn", "paper", 1200), ("retinanet", "small", 256),
                          ("ghm", "small", 192), ("r_fcn", "small", 256),
                          ("deformable_convnets", "rpn-small", 256)])
def test_anchors_in_proportion_are_the_same_shares_of_the_picture(name: str, preset: str, size: int) -> None:
    before, after = (np.unique(anchors(*at(name, preset, s)).round(4), axis=0) for s in (None, size))
    np.testing.assert_allclose(before, after, atol=2e-3)


@pytest.mark.parametrize("name,preset",
                         [("fpn", "small"), ("fpn", "paper"), ("mask_rcnn", "small"), ("cascade_rcnn", "small"),
                          ("retinanet", "paper"), ("ghm", "paper"), ("deformable_convnets", "fpn")])
def test_anchors_of_a_pyramid_stay(name: str, preset: str) -> None:
    spec, recipe = at(name, preset)
    assert not diff(spec, at(name, preset, 2 * recipe.resize.size)[0])


def test_ssd_lays_its_boxes_over_the_picture_at_every_size() -> None:
    """Of maps that shrink by half the step is their stride, of the others the picture's share: as published at 300 and
    512."""
    from stemma.papers.localization.ssd import maps

    for preset, size, published in (("paper", 300, (8, 16, 32, 64, 100, 300)),
                                    ("ssd512", 512, (8, 16, 32, 64, 128, 256, 512))):
        spec, _ = at(preset=preset, name="ssd", size=size)
        assert spec.rule.anchors.steps == published
        spec, recipe = at("ssd", preset, 2 * size)
        with torch.device("meta"):
            model = spec.build(3)
            found = [x.shape[-1] for x in model.neck(model.backbone(torch.zeros(1, 3, 2 * size, 2 * size)))]
        assert found == maps(2 * size, spec.neck["layers"])
        reach = [n * step for n, step in zip(found, spec.rule.anchors.steps)]
        assert all(0.9 < r / (2 * size) < 1.1 for r in reach), reach
    with pytest.raises(StemmaError, match="ssd: nothing is left of its last map at 200 pixels; 268 are the least"):
        at("ssd", "paper", 200)
    assert maps(267, spec.neck["layers"])[-1] < 1 or at("ssd", "paper", 268)


def test_grids_are_counted_in_whole_cells() -> None:
    for preset, size, cells in (("paper", 448, 7), ("paper", 320, 5), ("small", 256, 16)):
        spec, _ = at("yolo_v1", preset, size)
        assert spec.rule.coder.cells == spec.head["cells"] == cells
    with pytest.raises(StemmaError,
                       match="yolo-v1: sizes are multiples of 16 here, the side of a cell: 192 or 208, not 200"):
        at("yolo_v1", "small", 200)
    spec, recipe = at("yolo_v2", "small", 256)
    assert recipe.resize.scales == (192, 224, 256, 288, 320) and recipe.resize.hold == 10
    assert not diff(spec, at("yolo_v2", "small")[0])  # anchors are in cells, and found in the data
    assert all(v % 16 == 0 for v in at("yolo_v2", "small", 208)[1].resize.scales)
    assert at("yolo_v2", "paper", 544)[1].resize.scales[:2] == (416, 448)
    with pytest.raises(StemmaError, match="multiples of 32"):
        at("yolo_v2", "paper", 400)


def test_what_is_said_in_pixels_goes_along() -> None:
    spec, recipe = at("deeplab", "paper", 750)
    assert recipe.augment.window == (642,) and spec.post[0].appearance_xy == 134 and spec.post[0].appearance_rgb == 3
    spec, recipe = at("u_net", "paper", 256)
    assert spec.loss.sigma == 2.5 and recipe.augment.elastic == 5
    assert at("panoptic_fpn", "small", 256)[0].merge.stuff_area == 400
    spec, _ = at("reinspect", "small", 256)
    assert spec.head["scale"] == 40 and spec.rule.box_weight == 0.005
    for name in ("spp_net", "mr_cnn"):
        spec, recipe = at(name, "paper", 600)
        settings = dict(leaves(spec))
        assert recipe.resize.scales[-1] == 600 and settings["backbone.sizes"] == recipe.resize.scales
    assert at("fast_rcnn", "multi-scale", 600)[0].stages[0].head["pool"].sizes == (240, 288, 344, 432, 600)


@pytest.mark.parametrize("scales", [(0.8, 0.5, 0.32), (2.0, 1.41, 1.0, 0.71, 0.5), (0.7, 1.0, 1.4), (1.0,)])
def test_windows_that_keep_their_pixels_are_laid_over_more_sizes(scales: tuple[float, ...]) -> None:
    assert ladder(scales, 1.0) == scales
    double, half = ladder(scales, 2.0), ladder(scales, 0.5)
    assert max(double) == pytest.approx(max(scales)) and min(double) == pytest.approx(min(scales) / 2)
    assert len(double) > len(scales) >= len(half)
    assert list(double) == sorted(double, reverse=scales[0] > scales[-1] or len(scales) == 1)
    steps = np.diff(np.log2(sorted(double)))
    np.testing.assert_allclose(steps, steps.mean())  # even
    if len(scales) > 1:
        assert steps.mean() == pytest.approx(math.log2(max(scales) / min(scales)) / (len(scales) - 1), rel=0.35)


# ---------------------------------------------------------------- in a run


def test_a_size_is_kept_by_the_run_and_its_weights_and_survives_a_resume(tmp_path: Path) -> None:
    sets = {"recipe.precision": "fp32"}
    settings: dict[str, Any] = {"batch": 4, "device": "cpu", "progress": False, "val": scenes(4, "val")}
    run = stemma.train("ssd", scenes(), "2steps", out=tmp_path / "run", sets=sets, size=96, **settings)
    assert run.record["sets"]["size"] == 96 and run.record["recipe"]["resize"]["size"] == 96
    again = stemma.train("ssd", scenes(), "4steps", out=tmp_path / "run", sets=sets, size=96, resume=True, **settings)
    assert again.record["spent"]["steps"] == 4
    model: Any = stemma.load(again)
    assert model.spec.rule.anchors.small[0] == pytest.approx(7.5) and model.recipe.resize.size == 96
    with pytest.raises(StemmaError, match="sets"):
        stemma.train("ssd", scenes(), "6steps", out=tmp_path / "run", sets=sets, size=128, resume=True, **settings)


def test_evaluate_looks_at_another_size_with_the_same_weights(tmp_path: Path) -> None:
    run = short(tmp_path / "run", "2steps", "ssd", sets={"recipe.resize.size": 128})
    model: Any = stemma.load(run)
    other: Any = checkpoint.at_size(model, 192)
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in model.state_dict().items())
    assert other.spec.rule.anchors.small == tuple(1.5 * v for v in model.spec.rule.anchors.small)
    assert other.recipe.resize.size == 192 and not other.training and other.sets["size"] == 192
    plain, large = (stemma.evaluate(run, scenes(6, "val"), **more) for more in ({}, {"size": 192}))
    assert plain["images"] == large["images"] == 6
    same = stemma.evaluate(other, scenes(6, "val"))
    assert large["AP"] == same["AP"]
    with pytest.raises(StemmaError, match="whole number of pixels"):
        stemma.evaluate(run, scenes(6, "val"), size="large")


def test_layers_that_see_the_whole_picture_fit_no_other_size() -> None:
    model = stemma.build("yolo_v1", preset="small", classes=3, sets={"head.hidden": 8})
    with pytest.raises(StemmaError, match="yolo-v1 learned head.body.1.weight for pictures of 128 pixels.*train it "
                       "with --size 256"):
        checkpoint.at_size(model, 256)


@pytest.mark.parametrize("name,left", [
    ("ssd", "rule.anchors.large, rule.anchors.small"), ("yolo_v2", "recipe.resize.scales"),
    ("fpn", "recipe.resize.longest"), ("faster_rcnn", "rpn.anchors.scales"),
])
def test_a_set_of_the_size_alone_is_told_what_it_leaves_behind(name: str, left: str, tmp_path: Path) -> None:
    card = cards.get(name)
    said = left_behind(card, "small", {"recipe.resize.size": "192"})
    assert said is not None and left in said and "--size 192 takes all along" in said and "\n" not in said
    assert left_behind(card, "small", {"size": 192}) is None and left_behind(card, "small", {}) is None
    assert left_behind(card, "small", {"recipe.resize.size": 128}) is None
    if name == "yolo_v2":
        assert left_behind(card, "small", {"recipe.resize.size": 192, "recipe.resize.scales": "160,192"}) is None


def test_train_says_so(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="recipe.resize.size=64 alone leaves .*--size 64 takes all along"):
        short(tmp_path / "run", "1steps", "ssd")


def test_a_comparison_has_one_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stemma.engine.comparing import compare as module

    told: list[Any] = []

    def stop(work: list[Any], *rest: Any) -> Any:
        told.extend(work)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_run_all", stop)
    for _ in range(2):  # begun, and taken up again
        with pytest.raises(KeyboardInterrupt):
            module.compare(["ssd", "yolo-v1:paper"], "scenes:64:16", "1steps", out=tmp_path / "c", size="192")
    assert [j.sets for j in told] == [{"size": 192}] * 4
    assert json.loads((tmp_path / "c" / "compare.json").read_text())["size"] == "192"
    with pytest.raises(StemmaError, match="holds a comparison with size = 192, not 128"):
        module.compare(["ssd"], "scenes:64:16", "1steps", out=tmp_path / "c", size="128")
    with pytest.raises(StemmaError, match="yolo-v1: sizes are multiples of 64"):
        module.compare(["ssd", "yolo-v1:paper"], "scenes:64:16", "1steps", out=tmp_path / "d", size="100")
    with pytest.raises(StemmaError, match="'size' means nothing here"):
        module.compare(["planet"], "env:drawn-pendulum", "1steps", out=tmp_path / "w", size="96")
