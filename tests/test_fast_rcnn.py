"""Fast R-CNN: published counts, RoIPool's identities, what is trained on, layers of low rank, several scales,
statistics of targets."""
from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import stemma
from engine_help import scenes
from stemma.core.part import In, edit, part
from stemma.core.recipe import ProposalSource, Resize
from stemma.core.types import Batch, StemmaError, Targets
from stemma.engine.pictures import outside
from stemma.engine.pictures.measured import measured
from stemma.ops import boxes as bx
from stemma.ops.region_max import RegionMax, cells
from stemma.ops.roi import roi_pool
from stemma.papers.localization import fast_rcnn, faster_rcnn, noc
from stemma.parts.backbones.pyramid import Scales
from stemma.parts.backbones.tiny import TinyResNet
from stemma.parts.dense.assign import ByIoU, Candidates
from stemma.parts.dense.coders import Delta
from stemma.parts.low_rank import factors
from stemma.parts.regions.heads import Align, FCHead, MaxPool, NearestScale
from stemma.parts.regions.regions import with_truth


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


def net(**sets: Any) -> Any:
    torch.manual_seed(0)
    return stemma.build("fast-rcnn", "small", 4, sets or None)


# ---------------------------------------------------------------- counts


@pytest.mark.parametrize("fact", fast_rcnn.PAPER.facts, ids=lambda f: f"{f.what} {f.variant} {f.value}")
def test_published_counts(fact: Any) -> None:
    spec = fast_rcnn.spec(fact.variant or "paper")
    for path, value in fact.sets:
        spec = edit(spec, path, value)
    with torch.device("meta"):
        m = spec.build(fact.classes)
    counted = m.heads[0].body[0] if fact.what == "parameters of fc6" else m
    assert sum(p.numel() for p in counted.parameters()) == fact.value


def test_two_layers_of_rank_t_have_t_times_u_plus_v_weights() -> None:
    """Sec. 3.1: fc6 keeps 29.9 of 102.8 million."""
    whole, short = (sum(p.numel() for p in _head(r).body[0].parameters() if p.ndim == 2) for r in ((), (1024,)))
    assert whole == 4096 * 25088 == 102_760_448 and short == 1024 * (4096 + 25088) == 29_884_416


def _head(ranks: tuple[int, ...]) -> FCHead:
    with torch.device("meta"):
        return FCHead(In((512,), (16,), 20, logits=21), MaxPool(7), 4096, ranks=ranks)


# ---------------------------------------------------------------- RoIPool


def regions(count: int = 40) -> Tensor:
    torch.manual_seed(1)
    low = torch.rand(2, count, 2) * 90
    return torch.cat([low - 20, low + torch.rand(2, count, 2) * 60 - 5], -1)


def test_one_bin_is_the_maximum_over_the_rounded_inclusive_window() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 3, 12, 14)
    boxes = torch.tensor([[[17.0, 9.0, 60.0, 71.0], [0.0, 0.0, 3.0, 3.0], [40.0, 40.0, 90.0, 41.0]]])
    out = roi_pool(x, boxes, 1, 8.0)
    for k, box in enumerate(boxes[0]):
        x1, y1, x2, y2 = (int(torch.floor(v / 8 + 0.5)) for v in box)
        assert torch.equal(out[0, k, :, 0, 0], x[0, :, y1 : y2 + 1, x1 : x2 + 1].amax((1, 2)))


def test_a_move_of_less_than_half_a_cell_changes_nothing_and_does_for_roi_align() -> None:
    torch.manual_seed(0)
    x, stride = torch.randn(1, 4, 16, 16), 16
    boxes = torch.tensor([[[48.0, 32.0, 160.0, 176.0], [16.0, 64.0, 96.0, 208.0]]])
    for shift in (-7.0, 3.0, 7.0):
        assert torch.equal(roi_pool(x, boxes, 7, stride), roi_pool(x, boxes + shift, 7, stride))
        align = Align(7, levels=1)
        assert (align([x], (stride,), boxes) - align([x], (stride,), boxes + shift)).abs().max() > 0.1


