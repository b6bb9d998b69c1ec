"""MR-CNN: the ten regions, pooling with holes, maps from filled boxes, looking again, box voting,
its losses and phases."""
from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.ops as tv
from torch import Tensor

import stemma
from stemma.core.types import Batch, Detections, Targets
from stemma.ops import boxes as bx
from stemma.ops.region_max import RegionMax, cells
from stemma.ops.roi import roi_pool
from stemma.papers.localization import mr_cnn
from stemma.parts.dense.post import Again, PerClassNMS, Voting
from stemma.parts.regions.multi_region import TEN, MultiRegionHead, Region, SemanticMaps, filled
from stemma.parts.regions.regions import with_truth
from stemma.skeletons.multi_region import drawn


@functools.cache
def batch(images: int = 2) -> Batch:
    torch.manual_seed(3)
    low = torch.rand(images, 3, 2) * 60
    boxes = torch.cat([low, low + 20 + torch.rand(images, 3, 2) * 40], -1)
    near = boxes.repeat(1, 6, 1) + torch.randn(images, 18, 4) * 3
    corner = torch.rand(images, 20, 2) * 70
    given = torch.cat([near, torch.cat([corner, corner + 30], -1)], 1)
    size = torch.full((images, 2), 128.0)
    return Batch(torch.rand(images, 3, 128, 128), Targets(boxes, torch.randint(0, 4, (images, 3)), proposals=given),
                 size, size, torch.arange(images))


def net(preset: str = "small", **sets: Any) -> Any:
    torch.manual_seed(0)
    return stemma.build("mr-cnn", preset, 4, sets or None)


def test_published_counts() -> None:
    """Against the layers of the authors' deploy files, and the sum of their parts."""
    with torch.device("meta"):
        m = mr_cnn.spec().build(20)
    head = m.heads[0]
    count = lambda *ms: sum(p.numel() for x in ms for p in x.parameters())  # noqa: E731
    found = {"features of a box": head.classify.in_features,
             "parameters of the recognition": count(head.each, head.classify),
             "parameters of the regression": count(head.regress, head.deltas)}
    assert found == {f.what: f.value for f in mr_cnn.PAPER.facts}
    fc6, fc7 = 25_088 * 4_096 + 4_096, 4_096 * 4_096 + 4_096
    assert found["parameters of the recognition"] == 10 * (fc6 + fc7) + 41_472 * 2_048 + 2_048 + 43_008 * 20 + 20
    assert [m.bins for m in (head,)] == [7] and head.semantic_bins == 9


# ---------------------------------------------------------------- regions


def test_the_ten_regions_are_those_of_figure_3() -> None:
    box = torch.tensor([20.0, 40.0, 120.0, 100.0])  # 100 x 60 about (70, 70)
    found = [tuple(None if b is None else [round(v, 3) for v in b.tolist()] for b in region(box)) for region in TEN]
    assert found == [
        ([20, 40, 120, 100], None), ([20, 40, 70, 100], None), ([70, 40, 120, 100], None), ([20, 40, 120, 70], None),
        ([20, 70, 120, 100], None),
        ([45, 55, 95, 85], None), ([30, 46, 110, 94], [55, 61, 85, 79]), ([20, 40, 120, 100], [45, 55, 95, 85]),
        ([-5, 25, 145, 115], [30, 46, 110, 94]), ([-20, 16, 160, 124], [20, 40, 120, 100]),
    ]


def test_the_union_of_opposite_halves_is_the_box() -> None:
    torch.manual_seed(0)
    low = torch.rand(50, 2) * 50
    boxes = torch.cat([low, low + torch.rand(50, 2) * 40 + 1], 1)
    for a, b in (("left", "right"), ("up", "down")):
        one, two = Region(half=a)(boxes)[0], Region(half=b)(boxes)[0]
        hull = torch.cat([torch.minimum(one[:, :2], two[:, :2]), torch.maximum(one[:, 2:], two[:, 2:])], 1)
        torch.testing.assert_close(hull, boxes)
        torch.testing.assert_close(bx.area(one) + bx.area(two), bx.area(boxes), atol=1e-3, rtol=1e-5)


