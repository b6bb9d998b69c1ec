"""ReInspect: its counts, its recurrent cell, the matching against scipy, the loss, and stitching against a slow port of
its definition."""
from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from learning import Learned
from stemma.core.part import In, part
from stemma.core.types import Detections, Targets
from stemma.engine.running.optim import groups_of
from stemma.ops import boxes as bx
from stemma.papers.localization import reinspect
from stemma.parts.backbones.googlenet import GoogLeNet
from stemma.parts.dense.anchors import CellBoxes, lay
from stemma.parts.dense.raw import DenseRaw
from stemma.parts.dense.sets import LstmCell, SetHead, SetMatch, assign, cell_objects
from stemma.parts.dense.stitch import LADDER, Stitch
from stemma.skeletons.dense import Dense

S = 5


def targets(rows: list[list[float]], labels: list[int], crowd: list[bool] | None = None) -> Targets:
    return Targets(torch.tensor([rows]).view(1, -1, 4), torch.tensor([labels], dtype=torch.long).view(1, -1),
                   None if crowd is None else torch.tensor([crowd]))


# ---------------------------------------------------------------- counts and shapes


@pytest.mark.parametrize("fact", reinspect.PAPER.facts, ids=lambda f: f.what)
def test_published_counts(fact: Any) -> None:
    """Counted on the net built without memory, for a picture of 640 x 480."""
    with torch.device("meta"):
        model = reinspect.spec(fact.variant or "paper").build(fact.classes)
        counted = {"parameters": sum(p.numel() for p in model.parameters())}
        counted["parameters of GoogLeNet"] = sum(p.numel() for p in GoogLeNet(In((3,), (1,))).parameters())
        if fact.what in ("boxes", "cells"):
            raw = model(torch.zeros(1, 3, 480, 640))
            counted |= {"boxes": raw.codes.shape[1], "cells": raw.codes.shape[1] // S}
    assert counted[fact.what] == fact.value


def test_shapes_in_training_and_inference() -> None:
    """A picture of 640 x 480 gives 15 x 20 cells of 5 boxes: codes (B, 300, 5, 4) and logits (B, 300, 5, 2), the cells
    in reading order."""
    with torch.device("meta"):
        model = reinspect.spec().build(1)
        raw = model(torch.zeros(2, 3, 480, 640))
    assert (raw.codes.unflatten(1, (300, S)).shape == (2, 300, S, 4)
            and raw.logits.unflatten(1, (300, S)).shape == (2, 300, S, 2))
    grid = lay(CellBoxes(S), ((15, 20),), (32,), (480, 640), torch.zeros(1)).boxes.unflatten(0, (15, 20, S))
    assert grid[3, 7, 2].tolist() == [7 * 32, 3 * 32, 8 * 32, 4 * 32]


def test_googlenet_maps() -> None:
    """Strides 8, 16 and 32 with 480, 832 and 1,024 channels; with the 1,000-way classifier it has GoogLeNet's 6,998,552
    parameters."""
    with torch.device("meta"):
        net = GoogLeNet(In((3,), (1,)), levels=(0, 1, 2))
        shapes = [tuple(x.shape) for x in net(torch.zeros(1, 3, 224, 224))]
        assert shapes == [(1, 480, 28, 28), (1, 832, 14, 14), (1, 1024, 7, 7)] and net.out.strides == (8, 16, 32)
        assert sum(p.numel() for p in net.parameters()) + 1024 * 1000 + 1000 == 6_998_552
        assert "5a" not in GoogLeNet(In((3,), (1,)), levels=(1,)).inceptions


def test_sec_4_1_settings_and_the_rates_of_the_code() -> None:
    """Rates of train.py: the trunk four times, biases of convolutions twice that; the recurrent cell and its outputs
    once. Deviations as there."""
    r, spec = reinspect.recipe(), reinspect.spec()
    assert ((r.lr, r.gamma, r.length, r.milestones, r.momentum, r.clip, r.weight_decay)
            == (0.2, 0.8, "500000steps", (0.2, 0.4, 0.6, 0.8), 0.5, 0.1, 0.0))
    assert ((spec.rule.box_weight, spec.rule.region, spec.rule.match.ratio, spec.rule.match.how)
            == (0.03, 64, 0.5, "hungarian"))
    with torch.device("meta"):
        groups = groups_of(spec.build(1), r)
    for g in groups:
        for name in g["names"]:
            trunk, conv = name.startswith("backbone"), name.startswith(("backbone", "head.reduce"))
            assert g["base_lr"] == pytest.approx(0.2 * (4 if trunk else 1) * (2 if conv and name.endswith("bias")
                                                                              else 1)), name
    head = SetHead(In((64,), (32,), 1, anchors=(S,), logits=2))
    assert (head.reduce.weight.std().item() == pytest.approx(0.005, rel=0.05)
            and not head.reduce.bias.any())
    for w in (head.cell.read.weight, head.cell.recall.weight, head.box[0].weight, head.confidence[4].weight):
        assert (w.abs().max() <= 0.1  # type: ignore[operator]
                and w.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.1))
    assert (head.shrink, head.scale, head.dropout.p, head.cell.tied, head.cell.tanh) == (0.01, 100, 0.15, True, False)