def test_a_bin_outside_the_map_is_zero() -> None:
    x = torch.rand(1, 2, 6, 6) + 1
    out = roi_pool(x, torch.tensor([[[16.0, 16.0, 95.0, 95.0]]]), 4, 8.0)  # cells 2 to 12 of 6
    assert (out[0, 0, :, :2, :2] >= 1).all() and (out[0, 0, :, 2:] == 0).all() and (out[0, 0, :, :, 2:] == 0).all()


def test_the_gradient_goes_to_the_cell_that_was_the_maximum() -> None:
    """Sec. 2.3: each output hands its gradient to its argmax, and what is the maximum of several outputs gets the
    sum."""
    torch.manual_seed(0)
    x = torch.randn(1, 1, 9, 9, requires_grad=True)
    boxes = torch.tensor([[[0.0, 0.0, 56.0, 40.0], [8.0, 8.0, 64.0, 64.0]]])
    out = roi_pool(x, boxes, 2, 8.0)
    slope = torch.randn_like(out)
    out.backward(slope)
    wanted = torch.zeros(9, 9)
    for k in range(2):
        for i in range(2):
            for j in range(2):
                at = (x[0, 0] == out[0, k, 0, i, j]).nonzero()[0]
                wanted[at[0], at[1]] += slope[0, k, 0, i, j]
    torch.testing.assert_close(x.grad[0, 0], wanted)


@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.oracle("torchvision's roi_pool", "fast_rcnn")
def test_a_table_of_maxima_pools_as_torchvision_does(size: int) -> None:
    """What a traced graph computes: the same maxima, and the gradient at the same cells."""
    torch.manual_seed(0)
    x = torch.randn(2, 5, 16, 13, requires_grad=True)
    boxes = regions()
    ours, theirs = RegionMax(x).pool(cells(boxes, 8.0), size, None, "table"), roi_pool(x, boxes, size, 8.0)
    assert torch.equal(ours, theirs)
    slope = torch.randn_like(ours)
    torch.testing.assert_close(*(torch.autograd.grad((y * slope).sum(), x, retain_graph=True)[0]
                                 for y in (ours, theirs)))


# ---------------------------------------------------------------- what is trained on


def test_background_overlaps_an_object_by_a_tenth() -> None:
    """Sec. 2.3: positive from .5, background in [.1, .5), the rest not asked; without objects nothing is."""
    object_ = torch.tensor([[[0.0, 0.0, 100.0, 100.0]]])
    boxes = torch.stack([torch.tensor([0.0, 0.0, 100.0, 100.0 * k]) for k in (0.6, 0.5, 0.3, 0.1, 0.09)])[None]
    state, _ = ByIoU(0.5, 0.5, low=0.1)(Candidates(boxes), Targets(object_, torch.zeros(1, 1, dtype=torch.long)))
    assert state.tolist() == [[1, 1, 0, 0, -1]]
    for empty in (Targets(object_, torch.full((1, 1), -1)),
                  Targets(torch.zeros(1, 0, 4), torch.zeros(1, 0, dtype=torch.long))):
        assert (ByIoU(0.5, 0.5, low=0.1)(Candidates(boxes), empty)[0] == -1).all()


@pytest.mark.parametrize("preset", ["paper", "multi-scale"])
def test_conv1_and_conv2_sleep_and_biases_learn_twice_as_fast(preset: str) -> None:
    """Sec. 4.5: everything from conv3_1 up learns, at one size and at several."""
    from stemma.engine.running.optim import groups_of

    with torch.device("meta"):
        m = fast_rcnn.spec(preset).build(20)
    rates = {n.replace("backbone.body.", "backbone."): g["base_lr"] for g in groups_of(m, fast_rcnn.recipe(preset))
             for n in g["names"]}
    convs = sorted({int(n.split(".")[2]) for n in rates if n.startswith("backbone")})
    assert convs == [10, 12, 14, 17, 19, 21, 24, 26, 28], "conv1_1 to conv2_2 are layers 0, 2, 5 and 7"
    assert (all(r == (2e-3 if n.endswith("bias") else 1e-3) for n, r in rates.items())
            and any(n.startswith("heads") for n in rates))


