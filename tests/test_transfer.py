"""Carrying networks over: regression against scikit-learn, the statistics against scipy, and the protocol from end to
end."""
from __future__ import annotations

import json
import math
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_curve

import stemma
from engine_help import carried_in_pieces
from learning import Learned
from stemma.cli import main
from stemma.core import paper as cards
from stemma.core.types import DataError, StemmaError
from stemma.data import drawn_classes
from stemma.data.labelled import few, open_set, open_sets
from stemma.engine.running import devices
from stemma.engine.running.budget import Budget
from stemma.engine.transfer import course, features, forecast, results, training
from stemma.engine.transfer.named import named
from stemma.metrics import carried
from stemma.ops import softmax_regression as regression
from stemma.parts import classifier
from stemma.parts.classifier import Network
from stemma.report import transfer as pages
from stemma.skeletons.protocol import Look

SETS: dict[str, Any] = {"network.name": "tiny-4", "probe.count": 7, "recipe.batch": 16, "grids.0.lrs": "0.01,0.1,2",
                        "grids.1.lrs": "0.1,0.1,1"}
HOW: dict[str, Any] = {"preset": "small", "device": "cpu", "progress": False}


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))


def problem(seed: int, n: int = 200, d: int = 12, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    return rng.normal(size=(classes, d))[y] * 0.7 + rng.normal(size=(n, d)) * rng.uniform(0.3, 3, d), y


# ---------------------------------------------------------------- regression


@pytest.mark.oracle("scikit-learn's LogisticRegression", "imagenet_transfer", how="coefficients, relative")
@pytest.mark.parametrize("seed", range(10))
def test_regression_is_that_of_scikit_learn(seed: int, record_property: Any) -> None:
    """Ten problems by five strengths, C = 1 / (n strength): coefficients to 1e-3, answers to one in a thousand."""
    x, y = problem(seed)
    rows, strengths = regression.turned(torch.from_numpy(x)), [10.0, 1.0, 0.1, 1e-2, 1e-4]
    fitted = regression.fit(rows, torch.from_numpy(y), strengths, 4, tolerance=1e-9)
    assert fitted.converged.all()
    weight, bias = rows.back(fitted.w)
    for i, strength in enumerate(strengths):
        theirs = LogisticRegression(C=1 / (len(x) * strength), tol=1e-10, max_iter=20_000).fit(x, y)
        apart = np.abs(weight[i].numpy().T - theirs.coef_).max() / np.abs(theirs.coef_).max()
        assert apart < 1e-3
        ours = (x @ weight[i].numpy() + bias[i].numpy()).argmax(1)
        assert (ours == theirs.predict(x)).mean() >= 0.999


def test_a_column_of_yes_and_no_is_a_regression_of_its_own() -> None:
    x, _ = problem(3)
    y = np.random.default_rng(0).random((len(x), 3)) < 0.4
    rows = regression.turned(torch.from_numpy(x))
    fitted = regression.fit(rows, torch.from_numpy(y), [1e-2], 3, tolerance=1e-9)
    weight, _ = rows.back(fitted.w[0])
    for c in range(3):
        theirs = LogisticRegression(C=1 / (len(x) * 1e-2), tol=1e-10, max_iter=20_000).fit(x, y[:, c])
        np.testing.assert_allclose(weight[:, c].numpy(), theirs.coef_[0], atol=1e-5)


@pytest.mark.whole
def test_along_the_path_losses_rise_and_weights_fall_with_the_strength() -> None:
    x, y = problem(1)
    rows, warm, found = regression.turned(torch.from_numpy(x)), None, []
    for strength in regression.path(1e-6, 1e5, 45):
        fitted = regression.fit(rows, torch.from_numpy(y), [strength], 4, warm, tolerance=1e-8)
        warm = fitted.w
        size = float(fitted.w[:, :-1].square().sum())
        found.append((float(fitted.loss) - strength * size / 2, size))
        assert float(fitted.slope) <= 1e-6
    errors, sizes = zip(*found)
    assert all(a >= b - 1e-9 for a, b in zip(errors, errors[1:]))  # the strongest comes first
    assert all(a <= b + 1e-9 for a, b in zip(sizes, sizes[1:]))
    share = np.bincount(y) / len(y)  # under the strongest only the bias is left: the classes' shares
    strong = regression.fit(rows, torch.from_numpy(y), [1e5], 4, tolerance=1e-9)
    np.testing.assert_allclose(strong.w[0, -1].softmax(0).numpy(), share, atol=1e-4)
    cold = regression.fit(rows, torch.from_numpy(y), [1e-4], 4, tolerance=1e-10)
    begun = regression.fit(rows, torch.from_numpy(y), [1e-4], 4, fitted.w, tolerance=1e-10)
    torch.testing.assert_close(cold.w[:, :-1], begun.w[:, :-1], atol=1e-5, rtol=1e-5)


def test_a_path_that_is_drawn_out_takes_fewer_steps_to_the_same_place() -> None:
    x, y = problem(6, n=400, d=40)
    rows, labels = regression.turned(torch.from_numpy(x)), torch.from_numpy(y)
    found, warm, steps = list[torch.Tensor](), None, [0, 0]
    for strength in regression.path(1e-5, 10.0, 25):
        plain = regression.fit(rows, labels, [strength], 4, warm)
        drawn = regression.fit(rows, labels, [strength], 4, regression.ahead(found))
        warm, found = plain.w, [*found[-1:], drawn.w]
        assert plain.converged.all() and drawn.converged.all()
        assert float(plain.loss) == pytest.approx(float(drawn.loss), abs=1e-8)
        steps = [steps[0] + int(plain.iterations), steps[1] + int(drawn.iterations)]
    assert steps[1] < 0.85 * steps[0], steps


def test_every_row_twice_changes_nothing_for_the_loss_is_a_mean() -> None:
    x, y = problem(2)
    once, twice = (regression.turned(torch.from_numpy(np.tile(x, (k, 1)))) for k in (1, 2))
    a, b = (r.back(regression.fit(r, torch.from_numpy(np.tile(y, k)), [1e-2], 4, tolerance=1e-9).w[0])[0]
            for k, r in ((1, once), (2, twice)))
    torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)
    theirs = [LogisticRegression(C=1.0, tol=1e-10, max_iter=9999).fit(np.tile(x, (k, 1)), np.tile(y, k)).coef_
              for k in (1, 2)]
    assert np.abs(theirs[0] - theirs[1]).max() > 1e-3  # where it is a sum, C means another thing


def test_more_features_than_rows_are_solved_in_the_rows_space() -> None:
    x, y = problem(4, n=40, d=90)
    rows = regression.turned(torch.from_numpy(x))
    assert rows.x.shape[1] == 40  # 39 axes and the bias
    weight, _ = rows.back(regression.fit(rows, torch.from_numpy(y), [1e-2], 4, tolerance=1e-9).w[0])
    theirs = LogisticRegression(C=1 / (40 * 1e-2), tol=1e-10, max_iter=9999).fit(x, y)
    np.testing.assert_allclose(weight.numpy().T, theirs.coef_, atol=1e-5)
    torch.testing.assert_close(rows.back(rows.forth(weight, torch.zeros(4)))[0], weight)


