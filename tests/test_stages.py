"""Chains of stages and samplers that need losses: Cascade R-CNN and OHEM."""
from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stemma.core import paper as cards
from stemma.core.part import In, edit, part
from stemma.core.types import Batch, Targets
from stemma.ops import boxes as bx
from stemma.papers.localization import cascade_rcnn
from stemma.papers.localization.cascade_rcnn import Integral, cascade, entering
from stemma.parts.dense.assign import ByIoU
from stemma.parts.dense.coders import Delta
from stemma.parts.dense.losses import Softmax
from stemma.parts.dense.sample import Everything, Hardest, HardestAfterNMS, Random, draw
from stemma.parts.regions.heads import RegionHead
from stemma.parts.regions.regions import Regions, kept, with_truth
from stemma.skeletons.stages import Stage
from stemma.skeletons.two_stage import TwoStage, TwoStageModel

SMALL = cards.get("fpn").spec("small")


def count(m: nn.Module) -> int:
    return sum(p.numel() for p in m.parameters())


def total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


@functools.cache
def batch(images: int = 2, objects: int = 3) -> Batch:
    torch.manual_seed(3)
    low = torch.rand(images, objects, 2) * 30
    boxes = torch.cat([low, low + 12 + torch.rand(images, objects, 2) * 20], -1)
    labels = torch.randint(0, 4, (images, objects))
    labels[0, -1] = -1
    size = torch.full((images, 2), 64.0)
    return Batch(torch.rand(images, 3, 64, 64), Targets(boxes, labels), size, size, torch.arange(images))


def net(spec: TwoStage, classes: int = 4) -> TwoStageModel:
    torch.manual_seed(0)
    return spec.build(classes)


def near(t: Targets, seed: int = 0, each: int = 20, spread: float = 6.0) -> Tensor:
    """Boxes around the objects."""
    g = torch.Generator().manual_seed(seed)
    boxes = t.boxes.repeat_interleave(each, 1)
    boxes = boxes + spread * torch.randn(boxes.shape, generator=g)
    low, high = torch.minimum(boxes[..., :2], boxes[..., 2:] - 2), boxes[..., 2:]
    return torch.cat([low, high], -1).clamp(0, 64)


@pytest.mark.parametrize("name,i", [(n, i) for n in ("cascade_rcnn", "ohem") for i in range(len(cards.get(n).facts))])
def test_published_counts(name: str, i: int) -> None:
    card = cards.get(name)
    fact = card.facts[i]
    spec = card.spec(fact.variant or "paper")
    for path, value in fact.sets:
        spec = edit(spec, path, value)
    if fact.what == "regions trained on":
        assert spec.stages[0].count * card.recipe("paper").batch == fact.value
        return
    with torch.device("meta"):
        assert count(spec.build(fact.classes)) == fact.value


# ---------------------------------------------------------------- Cascade R-CNN


class Toward(RegionHead):
    """Says the deltas that move a region `share` of the way to a box, and the same logits always. It has a weight, so
    that losses have a gradient."""

    def __init__(self, inp: In, to: tuple[float, ...], share: float, stds: tuple[float, ...],
                 bias: float = 0.0) -> None:
        super().__init__()
        self.to, self.share, self.coder = to, share, Delta(stds)
        self.logits = nn.Parameter(torch.arange(float(inp.logits)) + bias)

    def forward(self, xs: list[Tensor], boxes: Tensor) -> Any:
        want = self.coder.decode(boxes,
                                 self.share * self.coder.encode(boxes, boxes.new_tensor(self.to).expand_as(boxes)))
        return (self.logits.expand(*boxes.shape[:2], -1),
                self.coder.encode(boxes, want)[:, :, None] + 0 * self.logits.sum())


def chained(shares: tuple[float, ...], to: tuple[float, ...] = (10.0, 12.0, 50.0, 40.0),
            **change: Any) -> TwoStageModel:
    stages = tuple(replace(s, head=part(Toward, to=to, share=share, stds=s.coder.stds))
                   for s, share in zip(cascade(SMALL.stages[0]), shares))
    return net(replace(SMALL, rpn=None, stages=stages, **change)).eval()


