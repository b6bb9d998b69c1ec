"""CornerNet: corner pooling, radii, heat maps, tags, pairing, soft-NMS, and what the net is made of."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import stemma
from stemma.core import paper as cards
from stemma.core.types import Detections, Targets
from stemma.ops import boxes as bx
from stemma.ops.corner import Side, corner_pool, corner_radii, corner_radius, peaks
from stemma.ops.nms import soft_nms
from stemma.papers.localization import cornernet
from stemma.parts.dense.corners import CornerHead, CornerRaw, CornerRule

CELLS = 16


@pytest.mark.parametrize("side", ["top", "left", "bottom", "right"])
@pytest.mark.oracle("reversed cumulative maximum of torch", "cornernet")
def test_corner_pooling_is_a_cumulative_maximum_from_the_far_end(side: Side) -> None:
    x = torch.randn(2, 3, 7, 11, requires_grad=True)
    axis = -2 if side in ("top", "bottom") else -1
    back = side in ("top", "left")
    y = x.flip(axis) if back else x
    want = y.cummax(axis).values
    want = want.flip(axis) if back else want
    got = corner_pool(x, side)
    assert torch.equal(got, want)
    weight = torch.randn_like(got)
    (one,) = torch.autograd.grad((got * weight).sum(), x, retain_graph=True)
    (two,) = torch.autograd.grad((want * weight).sum(), x)
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("side", ["top", "left", "bottom", "right"])
def test_the_steps_that_remember_who_won_say_the_same_and_equals_share_no_gradient(side: Side) -> None:
    x = torch.randn(2, 3, 9, 12).relu().requires_grad_()  # many equals, all at 0
    plain = corner_pool(x.detach(), side)
    got = corner_pool(x, side)
    assert torch.equal(got, plain)
    (grad,) = torch.autograd.grad(got, x, torch.ones_like(got))
    assert grad.sum() == got.numel() and torch.equal(grad, grad.round())  # each cell's gradient goes to one cell, whole
    assert (grad * x).sum().item() == pytest.approx(got.sum().item(), rel=1e-5)  # and that one holds its value


def test_fig_6_top_left_pooling_by_hand() -> None:
    x = torch.tensor([[2.0, 1.0, 3.0, 0.0, 2.0]])[None, None]
    assert corner_pool(x, "left").flatten().tolist() == [3, 3, 3, 2, 2]
    assert corner_pool(x, "right").flatten().tolist() == [2, 2, 3, 3, 3]
    assert corner_pool(x.transpose(2, 3), "top").flatten().tolist() == [3, 3, 3, 2, 2]


@pytest.mark.parametrize("overlap", [0.3, 0.5, 0.7])
def test_the_radius_is_the_least_of_three_that_each_give_the_overlap(overlap: float) -> None:
    h, w = torch.rand(50, dtype=torch.float64) * 60 + 4, torch.rand(50, dtype=torch.float64) * 60 + 4
    r = corner_radius(h, w, overlap)
    box = torch.stack([torch.zeros_like(h), torch.zeros_like(h), w, h], 1)
    off = r[:, None] * torch.tensor([[1.0, 1, 1, 1], [1, 1, -1, -1], [-1, -1, 1, 1]], dtype=torch.float64)[:, None]
    worst = torch.stack([bx.iou_each(box, box + o) for o in off]).amin(0)
    torch.testing.assert_close(worst, torch.full_like(worst, overlap))


@pytest.mark.parametrize("overlap", [0.3, 0.5, 0.7])
def test_each_radius_gives_the_overlap_in_its_own_way(overlap: float) -> None:
    """Both corners shifted, drawn in, pushed out: exact by itself, though the second is the least for every box."""
    h, w = torch.rand(50, dtype=torch.float64) * 60 + 4, torch.rand(50, dtype=torch.float64) * 60 + 4
    box = torch.stack([torch.zeros_like(h), torch.zeros_like(h), w, h], 1)
    for r, way in zip(corner_radii(h, w, overlap), ((1, 1, 1, 1), (1, 1, -1, -1), (-1, -1, 1, 1))):
        torch.testing.assert_close(bx.iou_each(box, box + r[:, None] * torch.tensor(way)), torch.full_like(h, overlap))
    assert torch.equal(corner_radius(h, w, overlap), corner_radii(h, w, overlap)[1])


def two_objects(stride: int = 4) -> Targets:
    boxes = torch.tensor([[[9.0, 6.0, 41.0, 30.0], [22.0, 13.0, 63.9, 64.0], [0.0, 0.0, 0.0, 0.0]]]).repeat(2, 1, 1)
    return Targets(boxes, torch.tensor([[1, 1, -1], [0, -1, -1]]))


def test_heat_is_a_bump_of_a_third_of_the_radius_around_each_corner() -> None:
    rule, t = CornerRule(), two_objects()
    want = rule.targets(t, 3, 4, (CELLS, CELLS))
    drawn = np.zeros((2, 2, 3, CELLS, CELLS))
    for b in range(2):
        for k in range(3):
            c = int(t.labels[b, k])
            if c < 0:
                continue
            x1, y1, x2, y2 = (t.boxes[b, k] / 4).tolist()
            w, h = int(np.ceil(x2 - x1)), int(np.ceil(y2 - y1))
            r = int(corner_radius(torch.tensor(float(h)), torch.tensor(float(w)), 0.3))
            for e, (x, y) in enumerate(((x1, y1), (x2, y2))):
                cx, cy = min(int(x), CELLS - 1), min(int(y), CELLS - 1)
                for j in range(CELLS):
                    for i in range(CELLS):
                        if abs(i - cx) <= r and abs(j - cy) <= r:
                            value = np.exp(-((i - cx) ** 2 + (j - cy) ** 2) / (2 * ((2 * r + 1) / 6) ** 2))
                            drawn[b, e, c, j, i] = max(drawn[b, e, c, j, i], value)
    np.testing.assert_allclose(want.heat, drawn, atol=1e-6)
    assert (want.heat == 1).sum() == 6
    cell = torch.stack([want.cell % CELLS, want.cell // CELLS], -1)
    ends = torch.stack([t.boxes[..., :2], t.boxes[..., 2:]], 1) / 4
    torch.testing.assert_close((cell + want.offset)[:, :, :1], ends[:, :, :1])


def a_raw(c: int = 3, b: int = 2) -> CornerRaw:
    leaf = lambda *s: torch.randn(*s, requires_grad=True)  # noqa: E731
    return CornerRaw([leaf(b, 2, c, CELLS, CELLS)], [leaf(b, 2, CELLS, CELLS)],
                     [leaf(b, 2, 2, CELLS, CELLS)], 4, (64, 64))


@pytest.mark.oracle("eq. 1 to 5 in loops", "cornernet")
def test_eq_1_to_5_written_out() -> None:
    rule, t, raw = CornerRule(), two_objects(), a_raw()
    want, got = rule.targets(t, 3, 4, (CELLS, CELLS)), rule.loss(raw, t, 3)
    p, y = raw.heat[0].detach().double().sigmoid(), want.heat.double()
    one = (1 - p) ** 2 * p.log()
    none = (1 - y) ** 4 * p**2 * (1 - p).log()
    focal = sum(float(-torch.where(y[:, e] == 1, one[:, e], none[:, e]).sum()) / 3 for e in range(2))
    pull = push = off = 0.0
    for b, n in enumerate((2, 1)):
        tags = [[float(raw.tag[0][b, e].detach().flatten()[want.cell[b, e, k]]) for e in range(2)] for k in range(n)]
        means = [sum(v) / 2 for v in tags]
        pull += sum((v - m) ** 2 for pair, m in zip(tags, means) for v in pair) / n / 2
        if n > 1:
            push += (sum(max(0, 1 - abs(a - c)) for i, a in enumerate(means) for j, c in enumerate(means) if i != j)
                     / (n * (n - 1)) / 2)
        for e in range(2):
            for k in range(n):
                o = raw.offset[0][b, e].detach().flatten(1)[:, want.cell[b, e, k]]
                off += float(F.smooth_l1_loss(o, want.offset[b, e, k], reduction="sum")) / 3
    for name, value in (("heat", focal), ("pull", 0.1 * pull), ("push", 0.1 * push), ("offset", off)):
        assert got[name].item() == pytest.approx(value, rel=1e-4), name


def test_equal_tags_pull_nothing_and_distant_means_push_nothing() -> None:
    rule, t, raw = CornerRule(), two_objects(), a_raw()
    raw.tag[0].data.fill_(0.3)
    said = rule.loss(raw, t, 3)
    # the first picture's two means are equal, the other has one
    assert said["pull"] == 0 and said["push"].item() == pytest.approx(0.1 * 1.0 / 2)
    want = rule.targets(t, 3, 4, (CELLS, CELLS))
    for e in range(2):
        raw.tag[0].data[0, e].view(-1)[want.cell[0, e, 1]] = 2.0
    assert rule.loss(raw, t, 3)["push"] == 0


def test_nothing_is_learned_inside_a_crowd() -> None:
    raw, t = a_raw(), two_objects()
    crowd = Targets(t.boxes, t.labels, crowd=torch.tensor([[False, True, False], [False, False, False]]))
    CornerRule().loss(raw, crowd, 3)["heat"].backward()
    grad = raw.heat[0].grad
    assert grad is not None and (grad[0, :, 0, 6:15, 8:15] == 0).all() and (grad[1, :, 0, 6:15, 8:15] != 0).all()


def perfect(t: Targets, c: int = 3) -> CornerRaw:
    """What a net that knows the truth would say; every object has a tag of its own."""
    rule = CornerRule()
    want = rule.targets(t, c, 4, (CELLS, CELLS))
    heat = (want.heat.clamp(1e-6, 1 - 1e-6)).logit()
    tag, offset = torch.zeros(2, 2, CELLS, CELLS), torch.zeros(2, 2, 2, CELLS, CELLS)
    for b in range(2):
        for k in range(3):
            for e in range(2):
                if t.labels[b, k] >= 0:
                    tag[b, e].view(-1)[want.cell[b, e, k]] = float(3 * k)
                    offset[b, e].view(2, -1)[:, want.cell[b, e, k]] = want.offset[b, e, k]
    return CornerRaw([heat], [tag], [offset], 4, (64, 64))


def test_pairs_of_a_perfect_answer_are_the_objects() -> None:
    t, rule = two_objects(), CornerRule()
    d = rule.settle(rule.pairs(perfect(t)), (64, 64))
    for b, n in enumerate((2, 1)):
        best = d.boxes[b, :n][d.boxes[b, :n, 0].argsort()]
        torch.testing.assert_close(best, t.boxes[b, :n][t.boxes[b, :n, 0].argsort()])
        assert (d.scores[b, :n] > 0.9).all() and d.labels[b, :n].tolist() == t.labels[b, :n].tolist()


def test_corners_with_distant_tags_of_other_classes_or_the_wrong_way_round_make_no_pair() -> None:
    raw = a_raw()
    rule = CornerRule(top=20)
    d = rule.pairs(raw)
    real = d.labels >= 0
    assert 0 < real.sum() < real.numel() and (d.boxes[real][:, 2:] > d.boxes[real][:, :2]).all()
    heat, tags = peaks(raw.heat[0].sigmoid()).detach(), raw.tag[0].detach()
    score, place = heat.flatten(2).topk(20)
    found = 0
    for b in range(2):
        for i in range(20):
            for j in range(20):
                (ci, pi), (cj, pj) = (divmod(int(place[b, e, k]), CELLS * CELLS) for e, k in ((0, i), (1, j)))
                at = lambda e, p, b=b: (torch.tensor([p % CELLS, p // CELLS])  # noqa: E731
                                        + raw.offset[0][b, e].flatten(1)[:, p].detach()) * 4
                near = abs(float(tags[b, 0].flatten()[pi] - tags[b, 1].flatten()[pj])) <= 0.5
                found += int(ci == cj and near and bool((at(1, pj) > at(0, pi)).all()))
    assert found == int(real.sum())


def slow_soft_nms(boxes: Tensor, scores: Tensor, labels: Tensor, keep: int, sigma: float) -> list[tuple[int, float]]:
    left = {i: float(s) for i, s in enumerate(scores) if labels[i] >= 0}
    out = []
    while left and len(out) < keep:
        best = max(left, key=lambda i: left[i])
        value = left.pop(best)
        if value <= 1e-3:
            break
        out.append((best, value))
        for i in left:
            if labels[i] == labels[best]:
                left[i] *= float(np.exp(-float(bx.iou_each(boxes[i], boxes[best])) ** 2 / sigma))
    return out


@pytest.mark.oracle("a greedy loop", "cornernet")
def test_soft_nms_is_the_greedy_one() -> None:
    corner = torch.rand(1, 60, 2) * 30
    boxes = torch.cat([corner, corner + 5 + torch.rand(1, 60, 2) * 25], -1)
    scores, labels = torch.rand(1, 60), torch.randint(-1, 3, (1, 60))
    at, value = soft_nms(boxes, scores, labels, keep=40)
    want = slow_soft_nms(boxes[0], scores[0], labels[0], 40, 0.5)
    real = at[0] >= 0
    assert at[0][real].tolist() == [i for i, _ in want]
    np.testing.assert_allclose(value[0][real], [v for _, v in want], rtol=1e-4)
    assert soft_nms(boxes[:, :3], scores[:, :3], labels[:, :3], keep=7)[0].shape == (1, 7)


def test_a_mirrored_picture_gives_mirrored_answers_and_flip_looks_at_both() -> None:
    torch.manual_seed(0)
    model: Any = stemma.build("cornernet", "small", classes=3).eval()
    images, seen = torch.rand(2, 3, 64, 96), []
    rule = model.spec.rule
    forward = model.forward
    model.forward = lambda x: seen.append(x) or forward(x)
    one = model.predict(images)
    both = stemma.build("cornernet", "small", classes=3, sets={"flip": True, "scales": (1.0, 0.5)}).eval()
    both.load_state_dict(model.state_dict())
    d = both.predict(images)
    assert isinstance(d, Detections) and d.boxes.shape == one.boxes.shape == (2, rule.keep, 4)
    assert ((d.boxes[..., 0::2] <= 96).all() and (d.boxes[..., 1::2] <= 64).all() and (d.boxes >= 0).all()
            and len(seen) == 1)
    twice: Any = both
    asked: list[Tensor] = []
    inner = twice.forward
    twice.forward = lambda x: asked.append(x) or inner(x)
    twice.predict(images)
    assert [tuple(x.shape[-2:]) for x in asked] == [(64, 96), (64, 96), (32, 48), (32, 48)]
    assert torch.equal(asked[1], images.flip(-1))


def test_without_pooling_the_corner_module_looks_at_its_cell() -> None:
    from stemma.core.part import In

    with_, without = (CornerHead(In((8,), (4,), 2), width=4, pool=p).eval() for p in (True, False))
    without.load_state_dict(with_.state_dict())
    x = torch.randn(1, 8, 12, 12)
    far = x.clone()
    far[..., 11, 2] += 9  # below the cells of column 2
    assert not torch.equal(with_(x)[0][0, 0, :, 0, 2], with_(far)[0][0, 0, :, 0, 2])
    assert torch.equal(without(x)[0][0, 0, :, 0, 2], without(far)[0][0, 0, :, 0, 2])


def test_embeddings_keep_their_precision_under_autocast() -> None:
    from stemma.core.part import In

    head, x = CornerHead(In((8,), (4,), 2), width=4), torch.randn(1, 8, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        heat, tag, offset = head(x)
    assert heat.dtype == offset.dtype == torch.bfloat16 and tag.dtype == torch.float32 and tag.shape == (1, 2, 6, 6)
    assert not torch.equal(tag, tag.bfloat16().float())
    tag.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in head.tag.parameters())


def test_sec_4_2_settings() -> None:
    """As the authors' CornerNet.json and models/CornerNet.py have them."""
    r, rule, spec = cornernet.recipe(), cornernet.spec().rule, cornernet.spec()
    assert ((r.optimizer, r.lr, r.batch, r.length, r.milestones, r.gamma, r.weight_decay)
            == ("adam", 2.5e-4, 49, "500000steps", (0.9,), 0.1, 0.0))
    assert ([round(1 / z, 3) for z in r.augment.zoom] == [0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3]
            and r.augment.window == (511,) and r.resize.divisor == 128)
    assert ((rule.overlap, rule.alpha, rule.beta, rule.pull, rule.push, rule.offset, rule.margin)
            == (0.3, 2, 4, 0.1, 0.1, 1, 1))
    assert ((rule.kernel, rule.top, rule.gap, rule.pre, rule.sigma, rule.keep) == (3, 100, 0.5, 1000, 0.5, 100)
            and spec.flip and spec.scales == (1.0,))


