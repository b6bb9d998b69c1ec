"""The panoptic merge against the authors' procedure written out, and the pair of nets that feeds it."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.core.paper import check_edge
from stemma.core.types import Batch, Classes, Detections, Info, Sample, StemmaError, Targets
from stemma.engine.running.optim import groups_of
from stemma.metrics.panoptic import PanopticMetric, to_instances, to_semantic
from stemma.ops.masks import paste
from stemma.papers.localization import fcn, mask_rcnn, panoptic_segmentation
from stemma.parts.maps.panoptic_merge import PanopticMerge, instances_of, pasted, semantic_of


def slow_merge(masks: Any, labels: Any, scores: Any, semantic: Any, things: tuple[int, ...], classes: int,
               rule: PanopticMerge) -> tuple[Any, list[int]]:
    """One picture, as the authors' code goes about it: masks best first, then stuff."""
    ids, used, segments = np.zeros(semantic.shape, int), np.zeros(semantic.shape, bool), []
    for mask, label, score in zip(masks, labels, scores):
        if label < 0 or score < rule.score or not mask.any() or (mask & used).sum() / mask.sum() > rule.overlap:
            continue
        used |= mask
        segments.append(int(label))
        ids[mask & (ids == 0)] = len(segments)
    for c in range(classes):
        left = (semantic == c) & (ids == 0)
        if c in things or left.sum() < rule.stuff_area or not left.any():
            continue
        segments.append(c)
        ids[left] = len(segments)
    return ids, segments


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
@pytest.mark.oracle("the authors' procedure in loops", "panoptic_segmentation", how="equal")
def test_the_merge_is_the_authors_procedure(seed: int) -> None:
    rng = np.random.default_rng(seed)
    b, n, h, w, classes, things = 2, 6, 9, 11, 5, (1, 3)
    masks = np.zeros((b, n, h, w), bool)
    for i in range(b):
        for j in range(n):
            y, x = rng.integers(0, h), rng.integers(0, w)
            masks[i, j, y : y + rng.integers(0, 7), x : x + rng.integers(0, 7)] = True
    labels = rng.choice([1, 3, -1], (b, n), p=[0.45, 0.45, 0.1])
    scores = -np.sort(-rng.random((b, n)), 1)
    semantic = rng.integers(0, classes, (b, h, w))
    semantic[:, 0] = 255
    rule = PanopticMerge(score=0.3, overlap=float(rng.choice([0.25, 0.5])), stuff_area=int(rng.integers(0, 20)))
    t = torch.from_numpy
    out = rule(lambda d: t(masks)[:, d], t(labels), t(scores), t(semantic), things, classes)
    for i in range(b):
        ids, segments = slow_merge(masks[i], labels[i], scores[i], semantic[i], things, classes, rule)
        np.testing.assert_array_equal(out.ids[i].numpy(), ids)
        assert out.labels[i].tolist() == segments + [-1] * (out.labels.shape[1] - len(segments))
        assert (out.scores[i, len(segments) :] == 0).all() and (out.scores[i, : len(segments)] > 0).all()


def test_a_covered_instance_is_dropped_strictly_above_the_limit() -> None:
    masks = torch.zeros(1, 3, 4, 8, dtype=torch.bool)
    masks[0, 0, :, :4], masks[0, 1, :, 2:6], masks[0, 2, :, 1:4] = True, True, True
    out = PanopticMerge(stuff_area=1)(lambda d: masks[:, d], torch.tensor([[0, 0, 0]]), torch.tensor([[0.9, 0.8, 0.7]]),
                                      torch.ones(1, 4, 8).long(), (0,), 2)
    assert out.labels[0].tolist()[:4] == [0, 0, 1, -1]  # exactly half covered stays, wholly covered goes
    assert out.ids[0, 0].tolist() == [1, 1, 1, 1, 2, 2, 3, 3]
    with_score = PanopticMerge(stuff_area=1)(
        lambda d: masks[:, d], torch.tensor([[0, 0, 0]]), torch.tensor([[0.9, 0.4, 0.3]]), torch.ones(1, 4, 8).long(),
        (0,), 2, torch.full((1, 4, 8), 0.6)
    )
    assert with_score.scores[0, :2].tolist() == pytest.approx([0.9, 0.6])


def test_masks_are_placed_as_the_detector_places_them() -> None:
    """Boxes on whole pixels, smooth masks: the same pixels as `ops.masks.paste` up to its rounding to whole-pixel
    boxes."""
    boxes = torch.tensor([[[4.0, 6.0, 28.0, 30.0], [10.0, 2.0, 40.0, 20.0], [0.0, 0.0, 0.0, 0.0]]])
    ys, xs = torch.meshgrid(torch.linspace(-1, 1, 14), torch.linspace(-1, 1, 14), indexing="ij")
    masks = (1 - 0.8 * (ys**2 + xs**2)).clamp(0, 1).expand(1, 3, 14, 14)
    d = Detections(boxes, torch.ones(1, 3), torch.zeros(1, 3, dtype=torch.long), masks)
    want = paste(masks[0], boxes[0], (36, 44)) >= 0.5
    at = pasted(d, 36, 44)
    for i in range(2):
        got = at(i)[0]
        union, both = (got | want[i]).sum(), (got & want[i]).sum()
        assert both / union > 0.85
        ys, xs = torch.nonzero(got, as_tuple=True)
        centre = torch.stack([xs.float().mean() + 0.5, ys.float().mean() + 0.5])
        torch.testing.assert_close(centre, (boxes[0, i, :2] + boxes[0, i, 2:]) / 2, atol=0.3, rtol=0)
    assert not at(2).any()
    with pytest.raises(StemmaError, match="masks"):
        pasted(replace(d, masks=None), 36, 44)


