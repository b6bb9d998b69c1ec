"""DeepMask and weak localisation: counts, equations, oracles, what a batch teaches and what an answer says."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import stemma
from stemma.core.part import In, edit
from stemma.core.types import Batch, Detections, Sample, StemmaError, Targets
from stemma.data.loader import Loader
from stemma.data.scenes import Scenes
from stemma.engine.pictures.answers import to_file
from stemma.engine.running.schedule import factor
from stemma.metrics import Evaluator
from stemma.ops import boxes as bx
from stemma.papers.localization import deepmask, localization_for_free
from stemma.papers.localization.localization_for_free import PresenceRule
from stemma.parts.windows.aggregate import LogMeanExp, Max, Mean
from stemma.parts.windows.heads import MaskHead
from stemma.parts.windows.map_boxes import enclose, extent, inside
from stemma.parts.windows.patches import Canonical, around, cut
from stemma.skeletons.windows import WindowsModel

torch.set_num_threads(1)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def batch_of(data: Scenes, name: str, n: int = 4) -> Batch:
    model = stemma.build(name, preset="small", classes=8, info=data.info)
    needs = frozenset({"boxes", "masks", "image_labels"})
    return next(iter(Loader(data, model.recipe, train=False, batch=n, mean=model.spec.preprocess.mean, needs=needs)
                     .epoch(0)))


# ---------------------------------------------------------------- DeepMask: counts and equations


def test_deepmask_has_its_published_counts() -> None:
    with torch.device("meta"):
        model = deepmask.spec("paper").build(80)
        raw = model.look(torch.empty(1, 3, 224, 224), border=0)
        masks = model.head.masks(torch.empty(2, 512))
    facts = {f.what: f.value for f in deepmask.PAPER.facts}
    parts = [model.head.reduce, model.head.encode, model.head.decode]
    assert count(model) == facts["parameters"]
    assert sum(count(p) for p in parts) == facts["parameters of the mask head"]
    assert count(model.head.score) == facts["parameters of the score head"]
    assert count(model.backbone) == 9_220_480
    assert masks[0].numel() == facts["pixels of a mask"]
    assert raw.passes == ((1, 1),) and raw.codes is not None and raw.codes.shape == (1, 1, 512)
    assert model.grid.stride == 16


def test_both_published_layouts_see_one_window_in_one_patch() -> None:
    for preset, side in (("paper", 224), ("released", 160 + 2 * 16)):
        with torch.device("meta"):
            model = deepmask.spec(preset).build(80)
            assert model.look(torch.empty(1, 3, side, side), border=0).passes == ((1, 1),)
            assert model.look(torch.empty(1, 3, side + 16, side + 32), border=0).passes == ((2, 3),)


def test_two_linear_layers_are_one_of_low_rank() -> None:
    """Sec. 3.1: no ReLU between the layers of the mask, so that together they are a 3136 x (14 14 512) matrix of rank
    512 at most."""
    torch.manual_seed(0)
    head = MaskHead(In((6,), (16,), 1, logits=1), kernel=4, hidden=5, rank=7, side=6, widths=(4,),
                    dropout=0.0).double().eval()
    x = torch.randn(2, 6, 4, 4, dtype=torch.float64)
    flat = head.reduce(x).flatten(1)
    whole = head.decode.weight @ head.encode.weight.flatten(1)
    assert torch.linalg.matrix_rank(whole) == 7
    code = head([x])[1][:, :, 0, 0]
    bias = head.decode.weight @ head.encode.bias + head.decode.bias
    torch.testing.assert_close(head.masks(code).flatten(1), flat @ whole.T + bias)


@pytest.mark.oracle("a loop over patches", "deepmask")
def test_a_dense_pass_is_a_loop_over_patches_of_the_map() -> None:
    torch.manual_seed(0)
    head = MaskHead(In((3,), (16,), 1, logits=1), kernel=6, hidden=4, rank=5, side=4, widths=(4, 3),
                    dropout=0.0).double().eval()
    x = torch.randn(2, 3, 10, 9, dtype=torch.float64)
    score, code = head([x])
    assert score.shape == (2, 1, 5, 4) and code.shape == (2, 5, 5, 4)
    for i in range(5):
        for j in range(4):
            s, c = head([x[:, :, i : i + 6, j : j + 6]])
            torch.testing.assert_close(score[:, :, i, j], s[:, :, 0, 0])
            torch.testing.assert_close(code[:, :, i, j], c[:, :, 0, 0])
    alone = nn.functional.max_pool2d(x[:, :, :6, :6], 2)  # the patch by itself is pooled with stride 2
    layers = [m for m in head.score if isinstance(m, nn.Conv2d)]
    hidden = F.relu(F.linear(alone.flatten(1), layers[0].weight.flatten(1), layers[0].bias))
    hidden = F.relu(F.linear(hidden, layers[1].weight.flatten(1), layers[1].bias))
    torch.testing.assert_close(score[:, :, 0, 0], F.linear(hidden, layers[2].weight.flatten(1), layers[2].bias))


def by_hand(f: Tensor, m: Tensor, s: Tensor, y: Tensor, weight: float) -> tuple[float, float]:
    """Eq. 1 with loops over windows and pixels: (mask term, score term),
    summed over windows and divided by their number."""
    mask = score = 0.0
    for k in range(len(y)):
        if y[k] > 0:
            h, w = f.shape[-2:]
            mask += (1 + float(y[k])) / (2 * w * h) * float(sum(torch.log1p(torch.exp(-m[k, i, j] * f[k, i, j]))
                                                                for i in range(h) for j in range(w)))
        score += weight * float(torch.log1p(torch.exp(-y[k] * s[k])))
    return mask / len(y), score / len(y)


@pytest.mark.oracle("eq. 1 in loops", "deepmask")
def test_eq_1_the_joint_loss() -> None:
    data = Scenes(2, size=128, seed=3)
    batch = batch_of(data, "deepmask", 2)
    spec = deepmask.spec("small")
    spec = replace(spec, rule=replace(spec.rule, truth=24, sample=Canonical(positives=2, negatives=1)))
    torch.manual_seed(0)
    model = spec.build(8).eval()
    torch.manual_seed(5)
    with torch.no_grad():
        losses = model.loss(batch)
    torch.manual_seed(5)
    sample, t = spec.rule.sample, batch.targets
    positive, owner, there = sample.positive(t)
    negative, free = sample.negative(t, batch.sizes, (48 / 2.0, 48 / 0.5))
    assert there.all() and free.all() and t.masks is not None
    windows = torch.cat([positive, negative], 1)
    raw = model.look(cut(batch.images, windows, 48, torch.tensor(spec.preprocess.mean)), border=0)
    f = model.head.masks(raw.codes[:, 0]).detach()  # type: ignore[index]
    m = torch.zeros_like(f)
    for k in range(len(f)):
        b, p = divmod(k, 3)
        if p < 2:
            part = F.grid_sample(t.masks[b, owner[b, p]][None, None].float(), _grid(windows[b, p], 24, 8),
                                 align_corners=False, mode="bilinear")
            m[k] = (F.avg_pool2d(part, 8)[0, 0] >= 0.5).float()
    y = torch.tensor([1.0, 1, -1, 1, 1, -1])
    mask, score = by_hand(f, 2 * m - 1, raw.logits[:, 0, 0].detach(), y, 1 / 32)
    assert float(losses["score"]) == pytest.approx(score, rel=1e-4)
    # the truth's edge pixels are averaged in another way by the loop
    assert float(losses["mask"]) == pytest.approx(mask, rel=0.02)


def test_eq_1_sums_over_the_32_windows_of_a_step() -> None:
    """The rule divides by the windows of a step and the recipe multiplies by as many,
    so that the rate is the published one."""
    for preset in ("paper", "released"):
        recipe, rule = deepmask.recipe(preset), deepmask.spec(preset).rule
        windows = recipe.batch * (rule.sample.positives + rule.sample.negatives)
        assert (windows == 32 and recipe.loss_weights == (("mask", windows), ("score", windows))
                and rule.weight == 1 / windows)
    assert deepmask.spec().rule.truth == 224 == deepmask.spec().window and deepmask.spec("released").rule.truth == 112


def test_the_released_code_takes_steps_of_three_rates() -> None:
    """updateScheduler and the options of train.lua: 300 epochs of 4,000 batches at .001, .0005 from epoch 51 on and
    .0001 from 121 on."""
    r = deepmask.recipe("released")
    assert (r.length, r.weight_decay, r.momentum) == ("1200000steps", 5e-4, 0.9)
    epochs = [r.lr * factor(r, (epoch - 0.5) / 300) for epoch in (1, 50, 51, 120, 121, 300)]
    assert epochs == pytest.approx([1e-3, 1e-3, 5e-4, 5e-4, 1e-4, 1e-4])


def _grid(window: Tensor, side: int, fine: int) -> Tensor:
    """Sampling places of `side` x `fine` points a side over a window of a 128-pixel picture."""
    step = (torch.arange(side * fine) + 0.5) / (side * fine)
    x, y = (2 * (window[i] + step * (window[i + 2] - window[i])) / 128 - 1 for i in (0, 1))
    return torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x))], -1)[None]


def test_windows_without_an_object_pay_no_mask_loss() -> None:
    data = Scenes(2, size=128, seed=3)
    batch = batch_of(data, "deepmask", 2)
    t = batch.targets
    empty = replace(batch, targets=replace(t, labels=torch.full_like(t.labels, -1)))
    model = deepmask.spec("small").build(8)
    losses = model.loss(empty)
    assert losses["mask"].item() == 0 and losses["score"].item() > 0
    losses["mask"].backward(retain_graph=True)
    assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)


def test_steps_on_masks_and_on_scores_take_turns_as_in_the_released_code() -> None:
    batch = batch_of(Scenes(2, size=128, seed=3), "deepmask", 2)
    spec = deepmask.spec("small")
    model = replace(spec, rule=replace(spec.rule, alternate=0.5)).build(8)
    seen = [tuple(bool(v) for v in model.loss(batch).values()) for _ in range(12)]
    assert set(seen) == {(True, False), (False, True)}


def test_data_without_masks_is_refused() -> None:
    batch = batch_of(Scenes(2, size=128, seed=3), "deepmask", 2)
    with pytest.raises(StemmaError, match="masks"):
        deepmask.spec("small").build(8).loss(replace(batch, targets=replace(batch.targets, masks=None)))


# ---------------------------------------------------------------- DeepMask: windows


def targets(boxes: list[list[float]], crowd: list[bool] | None = None) -> Targets:
    n = len(boxes)
    return Targets(torch.tensor([boxes], dtype=torch.float32), torch.zeros(1, n, dtype=torch.long),
                   None if crowd is None else torch.tensor([crowd]))


def test_a_positive_window_is_centred_on_its_object_at_its_scale() -> None:
    """Sec. 3: in pixels of a 224 window the object's longer side is 128, moved by up to 16,
    scaled by up to a quarter octave."""
    torch.manual_seed(0)
    t = targets([[100, 100, 164, 132], [10, 200, 30, 260], [5, 5, 8, 8]])
    windows, owner, ok = Canonical(positives=400).positive(t)
    assert ok.all() and set(owner[0].tolist()) == {0, 1}, "objects under `least` pixels are not shown"
    assert 120 < int((owner == 0).sum()) < 280, "objects are drawn evenly"
    (c, s), (oc, os) = bx.centre_size(windows[0]), bx.centre_size(bx.take(t.boxes, owner)[0])
    octave = (os.amax(1) / s[:, 0] * 224 / 128).log2()
    move = (c - oc) / s * 224
    assert torch.allclose(s[:, 0], s[:, 1]) and octave.abs().max() <= 0.2501 and octave.abs().max() > 0.23
    assert move.abs().max() <= 16.01 and move.abs().max() > 15.5
    still, _, _ = Canonical(positives=8, shift=0.0, octave=0.0).positive(targets([[100, 100, 164, 132]]))
    torch.testing.assert_close(still[0], torch.tensor([[132.0 - 56, 116 - 56, 132 + 56, 116 + 56]]).expand(8, -1))


def test_the_released_preset_draws_windows_as_its_code() -> None:
    """DataSampler.lua counts pixels of its own window of 160: moved by up to 16, negatives 3 x 16 away within ten
    quarter octaves."""
    torch.manual_seed(0)
    rule = deepmask.spec("released").rule
    t = targets([[100, 100, 164, 132]])
    windows, _, _ = replace(rule.sample, positives=400).positive(t)
    (c, s), (oc, _) = bx.centre_size(windows[0]), bx.centre_size(t.boxes[0, :1])
    move = ((c - oc) / s * 160).abs()
    assert move.max() <= 16.01 and move.max() > 15.5
    free, ok = replace(rule.sample, negatives=300, tries=32).negative(t, torch.tensor([[300.0, 320.0]]), (28.0, 448.0))
    c, s = bx.centre_size(free[0][ok[0]])
    away, octaves = (c - oc).norm(dim=1) / s[:, 0] * 160, (s[:, 0] / (64 * 224 / 128)).log2().abs()
    assert ((away >= 48 - 1e-3) | (octaves >= 2.5)).all() and len(c) > 250


def test_a_negative_window_is_far_from_every_object_in_place_or_in_scale() -> None:
    torch.manual_seed(0)
    boxes = [[100.0, 100, 164, 132], [10, 200, 30, 260]]
    t = targets(boxes)
    windows, ok = Canonical(negatives=300, tries=32).negative(t, torch.tensor([[300.0, 320.0]]), (28.0, 448.0))
    assert ok.all()
    c, s = bx.centre_size(windows[0])
    assert (c >= 0).all() and (c[:, 0] <= 320).all() and (c[:, 1] <= 300).all() and s.min() >= 28 and s.max() <= 448
    near = 0
    for b in boxes:
        centre, side = torch.tensor([(b[0] + b[2]) / 2, (b[1] + b[3]) / 2]), max(b[2] - b[0], b[3] - b[1]) * 224 / 128
        away = (c - centre).norm(dim=1) / s[:, 0] * 224
        octaves = (s[:, 0] / side).log2().abs()
        assert ((away >= 32 - 1e-3) | (octaves >= 1 - 1e-4)).all()
        near += int((away < 32).sum())
    assert near > 0, "windows on an object at another scale are negatives too"


def test_no_negative_is_drawn_on_a_crowd_nor_where_there_is_no_room() -> None:
    torch.manual_seed(0)
    t = targets([[0, 0, 128, 128]], [True])
    side = 128 * 224 / 128
    windows, ok = Canonical(negatives=4, away=10.0).negative(t, torch.tensor([[128.0, 128.0]]),
                                                             (side * 0.8, side * 1.25))
    assert not ok.any()
    assert not Canonical().positive(t)[2].any()


def test_a_patch_is_the_picture_inside_its_window_and_the_mean_beyond() -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 3, 20, 24)
    mean = torch.tensor([0.1, 0.2, 0.3])
    same = cut(image, torch.tensor([[[4.0, 2, 14, 12]], [[0, 0, 10, 10]]]), 10, mean)
    torch.testing.assert_close(same[0], image[0, :, 2:12, 4:14])
    torch.testing.assert_close(same[1], image[1, :, :10, :10])
    out = cut(image, torch.tensor([[[-30.0, -30, -10, -10]]]).expand(2, -1, -1), 8, mean)
    torch.testing.assert_close(out, mean[:, None, None].expand(2, 3, 8, 8))
    half = cut(image, torch.tensor([[[4.0, 2, 20, 18]]]).expand(2, -1, -1), 8, mean)
    torch.testing.assert_close(half, F.avg_pool2d(image[:, :, 2:18, 4:20], 2), rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------- from maps to boxes and masks


def test_a_line_is_crossed_between_its_cells() -> None:
    line = torch.tensor([[-1.0, -1, 1, 3, -3, -3], [2, 2, 2, 2, 2, 2], [-1, -1, -1, -1, -1, -1],
                         [-torch.inf, 1, 1, -1, 1, -torch.inf]])
    first, last = extent(line)
    # cells' middles are at .5, 1.5, ...: from -1 at 1.5 to 1 at 2.5 the line is 0 at 2; from 3 at 3.5 to -3 at 4.5 at 4
    torch.testing.assert_close(first, torch.tensor([2.0, 0, 0, 1]))
    torch.testing.assert_close(last, torch.tensor([4.0, 6, 6, 5]))


def test_the_box_of_a_map_encloses_it_and_its_mask_is_read_inside() -> None:
    truth = torch.zeros(64, 64)
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    truth = 9 - ((x - 30) ** 2 / 4 + (y - 40) ** 2).sqrt()  # an ellipse, 36 wide and 18 high, about (30, 40)
    frame = torch.tensor([[[100.0, 50.0, 228.0, 178.0]]])  # two pixels a cell
    boxes, masks, found = enclose(truth[None, None], frame, 0.0, torch.tensor([[400.0, 400.0]]))
    assert found.all()
    torch.testing.assert_close(boxes[0, 0], torch.tensor([100.0 + 24, 50 + 62, 100 + 96, 50 + 98]), atol=0.2, rtol=0)
    m = masks[0, 0]
    assert m[14, 14] > 0.99 and m[0, 0] < 0.5 and abs(float((m > 0.5).float().mean()) - np.pi / 4) < 0.02
    clipped, _, _ = enclose(truth[None, None], frame, 0.0, torch.tensor([[150.0, 150.0]]))
    # what is left of x = 150
    assert clipped[0, 0, 2:].tolist() == pytest.approx([150, 50 + 2 * (40 + (81 - 5.5**2 / 4) ** 0.5)], abs=0.2)
    nothing = enclose(truth[None, None] - 99, frame, 0.0, torch.tensor([[400.0, 400.0]]))
    assert not nothing[2].any()


def test_a_map_read_over_its_whole_frame_is_itself() -> None:
    maps = torch.rand(1, 2, 7, 7)
    frames = torch.tensor([[[10.0, 10, 24, 31], [0, 0, 7, 7]]])
    torch.testing.assert_close(inside(maps, frames, frames, 7), maps)


def test_dense_inference_finds_what_the_net_says() -> None:
    """A head that answers by hand: the score is high in one window, whose mask is its left half."""
    model = deepmask.spec("small").build(8).eval()
    at = 700
    model.head.masks = lambda codes: torch.cat([codes.new_full((*codes.shape[:-1], 24, 12), 3.0),
                                                codes.new_full((*codes.shape[:-1], 24, 12), -6.0)], -1)
    images = torch.rand(1, 3, 128, 128)
    raw = model(images)
    raw = replace(raw, logits=torch.full_like(raw.logits, -4.0).index_fill(1, torch.tensor([at]), 5.0))
    d = model.rule.predict(model, raw)
    window = raw.windows[at]
    # where the map crosses .2 on its way from 3 to -6
    middle = window[0] + (window[2] - window[0]) * (11.5 + (3 + np.log(4)) / 9) / 24
    want = bx.clip(torch.stack([window[0], window[1], middle, window[3]])[None, None], (128, 128))[0, 0]
    torch.testing.assert_close(d.boxes[0, 0], want, atol=0.3, rtol=0)
    assert d.labels[0, 0] == 0 and d.scores[0, 0] > 0.99 and d.masks is not None


def test_proposals_are_measured_by_average_recall_of_boxes_and_masks() -> None:
    data = Scenes(3, size=128, seed=3)
    model, batch = (stemma.build("deepmask", preset="small", classes=8, info=data.info).eval(),
                    batch_of(data, "deepmask", 3))
    evaluator = Evaluator(data.info, "proposals")
    for i, p in enumerate(to_file(model.predict(batch.images, batch.sizes), batch)):
        evaluator.add(data.truth(i), p, i)
    result = evaluator.result()
    assert {"AR10", "AR100", "AR1000", "mask_AR10", "mask_AR100", "mask_AR1000"} <= set(result)
    perfect = Evaluator(data.info, "proposals")
    for i in range(3):
        s = data.truth(i)
        perfect.add(s, {"boxes": s.boxes, "scores": np.linspace(1, 0.5, len(s.labels)),
                        "labels": np.zeros(len(s.labels), np.int64), "masks": s.masks}, i)
    assert perfect.result()["AR10"] == pytest.approx(1.0) and perfect.result()["mask_AR10"] == pytest.approx(1.0)


# ---------------------------------------------------------------- weak localisation


def test_the_net_has_eight_layers_and_a_stride_of_32() -> None:
    with torch.device("meta"):
        model = localization_for_free.spec("paper").build(20)
        facts = {f.what: f.value for f in localization_for_free.PAPER.facts}
        assert count(model) == facts["parameters"] and model.grid.stride == facts["stride"]
        assert model.look(torch.empty(1, 3, 227, 227), border=0).passes == ((1, 1),)
        assert sum(isinstance(m, nn.Conv2d) for m in model.modules()) == 9, ("five convolutions, fc6, fc7 and two "
                                                                             "adaptation layers")


def test_maximum_and_logistic_commute_and_one_place_a_class_learns() -> None:
    torch.manual_seed(0)
    f = torch.randn(3, 40, 5, dtype=torch.float64, requires_grad=True)
    ok = torch.ones_like(f, dtype=torch.bool)
    y = torch.randint(0, 2, (3, 5)).double() * 2 - 1
    pooled = Max()(f, ok)
    assert torch.equal(pooled, f.amax(1))
    loss = F.softplus(-y * pooled)
    # for negatives: the hardest place
    torch.testing.assert_close(torch.where(y > 0, F.softplus(-f).amin(1), F.softplus(f).amax(1)), loss)
    loss.sum().backward()
    assert f.grad is not None and (f.grad != 0).sum(1).eq(1).all()
    assert torch.equal((f.grad != 0).to(torch.uint8).argmax(1), f.argmax(1))


def test_log_mean_exp_lies_between_mean_and_maximum() -> None:
    torch.manual_seed(0)
    f = torch.randn(2, 30, 4, dtype=torch.float64)
    ok = torch.rand(2, 30, 4) < 0.7
    low, high = Mean()(f, ok), Max()(f, ok)
    torch.testing.assert_close(LogMeanExp(1e-5)(f, ok), low, atol=1e-4, rtol=0)
    torch.testing.assert_close(LogMeanExp(1e4)(f, ok), high, atol=1e-3, rtol=0)
    between = [LogMeanExp(r)(f, ok) for r in (0.5, 2.0, 8.0)]
    assert all((a < b).all() for a, b in zip([low, *between], [*between, high]))
    for k in range(4):
        assert (float(low[0, k]) == pytest.approx(float(f[0, ok[0, :, k], k].mean()))
                and float(high[0, k]) == float(f[0, ok[0, :, k], k].max()))


def weak(**rule: object) -> WindowsModel:
    torch.manual_seed(0)
    spec = localization_for_free.spec("small")
    return replace(spec, rule=PresenceRule(**rule)).build(8).eval()  # type: ignore[arg-type]


@pytest.mark.oracle("torch's soft_margin_loss", "localization_for_free")
def test_the_loss_is_torch_s_on_the_maximum() -> None:
    """Oracle: F.multilabel_soft_margin_loss and BCE on amax."""
    batch, model = batch_of(Scenes(4, size=128, seed=2), "localization_for_free"), weak()
    loss = model.loss(batch)["presence"]
    there = batch.targets.image_labels
    assert there is not None
    raw = model.look(batch.images)
    score = raw.logits.masked_fill(~raw.inside(batch.sizes)[..., None], -torch.inf).amax(1)
    torch.testing.assert_close(loss, F.multilabel_soft_margin_loss(score, there) * 8)
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(score, there, reduction="none").sum(1).mean())


def test_every_aggregator_trains_and_boxes_hold_the_maximum_inside() -> None:
    batch = batch_of(Scenes(4, size=128, seed=2), "localization_for_free")
    values = {}
    for name, rule in {"max": {}, "mean": {"aggregate": Mean()}, "lse": {"aggregate": LogMeanExp()},
                       "boxes": {"boxes": True}}.items():
        model = weak(**rule).train()
        loss = model.loss(batch)["presence"]
        loss.backward()
        values[name] = loss.item()
        assert all(p.grad is not None for p in model.parameters())
    assert len(set(values.values())) == 4
    model = weak(boxes=True)
    raw = model.look(batch.images)
    ok = raw.inside(batch.sizes)[..., None].expand_as(raw.logits)
    held = PresenceRule.within(raw, batch.targets, ok)
    middle = bx.centre_size(raw.windows)[0]
    for b in range(4):
        for c in range(8):
            own = batch.targets.boxes[b][batch.targets.labels[b] == c]
            hits = [bool(((m >= own[:, :2]) & (m <= own[:, 2:])).all(1).any()) for m in middle]
            want = torch.tensor(hits) & ok[b, :, c]
            assert torch.equal(held[b, :, c], want if want.any() else ok[b, :, c])


def test_a_point_is_the_best_place_over_all_sizes() -> None:
    model, images = weak(), torch.rand(2, 3, 128, 128)
    sizes = torch.tensor([[128.0, 128], [128, 96]])
    raw, said = model(images), model.predict(images, sizes)
    assert len(raw.passes) == 3 and said.boxes.shape == (2, 8, 4)
    for b in range(2):
        ok = raw.inside(sizes)[b]
        for k in range(8):
            c = int(said.labels[b, k])
            best = raw.logits[b, :, c].masked_fill(~ok, -torch.inf)
            place = bx.centre_size(raw.windows[best.argmax()])[0]
            torch.testing.assert_close((said.boxes[b, k, :2] + said.boxes[b, k, 2:]) / 2, place)
            torch.testing.assert_close(said.scores[b, k], best.max().sigmoid())
        assert said.scores[b].diff().max() <= 0


def test_classes_below_their_threshold_are_not_said_to_be_there() -> None:
    images = torch.rand(1, 3, 128, 128)
    free = weak().predict(images)
    least = tuple(0.0 if c == int(free.labels[0, 2]) else 1.1 for c in range(8))
    assert [int(v) for v in weak(present=least).predict(images).labels[0] if v >= 0] == [int(free.labels[0, 2])]
    assert (weak(present=(1.1,)).predict(images).labels == -1).all()


def test_regions_are_the_thresholded_map_of_the_size_that_scores_best() -> None:
    model, images = weak(answer="regions"), torch.rand(2, 3, 128, 128)
    points = weak().predict(images)
    regions = model.predict(images)
    assert regions.masks is not None and torch.equal(regions.labels, points.labels)
    middle = (points.boxes[..., :2] + points.boxes[..., 2:]) / 2
    assert ((middle >= regions.boxes[..., :2] - 1)
            & (middle <= regions.boxes[..., 2:] + 1)).all(), "the best place lies in its region"
    assert (((regions.boxes[..., 2:] - regions.boxes[..., :2]) > 1).all()
            and (regions.masks.flatten(2).amax(2) >= 0.5).all())


def test_points_are_measured_and_a_net_that_knows_is_right() -> None:
    data = Scenes(3, size=128, seed=3)
    evaluator = Evaluator(data.info, "weak")
    for i in range(3):
        s = data.truth(i)
        first = [int(np.flatnonzero(s.labels == c)[0]) for c in np.unique(s.labels)]
        middle = (s.boxes[first, :2] + s.boxes[first, 2:]) / 2
        from stemma.parts.points import point_detections

        scores, at = torch.zeros(1, 8), torch.zeros(1, 8, 2)
        scores[0, s.labels[first]], at[0, s.labels[first]] = 1.0, torch.from_numpy(middle)
        d = point_detections(scores, at, torch.tensor([[128.0, 128.0]]))
        evaluator.add(s, {k: v.numpy() for k, v in d.unpad()[0].items()}, i)
    result = evaluator.result()
    assert result["point_AP"] == pytest.approx(1.0) and result["image_AP"] == pytest.approx(1.0), result


def test_edits_reach_the_parts() -> None:
    spec = edit(deepmask.spec("small"), "rule.sample.positives", 3)
    assert spec.rule.sample.positives == 3
    assert edit(localization_for_free.spec("small"), "rule.answer", "regions").rule.answer == "regions"
    assert isinstance(Sample, type) and around(torch.tensor([5.0, 5.0]), torch.tensor(4.0)).tolist() == [3, 3, 7, 7]
    assert isinstance(deepmask.spec("small").build(3).eval().predict(torch.rand(1, 3, 64, 64)), Detections)
