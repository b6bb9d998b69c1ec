"""Networks on windows: OverFeat, and what it shares with DeepMask and weak localisation."""
from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import stemma
from engine_help import short
from stemma.core.paper import Fact
from stemma.core.part import In, edit, part
from stemma.core.types import Batch, Detections, Sample, Targets
from stemma.data.loader import Loader
from stemma.data.scenes import Scenes
from stemma.engine.pictures.export import export
from stemma.engine.pictures.trainer import Trainer
from stemma.ops import boxes as bx
from stemma.papers.localization import overfeat
from stemma.parts.backbones.chain import Chain
from stemma.parts.backbones.onto import with_timm
from stemma.parts.dense.coders import Edges
from stemma.parts.dense.sample import Mined
from stemma.parts.points import labels_of, point_detections
from stemma.parts.windows.heads import ClassBoxHead, OffsetPool, fully
from stemma.parts.windows.merge import GreedyMerge
from stemma.parts.windows.patches import cut
from stemma.parts.windows.rules import ClassBoxRule
from stemma.parts.windows.windows import mirror_boxes
from stemma.skeletons.windows import Windows, WindowsModel

torch.set_num_threads(1)


def tiny(preset: str = "small", **changes: object) -> WindowsModel:
    return replace(overfeat.spec(preset), **changes).build(3).eval()  # type: ignore[arg-type]


# ---------------------------------------------------------------- counts


@pytest.mark.parametrize("fact", overfeat.PAPER.facts, ids=lambda f: f"{f.what}-{f.variant}")
def test_published_counts(fact: Fact) -> None:
    with torch.device("meta"):
        model = overfeat.spec(fact.variant).build(fact.classes)
        if fact.what == "parameters":
            assert sum(p.numel() for p in model.parameters()) == fact.value
            return
        height, width = (int(v) for v in fact.what.removeprefix("windows of ").split(" x "))
        raw = model.look(torch.empty(1, 3, height, width))
    assert raw.logits.shape == (1, fact.value, fact.classes)


def test_table_5_maps_before_the_last_pool_and_after_the_classifier() -> None:
    """The six sizes: cells of layer 5, and windows of the interleaved answers."""
    before = ((17, 17), (20, 23), (23, 29), (29, 35), (32, 38), (35, 44))
    after = ((3, 3), (6, 9), (9, 15), (15, 21), (18, 24), (21, 30))
    with torch.device("meta"):
        model = overfeat.spec("classifier").build(10)
        for (height, width, _), cells, windows in zip(overfeat.SIX, before, after):
            images = torch.empty(1, 3, height, width)
            assert tuple(model.backbone(images)[-1].shape[-2:]) == cells and model.look(images).passes == (windows,)


def test_a_window_of_the_accurate_net_is_its_training_crop_and_of_the_fast_net_too() -> None:
    for preset, side in (("classifier", 221), ("fast-classifier", 231)):
        with torch.device("meta"):
            model = overfeat.spec(preset).build(10)
            assert model.spec.window == side
            assert model.look(torch.empty(1, 3, side, side)).passes == ((1, 1),)
            assert model.look(torch.empty(1, 3, side + model.grid.stride, side)).passes == ((2, 1),)
        middle = model.grid.offset + model.grid.stride * (model.head.cells - 1) / 2
        assert middle == side / 2


def test_detection_adds_a_background_logit_and_the_regressor() -> None:
    with torch.device("meta"):
        whole, plain = overfeat.spec("paper").build(1000), overfeat.spec("classifier").build(1000)
    count = lambda m: sum(p.numel() for p in m.parameters())  # noqa: E731
    regressor = (25 * 1024 * 4096 + 4096) + (4096 * 1024 + 1024) + (1024 * 4000 + 4000)
    assert count(whole) - count(plain) == regressor + 4096 + 1


# ---------------------------------------------------------------- identities (OverFeat sec. 3)


