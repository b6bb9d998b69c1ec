"""Whether things in pictures have an upright, and how large they are: what `data.look` sees,
on made and on real pictures."""
from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemma.core.types import Classes, DataError, Dataset, Info, Sample
from stemma.data.look import FEW, LIGHT, PLACES, SIDEWAYS, common, look, places, share, smallest_tenth, surely
from stemma.data.open import open_dataset
from stemma.data.scenes import Scenes
from stemma.data.subset import subset


@dataclass
class Made:
    """Pictures of 64 x 64 drawn by a function of (generator) -> (grey picture, boxes)."""

    draw: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
    count: int = 120
    kinds: tuple[str, ...] = ("boxes",)

    @property
    def info(self) -> Info:
        return Info("made", "made", Classes(("a", "b")), self.kinds)

    fingerprint = ""

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Sample:
        if not 0 <= i < self.count:
            raise IndexError(i)
        rng = np.random.default_rng(i)
        grey, boxes = self.draw(rng)
        image = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2)
        n = len(boxes)
        return Sample(image, (64, 64), boxes.astype(np.float32), rng.integers(0, 2, n), np.zeros(n, bool),
                      np.ones(n, np.float32))

    def truth(self, i: int) -> Sample:
        return replace(self[i], image=None)


ROWS, COLUMNS = np.mgrid[:64, :64] / 63 - 0.5


def anywhere(rng: np.random.Generator, low: float = 0.0) -> np.ndarray:
    """Five boxes of 8 to 16 pixels, their feet below `low` of the height."""
    size, x = rng.uniform(8, 16, 5), rng.uniform(0, 48, 5)
    y = rng.uniform(low * 48, 48, 5)
    return np.stack([x, y, x + size, y + size], 1)


def noise(rng: np.random.Generator) -> np.ndarray:
    return np.asarray(128 + 30 * rng.standard_normal((64, 64)))


