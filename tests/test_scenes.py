"""Drawn scenes: every kind of truth agrees with the pixels and with each other, and is the same every time."""
from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from stemma.core.types import DataError, Dataset, Sample, StemmaError
from stemma.data import scenes as module
from stemma.data.scenes import ALL_CLASSES, CLASSES, POINTS, STUFF, THINGS, CachedScenes, Scenes, Shape

N = 24


@pytest.fixture(scope="module")
def drawn() -> list[Sample]:
    ds = Scenes(N, 96, seed=5)
    return [ds[i] for i in range(N)]


def same(a: Sample, b: Sample, skip: tuple[str, ...] = ()) -> None:
    for name, left in vars(a).items():
        right = getattr(b, name)
        if name in skip:
            continue
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype and np.array_equal(left, right), name
        elif isinstance(left, dict):
            assert left.keys() == right.keys() and all(np.array_equal(left[k], right[k]) for k in left), name
        else:
            assert left == right, name


def test_is_a_data_set_with_every_kind() -> None:
    ds = Scenes(3, 64)
    assert isinstance(ds, Dataset) and len(ds) == 3
    assert set(ds.info.kinds) == {"boxes", "masks", "amodal", "keypoints", "semantic", "panoptic", "image_labels"}
    assert len(CLASSES) >= 8 and set(CLASSES.parent) == {"round", "polygonal"}
    assert ALL_CLASSES.names[: len(CLASSES)] == CLASSES.names  # a thing has one number in every list
    assert [p for p, thing in zip(ALL_CLASSES.parent, ALL_CLASSES.things) if not thing] == ["stuff"] * len(STUFF)
    with pytest.raises(IndexError):
        ds[3]


def test_the_same_scene_every_time_whatever_the_count() -> None:
    same(Scenes(3, 64, seed=1)[2], Scenes(9, 64, seed=1)[2])
    a, b = Scenes(1, 64, seed=1), Scenes(1, 64, seed=2)
    assert not np.array_equal(a[0].image, b[0].image)


def test_truth_is_the_sample_without_its_picture(drawn: list[Sample]) -> None:
    ds = Scenes(N, 96, seed=5)
    for i in (0, 7, N - 1):
        t = ds.truth(i)
        assert t.image is None
        same(t, drawn[i], skip=("image",))


def test_splits_differ_and_fingerprints_follow_what_is_drawn() -> None:
    prints = {Scenes(4, 64, split=s).fingerprint for s in Scenes.splits()}
    prints |= {Scenes(5, 64).fingerprint, Scenes(4, 96).fingerprint, Scenes(4, 64, seed=1).fingerprint,
               Scenes(4, 64, overlap=0.1).fingerprint}
    assert len(prints) == 7
    assert Scenes(4, 64).fingerprint == Scenes(4, 64).fingerprint
    pictures = [Scenes(1, 64, split=s)[0].image for s in Scenes.splits()]
    assert not np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[1], pictures[2])
    json.dumps(Scenes(4).options)


def test_truth_agrees_with_itself(drawn: list[Sample]) -> None:
    for s in drawn:
        n = len(s.labels)
        assert (s.masks is not None and s.amodal is not None and s.semantic is not None and s.panoptic is not None
                and s.segments is not None)
        assert s.masks.shape == s.amodal.shape == (n, *s.size)
        assert s.masks.sum(0).max(initial=0) <= 1  # modal masks do not overlap
        assert not (s.masks & ~s.amodal).any()
        for k in range(n):
            assert not (s.amodal[k] & s.masks[:k]).any()  # the farther one is never seen in front
            ys, xs = np.nonzero(s.masks[k])
            assert s.boxes[k].tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            assert s.area[k] == len(ys)
            assert (s.semantic[s.masks[k]] == s.labels[k]).all()
            assert (s.panoptic[s.masks[k]] == k + 1).all() and s.segments[k] == s.labels[k]
        assert (s.semantic[~s.masks.any(0)] >= len(THINGS)).all()
        assert sorted(np.unique(s.panoptic)) == list(range(1, len(s.segments) + 1))
        assert (s.segments[s.panoptic - 1] == s.semantic).all()
        assert s.image_labels is not None and set(np.flatnonzero(s.image_labels)) == set(s.labels)