@pytest.mark.oracle("the fully connected net on each window", "overfeat")
def test_fully_connected_is_a_convolution_and_sliding_it_is_the_map() -> None:
    torch.manual_seed(0)
    head = fully(6, (7,), 4, kernel=5).double().eval()
    x = torch.randn(2, 6, 9, 11, dtype=torch.float64)
    first, last = head[0], head[-1]
    out = head(x)
    assert out.shape == (2, 4, 5, 7)
    for i in range(5):
        for j in range(7):
            flat = x[:, :, i : i + 5, j : j + 5].flatten(1)
            hidden = F.relu(F.linear(flat, first.weight.flatten(1), first.bias))
            torch.testing.assert_close(out[:, :, i, j], F.linear(hidden, last.weight.flatten(1), last.bias))


@pytest.mark.parametrize("pool,kernel,shape", [(3, 5, (17, 23)), (3, 5, (20, 29)), (2, 6, (15, 14)), (3, 2, (8, 10))])
@pytest.mark.oracle("dilated convolution of torch", "overfeat")
def test_offset_pooling_interleaved_is_dilation(pool: int, kernel: int, shape: tuple[int, int]) -> None:
    """Sec. 3.3 taken at its word: pool at each offset, slide the classifier over each map, lay the answers back."""
    torch.manual_seed(0)
    head = fully(4, (6,), 3, kernel, pool).double().eval()
    undilated = fully(4, (6,), 3, kernel).double().eval()
    undilated.load_state_dict(head.state_dict())
    x = torch.randn(2, 4, *shape, dtype=torch.float64)
    dense = head(OffsetPool(pool)(x))
    laid = torch.full_like(dense, torch.nan)
    for dy in range(pool):
        for dx in range(pool):
            pooled = F.max_pool2d(x[:, :, dy:, dx:], pool)
            if min(pooled.shape[-2:]) >= kernel:
                laid[:, :, dy::pool, dx::pool] = undilated(pooled)
    torch.testing.assert_close(dense, laid)
    assert dense.shape[-2:] == (shape[0] - kernel * pool + 1, shape[1] - kernel * pool + 1)


@pytest.mark.oracle("a loop over crops", "overfeat")
def test_a_dense_pass_is_a_loop_over_crops() -> None:
    """Oracle: every window cut out of the picture and shown alone. Exact where no convolution pads."""
    torch.manual_seed(0)
    layers = ((8, 5, 2, 0), (0, 2, 2, 0), (12, 3, 1, 0))
    net = Windows(ClassBoxRule(), part(Chain, layers=layers),
                  part(ClassBoxHead, kernel=2, pool=2, widths=(9,), boxes=(7,), dropout=0.0), window=27)
    model = net.build(3).double().eval()
    images = torch.rand(2, 3, 43, 51, dtype=torch.float64)
    raw = model.look(images)
    assert raw.codes is not None and raw.passes == ((5, 7),)
    for k, (x1, y1, x2, y2) in enumerate(raw.windows.tolist()):
        assert (x2 - x1, y2 - y1) == (27, 27)
        one = model.look(images[:, :, int(y1) : int(y2), int(x1) : int(x2)])
        assert one.codes is not None and one.passes == ((1, 1),)
        torch.testing.assert_close(one.logits[:, 0], raw.logits[:, k])
        torch.testing.assert_close(one.codes[:, 0], raw.codes[:, k])


def test_a_chain_tells_where_its_cells_lie() -> None:
    chain = Chain(In((3,), (1,)), overfeat.ACCURATE[:4])
    assert (chain.out.strides, chain.out.offsets) == ((12,), (26.5,))
    seen = torch.zeros(1, 3, 83, 83)
    for m in chain.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.ones_(m.weight)
    seen[:, :, 26, 26] = 1.0  # the pixel in the middle of the first cell's field
    alone = chain(seen)[0][0].sum(0)
    assert alone[0, 0] == alone.max() > 0


