"""The parts of dense detectors against goldens, torchvision and slow oracles: anchors, assignment, sampling,
coding, losses, heads."""
from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models.detection._utils import BoxCoder, SSDMatcher

from stemma.core.part import In
from stemma.core.types import Detections, StemmaError, Targets
from stemma.ops import boxes as bx
from stemma.parts.backbones.darknet import Darknet24
from stemma.parts.backbones.vgg import L2Norm
from stemma.parts.dense.anchors import Anchors, CellBoxes, DefaultBoxes, Legacy, Pyramid, lay
from stemma.parts.dense.assign import Assign, Bipartite, ByCell, ByIoU, Candidates, OwnRange
from stemma.parts.dense.coders import Delta, RootCell
from stemma.parts.dense.heads import (
    LevelHeads,
    Local,
    RPNHead,
    TowerHead,
    YoloHead,
    flat,
    from_darknet,
    prior_bias,
    to_darknet,
)
from stemma.parts.dense.losses import L1, Focal, GIoU, Sigmoid, SmoothL1, Softmax, Squared
from stemma.parts.dense.post import PerClassNMS
from stemma.parts.dense.sample import Everything, HardNegatives, Random
from stemma.parts.preprocess import Preprocess

GOLDENS = Path(__file__).parent / "goldens" / "boxes.npz"


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with np.load(GOLDENS, allow_pickle=False) as file:
        return {k: torch.from_numpy(file[k]) for k in file.files}


def boxes_of(anchors: Anchors, image: tuple[int, int], strides: tuple[int, ...]) -> Tensor:
    maps = tuple((math.ceil(image[0] / s), math.ceil(image[1] / s)) for s in strides)
    return lay(anchors, maps, strides, image, torch.zeros(())).boxes


def one(boxes: list[list[float]], labels: list[int] | None = None, crowd: list[bool] | None = None) -> Targets:
    t = torch.tensor([boxes])
    return Targets(t, torch.tensor([labels or [0] * len(boxes)]), None if crowd is None else torch.tensor([crowd]))


# ---------------------------------------------------------------- anchors


@pytest.mark.parametrize(
    "name,anchors,strides",
    [
        ("anchors_rpn_c4", Pyramid((8.0, 16.0, 32.0), whole=True), (16,)),
        ("anchors_fpn", Pyramid((8.0,), whole=True), (4, 8, 16, 32, 64)),
        ("anchors_retina", Pyramid(tuple(4 * 2 ** (i / 3) for i in range(3)), whole=True), (8, 16, 32, 64, 128)),
    ],
)
def test_pyramid_anchors_equal_torchvisions(golden: dict[str, Tensor], name: str, anchors: Pyramid,
                                            strides: tuple[int, ...]) -> None:
    assert torch.equal(boxes_of(anchors, (256, 320), strides), golden[name])


def test_default_boxes_equal_torchvisions(golden: dict[str, Tensor]) -> None:
    small = tuple(300 * s for s in (0.1, 0.2, 0.375, 0.55, 0.725, 0.9))
    large = tuple(300 * s for s in (0.2, 0.375, 0.55, 0.725, 0.9, 1.075))
    maps = tuple((n, n) for n in (38, 19, 10, 5, 3, 1))
    got = lay(DefaultBoxes(small, large, limit=300.0), maps, (8, 16, 32, 64, 128, 256), (300, 300), torch.zeros(()))
    torch.testing.assert_close(got.boxes, golden["ssd300_boxes"], rtol=0, atol=1e-3)
    assert got.levels == (5776, 2166, 600, 150, 36, 4) and sum(got.levels) == 8732


def test_exact_anchors_have_the_area_and_ratio_they_are_named_for() -> None:
    cell = boxes_of(Pyramid((4.0,), (0.5, 1.0, 2.0), offset=0.5), (8, 8), (8,))
    c, s = bx.centre_size(cell)
    torch.testing.assert_close(s.prod(1), torch.full((3,), 32.0**2))
    torch.testing.assert_close(s[:, 1] / s[:, 0], torch.tensor([0.5, 1.0, 2.0]))
    assert (c == 4).all()


