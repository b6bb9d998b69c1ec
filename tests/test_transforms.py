"""Resizing and augmentation: whatever is done to the picture is done to every kind of truth."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.transforms.v2 import functional as tv

from stemma.core.recipe import Augment, Resize
from stemma.core.types import IGNORE, Points, Sample, StemmaError
from stemma.data import augment as aug
from stemma.data.scenes import POINTS, Scenes
from stemma.data.transforms import network_size, padded_size, prepare, resize

quick = settings(max_examples=25, deadline=None)
FILL = np.array([124, 116, 104], np.uint8)


def blobs(seed: int, h: int, w: int, n: int = 3, points: int = 4) -> Sample:
    """A random picture with solid rectangles as objects, each of its own colour in the picture,
    so that pixels can be followed."""
    rng = np.random.default_rng(seed)
    image = np.zeros((h, w, 3), np.uint8)
    masks = np.zeros((n, h, w), bool)
    panoptic = np.zeros((h, w), np.int32)
    for k in range(n):
        x1, y1 = rng.integers(0, w - 4), rng.integers(0, h - 4)
        x2, y2 = rng.integers(x1 + 3, w + 1), rng.integers(y1 + 3, h + 1)
        masks[:k, y1:y2, x1:x2] = False
        masks[k, y1:y2, x1:x2] = True
    keep = masks.sum((1, 2)) > 4
    masks, n = masks[keep], int(keep.sum())
    for k in range(n):
        image[masks[k]] = (60 + 60 * k, 200 - 50 * k, 90)
        panoptic[masks[k]] = k + 1
    boxes = aug.tight(masks)
    keypoints = np.zeros((n, points, 3), np.float32)
    keypoints[..., :2] = boxes[:, None, :2] + rng.random((n, points, 2)) * (boxes[:, None, 2:] - boxes[:, None, :2])
    keypoints[..., 2] = rng.integers(0, 3, (n, points))
    keypoints[keypoints[..., 2] == 0] = 0
    labels = rng.integers(0, 3, n)
    semantic = np.zeros((h, w), np.uint8)
    for k in range(n):
        semantic[masks[k]] = 1 + labels[k]
    return Sample(
        image=image, size=(h, w), boxes=boxes, labels=labels, crowd=np.zeros(n, bool),
        area=masks.sum((1, 2)).astype(np.float32), masks=masks, amodal=masks.copy(), keypoints=keypoints,
        semantic=semantic, panoptic=panoptic, segments=labels.copy(), image_labels=np.bincount(labels, minlength=3)
        .clip(0, 1).astype(np.float32), proposals=boxes.copy(), file="blobs", id=seed,
    )  # fmt: skip


def equal(a: Sample, b: Sample) -> None:
    for name, left in vars(a).items():
        right = getattr(b, name)
        if isinstance(left, np.ndarray):
            assert np.array_equal(left, right), name
        else:
            assert left == right, name


def agrees(s: Sample, within: float = 0.0, cut: bool = False) -> None:
    """Maps and boxes of a sample say the same; with `cut`, boxes may be wider than what is left of their masks."""
    h, w = s.size
    assert s.image is not None and s.image.shape == (h, w, 3)
    assert (s.masks is not None and s.masks.shape == (len(s.boxes), h, w) and s.semantic is not None
            and s.semantic.shape == (h, w))
    assert len(s.boxes) == len(s.labels) == len(s.area) == len(s.crowd)
    assert (s.boxes >= 0).all() and (s.boxes[:, [0, 2]] <= w).all() and (s.boxes[:, [1, 3]] <= h).all()
    around = aug.tight(s.masks)
    full = s.masks.any((1, 2))
    if cut:
        assert ((around[full, :2] >= s.boxes[full, :2] - within).all()
                and (around[full, 2:] <= s.boxes[full, 2:] + within).all())
    else:
        assert np.abs(around[full] - s.boxes[full]).max(initial=0) <= within
    for k in np.flatnonzero(full):
        assert (s.semantic[s.masks[k]] == 1 + s.labels[k]).all()


# ---------------------------------------------------------------- symmetries


@quick
@given(st.integers(0, 10**6), st.integers(8, 40), st.integers(8, 40), st.integers(0, 3), st.booleans(), st.booleans())
def test_boxes_follow_pixels_through_the_eight_symmetries(seed: int, h: int, w: int, turns: int, v: bool,
                                                          f: bool) -> None:
    points = Points(("a", "b", "c", "d"), flip=(1, 0, 2, 3))
    s = blobs(seed, h, w)
    t = aug.symmetry(s, aug.Symmetry(turns, v, f), points)
    agrees(t)
    assert t.size == ((w, h) if turns % 2 else (h, w))
    assert t.proposals is not None and np.array_equal(t.proposals, t.boxes)
    assert s.keypoints is not None and t.keypoints is not None
    assert (t.keypoints[t.keypoints[..., 2] == 0] == 0).all()
    inside = t.keypoints[..., 2] > 0
    low, high = t.boxes[:, None, :2] - 1e-3, t.boxes[:, None, 2:] + 1e-3
    assert (((t.keypoints[..., :2] >= low) & (t.keypoints[..., :2] <= high)).all(-1) | ~inside).all()
    order = [1, 0, 2, 3] if v != f else [0, 1, 2, 3]  # two mirrors make a turn: left is left again
    assert (np.array_equal(np.sort(t.keypoints[..., 2]), np.sort(s.keypoints[..., 2]))
            and np.array_equal(t.keypoints[..., 2], s.keypoints[:, order, 2]))


@quick
@given(st.integers(0, 10**6), st.integers(8, 40), st.integers(8, 40))
def test_undone_by_their_inverses(seed: int, h: int, w: int) -> None:
    s = blobs(seed, h, w)
    same = lambda a: equal(replace(a, keypoints=None), replace(s, keypoints=None))
    for there_and_back in (
        aug.flip(aug.flip(s, POINTS_4), POINTS_4),
        aug.vertical(aug.vertical(s, POINTS_4), POINTS_4),
        aug.quarter(aug.quarter(s, 1), 3),
        aug.quarter(aug.quarter(s, 2), 2),
        aug.flip(aug.vertical(aug.quarter(s, 2))),  # half a turn is both mirrors
    ):
        same(there_and_back)
        assert there_and_back.keypoints is not None and np.allclose(there_and_back.keypoints, s.keypoints, atol=1e-4)


POINTS_4 = Points(("a", "b", "c", "d"), flip=(1, 0, 2, 3))


def test_flip_equals_torchvision() -> None:
    s = blobs(3, 21, 34)
    t = aug.flip(s)
    assert s.image is not None and t.image is not None
    assert np.array_equal(t.image,
                          tv.horizontal_flip(torch.from_numpy(s.image).permute(2, 0, 1)).permute(1, 2, 0).numpy())
    r = aug.quarter(s, 1)
    assert np.array_equal(np.asarray(r.image), tv.rotate(torch.from_numpy(s.image).permute(2, 0, 1), 90,
                                                         expand=True).permute(1, 2, 0).numpy())


def test_stacked_symmetries_are_those_of_each_sample() -> None:
    kept = Scenes(8, 64, seed=1).cache()
    which = [aug.Symmetry(q, v, f) for q in (0, 1, 3) for v in (False, True) for f in (False, True)][:8]
    stack = kept.gather(np.arange(8), frozenset({"keypoints"}))
    assert stack is not None
    pixels, boxes, keypoints = aug.turn_stack(stack, which, POINTS)
    for k in range(8):
        t = aug.symmetry(kept[k], which[k], POINTS)
        n = len(t.labels)
        assert np.array_equal(pixels[k, ..., :3], np.asarray(t.image))
        assert np.array_equal(boxes[k, :n], t.boxes) and not boxes[k, n:].any()
        assert (keypoints is not None and np.allclose(keypoints[k, :n], t.keypoints, atol=1e-4)
                and not keypoints[k, n:].any())


# ---------------------------------------------------------------- windows: crop, expand, scale and translate


@quick
@given(st.integers(0, 10**6), st.integers(-20, 20), st.integers(-20, 20), st.integers(6, 50), st.integers(6, 50))
def test_window_keeps_the_centred_and_fills_the_rest(seed: int, x: int, y: int, w: int, h: int) -> None:
    s = blobs(seed, 30, 26)
    t = aug.window(s, (x, y, x + w, y + h), FILL)
    agrees(t, cut=True)
    assert t.image is not None and s.image is not None and t.semantic is not None and t.panoptic is not None
    beyond = np.ones((h, w), bool)
    beyond[max(-y, 0) : max(30 - y, 0), max(-x, 0) : max(26 - x, 0)] = False
    assert (t.image[beyond] == FILL).all() and (t.semantic[beyond] == IGNORE).all() and (t.panoptic[beyond] == 0).all()
    assert (t.semantic[~beyond] != IGNORE).all()
    wanted = aug.centred(s.boxes, (x, y, x + w, y + h))
    assert len(t.boxes) <= wanted.sum()
    assert ((t.boxes[:, 2:] - t.boxes[:, :2]) >= aug.LEAST).all()
    if t.keypoints is not None:
        assert (t.keypoints[t.keypoints[..., 2] == 0] == 0).all()
    if t.image_labels is not None:
        assert set(np.flatnonzero(t.image_labels)) == set(t.labels)


@quick
@given(st.integers(0, 10**6))
def test_crops_and_jitter_never_lose_every_object(seed: int) -> None:
    s = blobs(seed, 40, 52)
    rng = np.random.default_rng(seed)
    for t in (aug.iou_crop(s, rng, FILL), aug.jitter(s, rng, 0.4, FILL), aug.expand(s, rng, FILL)):
        agrees(t, cut=True)
        assert len(t.boxes) >= 1
    empty = aug.select(s, np.zeros(len(s.boxes), bool))
    assert len(aug.iou_crop(empty, rng, FILL).boxes) == 0 == len(aug.jitter(empty, rng, 0.4, FILL).boxes)


def test_scaling_and_translating_keeps_what_is_left_of_an_object() -> None:
    """Darknet's fill_truth_region clips boxes and asks for no centre (ReInspect's annotation_jitter neither): 20 pixels
    at the edge, of which a view that is moved by up to 15 leaves 5 at least."""
    image = np.zeros((80, 100, 3), np.uint8)
    s = Sample(image, (80, 100), np.array([[0, 10, 20, 70], [30, 20, 70, 60]], np.float32), np.array([0, 1]),
               np.zeros(2, bool), np.ones(2, np.float32))
    widths = []
    for seed in range(60):
        t = aug.jitter(s, np.random.default_rng(seed), 0.15, FILL)
        assert t.labels.tolist() == [0, 1] and (t.boxes >= 0).all() and (t.boxes <= [*t.size[::-1]] * 2).all()
        widths.append(t.boxes[0, 2] - t.boxes[0, 0])
    assert 5 <= min(widths) < 10 and max(widths) == 20


def test_a_window_somewhere_keeps_what_is_left_of_an_object_and_of_its_mask() -> None:
    """CornerNet's _clip_detections asks for a width and a height alone. The first object is as wide as the picture, so
    that its centre is in few windows; of the second the box reaches further than the mask."""
    s = blobs(0, 40, 90, 0)
    wide, corner = np.zeros((2, 40, 90), bool)
    wide[:20], corner[30:34, 86:] = True, True
    masks = np.stack([wide, corner])
    s = replace(s, boxes=np.array([[0, 0, 90, 20], [60, 24, 90, 34]], np.float32), labels=np.array([0, 1]),
                crowd=np.zeros(2, bool), area=masks.sum((1, 2)).astype(np.float32), masks=masks, amodal=None,
                keypoints=None, panoptic=None, segments=None, image_labels=None, proposals=None)
    seen = set()
    for seed in range(40):
        t = aug.cut(s, np.random.default_rng(seed), (40, 30), FILL)
        assert t.masks is not None and 0 in t.labels and t.masks.any((1, 2)).all()
        seen.add(tuple(t.labels.tolist()))
    assert seen == {(0,), (0, 1)}


def test_iou_crop_crops_and_holds_its_promise() -> None:
    s = blobs(5, 60, 80)
    sizes = {aug.iou_crop(s, np.random.default_rng(k), FILL).size for k in range(30)}
    assert len(sizes) > 5 and (60, 80) in sizes
    for h, w in sizes:  # a scale from .3 on, a shape up to 2 : 1 in shares of the sides
        assert (h / 60) * (w / 80) >= 0.08 and h >= 0.3 / 2**0.5 * 60 - 1 and w >= 0.3 / 2**0.5 * 80 - 1
        assert 0.45 < (h / 60) / (w / 80) < 2.2


def test_a_crop_s_overlap_is_asked_of_one_object_or_of_every() -> None:
    """SSD's code and RFB Net's. Two squares in opposite corners: no patch has an IoU of .1 with both, so that one
    picture in two stays whole, and fewer else."""
    s = replace(blobs(5, 200, 200), boxes=np.array([[0, 0, 60, 60], [140, 140, 200, 200]], np.float32),
                labels=np.array([0, 1]), crowd=np.zeros(2, bool), area=np.full(2, 3600, np.float32), masks=None,
                amodal=None, keypoints=None, semantic=None, panoptic=None)
    whole = [sum(aug.iou_crop(s, np.random.default_rng(k), FILL, every).size == (200, 200) for k in range(200))
             for every in (False, True)]
    assert whole[0] < 75 and 85 < whole[1] < 115
    one = replace(s, boxes=s.boxes[:1], labels=s.labels[:1], crowd=s.crowd[:1], area=s.area[:1])
    asked = [len(aug.iou_crop(one, np.random.default_rng(k), FILL, True).boxes) for k in range(20)]
    assert asked == [1] * 20
    a, rng = Augment(flip=0.0, expand=1.0, crop=True, crop_every=True), np.random.default_rng(4)
    aug.draw_symmetry(rng, a), aug.draw_colour(rng, a)
    t = aug.iou_crop(s, rng, FILL, True)
    rng.random()
    equal(aug.augment(s, np.random.default_rng(4), a), aug.expand(t, rng, FILL))


def test_objects_come_in_a_drawn_order_with_all_that_is_theirs() -> None:
    s, a = blobs(5, 60, 80), Augment(flip=0.0, shuffle=True)
    drawn = [aug.augment(s, np.random.default_rng(k), a) for k in range(12)]
    assert len({tuple(t.boxes[:, 0].tolist()) for t in drawn}) > 1 and not aug.only_symmetries(a)
    for t in drawn:
        assert t.masks is not None and np.array_equal(t.boxes, aug.tight(t.masks))
        order = [int(np.flatnonzero((s.boxes == b).all(1))[0]) for b in t.boxes]
        equal(aug.ordered(s, np.array(order)), t)


def test_a_stretched_picture_lies_whole_in_a_square() -> None:
    """Sides of 60 and 80 changed by up to .3 each: a ratio between .72 and 2.48."""
    s, ratios, corners = blobs(5, 60, 80), set(), set()
    for k in range(30):
        t = aug.stretch(s, np.random.default_rng(k), 0.3, FILL)
        assert t.size == (80, 80) and len(t.boxes) == len(s.boxes) and t.image is not None
        there = (t.image != FILL).any(-1)
        rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
        h, w = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
        assert max(h, w) == 80 and 0.7 < w / h < 2.55
        x, y = w / 80, h / 60
        want = s.boxes * np.array([x, y, x, y]) + np.array([columns[0], rows[0]] * 2)
        np.testing.assert_allclose(t.boxes, want, atol=1e-3)
        ratios.add(round(w / h, 2)), corners.add((int(columns[0]), int(rows[0])))
    assert len(ratios) > 15 and len(corners) > 15


def test_expand_is_the_mean_around_an_untouched_picture() -> None:
    s = blobs(5, 20, 30)
    t = aug.expand(s, np.random.default_rng(0), FILL)
    assert t.image is not None and s.image is not None
    assert t.size[0] > 20 and len(t.boxes) == len(s.boxes)
    x, y = (t.boxes[0, :2] - s.boxes[0, :2]).astype(int)
    assert np.array_equal(t.image[y : y + 20, x : x + 30], s.image)
    assert np.allclose(t.boxes[:, 2:] - t.boxes[:, :2], s.boxes[:, 2:] - s.boxes[:, :2])


def test_elastic_moves_truth_with_the_pixels() -> None:
    s = Scenes(1, 96, seed=4, objects=(4, 6))[0]
    t = aug.elastic(s, np.random.default_rng(0), 6.0)
    assert (t.image is not None and t.masks is not None and t.semantic is not None and t.panoptic is not None
            and s.image is not None)
    assert not np.array_equal(t.image, s.image)
    assert np.array_equal(t.boxes, aug.tight(t.masks))
    for k, label in enumerate(t.labels):
        assert (t.semantic[t.masks[k]] == label).all()
    # boxes alone: within a few pixels of the masks' own
    bare = aug.elastic(replace(s, masks=None, amodal=None), np.random.default_rng(0), 6.0)
    assert np.abs(bare.boxes - t.boxes).max() < 7
    still = aug.elastic(s, np.random.default_rng(0), 0.0)
    assert (np.array_equal(np.asarray(still.masks), np.asarray(s.masks))
            and np.abs(np.asarray(still.image).astype(int) - s.image).max() <= 1)


# ---------------------------------------------------------------- colour


@pytest.mark.parametrize(
    ("factors", "theirs"),
    [
        ((1.0, 1.0, 1.0, 0.0), lambda x: x),
        ((1.3, 1.0, 1.0, 0.0), lambda x: tv.adjust_brightness(x, 1.3)),
        ((1.0, 0.6, 1.0, 0.0), lambda x: tv.adjust_contrast(x, 0.6)),
        ((1.0, 1.0, 0.4, 0.0), lambda x: tv.adjust_saturation(x, 0.4)),
        ((0.8, 0.7, 0.6, 0.0),
         lambda x: tv.adjust_saturation(tv.adjust_contrast(tv.adjust_brightness(x, 0.8), 0.7), 0.6)),
    ],
)
def test_colour_agrees_with_torchvision(factors: tuple[float, ...], theirs: object) -> None:
    x = 0.2 + 0.5 * torch.rand(2, 3, 9, 7)
    ours = aug.colour(x, torch.tensor([factors, factors]))
    assert callable(theirs)
    # their luma weights are rounded to .2989, .587, .114
    torch.testing.assert_close(ours, theirs(x), atol=2e-3, rtol=0)


def test_hue_turns_colours_and_keeps_the_luma() -> None:
    x = 0.3 + 0.3 * torch.rand(1, 3, 8, 8)
    y = aug.colour(x, torch.tensor([[1.0, 1.0, 1.0, 0.4]]))
    luma = torch.tensor(aug.GREY).view(1, 3, 1, 1)
    torch.testing.assert_close((x * luma).sum(1), (y * luma).sum(1), atol=1e-3, rtol=0)
    assert (x - y).abs().max() > 0.02
    torch.testing.assert_close(aug.colour(y, torch.tensor([[1.0, 1.0, 1.0, -0.4]])), x, atol=1e-4, rtol=0)


def test_augment_is_a_function_of_its_generator() -> None:
    s = blobs(1, 40, 50)
    a = Augment(flip=0.5, vertical=0.5, quarter=0.5, colour=0.4, scale=0.2, expand=0.5, crop=True)
    once, again = (aug.augment(s, np.random.default_rng(3), a) for _ in range(2))
    equal(once, again)
    equal(aug.augment(s, np.random.default_rng(3), Augment(flip=0.0)), s)
    flips = [np.array_equal(aug.augment(s, np.random.default_rng(k), Augment(flip=0.5)).boxes, s.boxes)
             for k in range(60)]
    assert 15 < sum(flips) < 45


# ---------------------------------------------------------------- resizing


@quick
@given(st.integers(10, 300), st.integers(10, 300), st.sampled_from([(64, 100), (80, 133), (50, 1000)]))
def test_shortest_has_torchvisions_sizes(h: int, w: int, sides: tuple[int, int]) -> None:
    theirs = GeneralizedRCNNTransform(sides[0], sides[1], [0.0] * 3, [1.0] * 3).eval()
    image, target = theirs.resize(torch.zeros(3, h, w), {"boxes": torch.tensor([[1.0, 2.0, 8.0, 9.0]])})
    how = Resize("shortest", *sides)
    assert network_size((h, w), how) == tuple(image.shape[-2:])
    s = replace(blobs(0, h, w), boxes=np.array([[1, 2, 8, 9]], np.float32))
    assert np.allclose(prepare(replace(s, masks=None, amodal=None, keypoints=None), how).boxes,
                       target["boxes"].numpy(), atol=1e-4)


@quick
@given(st.integers(0, 10**6), st.integers(20, 60), st.integers(20, 60), st.integers(20, 90), st.integers(20, 90))
def test_boxes_of_resized_masks_are_the_resized_boxes(seed: int, h: int, w: int, h2: int, w2: int) -> None:
    s = blobs(seed, h, w, n=1)  # solid: a sliver of a hidden object may fall between the pixels that are kept
    t = resize(s, (h2, w2))
    agrees(t, within=1.0)
    assert s.keypoints is not None and t.keypoints is not None
    back = t.keypoints * np.array([w / w2, h / h2, 1])
    assert np.allclose(back, s.keypoints, atol=1e-3)
    assert np.allclose(t.area, s.area * (h2 * w2) / (h * w), rtol=1e-4)


def test_a_box_at_the_edge_is_at_the_edge_at_any_size() -> None:
    """38 x float32(30 / 38) is 30.000002: rounded, a box that fills its picture would leave it."""
    s = replace(blobs(1, 38, 20, n=1), boxes=np.array([[0, 0, 20, 38]], np.float32), masks=None, amodal=None)
    for h, w in ((30, 20), (30, 33), (7, 91), (1333, 800)):
        assert resize(s, (h, w)).boxes.tolist() == [[0, 0, w, h]]
    beyond = replace(s, boxes=np.array([[0, 0, 40, 76]], np.float32))
    assert np.allclose(resize(beyond, (30, 20)).boxes, [[0, 0, 40, 60]]), "what leaves the picture still does"


def test_picture_and_truth_stay_aligned_when_resized() -> None:
    s = blobs(8, 48, 60)
    t = resize(s, (96, 120))
    assert t.image is not None and t.masks is not None and s.image is not None and s.masks is not None
    for k in range(len(t.masks)):  # well inside a mask, the colour is the object's
        inner = t.masks[k]
        for axis in (0, 1):
            inner = inner & np.logical_and.reduce([np.roll(inner, step, axis) for step in (-2, -1, 1, 2)])
        assert (t.image[inner] == s.image[s.masks[k]][0]).all()


@pytest.mark.parametrize(
    ("how", "size", "net", "padded"),
    [
        (Resize("square", 300), (100, 250), (300, 300), (300, 300)),
        (Resize("letterbox", 64), (100, 50), (64, 32), (64, 64)),
        (Resize("letterbox", 64), (1, 1000), (1, 64), (64, 64)),
        (Resize("keep", divisor=32), (100, 50), (100, 50), (128, 64)),
        (Resize("shortest", 800, 1333, 32), (480, 640), (800, 1066), (800, 1088)),
        (Resize("shortest", 800, 1333, 32), (1, 1), (800, 800), (800, 800)),
        (Resize("shortest", 800, 1333, 32), (9000, 12000), (800, 1066), (800, 1088)),
        (Resize("shortest", 800, 1333, 32), (1, 9000), (1, 1333), (32, 1344)),
    ],
)
def test_network_and_padded_sizes(how: Resize, size: tuple[int, int], net: tuple[int, int],
                                  padded: tuple[int, int]) -> None:
    assert network_size(size, how) == net
    assert padded_size([net], how) == padded


def test_a_wrong_kind_is_named() -> None:
    with pytest.raises(StemmaError, match="stretch"):
        network_size((3, 3), Resize("stretch"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="recipe.resize.size must be 1 or more, not 0"):
        Resize("square", 0)
    with pytest.raises(StemmaError, match="size"):
        network_size((3, 3), Resize("square"), 0)
