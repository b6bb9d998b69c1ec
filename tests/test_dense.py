"""One-stage detectors as wholes: published counts, YOLO's loss restated, proposals against torchvision's,
invariances, one graph."""
from __future__ import annotations

import importlib
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

from stemma.core.paper import Fact, Paper
from stemma.core.part import In, edit, part
from stemma.core.types import Batch, Targets
from stemma.engine.running.optim import groups_of
from stemma.ops import boxes as bx
from stemma.papers.localization import retinanet, ssd, yolo_v1
from stemma.parts.backbones.vgg import VGG16
from stemma.parts.dense.anchors import CellBoxes, Pyramid, lay
from stemma.parts.dense.assign import ByCell, ByIoU
from stemma.parts.dense.coders import RootCell
from stemma.parts.dense.heads import RPNHead
from stemma.parts.dense.losses import GIoU, Sigmoid, SmoothL1, Softmax
from stemma.parts.dense.sample import Everything, HardestAfterNMS, HardNegatives, Random
from stemma.parts.dense.select import PerClass, PerLevel, Proposals
from stemma.skeletons.dense import Dense, DenseModel, DenseRaw, DenseRule

CARDS = (retinanet.PAPER, ssd.PAPER, yolo_v1.PAPER)
FACTS = [(card, fact) for card in CARDS for fact in card.facts]
SIDES = {"ssd": 300, "ssd512": 512, "yolo_v1": 448}


def meta(card: Paper, fact: Fact) -> DenseModel:
    spec = card.spec(fact.variant or "paper")
    for path, value in fact.sets:
        spec = edit(spec, path, value)
    with torch.device("meta"):
        return spec.build(fact.classes)  # type: ignore[no-any-return]


@pytest.mark.parametrize("card,fact", FACTS, ids=lambda x: x.name if isinstance(x, Paper) else f"{x.what}-{x.variant}")
def test_published_counts(card: Paper, fact: Fact) -> None:
    model = meta(card, fact)
    if fact.what == "parameters":
        assert sum(p.numel() for p in model.parameters()) == fact.value
        return
    if fact.what.startswith("anchors of"):
        size = (800, 1344)
    else:
        size = (SIDES.get(fact.variant) or SIDES[card.name],) * 2
    with torch.device("meta"):
        raw = model(torch.empty(1, 3, *size))
    if fact.what == "outputs":
        assert 49 * (5 * raw.logits.shape[1] // 49 + raw.logits.shape[2]) == fact.value
    else:
        assert raw.logits.shape[1] == fact.value == sum(raw.levels)


def test_vgg16_has_its_published_size_without_the_classifier() -> None:
    with torch.device("meta"):
        ours, theirs = VGG16(In((3,), (1,))), torchvision.models.vgg16()
    assert sum(p.numel() for p in ours.parameters()) == 14_714_688
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict()
                                                                  .items() if k.startswith("features")}


# ---------------------------------------------------------------- YOLO's loss, restated from the published code