def test_several_strengths_at_once_are_each_alone() -> None:
    x, y = problem(5)
    rows, strengths = regression.turned(torch.from_numpy(x)), [1.0, 1e-1, 1e-3]
    together = regression.fit(rows, torch.from_numpy(y), strengths, 4, tolerance=1e-9)
    for i, s in enumerate(strengths):
        alone = regression.fit(rows, torch.from_numpy(y), [s], 4, tolerance=1e-9)
        torch.testing.assert_close(together.w[i, :-1], alone.w[0, :-1], atol=1e-5, rtol=1e-5)


# ---------------------------------------------------------------- statistics


def test_adjusted_logits_add_up_to_nothing_and_do_not_see_how_hard_a_set_is() -> None:
    rng = np.random.default_rng(0)
    accuracy = rng.uniform(0.2, 0.95, (6, 4))
    logits = carried.logit(accuracy, 1000)
    np.testing.assert_allclose(carried.adjusted(logits).sum(0), 0, atol=1e-12)
    top = carried.logit(rng.uniform(0.5, 0.8, 6), 1000)
    one = carried.correlation(top, carried.adjusted(logits).mean(1))
    other = carried.correlation(top, carried.adjusted(logits + [0.0, 3.0, -1.0, 2.0]).mean(1))
    assert one.r == pytest.approx(other.r)
    assert np.isfinite(carried.logit(np.array([0.0, 1.0]), 200)).all()
    assert carried.logit(1.0, 200) == pytest.approx(math.log(399))  # half a picture short


@pytest.mark.oracle("scipy's pearsonr, spearmanr and binomtest", "imagenet_transfer", how="r, its interval, rank, p")
def test_correlations_and_exchanges_are_those_of_scipy() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=16)
    y = 0.8 * x + rng.normal(size=16) * 0.5
    ours, theirs = carried.correlation(x, y), stats.pearsonr(x, y)
    assert ours.r == pytest.approx(theirs.statistic) and ours.rank == pytest.approx(stats.spearmanr(x, y).statistic)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert ours.drawn_low < ours.r < ours.drawn_high
    one, other = rng.random(400) < 0.8, rng.random(400) < 0.74
    better, worse = int((one & ~other).sum()), int((other & ~one).sum())
    assert carried.exchanged(one, other) == pytest.approx(stats.binomtest(better, better + worse).pvalue, abs=0.006)
    assert math.isnan(carried.correlation(x[:2], y[:2]).r)
    for right in (one, one[:397]):
        assert np.array_equal(carried.unpacked(carried.packed(right), len(right)), right)
    system = lambda right: {"runs": [{"results": {"sets": [
        {"name": "cars", "count": {"test": 400}, "right": carried.packed(right)}, {"name": "voc", "count": {"test": 9}}]}}]}
    assert results.apart([system(one), system(other)]) == {"cars": carried.exchanged(one, other)}
    few = np.arange(400) < 40  # a class of a tenth: what is right there weighs nine times as much
    weight = np.where(few, 1 / 40, 1 / 360)
    signs = rng.choice([-1, 1], (20_000, 400))
    by_hand = np.abs((signs * (weight * (one.astype(int) - other))).sum(1)) >= abs((weight * (one.astype(int) - other)).sum()) - 1e-9
    assert carried.exchanged(one, other, labels=few) == pytest.approx(by_hand.mean(), abs=0.015)
    assert abs(carried.exchanged(one, other, labels=few) - carried.exchanged(one, other)) > 0.02
    assert results.apart([system(one)]) == {} and results.apart([system(one), system(one)]) == {"cars": 1.0}


@pytest.mark.oracle("scikit-learn's precision_recall_curve", "imagenet_transfer", how="11-point average precision")
def test_measures_of_a_classification() -> None:
    rng = np.random.default_rng(2)
    y = np.repeat(np.arange(5), 20)
    scores = rng.random((100, 5)) + np.eye(5)[y] * 0.5
    assert carried.measured("top-1", scores, y) == pytest.approx(carried.measured("per-class", scores, y))
    fewer = y < 4
    assert (carried.measured("per-class", scores[fewer][:65], y[fewer][:65])
            == pytest.approx(np.mean([(scores[fewer][:65].argmax(1) == c)[y[fewer][:65] == c].mean() for c in range(4)])))
    many = rng.random((100, 3)) < 0.3
    found = []
    for c in range(3):
        precision, recall, _ = precision_recall_curve(many[:, c], scores[:, c])
        found.append(np.mean([precision[:-1][recall[:-1] >= t].max() for t in np.arange(11) * 0.1]))  # its last point is none
    assert carried.measured("map-11", scores[:, :3], many) == pytest.approx(np.mean(found))


def test_intervals_leave_what_sets_differ_by_out() -> None:
    logits = np.array([[0.0, 2.0, 5.0], [1.0, 3.0, 6.0]])  # one is above the other by 1 on every set
    np.testing.assert_allclose(carried.intervals(logits), 0, atol=1e-12)
    assert np.isnan(carried.intervals(logits[:1])).all()
    rng = np.random.default_rng(3)
    noisy = rng.normal(size=(4, 6))
    corrected = carried.adjusted(noisy).std(1, ddof=1) * np.sqrt(4 / 3) / np.sqrt(6) * stats.t.ppf(0.975, 5)
    np.testing.assert_allclose(carried.intervals(noisy), corrected)


# ---------------------------------------------------------------- the paper's settings


def test_the_published_protocol() -> None:
    card = cards.get("imagenet-transfer")
    p: Any = card.spec("paper")
    found = regression.path(p.probe.weakest, p.probe.strongest, p.probe.count)
    assert len(found) == 45 and found[0] == pytest.approx(1e5) and found[-1] == pytest.approx(1e-6)
    assert np.allclose(np.diff(np.log10(found)), -0.25)
    tuned, random = p.grids
    assert len(tuned.points()) == 56 and tuned.points()[7] == (pytest.approx(1e-4), 0.0)
    assert len({lr for lr, _ in random.points()}) == 7 and len({wd for _, wd in random.points()}) == 8
    assert max(wd for _, wd in random.points()) == pytest.approx(10**-1.5)
    recipe = card.recipe("paper")
    assert (recipe.length, recipe.batch, recipe.momentum, random.length) == ("20000steps", 256, 0.9, 2.0)
    assert p.look == Look(224)
    assert [p.measure_of(n, n == "voc2007") for n in ("food101", "aircraft", "Pets", "caltech-101", "flowers102",
                                                       "fgvc-aircraft-2013b", "voc2007")] == [
        "top-1", *["per-class"] * 5, "map-11"]
    with torch.device("meta"):
        net = p.network.build(course._inputs())
    assert sum(x.numel() for x in net.parameters()) == card.facts[0].value and net.width == 2048


@pytest.mark.parametrize(("per_epoch", "momentum"), [(5, 0.1), (100, 0.1), (1000, 0.01), (20_000, 5e-4)])
def test_the_momentum_of_batch_norm(per_epoch: float, momentum: float) -> None:
    assert training.momentum_of(per_epoch) == pytest.approx(momentum)