# ---------------------------------------------------------------- the decoder


@pytest.mark.oracle("torch's LSTMCell", "reinspect")
def test_the_untied_cell_is_torch_s() -> None:
    cell, ref = LstmCell(7, 6, tied=False, tanh=True), torch.nn.LSTMCell(7, 6, bias=False)
    with torch.no_grad():
        ref.weight_ih.copy_(cell.read.weight)
        ref.weight_hh.copy_(cell.recall.weight)
    x = torch.randn(4, 7)
    ours = theirs = (torch.randn(4, 6), torch.randn(4, 6))
    for _ in range(3):
        ours, theirs = cell(cell.read(x), ours), ref(x, theirs)
        torch.testing.assert_close(ours, theirs)


def test_the_tied_cell_forgets_what_it_lets_out() -> None:
    """An untied cell whose forget gate has the negated weights of the output gate is the tied one, since 1 -
    sigmoid(x) = sigmoid(-x)."""
    tied, loose = LstmCell(7, 6, tied=True, tanh=False), LstmCell(7, 6, tied=False, tanh=False)
    with torch.no_grad():
        for a, b in ((tied.read, loose.read), (tied.recall, loose.recall)):
            i, v, o = a.weight.chunk(3)
            b.weight.copy_(torch.cat([i, -o, v, o]))
    x, state = torch.randn(4, 7), (torch.randn(4, 6), torch.randn(4, 6))
    torch.testing.assert_close(tied(tied.read(x), state), loose(loose.read(x), state))


def test_each_cell_is_decoded_by_itself() -> None:
    """The head over a map is the head over each of its cells: a cell's boxes depend on its features alone."""
    torch.manual_seed(0)
    head = SetHead(In((6,), (16,), 2, anchors=(3,), logits=3), width=8, cells=5, dropout=0.5, std=1.0,
                   shrink=1.0).eval()
    x = torch.randn(2, 6, 3, 4)
    logits, codes = head([x])
    assert logits.shape == (2, 36, 3) and codes.shape == (2, 36, 4)
    one_logits, one_codes = head([x[1:, :, 2:, 1:2]])
    torch.testing.assert_close(logits[1].view(3, 4, 3, 3)[2, 1], one_logits[0])
    torch.testing.assert_close(codes[1].view(3, 4, 3, 4)[2, 1], one_codes[0])
    hidden = memory = torch.zeros(1, 5)
    seen = head.cell.read((head.reduce(x) * head.shrink)[1, :, 2, 1][None])
    for k in range(3):  # what a step says depends on the steps before it, through the state alone
        hidden, memory = head.cell(seen, (hidden, memory))
        torch.testing.assert_close(head.scale * head.box[k](hidden), one_codes[:, k])


# ---------------------------------------------------------------- matching