def slow_yolo(grid: np.ndarray, boxes: list[list[float]], labels: list[int], per: int, side: float,
              rescore: bool) -> dict[str, float]:
    """Darknet's detection layer for one picture, cell by cell. `grid` is [S, S, per * 5 + C]; boxes in pixels."""
    s, c = grid.shape[0], grid.shape[2] - 5 * per
    taken: dict[tuple[int, int], tuple[np.ndarray, int]] = {}
    for (x1, y1, x2, y2), label in zip(boxes, labels):
        x, y, w, h = (x1 + x2) / 2 / side, (y1 + y2) / 2 / side, (x2 - x1) / side, (y2 - y1) / side
        taken.setdefault((int(y * s), int(x * s)), (np.array([x, y, w, h]), label))
    cost = {"box": 0.0, "object": 0.0, "cls": 0.0}
    for row in range(s):
        for col in range(s):
            each = grid[row, col, : 5 * per].reshape(per, 5)
            cost["object"] += 0.5 * (each[:, 4] ** 2).sum()
            if (row, col) not in taken:
                continue
            truth, label = taken[row, col]
            cost["cls"] += ((grid[row, col, 5 * per :] - np.eye(c)[label]) ** 2).sum()
            best, best_iou, best_rmse = 0, 0.0, 20.0
            for j in range(per):
                said = np.array([(each[j, 0] + col) / s, (each[j, 1] + row) / s, each[j, 2] ** 2, each[j, 3] ** 2])
                iou, rmse = overlap(said, truth), math.sqrt(((said - truth) ** 2).sum())
                if best_iou > 0 or iou > 0:
                    if iou > best_iou:
                        best, best_iou = j, iou
                elif rmse < best_rmse:
                    best, best_rmse = j, rmse
            conf = each[best, 4]
            cost["object"] += (conf - (best_iou if rescore else 1.0)) ** 2 - 0.5 * conf**2
            want = np.array([truth[0] * s - col, truth[1] * s - row, math.sqrt(truth[2]), math.sqrt(truth[3])])
            cost["box"] += 5 * ((each[best, :4] - want) ** 2).sum()
    return cost


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    side = [max(0.0, min(a[i] + a[i + 2] / 2, b[i] + b[i + 2] / 2) - max(a[i] - a[i + 2] / 2, b[i] - b[i + 2] / 2))
            for i in (0, 1)]
    both = side[0] * side[1]
    return float(both / (a[2] * a[3] + b[2] * b[3] - both))


