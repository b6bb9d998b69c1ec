"""DenseBox: counts, targets painted pixel by pixel, distances, what is mined, landmarks, and what a pyramid finds."""
from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxLinearCoder

import stemma
from learning import Learned
from stemma.core.part import In
from stemma.core.types import Batch, Info, Points, StemmaError, Targets
from stemma.data.loader import Loader
from stemma.data.scenes import Scenes
from stemma.ops import boxes as bx
from stemma.papers.localization import densebox
from stemma.parts.backbones.vgg import VGGLevels
from stemma.parts.dense.coders import Distances
from stemma.parts.dense.sample import TopShare
from stemma.parts.windows.distances import DistanceRule, Patches, joined
from stemma.parts.windows.patches import cut
from stemma.parts.windows.windows import WindowsRaw

torch.set_num_threads(1)


def raw_of(h: int, w: int, said: Tensor | None = None, codes: Tensor | None = None, count: int = 1,
           stride: float = 4.0, side: float = 50.0) -> WindowsRaw:
    """One look at a map of h x w cells of `stride` pixels."""
    y, x = ((torch.arange(n) + 0.5) * stride for n in (h, w))
    middle = torch.stack([x.expand(h, w), y[:, None].expand(h, w)], -1).reshape(-1, 2)
    windows = torch.cat([middle - side / 2, middle + side / 2], 1)
    return WindowsRaw(torch.zeros(count, h * w, 1) if said is None else said, codes, windows, ((h, w),), (False,),
                      (int(h * stride), int(w * stride)))


def objects(boxes: list[list[float]], labels: list[int] | None = None, crowd: list[bool] | None = None) -> Targets:
    n = len(boxes)
    return Targets(torch.tensor([boxes]), torch.tensor([labels or [0] * n]),
                   None if crowd is None else torch.tensor([crowd]))


# ---------------------------------------------------------------- counts


def test_published_counts() -> None:
    with torch.device("meta"):
        model = densebox.spec("paper").build(1)
        raw = model.look(torch.empty(1, 3, 240, 240), border=0)
    facts = {f.what: f.value for f in densebox.PAPER.facts}
    assert sum(p.numel() for p in model.parameters()) == facts["parameters"]
    assert sum(p.numel() for p in model.backbone.parameters()) == facts["parameters of VGG19 to conv4_4"]
    assert raw.passes == ((60, 60),) and 60 * 60 == facts["cells of a patch"]
    assert raw.codes is not None and raw.logits.shape[2] + raw.codes.shape[2] == facts["numbers of a cell"]
    assert model.grid.stride == 4 and densebox.spec("paper").rule.side == 240


@pytest.mark.oracle("torchvision's vgg19", "densebox")
def test_the_trunk_is_torchvisions_vgg19_with_its_names() -> None:
    torch.manual_seed(0)
    theirs, ours = torchvision.models.vgg19(weights=None).features[:27], VGGLevels(In((3,), (1,)), depth=19, levels=(0, 1))
    assert not ours.load_state_dict({f"features.{k}": v for k, v in theirs.state_dict().items()}).missing_keys
    x = torch.randn(1, 3, 32, 48)
    low, high = ours(x)
    torch.testing.assert_close(low, theirs[:18](x))
    torch.testing.assert_close(high, theirs(x))
    assert ours.out == In((256, 512), (4, 8))


def test_coarser_levels_are_brought_to_the_finest_bilinearly() -> None:
    conv = nn.Conv2d(2, 1, 1)
    nn.init.ones_(conv.weight)
    nn.init.zeros_(conv.bias)
    x = torch.arange(4.0).view(1, 1, 2, 2)
    line = torch.tensor([0.0, 0.25, 0.75, 1.0])  # where 0, 1 lie under four cells of half the side
    torch.testing.assert_close(joined([torch.ones(1, 1, 4, 4), x], conv)[0, 0], 1 + line + 2 * line[:, None])


def test_the_gradient_of_joined_levels_is_that_of_plain_enlarging() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(14, 7, 1).double()
    xs = [torch.randn(2, c, *s, dtype=torch.float64, requires_grad=True)
          for c, s in ((3, (9, 8)), (5, (5, 4)), (6, (3, 2)))]
    plain = conv(torch.cat([F.interpolate(x, size=(9, 8), mode="bilinear", align_corners=False) for x in xs], 1))
    mine = joined(xs, conv)
    torch.testing.assert_close(mine, plain)
    every, slope = [*xs, *conv.parameters()], torch.randn_like(plain)
    for a, b in zip(torch.autograd.grad(mine, every, slope), torch.autograd.grad(plain, every, slope)):
        torch.testing.assert_close(a, b)


# ---------------------------------------------------------------- targets


