"""TridentNet: three looks with shared filters, ranges of sizes, and one look alone."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import nms

import stemma
from engine_help import drawn_batch, scenes, short
from learning import Learned
from stemma.core.part import edit
from stemma.core.types import Batch, StemmaError, Targets
from stemma.ops import boxes as bx
from stemma.papers.localization import faster_rcnn, tridentnet
from stemma.papers.localization.tridentnet import ENDLESS, TridentModel
from stemma.parts.backbones.trident import TridentConv
from stemma.parts.dense.assign import ByIoU, Candidates, OwnRange
from stemma.parts.dense.losses import SmoothL1
from stemma.parts.dense.post import PerClassNMS
from stemma.studies import looks

ALL = ((0.0, ENDLESS),) * 3


def net(**change: Any) -> TridentModel:
    torch.manual_seed(0)
    return replace(tridentnet.spec("small"), **change).build(3)


def parent(preset: str = "c4-small") -> Any:
    """Faster R-CNN on the same trunk, one box a region."""
    p = faster_rcnn.spec(preset)
    return replace(p, stages=(replace(p.stages[0], head=p.stages[0].head.but(deltas="agnostic")),))


def batch() -> Batch:
    """A small and a large object, and one of middling size."""
    return drawn_batch(torch.tensor([[[8.0, 8, 24, 24], [50, 40, 120, 118]], [[20.0, 30, 52, 60], [0, 0, 0, 0]]]))


@pytest.mark.parametrize("preset,base,stage", [("paper", "c4", "layer3"), ("small", "c4-small", "stages.1")])
def test_the_weights_are_those_of_the_c4_parent(preset: str, base: str, stage: str) -> None:
    """Names and shapes, so that any weights of the parent load unchanged."""
    with torch.device("meta"):
        mine, its = tridentnet.spec(preset).build(80), parent(base).build(80)
    assert {k: v.shape for k, v in mine.state_dict().items()} == {k: v.shape for k, v in its.state_dict().items()}
    assert [n for n, p in mine.named_parameters() if p.requires_grad] == [n for n, p in its.named_parameters()
                                                                         if p.requires_grad]
    if preset == "paper":
        (fact,) = tridentnet.PAPER.facts
        assert sum(p.numel() for p in mine.parameters()) == fact.value
    looks = [n for n, m in mine.backbone.named_modules() if isinstance(m, TridentConv)]
    assert looks == ([f"layer3.{i}.conv2" for i in range(1, 6)] if preset == "paper"
                     else ["stages.1.1.conv1", "stages.1.1.conv2"])


def dilated(preset: str, stage: str, rate: int) -> Any:
    """The parent with the 3x3s of a stage's blocks dilated, the first block's aside: plain torch convolutions."""
    m = parent(preset).build(3)
    for block in list(m.backbone.get_submodule(stage).children())[1:]:
        for conv in block.modules():
            if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3):
                conv.dilation, conv.padding = (rate, rate), (rate, rate)
    return m


@pytest.mark.oracle("three dilated nets that share tensors", "tridentnet")
def test_three_looks_are_three_dilated_nets() -> None:
    m, b = net().eval(), batch()
    with torch.no_grad():
        raw = m(b.images)
        for k, rate in enumerate((1, 2, 3)):
            one = dilated("c4-small", "stages.1", rate)
            one.load_state_dict(m.state_dict())
            want = one.eval()(b.images)
            torch.testing.assert_close(raw.levels[0][2 * k : 2 * k + 2], want.levels[0])
            assert raw.rpn is not None
            torch.testing.assert_close(raw.rpn.logits[2 * k : 2 * k + 2], want.rpn.logits)
            torch.testing.assert_close(raw.rpn.codes[2 * k : 2 * k + 2], want.rpn.codes)


@pytest.mark.oracle("three dilated nets that share tensors", "tridentnet")
def test_the_same_of_a_residual_net_and_its_gradients() -> None:
    """ResNet-50's fourth stage: the gradient of a shared filter is the sum over three nets'."""
    torch.manual_seed(0)
    p = tridentnet.spec()
    m = replace(p, backbone=p.backbone.but(norm="batch")).build(3)
    m.backbone.eval()
    x, grads = torch.rand(1, 3, 64, 64), []
    m.training = True
    for conv in m.backbone.modules():
        if isinstance(conv, TridentConv):
            conv.training = True
    m.backbone(x)[0].square().sum().backward()
    weight = m.backbone.get_submodule("layer3.2.conv2").weight
    for rate in (1, 2, 3):
        one = replace(parent("c4"), backbone=p.backbone.but(norm="batch")).build(3).backbone.eval()
        one.load_state_dict(m.backbone.state_dict())
        for block in list(one.layer3.children())[1:]:
            block.conv2.dilation, block.conv2.padding = (rate, rate), (rate, rate)
        one(x)[0].square().sum().backward()
        grads.append(one.layer3[2].conv2.weight.grad)
    scale = torch.stack(grads).sum(0).abs().max()
    torch.testing.assert_close(weight.grad / scale, torch.stack(grads).sum(0) / scale, rtol=1e-3, atol=1e-5)


@pytest.mark.oracle("Faster R-CNN with the stage dilated by 2", "tridentnet")
def test_fast_inference_is_the_single_net_of_dilation_2() -> None:
    m, one, b = net(fast=1).eval(), dilated("c4-small", "stages.1", 2), batch()
    one.load_state_dict(m.state_dict())
    found, want = m.predict(b.images, b.sizes), one.eval().predict(b.images, b.sizes)
    torch.testing.assert_close(found.boxes, want.boxes)
    torch.testing.assert_close(found.scores, want.scores)
    assert torch.equal(found.labels, want.labels) and len(m(b.images).levels[0]) == 2
    assert len(m.train()(b.images).levels[0]) == 6  # in training all three look


def test_looks_at_smaller_maps_in_the_place_of_dilation() -> None:
    """A convolution dilated by d is nearly one of a map made smaller by d: of a plane exactly (away from the rim), of
    the real one the same weights, and the first look is the same."""
    conv = nn.Conv2d(1, 2, 3, padding=1)
    near, far = (TridentConv(conv, (1, 2, 3), -1, True, resample=r) for r in (True, False))
    plane = (torch.arange(24.0)[:, None] + 2 * torch.arange(24.0))[None, None].repeat(3, 1, 1, 1) / 24
    one, two = near(plane), far(plane)
    torch.testing.assert_close(one[:, :, 8:16, 8:16], two[:, :, 8:16, 8:16])
    assert torch.equal(one[0], two[0]) and not torch.allclose(one[1], two[1])
    assert near(torch.rand(3, 1, 7, 5)).shape == (3, 2, 7, 5)
    m, other, b = net(resample=True), net(), batch()
    assert m.state_dict().keys() == other.state_dict().keys()
    a, c = (x.eval()(b.images).levels[0] for x in (m, other))
    torch.testing.assert_close(a[:2], c[:2])
    assert a.shape == c.shape and not torch.allclose(a[2:], c[2:])


def test_equal_dilations_give_equal_looks_which_collapse_to_one() -> None:
    b = batch()
    m, one = net(dilations=(1, 1, 1), ranges=ALL).eval(), parent().build(3).eval()
    one.load_state_dict(m.state_dict())
    first, second, third = m(b.images).levels[0].chunk(3)
    assert torch.equal(first, second) and torch.equal(first, third)
    found, want = m.predict(b.images, b.sizes), one.predict(b.images, b.sizes)
    real = want.labels >= 0
    torch.testing.assert_close(found.boxes[real], want.boxes[real], rtol=1e-4, atol=1e-3)


def test_each_look_answers_for_its_own_sizes_and_the_sets_are_joined() -> None:
    """Of the joined answers, each lies in a range; without ranges they are the union of all."""
    m, b = net().eval(), batch()
    boxes = torch.tensor([0.0, 0, 20, 20]).repeat(6, 3, 1)
    boxes[:, 1, 2:], boxes[:, 2, 2:] = 30.0, 100.0
    out = m.out_of_range(boxes)
    assert out[0].tolist() == [False, True, True] and out[2].tolist() == [False, False, True]
    assert out[5].tolist() == [True, False, False] and torch.equal(out[0], out[1])
    xs = m.prepared(m(b.images).levels)
    raw, sizes = m(b.images), b.sizes.repeat(3, 1)
    every = m.pairs(raw, xs, sizes, None)
    joined = m.merged(every)
    assert joined.labels.shape == (2, 3 * every.labels.shape[1])
    n = every.labels.shape[1]
    for k, (least, most) in enumerate(m.spec.ranges):
        side = bx.area(joined.boxes[:, k * n : (k + 1) * n]).sqrt()
        assert torch.equal(joined.labels[:, k * n : (k + 1) * n] >= 0, (side >= least) & (side <= most))


def test_ranges_are_of_the_files_pixels() -> None:
    spec = tridentnet.spec()
    assert spec.ranges == ((0, 90), (30, 160), (90, ENDLESS)) and spec.scale == pytest.approx(800 / 480)
    larger, _ = tridentnet.PAPER.at(spec, tridentnet.recipe(), 400)
    assert larger.scale == pytest.approx(400 / 480) and larger.rpn.anchors.scales == (1.0, 2.0, 4.0, 8.0, 16.0)
    m = net(scale=2.0).eval()  # 40 pixels are 20 of the file
    assert m.out_of_range(torch.tensor([0.0, 0, 40, 40]).repeat(3, 1, 1))[:, 0].tolist() == [False, False, True]


@pytest.mark.oracle("pairs of anchor and object, one by one", "tridentnet", how="equal")
def test_sec_3_3_anchors_on_objects_of_other_sizes_are_not_asked() -> None:
    g = torch.Generator().manual_seed(2)
    low = torch.rand(1, 60, 2, generator=g) * 80
    c = Candidates(torch.cat([low, low + 8 + torch.rand(1, 60, 2, generator=g) * 50], -1))
    boxes = torch.tensor([[[10.0, 10, 40, 40], [30, 30, 90, 80], [0, 0, 0, 0]]])
    t = Targets(boxes, torch.tensor([[0, 1, -1]]), crowd=torch.tensor([[True, False, False]]))
    state, _ = OwnRange(0.5, 0.3, crowd=1.0)(c, t)
    base, _ = ByIoU(0.5, 0.3, crowd=1.0)(c, t)
    asked = 0
    for a in range(60):
        x1, y1, x2, y2 = c.boxes[0, a].tolist()
        w, h = min(x2, 40) - max(x1, 10), min(y2, 40) - max(y1, 10)
        both = max(w, 0) * max(h, 0)
        over = both / ((x2 - x1) * (y2 - y1) + 900 - both) > 0.3
        assert state[0, a] == (-1 if over else base[0, a])
        asked += over and int(base[0, a]) == 0
    assert asked > 0
    # an anchor that answers for an object of its own range, and overlaps one of another by more than .3
    two = Targets(torch.tensor([[[10.0, 10, 40, 40], [10, 10, 52, 52]]]), torch.tensor([[0, 1]]),
                  crowd=torch.tensor([[True, False]]))
    at = Candidates(torch.tensor([[[10.0, 10, 50, 50], [20.0, 20, 52, 52]]]))
    assert ByIoU(0.5, 0.3, crowd=1.0)(at, two)[0].tolist() == [[1, 1]]
    assert OwnRange(0.5, 0.3, crowd=1.0)(at, two)[0].tolist() == [[-1, 1]]
    plain = Targets(boxes, t.labels)
    assert torch.equal(OwnRange(0.5, 0.3)(c, plain)[0], ByIoU(0.5, 0.3)(c, plain)[0])


@pytest.mark.oracle("anchors of a look's sizes, ranked and suppressed by torchvision", "tridentnet")
def test_proposals_of_other_sizes_are_left_out_before_they_suppress_any() -> None:
    m, b = net().train(), batch()
    torch.manual_seed(3)
    raw = m(b.images)
    dense = raw.rpn
    raw = replace(raw, rpn=replace(dense, logits=torch.randn_like(dense.logits),
                                   codes=0.5 * torch.randn_like(dense.codes)))
    sizes, p = b.sizes.repeat(3, 1), m.spec.rpn
    found = m.propose(raw, sizes, True)
    every = bx.clip(p.coder.decode(raw.rpn.references(), raw.rpn.codes), sizes)
    for k in range(6):
        side = bx.area(every[k]).sqrt()
        least, most = m.spec.ranges[k // 2]
        own = ((side >= least) & (side <= most)).nonzero()[:, 0]
        own = own[raw.rpn.logits[k, own, 0].argsort(descending=True)][: p.proposals.pre_train]
        big = ((every[k, own, 2:] - every[k, own, :2]) >= p.proposals.min_side).all(1)
        own = own[big]
        at = own[nms(every[k, own], raw.rpn.logits[k, own, 0], p.proposals.nms)][: p.proposals.keep_train]
        torch.testing.assert_close(found[k, : len(at)], every[k, at])
        assert bx.area(found[k, len(at) :]).sum() == 0


def test_the_fast_net_is_trained_on_all_sizes_by_all_looks() -> None:
    """As tridentnet_r101v2c4_c5_fastapprox_1x.py, which has train_scaleaware False."""
    spec = tridentnet.spec("fast")
    assert spec.fast == 1 and spec.ranges == ((0.0, ENDLESS),) * 3 and spec.dilations == (1, 2, 3)


def test_in_training_each_look_is_given_its_own_objects_and_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    m, b, seen = net().train(), batch(), []
    look = m.look

    def watch(i: int, xs: list[Tensor], boxes: Tensor, t: Targets) -> Any:
        out = look(i, xs, boxes, t)
        seen.append((boxes, t, out.regions))
        return out

    monkeypatch.setattr(m, "look", watch)
    m.loss(b)
    ((boxes, t, regions),) = seen
    # objects of 16, about 74 and 31 pixels: ranges to 26, 14 to 44, from 26 on
    assert t.valid.tolist() == [[True, False], [False, False], [True, False], [True, False], [False, True],
                                [True, False]]
    side = bx.area(boxes).sqrt().chunk(3)
    for s, (least, most) in zip(side, m.spec.ranges):
        assert ((s == 0) | ((s >= least) & (s <= most))).all()
    assert not regions.positive[1].any() and regions.positive[0].any()


def test_an_object_that_no_look_answers_for_is_nowhere_background() -> None:
    m, b = net(ranges=((0.0, 5.0), (5.0, 10.0), (200.0, 300.0))).train(), batch()
    losses = m.loss(b)
    assert all(torch.isfinite(v) for v in losses.values()) and losses["box"] == 0 and losses["rpn_box"] == 0


@pytest.mark.parametrize("append", [True, False])
def test_objects_stand_in_for_proposals_where_they_are_told_to(append: bool) -> None:
    m, b = net(append=append), batch()
    boxes = m.candidates(torch.zeros(2, 5, 4), b.targets)
    assert bool(boxes.any()) is append
    assert tridentnet.spec().append is False and tridentnet.spec().stages[0].count == 128


def test_filters_of_their_own_and_other_stages_by_set_alone() -> None:
    own = edit(tridentnet.spec("small"), "shared", "false").build(3)
    more = {k for k in own.state_dict()} - {k for k in net().state_dict()}
    assert sorted(more) == [f"backbone.stages.1.1.conv{c}.others.{k}" for c in (1, 2) for k in (0, 1)]
    torch.manual_seed(0)
    b = batch()
    torch.testing.assert_close(own.eval()(b.images).levels[0].chunk(3)[0].shape, torch.Size((2, 64, 16, 16)))
    other = net(stage="stages.0").train()
    assert other(b.images).levels[0].shape[0] == 6
    for count in (1, 2, 4):
        m = net(dilations=tuple(range(1, count + 1)), ranges=((0.0, ENDLESS),) * count).train()
        assert m(b.images).levels[0].shape[0] == 2 * count


@pytest.mark.parametrize("wrong,said", [({"fast": 3}, "fast=3 is the place of one"),
                                        ({"dilations": (1, 2)}, "a range each"), ({"stage": "layer9"}, "stage=layer9: this backbone has no such stage")])
def test_what_cannot_part_is_answered_in_a_line(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(StemmaError, match=said):
        net(**wrong)


def test_looks_part_in_a_network_of_timm_whose_filters_have_one_channel_and_sides_of_5() -> None:
    torch.manual_seed(0)
    m: Any = stemma.build("tridentnet", "small", classes=3, sets={"backbone": "tf_efficientnet_lite0",
                                                                  "stage": "body.blocks.2"}).eval()
    (look,) = (m for m in m.backbone.modules() if isinstance(m, TridentConv))
    assert look.kernel_size == (5, 5) and look.groups == look.in_channels > 1
    x = torch.randn(6, look.in_channels, 9, 11)
    want = [F.conv2d(x[2 * i : 2 * i + 2], look.weight, None, 1, 2 * d, d, look.groups) for i, d in enumerate((1, 2, 3))]
    torch.testing.assert_close(look(x), torch.cat(want))
    assert m(torch.rand(2, 3, 64, 64)).levels[0].shape[0] == 6


def test_dilations_of_one_convolution_as_functional_calls() -> None:
    plain = nn.Conv2d(4, 5, 3, padding=1)
    conv, x = TridentConv(plain, (1, 2, 3), -1, True), torch.randn(6, 4, 9, 9)
    want = [F.conv2d(v, plain.weight, plain.bias, 1, d, d) for v, d in zip(x.chunk(3), (1, 2, 3))]
    torch.testing.assert_close(conv(x), torch.cat(want))


def test_three_looks_learn(learned: Learned) -> None:
    """Forty steps on one batch."""
    m, b = net().train(), batch()
    optimizer, seen = torch.optim.AdamW(m.parameters(), 3e-3), []
    for _ in range(40):
        losses = m.loss(b)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        seen.append(sum(v.item() for v in losses.values()))
    learned("loss", min(seen[-3:]), at_most=0.6 * seen[0], untrained=seen[0])


def test_published_settings_are_those_of_the_authors_configuration() -> None:
    spec, r = tridentnet.spec(), tridentnet.recipe()
    stage, rpn = spec.stages[0], spec.rpn
    assert rpn is not None and spec.post == (PerClassNMS(0.5, 0.001, 100),)
    assert rpn.assign == OwnRange(0.7, 0.3, rescue=True, inside=True) and rpn.box == SmoothL1(1 / 9)
    assert stage.box == SmoothL1(1.0) and stage.head["pool"].size == 7 and stage.head["stride"] == 1
    assert (r.warmup * 90_000, r.warmup_factor, r.resize.longest) == (pytest.approx(3000), 0.0, 1200)
    assert r.clip_value == 5 and (r.lr, r.batch, r.milestones) == (0.02, 16, (2 / 3, 8 / 9))
    with torch.device("meta"):
        head = spec.build(80).heads[0]
        assert head.stage(torch.zeros(1, 1024, 7, 7)).shape == (1, 2048, 7, 7)


# ---------------------------------------------------------------- what a look is


def test_looks_are_had_in_other_ways_and_stay_as_they_were() -> None:
    """Resampled: as a net that was made so; pyramid: as the plain parent on smaller pictures; undilated: all looks are
    the first; a look without dilation is the same in every way."""
    m, x = net().eval(), torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    own = looks.features(m, x)
    made, plain = net(resample=True).eval(), parent().build(3).eval()
    made.load_state_dict(m.state_dict())
    plain.load_state_dict(m.state_dict())
    with looks.seeing(m, "resampled"):
        torch.testing.assert_close(looks.features(m, x), looks.features(made, x))
    with looks.seeing(m, "undilated"):
        for y in looks.features(m, x):
            torch.testing.assert_close(y, own[0])
    with looks.seeing(m, "pyramid"), torch.no_grad():
        for y, d in zip(looks.features(m, x), (1, 2, 3), strict=True):
            small = F.interpolate(plain.spec.preprocess(x), [-(-128 // d)] * 2, mode="area")
            want = F.interpolate(plain.backbone(small)[-1], own[0].shape[2:], mode="bilinear")
            torch.testing.assert_close(y, want)
        assert m.predict(x).boxes.shape[0] == 1
    torch.testing.assert_close(looks.features(m, x), own)


def test_looks_are_studied(tmp_path: Path) -> None:
    run = short(tmp_path / "run", "2steps", "tridentnet").path
    record = looks.study([run], scenes(2, "val"), tmp_path / "out", limit=2, device="cpu")
    rows = {r["way"]: r["cosine"] for r in record["rows"]}
    assert tuple(rows) == looks.WAYS and len(looks.table(record)[1]) == 5
    assert rows["as it is"] == pytest.approx([1, 1, 1]) == rows["dilated"]
    for way in ("resampled", "pyramid", "undilated"):
        assert rows[way][0] == pytest.approx(1) and all(-1 <= c < 0.9999 for c in rows[way][1:])
    assert "<table" in (tmp_path / "out" / "looks.html").read_text() and (tmp_path / "out" / "looks.json").is_file()
    other = short(tmp_path / "other", "2steps", "tridentnet", sets={"shared": False}).path
    with pytest.raises(StemmaError, match="other: looks that share their filters are compared"):
        looks.study([other], scenes(2, "val"), tmp_path / "out", device="cpu")