def test_heads_that_say_zero_leave_the_regions_where_they_are() -> None:
    m, b = chained((0.0, 0.0, 0.0)), batch()
    b = replace(b, targets=replace(b.targets, proposals=near(b.targets)))
    torch.manual_seed(0)
    seen = list(m.chain(m(b.images), b))
    places = [set(map(tuple, s.regions.boxes[0][s.regions.weight[0] > 0].mul(16).round().int().tolist())) for s in seen]
    objects = set(map(tuple, b.targets.boxes[0].mul(16).round().int().tolist()))
    assert (len(seen) == 3 and places[1] - objects <= places[0] and places[2] - objects <= places[1]
            and len(places[2]) > 8)
    d = m.predict(b.images, b.sizes, near(b.targets))
    known = {tuple(x) for x in near(b.targets)[0].mul(16).round().int().tolist()}
    assert {tuple(x) for x in d.boxes[0][d.labels[0] >= 0].mul(16).round().int().tolist()} <= known


@pytest.mark.oracle("composed codes by hand", "cascade_rcnn")
def test_steps_that_halve_the_way_compose_to_the_object() -> None:
    """Exact regressors: each stage decodes with its own deviations, and what is left after two is what the third was to
    say."""
    to = (10.0, 12.0, 50.0, 40.0)
    d = chained((0.5, 0.5, 1.0), to).predict(batch().images, batch().sizes, near(batch().targets))
    torch.testing.assert_close(d.boxes[d.labels >= 0], torch.tensor(to).expand(int((d.labels >= 0).sum()), 4),
                               atol=1e-3, rtol=0)
    half = chained((0.5, 0.5, 0.5), to).predict(batch().images, batch().sizes, near(batch().targets))
    assert (half.boxes[half.labels >= 0] - torch.tensor(to)).abs().max() > 0.05


def test_objects_stand_in_for_proposals_in_every_stage_anew_and_go_no_further() -> None:
    m, b = chained((0.0, 0.0, 0.0)), batch()
    b = replace(b, targets=replace(b.targets, proposals=near(b.targets, spread=9.0)))
    for seen in m.chain(m(b.images), b):
        r = seen.regions
        for i in range(2):
            real = r.boxes[i][r.weight[i] > 0]
            objects = b.targets.boxes[i][b.targets.labels[i] >= 0]
            again = (real[:, None] == objects).all(-1).sum(0)
            assert (again <= 1).all() and again.sum() > 0
            mine = seen.place[i] < len(objects)
            assert ((r.boxes[i][:, None] == objects).all(-1).any(1) & (r.weight[i] > 0)
                    == mine & (r.weight[i] > 0)).all()


def test_each_stage_asks_for_its_own_overlap() -> None:
    m, b = chained((0.0, 0.0, 0.0)), batch()
    b = replace(b, targets=replace(b.targets, proposals=near(b.targets, spread=4.0)))
    for seen, u in zip(m.chain(m(b.images), b), (0.5, 0.6, 0.7)):
        r = seen.regions
        iou = bx.iou(b.targets.boxes, r.boxes).masked_fill(~b.targets.valid[..., None], 0.0).amax(1)
        assert torch.equal((iou >= u) & (r.weight > 0), r.positive > 0) and 0 < r.positive.sum() < r.weight.sum()


def test_no_gradient_flows_from_one_stage_to_the_one_before() -> None:
    m = net(cards.get("cascade_rcnn").spec("small"))
    losses = m.loss(batch())
    assert set(losses) == {"rpn_cls", "rpn_box", *(f"{k}{i}" for k in ("cls", "box") for i in range(3))}
    (losses["cls2"] + losses["box2"]).backward()
    assert (all(p.grad is None for i in (0, 1) for p in m.heads[i].parameters())
            and all(p.grad is not None for p in m.heads[2].parameters()))