def holes() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    boxes = torch.tensor([[10.0, 10.0, 90.0, 100.0], [0.0, 0.0, 60.0, 60.0], [30.0, 40.0, 98.0, 122.0],
                          [50.0, 8.0, 70.0, 90.0]])[None].repeat(2, 1, 1)
    outer, hole = Region(0.5, 1.0)(boxes)
    assert hole is not None
    return torch.rand(2, 5, 16, 13), cells(outer, 8.0), cells(hole, 8.0)


@pytest.mark.parametrize("method", ["copies", "table"])
@pytest.mark.oracle("torchvision's roi_pool of a zeroed map", "mr_cnn", how="equal")
def test_a_region_with_a_hole_is_pooled_as_a_map_with_zeros_there(method: Any) -> None:
    """F.adaptive_max_pool2d over the region's crop with the inner rectangle set to 0."""
    x, outer, hole = holes()
    for size in (1, 3, 7):
        got = RegionMax(x).pool(outer, size, hole, method)
        for i in range(2):
            for j in range(4):
                y = x[i].clone()
                a, b, c, d = hole[i, j].tolist()
                y[:, b:d, a:c] = 0
                a, b, c, d = outer[i, j].tolist()
                assert torch.equal(got[i, j], F.adaptive_max_pool2d(y[:, b : min(d, 16), a : min(c, 13)], size))


def test_a_hole_as_large_as_the_region_leaves_nothing_and_none_leaves_roi_pool() -> None:
    x, outer, hole = holes()
    for method in ("copies", "table"):
        assert RegionMax(x).pool(outer, 7, outer, method).abs().max() == 0
        wide = torch.cat([outer[..., :2], outer[..., 2:] - 1], -1).float()
        assert torch.equal(RegionMax(x).pool(outer, 7, None, method),
                           roi_pool(x, wide, 7, 1.0))


def test_the_gradient_of_a_region_with_a_hole_is_that_of_the_zeroed_map() -> None:
    x, outer, hole = holes()
    slope, slopes = torch.randn(2, 4, 5, 4, 4), []
    for method in ("copies", "table"):
        y = x.clone().requires_grad_(True)
        out = RegionMax(y).pool(outer, 4, hole, method)
        (out * slope).sum().backward()
        assert y.grad is not None
        slopes.append(y.grad)
    torch.testing.assert_close(*slopes)


def test_the_modules_of_the_net_see_their_own_region_and_the_semantic_map_is_seen_wider() -> None:
    m, b = net().eval(), batch()
    head, xs, boxes = m.heads[0], m(b.images).levels, b.targets.proposals[:, :5]
    with torch.no_grad():
        seen = head.every(xs, boxes)
        assert len(seen) == 11 and head.classify.in_features == sum(s.shape[-1] for s in seen)
        outer, hole = TEN[9](boxes)
        by_hand = head.each[9](RegionMax(xs[0]).pool(cells(outer, 8.0), 4, cells(hole, 8.0)).flatten(2))
        wide = head.each[10](roi_pool(xs[1], Region(0.0, 1.5)(boxes)[0], 4, 8.0).flatten(2))
        assert torch.equal(seen[9], by_hand) and torch.equal(seen[10], wide)
        assert head.moves(xs, boxes).shape == (2, 5, 4, 4)


# ---------------------------------------------------------------- semantic maps


def test_boxes_are_filled_cell_by_cell_and_class_by_class() -> None:
    t = Targets(torch.tensor([[[0.0, 0.0, 16.0, 8.0], [8.0, 0.0, 32.0, 32.0], [0.0, 0.0, 32.0, 32.0]]]),
                torch.tensor([[0, 2, -1]]))
    covered, real = filled(t, 3, (4, 4), 8.0, torch.tensor([[32.0, 24.0]]))
    wanted = torch.zeros(1, 3, 4, 4, dtype=torch.bool)
    wanted[0, 0, 0, :2] = True
    wanted[0, 2, :, 1:] = True
    assert torch.equal(covered, wanted) and torch.equal(real[0], torch.tensor([True, True, True, False]).expand(4, 4))