@pytest.mark.parametrize("margin,alike", [(8, True), (0, False)])
def test_a_window_with_a_margin_sees_its_surroundings_in_training_as_in_use(margin: int, alike: bool) -> None:
    """Where convolutions pad, a crop says what the whole picture says there if its margin holds what they see."""
    torch.manual_seed(0)
    net = Windows(ClassBoxRule(), part(Chain, layers=((8, 5, 1, 2), (0, 8, 8, 0))),
                  part(ClassBoxHead, kernel=2, pool=1, widths=(9,), boxes=(7,), dropout=0.0), window=16, border=8,
                  margin=margin)
    model = net.build(3).double().eval()
    images = torch.rand(1, 3, 48, 56, dtype=torch.float64)
    raw = model(images)
    where = torch.tensor([16.0, 24.0, 32.0, 40.0])
    at = int((raw.windows == where).all(1).nonzero())
    patch = cut(images, where.double()[None, None], 16, images.new_zeros(3), margin)
    assert patch.shape[-1] == 16 + 2 * margin
    one = model.look(patch, border=0)
    assert one.passes == ((1, 1),) and one.windows[0].tolist() == [margin, margin, margin + 16, margin + 16]
    assert torch.allclose(one.logits[:, 0], raw.logits[:, at], atol=1e-9) == alike


# ---------------------------------------------------------------- scales, borders and mirror images