def test_sizes_counts_and_what_is_seen() -> None:
    ds = Scenes(60, 128, seed=2)
    counts, sides = [], []
    for i in range(60):
        s = ds.truth(i)
        counts.append(len(s.labels))
        assert s.amodal is not None and s.masks is not None
        seen = s.masks.sum((1, 2)) / s.amodal.sum((1, 2))
        assert (seen >= ds.visible).all()
        inner = s.extra["amodal_boxes"]
        # not cut by the border
        whole = (inner[:, 0] > 0) & (inner[:, 1] > 0) & (inner[:, 2] < 128) & (inner[:, 3] < 128)
        sides += (np.maximum(inner[:, 2] - inner[:, 0], inner[:, 3] - inner[:, 1])[whole] / 128).tolist()
    assert 1 <= min(counts) and max(counts) == 8
    assert 0.08 - 1.5 / 128 <= min(sides) < 0.12 and 0.4 < max(sides) <= 0.5 + 1.5 / 128
    assert any((s.masks.sum((1, 2)) < s.amodal.sum((1, 2)) * 0.9).any()
               for s in map(ds.truth, range(20)) if s.masks is not None and s.amodal is not None)


def area(label: int, r: float, form: float) -> float:
    """Exact, by formula."""
    name = THINGS[label]
    if name == "ring":
        return math.pi * r * r * (1 - form**2)
    if name == "ellipse":
        return math.pi * r * r * min(form, 1 / form)
    if name == "crescent":  # a disc less its lens with the bite (two circular segments)
        a, b, d = 1.0, module._BITE, module._BITE_AT
        p, q = (d * d + a * a - b * b) / (2 * d * a), (d * d + b * b - a * a) / (2 * d * b)
        kite = 0.5 * math.sqrt((-d + a + b) * (d + a - b) * (d - a + b) * (d + a + b))
        return r * r * (math.pi - (a * a * math.acos(p) + b * b * math.acos(q) - kite))
    if name == "triangle":
        return 2 * r * r * form
    if name == "square":
        return 4 * r * r
    if name == "star":
        return 5 * r * r * form * math.sin(math.pi / 5)
    if name == "cross":
        return r * r * (8 * form - 4 * form * form)
    return math.pi * r * r


@pytest.mark.parametrize("label", range(len(THINGS)), ids=THINGS)
def test_area_error_is_about_a_percent(label: int) -> None:
    """Coverage, and the mask of what is covered by half, have the area of the formula: over radii of 8 to 30 pixels,
    and tilts."""
    rng = np.random.default_rng(label)
    at = module._pixels(80)
    coverage_error, mask_error = [], []
    for _ in range(60):
        r, tilt, place = rng.uniform(8, 30), rng.uniform(-module.TILT, module.TILT), 40 + rng.random(2)
        form = rng.uniform(*module._FORMS[label])
        d = Shape(label, place[0], place[1], r, tilt, form, rng.choice([-1.0, 1.0])).frame(at[None], at[:, None])
        distance = Shape(label, 0, 0, r, tilt, form, 1).distance(*d)
        true = area(label, r, form)
        coverage_error.append(np.clip(0.5 - distance, 0, 1).sum() / true - 1)
        mask_error.append((distance <= 0).sum() / true - 1)
    assert abs(np.mean(coverage_error)) < 0.013
    assert abs(np.mean(mask_error)) < 0.01 and np.std(mask_error) < 0.04


def test_keypoints_lie_on_their_shape() -> None:
    """In the frame, the four outer points are on the outline; in the picture, "top" is above, "left" to the left."""
    for label, name in enumerate(THINGS):
        for form in module._FORMS[label]:
            points = module._keypoints(label, form) * 20
            d = Shape(label, 0, 0, 20, 0, form, 1).distance(points[1:, 0].astype(np.float32),
                                                            points[1:, 1].astype(np.float32))
            assert np.abs(d).max() < 0.05, name
    ds = Scenes(40, 128, seed=9)
    seen = hidden = outside = 0
    for i in range(40):
        s = ds.truth(i)
        assert s.keypoints is not None and s.masks is not None and s.keypoints.shape[1:] == (len(POINTS.names), 3)
        centre, top, right, bottom, left = s.keypoints.transpose(1, 0, 2)
        both = (top[:, 2] > 0) & (bottom[:, 2] > 0)
        assert (top[both, 1] < bottom[both, 1]).all()
        both = (left[:, 2] > 0) & (right[:, 2] > 0)
        assert (left[both, 0] < right[both, 0]).all()
        v = s.keypoints[..., 2]
        seen, hidden, outside = seen + (v == 2).sum(), hidden + (v == 1).sum(), outside + (v == 0).sum()
        assert (s.keypoints[v == 0] == 0).all()
        for k in range(len(s.labels)):  # a hidden point is covered by a nearer object
            for x, y, _ in s.keypoints[k][v[k] == 1]:
                assert s.amodal is not None and s.amodal[k + 1 :, int(min(y, 127)), int(min(x, 127))].any()
    assert seen > 10 * hidden > 0 and outside > 0