def scalar(o: np.ndarray, r: np.ndarray, d: np.ndarray, m: float = 1e3) -> np.ndarray:
    return o * m**2 + r * m + d


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(0, S))
@pytest.mark.oracle("scipy's linear_sum_assignment", "reinspect", how="the same pairs")
def test_the_matching_is_scipy_s_of_the_scalar_cost(seed: int, count: int) -> None:
    """Lexicographic over (o, r, d) = the assignment of o M^2 + r M + d with M = 1,000 (in double precision)."""
    r = np.random.default_rng(seed)
    said, truth = r.normal(0, 25, (6, S, 4)), r.normal(0, 25, (6, S, 4))
    truth[..., 2:] = np.abs(truth[..., 2:]) + 5
    said[:, :count] = np.where(r.random((6, count, 1)) < 0.6, truth[:, :count] + r.normal(0, 3, (6, count, 4)),
                               said[:, :count])
    said = said[:, r.permutation(S)]
    real = np.zeros((6, S), bool)
    real[:, :count] = True
    match = SetMatch()
    o, rank, d = match.cost(torch.from_numpy(said), torch.from_numpy(truth))
    got = match(torch.from_numpy(said), torch.from_numpy(truth), torch.from_numpy(real)).numpy()
    for i in range(6):
        cost = scalar(o[i].numpy(), rank.numpy()[:, None], d[i].numpy())[:, :count]
        rows, columns = linear_sum_assignment(cost)
        ours = [(s, j) for s, j in enumerate(got[i]) if j >= 0]
        assert sorted(j for _, j in ours) == list(range(count))
        for whole in (o[i].numpy(), np.broadcast_to(rank.numpy()[:, None], (S, S))):
            assert sum(whole[p] for p in ours) == whole[rows, columns].sum()
        # L1 distances tie where two boxes cross
        assert sum(cost[p] for p in ours) == pytest.approx(cost[rows, columns].sum(), abs=1e-6)


@pytest.mark.parametrize("steps", (1, 3, 5, 6))
def test_assign_is_the_least_of_all_matchings(steps: int) -> None:
    g = torch.Generator().manual_seed(steps)
    first, second = torch.randint(0, 3, (20, steps, steps), generator=g), torch.rand(20, steps, steps, generator=g)
    real = torch.rand(20, steps, generator=g) < 0.7
    got = assign(first, second, real)
    for i in range(20):
        js = [j for j in range(steps) if real[i, j]]
        cost = {way: (sum(int(first[i, s, j]) for s, j in zip(way, js)),
                      sum(float(second[i, s, j]) for s, j in zip(way, js)))
                for way in itertools.permutations(range(steps), len(js))}
        mine = cost[tuple(int(got[i, j]) for j in js)]
        best = min(cost.values())
        assert mine[0] == best[0] and mine[1] == pytest.approx(best[1], abs=1e-5)
        assert sorted(got[i].tolist()) == list(range(steps))


def test_ranks_come_before_distance_and_overlap_before_ranks() -> None:
    """Two steps near one object: the first takes it though the second is nearer; a first step outside the object leaves
    it to the second."""
    truth = torch.tensor([[[0.0, 0, 20, 20], [0, 0, 0, 0]]])
    real = torch.tensor([[True, False]])
    said = torch.tensor([[[5.0, 5, 20, 20], [0, 0, 20, 20]]])
    assert SetMatch()(said, truth, real).tolist() == [[0, -1]]
    said[0, 0, 0] = 10.5  # the centre lies outside: more than half the width away
    assert SetMatch()(said, truth, real).tolist() == [[-1, 0]]
    assert SetMatch("first")(said, truth, real).tolist() == [[0, -1]] == SetMatch("fixed")(said, truth, real).tolist()


