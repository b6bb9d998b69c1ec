"""Relation Networks: attention that knows how regions lie, duplicates that are learned, staged and joint."""
from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import stemma
from engine_help import noisy_batch, scenes, short
from learning import Learned
from stemma.core import paper as cards
from stemma.core.types import Detections, StemmaError, Targets
from stemma.data.scenes import Scenes
from stemma.engine.pictures.trainer import Trainer
from stemma.ops import boxes as bx
from stemma.papers.localization import relation_networks
from stemma.parts.dense.post import SoftNMS
from stemma.parts.regions import relation
from stemma.parts.regions.relation import DuplicateRemoval, Relation, embed, geometry, pair_logs, wanted, waves

CARD = cards.get("relation-networks")


def net(preset: str = "small", **sets: Any) -> Any:
    torch.manual_seed(0)
    return stemma.build("relation-networks", preset, 4, sets or None)


def some(n: int, seed: int = 0, images: int = 2) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    low = torch.rand(images, n, 2, generator=g) * 80
    return torch.cat([low, low + 4 + torch.rand(images, n, 2, generator=g) * 40], -1)


def lively(m: nn.Module) -> nn.Module:
    """With weights large enough to tell."""
    with torch.no_grad():
        for p in m.parameters():
            p.copy_(torch.randn_like(p) * 0.3)
    return m


def test_published_counts() -> None:
    with torch.device("meta"):
        m = relation_networks.spec().build(80)
    count = lambda x: sum(p.numel() for p in x.parameters())  # noqa: E731
    found = {"parameters of a relation module": count(m.head.relations[0]),
             "parameters of the duplicate removal": count(m.removal),
             "parameters of both relation modules": count(m.head.relations)}
    assert found == {f.what: f.value for f in CARD.facts}


# ---------------------------------------------------------------- the module


def test_an_epoch_of_the_authors_sees_mirror_images_too() -> None:
    """FLIP, end_epoch 8 and lr_step 5.33 (the removal by itself: 3 and 2), lr .0005 and wd .0005 on the sum over four
    pictures, in experiments/relation_rcnn/cfgs."""
    card = cards.get("relation_networks")
    for preset, length in (("paper", "16epochs"), ("nms", "16epochs"), ("fpn", "16epochs"), ("staged", "22epochs")):
        r = card.recipe(preset)
        assert r.length == length and r.weight_decay == pytest.approx(5e-4 / 4) and re.search(r.no_decay, "heads.0.bias")
    r = card.recipe("staged")
    assert [p.milestones for p in r.phases] == [(5.33 / 8,), (2 / 3,)]


