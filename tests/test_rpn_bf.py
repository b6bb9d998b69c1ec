"""RPN+BF: RealBoost on bytes held against restatements and scikit-learn, finer features of the same weights, stages of
hard negatives, and a forest that is saved, resumed and exported as plain tensors."""
from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import stemma
from engine_help import Killed, noisy_batch, scenes, short
from learning import Learned
from stemma.core import paper as cards
from stemma.core.part import In, part
from stemma.core.types import Batch, StemmaError, Targets
from stemma.ops import boxes as bx
from stemma.papers.localization import rpn_bf
from stemma.papers.localization.rpn_bf import WholeObjects
from stemma.parts.backbones.fine import Fine, stitched
from stemma.parts.backbones.tiny import TinyResNet
from stemma.parts.backbones.vgg import VGGLevels
from stemma.parts.dense.assign import Candidates
from stemma.parts.regions import boost as boosting
from stemma.parts.regions.boost import Boost, Examples, boost, grow
from stemma.parts.regions.forest import Forest
from stemma.skeletons import bootstrap as staged

torch.set_num_threads(1)
FEW = Boost((2, 3), depth=2, share=0.5, first=40, more=10, most=60, each=10, above=0.6)


def test_published_counts() -> None:
    facts = {f.what: f.value for f in rpn_bf.PAPER.facts}
    with torch.device("meta"):
        m = rpn_bf.spec("paper").build(1)
        alone = rpn_bf.spec("rpn").build(1)
    assert m.forest is not None and m.forest.leaf.shape == (1, facts["trees"], 32)
    assert len(m.forest.low) == facts["features of a region"]
    for net in (m, alone):
        assert sum(p.numel() for p in net.parameters()) == facts["parameters of the proposal network"]
    r = rpn_bf.recipe()
    assert r.length == f"{80_000 + 8 * facts['pictures of the training']}steps"
    assert r.phases[1].passes == 1 + len(Boost().stages)
    assert r.augment.flip == 0 and rpn_bf.recipe("small").augment.flip == 0.5  # the authors' code mirrors nothing


def test_anchors_are_people_of_nine_sizes() -> None:
    """2.6 x 1.3^k cells of 10 x 24, which is a person's shape in whole pixels of the authors' arithmetic."""
    rule = rpn_bf.spec("paper").rpn
    assert rule is not None
    ((cell, *_),) = rule.anchors.layout(((1, 1),), (16,), (16, 16))
    sides = np.array([(x2 - x1, y2 - y1) for x1, y1, x2, y2 in cell])
    want = np.array([(10, 24)]) * (2.6 * 1.3 ** np.arange(9))[:, None]
    np.testing.assert_allclose(sides, want, rtol=1e-9)


def test_a_positive_across_the_edge_is_not_asked() -> None:
    boxes = torch.tensor([[[-2.0, 0, 8, 10], [0, 0, 8, 10], [-5, 20, 5, 30]]])
    t = Targets(torch.tensor([[[0.0, 0, 8, 10]]]), torch.zeros(1, 1, dtype=torch.long))
    state, _ = WholeObjects(0.5, 0.5)(Candidates(boxes, sizes=torch.tensor([[40.0, 40]])), t)
    assert state.tolist() == [[-1, 1, 0]]


# ---------------------------------------------------------------- finer features of the same weights


@pytest.mark.oracle("conv4 dilated by 2 behind a pool of stride 1", "rpn-bf")
def test_the_woven_map_is_the_stage_without_its_stride() -> None:
    torch.manual_seed(0)
    net = Fine(In((3,), (1,), 1), part(VGGLevels)).double().eval()
    first = torch.rand(2, 256, 8, 12, dtype=torch.float64)
    x = F.max_pool2d(F.pad(first, (0, 1, 0, 1)), 2, 1)
    for layer in list(net.of.between(1))[1:]:
        x = F.conv2d(x, layer.weight, layer.bias, padding=2, dilation=2) if hasattr(layer, "weight") else layer(x)
    kept, fine = net.fine(first)
    assert kept is first and fine.shape == (2, 512, 8, 12) and net.channels == 768
    torch.testing.assert_close(fine, x)
    torch.testing.assert_close(fine[..., ::2, ::2], net.of.between(1)(first))