def test_weight_decay_is_what_it_says_once_it_is_multiplied_with_the_rate(tmp_path: Path) -> None:
    one = open_set("drawn:counts")
    torch.manual_seed(0)
    net = training.Tuned(Network(course._inputs(), "tiny-4"), 4)
    how = training.How(0.05, 0.01 / 0.05, Budget(10, "steps"), 1.0)
    t = training.Training(net, Look(32), one.parts["train"], cards.get("imagenet-transfer").recipe("small"), how, "cpu")
    weight = t.model.head.weight
    for p in t.model.parameters():
        p.grad = torch.zeros_like(p)
    before = weight.detach().clone()
    t.optimizer.step()
    torch.testing.assert_close(weight.detach(), before * (1 - 0.01 * (1 + 0.9)))  # Nesterov's first step


# ---------------------------------------------------------------- data


def drawn_folder(root: Path, n: int = 10, splits: tuple[str, ...] = ("",)) -> Path:
    from PIL import Image

    x, y = drawn_classes.SETS["counts"].split("val")
    for k, split in enumerate(splits):
        for c in range(4):
            folder = root / split / drawn_classes.SETS["counts"].classes[c]
            folder.mkdir(parents=True)
            for j, i in enumerate(np.flatnonzero(y == c)[k * n : (k + 1) * n]):
                Image.fromarray(x[i]).save(folder / f"{j}.png")
    return root


def test_folders_arrays_and_lists_are_read_and_divided(tmp_path: Path) -> None:
    whole = open_set(drawn_folder(tmp_path / "whole"))
    assert whole.classes == ("four", "one", "three", "two") and {s: len(p) for s, p in whole.parts.items()} == {
        "train": 24, "val": 8, "test": 8}
    assert any("fifth" in n for n in whole.notes) and open_set(tmp_path / "whole").digest == whole.digest
    split = open_set(drawn_folder(tmp_path / "split", splits=("train", "valid", "test")))
    assert [len(p) for p in split.parts.values()] == [40, 40, 40] and not split.notes
    (tmp_path / "split" / "valid" / "five").mkdir()
    assert open_set(tmp_path / "split").notes == ("1 folder holds no picture and is no class there: five of val",)
    lines = [f"{c}/{i}.png {c}" for c in whole.classes for i in range(10)]
    (tmp_path / "whole" / "train.txt").write_text("\n".join(lines[::2]))
    (tmp_path / "whole" / "test.txt").write_text("\n".join(lines[1::2]))
    listed = open_set(tmp_path / "whole")
    assert len(listed.parts["train"]) + len(listed.parts["val"]) == 20 == len(listed.parts["test"])
    x, y = drawn_classes.SETS["counts"].split("val")
    np.savez(tmp_path / "arrays.npz", x_train=x[:80], y_train=y[:80], x_test=x[80:, :, :, 0], y_test=y[80:])
    arrays = open_set(tmp_path / "arrays.npz")
    assert arrays.parts["test"].read(0).shape == (32, 32, 3) and len(arrays.parts["test"]) == 120
    rows = np.random.default_rng(0).normal(size=(60, 7)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", x=rows, y=np.repeat(["a", "b", "c"], 20))
    assert open_set(tmp_path / "rows.npz").features == 7 and open_set(tmp_path / "rows.npz").classes == ("a", "b", "c")
    assert [s.name for s in open_sets(f"drawn,{tmp_path / 'arrays.npz'}")] == [*drawn_classes.TARGETS, "arrays"]
    fewer = few(arrays.parts["test"], 3, 1)
    assert np.bincount(fewer.labels).tolist() == [3, 3, 3, 3] and fewer.digest != few(arrays.parts["test"], 3, 2).digest


def test_classes_that_a_split_lacks_are_said(tmp_path: Path) -> None:
    x = np.arange(12 * 64, dtype=np.uint16).view(np.uint8).reshape(2, 12, 8, 8).transpose(1, 0, 2, 3).reshape(24, 8, 8)
    x, other = x[::2], x[1::2]
    np.savez(tmp_path / "a.npz", x_train=x, y_train=np.arange(12) % 2, x_test=other, y_test=np.arange(12) % 2 * 2)
    assert open_set(tmp_path / "a.npz").notes[1:] == (
        "1 of 3 class(es) have no picture in train, so none of theirs in test is told right: 2",
        "1 of 3 class(es) have no picture in test, so nothing is measured of them: 1")
    np.savez(tmp_path / "b.npz", x=x, y=[0] * 6 + [1] * 5 + [2])
    assert open_set(tmp_path / "b.npz").notes[2:] == (
        "1 of 3 class(es) have no picture in test, so nothing is measured of them: 2",)


def test_pictures_that_two_splits_share_are_said(tmp_path: Path) -> None:
    root = drawn_folder(tmp_path / "whole")
    for split, names in (("train", range(6)), ("test", (5, 6, 7))):
        for c in ("four", "one"):
            (tmp_path / "twice" / split / c).mkdir(parents=True)
            for i in names:
                shutil.copy(root / c / f"{i}.png", tmp_path / "twice" / split / c / f"{'x' * (split == 'test')}{i}.png")
    said = [n for n in open_set(tmp_path / "twice").notes if " too, so " in n]
    assert sum(int(n.split()[0]) for n in said) == 2 and all("of test" in n and "x5.png" in n for n in said)
    x, y = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8), np.arange(40) % 2
    np.savez(tmp_path / "a.npz", x_train=x[:20], y_train=y[:20], x_val=x[18:30], y_val=y[18:30], x_test=x[30:], y_test=y[30:])
    assert open_set(tmp_path / "a.npz").notes == (
        "2 pictures of val are in train too, so what is chosen by was learned; the first is val 0",)
    (inner := tmp_path / "twice" / "train" / "one" / "small").mkdir()
    shutil.copy(root / "one" / "8.png", inner)
    assert any("1 class lies within another, each folder of pictures being one: one/small" in n
               for n in open_set(tmp_path / "twice").notes)


def test_rows_with_a_single_1_are_classes(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8), np.arange(40) % 4
    np.savez(tmp_path / "hot.npz", x=x, y=np.eye(4)[y])
    np.savez(tmp_path / "plain.npz", x=x, y=y)
    np.savez(tmp_path / "yes.npz", x=x, y=np.eye(4, dtype=bool)[y])
    hot, plain, several = (open_set(tmp_path / f"{n}.npz") for n in ("hot", "plain", "yes"))
    assert not hot.many and several.many and "a single 1, which is taken for its class" in hot.notes[0]
    assert all(np.array_equal(hot.parts[s].labels, plain.parts[s].labels) for s in hot.parts)


def listing(path: Path, line: str) -> Path:
    """A folder whose list of training pictures ends in a line, after a byte order mark and a line that is empty."""
    from PIL import Image

    for i in range(2):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(path / f"{i}.png")
    (path / "train.txt").write_bytes(f"\ufeff0.png a\r\n\r\n1.png b\r\n{line}\r\n".encode())
    return path