def test_published_anchors_of_py_faster_rcnn() -> None:
    table = Legacy().inclusive()
    assert table[0] == (-84, -40, 99, 55) and table[3] == (-56, -56, 71, 71) and table[8] == (-168, -344, 183, 359)
    # as first published, counting from 1
    assert [tuple(v + 1 for v in row) for row in table][:2] == [(-83, -39, 100, 56), (-175, -87, 192, 104)]
    # with edges the inclusive box of 128 pixels is 128 wide
    assert bx.area(boxes_of(Legacy(), (16, 16), (16,)))[3] == 128**2
    whole = boxes_of(Pyramid((8.0,), (0.5,), whole=True), (16, 16), (16,))
    assert whole.tolist() == [[-91, -45, 91, 45]]


@pytest.mark.parametrize(
    "anchors,image,strides,count",
    [
        (Pyramid((4.0, 5.0, 6.0)), (800, 1344), (8, 16, 32, 64, 128), 201_600),
        (Pyramid(), (800, 1344), (4, 8, 16, 32, 64), 268_569),
        (Legacy(), (600, 1000), (16,), 21_546),
        (CellBoxes(2), (448, 448), (64,), 98),
    ],
)
def test_published_anchor_counts(anchors: Anchors, image: tuple[int, int], strides: tuple[int, ...],
                                 count: int) -> None:
    assert len(boxes_of(anchors, image, strides)) == count


def test_the_grid_is_laid_once_and_again_for_another_size() -> None:
    first, again = (lay(Pyramid(), ((4, 4),), (8,), (32, 32), torch.zeros(())).boxes for _ in range(2))
    assert first is again and len(lay(Pyramid(), ((4, 5),), (8,), (32, 40), torch.zeros(())).boxes) == 60
    with torch.inference_mode():
        made = lay(Pyramid((3.0,)), ((4, 4),), (8,), (32, 32), torch.zeros(())).boxes
    assert not made.is_inference()  # a later training step may use it


# ---------------------------------------------------------------- assignment


@pytest.mark.parametrize("name,rule", [("match_rpn", ByIoU(0.7, 0.3, True)), ("match_roi", ByIoU(0.5, 0.5)),
                                       ("match_retina", ByIoU(0.5, 0.4, True))])
def test_matching_equals_the_goldens(golden: dict[str, Tensor], name: str, rule: ByIoU) -> None:
    b = golden["nms_boxes"]
    state, index = rule(Candidates(b[None]), Targets(b[None, :8], torch.zeros(1, 8, dtype=torch.long)))
    want = golden[name]
    assert torch.equal(torch.where(state[0] == 1, index[0], torch.where(state[0] == 0, -1, -2)), want)


@pytest.mark.parametrize("rule", [ByIoU(0.5, 0.4, True), Bipartite(0.5), ByIoU(0.7, 0.3, True, inside=True)])
def test_padding_and_crowds_answer_for_nothing(rule: Assign) -> None:
    boxes = [[10.0, 10, 30, 30], [40, 40, 90, 90], [0, 0, 0, 0]]
    c = Candidates(torch.tensor([[[10.0, 10, 30, 30], [45, 45, 60, 60], [70, 5, 90, 25], [40, 40, 90, 90]]]),
                   sizes=torch.tensor([[100.0, 100.0]]))
    state, index = rule(c, one(boxes, [1, 2, -1], [False, True, False]))
    assert state.tolist() == [[1, -1, 0, -1]] and index[0, 0] == 0
    state, _ = rule(c, one(boxes, [-1, -1, -1]))
    assert (state == 0).all()
    state, _ = rule(c, Targets(torch.zeros(1, 0, 4), torch.zeros(1, 0, dtype=torch.long)))
    assert (state == 0).all()