@pytest.mark.oracle("FPN with the same weights", "cascade_rcnn", how="equal losses and boxes")
def test_one_stage_is_the_parent() -> None:
    """T = 1: the losses and the predictions of Faster R-CNN, whatever the average."""
    one = replace(SMALL, stages=(replace(SMALL.stages[0], head=SMALL.stages[0].head.but(deltas="agnostic")),))
    found = []
    for spec in (one, replace(one, stages=cascade(one.stages[0], 1), average="last")):
        m = net(spec)
        torch.manual_seed(5)
        found.append((m.loss(batch()), m.eval().predict(batch().images).boxes))
    assert found[0][0].keys() == found[1][0].keys() and torch.equal(found[0][1], found[1][1])
    for k, v in found[0][0].items():
        assert torch.equal(v, found[1][0][k])


def test_the_loss_is_the_sum_of_the_stages_by_their_weights() -> None:
    spec = cards.get("cascade_rcnn").spec("small")
    assert [s.weight for s in spec.stages] == [1.0, 0.5, 0.25]
    found = []
    for weights in ((1.0, 1.0, 1.0), (1.0, 0.5, 0.25)):
        m = net(replace(spec, stages=tuple(replace(s, weight=w) for s, w in zip(spec.stages, weights))))
        torch.manual_seed(5)
        found.append(m.loss(batch()))
    for i, w in enumerate((1.0, 0.5, 0.25)):
        for k in (f"cls{i}", f"box{i}"):
            torch.testing.assert_close(found[1][k], w * found[0][k])


def test_two_ways_to_average_the_scores() -> None:
    """mmdetection: each head at the regions that it was given. The paper: every head at the last stage's regions."""
    m, b, given = net(replace(cards.get("cascade_rcnn").spec("small"), rpn=None)).eval(), batch(), near(batch().targets)
    for head in m.heads:
        nn.init.normal_(head.predict.cls.weight, std=0.3)
        nn.init.normal_(head.predict.box.weight, std=0.05)
    with torch.no_grad():
        xs, boxes, at, scores = m(b.images).levels, given, [], []
        for i, s in enumerate(m.spec.stages):
            at.append(boxes)
            (logits, deltas), _ = m.see(i, xs, boxes)
            scores.append(logits.softmax(-1)[..., :-1])
            boxes = bx.clip(s.coder.decode(boxes, deltas[:, :, 0]), b.sizes)
        own = torch.stack(scores).mean(0)
        last = torch.stack([m.see(i, xs, at[2])[0][0].softmax(-1)[..., :-1] for i in range(3)]).mean(0)
    assert not torch.allclose(own, last, atol=1e-3)
    for average, want in (("own", own), ("last", last)):
        m.spec = replace(m.spec, average=average)
        d = m.predict(b.images, b.sizes, given)
        torch.testing.assert_close(d.scores[:, 0], want.flatten(1).amax(1))


def test_iterative_boxes_are_one_head_three_times() -> None:
    """Fig. 3 b: training sees one stage; prediction composes the head with itself, and scores where it arrives."""
    m = net(cards.get("cascade_rcnn").spec("iterative-small")).eval()
    assert len(m.heads) == 1 and m.spec.rounds == 3 and set(m.loss(batch())) == {"rpn_cls", "rpn_box", "cls", "box"}
    m = net(replace(m.spec, rpn=None)).eval()
    nn.init.normal_(m.heads[0].predict.box.weight, std=0.05)
    boxes = given = near(batch().targets)
    with torch.no_grad():
        xs = m(batch().images).levels
        for _ in range(3):
            (logits, deltas), _ = m.see(0, xs, boxes)
            boxes = bx.clip(m.spec.stages[0].coder.decode(boxes, deltas[:, :, 0]), batch().sizes)
    d = m.predict(batch().images, batch().sizes, given)
    torch.testing.assert_close(d.scores[:, 0], logits.softmax(-1)[..., :-1].flatten(1).amax(1))
    found = (d.boxes[0][:, None] - boxes[0]).abs().amax(-1).amin(1)
    assert (found[d.labels[0] >= 0] < 1e-3).all()