def test_levels_are_what_the_trunk_says() -> None:
    torch.manual_seed(0)
    net = Fine(In((3,), (1,), 1), part(TinyResNet, widths=(4, 6, 8), levels=(0, 1, 2))).eval()
    images = torch.rand(1, 3, 40, 48)
    every = net.of(images)
    low, last = net(images)
    assert torch.equal(low, every[0]) and torch.equal(last, every[2]) and net.out.strides == (4, 16)
    odd = torch.rand(1, 4, 9, 7)
    assert stitched(net.of.between(1), odd).shape == (1, 6, 9, 7)
    torch.testing.assert_close(net.fine(low)[1][..., ::2, ::2], every[1])


@pytest.mark.parametrize("h,w", [(8, 6), (9, 7), (8, 7)])
def test_pooling_is_undone_on_maps_of_odd_sides_too(h: int, w: int) -> None:
    """VGG's pooling leaves out the last cell of an odd side: without a stride it is a window at every cell."""
    x = torch.rand(2, 3, h, w)
    dense = F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 2, 1)
    assert torch.equal(stitched(functools.partial(F.max_pool2d, kernel_size=2), x), dense)


def test_no_other_network_stands_in_its_place() -> None:
    with pytest.raises(StemmaError, match="nothing can stand in the place of Fine: the layers between two"):
        stemma.build("rpn-bf", preset="small", classes=2, sets={"backbone": "resnet18"})


# ---------------------------------------------------------------- one tree