def painted_slowly(boxes: Tensor, ok: list[bool], h: int, w: int, stride: float, circle: float,
                   ring: int) -> tuple[list[list[int]], list[list[int]]]:
    """(owner or -1, state 1, 0, -1) of every cell, one after another."""
    owner = [[-1] * w for _ in range(h)]
    state = [[0] * w for _ in range(h)]
    for j in range(h):
        for i in range(w):
            px, py, best = (i + 0.5) * stride, (j + 0.5) * stride, math.inf
            for k, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
                if not ok[k]:
                    continue
                d = math.hypot(px - (x1 + x2) / 2, py - (y1 + y2) / 2)
                if d <= circle * (y2 - y1) and d < best:
                    best, owner[j][i] = d, k
            state[j][i] = int(owner[j][i] >= 0)
    for j in range(h):
        for i in range(w):
            near = [(a, b) for a in range(j - ring, j + ring + 1) for b in range(i - ring, i + ring + 1)
                    if 0 <= a < h and 0 <= b < w]
            if state[j][i] == 0 and any(owner[a][b] >= 0 for a, b in near):
                state[j][i] = -1
    return owner, state


@pytest.mark.oracle("a painter, pixel by pixel", "densebox", how="the same cells")
def test_a_patch_is_painted_as_pixel_by_pixel() -> None:
    """Sec. 3.2: circles of .3 of the height, a grey ring of two cells, other scales are background."""
    torch.manual_seed(0)
    rule, seen = DistanceRule(), set[int]()
    for _ in range(8):
        height = 30 + 40 * torch.rand(5)
        centre = 30 + 180 * torch.rand(5, 2)
        boxes = bx.from_centre(centre, torch.stack([height * (0.5 + torch.rand(5)), height], 1))
        t = objects(boxes.tolist(), [0, 0, 0, -1, 0])
        ok = [40 <= float(height[k]) <= 62.5 and k != 3 for k in range(5)]
        got = rule.paint(t, raw_of(60, 60), torch.tensor([[0.0, 0, 240, 240]]))
        owner, state = painted_slowly(boxes, ok, 60, 60, 4.0, 0.3, 2)
        ours = torch.where(got.positive, got.owner, -1).view(60, 60)
        assert ours.tolist() == owner
        assert torch.where(got.asked, got.positive.long(), -1).view(60, 60).tolist() == state
        seen |= {v for row in state for v in row}
    assert seen == {-1, 0, 1}


def test_what_lies_beyond_the_picture_or_in_a_crowd_is_not_asked() -> None:
    t = objects([[95.0, 95.0, 145.0, 145.0], [0.0, 0.0, 60.0, 60.0]], crowd=[False, True])
    got = DistanceRule().paint(t, raw_of(60, 60), torch.tensor([[0.0, 0, 200, 240]]))
    asked = got.asked.view(60, 60)
    assert not asked[:, 50:].any() and not asked[:15, :15].any() and asked[40:, :50].all()
    assert got.positive.sum() > 20 and (got.owner[got.positive] == 0).all()


@pytest.mark.oracle("torchvision's BoxLinearCoder", "densebox")
def test_distances_are_fcoss_with_the_last_two_negative() -> None:
    torch.manual_seed(0)
    ref = bx.from_centre(torch.rand(40, 2) * 200, torch.full((40, 2), 50.0))
    box = bx.from_centre(torch.rand(40, 2) * 200, 10 + 80 * torch.rand(40, 2))
    theirs = BoxLinearCoder(normalize_by_size=True).encode(ref, box)
    sign = torch.tensor([1.0, 1, -1, -1])
    torch.testing.assert_close(Distances().encode(ref, box), theirs * sign)
    torch.testing.assert_close(Distances().decode(ref, Distances().encode(ref, box)), box)


def test_decoding_what_was_encoded_gives_the_box_at_every_positive_pixel() -> None:
    t, rule = objects([[90.0, 95.0, 150.0, 145.0], [20.0, 30.0, 70.0, 75.0]]), DistanceRule()
    raw = raw_of(60, 60)
    want = rule.paint(t, raw, torch.tensor([[0.0, 0, 240, 240]]))
    truth = bx.take(t.boxes, want.owner)
    code = rule.coder.encode(raw.references(), truth)
    torch.testing.assert_close(rule.coder.decode(raw.references(), code)[want.positive], truth[want.positive])
    inner = code[want.positive]  # the middle of a positive cell lies in its box
    assert (inner[:, :2] > 0).all() and (inner[:, 2:] < 0).all() and set(want.owner[want.positive].tolist()) == {0, 1}


# ---------------------------------------------------------------- mining