@pytest.mark.oracle("the parent's loss, overlap by overlap", "cascade_rcnn")
def test_the_integral_loss_is_a_sum_over_overlaps() -> None:
    """L_cls(h(x), y) = sum over u of L_cls(h_u(x), y_u); scores are the classifiers' mean."""
    stage = cards.get("cascade_rcnn").spec("integral-small").stages[0]
    assert isinstance(stage, Integral) and stage.logits(4) == 15
    t = Targets(torch.tensor([[[0.0, 0, 10, 10]]]), torch.tensor([[2]]))
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 6.5], [0, 0, 10, 5.5], [0, 0, 10, 3], [40, 40, 50, 50]]])
    r = stage.label(boxes, t, 4)
    logits = torch.randn(1, 5, 15)
    labels = torch.tensor([[2, 2, 2], [2, 2, 4], [2, 4, 4], [4, 4, 4], [4, 4, 4]])
    want = sum(Softmax()(logits[0, :, 5 * u : 5 * u + 5], labels[:, u]) for u in range(3))
    torch.testing.assert_close(stage.class_cost(logits, r, t)[0], want)
    torch.testing.assert_close(replace(stage, average=True).class_cost(logits, r, t)[0], want / 3)
    torch.testing.assert_close(stage.scores(logits), logits.view(1, 5, 3, 5).softmax(-1)[..., :4].mean(2))
    one = Integral(**{**{f: getattr(stage, f) for f in ("head", "assign", "sample", "box", "count", "positive")},
                      "overlaps": (0.5,)})
    torch.testing.assert_close(one.class_cost(logits[..., :5], r, t), Stage().class_cost(logits[..., :5], r, t))
    m = net(cards.get("cascade_rcnn").spec("integral-small"))
    total(m.loss(batch())).backward()
    assert all(p.grad is not None for p in m.parameters()) and m.heads[0].predict.cls.out_features == 15


def test_regions_that_enter_each_stage_are_counted() -> None:
    """Fig. 4 of the paper, on heads that halve the way to an object: the overlaps grow from stage to stage."""
    b = batch()
    to = tuple(b.targets.boxes[1, 0].tolist())
    b = replace(b, targets=Targets(b.targets.boxes[:, :1] * 0 + torch.tensor(to), b.targets.labels[:, :1],
                                   proposals=near(b.targets, spread=5.0)))
    m = chained((0.3, 0.3, 0.3), to)
    found, share = entering(m, b, 10)
    middle = (found * (torch.arange(10) + 0.5)).sum(1) / found.sum(1)
    assert (found.shape == (3, 10) and middle[0] < middle[1] < middle[2] and share.shape == (3,)
            and ((share >= 0) & (share <= 1)).all())


def test_stage_counts_of_the_ablation() -> None:
    for preset, n in (("one", 1), ("two", 2), ("paper", 3), ("four", 4)):
        spec = cascade_rcnn.spec(preset)
        assert ([s.assign for s in spec.stages] == [ByIoU(u, u) for u in (0.5, 0.6, 0.7, 0.75)[:n]]
                and spec.average == "last")
    assert spec.stages[2].coder == Delta((0.033, 0.033, 0.067, 0.067))


def test_kept_boxes_come_first_and_the_rest_has_no_area() -> None:
    boxes = torch.arange(16.0).view(1, 4, 4) + 1
    got = kept(boxes, torch.tensor([[False, True, False, True]]))
    assert torch.equal(got[0, :2], boxes[0, [1, 3]]) and got[0, 2:].abs().sum() == 0


def test_places_that_are_empty_pay_nothing() -> None:
    r = Regions(torch.rand(1, 3, 4), torch.tensor([[1, 4, 4]]), torch.zeros(1, 3, dtype=torch.long),
                torch.tensor([[1.0, 1, 0]]), torch.tensor([[1.0, 0, 0]]))
    assert r.state.tolist() == [[1, 0, -1]]
    again = r.at(torch.tensor([[1, -1]]))
    assert (again.weight.tolist() == [[1, 0]] and again.positive.tolist() == [[0, 0]]
            and again.state.tolist() == [[0, -1]])
    cls, box = Stage().cost(torch.randn(1, 3, 5), torch.randn(1, 3, 5, 4), r,
                            Targets(torch.rand(1, 2, 4) + torch.tensor([0.0, 0, 1, 1]), torch.tensor([[1, 0]])))
    assert (cls > 0).tolist() == [[True, True, False]] and (box > 0).tolist() == [[True, False, False]]