def test_a_pool_without_stride_and_dilation_are_four_interleaved_passes() -> None:
    """Sec. 4.1's resolution: the authors shift the map by 0 and 1 cells each way, pool by 2, convolve,
    and interleave the four."""
    from stemma.core.part import In

    torch.manual_seed(0)
    maps = SemanticMaps(In((6,), (16,), 3), fc=8, width=5, dropout=0.0).eval()
    x = torch.rand(1, 6, 20, 24)
    with torch.no_grad():
        dense = maps.seen(x)
        padded = F.pad(x, (0, 1, 0, 1), mode="replicate")
        for i in range(2):
            for j in range(2):
                pooled = F.max_pool2d(padded[:, :, i : i + 20, j : j + 24], 2)
                one = F.relu(maps.fc7(F.relu(F.conv2d(pooled, maps.fc6.weight, maps.fc6.bias, padding=3))))
                torch.testing.assert_close(dense[:, :, i::2, j::2], one, atol=1e-5, rtol=1e-4)


# ---------------------------------------------------------------- looking again, voting


def candidates(count: int = 60) -> Detections:
    torch.manual_seed(2)
    low = torch.rand(1, count, 2) * 60
    boxes = torch.cat([low, low + 20 + torch.rand(1, count, 2) * 30], -1)
    return Detections(boxes, torch.rand(1, count), torch.randint(0, 3, (1, count)))


def stated(d: Detections, threshold: float, nms: float, most: int, overlap: float, add: float) -> list[np.ndarray]:
    """post_process_candidate_detections.m, restated: one class after another, NMS above a threshold, then every
    survivor's voters."""
    boxes, scores, labels = (v[0].double().numpy() for v in (d.boxes, torch.logit(d.scores, eps=1e-6), d.labels))
    found = []

    def ious(one: np.ndarray, many: np.ndarray) -> np.ndarray:
        side = (np.minimum(one[2:], many[:, 2:]) - np.maximum(one[:2], many[:, :2])).clip(0).prod(1)
        area = lambda b: (b[..., 2:] - b[..., :2]).prod(-1)  # noqa: E731
        return np.asarray(side / (area(one) + area(many) - side))

    for c in range(3):
        mine = labels == c
        b, s = boxes[mine], scores[mine]
        order = [k for k in np.argsort(-s, kind="stable") if s[k] > threshold]
        kept: list[int] = []
        for k in order:
            if all(ious(b[k], b[[j]])[0] <= nms for j in kept):
                kept.append(k)
        for k in kept[:most]:
            near = ious(b[k], b) >= overlap
            weight = np.finfo(float).eps + np.maximum(0, s[near] + add)
            found.append(np.concatenate([(b[near] * weight[:, None]).sum(0) / weight.sum(), [s[k], c]]))
    return found