def test_sixty_four_regions_of_a_picture_a_quarter_of_them_objects() -> None:
    """Sec. 2.3: N = 2 pictures, R = 128 regions. The paper's stage on enough proposals."""
    s = fast_rcnn.spec().stages[0]
    torch.manual_seed(0)
    t = Targets(torch.tensor([[[10.0, 10.0, 110.0, 110.0]]]).expand(2, 1, 4), torch.zeros(2, 1, dtype=torch.long))
    boxes = t.boxes.repeat(1, 400, 1) + torch.rand(2, 400, 4) * torch.linspace(0, 60, 400)[:, None]
    every = s.label(boxes, t, 20)
    r = every.at(s.choose(every, None))
    assert (every.positive.sum(1) > 16).all() and ((every.weight - every.positive).sum(1) > 48).all()
    assert r.boxes.shape == (2, 64, 4) and (r.weight == 1).all() and (r.positive.sum(1) == 16).all()


@pytest.mark.oracle("torchvision's fastrcnn_loss", "fast_rcnn")
def test_the_loss_is_torchvisions() -> None:
    """Eq. 1 and 2 against torchvision's fastrcnn_loss, which bends at 1/9 as the small preset does,
    and has background first."""
    from torchvision.models.detection.roi_heads import fastrcnn_loss

    m, b = net(**{"stages.0.head.deltas": "class+background"}), batch()
    s, t = m.spec.stages[0], b.targets
    seen = m.look(0, m(b.images).levels, m.propose(m(b.images), b.sizes, True, t.proposals), t)
    cls, box = s.cost(seen.logits, seen.deltas, seen.regions, t)
    r, n = seen.regions, seen.regions.weight.sum()
    used = r.weight > 0
    logits, deltas = (torch.cat([v[used][:, -1:], v[used][:, :-1]], 1) for v in (seen.logits, seen.deltas))
    labels = torch.where(r.labels[used] == 4, 0, r.labels[used] + 1)
    wanted = s.coder.encode(r.boxes, bx.take(t.boxes, r.object))[used]
    theirs = fastrcnn_loss(logits, deltas.flatten(1), [labels], [wanted])
    torch.testing.assert_close(cls.sum() / n, theirs[0])
    torch.testing.assert_close(box.sum() / n, theirs[1])
    torch.manual_seed(0)
    one = m.loss(b)
    assert set(one) == {"cls", "box"}


def test_smooth_l1_bends_at_one() -> None:
    """Eq. 3: x^2 / 2 within 1, |x| - 1/2 beyond."""
    x = torch.linspace(-3, 3, 25)[:, None] * torch.tensor([[1.0, 0, 0, 0]])
    cost = fast_rcnn.spec().stages[0].box(x, torch.zeros_like(x))
    torch.testing.assert_close(cost, torch.where(x[:, 0].abs() < 1, 0.5 * x[:, 0] ** 2, x[:, 0].abs() - 0.5))


def test_without_proposals_it_says_what_is_missing() -> None:
    with pytest.raises(StemmaError, match="proposals from outside"):
        net().eval().predict(batch().images)


