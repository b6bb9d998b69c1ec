"""The loader: a batch is a function of (seed, epoch, k); padding, ranks, resumption, broken pictures."""
from __future__ import annotations

import warnings
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from stemma.core.recipe import Augment, Recipe, Resize
from stemma.core.types import IGNORE, Batch, Classes, DataError, Info, Sample, StemmaError
from stemma.data.loader import BUCKET, DataWarning, Loader
from stemma.data.scenes import Scenes

ALL = frozenset({"boxes", "masks", "keypoints", "semantic", "panoptic", "image_labels"})
LIVELY = Recipe(batch=4, resize=Resize("square", 64), augment=Augment(flip=0.5, vertical=0.5, quarter=0.5, colour=0.3))
SHORTEST = Recipe(batch=4, resize=Resize("shortest", 48, 80, 16), augment=Augment(flip=0.5))


def tensors(batch: Batch) -> dict[str, Tensor]:
    out = {f.name: getattr(batch, f.name) for f in fields(batch) if f.name != "targets"}
    out |= {f.name: v for f in fields(batch.targets) if (v := getattr(batch.targets, f.name)) is not None}
    return out


def equal(a: Batch, b: Batch, within: float = 0.0) -> None:
    x, y = tensors(a), tensors(b)
    assert x.keys() == y.keys()
    for name in x:
        assert x[name].dtype == y[name].dtype, name
        torch.testing.assert_close(x[name], y[name], atol=within, rtol=0, msg=lambda m, name=name: f"{name}: {m}")


class Folder:
    """Pictures of different shapes, some of which cannot be read."""

    def __init__(self, shapes: list[tuple[int, int]], broken: dict[int, Exception] | None = None):
        self.shapes, self.broken, self.reads = shapes, broken or {}, 0
        self.info = Info("folder", "test", Classes(("a", "b")), ("boxes", "masks", "semantic"))
        self.fingerprint = "0"

    def __len__(self) -> int:
        return len(self.shapes)

    def truth(self, i: int) -> Sample:
        return replace(self._sample(i), image=None)

    def __getitem__(self, i: int) -> Sample:
        self.reads += 1
        if i in self.broken:
            raise self.broken[i]
        return self._sample(i)

    def _sample(self, i: int) -> Sample:
        h, w = self.shapes[i]
        n = i % 4
        rng = np.random.default_rng(i)
        corner = rng.random((n, 2)) * [w / 2, h / 2]
        boxes = np.concatenate([corner, corner + [w / 3, h / 3]], 1).astype(np.float32)
        masks = np.zeros((n, h, w), bool)
        for m, (x1, y1, x2, y2) in zip(masks, boxes.astype(int)):
            m[y1:y2, x1:x2] = True
        return Sample(
            image=np.full((h, w, 3), 10 + i, np.uint8), size=(h, w), boxes=boxes, labels=np.arange(n) % 2,
            crowd=np.arange(n) == 2, area=np.full(n, h * w / 9, np.float32), masks=masks,
            semantic=np.full((h, w), i % 2, np.uint8), file=f"{i}.jpg", id=i,
        )  # fmt: skip


MIXED = [(40, 60), (60, 40), (50, 50), (33, 90), (64, 64), (20, 30), (45, 50)]


# ---------------------------------------------------------------- one function of (seed, epoch, k)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("recipe", [LIVELY, SHORTEST, replace(LIVELY, augment=Augment(scale=0.2, expand=0.5, crop=True,
                                                                                      elastic=2.0, colour=0.2))])
def test_resumed_and_threaded_epochs_are_the_same_epoch(cached: bool, recipe: Recipe) -> None:
    ds = Scenes(18, 64, seed=1)
    make = lambda workers: Loader(ds.cache() if cached else ds, recipe, train=True, batch=4, needs=ALL, seed=7,
                                  workers=workers)
    whole = list(make(0).epoch(3))
    assert len(whole) == len(make(0)) == 4
    for workers, start in ((0, 2), (2, 0), (3, 1)):
        rest = list(make(workers).epoch(3, start=start))
        assert len(rest) == 4 - start
        for a, b in zip(whole[start:], rest):
            equal(a, b)
    other = next(make(0).epoch(4))
    assert not torch.equal(other.images, whole[0].images)


def test_whole_batches_and_single_samples_make_the_same_batch() -> None:
    """The fast path of cached scenes gives what the slow path gives, flips, turns and colours included."""
    ds = Scenes(12, 64, seed=2)
    fast, slow = (Loader(d, LIVELY, train=True, batch=6, needs=ALL, seed=5) for d in (ds.cache(), ds))
    assert fast._fast(None) and not slow._fast(None)
    for epoch in range(2):
        for a, b in zip(fast.epoch(epoch), slow.epoch(epoch)):
            equal(a, b, within=1.01 / 255)
            assert torch.equal(a.targets.boxes, b.targets.boxes)
            assert (a.images - b.images).abs().mean() < 1e-3
    a, b = (next(Loader(d, LIVELY, train=False, batch=6, needs=ALL).epoch(0)) for d in (ds.cache(), ds))
    equal(a, b, within=1e-6)