def test_windows_of_scaled_and_bordered_pictures_lie_where_they_look() -> None:
    model = tiny(border=8, scales=(1.0, 0.5))
    raw = model(torch.rand(1, 3, 96, 128))
    first, half = raw.split(raw.windows[None])
    assert first[0, 0, 2] - first[0, 0, 0] == 24 and half[0, 0, 2] - half[0, 0, 0] == 48
    middle = bx.centre_size(first[0])[0]
    assert middle[1, 0] - middle[0, 0] == 8 and (middle[0] == middle[0, 0]).all()
    whole = 96 + 16, 128 + 16
    assert raw.passes[0] == (whole[0] // 8 - 3, whole[1] // 8 - 3)


def test_the_mirrored_pass_is_the_pass_of_the_mirrored_picture() -> None:
    torch.manual_seed(0)
    model, images = tiny(mirror=True), torch.rand(2, 3, 64, 80)
    both, other = model(images), model.look(images.flip(-1), model.spec.scales)
    seen = both.mirrored
    torch.testing.assert_close(both.logits[:, seen], other.logits)
    torch.testing.assert_close(both.windows[seen], mirror_boxes(other.windows, 80))
    assert (not both.mirrored[: both.levels[0]].any()
            and both.mirrored[both.levels[0] : both.levels[0] + both.levels[1]].all())


def test_a_mirrored_code_is_the_code_of_the_mirrored_box() -> None:
    torch.manual_seed(0)
    ref, box = (torch.rand(20, 4).cumsum(-1)[:, [0, 1, 2, 3]] * 30 for _ in range(2))
    coder = Edges(0.3)
    code = coder.encode(ref, box)
    torch.testing.assert_close(coder.decode(ref, code), box)
    torch.testing.assert_close(Edges.mirrored(code), coder.encode(mirror_boxes(ref, 100), mirror_boxes(box, 100)),
                               rtol=1e-4, atol=1e-4)
    unit = Edges().encode(torch.tensor([10.0, 20, 30, 60]), torch.tensor([12.0, 20, 40, 50]))
    torch.testing.assert_close(unit, torch.tensor([0.1, 0.0, 0.5, -0.25]))


def test_a_picture_smaller_than_a_window_is_laid_on_the_mean() -> None:
    model = tiny(border=0, scales=(1.0,))
    raw = model(torch.rand(1, 3, 20, 24))
    assert raw.passes == ((1, 1),) and torch.isfinite(raw.logits).all()


def test_windows_beyond_the_picture_say_nothing() -> None:
    torch.manual_seed(0)
    model = tiny(scales=(1.0,))
    images, sizes = torch.rand(1, 3, 64, 64), torch.tensor([[64.0, 40.0]])
    raw = model(images)
    assert isinstance(model.rule, ClassBoxRule)
    scores = model.rule.scores(raw, sizes)[0].amax(1)
    out = bx.centre_size(raw.windows)[0][:, 0] >= 40
    assert out.any() and (scores[out] == 0).all() and (scores[~out] > 0).all()


def test_a_picture_thinner_than_the_windows_stride_is_seen_by_the_nearest() -> None:
    """A picture of 640 x 40 is 128 x 8 in a letterbox of 128, and no window of 24 has its middle in it."""
    torch.manual_seed(0)
    model = tiny(border=0, scales=(1.0,))
    raw = model(torch.rand(3, 3, 64, 64))
    middle = bx.centre_size(raw.windows)[0]
    first = middle[:, 1].min()
    assert first > 4
    inside = raw.inside(torch.tensor([[4.0, 64.0], [4.0, 4.0], [64.0, 64.0]]))
    assert inside[0].tolist() == ((middle[:, 1] == first) & (middle[:, 0] < 64)).tolist() and inside[0].sum() > 1
    assert inside[1].sum() == 1 and (middle[inside[1]] == middle.amin(0)).all()
    assert inside[2].tolist() == (middle < 64).all(1).tolist()


def test_weak_localisation_learns_from_thin_pictures() -> None:
    """Its loss was not a number where no window counted."""
    torch.manual_seed(0)
    model = stemma.build("localization-for-free", preset="small", classes=2)
    targets = Targets(torch.tensor([[[2.0, 1, 60, 7]]] * 2), torch.tensor([[0], [1]]))
    loss = model.loss(Batch(torch.rand(2, 3, 128, 128), targets, s := torch.tensor([[8.0, 128.0], [3.0, 5.0]]), s,
                            torch.arange(2)))
    assert torch.isfinite(loss["presence"])
    found = model.predict(torch.rand(2, 3, 128, 128), s)
    assert torch.isfinite(found.scores).all() and (found.scores > 0).all()


# ---------------------------------------------------------------- learning


def objects(boxes: list[list[float]], labels: list[int], size: int = 64) -> tuple[Tensor, Targets]:
    return torch.rand(1, 3, size, size), Targets(torch.tensor([boxes]).view(1, -1, 4),
                                                 torch.tensor([labels]).view(1, -1))


def test_each_phase_has_a_loss_and_the_regressor_learns_alone() -> None:
    """Sec. 4.2: the classifier's layers rest while the regressor learns; a window pays for boxes only where it answers
    for an object."""
    recipe = overfeat.recipe("paper")
    model = overfeat.spec("small").build(3).train()
    names = [n for n, _ in model.named_parameters()]
    regress = recipe.phases[1]
    awake = [n for n in names if re.search(regress.train, n)]
    assert awake and all(n.startswith("head.regressor") for n in awake)
    images, targets = objects([[10, 10, 40, 40]], [1])
    batch = Batch(images, targets, torch.tensor([[64.0, 64]]), torch.tensor([[64.0, 64]]), torch.zeros(1))
    for n, p in model.named_parameters():
        p.requires_grad_(n in awake)
    model.train()
    assert not model.backbone.training and model.head.training
    before = {k: v.clone() for k, v in model.backbone.state_dict().items()}
    losses = model.loss(batch)
    assert set(losses) == {"classify", "box", "detect"}
    losses["box"].backward()
    assert all(p.grad is not None for n, p in model.named_parameters() if n in awake)
    assert all(torch.equal(v, before[k]) for k, v in model.backbone.state_dict().items())
    assert [p.name for p in recipe.phases if re.search(p.losses, "box")] == ["regress", "detect"]
    assert [p.name for p in recipe.phases if re.search(p.losses, "classify")] == ["classify"]


def test_negatives_are_mined_from_the_background_of_each_picture() -> None:
    torch.manual_seed(0)
    state = torch.tensor([[1, 0, 0, 0, 0, 0, 0, -1, 0], [0, -1, -1, 0, 0, 0, 0, 0, 0]])
    loss = torch.tensor([[0.1, 9, 8, 1, 1, 1, 1, 99, 1], [5.0, 99, 99, 1, 1, 1, 1, 7, 1]])
    used = Mined(random=2, hard=2)(state, loss)
    assert used[0, 0] and used[0, 1] and used[0, 2] and used[1, 0] and used[1, 7]
    assert not used[state == -1].any() and used.sum(1).tolist() == [5, 4]
    several = torch.stack([Mined(random=1, hard=0)(state, loss)[1] for _ in range(40)]).sum(0)
    assert (several > 0).sum() > 3, "those at random change from step to step"


def test_the_regressor_is_asked_for_the_edges_of_its_class() -> None:
    codes = torch.arange(24.0).view(1, 2, 3, 4)
    assert ClassBoxRule.of_class(codes, torch.tensor([[2, 0]])).tolist() == [[[8, 9, 10, 11], [12, 13, 14, 15]]]
    shared = torch.arange(8.0).view(1, 2, 1, 4)
    assert ClassBoxRule.of_class(shared, torch.tensor([[2, 0]])).tolist() == [[[0, 1, 2, 3], [4, 5, 6, 7]]]
    per_class = edit(overfeat.spec("small"), "head.per_class", True).build(5)
    raw = per_class(torch.rand(1, 3, 64, 64))
    assert raw.codes is not None and raw.codes.shape[-1] == 20 and raw.logits.shape[-1] == 6


def test_the_picture_s_classes_are_the_mean_over_passes_of_the_best_window() -> None:
    model = tiny("classifier-small", mirror=True, scales=(1.0, 0.5))
    raw = model(torch.rand(2, 3, 64, 64))
    assert isinstance(model.rule, ClassBoxRule)
    p = raw.logits.softmax(-1)
    start, best = 0, []
    for n in raw.levels:
        best.append(p[:, start : start + n].amax(1))
        start += n
    assert len(best) == 4
    torch.testing.assert_close(model.rule.classify(raw), torch.stack(best).mean(0))
    said = model.predict(torch.rand(2, 3, 64, 64))
    assert (said.labels.sort(1).values == torch.arange(3)).all()


# ---------------------------------------------------------------- merging (sec. 4.3)


def by_hand(boxes: list[list[float]], scores: list[float], labels: list[int], limit: float,
            unit: str) -> list[tuple[list[float], float, int]]:
    """The algorithm of sec. 4.3 on lists, one pair after another."""
    found = [(list(b), s, k) for b, s, k in zip(boxes, scores, labels)]

    def match(a: list[float], b: list[float]) -> float:
        ca, cb = ((a[0] + a[2]) / 2, (a[1] + a[3]) / 2), ((b[0] + b[2]) / 2, (b[1] + b[3]) / 2)
        apart = ((ca[0] - cb[0]) ** 2 + (ca[1] - cb[1]) ** 2) ** 0.5
        both = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
        wide = [(v[2] - v[0]) * (v[3] - v[1]) for v in (a, b)]
        side = (wide[0] * wide[1]) ** 0.25
        value = apart + side * (1 - both / (sum(wide) - both))
        return value / side if unit == "side" else value

    while True:
        pairs = [(match(found[i][0], found[j][0]), i, j) for i in range(len(found))
                 for j in range(i + 1, len(found)) if found[i][2] == found[j][2]]
        if not pairs or min(pairs)[0] > limit:
            return sorted(found, key=lambda f: -f[1])
        _, i, j = min(pairs)
        found[i] = ([(x + y) / 2 for x, y in zip(found[i][0], found[j][0])], found[i][1] + found[j][1], found[i][2])
        del found[j]


@pytest.mark.parametrize("unit,limit", [("side", 0.8), ("pixels", 14.0), ("side", 0.0), ("side", 1e9)])
@pytest.mark.oracle("the paper's loop", "overfeat")
def test_greedy_merging_is_the_paper_s_loop(unit: str, limit: float) -> None:
    torch.manual_seed(3)
    for n in (1, 2, 4, 6):
        start = torch.rand(2, n, 2) * 20
        boxes = torch.cat([start, start + 10 + torch.rand(2, n, 2) * 20], -1)
        scores, labels = torch.rand(2, n), torch.randint(0, 2, (2, n))
        out = GreedyMerge(limit, unit, keep=n)(Detections(boxes, scores, labels))  # type: ignore[arg-type]
        for b in range(2):
            want = by_hand(boxes[b].tolist(), scores[b].tolist(), labels[b].tolist(), limit, unit)
            live = out.labels[b] >= 0
            assert out.labels[b][live].tolist() == [w[2] for w in want]
            torch.testing.assert_close(out.boxes[b][live], torch.tensor([w[0] for w in want]), rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(out.scores[b][live], 1 - torch.exp(-torch.tensor([w[1] for w in want])))


def test_merging_in_pixels_depends_on_the_scale_and_in_sides_does_not() -> None:
    boxes = torch.tensor([[[0.0, 0, 20, 20], [4, 4, 24, 24]]])
    d = Detections(boxes, torch.tensor([[0.9, 0.8]]), torch.zeros(1, 2, dtype=torch.long))
    large = replace(d, boxes=boxes * 10)
    count = lambda m, d: int((m(d).labels >= 0).sum())  # noqa: E731
    assert count(GreedyMerge(0.9), d) == count(GreedyMerge(0.9), large) == 1
    assert count(GreedyMerge(20.0, "pixels"), d) == 1 and count(GreedyMerge(20.0, "pixels"), large) == 2


def test_padding_and_other_classes_do_not_merge() -> None:
    boxes = torch.tensor([[0.0, 0, 20, 20]]).repeat(1, 4, 1)
    d = Detections(boxes, torch.tensor([[0.9, 0.8, 0.7, 0.6]]), torch.tensor([[0, 1, 0, -1]]))
    out = GreedyMerge(keep=6)(d)
    assert out.labels.tolist()[0][:2] == [0, 1] and (out.labels[0, 2:] == -1).all()
    torch.testing.assert_close(out.scores[0, :2], 1 - torch.exp(-torch.tensor([1.6, 0.8])))


def test_nms_is_a_switch() -> None:
    net = edit(overfeat.spec("small"), "rule.post.nms", 0.5)
    boxes = torch.tensor([[[0.0, 0, 20, 20], [2, 0, 22, 20], [40, 40, 60, 60]]])
    d = Detections(boxes, torch.tensor([[0.8, 0.9, 0.7]]), torch.zeros(1, 3, dtype=torch.long))
    out = net.rule.post(d)
    assert out.labels[0, :3].tolist() == [0, 0, -1]
    torch.testing.assert_close(out.boxes[0, :2], boxes[0, 1:])
    torch.testing.assert_close(out.scores[0, :2], torch.tensor([0.9, 0.7]))
    assert GreedyMerge()(d).scores[0, 0] > 0.8, "merging adds scores up"


# ---------------------------------------------------------------- image labels and points


def test_points_are_the_centres_of_their_boxes_at_the_edge_too() -> None:
    at = torch.tensor([[[0.5, 30.0], [63.9, 63.9], [70.0, -3.0]]])
    d = point_detections(torch.tensor([[0.2, 0.9, 0.5]]), at, torch.tensor([[64.0, 64.0]]))
    assert d.labels.tolist() == [[1, 2, 0]]
    middle = (d.boxes[..., :2] + d.boxes[..., 2:]) / 2
    torch.testing.assert_close(middle, torch.tensor([[[63.9, 63.9], [64.0, 0.0], [0.5, 30.0]]]))
    assert (d.boxes >= 0).all() and (d.boxes <= 64).all()


def test_image_labels_come_from_objects_where_the_data_have_boxes_alone() -> None:
    data = Scenes(6, size=64, seed=2)

    class Boxes:
        """The same pictures as a data set that knows boxes alone."""

        info = replace(data.info, kinds=("boxes",))
        fingerprint = "x"

        def __len__(self) -> int:
            return len(data)

        def __getitem__(self, i: int) -> Sample:
            return replace(data[i], image_labels=None)

        truth = __getitem__

    recipe = overfeat.recipe("classifier-small")
    needs = frozenset({"image_labels"})
    derived = next(iter(Loader(Boxes(), recipe, train=False, batch=6, needs=needs)
                        .epoch(0))).targets
    given = next(iter(Loader(data, recipe, train=False, batch=6, needs=needs).epoch(0))).targets
    assert derived.image_labels is not None and given.image_labels is not None
    assert torch.equal(derived.image_labels, given.image_labels)
    assert torch.equal(labels_of(replace(given, image_labels=None), 8), given.image_labels)
    assert 0 < given.image_labels.sum() < given.image_labels.numel()


# ---------------------------------------------------------------- through the commands


def test_phases_resume_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while the regressor learns alone, a run ends with the bytes of one left alone; the trunk did rest."""
    sets: dict[str, Any] = {f"recipe.phases.{i}.share": s for i, s in enumerate((0.3, 0.4, 0.3))} | {"recipe.ema": 0.0}
    how: dict[str, Any] = {"paper": "overfeat", "budget": "10steps", "sets": sets, "val_every": 0, "log_every": 1}
    alone = short(tmp_path / "alone", **how)
    step = Trainer._step
    trunks = []

    def cut(self: Trainer, batches: Any, fraction: float) -> None:
        if self.steps == 6:
            raise SystemExit
        step(self, batches, fraction)
        trunks.append({k: v.clone() for k, v in self.model.backbone.state_dict().items()})

    monkeypatch.setattr(Trainer, "_step", cut)
    with pytest.raises(SystemExit):
        short(tmp_path / "cut", **how, save_every="1steps")
    monkeypatch.undo()
    said = [e["losses"] for e in alone.metrics() if e["kind"] == "train"]
    assert [set(s) for s in said] == [{"classify"}] * 3 + [{"box"}] * 4 + [{"box", "detect"}] * 3
    assert all(torch.equal(v, trunks[2][k]) for t in trunks[3:] for k, v in t.items()), ("weights and statistics rest "
                                                                                         "while the regressor learns")
    assert any(not torch.equal(v, trunks[2][k]) for k, v in trunks[0].items())
    again = short(tmp_path / "cut", **how, save_every="1steps", resume=True)
    assert (again.path / "last.safetensors").read_bytes() == (alone.path / "last.safetensors").read_bytes()


def test_a_preset_may_have_a_task_of_its_own(tmp_path: Path) -> None:
    card = overfeat.PAPER
    assert card.task_of("paper") == card.task_of("small") == "detection" and card.task_of("classifier-small") == "weak"
    run = short(tmp_path / "run", paper="overfeat", preset="classifier-small", budget="2steps", val_every=0)
    result = [e for e in run.metrics() if e["kind"] == "val"][-1]
    assert 0 <= result["point_AP"] <= 1 and 0 <= result["image_AP"] <= 1


def test_another_backbone_fits_in(tmp_path: Path) -> None:
    for preset in ("small", "paper"):
        spec = with_timm(overfeat.spec(preset), "resnet18")
        with torch.device("meta"):
            model = spec.build(3)
            side = 128 if preset == "small" else 461
            raw = model.look(torch.empty(1, 3, side, side))
        assert model.grid.stride == {"small": 8, "paper": 16}[preset] and raw.logits.shape[-1] == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["overfeat", "localization_for_free"])
def test_predictions_export(name: str, tmp_path: Path) -> None:
    """Merging is a loop whose length the picture decides, in the exported graph too."""
    model = stemma.build(name, preset="small", classes=8, info=Scenes(2).info).eval()
    for format, suffix in (("torch", ".pt2"), ("onnx", ".onnx")):
        said = export(model, tmp_path / f"net{suffix}", format)  # type: ignore[arg-type]
        assert said["compared"] > 0 and said["difference"] < 1e-3