def test_the_three_matchings_differ_as_said() -> None:
    """Two objects: fixed takes them in their order, first matches them freely among steps 0 and 1,
    hungarian may use any step."""
    truth = torch.tensor([[[0.0, 0, 20, 20], [100, 0, 20, 20], [0, 0, 0, 0]]])
    real = torch.tensor([[True, True, False]])
    said = torch.tensor([[[100.0, 0, 20, 20], [300, 0, 20, 20], [0, 0, 20, 20]]])
    assert SetMatch("fixed")(said, truth, real).tolist() == [[0, 1, -1]]
    assert SetMatch("first")(said, truth, real).tolist() == [[1, 0, -1]]
    assert SetMatch("hungarian")(said, truth, real).tolist() == [[1, -1, 0]]


def test_objects_of_a_cell() -> None:
    """Those that touch the 64 pixels in the middle of its cell of 32, boxes relative to its centre, from top to bottom;
    of six the five nearest."""
    cells = torch.tensor([[64.0, 64, 96, 96]])  # centre 80, 80; region 48 .. 112
    t = targets([[112, 70, 130, 90], [111, 70, 131, 90], [0, 0, 49, 49], [0, 0, 48, 48], [70, 60, 90, 80]],
                [0, 1, 2, 3, 4])
    boxes, place, real = cell_objects(t, cells, 64.0, S)
    assert place[0, 0][real[0, 0]].tolist() == [2, 4, 1]
    assert boxes[0, 0, 1].tolist() == [0, -10, 20, 20] and boxes[0, 0, 2].tolist() == [41, 0, 20, 20]
    many = targets([[76.0 + 6 * k, 76, 84 + 6 * k, 84] for k in (4, 0, 3, 1, 5, 2)], [0] * 6)
    boxes, place, real = cell_objects(many, cells, 64.0, S)
    assert real.all() and boxes[0, 0, :, 0].tolist() == [0, 6, 12, 18, 24]
    hidden = cell_objects(replace(t, crowd=torch.tensor([[False, True, False, False, False]])), cells, 64.0, S)
    assert hidden[1][0, 0][hidden[2][0, 0]].tolist() == [2, 4]
    assert not cell_objects(targets([], []), cells, 64.0, S)[2].any()


# ---------------------------------------------------------------- the loss


def raw_of(codes: Tensor, logits: Tensor, cells: int = 4) -> DenseRaw:
    grid = lay(CellBoxes(S), ((cells, cells),), (32,), (32 * cells, 32 * cells), codes)
    return DenseRaw(logits, codes, None, grid.boxes, grid.stride, grid.levels, (32 * cells, 32 * cells))


def random_raw(seed: int, cells: int = 4, classes: int = 1) -> DenseRaw:
    g = torch.Generator().manual_seed(seed)
    a = cells * cells * S
    return raw_of(torch.randn(1, a, 4, generator=g) * 20, torch.randn(1, a, classes + 1, generator=g), cells)


PEOPLE = [[10.0, 20, 50, 70], [30, 20, 70, 75], [80, 60, 120, 110], [5, 90, 40, 125]]


def slow_loss(raw: DenseRaw, people: list[list[float]], how: str) -> tuple[float, float]:
    """Eq. 1 cell by cell with scipy's assignment."""
    box = cls = 0.0
    cells = raw.anchors[::S]
    for m, cell in enumerate(cells.tolist()):
        cx, cy = (cell[0] + cell[2]) / 2, (cell[1] + cell[3]) / 2
        mine = [b for b in people if abs((b[0] + b[2]) / 2 - cx) < (b[2] - b[0] + 64) / 2
                and abs((b[1] + b[3]) / 2 - cy) < (b[3] - b[1] + 64) / 2]
        truth = np.array([[(b[0] + b[2]) / 2 - cx, (b[1] + b[3]) / 2 - cy, b[2] - b[0], b[3] - b[1]]
                          for b in mine]).reshape(-1, 4)
        truth = truth[np.lexsort((truth[:, 0], truth[:, 1]))]
        said = raw.codes[0, m * S : (m + 1) * S].double().numpy()
        off = np.abs(said[:, None] - truth[None])
        cost = scalar((off[..., :2] > 0.5 * truth[None, :, 2:]).any(-1), np.arange(S)[:, None], off.sum(-1))
        if how == "first":
            cost[len(truth) :] += 1e9
        rows, columns = (np.arange(len(truth)),) * 2 if how == "fixed" else linear_sum_assignment(cost)
        box += off[rows, columns].sum()
        label = np.ones(S, int)
        label[rows] = 0
        cls += -raw.logits[0, m * S : (m + 1) * S].double().log_softmax(-1).numpy()[np.arange(S), label].sum()
    return 0.03 * box / len(cells), cls / len(cells) / S