def test_ranks_share_the_global_batch() -> None:
    for ds in (Scenes(13, 64).cache(), Folder(MIXED * 2)):
        needs = {"boxes", "masks", "semantic"}
        one = list(Loader(ds, replace(LIVELY, resize=Resize("square", 64)), train=True, batch=4, needs=needs).epoch(0))
        two = [list(Loader(ds, replace(LIVELY, resize=Resize("square", 64)), train=True, batch=4, needs=needs, rank=r,
                           world=2).epoch(0)) for r in (0, 1)]
        for k, whole in enumerate(one):
            for name, v in tensors(whole).items():
                assert torch.equal(v, torch.cat([tensors(two[0][k])[name], tensors(two[1][k])[name]])), name
    seen = [b.index.tolist() for r in range(3)
            for b in Loader(Folder(MIXED), SHORTEST, train=False, batch=3, rank=r, world=3).epoch(0)]
    assert sorted(i for s in seen for i in s) == list(range(7))  # ranks evaluate every picture once between them


def test_every_picture_once() -> None:
    ds = Folder(MIXED)
    evaluated = list(Loader(ds, SHORTEST, train=False, batch=3).epoch(0))
    assert [b.index.tolist() for b in evaluated] == [[0, 1, 2], [3, 4, 5], [6]]
    trained = [i for b in Loader(ds, SHORTEST, train=True, batch=2).epoch(0) for i in b.index.tolist()]
    assert len(trained) == 6 == len(set(trained)) and trained != sorted(trained)
    small = list(Loader(ds, SHORTEST, train=True, batch=16).epoch(0))  # fewer pictures than a batch: some come again
    assert len(small) == 1 and set(small[0].index.tolist()) == set(range(7)) and len(small[0]) == 16


def test_tall_and_wide_pictures_are_not_mixed() -> None:
    class Sized(Folder):
        @property
        def image_sizes(self) -> np.ndarray:
            return np.array(self.shapes)

    shapes = [(40, 60), (60, 40), (40, 60)] * 11
    loader, again = (Loader(Sized(shapes), SHORTEST, train=True, batch=4, seed=1) for _ in range(2))
    epoch = list(loader.epoch(0))
    mixed = [len({tuple(o) for o in b.original.tolist()}) > 1 for b in epoch]
    # 22 wide and 11 tall: five and two whole batches, then what is over
    assert len(epoch) == len(loader) == 8 and not any(mixed[:7])
    seen = [i for b in epoch for i in b.index.tolist()]
    assert len(set(seen)) == len(seen) == 32
    kinds = [b.original[0, 0].item() for b in epoch[:7]]
    assert kinds not in (sorted(kinds), sorted(kinds, reverse=True))  # the kinds come by turns
    assert not np.array_equal(loader.order(0), loader.order(1)) and np.array_equal(loader.order(0), again.order(0))


def test_a_data_set_that_can_be_narrowed_is() -> None:
    asked: list[frozenset[str]] = []

    class Narrow(Folder):
        def narrow(self, kinds: frozenset[str]) -> Narrow:
            asked.append(frozenset(kinds))
            return self

    next(Loader(Narrow(MIXED), SHORTEST, train=True, batch=2, needs={"boxes", "semantic"}).epoch(0))
    assert asked == [{"boxes", "semantic"}]


# ---------------------------------------------------------------- padding


def test_padding_is_the_mean_and_says_nothing() -> None:
    ds = Folder(MIXED)
    mean = (0.1, 0.2, 0.3)
    for batch in Loader(ds, SHORTEST, train=True, batch=3, mean=mean, needs={"boxes", "masks", "semantic"}).epoch(0):
        assert batch.images.dtype == torch.float32 and batch.images.shape[-1] % 16 == 0 == batch.images.shape[-2] % 16
        t = batch.targets
        assert t.boxes.shape[1] % BUCKET == 0 and t.masks is not None and t.semantic is not None and t.crowd is not None
        for k, (h, w) in enumerate(batch.sizes.int().tolist()):
            outside = torch.ones(batch.images.shape[-2:], dtype=torch.bool)
            outside[:h, :w] = False
            assert torch.allclose(batch.images[k][:, outside].T, torch.tensor(mean))
            assert torch.allclose(batch.images[k, :, :h, :w], torch.tensor((10 + int(batch.index[k])) / 255), atol=1e-6)
            assert (t.semantic[k][outside] == IGNORE).all() and not t.masks[k][:, outside].any()
            n = int((t.labels[k] >= 0).sum())
            assert n == int(batch.index[k]) % 4
            assert not t.boxes[k, n:].any() and (t.labels[k, n:] == -1).all() and not t.masks[k, n:].any()
            assert t.crowd[k].sum() == (n == 3)
            assert ds.shapes[int(batch.index[k])] == tuple(batch.original[k].int().tolist())
            factor = batch.original[k] / batch.sizes[k]
            back = t.boxes[k, :n] * factor.flip(0).repeat(2)  # network pixels -> file pixels
            wide = back[:, 2] - back[:, 0]
            assert torch.allclose(wide, torch.full_like(wide, ds.shapes[int(batch.index[k])][1] / 3), atol=1e-3)