@pytest.mark.oracle("torch's MultiheadAttention", "relation_networks")
def test_with_constant_geometry_it_is_multi_head_attention() -> None:
    """Eq. 2 to 6 with w_G = 1: scaled dot products, without a last layer; some regions are no keys."""
    torch.manual_seed(1)
    m = lively(Relation(32, heads=4, key=8, embed=16))
    theirs = nn.MultiheadAttention(32, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([m.query.weight, m.key.weight, m.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([m.query.bias, m.key.bias, m.value.bias]))
        theirs.out_proj.weight.copy_(torch.eye(32))
        theirs.out_proj.bias.zero_()
    x, keys = torch.randn(2, 9, 32), torch.rand(2, 9) > 0.3
    ours = m(x, torch.zeros(2, 9, 9, 4), keys)
    torch.testing.assert_close(ours, theirs(x, x, x, key_padding_mask=~keys, need_weights=False)[0], atol=1e-5,
                               rtol=1e-5)


@pytest.mark.oracle("eq. 2 to 6 in loops", "relation_networks")
def test_the_module_by_its_equations() -> None:
    torch.manual_seed(2)
    m, n = lively(Relation(16, heads=2, key=4, embed=16)).requires_grad_(False), 5
    boxes, x = some(n, images=1), torch.randn(1, n, 16)
    (near,) = pair_logs(geometry(boxes), [m.geometry])
    found = m(x, near, torch.ones(1, n, dtype=torch.bool))[0]
    for i in range(n):
        for h in range(2):
            weights = []
            for j in range(n):
                (xi, yi, wi, hi), (xj, yj, wj, hj) = (
                    [float((b[0] + b[2]) / 2), float((b[1] + b[3]) / 2), float(b[2] - b[0]), float(b[3] - b[1])]
                    for b in (boxes[0, i], boxes[0, j]))
                four = [math.log(max(abs(xi - xj) / wi, 1e-3)), math.log(max(abs(yi - yj) / hi, 1e-3)),
                        math.log(wi / wj), math.log(hi / hj)]
                e = [f(100 * v / 1000 ** (k / 2)) for v in four for f in (math.sin, math.cos) for k in range(2)]
                g = max(float(m.geometry.weight[h] @ torch.tensor(e) + m.geometry.bias[h]), 0.0)
                q, k = (layer(x[0, r])[4 * h : 4 * h + 4] for layer, r in ((m.query, i), (m.key, j)))
                weights.append(max(g, 1e-6) * math.exp(float(q @ k) / 2))
            share = torch.tensor(weights) / sum(weights)
            value = (share[:, None] * x[0]).sum(0)  # the mean first and then the layer: they commute
            torch.testing.assert_close(found[i, 8 * h : 8 * h + 8], m.value(value)[8 * h : 8 * h + 8], atol=2e-4,
                                       rtol=1e-3)


def test_geometry_does_not_see_place_scale_nor_order() -> None:
    boxes = some(7)
    torch.testing.assert_close(geometry(boxes * 3.7 + 11), geometry(boxes), atol=1e-3, rtol=1e-3)
    order = torch.randperm(7)
    torch.testing.assert_close(geometry(boxes[:, order]), geometry(boxes)[:, order][:, :, order])
    g = geometry(torch.tensor([[[0.0, 0, 10, 20], [30.0, 0, 50, 80]]]))[0, 0, 1]
    assert g.exp().tolist() == pytest.approx([3.5, 1.5, 0.5, 0.25], rel=1e-4)


def test_regions_in_another_order_say_the_same() -> None:
    m, order = net("nms-small").eval(), torch.randperm(20)
    lively(m.head)
    xs, boxes = m.head.prepare(m(noisy_batch().images).levels), some(20)
    with torch.no_grad():
        a, b = m.head(xs, boxes), m.head(xs, boxes[:, order])
    for u, v in zip(a, b):
        torch.testing.assert_close(u[:, order], v, atol=1e-3, rtol=1e-3)


def test_waves_are_those_of_the_transformer() -> None:
    found = waves(torch.tensor([3.0]), 8)[0]
    angle = [3.0 / 1000 ** (2 * k / 8) for k in range(4)]
    assert found.tolist() == pytest.approx([*map(math.sin, angle), *map(math.cos, angle)], abs=1e-6)
    assert embed(torch.zeros(2, 4), 64).shape == (2, 64)


@pytest.mark.parametrize("at_a_time", [7, 1800, 10**6])
@pytest.mark.oracle("autograd", "relation_networks")
def test_the_way_back_of_the_pairs_is_autograds_and_keeps_no_embedding(
        at_a_time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step keeps of the pairs are four numbers each and the heads' weights: never [B, N, N, 64]. Nor is it ever
    there of more pairs than are embedded at a time, forth or back."""
    torch.manual_seed(0)
    monkeypatch.setattr(relation, "PAIRS", at_a_time)
    there: list[int] = []
    monkeypatch.setattr(relation, "embed", lambda p, dim: there.append(p.numel() // 4) or embed(p, dim))
    layers, pairs = [nn.Linear(64, 4), nn.Linear(64, 4)], geometry(some(30))
    slope = torch.randn(2, 30, 30, 8)
    kept: list[int] = []

    def note(x: Tensor) -> Tensor:
        kept.append(x.numel())
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        ours = torch.cat(pair_logs(pairs, layers), -1)
    ours.backward(slope)
    assert max(there) <= at_a_time and sum(there) == 2 * 2 * 30 * 30  # each pair twice
    found = [p.grad.clone() for layer in layers for p in layer.parameters()]
    for layer in layers:
        layer.zero_grad()
    plain = torch.cat([F.linear(embed(pairs, 64), la.weight, la.bias).clamp(min=1e-6).log() for la in layers], -1)
    plain.backward(slope)
    torch.testing.assert_close(ours, plain)
    for a, layer_p in zip(found, [p for layer in layers for p in layer.parameters()]):
        torch.testing.assert_close(a, layer_p.grad, atol=1e-2, rtol=1e-4)
    assert max(kept) <= 2 * 30 * 30 * 8 < 2 * 30 * 30 * 64


def test_a_step_keeps_no_tensor_as_large_as_the_embedding_of_all_pairs() -> None:
    m, kept = net(**{"stages.0.head.embed": 64, "removal.embed": 64}).train(), list[int]()

    def note(x: Tensor) -> Tensor:
        kept.append(x.numel() if x.shape[-1:] == (64,) and x.ndim > 3 else 0)
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        losses = m.loss(noisy_batch())
    torch.stack(list(losses.values())).sum().backward()
    regions = m.spec.rpn.proposals.keep_train
    assert max(kept) < 2 * regions * regions * 64


def test_without_relations_the_head_is_the_plain_one() -> None:
    from stemma.core.part import In
    from stemma.parts.regions.heads import Align, FCHead

    torch.manual_seed(0)
    inp = In((8, 6), (8, 16), 4, logits=5)
    mine = relation.RelationHead(inp, Align(3), 16, (0, 0), reduce=5).eval()
    plain = FCHead(inp, Align(3), 16, deltas="agnostic", reduce=5).eval()
    plain.load_state_dict(mine.state_dict())
    xs = [torch.rand(2, 8, 16, 16), torch.rand(2, 6, 8, 8)]
    for a, b in zip(mine(mine.prepare(xs), some(6)), plain(plain.prepare(xs), some(6))):
        assert torch.equal(a, b)


@pytest.mark.parametrize("count", ["0,0", "1,0", "0,1", "2,2"])
def test_the_number_of_modules_is_a_setting(count: str) -> None:
    m = net(**{"stages.0.head.relations": count}).train()
    assert [len(row) for row in m.head.relations] == [int(v) for v in count.split(",")]
    torch.stack(list(m.loss(noisy_batch()).values())).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in m.parameters())


def test_objects_among_the_regions_are_looked_at_by_none() -> None:
    """Proposals say the same whatever objects stand among them in training."""
    m = net("nms-small").eval()
    lively(m.head)
    xs, boxes = m.head.prepare(m(noisy_batch().images).levels), some(12)
    keys = torch.ones(2, 12, dtype=torch.bool)
    keys[:, :3] = False
    moved = torch.cat([boxes[:, :3] + 9, boxes[:, 3:]], 1)
    with torch.no_grad():
        (a, _), _ = m.head.says(xs, boxes, keys)
        (b, _), _ = m.head.says(xs, moved, keys)
        (c, _), _ = m.head.says(xs, moved, torch.ones_like(keys))
    torch.testing.assert_close(a[:, 3:], b[:, 3:])
    assert not torch.allclose(a[:, 3:], c[:, 3:])


def test_one_region_alone_and_none() -> None:
    """It looks at itself; where there is none to look at, it says what it says by itself."""
    m = net().eval()
    lively(m.head)
    xs, box = m.head.prepare(m(noisy_batch().images).levels), some(1)
    with torch.no_grad():
        (alone, _), _ = m.head.says(xs, box, torch.ones(2, 1, dtype=torch.bool))
        padded = torch.cat([box, torch.zeros(2, 7, 4)], 1)
        (among, _), f = m.head.says(xs, padded, bx.area(padded) > 0)
        (none, _), _ = m.head.says(xs, padded, torch.zeros(2, 8, dtype=torch.bool))
        torch.testing.assert_close(alone, among[:, :1], atol=1e-4, rtol=1e-4)
        assert none.isfinite().all() and not torch.allclose(none[:, :1], alone)
        top, _, kept = m.removal(torch.rand(2, 8, 4), padded, f, bx.area(padded) > 0)
    assert kept.isfinite().all() and (top[..., 0] > 0).all() and (top[..., 1:] == 0).all()
    given = m.predict(noisy_batch().images[:1], noisy_batch().sizes[:1], raw=None)
    assert given.boxes.isfinite().all()


# ---------------------------------------------------------------- duplicates


def theirs(boxes: np.ndarray, labels: np.ndarray, objects: np.ndarray, scores: np.ndarray, least: float) -> np.ndarray:
    """The rule of the authors' nms_multi_target, restated: (n, C) of 0 and 1, for boxes (n, C, 4) sorted by score."""
    n, c = scores.shape
    out = np.zeros((n, c))
    for k in range(c):
        mine = objects[labels == k]
        if not len(mine):
            continue
        over = bx.iou(torch.from_numpy(boxes[:, k]), torch.from_numpy(mine)).numpy()
        worth = scores[:, k : k + 1] * (over > least) * np.eye(len(mine))[over.argmax(1)]
        for i in set(worth.argmax(0)) & set(np.where(over > least)[0]):
            out[i, k] = 1
    return out


@pytest.mark.oracle("the authors' targets, restated", "relation_networks")
def test_the_one_to_keep_is_the_best_scored_of_each_object() -> None:
    torch.manual_seed(4)
    objects, labels = some(4, 5, 1), torch.tensor([[0, 1, 0, -1]])
    near = objects.repeat(1, 6, 1) + torch.randn(1, 24, 4) * 3
    scores = torch.rand(1, 24, 3)
    top, at = scores.mT.topk(15, dim=2)
    overlaps = (0.3, 0.5, 0.7, 0.9)
    ours = wanted(near, at, Targets(objects, labels), overlaps)
    boxes = near[0][at[0]].transpose(0, 1).numpy()  # n C 4
    for i, least in enumerate(overlaps):
        found = theirs(boxes, labels[0, :3].numpy(), objects[0, :3].numpy(), top[0].T.numpy(), least)
        np.testing.assert_allclose(ours[0, :, :, i].T.numpy(), found)
    assert 0 < ours[..., 0].sum() <= 3 and (ours[..., 0].sum() >= ours[..., 3].sum()) and not ours[0, 2].any()


def test_the_loss_is_the_cross_entropy_of_both_scores() -> None:
    """Sec. 4: - [4 t log s + (1 - t) log(1 - s)] over n |eta|; s the product; gradient into the class score too."""
    from stemma.core.part import In

    torch.manual_seed(0)
    m = DuplicateRemoval(In((16,), (1,)), first=10, width=16, rank=16, heads=2, key=4, embed=16, overlaps=(0.5, 0.7))
    t = Targets(some(3, 1), torch.tensor([[0, 1, 1], [2, 0, -1]]))
    boxes = t.boxes.repeat(1, 5, 1) + torch.randn(2, 15, 4)
    scores, f = torch.rand(2, 15, 3, requires_grad=True), torch.randn(2, 15, 16)
    real = torch.ones(2, 15, dtype=torch.bool)
    real[1, 10:] = False
    top, at, kept = m(scores, boxes, f, real)
    assert torch.allclose(kept, kept.new_tensor(1 / (1 + math.e**3)), atol=0.01)  # the bias of -3
    total = 0.0
    want = wanted(boxes, at, t, m.overlaps)
    for b in range(2):
        for c in range(3):
            for i in range(10):
                for e in range(2):
                    s = float((top[b, c, i] * kept[b, c, i, e]).detach())
                    if real[b, at[b, c, i]]:
                        total -= 4 * math.log(s + 1e-8) if want[b, c, i, e] else math.log(1 - s + 1e-8)
    loss = m.loss(scores, boxes, f, real, t)
    assert float(loss) == pytest.approx(total / (2 * 10 * 2), rel=1e-4)
    loss.backward()
    assert scores.grad is not None and scores.grad.abs().sum() > 0 and (scores.grad[1, 10:] == 0).all()


def test_what_lies_in_a_crowd_is_not_asked_to_be_dropped() -> None:
    """Two regions in a crowd pay nothing and have no gradient; without the crowd they do."""
    from stemma.core.part import In

    torch.manual_seed(0)
    m = DuplicateRemoval(In((16,), (1,)), first=10, width=16, rank=16, heads=2, key=4, embed=16, overlaps=(0.5,))
    objects = torch.tensor([[[0.0, 0, 20, 20], [40.0, 0, 100, 60]]])
    boxes = torch.tensor([[[0.0, 0, 20, 19], [42.0, 5, 60, 20], [50.0, 5, 90, 50], [0.0, 70, 30, 90]]])
    scores, f = torch.rand(1, 4, 1).requires_grad_(), torch.randn(1, 4, 16)
    real, labels = torch.ones(1, 4, dtype=torch.bool), torch.zeros(1, 2, dtype=torch.long)
    for crowd, paid in ((torch.tensor([[False, True]]), [True, False, False, True]), (None, [True] * 4)):
        loss = m.loss(scores, boxes, f, real, Targets(objects, labels, crowd))
        (slope,) = torch.autograd.grad(loss, scores)
        assert (slope[0, :, 0] != 0).tolist() == paid


def test_classes_that_score_little_are_left_out_and_merging_is_a_setting() -> None:
    from stemma.core.part import In

    m = DuplicateRemoval(In((16,), (1,)), width=16, rank=16, heads=2, key=4, embed=16, least=0.3, overlaps=(0.5, 0.9))
    top, kept = torch.tensor([[[0.9, 0.2], [0.2, 0.1]]]), torch.tensor([0.5, 0.1]).expand(1, 2, 2, 2)
    torch.testing.assert_close(m.final(top, kept), torch.tensor([[[0.27, 0.06], [0.0, 0.0]]]))
    m.merge = "max"
    torch.testing.assert_close(m.final(top, kept), torch.tensor([[[0.45, 0.1], [0.0, 0.0]]]))


def test_boxes_of_the_removal_are_taken_as_they_are() -> None:
    """No gradient of its loss reaches the regressor; it does reach class scores and features."""
    m = net().train()
    m.loss(noisy_batch())["removal"].backward()
    assert m.head.predict.box.weight.grad is None
    assert m.head.predict.cls.weight.grad.abs().sum() > 0 and m.head.body[0].weight.grad.abs().sum() > 0


# ---------------------------------------------------------------- training


def test_staged_training_lets_the_detector_sleep_and_resumes_exactly(tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while the removal learns alone, a run ends with the bytes of one left alone; the detector did rest."""
    how: dict[str, Any] = {"paper": "relation-networks", "preset": "staged-small", "budget": "8steps", "val_every": 0,
                           "sets": {"recipe.ema": 0.0, "recipe.phases.0.share": 0.5, "recipe.phases.1.share": 0.5}}
    alone = short(tmp_path / "alone", **how, log_every=1)
    said = [set(e["losses"]) for e in alone.metrics() if e["kind"] == "train"]
    assert said[:4] == [{"rpn_cls", "rpn_box", "cls", "box"}] * 4 and said[4:] == [{"removal"}] * 4
    step, seen = Trainer._step, list[dict[str, Tensor]]()

    def cut(self: Trainer, batches: Any, fraction: float) -> None:
        if self.steps == 6:
            raise SystemExit
        step(self, batches, fraction)
        seen.append({k: v.clone() for k, v in self.model.state_dict().items()})

    monkeypatch.setattr(Trainer, "_step", cut)
    with pytest.raises(SystemExit):
        short(tmp_path / "cut", **how, save_every="1steps", log_every=1)
    monkeypatch.setattr(Trainer, "_step", step)
    changed = [{k for k in seen[0] if not torch.equal(seen[i][k], seen[i + 1][k])} for i in (1, 4)]
    assert any(k.startswith("backbone") for k in changed[0]) and not any("removal" in k for k in changed[0])
    assert changed[1] and all(k.startswith("removal") for k in changed[1])
    again = short(tmp_path / "cut", **how, save_every="1steps", resume=True, log_every=1)
    assert (again.path / "last.safetensors").read_bytes() == (alone.path / "last.safetensors").read_bytes()


def test_every_preset_is_built_and_staged_is_the_same_net() -> None:
    assert relation_networks.spec("staged") == relation_networks.spec()
    for preset in CARD.presets:
        with torch.device("meta"):
            m = CARD.spec(preset).build(20)
        assert (m.removal is None) == preset.startswith("nms")
    assert relation_networks.spec().post[0].iou > 1 and relation_networks.spec("nms").post[0].iou < 1  # type: ignore


def test_without_removal_scores_fall_softly_as_in_the_authors_code() -> None:
    """exp(-IoU^2 / .6) of what overlaps a better box of the class; with sigma 0 the NMS that the paper compares."""
    (soft,) = relation_networks.spec("nms").post
    assert soft == SoftNMS(0.5, 0.001, 100, sigma=0.6)
    d = Detections(torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 8], [50, 50, 60, 60]]]),
                   torch.tensor([[0.9, 0.8, 0.7, 0.0005]]), torch.tensor([[1, 1, 2, 1]]))
    found = soft(d, lambda boxes: (boxes, boxes))
    assert found.labels[0].tolist() == [1, 2, 1] + [-1] * 97
    torch.testing.assert_close(found.scores[0, :3], torch.tensor([0.9, 0.7, 0.8 * math.exp(-(0.8**2) / 0.6)]))
    hard = replace(soft, sigma=0.0)(d, lambda boxes: (boxes, boxes))
    assert hard.labels[0].tolist() == [1, 2] + [-1] * 98


def test_removal_on_fpn_has_the_numbers_of_its_configuration() -> None:
    """FIRST_N 150 and LEARN_NMS_CLASS_SCORE_TH .05, where the plain one has 100 and .01."""
    from stemma.core.part import In

    for preset, first, least in (("paper", 100, 0.01), ("fpn", 150, 0.05)):
        removal = relation_networks.spec(preset).removal
        assert removal is not None
        m = removal.build(In((16,), (1,), 3))
        assert (m.first, m.least) == (first, least)


@pytest.mark.slow
def test_small_learns_drawn_scenes(tmp_path: Path, learned: Learned) -> None:
    data, val = Scenes(400, 128).cache(), Scenes(60, 128, split="val").cache()
    run = stemma.train("relation-networks", data, "120steps", "small", tmp_path / "run", val=val, val_every=0,
                       progress=False, precision="fp32")
    torch.manual_seed(0)
    before = stemma.build("relation-networks", "small", info=run.load("last").info)
    learned("AP50", stemma.evaluate(run, val, which="last")["AP50"], at_least=0.05,
            untrained=stemma.evaluate(before, val)["AP50"])


@pytest.mark.whole
def test_predictions_are_written_for_other_runtimes(tmp_path: Path) -> None:
    run = short(tmp_path / "run", paper="relation-networks", budget="1steps", val_every=0)
    said = stemma.export(run, tmp_path / "net.pt2", format="torch", size=(64, 64))
    assert said["difference"] < 1e-3
    assert stemma.predict(run, scenes(2)[0].image, threshold=0.0)[0]["boxes"].shape[1] == 4


def test_whether_two_losses_contradict_each_other_is_a_cosine_of_gradients(tmp_path: Path) -> None:
    """Of two quadratic losses by hand, part by part; of a net, batch by batch, with a page; and what is no loss."""
    from stemma.studies import gradients

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.own = (nn.Linear(2, 1, bias=False) for _ in range(3))
            self.paper = CARD

        def loss(self, x: Any) -> dict[str, Tensor]:
            (a,), (b,) = self.a.weight, self.b.weight
            return {"one": a[0] + b[0] + self.own.weight.sum(), "other": 3 * a[1] - 2 * b[0], "more": 0 * a[0] + b[0]}

    found = gradients.cosines(Two(), [None], "one", "other")  # type: ignore[list-item]
    assert found["a"] == [[0.0, 3.0]] and found["b"] == [[-1.0, 2.0]] and set(found) == {"a", "b", "all"}
    assert found["all"] == [pytest.approx([-2 / (2**0.5 * 13**0.5), (13 / 2) ** 0.5])]
    assert gradients.cosines(Two(), [None], "one", "one+more")["b"] == [pytest.approx([1.0, 2.0])]  # type: ignore
    assert set(gradients.cosines(Two(), [None], "one", "more")) == {"b", "all"}  # type: ignore[list-item]
    with pytest.raises(StemmaError, match="relation-networks pays one, other, more, and not 'removed'"):
        gradients.cosines(Two(), [None], "one", "removed")  # type: ignore[list-item]
    run = short(tmp_path / "run", "1steps", paper="relation-networks", val_every=0)
    record = gradients.contradiction([run.path], scenes(4, "val"), tmp_path / "out", "cls+box", "removal", batch=2,
                                     device="cpu")
    parts = record["rows"][0]["parts"]
    assert {"backbone", "heads", "all"} <= set(parts) and "removal" not in parts and "rpn_head" not in parts
    assert all(len(v) == 2 and all(-1.001 <= c <= 1.001 and r > 0 for c, r in v) for v in parts.values())
    assert "removal" in (tmp_path / "out" / "between.html").read_text() and (tmp_path / "out" / "between.json").is_file()
    again = gradients.contradiction([run.path], scenes(4, "val"), tmp_path / "again", "cls+box", "removal", batch=2,
                                    device="cpu")
    assert again["rows"][0]["parts"] == parts


def test_what_a_stage_says_of_its_losses_holds_here_too() -> None:
    """Divided by those that answer, box losses are larger; and a box of each class is none to compare."""
    b = noisy_batch()
    said = {}
    for divide in ("sampled", "positives"):
        torch.manual_seed(0)
        m = stemma.build("relation-networks", "small", classes=4, sets={"stages.0.divide": divide}).eval()
        torch.manual_seed(0)
        said[divide] = m.loss(b)
    assert torch.equal(said["sampled"]["cls"], said["positives"]["cls"])
    assert said["positives"]["box"] > 1.2 * said["sampled"]["box"] > 0
    for paper in ("relation-networks", "dcr"):
        m = stemma.build(paper, "small", classes=4, sets={"stages.0.head.deltas": "class"}).train()
        with pytest.raises(StemmaError, match="the head says 4 of each: --set stages.0.head.deltas=agnostic"):
            m.loss(b)