def bytes_of(features: int = 6, n: int = 300, seed: int = 0, values: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Bytes (F, N), positives first, of which a third of the features tell something; and how many are positive."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) < n // 3
    x = rng.normal(values / 2, values / 6, (features, n))
    x[: features // 3] += np.where(y, values / 8, -values / 8)
    return x.clip(0, values - 1).astype(np.uint8), y


def by_search(x: np.ndarray, m: np.ndarray) -> tuple[float, int, int]:
    """(least weighted error of a stump, its feature, its byte), trying all."""
    found = []
    for f in range(len(x)):
        for byte in range(255):
            wrong = m[(x[f] <= byte) & (m > 0)].sum() - m[(x[f] > byte) & (m < 0)].sum()
            found.append((min(wrong, np.abs(m).sum() - wrong), f, byte))
    return min(found)


@pytest.mark.oracle("every stump tried", "rpn-bf")
@pytest.mark.parametrize("n", [90, 1400])  # both ways of counting
def test_a_split_is_the_stump_of_least_error(n: int) -> None:
    x, y = bytes_of(4, n, values=40)
    weight = np.random.default_rng(1).random(n)
    m = np.where(y, weight, -weight) / weight.sum()
    error, _, _ = by_search(x, m)
    tree, said = grow(x, m, replace(FEW, depth=1, share=1.0), np.random.default_rng(0))
    left = x[tree.feature[0]] <= tree.at[0]
    wrong = m[left & (m > 0)].sum() - m[~left & (m < 0)].sum()
    assert min(wrong, 1 - wrong) == pytest.approx(error, abs=1e-12)
    for side in (left, ~left):
        prior = m[side & (m > 0)].sum() / np.abs(m[side]).sum()
        np.testing.assert_allclose(said[side], 0.5 * np.log(prior / (1 - prior)), rtol=1e-5)


def test_counting_all_at_once_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = bytes_of(9, 500)
    m = np.where(y, 1.0, -1.0) / 500
    grown = []
    for few in (0, 10_000):
        monkeypatch.setattr(boosting, "FEW", few)
        grown.append(grow(x, m, Boost(depth=4), np.random.default_rng(3)))
    (a, said), (b, again) = grown
    assert np.array_equal(a.feature, b.feature) and np.array_equal(a.at, b.at) and np.array_equal(said, again)


def test_a_split_looks_at_its_share_of_the_features_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    split = boosting._split
    monkeypatch.setattr(boosting, "_split", lambda x, m, rows, f: (asked.append(len(set(f.tolist()))), split(x, m, rows, f))[1])
    x, y = bytes_of(10, 300)
    grow(x, np.where(y, 1.0, -1.0) / 300, Boost(depth=3, share=0.45), np.random.default_rng(0))
    assert asked and set(asked) == {4}


def test_leaves_are_bounded_and_light_or_pure_nodes_are_leaves() -> None:
    x = np.array([[0, 0, 9, 9, 9]], np.uint8)
    tree, said = grow(x, np.array([0.2, 0.2, -0.2, -0.2, -0.2]), Boost(depth=3, share=1.0), np.random.default_rng(0))
    assert said.tolist() == [4, 4, -4, -4, -4] and tree.at[0] == 0 and (tree.at[1:] == 255).all()
    assert tree.leaf[[0, 4]].tolist() == [4, -4]  # the leftmost leaves below the two nodes
    light = replace(FEW, depth=3, share=1.0, least=2.0)
    assert (grow(x, np.array([0.2, 0.2, -0.2, -0.2, -0.2]), light, np.random.default_rng(0))[0].at == 255).all()


# ---------------------------------------------------------------- RealBoost


def restated(x: np.ndarray, start: np.ndarray, y: np.ndarray, trees: list[Any]) -> np.ndarray:
    """What the trees say, example by example."""
    said = start.copy()
    for feature, at, leaf in trees:
        for i in range(x.shape[1]):
            node = 0
            while node < len(feature):
                node = 2 * node + 1 + int(x[feature[node], i] > at[node])
            said[i] += leaf[node - len(feature)]
    return said


@pytest.mark.oracle("RealBoost restated: weights of exp(-y H), leaves of half the log odds", "rpn-bf")
def test_each_tree_is_fitted_to_what_those_before_it_leave() -> None:
    x, y = bytes_of(6, 240)
    n, start = int(y.sum()), np.random.default_rng(2).normal(0, 0.5, 240)
    found = boost(x, start, n, 5, Boost(depth=3, share=0.5), np.random.default_rng(0))
    trees = list(zip(found.feature, found.at, found.leaf))
    sign, losses = np.where(y, 1.0, -1.0), []
    for t in range(5):
        said = restated(x, start, y, trees[:t])
        w = np.exp(-sign * said) * np.where(y, 0.5 / n, 0.5 / (240 - n))
        losses.append(w.sum())
        ends = restated(x, np.zeros(240), y, [(trees[t][0], trees[t][1], np.arange(8))])  # the leaf of each
        for leaf in np.unique(ends):
            there = ends == leaf
            prior = w[there & y].sum() / w[there].sum()
            want = np.clip(0.5 * np.log(prior / (1 - prior)), -4, 4) if 0 < prior < 1 else 8 * prior - 4
            assert trees[t][2][int(leaf)] == pytest.approx(want, abs=1e-5)
    assert all(b < a for a, b in zip(losses, losses[1:]))


@pytest.mark.oracle("scikit-learn's boosting by the exponential loss", "rpn-bf", how="share of pairs of held-out examples ranked alike")
def test_it_ranks_as_scikit_learn_does(record_property: Any) -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    metrics = pytest.importorskip("sklearn.metrics")
    x, y = bytes_of(12, 1200, seed=3)
    held, z = bytes_of(12, 600, seed=4)
    ours = Forest(1, 12, 40, 3)
    ours.plant(0, boost(x, np.zeros(1200), 400, 40, Boost(depth=3, share=0.5), np.random.default_rng(0)), 0.0)
    said = ours(torch.from_numpy(held.T.astype(np.float32)))[:, 0].numpy()
    weight = np.where(y, 0.5 / y.sum(), 0.5 / (~y).sum())
    peer = ensemble.GradientBoostingClassifier(loss="exponential", n_estimators=40, max_depth=3, max_features=0.5, random_state=0)
    theirs = peer.fit(x.T, y, sample_weight=weight * len(y)).decision_function(held.T)
    alike = float(np.mean(np.sign(said[:, None] - said) == np.sign(theirs[:, None] - theirs)))
    auc, wanted = metrics.roc_auc_score(z, said), metrics.roc_auc_score(z, theirs)
    record_property("oracle", alike)
    assert alike > 0.8 and auc > wanted - 0.02 and auc > 0.85, (alike, auc, wanted)


def test_boosting_ends_where_nothing_is_left() -> None:
    x = np.array([[0] * 20 + [200] * 20], np.uint8)
    found = boost(x, np.zeros(40), 20, 2048, Boost(depth=5, share=1.0), np.random.default_rng(0))
    assert len(found.leaf) == 24  # e^-4 a tree: the loss is 1e-40 after 23.03


def test_the_forest_says_what_the_trees_said_in_training() -> None:
    x, y = bytes_of(7, 150)
    b = Boost(depth=3, share=0.6, lift=0.25)
    trees = boost(x, np.zeros(150), 50, 6, b, np.random.default_rng(0))
    forest = Forest(3, 7, 9, 3)
    forest.plant(1, trees, b.lift)
    said = forest(torch.from_numpy(x.T.astype(np.float32)))
    want = restated(x, np.zeros(150), y, list(zip(trees.feature, trees.at, trees.leaf))) + 6 * 0.25
    np.testing.assert_allclose(said[:, 1].numpy(), want, rtol=1e-4, atol=1e-5)
    assert forest.grown.tolist() == [0, 6, 0] and (said[:, [0, 2]] == 0).all()
    forest.plant(1, type(trees)(trees.feature[:2], trees.at[:2], trees.leaf[:2]), 0.0)  # nothing of the six is left
    want = restated(x, np.zeros(150), y, list(zip(trees.feature[:2], trees.at[:2], trees.leaf[:2])))
    np.testing.assert_allclose(forest(torch.from_numpy(x.T.astype(np.float32)))[:, 1].numpy(), want, rtol=1e-4, atol=1e-5)


@pytest.mark.oracle("the toolbox's thresholds, which are of floats", "rpn-bf")
def test_a_byte_stands_for_a_256th_of_the_range() -> None:
    """binaryTreeTrain.m: bytes are (x - min + .01) / step rounded, and a threshold in floats is min - .01 + step (b +
    .5)."""
    torch.manual_seed(0)
    x = torch.rand(500, 3, dtype=torch.float64).float() * torch.tensor([1.0, 50.0, 0.0]) + torch.tensor([0.0, -7.0, 3.0])
    forest = Forest(1, 3, 1, 1)
    forest.measure(x.amin(0), x.amax(0))
    b = forest.bytes(x)
    assert b.min() >= 0 and b.max() <= 255 and (b == b.round()).all() and (b[:, 2] == b[0, 2]).all()
    assert forest.bytes(torch.tensor([[9.0, -99.0, 3.0]]))[0, :2].tolist() == [255, 0]
    low, step = forest.low.double(), forest.step.double()
    for byte in (0, 17, 120, 254):
        threshold = low + step * (byte + 0.5)
        clear = (x.double() - threshold).abs() > 1e-4 * step  # ties apart, which are rounded one way or the other
        assert ((b <= byte) == (x.double() < threshold))[clear].all()


# ---------------------------------------------------------------- examples


def test_new_negatives_take_the_places_of_old_ones() -> None:
    e, rng = Examples(2, 3, 4), np.random.default_rng(0)
    rows = lambda *v: np.array([[k, k] for k in v], np.uint8)  # noqa: E731
    e.positive(rows(1, 2), np.array([0.1, 0.2]))
    e.stage(rng)
    e.negative(rows(10, 11, 12), np.array([10.0, 11.0, 12.0]))
    x, start, n = e.held()
    assert n == 2 and sorted(x[0, :2].tolist()) == [1, 2] and x[1, 2:].tolist() == [10, 11, 12]
    assert start[2:].tolist() == [10, 11, 12] and np.shares_memory(x, e.x)
    e.stage(rng)
    e.negative(rows(20, 21, 22), np.array([20.0, 21.0, 22.0]))
    x, start, n = e.held()
    assert x.shape == (2, 6) and {20, 21, 22} <= set(x[0].tolist()) and len({10, 11, 12} & set(x[0].tolist())) == 1
    np.testing.assert_array_equal(x[0, 2:], start[2:])
    e.negative(rows(30, 31, 32), np.zeros(3))  # nothing old is left beyond one
    assert len({20, 21, 22} & set(e.held()[0][0].tolist())) == 3
    e.positive(rows(3, 4), np.zeros(2))
    assert e.positives == 3


# ---------------------------------------------------------------- the system


@functools.cache
def system(classes: int = 4, **change: Any) -> Any:
    torch.manual_seed(0)
    return replace(rpn_bf.spec("small"), **({"boost": FEW} | change)).build(classes).eval()


def fitted(batches: list[Batch], classes: int = 4, **change: Any) -> tuple[Any, list[str]]:
    said: list[str] = []
    model = system(classes, **change)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.fit(lambda: iter(batches), said.append)
    after = {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(before)
    twin = replace(rpn_bf.spec("small"), **({"boost": FEW} | change)).build(classes).eval()
    twin.load_state_dict(after)
    return twin, said


@pytest.mark.oracle("the proposal network's own ranking", "rpn-bf")
def test_no_tree_is_the_proposal_networks_ranking() -> None:
    """H = 1/2 logit(s): the score given out is a rising function of s, and what falls below `least` is what s says."""
    model = system(1, post=(), least=-1.0)
    images = noisy_batch().images
    with torch.no_grad():
        raw = model(images)
        sizes = torch.full((2, 2), 128.0)
        d, found = model.candidates(raw, sizes, False), model.predict(images)
    assert torch.equal(d.boxes, found.boxes)
    kept = found.labels == 0
    assert torch.equal(kept, (d.scores > 1 / (1 + np.exp(2.0))) & (d.labels >= 0)) and kept.any()
    h = 0.5 * torch.logit(d.scores)
    torch.testing.assert_close(found.scores[kept], (0.5 + 0.5 * h / (1 + h.abs()))[kept])
    assert (found.scores.diff(dim=1)[kept[:, 1:]] <= 0).all()


def test_the_proposal_network_alone_is_an_answer() -> None:
    torch.manual_seed(0)
    model = rpn_bf.spec("rpn-small").build(3).eval()
    images, sizes = noisy_batch().images, torch.full((2, 2), 128.0)
    d = model.predict(images)
    want = replace(model.rule, keep=50).predict(model(images).rpn, sizes)
    keep = want.labels >= 0
    assert torch.equal(d.labels, want.labels) and set(d.labels[d.labels >= 0].tolist()) > {0}
    torch.testing.assert_close(d.boxes[keep], want.boxes[keep])
    torch.testing.assert_close(d.scores[keep], want.scores[keep])
    model.fit(lambda: iter([noisy_batch()]), lambda line: pytest.fail(line))  # there is nothing to grow


def test_regions_of_a_picture_are_what_they_are_to_each_class() -> None:
    model = system()
    batch = noisy_batch()
    crowd = torch.zeros_like(batch.targets.labels, dtype=torch.bool)
    crowd[0, 1] = True
    batch = replace(batch, targets=replace(batch.targets, crowd=crowd))
    with torch.no_grad():
        (_, r), _ = staged._looked(model, batch, FEW)
        d = model.candidates(model(batch.images), batch.sizes, True)
    t = batch.targets
    mine = [0, 2]
    n = int((d.labels[0] >= 0).sum())
    torch.testing.assert_close(r.boxes, torch.cat([t.boxes[0, mine], d.boxes[0, :n]]))
    for k, c in enumerate(t.labels[0, mine].tolist()):
        assert r.state[k, c] == 1 and (r.state[k].sum() == 1)
        best = bx.iou(d.boxes[:1, :n], t.boxes[:1, mine])[0].argmax(0)[k]
        assert d.distribution is not None and torch.equal(r.before[k], model.before(d.distribution)[0, best])
    for i in range(n):
        box = d.boxes[0, i]
        for c in range(4):
            over = [float(bx.iou(box[None, None], t.boxes[:1, j : j + 1])) for j in mine if t.labels[0, j] == c]
            best = max(over, default=0.0)
            inside = float(bx.iof(box[None, None], t.boxes[:1, 1:2]))
            want = 1 if best >= 0.6 else -1 if best >= 0.5 or inside > 0.5 else 0
            assert r.state[2 + i, c] == want


def test_a_low_object_is_none_and_what_lies_in_it_is_not_asked() -> None:
    model, batch = system(height=40.0), noisy_batch()
    with torch.no_grad():
        for i, (_, r) in enumerate(staged._looked(model, batch, FEW)):
            tall = batch.targets.boxes[i, :, 3] - batch.targets.boxes[i, :, 1] >= 40
            assert (r.boxes[:, 3] - r.boxes[:, 1] >= 40).all()
            assert torch.equal(r.boxes[: int(tall.sum())], batch.targets.boxes[i][tall])


def test_stages_take_what_the_last_forest_took_for_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    batches, calls = [noisy_batch()], []
    grown = staged.boost

    def seen(x: Any, start: Any, positives: int, trees: int, *a: Any) -> Any:
        calls.append((x.copy(), start.copy(), positives, trees))
        return grown(x, start, positives, trees, *a)

    monkeypatch.setattr(staged, "boost", seen)
    model, said = fitted(batches)
    assert [c[3] for c in calls] == [2] * 4 + [3] * 4 and model.forest.grown.tolist() == [3] * 4
    for (x, _, p, _), (y, start, q, _) in zip(calls[:4], calls[4:]):
        assert p == q and np.array_equal(x, y[:, : x.shape[1]])  # positives once, negatives are added
        assert y.shape[1] - x.shape[1] <= 10 and start.shape[0] == y.shape[1]
    assert said[-1].startswith("stage 2 of 2:") and said[-1].endswith("3 trees")
    again, _ = fitted(batches)
    for k, v in model.state_dict().items():
        assert torch.equal(v, again.state_dict()[k]), k


def test_without_bootstrapping_one_stage_has_the_first_negatives_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """All trees at once, on negatives that no forest has chosen."""
    looks, mined = [0], staged._mine

    def counted(*a: Any) -> Any:
        looks[0] += 1
        return mined(*a)

    monkeypatch.setattr(staged, "_mine", counted)
    batch = noisy_batch()
    model, said = fitted([batch], boost=replace(FEW, stages=(sum(FEW.stages),)))
    assert looks == [1] and model.forest.grown.tolist() == [sum(FEW.stages)] * 4
    assert said[-1].startswith("stage 1 of 1:") and not any("stage 2" in line for line in said)
    spec, recipe = (getattr(cards.get("rpn-bf"), k)("paper") for k in ("spec", "recipe"))
    assert len(spec.boost.stages) + 1 == recipe.phases[1].passes  # so that one stage takes two


def test_bad_a_stage_finds_fewer_negatives_than_it_asks_for() -> None:
    model, said = fitted([noisy_batch()], boost=replace(FEW, first=500))
    short = [line for line in said if "asked for" in line]
    assert "stage 1: 80 negatives were found where 2,000 are asked for; it goes on with what it holds" in short
    assert model.forest.grown.tolist() == [3] * 4


def test_bad_a_class_without_an_object_keeps_the_proposals_score() -> None:
    batch = noisy_batch()
    batch = replace(batch, targets=replace(batch.targets, labels=torch.zeros_like(batch.targets.labels)))
    model, said = fitted([batch])
    assert model.forest.grown.tolist() == [3, 0, 0, 0] and all("nan" not in line for line in said)
    empty = replace(batch, targets=replace(batch.targets, labels=batch.targets.labels - 1))
    model, said = fitted([empty])
    assert not model.forest.grown.any() and said[-1] == "stage 2 of 2: 0 positives, 0 negatives, 0 trees"


def test_a_grown_forest_is_saved_as_plain_tensors(tmp_path: Path) -> None:
    model = stemma.build("rpn-bf", preset="small", classes=4)
    grown, _ = fitted([noisy_batch()], boost=rpn_bf.spec("small").boost)
    model.load_state_dict(grown.state_dict())
    stemma.save(tmp_path / "net.safetensors", model.eval())
    again = stemma.load(tmp_path / "net.safetensors")
    one, two = (m.predict(noisy_batch().images) for m in (model, again))
    assert again.forest.grown.any() and again.forest.feature.dtype == torch.int32 and again.forest.at.dtype == torch.uint8
    assert torch.equal(one.scores, two.scores) and torch.equal(one.boxes, two.boxes)


@pytest.mark.slow
@pytest.mark.parametrize("format,name", [("torch", "net.pt2"), ("onnx", "net.onnx")])
def test_predictions_of_a_forest_are_exported(tmp_path: Path, format: Any, name: str) -> None:
    if format == "onnx":
        pytest.importorskip("onnxruntime", reason="export to ONNX: pip install 'stemma-vision[onnx]'")
    model = stemma.build("rpn-bf", preset="small", classes=4, sets={"least": -1000.0})
    grown, _ = fitted([noisy_batch()], boost=rpn_bf.spec("small").boost)
    model.load_state_dict(grown.state_dict())
    told = stemma.export(model.eval(), tmp_path / name, format=format, size=(128, 128))
    assert told["difference"] < 1e-3 and told["compared"] > 0


# ---------------------------------------------------------------- learning, and resuming inside the stages


HOW: dict[str, Any] = {"paper": "rpn-bf", "budget": "12steps", "val_every": 0, "sets": {
    "boost.stages": (3, 4), "boost.depth": 2, "boost.first": 20, "boost.more": 10, "recipe.phases.1.passes": 3}}


def test_a_run_killed_inside_the_stages_ends_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between two trees, and between two pictures of a pass for hard negatives."""
    alone = short(tmp_path / "alone", **_how())
    grown, mine = staged.boost, staged._looked
    for what in ("trees", "pictures"):
        left = [5]

        def dying(*a: Any, left: list[int] = left, what: str = what) -> Any:
            left[0] -= 1
            if not left[0]:
                raise Killed
            return (grown if what == "trees" else mine)(*a)

        monkeypatch.setattr(staged, "boost" if what == "trees" else "_looked", dying)
        with pytest.raises(Killed):
            short(tmp_path / what, **_how())
        monkeypatch.undo()
        run = short(tmp_path / what, resume=True, **_how())
        one, two = (r.load("last").state_dict() for r in (alone, run))
        assert one["forest.grown"].any() and all(torch.equal(v, two[k]) for k, v in one.items()), what


def _how() -> dict[str, Any]:
    return HOW | {"sets": dict(HOW["sets"]), "data": scenes(), "preset": "small"}


def test_the_forest_learns_what_the_proposals_do_not_know(learned: Learned) -> None:
    """Regions of bright and dark squares that a proposal network scores alike: held-out regions ranked right."""
    x, y = bytes_of(20, 900, seed=5)
    held, z = bytes_of(20, 600, seed=6)
    forest = Forest(1, 20, 60, 4)
    rank = lambda: _auc(forest(torch.from_numpy(held.T.astype(np.float32)))[:, 0].numpy(), z)  # noqa: E731
    before = rank()
    forest.plant(0, boost(x, np.zeros(900), 300, 60, Boost(depth=4), np.random.default_rng(0)), 0.005)
    learned("pairs ranked wrong", 1 - rank(), untrained=1 - before, at_most=0.1)


def _auc(said: np.ndarray, y: np.ndarray) -> float:
    d = said[y][:, None] - said[~y]
    return float((d > 0).mean() + 0.5 * (d == 0).mean())


def test_presets_and_their_card() -> None:
    card = cards.get("rpn-bf")
    assert card.presets == ("paper", "rpn", "small", "rpn-small")
    for preset in card.presets:
        assert (card.spec(preset).boost is None) == preset.startswith("rpn")
        assert any(p.run == "fit" for p in card.recipe(preset).phases) == (not preset.startswith("rpn"))