def test_targets_with_their_own_statistics_have_mean_0_and_deviation_1() -> None:
    """Sec. 2.3, over proposals and objects. The statistics are settings of the coder, and decoding takes them back."""
    spec, b = fast_rcnn.spec(), batch()
    found = fast_rcnn.target_statistics(spec, [b, b])
    for path, value in found.items():
        spec = edit(spec, path, value)
    s = spec.stages[0]
    r = s.label(with_truth(b.targets.proposals, b.targets), b.targets, 4)
    truth = bx.take(b.targets.boxes, r.object)
    code = s.coder.encode(r.boxes, truth)[r.positive > 0]
    torch.testing.assert_close(code.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(code.std(0, correction=0), torch.ones(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(s.coder.decode(r.boxes, s.coder.encode(r.boxes, truth)), truth, atol=1e-3, rtol=1e-4)
    plain = Delta((0.1, 0.1, 0.2, 0.2))
    assert torch.equal(plain.encode(r.boxes, truth),
                       Delta((0.1, 0.1, 0.2, 0.2), means=(0.0,) * 4).encode(r.boxes, truth))


def test_a_training_measures_its_targets_where_the_paper_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published preset alone, of proposals as the recipe has them; what the user sets stands."""
    data = scenes(12)
    recipe = replace(fast_rcnn.recipe(), resize=Resize("square", 64), proposals=ProposalSource("jitter", 100))
    found = measured(fast_rcnn.PAPER, fast_rcnn.spec(), recipe, data, None)
    assert set(found) == {"stages.0.coder.means", "stages.0.coder.stds"}
    assert all(0.02 < s < 1 for s in found["stages.0.coder.stds"])
    assert measured(noc.PAPER, noc.spec("zf"), recipe, data, None) == found
    mine = {"stages.0.coder.stds": (0.1, 0.1, 0.2, 0.2)}
    assert set(measured(fast_rcnn.PAPER, fast_rcnn.spec(), recipe, data, mine)) == {"stages.0.coder.means"}
    usual = edit(fast_rcnn.spec(), "stages.0.coder.fit", False)
    monkeypatch.setattr(outside, "fill", None)  # no boxes are made for those that measure nothing
    for spec in (usual, fast_rcnn.spec("small"), faster_rcnn.spec()):
        assert measured(fast_rcnn.PAPER, spec, recipe, data, None) == {}
        assert spec.stages[0].coder.stds == (0.1, 0.1, 0.2, 0.2)
    far = replace(batch().targets, proposals=torch.zeros(2, 30, 4))
    with pytest.raises(StemmaError, match="fit=false"):
        fast_rcnn.target_statistics(fast_rcnn.spec(), [replace(batch(), targets=far)])


# ---------------------------------------------------------------- layers of low rank


def test_truncated_svd_is_the_nearest_matrix_of_its_rank() -> None:
    """Sec. 3.1, eq. 5: W = U S V'; the error is the root of the sum of the squares of what was left out (Eckart and
    Young)."""
    torch.manual_seed(0)
    w = torch.randn(30, 50, dtype=torch.float64)
    s = torch.linalg.svdvals(w)
    for t in (1, 7, 30):
        deep, wide = factors(w, t)
        assert deep.shape == (30, t) and wide.shape == (t, 50)
        torch.testing.assert_close((w - deep @ wide).norm(), s[t:].square().sum().sqrt(), atol=1e-9, rtol=1e-9)


def test_a_model_of_full_rank_says_the_same_and_of_less_nearly() -> None:
    m, b = net().eval(), batch()
    xs, boxes = m(b.images).levels, b.targets.proposals
    with torch.no_grad():
        whole = m.heads[0](xs, boxes)[0]
        errors = [(stemma.compress(m, r).heads[0](xs, boxes)[0] - whole).abs().max().item()
                  for r in ((128, 128), (0, 128), (110, 110), (30, 30))]
    assert max(errors[:2]) < 1e-5 < errors[2] < errors[3]


def test_a_shortened_model_is_a_model_like_any_other(tmp_path: Path) -> None:
    m, b = net().eval(), batch()
    count = lambda x: sum(p.numel() for p in x.parameters())  # noqa: E731
    short = stemma.compress(m, (16, 8))
    assert count(m) - count(short) == 128 * 3136 + 128 * 128 - 16 * (128 + 3136) - 8 * (128 + 128)
    assert short.sets == {"stages.0.head.ranks": (16, 8)} and not short.training and m.sets == {}
    stemma.save(tmp_path / "short.safetensors", short)
    again = stemma.load(tmp_path / "short.safetensors")
    one, two = (x.predict(b.images, b.sizes, b.targets.proposals) for x in (short, again))
    assert torch.equal(one.boxes, two.boxes) and torch.equal(one.scores, two.scores)
    losses = short.train().loss(b)
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is not None for p in short.parameters())


def test_faster_rcnn_and_fpn_are_shortened_too_and_a_wrong_rank_is_told() -> None:
    for name in ("faster-rcnn", "fpn"):
        assert stemma.compress(stemma.build(name, "small", 3), (9,)).spec.stages[0].head["ranks"] == (9,)
    for ranks, word in (((500,), "at most 128"), ((1, 2, 3), "3 ranks for 2"), ((-1,), "0 or more"), ((), "0 or more")):
        with pytest.raises(StemmaError, match=word):
            stemma.compress(net(), ranks)
    with pytest.raises(StemmaError, match="shortened already"):
        stemma.compress(stemma.compress(net(), (9,)), (8,))
    with pytest.raises(StemmaError, match="no fully connected layers"):
        stemma.compress(stemma.build("ssd", "small", 3), (9,))


def test_predict_evaluate_and_export_take_ranks(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    from stemma.cli import app
    from stemma.data.scenes import Scenes

    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    data = Scenes(2, size=128, seed=1, split="val")
    torch.manual_seed(0)
    m = stemma.build("fast-rcnn", "small", info=data.info)
    picture = data[0].image
    whole, near, far = (stemma.predict(m, picture, threshold=0.0, proposals="grid", svd=r,
                                       precision="fp32")[0]["scores"]
                        for r in ((), (128, 128), (4, 4)))
    assert np.allclose(whole, near, atol=1e-5) and not np.allclose(whole[: len(far)], far[: len(whole)], atol=1e-5)
    assert stemma.evaluate(m, data, proposals="grid", svd=(4, 4))["images"] == 2
    stemma.save(tmp_path / "net.safetensors", m)
    from typer.testing import CliRunner

    done = CliRunner().invoke(app, ["export", str(tmp_path / "net.safetensors"), str(tmp_path / "net.pt2"), "--svd",
                                    "4,4", "--outputs", "raw", "--json"])
    assert done.exit_code == 0 and (tmp_path / "net.pt2").is_file(), done.output
    assert CliRunner().invoke(app, ["export", str(tmp_path / "net.safetensors"), str(tmp_path / "x.pt2"), "--svd",
                                    "a,b"]).exit_code != 0


# ---------------------------------------------------------------- several scales


def test_each_region_is_pooled_where_its_area_is_nearest_to_224_squared() -> None:
    """Sec. 2.4. Boxes are in pixels of the largest of the five."""
    sizes = fast_rcnn.SCALES
    boxes = torch.tensor([[[0.0, 0.0, s, s] for s in (60.0, 224.0, 300.0, 400.0, 700.0)]])
    areas = torch.tensor([[(box[2] * s / 1200) ** 2 for s in sorted(sizes, reverse=True)] for box in boxes[0].tolist()])
    assert (NearestScale(MaxPool(7), sizes).level(boxes)[0].tolist() == (areas - 224**2).abs().argmin(1).tolist()
            == [0, 0, 1, 2, 4])
    assert NearestScale(MaxPool(7), sizes, by="size").level(boxes)[0].tolist() == [0, 0, 1, 2, 4]


def test_several_scales_share_the_weights_and_training_sees_one() -> None:
    torch.manual_seed(0)
    sizes = (64, 96, 128)
    body = part(TinyResNet, widths=(8, 16), levels=(1,))
    one, trunk = body.build(In((3,), (1,), 4)), Scales(In((3,), (1,), 4), body, sizes)
    assert sum(p.numel() for p in one.parameters()) == sum(p.numel() for p in trunk.parameters())
    x = torch.rand(1, 3, 128, 192)
    maps = trunk.eval()(x)
    assert [tuple(m.shape[-2:]) for m in maps] == [(16, 24), (12, 18), (8, 12)] and len(trunk.train()(x)) == 1
    pool = NearestScale(MaxPool(3), sizes, side=30.0)
    boxes = torch.tensor([[[0.0, 0.0, 30.0, 30.0], [8.0, 8.0, 90.0, 70.0]]])
    pooled = pool(maps, trunk.out.strides, boxes)
    assert pool.level(boxes)[0].tolist() == [0, 2]
    for k, level in enumerate((0, 2)):
        share = (128, 96, 64)[level] / 128
        assert torch.equal(pooled[0, k], roi_pool(maps[level], boxes * share, 3, 8.0)[0, k])
    assert torch.equal(pool(maps[:1], trunk.out.strides, boxes), roi_pool(maps[0], boxes, 3, 8.0))


def test_faster_rcnn_is_this_with_a_proposal_network() -> None:
    """The presets, descendants and weights of Faster R-CNN are as they were before it was written as a delta."""
    for preset in ("paper", "small"):
        p, c = fast_rcnn.spec(preset), faster_rcnn.spec(preset)
        assert (p.rpn is None and c.rpn is not None and c.backbone == p.backbone and c.neck == p.neck
                and c.preprocess == p.preprocess)
    assert (faster_rcnn.spec().stages[0].head == fast_rcnn.spec().stages[0].head
            and faster_rcnn.PAPER.parents[0].paper is fast_rcnn.PAPER)