def cells(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return noise(rng), anywhere(rng)


def lamp(angle: float) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    """Cells under a lamp that shines from `angle` degrees, 90 from above."""
    a = np.deg2rad(angle)
    return lambda rng: (noise(rng) + 40 * (np.cos(a) * COLUMNS - np.sin(a) * ROWS), anywhere(rng))


def people(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return noise(rng), anywhere(rng, low=0.4)


def sky(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Things everywhere, under a light that falls more or less from above, from the left as often as from the right."""
    side = rng.choice([-1, 1]) * rng.uniform(0, 40)
    return noise(rng) - rng.uniform(-20, 80) * ROWS + side * COLUMNS, anywhere(rng)


@pytest.mark.parametrize("draw,upright", [(cells, False), (lamp(30), False), (lamp(60), False), (lamp(200), False),
                                          (people, True), (sky, True)])
def test_made_pictures(draw: Any, upright: bool) -> None:
    seen = look(Made(draw))
    assert seen.upright is upright, seen.why
    assert seen.short == 64 and seen.pictures == 120


def test_things_that_lie_to_one_side_do_not_stand() -> None:
    """A part that lies always in the same corner of a jig tells nothing of up and down."""
    seen = look(Made(lambda rng: (noise(rng), np.array([[4, 4, 20, 20]]) + rng.normal(0, 2, 4))))
    assert seen.places is not None and seen.places.up > PLACES and seen.upright is False


def test_few_pictures_tell_only_what_is_plain() -> None:
    assert look(Made(cells, 12)).upright is None and "12 pictures are too few" in look(Made(cells, 12)).why
    assert look(Made(people, 30)).upright is True
    assert look(Made(cells, FEW)).upright is False
    assert look(Made(cells, 1)).upright is None


def test_without_boxes_the_light_is_asked() -> None:
    bare = Made(lambda rng: (sky(rng)[0], np.zeros((0, 4))))
    seen = look(bare)
    assert seen.upright is True and seen.places is None and seen.tenth is None and "light" in seen.why


def test_pictures_that_cannot_be_read_are_looked_past() -> None:
    """Training says of each that another takes its place; all unreadable, only where things lie can tell."""
    made = Made(lambda rng: (ROWS * 200 + 128, anywhere(rng)), 60)

    class Broken(Made):
        bad = 20

        def __getitem__(self, i: int) -> Sample:
            if i < self.bad:
                raise DataError("a.png", "is truncated", "fetch it again")
            return super().__getitem__(i)

        def truth(self, i: int) -> Sample:
            return made.truth(i)

    broken = Broken(made.draw, 60)
    assert look(made).upright is True and look(broken).upright is True
    for bad in (59, 60):
        broken.bad = bad
        found = look(broken)
        assert found.upright is None or found.light is None
    assert look(Broken(made.draw, 1)).why == "1 picture is too few to tell"


def test_drawn_scenes_are_known() -> None:
    for data in (Scenes(50), Scenes(3, 256), open_dataset("crowds:64:40")):
        seen = look(data)
        assert seen.upright is False and seen.light is None and seen.places is None


# ---------------------------------------------------------------- the statistic


def test_the_share_is_one_where_all_agree_and_nought_by_chance() -> None:
    rng = np.random.default_rng(0)
    same = np.broadcast_to(rng.standard_normal((1, 4, 4)), (30, 4, 4))
    assert common(same) == pytest.approx(1) and surely(same) > 10
    chance = [(common(d), surely(d)) for d in rng.standard_normal((400, 20, 4, 4))]
    shares, sure = np.array(chance).T
    assert abs(shares.mean()) < 3 * shares.std() / 20  # without bias
    assert abs(sure.mean()) < 0.15 and 0.8 < sure.std() < 1.2  # in deviations of chance
    half = same + rng.standard_normal((2000, 1, 1, 1)).reshape(2000, 1, 1)[:30] * same * 1.0
    assert common(half) == pytest.approx(0.5, abs=0.2)
    assert common(np.zeros((9, 4))) == 0 and surely(np.zeros((9, 4))) == 0 and common(same[:1]) == 0


def test_maps_of_places_are_the_share_of_each_cell() -> None:
    box = np.array([[0, 32, 32, 64], [48, 0, 64, 8], [0, 0, 64, 64]], np.float32)
    sample = Sample(None, (64, 64), box, np.array([0, 1, 1]), np.array([False, False, True]), np.ones(3, np.float32))
    maps = places([sample])
    assert maps is not None and maps.shape == (1, 3, 4, 4)
    want = np.zeros((2, 4, 4))
    want[0, 2:, :2], want[1, 0, 3] = 1, 0.5
    np.testing.assert_allclose(maps[0, :2], want)
    np.testing.assert_allclose(maps[0, 2], want.sum(0))
    empty = replace(sample, boxes=np.zeros((0, 4), np.float32), labels=np.zeros(0, np.int64), crowd=np.zeros(0, bool))
    assert places([empty]) is None
    street = replace(empty, semantic=np.repeat([[0, 0, 255, 7]], 4, 0).T.astype(np.uint8))
    found = places([street])
    assert found is not None and found.shape == (1, 3, 4, 4) and found[0, 0, :2].all() and found[0, 1, 3].all()


def test_the_tenth_weighs_classes_alike() -> None:
    def of(*sides: tuple[float, int]) -> list[Sample]:
        boxes = np.array([[0, 0, s, s] for s, _ in sides], np.float32)
        labels, n = np.array([k for _, k in sides]), len(sides)
        return [Sample(None, (100, 200), boxes, labels, np.zeros(n, bool), np.ones(n, np.float32))]

    assert smallest_tenth(of(*((k + 1.0, 0) for k in range(100)))) == pytest.approx(0.1, abs=0.011)
    rare = [(4.0, 1)] + [(50.0, 0)] * 99  # one in a hundred, and half of a mean over classes
    assert smallest_tenth(of(*rare)) == pytest.approx(0.04)
    assert smallest_tenth(of((0.0, 0), (30.0, 0))) == pytest.approx(0.3)
    assert smallest_tenth([]) is None


# ---------------------------------------------------------------- real pictures


def opened(root: Path, name: str, format: str) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_dataset(root / name, "train", format)


NONE, SOME = (("bccd", "voc"), ("neu_det", "voc"), ("dsb2018", "maps")), (("coco549", "coco"), ("camvid", "maps"))
ANIMALS = {"bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"}


def animals(data: Dataset) -> Dataset:
    names = data.info.classes.names
    return subset(data, [i for i in range(len(data)) if ANIMALS & {names[k] for k in data.truth(i).labels}])


@pytest.mark.data
@pytest.mark.parametrize("name,format", NONE)
def test_cells_and_steel_have_no_upright(name: str, format: str, shared_data: Path) -> None:
    seen = look(opened(shared_data, name, format))
    assert seen.upright is False and seen.places is not None and seen.light is not None
    assert seen.places.least < PLACES / 2  # by a factor of two
    assert seen.light.up < LIGHT / 2 or seen.light.up < SIDEWAYS[1] / 2 * seen.light.side


@pytest.mark.data
@pytest.mark.parametrize("name,format", SOME)
def test_photographs_have_one(name: str, format: str, shared_data: Path) -> None:
    seen = look(opened(shared_data, name, format))
    assert seen.upright is True and seen.places is not None
    assert (seen.places.least > 2 * PLACES and seen.places.up > 2 * SIDEWAYS[0] * seen.places.side
            and seen.places.sure > 8)


@pytest.mark.data
def test_animals_have_one_and_so_has_their_light(shared_data: Path) -> None:
    data = animals(opened(shared_data, "coco549", "coco"))
    assert len(data) > 50 and look(data).upright is True
    lit = share(np.stack([_lit(data[i]) for i in range(len(data))]))
    assert lit.least > 1.5 * LIGHT and lit.clear(LIGHT, SIDEWAYS[1])


def _lit(s: Sample) -> np.ndarray:
    from stemma.data.look import light

    class One:
        def __getitem__(self, i: int) -> Sample:
            return s

    return np.asarray(light(One(), [0])[0])  # type: ignore[arg-type]


@pytest.mark.data
@pytest.mark.parametrize("name,format", [*NONE, *SOME])
def test_sixty_pictures_tell_the_same(name: str, format: str, shared_data: Path) -> None:
    data = opened(shared_data, name, format)
    wanted = (name, format) in SOME
    rng = np.random.default_rng(0)
    for _ in range(3):
        some = subset(data, sorted(rng.permutation(len(data))[:60].tolist()))
        assert look(some).upright is wanted


@pytest.mark.data
def test_rare_small_classes_set_the_size(shared_data: Path) -> None:
    """Platelets are one box in fourteen and a third of the mean over classes."""
    data = opened(shared_data, "bccd", "voc")
    seen = look(data)
    truths = [data.truth(i) for i in range(len(data))]
    plain = np.concatenate([np.sqrt(np.prod(s.boxes[:, 2:] - s.boxes[:, :2], 1)) / 480 for s in truths])
    assert seen.tenth is not None and seen.tenth < 0.09 < 0.16 < float(np.quantile(plain, 0.1))