def test_only_what_is_needed_is_loaded() -> None:
    for ds in (Scenes(4, 64), Scenes(4, 64).cache()):
        t = next(Loader(ds, LIVELY, train=True, batch=2, needs={"boxes"}).epoch(0)).targets
        assert (t.masks is None and t.keypoints is None and t.semantic is None and t.panoptic is None
                and t.segments is None)
        t = next(Loader(ds, LIVELY, train=True, batch=2, needs={"boxes", "semantic"}).epoch(0)).targets
        assert t.semantic is not None and t.semantic.dtype == torch.int64 and t.masks is None
    t = next(Loader(Scenes(4, 64), LIVELY, train=True, batch=2, needs={"boxes", "amodal"}).epoch(0)).targets
    assert t.amodal is not None and t.amodal.dtype == torch.bool


def test_max_objects_keeps_those_that_pay_a_loss() -> None:
    ds = Folder([(40, 40)] * 4)
    with pytest.warns(DataWarning, match="max_objects"):
        batch = next(Loader(ds, SHORTEST, train=False, batch=4, max_objects=2).epoch(0))
    assert batch.targets.boxes.shape == (4, 2, 4)
    assert batch.targets.crowd is not None and not batch.targets.crowd.any()


def test_scales_are_drawn_once_a_batch() -> None:
    recipe = replace(SHORTEST, resize=Resize("shortest", 48, 400, 16, scales=(32, 48, 64, 80)))
    short = [{int(s.min()) for s in b.sizes}
             for b in Loader(Folder([(50, 70)] * 40), recipe, train=True, batch=4).epoch(0)]
    assert all(len(s) == 1 for s in short) and len({min(s) for s in short}) > 1
    assert {int(s.min()) for b in Loader(Folder([(50, 70)] * 4), recipe, train=False,
                                         batch=4).epoch(0) for s in b.sizes} == {48}


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_picture_is_replaced_with_one_warning(workers: int) -> None:
    ds = Folder(MIXED, {2: OSError("truncated"), 3: DataError("3.jpg", "cannot be read")})
    loader = Loader(ds, SHORTEST, train=True, batch=3, workers=workers)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first = [list(loader.epoch(e)) for e in range(3)]
    assert sorted(str(w.message)[:5] for w in caught) == ["2.jpg", "3.jpg"]
    assert all(issubclass(w.category, DataWarning) for w in caught) and set(loader.broken) == {2, 3}
    assert all(len(b) == 3 and not set(b.index.tolist()) & {2, 3} for epoch in first for b in epoch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = [list(Loader(ds, SHORTEST, train=True, batch=3).epoch(e)) for e in range(3)]
    for x, y in zip(sum(first, []), sum(again, [])):
        equal(x, y)


def test_a_broken_picture_is_left_out_of_an_evaluation() -> None:
    loader = Loader(Folder(MIXED, {0: OSError("gone"), 6: OSError("gone")}), SHORTEST, train=False, batch=3)
    with pytest.warns(DataWarning, match="left out"):
        found = [b.index.tolist() for b in loader.epoch(0)]
    assert found == [[1, 2], [3, 4, 5]]


def test_nothing_readable_is_an_error() -> None:
    loader = Loader(Folder(MIXED, {i: OSError(f"bad {i}") for i in range(7)}), SHORTEST, train=True, batch=3)
    with pytest.warns(DataWarning), pytest.raises(DataError, match="none of 7"):
        next(loader.epoch(0))


def test_other_errors_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        list(Loader(Folder(MIXED, {1: ZeroDivisionError()}), SHORTEST, train=True, batch=3, workers=1).epoch(0))


def test_mistakes_are_named() -> None:
    with pytest.raises(DataError, match="no pictures"):
        Loader(Folder([]), SHORTEST, train=True, batch=2)
    with pytest.raises(DataError, match="keypoints.*it has: boxes, masks, semantic"):
        Loader(Folder(MIXED), SHORTEST, train=True, batch=2, needs={"keypoints"})
    with pytest.raises(StemmaError, match="multiple of 2"):
        Loader(Folder(MIXED), SHORTEST, train=True, batch=3, world=2)
    with pytest.raises(StemmaError, match="batch"):
        Loader(Folder(MIXED), SHORTEST, train=True, batch=0)


def test_pictures_without_objects_make_batches() -> None:
    for ds in (Scenes(4, 64, objects=(0, 0)), Scenes(4, 64, objects=(0, 0)).cache(), Folder([(40, 40)])):
        batch = next(Loader(ds, LIVELY, train=True, batch=2, needs={"boxes", "masks"}).epoch(0))
        assert (batch.targets.labels == -1).all() and not batch.targets.valid.any()


def test_leaving_an_epoch_early_stops_its_readers() -> None:
    ds = Folder(MIXED * 20)
    epoch = Loader(ds, SHORTEST, train=True, batch=2, workers=2).epoch(0)
    next(epoch)
    epoch.close()  # type: ignore[attr-defined]
    assert ds.reads < 30