@pytest.mark.parametrize("how", ("hungarian", "first", "fixed"))
@pytest.mark.oracle("a loop over cells", "reinspect")
def test_the_loss_is_the_slow_one(how: Any) -> None:
    rule = reinspect.SetRule(match=SetMatch(how))
    for seed in range(4):
        raw = random_raw(seed)
        got = rule.loss(raw, targets(PEOPLE, [0] * 4), 1)
        box, cls = slow_loss(raw, PEOPLE, how)
        assert float(got["box"]) == pytest.approx(box, rel=1e-4) and float(got["cls"]) == pytest.approx(cls, rel=1e-4)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), how=st.sampled_from(("hungarian", "first", "fixed")))
def test_the_order_of_the_objects_does_not_matter(seed: int, how: Any) -> None:
    rule, raw = reinspect.SetRule(match=SetMatch(how)), random_raw(seed, classes=3)
    g = torch.Generator().manual_seed(seed)
    corner = torch.rand(9, 2, generator=g) * 100
    t = Targets(torch.cat([corner, corner + 5 + 40 * torch.rand(9, 2, generator=g)], 1)[None],
                torch.randint(0, 3, (1, 9), generator=g))
    mixed = torch.randperm(9, generator=g)
    one, two = rule.loss(raw, t, 3), rule.loss(raw, Targets(t.boxes[:, mixed], t.labels[:, mixed]), 3)
    for k in one:
        torch.testing.assert_close(one[k], two[k])


def test_without_objects_only_confidences_pay() -> None:
    rule, raw = reinspect.SetRule(), random_raw(0)
    empty = rule.loss(raw, targets([], []), 1)
    padded = rule.loss(raw, targets([[0, 0, 0, 0]], [-1]), 1)
    background = -raw.logits.log_softmax(-1)[..., 1].mean()
    for out in (empty, padded):
        assert out["box"] == 0
        torch.testing.assert_close(out["cls"], background)


def test_matching_takes_no_gradient_and_moves_only_what_it_matched() -> None:
    raw = random_raw(1)
    codes = raw.codes.requires_grad_()
    rule, t = reinspect.SetRule(), targets(PEOPLE, [0] * 4)
    place, want = rule.objects(raw, t)
    rule.loss(raw, t, 1)["box"].backward()
    assert codes.grad is not None
    expected = torch.where((place >= 0)[..., None], (codes.detach() - want).sign() * 0.03 / 16, 0.0)
    torch.testing.assert_close(codes.grad, expected)


def test_a_crowd_is_neither_object_nor_background_and_cells_outside_are_not_asked() -> None:
    rule, raw = reinspect.SetRule(), random_raw(2)
    crowd = rule.loss(raw, targets([[0, 0, 128, 128]], [0], [True]), 1)
    assert crowd["box"] == 0 and crowd["cls"] == 0
    half = rule.loss(raw, targets([], []), 1, torch.tensor([[128.0, 64]]))
    left = raw.logits.unflatten(1, (4, 4, S))[:, :, :2]
    torch.testing.assert_close(half["cls"], -left.log_softmax(-1)[..., 1].mean())