@pytest.mark.parametrize("fact", cornernet.PAPER.facts, ids=lambda f: f.what)
def test_published_counts(fact: cards.Fact) -> None:
    with torch.device("meta"):
        model: Any = stemma.build("cornernet", fact.variant or "paper", fact.classes)
    counted = model if fact.what == "parameters" else model.backbone.hourglasses
    assert sum(p.numel() for p in counted.parameters()) == fact.value


def test_all_stacks_are_trained_and_the_last_is_read() -> None:
    with torch.device("meta"):
        model: Any = stemma.build("cornernet", classes=80)
        raw = model.train()(torch.empty(1, 3, 511, 511))
        assert [tuple(h.shape) for h in raw.heat] == [(1, 2, 80, 128, 128)] * 2
        assert len(model.eval()(torch.empty(1, 3, 511, 511)).heat) == 1
    assert model.heads[0].heat[0][-1].bias is not None
    small: Any = stemma.build("cornernet", "small", classes=3)
    assert small.heads[0].heat[0][-1].bias.mean().item() == pytest.approx(-2.197, abs=1e-3)


def test_another_backbone_needs_one_map_which_the_pyramid_makes() -> None:
    with torch.device("meta"):
        model: Any = stemma.build("cornernet", "pyramid", 3, {"backbone": "tf_efficientnet_lite0"})
        assert model.stride == 4 and len(model.heads) == 1
        with pytest.raises(stemma.StemmaError, match="pyramid"):
            stemma.build("cornernet", "small", 3, {"backbone": "tf_efficientnet_lite0"})