def test_the_best_candidate_is_rescued_from_the_least_overlap_on() -> None:
    c = Candidates(torch.tensor([[[0.0, 0, 10, 10], [20, 0, 30, 10]]]))
    t = Targets(torch.tensor([[[0.0, 0, 10, 2], [20, 0, 30, 4]]]), torch.tensor([[0, 0]]))  # they overlap by .2 and .4
    assert ByIoU(0.7, 0.3, rescue=True)(c, t)[0].tolist() == [[1, 1]]
    assert ByIoU(0.7, 0.3, rescue=True, least=0.3)(c, t)[0].tolist() == [[0, 1]]


def test_what_lies_exactly_on_a_threshold() -> None:
    """As the docstrings say it: positive from `pos` on, background below `neg`, rescued from `least` on, not asked where it
    overlaps by more than `spare`; a picture's edge is inside it. Overlaps of 1/2, 1/4 and 1/8 are exact."""
    t = one([[0.0, 0, 16, 16]])
    c = Candidates(torch.tensor([[[0.0, 0, 16, 8], [0, 0, 8, 8], [0, 0, 8, 4]]]), sizes=torch.tensor([[8.0, 16.0]]))
    for inside in (False, True):
        assert ByIoU(0.5, 0.25, inside=inside)(c, t)[0].tolist() == [[1, -1, 0]]
    assert ByIoU(0.9, 0.75, rescue=True, least=0.5)(c, t)[0].tolist() == [[1, 0, 0]]
    assert ByIoU(0.9, 0.75, low=0.25)(c, t)[0].tolist() == [[0, 0, -1]]
    near = Candidates(torch.tensor([[[0.0, 0, 16, 16]]]))
    crowded = one([[0.0, 0, 8, 8], [32, 32, 48, 48]], crowd=[True, False])
    assert [OwnRange(0.5, 0.5, spare=s)(near, crowded)[0].item() for s in (0.25, 0.2)] == [0, -1]


def test_a_centre_between_two_cells_lies_in_the_second() -> None:
    cells = lay(CellBoxes(1), ((1, 2),), (16,), (16, 32), torch.zeros(())).boxes[None]
    guess = torch.tensor([[[8.0, 0, 24, 16], [16, 0, 32, 16]]])  # the first one's fits
    assert ByCell()(Candidates(cells, guess=guess), one([[8.0, 0, 24, 16]]))[0].tolist() == [[0, 1]]


def test_scores_above_the_least_and_sides_from_the_least_on_are_asked() -> None:
    d = Detections(torch.tensor([[[0.0, 0, 8, 8], [0, 0, 8, 8], [0, 0, 7.5, 8]]]), torch.tensor([[0.75, 0.5, 0.75]]),
                   torch.zeros(1, 3, dtype=torch.long))
    assert PerClassNMS(score=0.5, side=8.0).able(d).tolist() == [[0, -1, -1]]


def test_anchors_across_the_edge_are_not_asked_and_not_rescued() -> None:
    c = Candidates(torch.tensor([[[-5.0, 0, 25, 30], [0, 0, 18, 18], [50, 50, 120, 90]]]),
                   sizes=torch.tensor([[100.0, 100.0]]))
    t = one([[0.0, 0, 26, 30]])
    assert ByIoU(0.7, 0.3, True)(c, t)[0].tolist() == [[1, 0 if 18 * 18 / (26 * 30) < 0.3 else -1, 0]]
    assert ByIoU(0.7, 0.3, True, inside=True)(c, t)[0].tolist() == [[-1, 1, -1]]


def slow_bipartite(iou: Tensor, pos: float) -> list[int]:
    """SSD's matching as its authors' code states it: -1 where background."""
    left, found = iou.clone(), [-1] * iou.shape[1]
    for _ in range(len(iou)):
        best = int(left.argmax())
        g, a = divmod(best, iou.shape[1])
        if left[g, a] <= 1e-6:
            break
        found[a] = g
        left[g], left[:, a] = -1, -1
    for a in range(iou.shape[1]):
        if found[a] < 0 and iou[:, a].max() > pos:
            found[a] = int(iou[:, a].argmax())
    return found