def test_objects_stand_out_from_what_is_behind_them(drawn: list[Sample]) -> None:
    """An object's edge is darker than its face or differs from the surroundings: mean colour differs by at least a
    twelfth."""
    far = []
    for s in drawn:
        assert s.masks is not None and s.image is not None
        for k in range(len(s.labels)):
            m = s.masks[k]
            x1, y1, x2, y2 = (int(v) for v in s.boxes[k])
            around = np.zeros_like(m)
            around[max(y1 - 3, 0) : y2 + 3, max(x1 - 3, 0) : x2 + 3] = True
            around &= ~m
            far.append(np.abs(s.image[m].mean(0) - s.image[around].mean(0)).max())
    assert np.mean(np.array(far) > 255 / 12) > 0.97


def test_options_do_what_they_say() -> None:
    crowded = Scenes(8, 96, objects=(12, 12), sizes=(0.1, 0.15), overlap=1.0, visible=0.05)
    assert np.mean([len(crowded.truth(i).labels) for i in range(8)]) > 9
    empty = Scenes(2, 64, objects=(0, 0)).truth(1)
    assert empty.boxes.shape == (0, 4) and empty.masks is not None and empty.masks.shape == (0, 64, 64)
    apart = Scenes(10, 96, overlap=0.0)
    for i in range(10):
        s = apart.truth(i)
        assert s.masks is not None and s.amodal is not None and (s.masks == s.amodal).all()


@pytest.mark.parametrize(
    ("bad", "names"),
    [
        ({"split": "dev"}, "dev"), ({"size": 8}, "size"), ({"count": -1}, "count"),
        ({"objects": (3, 1)}, "objects"), ({"sizes": (0, 2)}, "sizes"), ({"overlap": 2.0}, "overlap"),
    ],
)
def test_mistakes_are_named(bad: dict[str, object], names: str) -> None:
    with pytest.raises(StemmaError, match=names):
        Scenes(**{"count": 1, **bad})  # type: ignore[arg-type]


# ---------------------------------------------------------------- the cache


@pytest.mark.parametrize("workers", [0, 2])
def test_cached_scenes_are_the_scenes(workers: int) -> None:
    ds = Scenes(40, 64, seed=3)
    kept = ds.cache(workers=workers, amodal=True)
    assert isinstance(kept, Dataset) and kept.fingerprint == ds.fingerprint and len(kept) == 40
    for i in (0, 1, 17, 39):
        same(kept[i], ds[i])
        same(kept.truth(i), ds.truth(i))


def test_a_cache_without_amodal_masks_draws_them_when_they_are_asked_for() -> None:
    ds = Scenes(2, 64)
    same(ds.cache()[0], ds[0])


def test_cache_folder_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = Scenes(6, 64, seed=3)
    first = ds.cache(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1  # nothing half-drawn is left
    monkeypatch.setattr(CachedScenes, "_fill", lambda *_: pytest.fail("drawn again"))
    again = ds.cache(tmp_path)
    same(first[4], again[4])
    assert isinstance(again.arrays["pixels"].base, np.memmap)
    monkeypatch.undo()
    Scenes(6, 64, seed=4).cache(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_cache_is_named(tmp_path: Path) -> None:
    Scenes(4, 64).cache(tmp_path)
    file = next(tmp_path.rglob("pixels.npy"))
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"pixels\.npy: .* remove .*scenes-64-train"):
        Scenes(4, 64).cache(tmp_path)


def test_drawing_that_fails_leaves_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CachedScenes, "_fill_some", full)
    with pytest.raises(OSError, match="No space"):
        Scenes(4, 64).cache(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_data_set_can_be_cached(tmp_path: Path) -> None:
    assert len(Scenes(0, 64).cache()) == 0
    assert len(Scenes(0, 64).cache(tmp_path)) == 0 == len(Scenes(0, 64).cache(tmp_path))


def test_long_drawing_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = iter(range(0, 10_000, 4))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(now)))
    Scenes(8, 32).cache()
    assert capsys.readouterr().err == "".join(f"drawing scenes, once: {i} of 8\n" for i in (2, 5))
