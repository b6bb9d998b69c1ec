"""Boxes and NMS against torchvision and slow oracles."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stemma.ops import boxes as bx
from stemma.ops import nms as suppress
from stemma.ops.nms import nms

GOLDENS = Path(__file__).parent / "goldens" / "boxes.npz"


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with np.load(GOLDENS, allow_pickle=False) as file:
        return {k: torch.from_numpy(file[k]) for k in file.files}


def some(n: int, seed: int = 0, side: float = 100.0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    low = torch.rand(n, 2, generator=g) * side
    return torch.cat([low, low + torch.rand(n, 2, generator=g) * side / 2 + 0.5], 1)


def slow_nms(boxes: Tensor, scores: Tensor, labels: Tensor, iou: float) -> list[int]:
    """Greedy, one box after another."""
    kept: list[int] = []
    for i in scores.argsort(descending=True, stable=True).tolist():
        if all(labels[i] != labels[j] or torchvision.ops.box_iou(boxes[i : i + 1], boxes[j : j + 1]).item() <= iou
               for j in kept):
            kept.append(i)
    return kept


def test_iou_and_giou_equal_the_goldens(golden: dict[str, Tensor]) -> None:
    b = golden["nms_boxes"]
    torch.testing.assert_close(bx.iou(b[:30], b[30:60]), golden["box_iou"], rtol=0, atol=1e-6)
    torch.testing.assert_close(bx.giou(b[:10], b[10:20]), golden["giou"], rtol=0, atol=1e-6)


def test_pairs_and_singles_agree_with_torchvision() -> None:
    a, b = some(40, 1), some(40, 2)
    torch.testing.assert_close(bx.iou(a, b), torchvision.ops.box_iou(a, b))
    torch.testing.assert_close(bx.giou(a, b), torchvision.ops.generalized_box_iou(a, b))
    torch.testing.assert_close(bx.iou_each(a, b), torchvision.ops.box_iou(a, b).diag())
    torch.testing.assert_close(1 - bx.giou_each(a, b), torchvision.ops.generalized_box_iou_loss(a, b))
    batched = bx.iou(torch.stack([a, b]), torch.stack([b, a]))
    torch.testing.assert_close(batched[0], batched[1].T)


def test_iof_is_the_covered_share_of_the_first() -> None:
    small, large = torch.tensor([[2.0, 2, 4, 4]]), torch.tensor([[0.0, 0, 3, 10]])
    assert bx.iof(small, large).item() == 0.5 and bx.iof(large, small).item() == pytest.approx(2 / 30)


def test_iou_falls_and_iof_stays_when_a_box_grows_away() -> None:
    truth = torch.tensor([[0.0, 0, 10, 10]])
    boxes = torch.tensor([[5.0, 0, 15 + k, 10] for k in (0, 5, 20)])
    assert (bx.iou(truth, boxes)[0].diff() < 0).all() and (bx.iof(truth, boxes)[0].diff() == 0).all()


def test_empty_boxes_overlap_nothing() -> None:
    flat = torch.tensor([[5.0, 5, 5, 5], [9, 9, 1, 1]])
    assert (bx.iou(flat, flat) == 0).all() and (bx.area(flat) == 0).all() and torch.isfinite(bx.giou(flat, flat)).all()


@pytest.mark.parametrize("form", ["xyxy", "xywh", "cxcywh"])
def test_forms_convert_there_and_back(form: str) -> None:
    b = some(9)
    there = bx.convert(b, "xyxy", form)  # type: ignore[arg-type]
    torch.testing.assert_close(there, torchvision.ops.box_convert(b, "xyxy", form))
    torch.testing.assert_close(bx.convert(there, form, "xyxy"), b)  # type: ignore[arg-type]
    torch.testing.assert_close(bx.from_centre(*bx.centre_size(b)), b)


def test_clip_by_one_size_and_by_many() -> None:
    b = torch.stack([some(20, 3) - 30, some(20, 4) - 30])
    sizes = torch.tensor([[40.0, 70.0], [55.0, 20.0]])
    by_many = bx.clip(b, sizes)
    for i, (h, w) in enumerate(sizes.int().tolist()):
        torch.testing.assert_close(by_many[i], torchvision.ops.clip_boxes_to_image(b[i], (h, w)))
        torch.testing.assert_close(bx.clip(b[i : i + 1], (h, w))[0], by_many[i])


def test_take_reads_rows() -> None:
    b, at = torch.stack([some(6, 1), some(6, 2)]), torch.tensor([[5, 0, 0], [1, 2, 3]])
    assert torch.equal(bx.take(b, at)[1], b[1, 1:4]) and torch.equal(bx.take(b, at)[0, 0], b[0, 5])


@pytest.mark.parametrize("iou", [0.3, 0.5, 0.7])
def test_nms_equals_the_goldens(golden: dict[str, Tensor], iou: float) -> None:
    b, s, c = golden["nms_boxes"], golden["nms_scores"], golden["nms_cls"]
    assert torch.equal(suppress.nms_one(b, s, iou), golden[f"nms_keep_{iou}"])
    by_class = nms(b[None], s[None], c[None], iou, 200)[0]
    assert torch.equal(by_class[by_class >= 0], golden[f"batched_nms_keep_{iou}"])


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 40), seed=st.integers(0, 10**6), iou=st.sampled_from([0.1, 0.3, 0.5, 0.8]),
       kinds=st.integers(1, 3), keep=st.integers(1, 45))
def test_nms_is_greedy_whichever_way_it_is_computed(n: int, seed: int, iou: float, kinds: int, keep: int) -> None:
    g = torch.Generator().manual_seed(seed)
    boxes, scores = some(n, seed, 30.0), torch.rand(n, generator=g)
    labels = torch.randint(0, kinds, (n,), generator=g)
    want = slow_nms(boxes, scores, labels, iou)[:keep]
    got = nms(boxes[None], scores[None], labels[None], iou, keep)[0]
    assert got.shape == (keep,) and got[got >= 0].tolist() == want
    order = scores.argsort(descending=True, stable=True)
    args = (boxes[order][None], labels[order][None], torch.ones(1, n, dtype=torch.bool), iou)
    assert torch.equal(suppress._survivors(*args, 0), suppress.suppress(*args, n))
    assert torch.equal(suppress._survivors(*args, n), suppress.suppress(*args, n))


def test_nms_reads_on_when_the_first_chunk_does_not_fill_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suppress, "CHUNK", 8)
    n = 120
    boxes = torch.cat([torch.tensor([[0.0, 0, 10, 10]]).expand(100, 4),
                       torch.arange(20)[:, None] * 30 + torch.tensor([0.0, 40, 10, 50])])
    scores = torch.linspace(1, 0.1, n)
    got = nms(boxes[None], scores[None], None, 0.5, 4)[0]
    assert got.tolist() == [0, 100, 101, 102]
    ones = torch.ones(1, n, dtype=torch.bool)
    assert suppress._in_chunks(boxes[None], ones.long(), ones, 0.5, 4)[0].nonzero()[:4, 0].tolist() == got.tolist()


@pytest.mark.parametrize("kinds", [1, 3])
@pytest.mark.parametrize("keep", [1, 20, 90])
def test_nms_on_a_processor_reads_as_many_as_fill_the_list(keep: int, kinds: int,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """Of boxes that mostly survive it reads few; of boxes in heaps, as many as it takes."""
    given: list[int] = []
    ours, g = suppress.compiled().nms, torch.Generator().manual_seed(keep)

    def counted(boxes: Tensor, scores: Tensor, iou: float) -> Tensor:
        given.append(len(boxes))
        return ours(boxes, scores, iou)

    monkeypatch.setattr(suppress.compiled(), "nms", counted)
    for heaps in (400, 30):
        at = torch.arange(400) % heaps
        boxes = some(heaps, 1, 300.0)[at] + 0.1 * torch.rand(400, 4, generator=g)
        scores, labels = torch.rand(400, generator=g), at % kinds
        got = nms(boxes[None], scores[None], labels[None], 0.5, keep)[0]
        assert got[got >= 0].tolist() == slow_nms(boxes, scores, labels, 0.5)[:keep]
        assert heaps < 400 or max(given) < 400


def test_nms_in_a_batch_is_nms_of_each_picture() -> None:
    boxes, scores = torch.stack([some(60, i, 40.0) for i in range(3)]), torch.rand(3, 60)
    labels, groups = torch.randint(0, 3, (3, 60)), torch.randint(0, 2, (3, 60))
    scores[1, 20:], labels[2, 30:] = -torch.inf, -1  # both mark padding
    got = nms(boxes, scores, labels, 0.4, 50, groups)
    for i in range(3):
        ok = (scores[i] > -torch.inf) & (labels[i] >= 0)
        place = ok.nonzero()[:, 0]
        want = torchvision.ops.batched_nms(boxes[i][ok], scores[i][ok], (labels[i] * 2 + groups[i])[ok], 0.4)
        assert torch.equal(got[i][got[i] >= 0], place[want][:50])


def test_a_batch_compared_in_pieces_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    order = torch.rand(5, 30).argsort(1)
    boxes, kind, valid = (bx.take(torch.stack([some(30, i, 20.0) for i in range(5)]), order),
                          torch.zeros(5, 30, dtype=torch.long), torch.rand(5, 30) > 0.1)
    valid = valid.sort(1, descending=True).values
    whole = suppress._survivors(boxes, kind, valid, 0.3, 0)
    monkeypatch.setattr(suppress, "PAIRS", 2 * 30 * 30)
    assert torch.equal(suppress._survivors(boxes, kind, valid, 0.3, 0), whole)
    assert torch.equal(suppress.suppress(boxes, kind, valid, 0.3, boxes.shape[1]), whole)


def test_kinds_far_apart_lose_no_precision() -> None:
    """Shifting classes apart in float32 moves boxes by whole pixels at a thousand classes; the answer must not depend
    on the label's number."""
    boxes, scores = some(80, 5, 2000.0) / 60 + 1000, torch.rand(80)
    one = nms(boxes[None], scores[None], torch.zeros(1, 80, dtype=torch.long), 0.5, 80)
    many = nms(boxes[None], scores[None], torch.full((1, 80), 99_999), 0.5, 80)
    assert torch.equal(one, many)


def test_nms_of_nothing() -> None:
    assert nms(torch.zeros(2, 0, 4), torch.zeros(2, 0), None, 0.5, 3).tolist() == [[-1] * 3] * 2
    assert nms(torch.zeros(1, 2, 4), torch.full((1, 2), -torch.inf), None, 0.5, 3).tolist() == [[-1] * 3]


def test_nms_compiles_as_one_graph() -> None:
    boxes, scores, labels = some(50, 6, 40.0)[None], torch.rand(1, 50), torch.randint(0, 2, (1, 50))
    compiled = torch.compile(lambda b, s, c: nms(b, s, c, 0.5, 20), fullgraph=True, backend="eager")
    assert torch.equal(compiled(boxes, scores, labels), nms(boxes, scores, labels, 0.5, 20))