# ---------------------------------------------------------------- OHEM


def mined(sample: Any = None, **change: Any) -> TwoStageModel:
    """The small Faster R-CNN on given proposals, all of which overlap an object or none."""
    spec = cards.get("ohem").spec("small")
    stage = replace(spec.stages[0], sample=sample or spec.stages[0].sample, **change)
    return net(replace(spec, rpn=None, stages=(stage,)))


def given() -> Batch:
    b = batch()
    away = torch.rand(2, 12, 2, generator=torch.Generator().manual_seed(1)) * 40
    boxes = torch.cat([near(b.targets, each=12), torch.cat([away, away + 14], -1)], 1)
    return replace(b, targets=replace(b.targets, proposals=boxes))


def by_hand(boxes: Tensor, loss: Tensor, labels: Tensor, ok: Tensor, count: int, iou: float,
            per_label: bool) -> set[int]:
    """One picture, one region after another."""
    kept: list[int] = []
    for i in loss.masked_fill(~ok, -1.0).argsort(descending=True, stable=True).tolist():
        near_by = [j for j in kept if (labels[j] == labels[i] or not per_label)
                   and bx.iou(boxes[i : i + 1], boxes[j : j + 1]).item() > iou]
        if ok[i] and not near_by:
            kept.append(i)
    return set(kept[:count])


@pytest.mark.parametrize("per_label", [True, False])
@pytest.mark.parametrize("count,iou", [(6, 0.7), (6, 0.3), (200, 0.5)])
@pytest.mark.oracle("a loop over regions", "ohem", how="the same regions")
def test_the_highest_losses_after_suppression_as_by_hand(count: int, iou: float, per_label: bool) -> None:
    b = given()
    boxes = b.targets.proposals
    assert boxes is not None
    loss, labels = torch.rand(boxes.shape[:2]), torch.randint(0, 4, boxes.shape[:2])
    state = torch.randint(-1, 2, boxes.shape[:2])
    used = draw(HardestAfterNMS(count, iou, per_label), state, loss, boxes, labels)
    for i in range(2):
        assert set(used[i].nonzero()[:, 0].tolist()) == by_hand(boxes[i], loss[i], labels[i], state[i] >= 0, count,
                                                                iou, per_label)
    assert used.sum() > 6


def test_the_hardest_without_suppression() -> None:
    state, loss = torch.tensor([[1, 0, -1, 0]]), torch.tensor([[0.1, 0.5, 9.0, 0.7]])
    assert Hardest(2)(state, loss).tolist() == [[False, True, False, True]]
    assert Hardest(9)(state, loss).tolist() == Everything()(state, loss).tolist() == [[True, True, False, True]]


def grads(m: TwoStageModel, b: Batch) -> list[Tensor]:
    m.zero_grad()
    total(m.loss(b)).backward()
    return [p.grad.clone() for p in m.parameters() if p.grad is not None]


@pytest.mark.oracle("gradient of the masked loss", "ohem")
def test_the_gradient_is_that_of_the_masked_loss() -> None:
    """Sec. 4.2: a second look at the chosen regions alone, or one look at all of which the chosen pay,
    or a mask on the loss of all."""
    b = given()
    twice, once = mined(), mined(once=True)
    once.load_state_dict(twice.state_dict())
    s = twice.spec.stages[0]
    for m in (twice, once):
        m.eval()  # batch norm must not learn in between
    got = grads(twice, b)
    for a, c in zip(got, grads(once, b), strict=True):
        torch.testing.assert_close(a, c, atol=1e-6, rtol=1e-4)
    twice.zero_grad()
    xs = twice(b.images).levels
    every = s.label(with_truth(b.targets.proposals, b.targets), b.targets, 4)
    (logits, deltas), _ = twice.see(0, xs, every.boxes)
    cls, box = s.cost(logits, deltas, every, b.targets)
    mask = draw(s.sample, every.state, (cls + box).detach(), every.boxes, every.labels)
    assert 0 < mask.sum() < (every.weight > 0).sum()
    (((cls + box) * mask).sum() / mask.sum()).backward()
    for a, p in zip(got, (p for p in twice.parameters() if p.grad is not None), strict=True):
        torch.testing.assert_close(a, p.grad, atol=1e-6, rtol=1e-4)