@pytest.mark.parametrize(("make", "said"), [
    (lambda p: p / "absent", "no such folder"),
    (lambda p: np.savez(p / "a.npz", x=np.zeros((4, 0, 8), np.uint8), y=[0, 0, 1, 1]) or p / "a.npz", "pictures of 0 x 8 pixels"),
    (lambda p: np.savez(p / "a.npz", x=np.zeros((4, 8, 8), np.uint8), y=[0, 0, 1, 1]) or p / "a.npz",
     "too few pictures of each class to hold some out as its val. give three or more"),
    (lambda p: np.savez(p / "a.npz", x=np.zeros((2, 8, 8), np.uint8), y=[0, 1]) or p / "a.npz",
     "too few pictures of each class to hold some out as its test"),
    (lambda p: (p / "one" / "only").mkdir(parents=True) or p / "one", "a class is a folder"),
    (lambda p: np.savez(p / "a.npz", pixels=np.zeros(3)) or p / "a.npz", "x_train"),
    (lambda p: np.savez(p / "a.npz", x=np.zeros((4, 8, 8)), y=np.zeros(4)) or p / "a.npz", "uint8"),
    (lambda p: np.savez(p / "a.npz", x=np.zeros((4, 8, 8), np.uint8), y=np.zeros(3)) or p / "a.npz", "beside 3 labels"),
    (lambda p: "drawn:clouds", "is not drawn"), (lambda p: "drawn:waves,drawn:waves", "two data sets"),
    (lambda p: " , ", "names no data set"),
    (lambda p: (p / "a.npz").touch() or p / "a.npz", "is no .npz, or cut short"),
    (lambda p: np.savez(p / "a.npz", x=np.ones((9, 3)), y=np.arange(9) % 3 + 0.5) or p / "a.npz", "has 0.5 among its labels"),
    (lambda p: np.savez(p / "a.npz", x=np.ones((9, 0)), y=np.arange(9) % 3) or p / "a.npz", r"float64 of shape \(9, 0\)"),
    (lambda p: np.savez(p / "a.npz", x=np.full((9, 3), np.inf), y=np.arange(9) % 3) or p / "a.npz", "not finite"),
    (lambda p: np.savez(p / "a.npz", x=np.zeros((9, 3, 8, 8), np.uint8), y=np.arange(9) % 3) or p / "a.npz", r"\(9, 3, 8, 8\)"),
    (lambda p: np.savez(p / "a.npz", x=np.ones((9, 3)), y=np.array(["a", 1, None] * 3)) or p / "a.npz", "cannot be read"),
    (lambda p: np.savez(p / "a.npz", x=np.ones((9, 3)), y=np.arange(9)) or p / "a.npz", "too few pictures of each class"),
    (lambda p: listing(p, "absent.png b"), r"train.txt, record line 4: names absent.png, and there is no such picture"),
    (lambda p: listing(p, "../0.png b"), r"train.txt, record line 4.*climbs out"), (lambda p: listing(p, "/0.png b"), "absolute path"),
    (lambda p: listing(p, "0.png"), "record line 4: has no class"),
    (lambda p: np.savez(p / "a.npz", x=np.zeros((4, 3)), y=np.zeros(4)) or p / "a.npz", r"1 class\(es\)"),
    (lambda p: np.savez(p / "a.npz", x=np.full((4, 3), np.nan), y=np.arange(4) % 2) or p / "a.npz", "not finite"),
    (lambda p: np.savez(p / "a.npz", x=np.full((4, 3), "a"), y=np.arange(4) % 2) or p / "a.npz", "no numbers"),
    (lambda p: np.savez(p / "a.npz", x_train=np.ones((4, 3)), y_train=np.arange(4) % 2, x_test=np.ones((4, 2)),
                        y_test=np.arange(4) % 2) or p / "a.npz", "no other split"),
    (lambda p: np.savez(p / "a.npz", x_train=np.ones((4, 3)), y_train=np.eye(4)[:, :2], x_test=np.ones((4, 3)),
                        y_test=np.arange(4) % 2) or p / "a.npz", "no other split"),
    (lambda p: np.savez(p / "a.npz", x=np.ones((4, 3)), y=2 * np.eye(4)[:, :2] - 1) or p / "a.npz",
     r"has -1.0 in labels of shape \(4, 2\). save 1 for each class"),
    (lambda p: np.savez(p / "a.npz", x=np.ones((4, 3)), y=[0, 1, np.nan, 0]) or p / "a.npz", "labels that are not fin"),
    (lambda p: np.savez(p / "a.npz", x=np.ones((4, 3)), y=np.ones(4, complex)) or p / "a.npz", "labels of complex128"),
    (lambda p: np.savez(p / "a.npz", x_train=np.ones((4, 3)), y_train=np.arange(4) % 2, x_test=np.ones((2, 3)),
                        y_test=["a", "b"]) or p / "a.npz", "numbers for labels in one split and text in another"),
])
def test_what_is_wrong_with_a_set_is_said_in_a_line(tmp_path: Path, make: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        open_sets(make(tmp_path))


def test_a_column_of_class_numbers_is_a_row_of_classes(tmp_path: Path) -> None:
    """Keras keeps CIFAR's labels as (N, 1)."""
    y = np.arange(60, dtype=np.uint8)[:, None] % 3
    np.savez(tmp_path / "cifar.npz", x_train=np.zeros((40, 8, 8, 3), np.uint8), y_train=y[:40],
             x_test=np.zeros((20, 8, 8, 3), np.uint8), y_test=y[40:])
    found = open_set(tmp_path / "cifar.npz")
    assert found.classes == ("0", "1", "2") and not found.many
    assert found.parts["test"].labels.tolist() == y[40:, 0].tolist()
    np.savez(tmp_path / "yes.npz", x=np.zeros((20, 4)), y=np.arange(20)[:, None] % 2 == 0)
    assert open_set(tmp_path / "yes.npz").many, "a column of yes and no is one question"


def test_a_comparison_names_every_kind_of_set_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes, which stand elsewhere, open the same sets."""
    from stemma.engine.transfer.wing import _absolute

    monkeypatch.chdir(tmp_path)
    drawn_folder(tmp_path / "a")
    drawn_folder(tmp_path / "b,c")
    root = str(tmp_path.resolve())
    for given, whole, files in (
        ("few:3:a", f"few:3:{root}/a", [f"{root}/a"]), ("levels:a", f"levels:{root}/a", [f"{root}/a"]),
        ("labels:scenes:64:40", "labels:scenes:64:40", []), ("crops:scenes:64", "crops:scenes:64", []),
        ("few:3:drawn:waves", "few:3:drawn:waves", []), ("crops:a", f"crops:{root}/a", [f"{root}/a"]),
        ("a, drawn", f"{root}/a,drawn", [f"{root}/a"]), ("few:3:few:4:a", f"few:3:few:4:{root}/a", [f"{root}/a"]),
        ("few:3:b,c", f"few:3:{root}/b,c", [f"{root}/b,c"]),
    ):
        assert _absolute(given) == (whole, files)


def test_a_network_that_stands_alone_is_no_unknown_paper() -> None:
    from stemma.cli.reads import look_first
    from stemma.core.nearest import NoPaper

    look_first(["tiny-4"], "drawn", networks=True)
    with pytest.raises(NoPaper):
        look_first(["tiny-4"], "drawn")


def test_pictures_that_lists_name_twice_are_told(tmp_path: Path) -> None:
    root = drawn_folder(tmp_path / "lists")
    lines = [f"{c}/{i}.png {c}" for c in ("four", "one") for i in range(10)]
    (root / "train.txt").write_text("\n".join([*lines[::2], lines[0], f"./{lines[1]}"]))
    (root / "test.txt").write_text("\n".join(lines[1::2]))
    notes = open_set(root).notes
    assert any("2 lines name a picture that a line before names" in n and "train.txt, line 11" in n for n in notes)
    from stemma.data.classes.doctor import examine

    faults = [f for f in examine(root).faults if f.kind == "picture listed twice"]
    assert [(Path(f.file).name, f.record) for f in faults] == [("train.txt", "line 11"), ("test.txt", "line 1")]
    assert "in train.txt, line 1" in faults[0].problem and "in train.txt, line 12" in faults[1].problem
    (root / "train.txt").write_text("\n".join(lines[::2]))
    assert not open_set(root).notes[1:] and not [f for f in examine(root).faults if "twice" in f.kind]


def test_some_pictures_of_each_class_are_learned_from_and_all_others_measured_on(tmp_path: Path) -> None:
    """Caltech-101's division: 30 random pictures of each class, whatever was train or test before."""
    x, y = np.arange(400, dtype=np.float32).reshape(200, 2), np.repeat(np.arange(4), 50)
    np.savez(tmp_path / "caltech.npz", x_train=x[::2], y_train=y[::2], x_test=x[1::2], y_test=y[1::2])
    one, again = (open_set(f"few:10:{tmp_path / 'caltech.npz'}") for _ in range(2))
    count = {s: np.bincount(p.labels).tolist() for s, p in one.parts.items()}
    assert count == {"train": [8] * 4, "val": [2] * 4, "test": [40] * 4} and one.digest == again.digest
    rows = [tuple(p.read(i)) for p in one.parts.values() for i in range(len(p))]
    assert len(set(rows)) == len(rows) == 200 and one.name == "caltech"
    assert one.digest != open_set(f"few:11:{tmp_path / 'caltech.npz'}").digest
    with pytest.raises(DataError, match="few:30:PLACE"):
        open_set("few:caltech")


def test_drawn_pictures_are_the_same_each_time_and_their_classes_even() -> None:
    for name, drawn in drawn_classes.SETS.items():
        x, y = drawn.split("val")
        again, _ = drawn.split("val")
        counts = np.bincount(y, minlength=len(drawn.classes))
        assert np.array_equal(x, again) and counts.max() - counts.min() <= 1, name
        assert x.shape[1:] == (32, 32, 3) and not np.array_equal(x[: len(drawn.split("test")[0])],
                                                               drawn.split("test")[0][: len(x)])


# ---------------------------------------------------------------- networks


def test_pictures_lie_as_a_narrow_network_can_learn_from_them() -> None:
    shown = Look(8)(torch.zeros(2, 8, 8, 3, dtype=torch.uint8))
    assert shown.is_contiguous() and shown.shape == (2, 3, 8, 8)
    strided = {n: torch.nn.Sequential(torch.nn.Conv2d(n, 16, 1, 2)) for n in (8, 9)}
    cpu, last, first = torch.device("cpu"), torch.channels_last, torch.contiguous_format
    assert devices.layout(strided[8], True, cpu) is first and devices.layout(strided[9], True, cpu) is last
    assert devices.layout(strided[8], True, torch.device("cuda")) is last
    assert devices.layout(strided[9], False, cpu) is first
    assert devices.layout(torch.nn.Conv2d(3, 16, 7, 2), True, cpu) is last


def test_a_file_says_its_network_and_how_it_looks(tmp_path: Path) -> None:
    torch.manual_seed(0)
    import timm

    body = timm.create_model("mobilenetv3_small_050", num_classes=11)
    file = tmp_path / "small.safetensors"
    save_file(body.state_dict(), file, metadata={
        "network": "timm mobilenetv3_small_050, 11 classes", "input": "64 px, BGR in 0..255 minus 102/119/127.5",
        "top1": "57.9 by a table"})
    found = named(str(file))
    assert found.sets["network.name"] == "mobilenetv3_small_050" and found.sets["top1"] == 0.579
    assert found.sets["look.size"] == 64 and found.sets["look.bgr"] and found.sets["look.mean"] == pytest.approx(
        (0.4, 119 / 255, 0.5), abs=1e-6)
    net = Network(course._inputs(), "mobilenetv3_small_050")
    left = net.take(found.state or {})
    assert left == ["classifier.bias", "classifier.weight"]
    x = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    look = Look(64, tuple(found.sets["look.mean"]), tuple(found.sets["look.std"]), True)
    seen = look(x)
    torch.testing.assert_close(seen, x.permute(0, 3, 1, 2).flip(1).float() - torch.tensor([102, 119, 127.5]).view(1, 3, 1, 1),
                               atol=1e-3, rtol=1e-4)
    body.eval(), net.eval()
    with torch.no_grad():
        torch.testing.assert_close(net.features(seen), body.forward_head(body.forward_features(seen), pre_logits=True))
    with pytest.raises(StemmaError, match="not those of"):
        Network(course._inputs(), "resnet18").take(found.state or {})
    save_file(body.state_dict(), file)
    with pytest.raises(StemmaError, match="whose weights"):
        named(str(file))


def test_a_network_that_is_named_takes_its_weights_from_a_file(tmp_path: Path) -> None:
    """It looks at pictures as the file says, else as timm shows them to it; a file of another network is refused."""
    import timm

    body, info = timm.create_model("mobilenetv3_small_050", num_classes=3), course.info_of(open_sets("drawn:waves"))
    file, plain = tmp_path / "worded.safetensors", tmp_path / "plain.safetensors"
    save_file(body.state_dict(), plain)
    save_file(body.state_dict(), file, metadata={"network": "timm mobilenetv3_small_050(bn_eps=1e-3), 3 classes",
                                                 "input": "96 px, mean = std = 0.5, RGB"})
    plan = lambda name, start, **sets: course.planned(  # noqa: E731
        "imagenet-transfer", "small", {"backbone": name, **sets}, info, str(start))
    sets, weights, says = plan("mobilenetv3_small_050", file)
    assert sets["look.size"] == 96 and sets["look.mean"] == (0.5,) * 3 and sets["network.how"] == "bn_eps=1e-3"
    assert sets["source"] is None and weights is not None and says == "weights of worded.safetensors"
    assert plan("mobilenetv3_small_050", file, **{"look.size": 64})[0]["look.size"] == 64
    sets, _, says = plan("mobilenetv3_small_050", plain)
    assert sets["look.size"] == 224 and sets["look.mean"] == (0.485, 0.456, 0.406) and "as timm shows them" in says
    with pytest.raises(StemmaError, match="worded.safetensors holds weights of mobilenetv3_small_050, .* resnet18"):
        plan("resnet18", file)


@pytest.mark.parametrize("name", ["tiny-4", "stemma:darknet19", "torchvision:squeezenet1_1", "mobilenetv3_small_050"])
def test_every_kind_of_network_has_features(name: str) -> None:
    with torch.device("meta"):
        net = Network(course._inputs(), name)
        assert net.features(torch.zeros(2, 3, 64, 64)).shape == (2, net.width)
    with pytest.raises(StemmaError):
        Network(course._inputs(), name.replace("4", "x") if name == "tiny-4" else name + "zz")


class Mean(torch.nn.Module):
    """A network of one's own: features of a small map, or rows."""

    def __init__(self, inp: Any, rows: bool = False) -> None:
        super().__init__()
        self.layer, self.rows = torch.nn.Conv2d(inp.channels[0], 6, 3, 2), rows

    def features(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layer(x).relu()
        return found.mean((2, 3)) if self.rows else found


def test_a_module_of_ones_own_is_carried_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(classifier.OWN, "mean", Mean)
    values = []
    for how in ("", "rows=True"):
        torch.manual_seed(0)
        net = Network(course._inputs(), "stemma:mean", how)
        assert net.width == 6
        torch.testing.assert_close(net(torch.ones(2, 3, 9, 9)), net.body.layer(torch.ones(2, 3, 9, 9)).relu().mean((2, 3)))
        run = stemma.train("imagenet-transfer", "drawn:counts", "1steps", out=tmp_path / f"run{how}", sets={
            "backbone": "stemma:mean", "network.how": how, "probe.count": 3, "source": None, "grids": ""}, **HOW)
        values.append(stemma.evaluate(run)["sets"]["counts"]["value"])
    assert values[0] == values[1] > 0.3  # of four classes


def test_features_are_kept_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = open_set("drawn:counts").parts["val"]
    torch.manual_seed(0)
    net = Network(course._inputs(), "tiny-4")
    first = features.of(net, Look(32), part)
    calls: list[int] = []
    monkeypatch.setattr(Network, "features", lambda *_: calls.append(1))
    assert torch.equal(features.of(net, Look(32), part), first) and not calls
    monkeypatch.undo()
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    with torch.no_grad():
        next(net.parameters()).mul_(1.1)
    assert not torch.equal(features.of(net, Look(32), part), first)
    file = next((tmp_path / "cache").rglob("*.npy"))
    file.write_bytes(file.read_bytes()[:100])  # cut short: computed anew
    assert len(features.of(net, Look(32), part)) == len(part)


def test_the_middle_of_a_picture_is_pillows_resize_and_crop() -> None:
    from PIL import Image

    picture = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    whole = Image.fromarray(picture).resize((48, 32), Image.Resampling.BICUBIC)
    assert np.abs(features.middle(picture, 32).astype(int) - np.asarray(whole)[:, 8:40].astype(int)).max() <= 2
    assert features.middle(picture[:40], 16, 18).shape == (16, 16, 3)


@pytest.mark.parametrize("seed", range(3))
def test_tightness_is_of_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(30, 4)), rng.integers(0, 3, 30)
    d = ((x[:, None] - x[None]) ** 2).sum(-1)
    alike, other = (y[:, None] == y[None]) & ~np.eye(30, dtype=bool), y[:, None] != y[None]
    assert carried.tightness(x, y) == pytest.approx(d[alike].mean() / d[other].mean())
    assert carried.tightness(x + 100 * y[:, None], y) < 0.01 and np.isnan(carried.tightness(x, np.zeros(30)))
    assert np.isnan(carried.tightness(x, np.arange(30)))


def test_a_source_without_a_scale_and_with_a_second_classifier(tmp_path: Path) -> None:
    net = Network(course._inputs(), "tiny-4")
    assert training.larger(net, 32)[1] < net.width  # a map of fewer channels, before the last halving
    how: dict[str, Any] = {"length": Budget(3, "steps"), "area": 1.0, "seed": 0}
    data = open_set("drawn:waves").parts["train"]
    spec = cards.get("imagenet-transfer").spec("small")
    recipe = replace(cards.get("imagenet-transfer").recipe("small"), batch=8)
    ended = {}
    for name, more in (("plain", {}), ("aside", {"auxiliary": 0.4}), ("scale", {"scale": False})):
        torch.manual_seed(0)
        tuned = training.Tuned(Network(course._inputs(), "tiny-4"), 8, 32 if name == "aside" else 0)
        t = training.Training(tuned, spec.look, data, recipe, training.How(0.1, 0.0, **how, **more), "cpu")
        assert t.go(3) and math.isfinite(t.loss)
        ended[name] = {k: v.clone() for k, v in tuned.network.state_dict().items()}
        scales = [m.weight for m in tuned.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        assert all(bool((w == 1).all()) for w in scales) is (name == "scale")
        assert not tuned.network._forward_hooks and all(not m._forward_hooks for m in tuned.modules())
    first = next(k for k, v in ended["plain"].items() if v.ndim == 4)
    assert not torch.equal(ended["plain"][first], ended["aside"][first])  # its loss reaches the network


def test_a_training_is_measured_on_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "STRETCH", 2)
    run = run_of(tmp_path / "run", "drawn:waves", "8steps", sets={"grids.0.curve": 3, "probe.count": 3})
    one = run.record["results"]["sets"][0]
    curve = one["grids"]["fine-tuned"]["curve"]
    total = one["grids"]["fine-tuned"]["steps"]
    assert [p["steps"] for p in curve] == [total // 4, total // 2, total]
    assert curve[-1]["test"] == one["grids"]["fine-tuned"]["test"]
    assert 0 < one["linear"]["tightness"] < 1.2 and stemma.evaluate(run)["tightness"]["waves"] == one["linear"]["tightness"]


def test_a_training_stops_where_validation_was_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "STRETCH", 2)
    right = iter([0.1, 0.6, 0.3, 0.2, 0.2, 0.2, 0.3, 0.5, 0.4, 0.4])  # at the four quarters of two trainings, and their ends
    own = course.Course._measured

    def measured(self: Any, s: int, split: str, scores: Any) -> float:
        unit = self.units[self.at]
        tuned = split == "val" and unit.kind == "grid" and unit.grid == 0
        return next(right) if tuned else own(self, s, split, scores)

    monkeypatch.setattr(course.Course, "_measured", measured)
    run = run_of(tmp_path / "run", "drawn:waves", "8steps", sets={"grids.0.stops": 4, "probe.count": 3})
    tuned = run.record["results"]["sets"][0]["grids"]["fine-tuned"]
    assert [(p["part"], p["val"], p["steps"]) for p in tuned["points"]] == [(0.5, 0.6, 4), (0.75, 0.5, 6)]
    assert tuned["steps"] == 4 and tuned["lr"] == tuned["points"][0]["lr"] and "way" not in tuned


def test_the_page_says_how_much_sooner_learned_weights_are_there() -> None:
    grids = {"fine-tuned": {"curve": [{"steps": 10, "test": 0.7}, {"steps": 20, "test": 0.9}]},
             "random start": {"curve": [{"steps": 20, "test": 0.4}, {"steps": 40, "test": 0.7}]}}
    r: dict[str, Any] = {"systems": [{"id": "a", "title": "net", "runs": [{"results": {"sets": [
        {"name": "waves", "grids": grids}]}}]}]}
    said = pages._curves(r, {"a": 0})
    assert "net on waves: 4.0 times as soon" in said and "<svg" in said
    grids["fine-tuned"] = {}
    assert "soon" not in pages._curves(r, {"a": 0})
    grids.clear()
    assert pages._curves(r, {"a": 0}) == ""


# ---------------------------------------------------------------- from end to end


def run_of(out: Path, data: str = "drawn:waves,drawn:counts", budget: str = "4steps", **more: Any) -> Any:
    return stemma.train("imagenet-transfer", data, budget, out=out, sets=SETS | more.pop("sets", {}), **HOW | more)


def test_a_stretch_is_no_longer_than_what_is_left() -> None:
    spec, recipe = cards.get("imagenet-transfer").spec("small"), cards.get("imagenet-transfer").recipe("small")
    tuned = training.Tuned(Network(course._inputs(), "tiny-4"), 8)
    make = lambda length: training.Training(tuned, spec.look, open_set("drawn:waves").parts["train"],  # noqa: E731
                                            recipe, training.How(0.1, 0.0, length), "cpu")
    t = make(Budget(1.0, "seconds"))
    assert t.ahead(0.4) == 3 and t.ahead(5.0) == 1 and t.ahead(0.01) == training.STRETCH
    assert t.ahead(None) == 1  # nobody knows yet what a step takes
    t.steps, t.seconds = 1, 0.3
    assert t.ahead(None) == 3
    assert make(Budget(3, "steps")).ahead(None) == training.STRETCH
    walled = make(Budget(3, "steps", wall=1.0))
    walled.steps, walled.seconds, walled.wall = 2, 0.2, 0.95
    assert walled.ahead(None) == 1 and walled.fraction == 0.95


def test_wall_time_ends_trainings_and_the_run_says_so(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "drawn:waves", "100000steps", sets={"probe.count": 2}, wall="0.2s")
    assert run.state == "finished" and run.record["spent"]["steps"] < 10_000
    assert "wall time of" in run.record["cut"] and run.record["cut"].startswith("of a training (source)")


def test_what_a_budget_does_not_cover_is_said_beforehand() -> None:
    spec, sets = cards.get("imagenet-transfer").spec("small"), open_sets("drawn:waves,drawn:counts")
    spec = replace(spec, source=None, grids=(replace(spec.grids[0], sets=2, stops=3), spec.grids[1]))
    network = Network(course._inputs(), "tiny-4").eval()
    found = forecast.of(network, spec, sets, 64, "cpu")
    each = found.looks / found.pictures
    assert found.pictures == sum(len(p) for s in sets for p in s.parts.values()) and found.trainings == 2 * 3 + 3
    val, test = (len(sets[0].parts[k]) for k in ("val", "test"))
    assert found.validating == pytest.approx(each * (2 * (2 * 3 * val + test) + 2 * val + test))
    assert found.least == pytest.approx(each * 9 * 64 * forecast.STEP)
    digest = features.digest_of(network)
    for part in sets[0].parts.values():
        features.of(network, spec.look, part, known=digest)
    assert forecast.of(network, spec, sets, 64, "cpu").pictures == found.pictures - sum(map(len, sets[0].parts.values()))
    slow = forecast.Forecast(40.0, 8.0, 200.0, 900, 6)
    assert slow.says(1000.0) is None
    assert slow.says(60.0) == ("a budget of 60 s is that of the trainings; looking at 900 pictures takes about 40 s "
                               "besides, validating 8 s; 6 trainings take a step each at least, about 200 s in all (fewer: "
                               "--preset linear, or --set grids.0.sets=1)")


def bytes_of(run: Any) -> tuple[Any, dict[str, Any]]:
    from safetensors.torch import load_file

    return run.record["results"], {k: v.numpy().tobytes() for k, v in load_file(run.path / "last.safetensors").items()}


def test_a_course_that_is_killed_anywhere_ends_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the source's second stretch, in the midst of a path, before a refit and inside a grid's training."""
    monkeypatch.setattr(training, "STRETCH", 2)
    alone = run_of(tmp_path / "alone")
    pieces = carried_in_pieces(lambda: run_of(tmp_path / "pieces", resume=True), (2, 13, 19, 33, 37), monkeypatch)
    assert pieces.state == "finished" and bytes_of(alone) == bytes_of(pieces)
    kinds = [[(e["kind"], e.get("set")) for e in r.metrics()] for r in (alone, pieces)]
    assert kinds[0] == kinds[1] and ("tuned", "waves") in kinds[0]
    assert run_of(tmp_path / "pieces", resume=True).record["ended"] == pieces.record["ended"]  # nothing is left to do
    with pytest.raises(StemmaError, match="other data"):
        run_of(tmp_path / "pieces", "drawn:waves", resume=True)


def test_told_to_end_it_saves_and_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = course.Course._do

    def told(self: Any, unit: Any) -> bool:
        self.wishes.number = int(signal.SIGTERM) if self.at == 5 and not (tmp_path / "once").exists() else 0
        (tmp_path / "once").touch() if self.at == 5 else None
        return done(self, unit)

    monkeypatch.setattr(course.Course, "_do", told)
    with pytest.raises(KeyboardInterrupt):
        run_of(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "stopped"
    assert run_of(tmp_path / "run", resume=True).state == "finished"


@pytest.mark.whole
def test_what_a_network_has_learned_is_carried_over(tmp_path: Path, learned: Learned) -> None:
    """The small preset against the same network with random weights, by the same regression."""
    run = stemma.train("imagenet-transfer", "drawn:outlines", "90steps", out=tmp_path / "run", seed=0,
                       sets={"network.name": "tiny-8", "probe.count": 12, "grids.0.lrs": "0.05,0.05,1",
                             "grids.1.lrs": "0.05,0.05,1"}, **HOW)
    m: Any = run.load()
    from stemma.engine.transfer.measure import untrained

    said, random = stemma.evaluate(run), untrained(m, open_sets("drawn:outlines"), 0)["outlines"]
    value = said["sets"]["outlines"]["value"]
    assert value == pytest.approx(run.record["results"]["sets"][0]["linear"]["test"], abs=0.006)
    learned("errors, outlines", 1 - value, untrained=1 - random, at_most=0.77)
    assert said["source"]["test"] > 2 / 24 and set(said["trained"]["outlines"]) == {"fine-tuned", "random start"}


def test_the_commands_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def said(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(words))
        found = capsys.readouterr()
        return int(stop.value.code or 0), " ".join((found.out + found.err).split())

    data = str(drawn_folder(tmp_path / "shapes"))
    sets = [w for k, v in SETS.items() for w in ("--set", f"{k}={v}")]
    code, text = said("train", "imagenet-transfer", "--data", f"{data},drawn:waves", "-b", "3steps", "-o", "r", *sets)
    assert code == 0 and "best accuracy" in text and "stemma evaluate r" in text
    code, text = said("evaluate", "r")
    assert code == 0 and "shapes" in text and "waves" in text
    code, text = said("evaluate", "r", "--data", "drawn:waves", "--split", "val", "--json")
    assert code == 0 and list(json.loads(text)["sets"]) == ["waves"]
    code, text = said("predict", "r", f"{data}/one", "--out", "seen")
    rows = json.loads((tmp_path / "seen" / "predictions.json").read_text())
    assert code == 0 and len(rows) == 10 and len(rows[0]["sets"]["shapes"]) == 3
    code, text = said("export", "r", "net.pt2")
    assert code == 0 and "largest difference" in text
    assert said("show", "imagenet-transfer", "--preset", "small")[0] == 0
    for words, mend in (
        (("evaluate", "r", "--data", "drawn:counts"), "not among the sets"), (("predict", "r"), "name pictures"),
        (("export", "r", "net.onnx"), "torch.export alone"),
        (("train", "imagenet-transfer", "--data", "drawn", "--size", "64"), "look.size=64"),
        (("train", "imagenet-transfer", "--env", "takecover"), "carried over to pictures"),
        (("train", "imagenet-transfer", "--data", "drawn", "--backbone", "resnet1800"), "timm knows no network"),
        (("compare", "fpn@resnet18", "--data", "scenes"), "--backbone resnet18"),
        (("compare", "retina-nett", "--data", "scenes"), "did you mean retinanet"),
        (("compare", "tiny-4", "fpn", "--data", "drawn"), "no common measure"),
    ):
        code, text = said(*words)
        assert code == 2 and mend in text, (words, text)


@pytest.mark.parametrize(("linear", "tuned", "random", "verdicts"), [
    ([.6, .7, .8, .85], [.7, .8, .9, .95], [.68, .79, .88, .94], "pass pass pass"),  # a gain of .015 at most
    ([.6, .7, .8, .85], [.7, .8, .9, .95], [.3, .4, .5, .55], "pass fail fail"),
    ([.85, .8, .7, .6], [.95, .9, .8, .7], [.5, .5, .4, .4], "fail fail fail"),
    ([.5, .6, .7, .75], [.8, .86, .89, .92], [.55, .85, .76, .92], "pass inconclusive inconclusive"),
])
def test_the_papers_findings_are_held_against_a_comparison(linear: list[float], tuned: list[float], random: list[float],
                                                           verdicts: str) -> None:
    from stemma.engine.transfer.findings import findings

    top = carried.logit(np.array([.6, .7, .75, .8]), 50_000)

    def way(values: list[float]) -> dict[str, Any]:
        table = np.array([values, values]).T
        mean = carried.adjusted(carried.logit(table, 1000)).mean(1)
        c = carried.correlation(top, mean)
        return {"sets": ["a", "b"], "table": table.tolist(), "r": {"r": c.r, "low": c.low, "high": c.high, "n": c.n}}

    found = findings({"linear": way(linear), "fine-tuned": way(tuned), "random start": way(random)})
    assert " ".join(f["verdict"] for f in found) == verdicts, found
    alone = findings({"linear": way(linear)})
    assert [f["verdict"] for f in alone] == [verdicts.split()[0], "inconclusive", "inconclusive"]
    for low, size in ((0.2, True), (-0.2, False)):
        bare = way(linear) | {"r_random": {"r": 0.9, "low": low, "high": 0.99, "n": 4}}
        says = findings({"linear": bare})[0]["says"]
        assert "with random weights: r = 0.90" in says and ("their size alone" in says) == size


@pytest.mark.parametrize("count", [1, 5])
def test_names_of_networks_are_whole_on_a_line_of_eighty(count: int, monkeypatch: pytest.MonkeyPatch,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    from stemma.cli import screen
    from stemma.cli.transfer import compared

    monkeypatch.setattr(screen.out, "_width", 80)
    names, sets = ("tf_efficientnet_lite0:imagenet", "tiny-16"), [f"flowers-{k}" for k in range(count)]
    monkeypatch.setattr("stemma.report.transfer.answer", lambda results: ("head", []))
    compared({"systems": [{"title": n, "top1": 0.75} for n in names], "findings": [], "failed": [], "ways": {"linear": {
        "sets": sets, "table": [[0.5] * count] * 2, "adjusted": [0.7, -0.7], "intervals": [1.1, 1.1]}}})
    said = capsys.readouterr().out
    assert all(f"{n} " in said for n in (*names, "source top-1", "flowers-0", "adjusted")) and "…" not in said
    assert all(len(line.rstrip()) <= 80 for line in said.splitlines())
    assert ("4 more sets stand in the report" in said) == (count == 5)


@pytest.mark.whole
def test_a_comparison_of_networks_to_the_last_page(tmp_path: Path) -> None:
    sets = {k: v for k, v in SETS.items() if k != "network.name"}
    again: dict[str, Any] = {"budget": "2steps", "out": tmp_path / "c", "device": "cpu", "sets": sets, "jobs": 2}
    names = ["tiny-2", "tiny-3", "tiny-4", "imagenet-transfer@tiny-6"]
    done = stemma.compare(names, "drawn:waves,drawn:counts", **again)
    r = done.results
    assert not done.failed and {s["title"] for s in r["systems"]} == {"tiny-2", "tiny-3", "tiny-4", "tiny-6"}
    linear = r["ways"]["linear"]
    first = [s["runs"][0]["results"]["sets"][0] for s in r["systems"][:2]]
    answers = [carried.unpacked(s["right"], s["count"]["test"]) for s in first]
    assert [a.mean() for a in answers] == pytest.approx([s["linear"]["test"] for s in first])
    assert r["apart"]["waves"] == carried.exchanged(*answers) and set(r["apart"]) == {"waves", "counts"}
    assert linear["sets"] == ["waves", "counts"] and np.allclose(np.sum(linear["adjusted"]), 0, atol=1e-9)
    assert linear["adjusted"] == sorted(linear["adjusted"], reverse=True) and linear["r"]["n"] == 4
    table = np.array(linear["table"])
    mean = carried.adjusted(carried.logit(table, 400)).mean(1)
    top = [float(carried.logit(s["top1"], 1200)) for s in r["systems"]]
    assert linear["r"]["r"] == pytest.approx(stats.pearsonr(top, mean).statistic)
    page = (tmp_path / "c" / "report.html").read_text()
    assert "n = 4 networks" in page and "tiny-6" in page and page.count("<svg") > 8
    assert [f["verdict"] in ("pass", "fail", "inconclusive") for f in r["findings"]] == [True] * 3
    assert "carry over better" in page and f"n = {len(names)}" in r["findings"][0]["says"]
    assert "with random weights: r = " in r["findings"][0]["says"]
    bare = np.array([list(s["runs"][0]["untrained"].values()) for s in r["systems"]])
    mean = carried.adjusted(carried.logit(bare, np.array(r["ways"]["linear"]["counts"])[None])).mean(1)
    top = list(r["ways"]["linear"]["logit_top1"].values())
    assert r["ways"]["linear"]["r_random"]["r"] == pytest.approx(np.corrcoef(top, mean)[0, 1])
    kept = json.loads((tmp_path / "c" / "results.json").read_text())["systems"][0]["runs"][0]["finished"]
    more = stemma.compare([*names[:3], names[3]], "drawn:waves,drawn:counts", **again)
    assert more.results["systems"][0]["runs"][0]["finished"] == kept


@pytest.mark.whole
def test_where_learned_weights_hardly_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stemma.studies import starts

    found = starts.once(0, "tiny-2", "2steps", (3, 8))
    assert [(r["set"], r["count"]) for r in found] == [("outlines", 3), ("outlines", 8), ("fine", 3), ("fine", 8)]
    assert all(0 <= r[k] <= 1 for r in found for k in ("tuned", "random"))
    monkeypatch.setattr(starts, "once", lambda seed, network, budget: [
        {"set": s, "count": n, "seed": seed, "tuned": 0.5 + gain, "random": 0.5}
        for s, gains in (("outlines", (0.2, 0.1)), ("fine", (0.02, 0.0))) for n, gain in zip((3, 8), gains)])
    said = starts.study(tmp_path, 2)
    assert said["crossing"] == {"outlines": None, "fine": 3} and said["means"][0]["deviation"] == 0
    rows = [{"set": "a", "count": n, "gain": g} for n, g in ((10, 0.01), (30, 0.2), (100, 0.02))]
    assert starts.crossing(rows, "a") == 100
    fine = open_set("drawn:fine")
    assert len(fine.classes) == 12 and "fine" not in [s.name for s in open_sets("drawn")]