def test_a_decoder_told_the_answer_finds_everyone_and_counts_them() -> None:
    """Hypotheses set to what the matching asks of them, surely: every cell says the same people, and stitching leaves
    each of them once."""
    rule = reinspect.SetRule()
    raw, t = random_raw(3), targets(PEOPLE, [0] * 4)
    place, want = rule.objects(raw, t)
    logits = torch.stack([torch.where(place >= 0, 4.0, -4.0), torch.zeros_like(want[..., 0])], -1)
    d = rule.predict(replace(raw, codes=want, logits=logits))
    found = d.boxes[0][d.labels[0] >= 0]
    assert (len(found) == 4 == int((d.scores[0] > 0.5).sum())
            and float(bx.iou(found, t.boxes[0]).amax(0).min()) == pytest.approx(1, abs=1e-4))


# ---------------------------------------------------------------- stitching


def slow_stitch(boxes: np.ndarray, scores: np.ndarray, cells: np.ndarray, passes: Any) -> list[tuple[int, float]]:
    """filter_rects for each threshold, as its authors' code reads, every assignment by trying all."""
    centre = lambda i: ((boxes[i, 0] + boxes[i, 2]) / 2, (boxes[i, 1] + boxes[i, 3]) / 2,  # noqa: E731
                        boxes[i, 2] - boxes[i, 0], boxes[i, 3] - boxes[i, 1])

    def overlaps(i: int, j: int) -> bool:
        a, b = centre(i), centre(j)
        return not (abs(a[0] - b[0]) > (a[2] + b[2]) / 2 or abs(a[1] - b[1]) > (a[3] + b[3]) / 2)

    def iou(i: int, j: int) -> float:
        w, h = (max(0.0, min(boxes[i, k + 2], boxes[j, k + 2]) - max(boxes[i, k], boxes[j, k])) for k in (0, 1))
        return w * h / (centre(i)[2] * centre(i)[3] + centre(j)[2] * centre(j)[3] - w * h)

    accepted: list[int] = []
    told = dict(enumerate(scores))
    for threshold, most in passes:
        for cell in sorted(set(cells.tolist())):
            new = [i for i in range(len(boxes)) if cells[i] == cell and scores[i] > threshold]
            old = [a for a in accepted if any(overlaps(a, c) for c in new)]
            if not old or not new:
                accepted += new
                continue
            cost = {(c, a): 1000 - 100 * overlaps(c, a) + sum(abs(x - y) for x, y in zip(centre(c), centre(a))) / 1000
                    for c in new for a in old}
            if len(new) <= len(old):
                ways = [list(zip(new, way)) for way in itertools.permutations(old, len(new))]
            else:
                ways = [list(zip(way, old)) for way in itertools.permutations(new, len(old))]
            bad = set()
            for c, a in min(ways, key=lambda w: sum(cost[p] for p in w)):
                if scores[c] > most:
                    bad.add(c)
                elif overlaps(c, a):
                    if scores[c] > scores[a] and iou(c, a) > 0.7:
                        told[c] = scores[a]
                        accepted.remove(a)
                    else:
                        bad.add(c)
            accepted += [c for c in new if c not in bad]
    return [(a, told[a]) for a in accepted]


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 10**6), one_pass=st.booleans())
@pytest.mark.oracle("the procedure in loops", "reinspect")
def test_stitching_is_the_slow_procedure(seed: int, one_pass: bool) -> None:
    r = np.random.default_rng(seed)
    n = int(r.integers(0, 8))
    people = np.concatenate([c := r.uniform(0, 60, (3, 2)), c + r.uniform(15, 40, (3, 2))], 1)
    boxes = people[r.integers(0, 3, n)] + r.normal(0, r.choice([0.5, 4]), (n, 4))
    scores, cells = r.uniform(0, 1, n), np.sort(r.integers(0, 3, n))
    stitch = Stitch(passes=((0.5, 1.0),) if one_pass else LADDER)
    index, told = stitch.one(boxes, scores, cells)
    want = slow_stitch(boxes, scores, cells, stitch.passes)
    assert index.tolist() == [i for i, _ in want]
    np.testing.assert_allclose(told, [c for _, c in want])


def said(rows: list[tuple[float, float, float, float, float, int]]) -> tuple[Detections, Tensor]:
    """Hypotheses (x1, y1, x2, y2, confidence, cell) of one picture."""
    t = torch.tensor(rows).view(1, -1, 6)
    return Detections(t[..., :4], t[..., 4], torch.zeros(1, t.shape[1], dtype=torch.long)), t[0, :, 5].long()