# ---------------------------------------------------------------- targets from a panoptic map


def truth(seed: int, b: int = 2, s: int = 5, h: int = 10, w: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, s + 1, (b, h // 2, w // 2)).repeat(2, 1).repeat(2, 2)
    segments = rng.integers(0, 4, (b, s))
    segments[:, -1] = -1
    ids[ids == s] = 0
    return torch.from_numpy(ids), torch.from_numpy(segments)


@pytest.mark.parametrize("seed", range(4))
def test_targets_from_a_panoptic_map(seed: int) -> None:
    ids, segments = truth(seed)
    things = (2, 0)
    t = instances_of(ids, segments, things, 4)
    semantic = semantic_of(ids, segments)
    for i in range(len(ids)):
        np.testing.assert_array_equal(semantic[i].numpy(), to_semantic(ids[i].numpy(), segments[i].numpy()))
        masks, labels = to_instances(ids[i].numpy(), segments[i].numpy(), tuple(c in things for c in range(4)))
        here = masks.any((1, 2))
        ok = t.labels[i] >= 0
        assert [things[k] for k in t.labels[i][ok].tolist()] == labels[here].tolist()
        assert t.masks is not None
        np.testing.assert_array_equal(t.masks[i][ok].numpy(), masks[here])
        assert not t.masks[i][~ok].any() and (t.boxes[i][~ok] == 0).all()
        for mask, box in zip(masks[here], t.boxes[i][ok]):
            ys, xs = np.nonzero(mask)
            assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


# ---------------------------------------------------------------- the pair


CLASSES = Classes(("disc", "grass", "star", "sky"), things=(True, False, True, False))
INFO = Info("x", "panoptic", Classes(("disc", "star")), ("panoptic",), panoptic=CLASSES)


def test_things_come_from_the_data_and_must_fit() -> None:
    pair = panoptic_segmentation.prepare(panoptic_segmentation.spec("small"), INFO)
    assert pair.things == (0, 2)
    model = pair.build(4)
    assert model.instances.classes == 2 and model.semantic.classes == 4 and model.classes == 4
    with pytest.raises(StemmaError, match="'things'"):
        replace(pair, things=(0, 4)).build(4)


def test_the_pair_counts_as_its_halves() -> None:
    (fact,) = panoptic_segmentation.PAPER.facts
    with torch.device("meta"):
        count = [sum(p.numel() for p in m.parameters())
                 for m in (panoptic_segmentation.spec().build(133), mask_rcnn.spec().build(80), fcn.spec().build(133))]
    assert count[0] == count[1] + count[2] == fact.value


@pytest.mark.parametrize("preset", ["paper", "small"])
def test_both_parents_are_told(preset: str) -> None:
    for edge in panoptic_segmentation.PAPER.parents:
        assert check_edge(edge, panoptic_segmentation.PAPER, preset) == []


def test_the_pair_trains_on_a_panoptic_map_and_predicts_one() -> None:
    model = panoptic_segmentation.prepare(panoptic_segmentation.spec("small"), INFO).build(4)
    ids, segments = truth(1, h=64, w=64)
    size = torch.tensor([[64.0, 64.0], [64.0, 50.0]])
    empty = Targets(torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.long), panoptic=ids, segments=segments)
    batch = Batch(torch.rand(2, 3, 64, 64), empty, size, size, torch.arange(2))
    losses = model.loss(batch)
    assert "semantic_pixel" in losses and {k.split("_")[0] for k in losses} == {"instances", "semantic"}
    torch.stack(list(losses.values())).sum().backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    out = model.eval().predict(batch.images, size)
    assert out.ids.shape == (2, 64, 64) and (out.ids[1, :, 50:] == 0).all()
    metric = PanopticMetric(CLASSES)
    for i in range(2):
        none = np.zeros(0)
        sample = Sample(None, (64, 64), none.reshape(0, 4), none, none, none, panoptic=ids[i].numpy(),
                        segments=segments[i].numpy())
        metric.add(sample, {"panoptic": out.ids[i].numpy(), "segments": out.labels[i].numpy()})
    assert 0 <= metric.result()["PQ"] <= 1
    crowd = instances_of(ids, segments, (0, 2), 4, torch.ones_like(segments, dtype=torch.bool))
    assert not crowd.valid.any() and (crowd.labels >= 0).any()
    with pytest.raises(StemmaError, match="panoptic maps"):
        model.loss(replace(batch, targets=replace(empty, panoptic=None)))


def test_the_segmenter_learns_at_its_own_rates() -> None:
    net = panoptic_segmentation.spec("small").build(10)
    for group in groups_of(net, panoptic_segmentation.recipe()):
        for name in group["names"]:
            wanted = 0.02 if name.startswith("instances.") else 2e-4 if name.endswith(".bias") else 1e-4
            assert group["base_lr"] == pytest.approx(wanted), name