class Said(nn.Module):
    """A head that says a given grid."""

    def __init__(self, grid: Tensor, per: int) -> None:
        super().__init__()
        self.grid, self.per = grid, per

    def raw(self, side: float) -> DenseRaw:
        b, s, _, _ = self.grid.shape
        at = lay(CellBoxes(self.per), ((s, s),), (int(side // s),), (int(side), int(side)), self.grid)
        y = self.grid.flatten(1, 2)
        boxes = y[..., : 5 * self.per].unflatten(-1, (self.per, 5)).flatten(1, 2)
        cls = y[..., 5 * self.per :].unsqueeze(2).expand(-1, -1, self.per, -1).flatten(1, 2)
        return DenseRaw(cls, boxes[..., :4], boxes[..., 4], at.boxes, at.stride, at.levels, (int(side), int(side)))


@pytest.mark.parametrize("rescore", [True, False])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.oracle("the published code, restated", "yolo_v1")
def test_eq_3_equals_the_published_code_restated(seed: int, rescore: bool) -> None:
    rng = np.random.default_rng(seed)
    s, per, c, side = 5, 2, 3, 100.0
    grid = rng.normal(0.3, 0.4, (2, s, s, 5 * per + c))
    grid[0, :, :, [2, 3, 7, 8]] *= 0.1 if seed == 0 else 1.0  # tiny guesses that overlap nothing: the error decides
    low = rng.uniform(0, 60, (2, 4, 2))
    boxes = np.concatenate([low, low + rng.uniform(8, 40, (2, 4, 2))], -1)
    boxes[1, 1] = boxes[1, 0] + [1, 1, -1, -1]  # two centres in one cell: the first has it
    labels = rng.integers(0, c, (2, 4))
    labels[0, 3] = -1
    rule = yolo_v1.YoloRule(coder=RootCell(s), rescore=rescore)
    t = Targets(torch.tensor(boxes), torch.tensor(labels))
    got = rule.loss(Said(torch.tensor(grid), per).raw(side), t, c)
    real = [labels[i] >= 0 for i in (0, 1)]
    want = [slow_yolo(grid[i], boxes[i][real[i]].tolist(), labels[i][real[i]].tolist(), per, side, rescore)
            for i in (0, 1)]
    for k, v in got.items():
        assert v.item() == pytest.approx((want[0][k] + want[1][k]) / 2, rel=1e-5), k


def test_an_iou_is_no_path_for_gradients() -> None:
    grid = torch.full((1, 2, 2, 12), 0.4, requires_grad=True)
    t = Targets(torch.tensor([[[5.0, 5.0, 40.0, 40.0]]]), torch.tensor([[0]]))
    loss = yolo_v1.YoloRule(coder=RootCell(2)).loss(Said(grid, 2).raw(100.0), t, 2)["object"]
    (slope,) = torch.autograd.grad(loss, grid)
    assert (slope[..., [4, 9]] != 0).all() and (slope[..., [0, 1, 2, 3, 5, 6, 7, 8, 10, 11]] == 0).all()


def test_a_yolo_of_one_class_over_anchors_has_the_targets_of_an_rpn() -> None:
    """Swap the cells for anchors and the matching rule for IoU, and what remains to be learned is an RPN's."""
    anchors, assign = Pyramid((2.0, 4.0)), ByIoU(0.7, 0.3, rescue=True)
    rpn = DenseRule(anchors=anchors, assign=assign, sample=Random(64, 0.5), cls=Sigmoid(), divide="sampled")
    yolo = replace(yolo_v1.spec("small").rule, anchors=anchors, assign=assign, coder=rpn.coder)
    t, batch = targets_of(2, 5), torch.rand(2, 3, 128, 128)
    raw = Dense(rule=rpn, head=part(RPNHead)).build(1)(batch)
    for a, b in zip(rpn.targets(raw, t, 1), yolo.targets(replace(raw, object=raw.logits[..., 0]), t, 1)):
        assert torch.equal(a, b)
    assert not torch.equal(rpn.targets(raw, t, 1)[0], replace(rpn, assign=ByIoU(0.5, 0.5)).targets(raw, t, 1)[0])
    assert isinstance(yolo_v1.spec().rule.assign, ByCell)


# ---------------------------------------------------------------- rules


def targets_of(images: int, objects: int, side: float = 128.0, seed: int = 0) -> Targets:
    g = torch.Generator().manual_seed(seed)
    low = torch.rand(images, objects, 2, generator=g) * side * 0.6
    boxes = torch.cat([low, low + 12 + torch.rand(images, objects, 2, generator=g) * side * 0.3], -1)
    return Targets(boxes, torch.randint(0, 8, (images, objects), generator=g),
                   torch.zeros(images, objects, dtype=torch.bool))


def batch_of(images: int = 2, objects: int = 4) -> Batch:
    t, sizes = targets_of(images, objects), torch.full((images, 2), 128.0)
    return Batch(torch.rand(images, 3, 128, 128), t, sizes, sizes, torch.arange(images))


def cut(t: Targets, i: int) -> Targets:
    return t.map(lambda v: v[i : i + 1])


@pytest.mark.parametrize("card", CARDS, ids=lambda c: c.name)
def test_padding_changes_no_loss_and_pictures_are_independent(card: Paper) -> None:
    model, batch = card.spec("small").build(8).eval(), batch_of()
    raw, t = model(batch.images), batch.targets
    whole = model.rule.loss(raw, t, 8, batch.sizes)
    wide = Targets(*(torch.cat([v, v.new_full((2, 3, *v.shape[2:]), fill)], 1)  # type: ignore[union-attr]
                     for v, fill in ((t.boxes, 0), (t.labels, -1), (t.crowd, 0))))
    for k, v in model.rule.loss(raw, wide, 8, batch.sizes).items():
        torch.testing.assert_close(v, whole[k])
    if getattr(model.rule, "divide", "") == "positives":
        return  # the batch shares one count
    parts = [model.rule.loss(model(batch.images[i : i + 1]), cut(t, i), 8, batch.sizes[i : i + 1]) for i in (0, 1)]
    for k, v in whole.items():
        torch.testing.assert_close(v, (parts[0][k] + parts[1][k]) / 2, rtol=1e-4, atol=1e-5)


def test_a_crowd_is_neither_asked_for_nor_counted_against() -> None:
    """An object moved from the crowd's place to nowhere leaves the loss at the anchors outside it as it was."""
    model, batch = retinanet.spec("small").build(8).eval(), batch_of(1, 2)
    raw = model(batch.images)
    t = replace(batch.targets, boxes=torch.tensor([[[8.0, 8, 60, 60], [64, 64, 128, 128]]]),
                crowd=torch.tensor([[False, True]]))
    state, _, label = model.rule.targets(raw, t, 8, batch.sizes)
    inside = bx.iof(raw.references()[0], t.boxes[0, 1:])[:, 0] > 0.5
    assert (state[0, inside] != 1).all() and (state[0] == -1).sum() >= inside.sum() > 0
    alone, _, _ = model.rule.targets(raw, replace(t, labels=torch.tensor([[t.labels[0, 0], -1]])), 8, batch.sizes)
    assert torch.equal(alone[0, ~inside], state[0, ~inside]) and (label[0, state[0] != 1] == 8).all()


@pytest.mark.parametrize("divide,count", [("positives", 7.0), ("sampled", 30.0)])
def test_who_divides(divide: str, count: float) -> None:
    raw = DenseRaw(torch.zeros(2, 20, 1), torch.zeros(2, 20, 4), None, torch.rand(20, 4), torch.ones(20),
                   (20,), (10, 10))
    state = torch.zeros(2, 20, dtype=torch.long)
    state[0, :5], state[1, :2], state[:, 15:] = 1, 1, -1

    class Given(ByIoU):
        def __call__(self, c: object, t: object) -> tuple[Tensor, Tensor]:
            return state, torch.zeros_like(state)

    rule = DenseRule(assign=Given(), cls=Sigmoid(), sample=Everything(), divide=divide)  # type: ignore[arg-type]
    loss = rule.loss(raw, Targets(torch.zeros(2, 1, 4), torch.zeros(2, 1, dtype=torch.long)), 1)["cls"]
    assert loss.item() == pytest.approx(30 * math.log(2) / count, rel=1e-6)
    each = (replace(rule, divide="positives of each picture")
            .loss(raw, Targets(torch.zeros(2, 1, 4), torch.zeros(2, 1, dtype=torch.long)), 1)["cls"])
    assert each.item() == pytest.approx((15 / 5 + 15 / 2) / 2 * math.log(2), rel=1e-6)


def random_raw(levels: tuple[tuple[int, int], ...], logits: int, per: int, seed: int = 0) -> tuple[DenseRule, DenseRaw]:
    g = torch.Generator().manual_seed(seed)
    anchors = Pyramid(tuple(4.0 * 2 ** (i / per) for i in range(per)), (1.0,))
    grid = lay(anchors, levels, tuple(8 * 2**i for i in range(len(levels))), (96, 128), torch.zeros(()))
    n = len(grid.boxes)
    raw = DenseRaw(torch.randn(2, n, logits, generator=g), torch.randn(2, n, 4, generator=g) * 0.4, None, grid.boxes,
                   grid.stride, grid.levels, (96, 128))
    return DenseRule(anchors=anchors), raw


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("cls", [Sigmoid(), Softmax()], ids=["sigmoid", "softmax"])
def test_proposals_equal_torchvisions(cls: Sigmoid | Softmax, training: bool) -> None:
    rule, raw = random_raw(((12, 16), (6, 8), (3, 4)), 1 + cls.extra, 2)
    rule = replace(rule, cls=cls, proposals=Proposals(pre=60, keep=40, pre_train=100, keep_train=50, nms=0.6))
    net = torchvision.models.detection.rpn.RegionProposalNetwork(
        None, None, 0.7, 0.3, 256, 0.5, {"training": 100, "testing": 60}, {"training": 50, "testing": 40}, 0.6
    )
    net.train(training)
    score = raw.logits[..., 0] if cls.extra == 0 else raw.logits[..., 0] - raw.logits[..., 1]
    decoded = rule.coder.decode(raw.references(), raw.codes)
    sizes = [(96, 128), (90, 100)]
    boxes, scores = net.filter_proposals(decoded, score, sizes, list(raw.levels))
    got = rule.propose(raw, torch.tensor(sizes, dtype=torch.float32), training)
    assert got.boxes.shape == (2, 50 if training else 40, 4)
    for i in range(2):
        ok = got.labels[i] == 0
        torch.testing.assert_close(got.boxes[i][ok], boxes[i])
        torch.testing.assert_close(got.scores[i][ok], scores[i])


def test_the_best_pairs_of_a_level_are_found_through_their_anchors() -> None:
    _, raw = random_raw(((12, 16), (6, 8)), 5, 2)
    scores, label, at = PerLevel(70)(raw.logits, Sigmoid(), raw.levels)
    start = 0
    for level, n in enumerate(raw.levels):
        want = raw.logits[:, start : start + n].flatten(1).sigmoid().topk(70).values
        torch.testing.assert_close(scores[:, 70 * level : 70 * (level + 1)], want)
        start += n
    torch.testing.assert_close(raw.logits.sigmoid()[0, at[0], label[0]], scores[0])


def test_the_best_of_each_class() -> None:
    _, raw = random_raw(((6, 8),), 4, 1)
    scores, label, at = PerClass(9)(raw.logits, Softmax(), raw.levels)
    p = raw.logits.softmax(-1)[..., :3]
    torch.testing.assert_close(scores.view(2, 3, 9), p.transpose(1, 2).topk(9).values)
    torch.testing.assert_close(p[1, at[1], label[1]], scores[1])


def test_a_loss_on_boxes_is_given_boxes() -> None:
    rule, raw = random_raw(((12, 16),), 8, 2)
    t = targets_of(2, 3, 96.0)
    on_boxes = replace(rule, box=GIoU(), cls=Sigmoid()).loss(raw, t, 8)["box"]
    on_codes = replace(rule, box=SmoothL1(), cls=Sigmoid()).loss(raw, t, 8)["box"]
    assert 0 < on_boxes < 2 and torch.isfinite(on_codes)
    right = replace(raw, codes=torch.zeros_like(raw.codes))
    own = Targets(raw.anchors[None, [3, 200]].expand(2, -1, -1), torch.zeros(2, 2, dtype=torch.long))
    exact = replace(rule, assign=ByIoU(0.999, 0.999), box=GIoU(), cls=Sigmoid()).loss(right, own, 8)["box"]
    assert exact.item() == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("name,after", [("ssd", True), ("yolo_v1", True), ("yolo_v2", True), ("retinanet", False)])
def test_boxes_are_whole_while_they_suppress(name: str, after: bool) -> None:
    """Two boxes of one class that are the same inside the picture and not beyond it (IoU .28): the first SSD and YOLO
    cut what is left, Detectron what comes in."""
    card: Any = importlib.import_module(f"stemma.papers.localization.{name}")
    rule, side = card.spec().rule, 448 if name == "yolo_v1" else 128
    wide, inside = torch.tensor([[-95.0, -95, 105, 105], [0, 0, 105, 105]])
    if name.startswith("yolo"):
        stride = 64 if name == "yolo_v1" else 32
        grid = lay(rule.anchors, ((side // stride,) * 2,), (stride,), (side, side), torch.zeros(()))
        per = rule.anchors.counts(1)[0]
        at = [0, 1] if name == "yolo_v1" else [0, (side // stride + 1) * per]  # the cells of their centres
        anchors, strides = grid.boxes[at], grid.stride[at]
    else:
        anchors, strides = torch.stack([wide, inside]), torch.full((2,), 8.0)
    codes = rule.coder.encode(anchors, torch.stack([wide, inside]))
    logits = torch.tensor([[2.0, -9, -9], [1.5, -9, -9]])
    raw = DenseRaw(logits[None], codes[None], torch.tensor([[0.9, 0.8]]), anchors, strides, (2,), (side, side))
    d = rule.predict(raw)
    assert (d.labels == 0).sum() == (2 if after else 1)
    for box in d.boxes[d.labels == 0]:
        torch.testing.assert_close(box, inside, atol=1e-3, rtol=0)


def test_detections_are_cut_to_each_picture() -> None:
    model, batch = ssd.spec("small").build(8).eval(), batch_of()
    out = model.predict(batch.images, torch.tensor([[128.0, 128.0], [50.0, 70.0]]))
    assert out.boxes[1, :, 0::2].max() <= 70 and out.boxes[1, :, 1::2].max() <= 50 and out.boxes[0].max() > 70


@pytest.mark.parametrize("card", CARDS, ids=lambda c: c.name)
def test_the_loss_is_one_graph(card: Paper) -> None:
    """No break anywhere: features to losses, targets included (traced only; the battery compares the numbers)."""
    model, batch = card.spec("small").build(8).eval(), batch_of()
    raw = model(batch.images)

    def rule(logits: Tensor, codes: Tensor, t: Targets) -> Tensor:
        out = model.rule.loss(replace(raw, logits=logits, codes=codes), t, 8, batch.sizes)
        return torch.stack(list(out.values()))

    torch._dynamo.reset()
    torch.manual_seed(0)
    eager = rule(raw.logits, raw.codes, batch.targets)
    torch.manual_seed(0)
    compiled = torch.compile(rule, fullgraph=True, backend="eager")(raw.logits, raw.codes, batch.targets)
    torch.testing.assert_close(eager, compiled)


def test_ssd_biases_learn_twice_as_fast_and_do_not_decay() -> None:
    for group in groups_of(ssd.spec("small").build(3), ssd.recipe()):
        biases = {name.endswith(".bias") for name in group["names"]}
        assert len(biases) == 1
        assert (group["base_lr"], group["weight_decay"]) == ((2e-3, 0.0) if biases.pop() else (1e-3, 5e-4))


@pytest.mark.parametrize("preset", ["paper", "cfg"])
def test_yolos_weights_decay_and_neither_biases_nor_norms_do(preset: str) -> None:
    """As update_convolutional_layer and its likes do in Darknet."""
    with torch.device("meta"):
        net = yolo_v1.spec(preset).build(20)
    decays = {n for g in groups_of(net, yolo_v1.recipe(preset)) if g["weight_decay"] == 5e-4 for n in g["names"]}
    assert decays == {n for n, p in net.named_parameters() if p.ndim > 1 and not n.endswith("bias")}


def test_table_1_d_hard_example_mining_takes_retinanets_rule() -> None:
    """Focal loss paper, sec. 5.1: the anchors of highest loss after suppression, each picture's own, pay alone; or as in
    SSD three of background for each positive."""
    torch.manual_seed(0)
    spec, t, few = retinanet.spec("small"), targets_of(2, 5), HardestAfterNMS(16, 0.7)
    raw = spec.build(8)(torch.rand(2, 3, 128, 128))
    rule = replace(spec.rule, cls=Sigmoid(), sample=few, divide="sampled")
    state, _, label = rule.targets(raw, t, 8)
    cost = rule.cls(raw.logits, label)
    used = few(state, cost, raw.references(), label)
    assert (used.sum(1) == 16).all() and (used & (state == 1)).any()
    assert rule.loss(raw, t, 8)["cls"].item() == pytest.approx((cost * used).sum().item() / 32, rel=1e-5)
    three = HardNegatives(3)(state, cost)
    loss = replace(rule, sample=HardNegatives(3)).loss(raw, t, 8)
    assert three.sum() == 4 * (state == 1).sum()
    assert loss["cls"].item() == pytest.approx((cost * three).sum().item() / three.sum().item(), rel=1e-5)


def test_retinanet_makes_p6_from_c5_and_torchvisions_from_p5() -> None:
    for preset, channels in (("paper", 2048), ("torchvision", 256)):
        with torch.device("meta"):
            net = retinanet.spec(preset).build(3)
        assert net.neck.p6.in_channels == channels