@pytest.mark.parametrize("seed", range(6))
def test_greedy_matching_equals_the_slow_oracle(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    low = torch.rand(60, 2, generator=g) * 60
    boxes = torch.cat([low, low + 8 + torch.rand(60, 2, generator=g) * 30], 1)
    objects = boxes[:7] + torch.randn(7, 4, generator=g)
    state, index = Bipartite(0.5)(Candidates(boxes[None]), Targets(objects[None], torch.zeros(1, 7, dtype=torch.long)))
    want = slow_bipartite(bx.iou(objects, boxes), 0.5)
    assert torch.where(state[0] == 1, index[0], -1).tolist() == want


@pytest.mark.parametrize("compiling", [False, True])
def test_greedy_matching_of_crowded_and_empty_pictures_equals_the_slow_oracle(
    compiling: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty objects beside three and none, in one padded batch: chains of objects that want one another's boxes. In a
    compiled graph, whose shapes are fixed, none is dropped from the list."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)
    g = torch.Generator().manual_seed(1)
    low = torch.rand(90, 2, generator=g) * 40
    boxes = torch.cat([low, low + 8 + torch.rand(90, 2, generator=g) * 30], 1)
    objects = boxes[torch.randint(90, (3, 40), generator=g)] + torch.randn(3, 40, 4, generator=g)
    labels = torch.full((3, 40), -1)
    for i, n in enumerate((40, 3, 0)):
        labels[i, :n] = 0
    state, index = Bipartite(0.5)(Candidates(boxes.expand(3, -1, -1)), Targets(objects, labels))
    for i, n in enumerate((40, 3)):
        want = slow_bipartite(bx.iou(objects[i, :n], boxes), 0.5)
        assert torch.where(state[i] == 1, index[i], -1).tolist() == want
    assert not state[2].any()


class Looked(TorchDispatchMode):
    """How many pairs of object and box the rounds of greedy matching look at."""

    pairs = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name == "aten::scatter_reduce" and args[4] == "amax":
            self.pairs += args[3].numel()
        return func(*args, **(kwargs or {}))


def test_greedy_matching_looks_no_more_at_objects_that_have_a_box_nor_at_padding() -> None:
    g = torch.Generator().manual_seed(0)
    low = torch.rand(600, 2, generator=g) * 100
    boxes = torch.cat([low, low + 8 + torch.rand(600, 2, generator=g) * 30], 1)
    objects = boxes[torch.randint(600, (4, 120), generator=g)] + torch.randn(4, 120, 4, generator=g)
    labels = torch.full((4, 120), -1)
    labels[0], labels[1:, 0] = 0, 0
    with Looked() as looked:
        Bipartite(0.5)(Candidates(boxes.expand(4, -1, -1)), Targets(objects, labels))
    own = (120 + 3) * 120  # the lists of all objects, once
    assert own <= looked.pairs < 3 * own


def test_greedy_is_neither_hungarian_nor_torchvisions() -> None:
    a = [[0.0, 0, 10, 10], [1.5, 0, 11.5, 10]]
    objects = [[0.5, 0, 10.5, 10], [-1, 0, 9, 10]]
    iou = bx.iou(torch.tensor(objects), torch.tensor(a))
    rows, cols = linear_sum_assignment(-iou.numpy())
    state, index = Bipartite(0.99)(Candidates(torch.tensor([a])), one(objects))
    # the best pair (.905) is object 0 with box 0; object 1 gets what is left (.6)
    assert index[0].tolist() == [0, 1] and (state == 1).all()
    assert cols.tolist() == [1, 0] and iou[rows, cols].sum() > iou[[0, 1], [0, 1]].sum() + 0.1
    # torchvision: both objects want box 0, the later has it, and the other goes without
    assert SSDMatcher(0.99)(iou).tolist() == [1, -1]


def test_two_objects_that_agree_share_no_default_box() -> None:
    t = one([[10.0, 10, 30, 30], [10, 10, 30, 30]])
    c = Candidates(torch.tensor([[[10.0, 10, 30, 30], [12, 12, 30, 30], [60, 60, 80, 80]]]))
    state, index = Bipartite(0.5)(c, t)
    assert state.tolist() == [[1, 1, 0]] and sorted(index[0, :2].tolist()) == [0, 1]


def test_a_cell_answers_through_its_best_guess_and_for_one_object() -> None:
    cells = lay(CellBoxes(2), ((2, 2),), (50,), (100, 100), torch.zeros(())).boxes[None]
    guess = torch.zeros(1, 8, 4)
    guess[0, 1], guess[0, 0] = torch.tensor([10.0, 10, 40, 40]), torch.tensor([0.0, 0, 5, 5])
    guess[0, 6], guess[0, 7] = torch.tensor([0.0, 0, 3, 3]), torch.tensor([60.0, 60, 62, 62])
    t = one([[12.0, 12, 40, 44], [0, 0, 30, 30], [80, 80, 100, 100], [50, 0, 100, 20]], [3, 4, 5, -1])
    state, index = ByCell()(Candidates(cells, guess=guess), t)
    # the second object's cell is taken; nothing overlaps the third, the nearer guess answers
    assert state.tolist() == [[0, 1, 0, 0, 0, 0, 0, 1]]
    assert index[0, 1] == 0 and index[0, 7] == 2
    edge = ByCell()(Candidates(cells, guess=guess), one([[100.0, 100, 100, 100]]))[0]
    assert edge[0, 6:].sum() == 1  # a centre on the last edge lies in the last cell


# ---------------------------------------------------------------- sampling


def test_random_sampling_keeps_its_counts() -> None:
    state = torch.tensor([[1] * 30 + [0] * 200 + [-1] * 20, [1] * 3 + [0] * 247])
    used = Random(64, 0.25)(state, torch.zeros(2, 250))
    assert [(int((used & (state == s))[i].sum())) for i in (0, 1) for s in (1, 0, -1)] == [16, 48, 0, 3, 61, 0]
    few = Random(64, 0.5)(torch.tensor([[1, 0, 0, -1]]), torch.zeros(1, 4))
    assert few.tolist() == [[True, True, True, False]]
    torch.manual_seed(1)
    assert not torch.equal(used, Random(64, 0.25)(state, torch.zeros(2, 250)))


def test_hard_negatives_are_three_for_each_positive_and_the_worst() -> None:
    state = torch.tensor([[1, 1, 0, 0, 0, 0, 0, 0, 0, -1], [0] * 10])
    loss = torch.tensor([[9.0, 0.0, 1, 2, 3, 4, 5, 6, 7, 99]] * 2)
    used = HardNegatives(3)(state, loss)
    assert used[0].tolist() == [True, True, False, True, True, True, True, True, True, False]
    assert not used[1].any()  # a picture without objects pays nothing
    assert HardNegatives(3, least=2)(state, loss)[1].nonzero()[:, 0].tolist() == [0, 9]
    assert HardNegatives(3).needs_loss and not Random().needs_loss and not Everything().needs_loss


# ---------------------------------------------------------------- coding


def test_deltas_equal_the_goldens(golden: dict[str, Tensor]) -> None:
    coder, b = Delta((0.1, 0.1, 0.2, 0.2)), golden["nms_boxes"]
    torch.testing.assert_close(coder.encode(b[20:40], b[:20]), golden["bc_enc"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(coder.decode(b[:20], golden["bc_in"]), golden["bc_dec2"], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(coder.decode(b[:20], coder.encode(b[:20], b[20:40])), b[20:40], rtol=1e-5, atol=1e-4)


def test_stds_are_the_reciprocals_of_torchvisions_weights() -> None:
    low = torch.rand(50, 2) * 100
    a, b = torch.cat([low, low + 10], 1), torch.cat([low + 1, low + 25], 1)
    torch.testing.assert_close(Delta((0.1, 0.1, 0.2, 0.2)).encode(a, b),
                               BoxCoder((10.0, 10.0, 5.0, 5.0)).encode_single(b, a))
    far = torch.randn(50, 4) * 5
    torch.testing.assert_close(Delta().decode(a, far), BoxCoder((1.0, 1.0, 1.0, 1.0)).decode_single(far, a))


def test_codes_of_flat_boxes_are_finite() -> None:
    code = Delta().encode(torch.tensor([[0.0, 0, 0, 5]]), torch.tensor([[0.0, 0, 0, 0]]))
    assert torch.isfinite(code).all()


def test_yolo_codes_are_offsets_in_cells_and_roots_of_fractions() -> None:
    # centre (156, 106), side 112 = a quarter of 448
    cell, box = torch.tensor([[128.0, 64.0, 192.0, 128.0]]), torch.tensor([[100.0, 50.0, 212.0, 162.0]])
    code = RootCell(7).encode(cell, box)
    torch.testing.assert_close(code, torch.tensor([[28 / 64, 42 / 64, 0.5, 0.5]]))
    torch.testing.assert_close(RootCell(7).decode(cell, code), box)
    # the root may be negative
    torch.testing.assert_close(RootCell(7).decode(cell, code * torch.tensor([1, 1, -1, 1])), box)


# ---------------------------------------------------------------- losses


@pytest.mark.parametrize("alpha,gamma", [(0.25, 2.0), (0.5, 0.0), (-1.0, 0.0), (0.75, 0.5)])
def test_eq_5_focal_loss_equals_the_goldens(golden: dict[str, Tensor], alpha: float, gamma: float) -> None:
    x, y = golden["focal_logits"], golden["focal_y"]
    got = Focal(gamma, alpha)(x[:, None], 1 - y.long())  # one class: label 0 is the class, 1 is background
    torch.testing.assert_close(got, golden[f"focal_a{alpha}_g{gamma}"], rtol=1e-5, atol=1e-6)


def test_focal_loss_sums_over_classes_as_torchvisions_does() -> None:
    x, label = torch.randn(40, 7) * 3, torch.randint(0, 8, (40,))
    y = F.one_hot(label, 8)[:, :7].float()
    torch.testing.assert_close(Focal()(x, label), torchvision.ops.sigmoid_focal_loss(x, y).sum(-1),
                               rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(Sigmoid()(x, label), F.binary_cross_entropy_with_logits(x, y, reduction="none").sum(-1),
                               rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(Squared()(x, label), ((x - y) ** 2).sum(-1), rtol=1e-4, atol=1e-5)


def test_focal_loss_with_gamma_0_is_half_the_log_loss_or_all_of_it() -> None:
    x, label = torch.randn(30, 3, dtype=torch.float64), torch.randint(0, 4, (30,))
    torch.testing.assert_close(Focal(gamma=0.0, alpha=0.5)(x, label), Sigmoid()(x, label) / 2)
    torch.testing.assert_close(Focal(gamma=0.0, alpha=-1.0)(x, label), Sigmoid()(x, label))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_gradient_of_the_focal_loss(gamma: float) -> None:
    """Appendix B: dFL/dx = y (1 - p_t)^gamma (gamma p_t log p_t + p_t - 1), y = +-1."""
    x = torch.randn(50, 1, dtype=torch.float64, requires_grad=True)
    label = torch.randint(0, 2, (50,))
    (slope,) = torch.autograd.grad(Focal(gamma, -1.0)(x, label).sum(), x)
    y = 1.0 - 2 * label[:, None]
    pt = (y * x).sigmoid()
    torch.testing.assert_close(slope, y * (1 - pt) ** gamma * (gamma * pt * pt.log() + pt - 1))


def test_the_prior_makes_background_nearly_free() -> None:
    assert prior_bias(0.01) == pytest.approx(-4.59512, abs=1e-5)
    x = torch.full((1, 1), prior_bias(0.01), dtype=torch.float64)
    background = torch.ones(1, dtype=torch.long)
    assert Focal()(x, background).item() == pytest.approx(7.5e-7, rel=0.01)
    assert Sigmoid()(x, background).item() == pytest.approx(0.01005, rel=0.01)


def test_softmax_has_background_last() -> None:
    x = torch.tensor([[2.0, 0.0, 5.0]])
    assert Softmax().scores(x).shape == (1, 2) and Softmax()(x, torch.tensor([2])) < Softmax()(x, torch.tensor([0]))
    two = torch.randn(9, 2)
    # a softmax of two is a sigmoid of the difference
    torch.testing.assert_close(Softmax().scores(two)[:, 0], (two[:, 0] - two[:, 1]).sigmoid())


def test_box_losses() -> None:
    a, b = torch.randn(20, 4), torch.randn(20, 4)
    torch.testing.assert_close(SmoothL1(1 / 9)(a, b), F.smooth_l1_loss(a, b, beta=1 / 9, reduction="none").sum(-1))
    torch.testing.assert_close(L1()(a, b), (a - b).abs().sum(-1))
    p, q = a.abs().cumsum(-1), b.abs().cumsum(-1)
    torch.testing.assert_close(GIoU()(p, q), torchvision.ops.generalized_box_iou_loss(p, q))
    assert GIoU().decoded and not SmoothL1().decoded


# ---------------------------------------------------------------- heads


def inp(channels: tuple[int, ...], anchors: tuple[int, ...], logits: int) -> In:
    return In(channels, tuple(8 * 2**i for i in range(len(channels))), logits, anchors=anchors, logits=logits)


def test_flat_lays_anchors_out_row_column_anchor() -> None:
    y = torch.arange(2 * 6 * 2 * 3).view(2, 6, 2, 3)  # two anchors of three numbers
    out = flat(y, 3)
    assert out.shape == (2, 12, 3) and torch.equal(out[1, 2 * (1 * 3 + 2) + 1], y[1, 3:6, 1, 2])


def test_one_convolution_of_six_k_is_the_two_of_the_rpn_head() -> None:
    head = RPNHead(inp((8,), (9,), 2))
    x = torch.randn(1, 8, 4, 5)
    logits, codes = head([x])
    y = F.conv2d(head.conv(x), torch.cat([head.cls.weight, head.box.weight]), torch.cat([head.cls.bias, head.box.bias]))
    assert y.shape[1] == 6 * 9
    torch.testing.assert_close(torch.cat([flat(y[:, :18], 2), flat(y[:, 18:], 4)], -1), torch.cat([logits, codes], -1))


def test_towers_start_at_the_prior() -> None:
    head = TowerHead(inp((16, 16), (3, 3), 5), depth=2)
    logits, codes = head([torch.randn(1, 16, 8, 8), torch.randn(1, 16, 4, 4)])
    assert logits.shape == (1, 240, 5) and codes.shape == (1, 240, 4)
    torch.testing.assert_close(logits.sigmoid().mean(), torch.tensor(0.01), rtol=0.05, atol=0)


def test_level_heads_may_differ_in_channels_and_anchors() -> None:
    logits, codes = LevelHeads(inp((8, 12), (4, 6), 3))([torch.randn(2, 8, 3, 3), torch.randn(2, 12, 2, 2)])
    assert logits.shape == (2, 36 + 24, 3) and codes.shape == (2, 60, 4)


def test_levels_that_differ_cannot_share_a_head() -> None:
    with pytest.raises(AssertionError, match="cannot share"):
        RPNHead(inp((8, 12), (3, 3), 1))


def test_local_layer_is_a_convolution_where_its_weights_agree() -> None:
    layer, conv = Local(3, 5, 4), torch.nn.Conv2d(3, 5, 3, padding=1)
    with torch.no_grad():
        layer.weight.copy_(conv.weight.flatten(1).expand(16, -1, -1))
        layer.bias.copy_(conv.bias[:, None, None].expand(-1, 4, 4))
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(layer(x), conv(x))


def test_the_fully_connected_layer_over_the_map_is_a_convolution_as_large_as_it() -> None:
    fc = torch.nn.Linear(6 * 7 * 7, 11)
    x = torch.randn(2, 6, 7, 7)
    torch.testing.assert_close(fc(x.flatten(1)), F.conv2d(x, fc.weight.view(11, 6, 7, 7), fc.bias)[..., 0, 0])


def test_yolo_says_which_size_it_wants() -> None:
    with pytest.raises(StemmaError, match="32 x 32 pixels, not 40 x 32"):
        YoloHead(inp((6,), (2,), 3), cells=4, hidden=8)([torch.randn(1, 6, 5, 4)])


def test_yolo_layout_and_darknets() -> None:
    head = YoloHead(inp((6,), (2,), 3), cells=4, hidden=8)
    x = torch.randn(2, 6, 4, 4)
    head.eval()
    grid = head.grid(x)
    assert grid.shape == (2, 4, 4, 13)
    logits, codes, conf = head([x])
    assert torch.equal(codes[0, 2 * (1 * 4 + 2) + 1], grid[0, 1, 2, 5:9]) and conf[0, 2 * 6 + 1] == grid[0, 1, 2, 9]
    assert torch.equal(logits[0, 12], grid[0, 1, 2, 10:]) and torch.equal(logits[0, 13], logits[0, 12])
    vector = to_darknet(grid, 2)
    assert torch.equal(vector[:, :3], grid[:, 0, 0, 10:]) and torch.equal(vector[:, 48:50], grid[:, 0, 0, [4, 9]])
    assert torch.equal(vector[:, 80:84], grid[:, 0, 0, :4])
    assert torch.equal(from_darknet(vector, 4, 2, 3), grid)


def test_l2norm_gives_every_place_the_length_of_its_scale() -> None:
    layer, x = L2Norm(6), torch.randn(2, 6, 3, 3)
    torch.testing.assert_close(layer(x).norm(dim=1), torch.full((2, 3, 3), 20.0))
    torch.testing.assert_close(layer(x), 20 * x / x.norm(dim=1, keepdim=True))


def test_preprocess_takes_the_mean_to_zero() -> None:
    p = Preprocess()
    assert p(torch.tensor(p.mean)[None, :, None, None].expand(1, 3, 2, 2)).abs().max() == 0


@pytest.mark.parametrize("kw", [{"hidden": 0}, {"hidden": 8}, {"local": 5}])
def test_yolo_starts_where_it_is_told(kw: dict[str, int]) -> None:
    head = YoloHead(inp((6,), (2,), 3), cells=4, start=(0.5, 0.5, 0.4, 0.4, 0.1), **kw).eval()
    logits, codes, conf = head([torch.zeros(1, 6, 4, 4)])
    torch.testing.assert_close(codes, torch.tensor([0.5, 0.5, 0.4, 0.4]).expand(1, 32, 4), rtol=0, atol=0.05)
    torch.testing.assert_close(conf, torch.full((1, 32), 0.1), rtol=0, atol=0.05)


def test_each_level_has_its_own_batch_norms_and_shares_the_convolutions() -> None:
    head = TowerHead(inp((4, 4), (1, 1), 2), depth=1, norm="batch").train()
    xs = [torch.randn(8, 4, 6, 6), 5 + 3 * torch.randn(8, 4, 3, 3)]
    for _ in range(200):
        said = head(xs)
    head.eval()
    # evaluation meets the statistics that training met
    torch.testing.assert_close(head(xs)[0], said[0], rtol=0.05, atol=0.01)
    assert len(head.cls_tower.convs) == 1 and len(head.cls_tower.norms) == 2


def test_darknet_at_a_quarter_of_its_width() -> None:
    net = Darknet24(In((3,), (1,)), width=0.25, norm="batch", pools=2)
    assert net(torch.rand(1, 3, 64, 64))[0].shape == (1, 256, 4, 4) and net.out == In((256,), (16,))
    assert sum(isinstance(m, torch.nn.Conv2d) for m in net.modules()) == 24


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_colours_are_normalised_alike_however_they_lie(memory: torch.memory_format) -> None:
    p, images = Preprocess((0.5, 0.4, 0.3), (0.2, 0.3, 0.1)), torch.rand(2, 3, 5, 7)
    mean, std = (torch.tensor(v)[:, None, None] for v in (p.mean, p.std))
    given = images.contiguous(memory_format=memory)
    out = p(given)
    assert torch.equal(out, (images - mean) / std) and torch.equal(given, images)
    assert out.is_contiguous(memory_format=memory)