def test_two_people_who_overlap_stay_and_two_cells_who_say_them_are_one() -> None:
    """A pair with IoU .6 said by each of two cells: four hypotheses, two people. Suppression at .5 leaves one."""
    pair = [(0.0, 0, 20, 40), (5.0, 0, 25, 40)]
    d, cell = said([(*pair[0], 0.9, 0), (*pair[1], 0.85, 0), (*pair[0], 0.88, 1), (*pair[1], 0.86, 1)])
    assert float(bx.iou_each(d.boxes[0, 0], d.boxes[0, 1])) == pytest.approx(0.6)
    out = Stitch()(d, cell)
    assert (out.labels[0] >= 0).sum() == 2 and out.boxes[0, :2].tolist() == [list(p) for p in pair]
    assert out.scores[0, :3].tolist() == pytest.approx([0.9, 0.85, 0])


def test_a_surer_box_takes_the_place_of_its_match_with_the_lower_confidence() -> None:
    d, cell = said([(0, 0, 20, 40, 0.82, 0), (0, 0, 20, 41, 0.95, 1), (60, 60, 80, 90, 0.3, 1),
                    (61, 60, 81, 90, 0.25, 2)])
    out = Stitch(keep=3)(d, cell)
    assert out.boxes[0, 0].tolist() == [0, 0, 20, 41] and out.scores[0].tolist() == pytest.approx([0.82, 0.3, 0])
    assert out.labels[0].tolist() == [0, 0, -1] and out.boxes[0, 1].tolist() == [60, 60, 80, 90]


def test_stitching_keeps_pictures_apart_and_padding_out() -> None:
    a, cell = said([(0, 0, 20, 40, 0.9, 0), (0, 0, 20, 40, 0.8, 1)])
    b, _ = said([(0, 0, 20, 40, 0.04, 0), (50, 50, 70, 90, 0.7, 1)])
    both = Detections(torch.cat([a.boxes, b.boxes]), torch.cat([a.scores, b.scores]), torch.tensor([[0, 0], [0, 3]]))
    out = Stitch(keep=2)(both, cell)
    assert out.labels.tolist() == [[0, -1], [3, -1]] and out.scores[1].tolist() == pytest.approx([0.7, 0])
    none = Stitch(keep=2)(replace(both, labels=torch.full((2, 2), -1)), cell)
    assert (none.labels == -1).all() and (none.scores == 0).all()


# ---------------------------------------------------------------- the whole


def test_it_learns_a_picture_by_heart(learned: Learned) -> None:
    """A hundred and fifty steps on two overlapping squares: both are found, and counted."""
    torch.manual_seed(0)
    small: Dense[reinspect.SetRule] = reinspect.spec("small")
    model = replace(small, head=part(SetHead, width=64, cells=64, dropout=0.0, shrink=1.0, scale=20.0,
                                     std=0.1)).build(1)
    image = torch.zeros(1, 3, 64, 64)
    image[:, 0, 10:40, 10:40], image[:, 1, 15:45, 22:52] = 1.0, 1.0
    t = targets([[10, 10, 40, 40], [22, 15, 52, 45]], [0, 0])
    # by the nearest box, of the square that is missed most
    missed = lambda d: 1 - float(bx.iou(d.boxes[0], t.boxes[0]).amax(0).min())
    untrained = missed(model.predict(image))
    optimizer = torch.optim.Adam(model.parameters(), 4e-3)
    for _ in range(150):
        optimizer.zero_grad()
        losses = model.rule.loss(model(image), t, 1)
        sum(losses.values()).backward()  # type: ignore[union-attr]
        optimizer.step()
    d = model.predict(image)
    sure = d.boxes[0][d.scores[0] > 0.5]
    assert len(sure) == 2
    learned("1 - IoU", missed(replace(d, boxes=sure[None])), at_most=0.3, untrained=untrained)