def test_as_many_negatives_as_positives_half_of_them_hard() -> None:
    """Sec. 3.3: of 10,000 cells with 40 positives, 20 of the 100 worst and 20 of the others."""
    torch.manual_seed(0)
    state = torch.zeros(2, 5000, dtype=torch.long)
    state[0, :40], state[1, :30] = 1, -1
    loss = torch.rand(2, 5000)
    used = TopShare()(state, loss)
    free = state == 0
    line = loss[free].topk(math.ceil(0.01 * int(free.sum()))).values[-1]
    assert used[state == 1].all() and not used[state == -1].any()
    assert (used & free & (loss >= line)).sum() == 20 and (used & free & (loss < line)).sum() == 20


def test_without_a_positive_a_few_negatives_are_used() -> None:
    torch.manual_seed(0)
    used = TopShare(least=10)(torch.zeros(2, 100, dtype=torch.long), torch.rand(2, 100))
    assert used.sum() == 10  # two of the worst hundredth, eight others


def batch_of(model: Any, count: int = 2) -> Batch:
    return next(iter(Loader(Scenes(count, size=128, seed=3), model.recipe, train=False, batch=count,
                            mean=model.spec.preprocess.mean, needs=frozenset({"boxes", "keypoints"})).epoch(0)))


@pytest.mark.oracle("the losses in loops", "densebox")
def test_the_losses_written_out() -> None:
    """L2 of scores and of distances / the standard size, lambda 3, divided by the cells that are used."""
    model = stemma.build("densebox", "small", info=Scenes(1).info).eval()
    batch, rule = batch_of(model), model.rule
    torch.manual_seed(5)
    with torch.no_grad():
        losses = model.loss(batch)
    torch.manual_seed(5)
    around, _, there = rule.sample.positive(batch.targets)
    anywhere, found = rule.sample.negative(batch.targets, batch.sizes, (32.0, 64 / 0.35))
    assert there.all() and found.all()
    windows = torch.cat([around, anywhere], 1)
    with torch.no_grad():
        raw = model.look(cut(batch.images, windows, 64, torch.tensor(model.spec.preprocess.mean)), border=0)
    on, picture = rule.onto(batch.targets, batch.sizes, windows)
    want = rule.paint(on, raw, picture)
    cost = torch.zeros(12, 256)
    box = torch.zeros(12, 256)
    for m in range(12):
        for a in range(256):
            k = int(want.owner[m, a])
            for c in range(8):
                y = float(want.positive[m, a] and int(on.labels[m, k]) == c)
                cost[m, a] += (float(raw.logits[m, a, c]) - y) ** 2
            if want.positive[m, a]:
                cx, cy = ((raw.windows[a, i] + raw.windows[a, i + 2]) / 2 for i in (0, 1))
                x1, y1, x2, y2 = on.boxes[m, k]
                goal = [(cx - x1) / 24, (cy - y1) / 24, (cx - x2) / 24, (cy - y2) / 24]
                box[m, a] = sum((float(raw.codes[m, a, i]) - float(goal[i])) ** 2 for i in range(4))
    used = rule.mine(torch.where(want.asked, want.positive.long(), -1), cost)
    assert (want.positive & used).sum() == want.positive.sum() > 100
    torch.testing.assert_close(losses["cls"], cost[used].sum() / used.sum(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(losses["box"], 3 * box[used].sum() / used.sum(), rtol=1e-4, atol=1e-6)


def test_cells_of_the_ring_are_never_used() -> None:
    rule, t = DistanceRule(mine=TopShare(0.5)), objects([[95.0, 95.0, 145.0, 145.0]])
    want = rule.paint(t, raw_of(60, 60), torch.tensor([[0.0, 0, 240, 240]]))
    loss = torch.where(want.asked, 0.0, 1.0)  # what is not asked would be the hardest
    used = rule.mine(torch.where(want.asked, want.positive.long(), -1), loss)
    assert not (used & ~want.asked).any() and used.sum() == 2 * want.positive.sum() and not want.asked.all()


def test_a_patch_shows_its_object_at_the_standard_size() -> None:
    """Sec. 3.2: in patches of 240 the height is 50, within a factor of 1.25."""
    torch.manual_seed(0)
    rule = DistanceRule()
    t = objects([[100.0, 100.0, 130.0, 180.0], [300.0, 40.0, 340.0, 60.0]])
    sample = replace(rule.sample, positives=200)
    windows, owner, ok = sample.positive(t)
    on, _ = rule.onto(t, torch.tensor([[400.0, 400.0]]), windows)
    mine = bx.take(on.boxes, owner[0][:, None])[:, 0]
    height = mine[:, 3] - mine[:, 1]
    assert ok.all() and 39.9 < height.min() < 42 and 60 < height.max() < 62.6
    off = bx.centre_size(mine)[0] - 120
    assert 20 < off.abs().max() <= 25.1
    longer = Patches(fill=50 / 240, size="longer")
    assert longer.sides(t.boxes)[0].tolist() == [80 * 4.8, 40 * 4.8]
    torch.testing.assert_close(sample.sides(t.boxes)[0], torch.tensor([80 * 4.8, 20 * 4.8]))


# ---------------------------------------------------------------- landmarks


def test_landmarks_are_cells_within_one_of_a_seen_point() -> None:
    t = replace(objects([[95.0, 95.0, 145.0, 145.0], [10.0, 10.0, 90.0, 90.0]]),
                keypoints=torch.tensor([[[[120.0, 120, 2], [101, 133, 0]], [[30, 30, 2], [60, 60, 2]]]]))
    spots = DistanceRule(points=2).spots(t, raw_of(60, 60)).view(60, 60, 2)
    assert not spots[..., 1].any()  # one is not labelled, the other's object is too large for this look
    j, i = spots[..., 0].nonzero().T
    assert set(zip(j.tolist(), i.tolist())) == {(29, 29), (29, 30), (30, 29), (30, 30)}


def test_landmarks_refine_the_score_and_any_number_of_them_is_taken() -> None:
    info = Scenes(1).info
    three = Info("faces", "scenes", info.classes, info.kinds, points=Points(("left", "right", "nose")))
    assert densebox.prepare(densebox.spec("landmarks"), three).rule.points == 3
    model = stemma.build("densebox", "landmarks-small", info=info)
    assert model.rule.points == 5 and model.rule.needs == {"keypoints"}
    batch = batch_of(model)
    losses = model.loss(batch)
    assert set(losses) == {"cls", "box", "point", "refine"}
    (grad,) = torch.autograd.grad(losses["refine"], model.head.landmarks[-1].weight, retain_graph=True)
    assert grad.abs().sum() > 0  # the refined score reads the landmarks
    (none,) = torch.autograd.grad(losses["cls"], model.head.landmarks[-1].weight, allow_unused=True)
    assert not none.any()
    with pytest.raises(StemmaError, match="keypoints"):
        model.loss(replace(batch, targets=replace(batch.targets, keypoints=None)))


# ---------------------------------------------------------------- reading


def test_a_perfect_map_of_a_pyramid_is_the_objects() -> None:
    """Two objects of sizes an octave apart, each said by the look at which it has the standard size."""
    spec = densebox.spec("small")
    model = replace(spec, scales=(1.0, 0.5)).build(1)
    t = objects([[20.0, 20.0, 44.0, 44.0], [60.0, 60.0, 108.0, 108.0]])
    with torch.no_grad():
        raw = model.look(torch.zeros(1, 3, 128, 128), (1.0, 0.5))
    said, codes = torch.zeros_like(raw.logits), torch.zeros(1, len(raw.windows), 4)
    first = 0
    for (h, w), scale in zip(raw.passes, (1.0, 0.5)):
        at = slice(first, first + h * w)
        look = replace(raw, logits=said[:, at], codes=codes[:, at], windows=raw.windows[at] * scale, passes=((h, w),))
        seen = replace(t, boxes=t.boxes * scale)
        want = model.rule.paint(seen, look, torch.tensor([[0.0, 0, 128, 128]]))
        said[:, at] = want.positive[..., None].float()
        codes[:, at] = model.rule.coder.encode(look.references(), bx.take(seen.boxes, want.owner))
        assert want.positive.sum() >= 9 and len(set(want.owner[want.positive].tolist())) == 1
        first += h * w
    (found,) = model.rule.predict(model, replace(raw, logits=said, codes=codes)).unpad()
    assert (found["scores"] == 1).all() and len(found["boxes"]) == 2
    torch.testing.assert_close(found["boxes"].sort(0).values, t.boxes[0])


@pytest.mark.whole
def test_small_learns(learned: Learned) -> None:
    """The score of cells that are positive, less that of others, on scenes it was trained on for a few steps."""
    info = Scenes(1).info
    model = stemma.build("densebox", "small", info=info).train()
    batch = batch_of(model, 4)

    def gap() -> float:
        model.eval()
        with torch.no_grad():
            d = model.predict(batch.images, batch.sizes)
        model.train()
        iou = bx.iou(d.boxes, batch.targets.boxes)
        same = d.labels[..., None] == batch.targets.labels[:, None]
        hit = ((iou > 0.5) & same & (batch.targets.labels >= 0)[:, None]).any(1)
        return float(hit.sum() / (batch.targets.labels >= 0).sum())

    before = gap()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    torch.manual_seed(0)
    for _ in range(60):
        optimizer.zero_grad()
        sum(model.loss(batch).values()).backward()
        optimizer.step()
    learned("recall at IoU .5", gap(), at_least=0.3, untrained=before)