@pytest.mark.oracle("the authors' loop, restated", "mr_cnn")
def test_box_voting_is_the_authors_post_processing() -> None:
    d = candidates()
    out = Voting(0.3, 0.2, 60)(d, None)  # type: ignore[arg-type]
    ours = {(round(float(torch.logit(s)), 4),
             int(c)): b for b, s, c in zip(out.boxes[0], out.scores[0], out.labels[0]) if c >= 0}
    theirs = stated(d, float(torch.logit(torch.tensor(0.2))), 0.3, 60, 0.5, 1.5)
    assert len(ours) == len(theirs) > 8
    for row in theirs:
        key = min(ours, key=lambda k: abs(k[0] - row[4]) + 10 * (k[1] != int(row[5])))
        torch.testing.assert_close(ours[key].double(), torch.from_numpy(row[:4]), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("by", ["score", "margin"])
def test_a_box_without_neighbours_stays_and_neighbours_draw_it_by_their_weight(by: Any) -> None:
    """Sec. 5: b' = sum w b / sum w over the boxes of its class that overlap it by one half."""
    boxes = torch.tensor([[[0.0, 0.0, 10.0, 10.0], [2.0, 0.0, 12.0, 10.0], [50.0, 50.0, 60.0, 60.0],
                           [1.0, 0.0, 11.0, 10.0]]])
    scores, labels = torch.tensor([[0.9, 0.6, 0.8, 0.7]]), torch.tensor([[0, 0, 0, 1]])
    out = Voting(0.3, 0.05, 10, by=by)(Detections(boxes, scores, labels), None)  # type: ignore[arg-type]
    w = scores[0, :2] if by == "score" else torch.logit(scores[0, :2]) + 1.5
    assert out.labels[0].tolist() == [0, 0, 1] + [-1] * 7
    torch.testing.assert_close(out.boxes[0, 0], (w[:, None] * boxes[0, :2]).sum(0) / w.sum())
    torch.testing.assert_close(out.boxes[0, 1:3], boxes[0, 2:])
    plain = PerClassNMS(0.3, 0.05, 10)(Detections(boxes, scores, labels), None)  # type: ignore[arg-type]
    assert torch.equal(plain.scores, out.scores) and torch.equal(plain.labels, out.labels)


def test_an_overlap_of_just_the_threshold_votes() -> None:
    """Sec. 5: by .5 or more; a hundredth of a pixel less does not."""
    for width in (2.0, 1.98):
        boxes = torch.tensor([[[0.0, 0.0, 4.0, 1.0], [0.0, 0.0, width, 1.0]]])
        d = Detections(boxes, torch.tensor([[0.9, 0.6]]), torch.zeros(1, 2, dtype=torch.long))
        out = Voting(0.3, 0.05, 10, by="score")(d, None)  # type: ignore[arg-type]
        w = torch.tensor([0.9, 0.6])
        want = float((w * boxes[0, :, 2]).sum() / w.sum()) if width == 2.0 else 4.0
        assert out.boxes[0, 0, 2].item() == pytest.approx(want, abs=1e-5) and out.labels[0, 1] == -1


def test_looking_again_takes_as_many_of_a_class_as_are_asked() -> None:
    """Of three apart the best two, of another class its one."""
    at = 20.0 * torch.arange(4)[:, None]
    boxes = torch.cat([at, at, at + 10, at + 10], 1)[None]
    d = Detections(boxes, torch.tensor([[0.9, 0.8, 0.7, 0.6]]), torch.tensor([[0, 0, 0, 1]]))
    out = Again(1, score=0.3, iou=0.95, each=2, keep=10)(d, lambda b: (torch.ones(*b.shape[:2], 2), b[:, :, None]))
    assert out.labels[0, :4].tolist() == [0, 0, -1, 1] and out.scores[0, 2] == 0


def test_looking_again_keeps_every_iteration_and_each_box_its_class() -> None:
    """Sec. 5: B = the union over the iterations; the second scores what the first made, and moves it again."""
    d = candidates(30)
    looked: list[Tensor] = []

    def look(at: Tensor) -> tuple[Tensor, Tensor]:
        looked.append(at)
        scores = torch.stack([at[..., 0] / 200, at[..., 1] / 200, at[..., 2] / 200], -1)
        return scores, at[:, :, None] + torch.tensor([1.0, 2.0, 3.0])[:, None]

    out = Again(2, score=0.3, iou=0.95, each=5, keep=40)(d, look)
    n = min(40, 30)
    first, second, third = (out.take(torch.arange(k * n, k * n + n)[None]) for k in range(3))
    assert (out.boxes.shape[1] == 3 * n and torch.equal(first.labels, second.labels)
            and torch.equal(first.labels, third.labels))
    live = first.labels[0] >= 0
    assert (first.scores[0][live] > 0.3).all() and torch.bincount(first.labels[0][live]).max() <= 5
    c = first.labels[0][live]
    torch.testing.assert_close(second.boxes[0][live], first.boxes[0][live] + (1.0 + c)[:, None])
    torch.testing.assert_close(third.boxes[0][live], first.boxes[0][live] + 2 * (1.0 + c)[:, None])
    torch.testing.assert_close(second.scores[0][live], first.boxes[0][live].gather(1, c[:, None])[:, 0] / 200)
    assert len(looked) == 2 and torch.equal(looked[0], first.boxes)


def test_near_duplicates_are_dropped_before_boxes_move() -> None:
    """demo_object_detection_with_iterative_loc.m: proposals are pruned by class at an IoU of .95 and a margin of -2.5,
    and what is left is regressed."""
    first = mr_cnn.spec().first
    assert first is not None and first.iou == 0.95 and first.score == pytest.approx(1 / (1 + np.exp(2.5)), abs=1e-4)
    m = replace(mr_cnn.spec("small"), first=replace(first, score=0.0), post=(PerClassNMS(1.0, 0.0, 200),)).build(4).eval()
    m.head.deltas.bias.data.view(-1, 4)[:, 0] = 2.0  # every box goes the same way, wide ones farther
    images, low = torch.rand(1, 3, 128, 128), torch.rand(1, 8, 2) * 30
    given = torch.cat([low, low + 30], -1)
    given = torch.cat([given, given + torch.tensor([0.0, 0.0, 0.5, 0.5])], 1)
    with torch.no_grad():
        d = m.predict(images, proposals=given)
        raw = m(images)
        scores, moved = m.by_class(0, m.prepared(raw.levels)[0], given, torch.tensor([[128.0, 128.0]]))
    for c in range(4):
        kept, mine = tv.nms(given[0], scores[0, :, c], 0.95), d.labels[0] == c
        assert len(kept) == int(mine.sum()) == 8
        torch.testing.assert_close(d.boxes[0][mine], moved[0, kept, c])
        torch.testing.assert_close(d.scores[0][mine], scores[0, kept, c])


def test_the_steps_serve_other_systems() -> None:
    """Iterative localisation and voting after Fast R-CNN and Faster R-CNN."""
    from stemma.papers.localization import fast_rcnn, faster_rcnn

    for paper, more in ((fast_rcnn, {"proposals": batch().targets.proposals}), (faster_rcnn, {})):
        torch.manual_seed(0)
        m = replace(paper.spec("small"), post=(Again(score=0.02, keep=60),
                                               Voting(0.3, 0.02, 20, by="score"))).build(4).eval()
        d = m.predict(batch().images, batch().sizes, **more)
        assert d.boxes.shape == (2, 20, 4) and (d.scores.diff(dim=1) <= 0).all() and (d.labels >= 0).any()


# ---------------------------------------------------------------- losses and phases


def test_each_loss_teaches_its_own_layers() -> None:
    """Sec. 3 to 5: maps, regions and regression learn apart, and the SVMs by no gradient."""
    m = net().train()
    reached = {}
    for name in ("semantic", "regions", "box"):
        m.zero_grad(set_to_none=True)
        m.loss(batch())[name].backward()
        reached[name] = {n.split(".")[0] if not n.startswith("heads") else n.split(".")[2]
                         for n, p in m.named_parameters() if p.grad is not None}
    assert reached == {"semantic": {"backbone", "neck"}, "regions": {"backbone", "each", "soft"},
                       "box": {"backbone", "regress", "deltas"}}
    assert {n for n, p in m.named_parameters() if not p.requires_grad} == {"heads.0.classify.weight",
                                                                           "heads.0.classify.bias"}


def test_the_regression_learns_from_what_overlaps_an_object_alone() -> None:
    """train_net_bbox_reg.m draws regions that overlap an object by .4 and no others: with few of them the loss is their
    mean."""
    b, (assign, sample) = batch(), mr_cnn.spec().moves
    m = replace(mr_cnn.spec("small"), moves=(assign, sample)).build(4).eval()
    r = drawn(replace(m.spec.stages[0], assign=assign, sample=sample), with_truth(b.targets.proposals, b.targets),
              b.targets, 4)
    iou = bx.iou(r.boxes, b.targets.boxes).amax(2)
    assert 12 < int(r.weight.sum()) < 2 * 23 and (iou[r.weight > 0] >= 0.4).all()
    assert torch.equal(r.weight, r.positive)


def test_phases_train_one_thing_after_another() -> None:
    from stemma.engine.running.optim import set_awake

    for preset, wanted in (("paper", [{"semantic"}, {"regions"}, {"box"}]),
                           ("small", [{"semantic", "regions"}, {"box"}])):
        m = net()
        frozen = {n for n, _ in m.named_parameters() if n.startswith("backbone")} if preset == "paper" else set()
        phases = mr_cnn.recipe(preset).phases
        for phase, losses in zip(phases, wanted):
            set_awake(m, phase.train, frozen)
            assert set(m.loss(batch())) == losses
        assert len(phases) == len(wanted) + 1 and phases[-1].run == "fit" and not any(p.run for p in phases[:-1])
        for p in m.parameters():
            p.requires_grad_(False)
        assert set(m.loss(batch())) == {"semantic", "regions", "box"}  # looked at, nothing learns


def test_layers_learn_at_the_rates_of_their_solvers() -> None:
    """The authors' prototxts: biases twice as fast as their weights, the layer on the semantic region a hundredth as
    fast as the others, the regression from ten times the rate; no decay of its biases and of last layers'."""
    from stemma.engine.running.optim import groups_of

    recipe = mr_cnn.recipe()
    with torch.device("meta"):
        groups = groups_of(mr_cnn.spec().build(20), recipe)
    rate = {n: g["base_lr"] / recipe.lr for g in groups for n in g["names"]}
    free = {n for g in groups for n in g["names"] if not g["weight_decay"]}
    assert free == {f"heads.0.{n}.bias" for n in ("deltas", "each.10.0", *(f"soft.{i}" for i in range(11)))}
    for layer, k in (("each.0.0", 1), ("each.9.3", 1), ("each.10.0", 0.01), ("soft.10", 1), ("regress.0", 10),
                     ("deltas", 10)):
        assert rate[f"heads.0.{layer}.weight"] == pytest.approx(k)
        assert rate[f"heads.0.{layer}.bias"] == pytest.approx(2 * k)


@pytest.mark.oracle("scikit-learn's LinearSVC", "mr_cnn")
def test_the_svms_are_scikit_learns_on_the_features_of_all_regions() -> None:
    """Sec. 3.2: objects against what overlaps none of their class by .3, hinge, C = .001, positives twice."""
    from sklearn.svm import LinearSVC

    m, b = net(**{"svm.grow": 100_000, "svm.hard": -1e9}).eval(), batch()
    with torch.no_grad():
        m.fit(lambda: iter([b]), lambda line: None)
        xs, boxes, t = m.prepare(b.images), with_truth(b.targets.proposals, b.targets), b.targets
        x = m.scales[1] * torch.cat(m.head.every(xs, boxes), -1)
        margin = m.head.classify(x / m.scales[1])
    iou = bx.iou(boxes, t.boxes)
    checked = 0
    for c in t.labels.unique().tolist():
        best = iou.masked_fill((t.labels != c)[:, None], 0.0).amax(2)
        place = torch.arange(boxes.shape[1]).expand_as(best)
        yes = (place < 3) & torch.cat([t.labels == c, torch.zeros(2, boxes.shape[1] - 3, dtype=torch.bool)], 1)
        used = yes | (best < 0.3)
        theirs = LinearSVC(loss="hinge", C=1e-3, class_weight={1: 2.0}, intercept_scaling=10.0, tol=1e-8,
                           max_iter=1_000_000)
        theirs.fit(x[used].numpy().astype(np.float64), np.where(yes[used], 1, -1))
        ours = margin[used][:, c].numpy()
        np.testing.assert_allclose(ours, theirs.decision_function(x[used].numpy()), rtol=0, atol=0.02)
        checked += 1
    assert checked >= 2 and m.head.fitted == 1


def test_until_the_svms_are_fitted_the_regions_softmaxes_score() -> None:
    m, b = net().eval(), batch()
    head, boxes = m.head, b.targets.proposals
    with torch.no_grad():
        xs = m.prepare(b.images)
        share = (torch.stack([soft(f).softmax(-1)[..., :-1] for soft, f in zip(head.soft, head.every(xs, boxes))])
                 .mean(0))
        torch.testing.assert_close(head(xs, boxes)[0].sigmoid(), share, atol=1e-5, rtol=1e-4)
        head.fitted.fill_(1.0)
        torch.testing.assert_close(head(xs, boxes)[0], head.classify(torch.cat(head.every(xs, boxes), -1)))


def test_the_joint_net_learns_from_one_softmax_through_everything() -> None:
    spec = mr_cnn.spec("joint")
    assert spec.svm is None and spec.stages[0].cls.extra == 1 and mr_cnn.recipe("joint").phases == ()
    small = mr_cnn.spec("small")
    m = replace(small, svm=None, stages=(replace(small.stages[0], cls=spec.stages[0].cls),),
                post=spec.post).build(4).train()
    losses = m.loss(batch())
    torch.stack(list(losses.values())).sum().backward()
    assert set(losses) == {"semantic", "regions", "box"} and all(p.grad is not None for p in m.parameters())
    d = m.eval().predict(batch().images, batch().sizes, batch().targets.proposals)
    assert d.boxes.shape == (2, 100, 4) and (d.scores.diff(dim=1) <= 0).all()


def test_one_maximum_a_filter_is_a_setting() -> None:
    """The reading list's sentence: the largest activation of each filter in a region."""
    m = net(**{"stages.0.head.bins": 1})
    assert isinstance(m.heads[0], MultiRegionHead) and m.heads[0].each[0][0].in_features == 64
    assert torch.isfinite(torch.stack(list(m.loss(batch()).values()))).all()