def test_enough_room_and_no_suppression_is_the_loss_of_all() -> None:
    b = given()
    n = b.targets.proposals.shape[1]
    found = [mined(sample, count=n).eval().loss(b) for sample in (Hardest(n), Everything(), HardestAfterNMS(n, 1.0))]
    for k in found[0]:
        torch.testing.assert_close(found[0][k], found[1][k])
        torch.testing.assert_close(found[0][k], found[2][k])


def test_the_look_that_ranks_sees_what_the_look_that_learns_sees() -> None:
    """The loss without gradient equals the loss with it; dropout rests in the first, so that dice do not rank."""
    m, b = mined().train(), given()
    spec = m.spec.stages[0]
    m = net(replace(m.spec, stages=(replace(spec, head=spec.head.but(dropout=0.5)),))).train()
    xs = m(b.images).levels
    with torch.no_grad():
        quiet = [m.see(0, xs, b.targets.proposals)[0][0] for _ in range(2)]
    loud = m.see(0, xs, b.targets.proposals)[0][0]
    assert torch.equal(*quiet) and not torch.allclose(quiet[0], loud)
    torch.testing.assert_close(m.eval().see(0, xs, b.targets.proposals)[0][0], quiet[0])


def test_chosen_regions_cost_more_than_those_left_and_no_ratio_rules_them() -> None:
    m, b = mined(Hardest(10), count=10).eval(), given()
    seen = m.look(0, m(b.images).levels, b.targets.proposals, b.targets)
    s = m.spec.stages[0]
    every = s.label(b.targets.proposals, b.targets, 4)
    cls, box = s.cost(*m.see(0, m(b.images).levels, every.boxes)[0], every, b.targets)
    mine = sum(s.cost(seen.logits, seen.deltas, seen.regions, b.targets))
    cut = (cls + box).sort(1, descending=True).values[:, 9]
    assert seen.regions.weight.sum() == 20 and (mine >= cut[:, None] - 1e-5).all()


@pytest.mark.parametrize("name", ["fpn", "mask_rcnn", "cascade_rcnn", "ssd"])
def test_any_system_takes_the_sampler(name: str) -> None:
    """Faster R-CNN's family in its stages and in its proposal network, SSD in its rule."""
    spec = cards.get(name).spec("small")
    if name == "ssd":
        m = replace(spec, rule=replace(spec.rule, sample=HardestAfterNMS(20, 0.7))).build(4)
        b = replace(batch(), images=torch.rand(2, 3, 128, 128))
    else:
        stages = tuple(replace(s, sample=HardestAfterNMS(16, 0.7), count=16, positive=1.0) for s in spec.stages)
        m, b = replace(spec, stages=stages, rpn=replace(spec.rpn, sample=HardestAfterNMS(32, 0.7))).build(4), batch()
        b = replace(b, targets=replace(b.targets, masks=torch.rand(2, 3, 64, 64) > 0.5))
    total(m.loss(b)).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in m.parameters())


def test_the_pair_differs_in_the_sampler_alone() -> None:
    """`compare faster-rcnn ohem` is fair: one net, one recipe, the same proposals;
    only what is chosen of them differs."""
    from stemma.core.part import diff

    base, hard = cards.get("faster_rcnn"), cards.get("ohem")
    for preset in ("paper", "small"):
        assert base.recipe(preset) == hard.recipe(preset)
        changed = {path.split(".", 2)[2].split(".")[0] for path in diff(base.spec(preset), hard.spec(preset))}
        assert changed == {"sample", "count", "positive"}
    assert isinstance(base.spec().stages[0].sample, Random)
