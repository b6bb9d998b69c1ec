"""YOLOv2 and YOLO9000: anchors from boxes, folding, the region layer's gradients, the tree, several sizes,
pictures without boxes."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import stemma
from engine_help import alone_and_in_pieces, scenes, short
from stemma.core import paper as cards
from stemma.core.part import In, diff
from stemma.core.recipe import Recipe, Resize
from stemma.core.types import Classes, StemmaError, Targets
from stemma.data.loader import Loader
from stemma.engine.running import checkpoint
from stemma.engine.running.optim import groups_of
from stemma.ops.kmeans import kmeans, shape_iou
from stemma.ops.reorg import reorg
from stemma.papers.localization import yolo_v1, yolo_v2
from stemma.parts.dense.anchors import Priors, lay
from stemma.parts.dense.coders import DirectLocation
from stemma.parts.dense.raw import DenseRaw
from stemma.parts.dense.region import ImageRule, Pull, RegionRule
from stemma.parts.dense.word_tree import WordTree

# 8 classes and a node that is none: 8 > (0 > (2, 3), 1, 4), and 5 > (6, 7)
TREE = WordTree((8, 8, 0, 0, 8, -1, 5, 5, -1), 8)


# ---------------------------------------------------------------- anchors


@pytest.mark.oracle("scikit-learn's KMeans", "yolo_v2",
                    how="beaten in mean IoU by .02 or more, as it is by construction")
def test_kmeans_finds_clusters_that_are_there_and_beats_euclid_in_iou() -> None:
    dice = np.random.default_rng(0)
    centres = np.array([[1, 1], [2, 6], [6, 2], [8, 8], [20, 16]], float)
    shapes = np.concatenate([c * np.exp(0.05 * dice.standard_normal((60, 2))) for c in centres])
    found, mean = kmeans(shapes, 5)
    assert shape_iou(found, centres).max(1).min() > 0.95 and mean > 0.9
    np.testing.assert_array_equal(found, kmeans(shapes, 5)[0])
    np.testing.assert_array_equal(found, kmeans(np.concatenate([shapes, [[0, 9], [9, 0]]]), 5)[0])  # no box is so flat
    from sklearn.cluster import KMeans

    wide = np.exp(dice.normal(1, 1, (200, 2)))
    euclid = KMeans(5, n_init=8, random_state=0).fit(wide).cluster_centers_
    assert kmeans(wide, 5)[1] > shape_iou(wide, euclid).max(1).mean() + 0.02
    assert kmeans(wide, 9)[1] > kmeans(wide, 5)[1] > kmeans(wide, 1)[1]


def test_shapes_are_laid_on_one_centre() -> None:
    assert shape_iou(np.array([[2.0, 4.0]]), np.array([[4.0, 2.0]]))[0, 0] == pytest.approx(4 / 12)
    with pytest.raises(ValueError):
        kmeans(np.zeros((3, 2)), 2)
    assert kmeans(np.ones((2, 2)), 5)[0].shape == (5, 2)


def test_845_boxes_at_416_and_the_published_channels() -> None:
    for preset, classes, side, channels, boxes in (("paper", 20, 416, 125, 845), ("coco", 80, 608, 425, 1805),
                                                   ("yolo9000", 9418, 544, 28_269, 867)):
        with torch.device("meta"):
            model: Any = stemma.build("yolo-v2", preset, classes)
            raw = model(torch.empty(1, 3, side, side))
        assert model.head.last[0].out_channels == channels and raw.logits.shape[1] == boxes


@pytest.mark.parametrize("fact", yolo_v2.PAPER.facts, ids=lambda f: f.variant or "paper")
def test_published_counts(fact: cards.Fact) -> None:
    with torch.device("meta"):
        model = stemma.build("yolo-v2", fact.variant or "paper", fact.classes, dict(fact.sets))
    assert sum(p.numel() for p in model.parameters()) == fact.value


@pytest.mark.parametrize("preset,classes,side,giga", [("paper", 20, 416, 29.36), ("coco", 80, 608, 62.94)])
def test_published_operations_of_the_convolutions(preset: str, classes: int, side: int, giga: float) -> None:
    """Darknet's convention: a multiplication and an addition count as two."""
    counted: list[int] = []
    with torch.device("meta"):
        model = stemma.build("yolo-v2", preset, classes)
        for conv in model.modules():
            if isinstance(conv, torch.nn.Conv2d):
                conv.register_forward_hook(lambda m, x, y: counted.append(2 * y.numel() * m.weight[0].numel()))
        model(torch.empty(1, 3, side, side))
    assert round(sum(counted) / 1e9, 2) == giga


def test_the_pair_with_yolo_v1_differs_in_what_the_paper_changes_alone() -> None:
    changed = diff(yolo_v1.recipe("small"), yolo_v2.recipe("small"))
    assert set(changed) == {"resize.kind", "resize.scales", "resize.hold"}
    one, two = yolo_v1.spec("small"), yolo_v2.spec("small")
    assert {k.split(".")[0] for k in diff(one, two)} == {"rule", "backbone", "neck", "head"}
    assert diff(one.backbone, two.backbone) == {"levels": ((2,), (1, 2))}


@pytest.mark.parametrize("preset", ["paper", "yolo9000", "classifier", "classifier-448"])
def test_weights_decay_and_neither_biases_nor_norms_do(preset: str) -> None:
    with torch.device("meta"):
        net = yolo_v2.spec(preset).build(20)
    decays = {n for g in groups_of(net, yolo_v2.recipe(preset)) if g["weight_decay"] == 5e-4 for n in g["names"]}
    assert decays == {n for n, p in net.named_parameters() if p.ndim == 4}


# ---------------------------------------------------------------- folding


def test_reorg_in_both_orders() -> None:
    x = torch.randn(2, 8, 6, 4)
    torch.testing.assert_close(reorg(x, 2, "space_to_depth"), F.pixel_unshuffle(x, 2))
    b, c, h, w = x.shape
    want, flat, s = torch.zeros_like(x).flatten(1), x.flatten(1), 2
    thin = c // (s * s)
    # the released layer's indices: it writes the map as (C, H, W) while it reads it as (C / 4, 2 H, 2 W)
    for k in range(c):
        for j in range(h):
            for i in range(w):
                offset, row, column = k // thin, j * s + k // thin // s, i * s + k // thin % s
                want[:, i + w * (j + h * k)] = flat[:, column + w * s * (row + h * s * (k % thin))]
                assert offset < s * s
    torch.testing.assert_close(reorg(x, 2, "darknet"), want.view(b, c * 4, h // 2, w // 2))
    assert not torch.equal(reorg(x, 2, "darknet"), F.pixel_unshuffle(x, 2))


# ---------------------------------------------------------------- the region layer


def a_raw(rule: RegionRule, classes: int, cells: int = 3, b: int = 2, seed: int = 0) -> DenseRaw:
    torch.manual_seed(seed)
    like = torch.zeros(1)
    side = int(cells * rule.coder.stride)
    grid = lay(rule.anchors, ((cells, cells),), (int(rule.coder.stride),), (side, side), like)
    a = len(grid.boxes)
    leaf = lambda *s: torch.randn(*s, requires_grad=True)  # noqa: E731
    return DenseRaw(leaf(b, a, classes + rule.cls.extra), leaf(b, a, 4), leaf(b, a), grid.boxes, grid.stride,
                    grid.levels, (side, side))


def awake(rule: RegionRule, images: int = 0) -> RegionRule:
    return replace(rule, pull=Pull(In((3,), (1,)), images).train())


def iou_of(a: list[float], b: list[float]) -> float:
    """Of (x, y, w, h), centre and size."""
    w, h = (min(a[i] + a[i + 2] / 2, b[i] + b[i + 2] / 2) - max(a[i] - a[i + 2] / 2, b[i] - b[i + 2] / 2)
            for i in (0, 1))
    both = max(w, 0) * max(h, 0)
    return both / (a[2] * a[3] + b[2] * b[3] - both)


def darknet_deltas(raw: DenseRaw, rule: RegionRule, b: int, boxes: list[list[float]], labels: list[int],
                   young: bool) -> dict[str, np.ndarray]:
    """The released region layer for one picture, cell by cell: minus the gradients that it sends back. Boxes are (x, y,
    w, h) in cells."""
    pairs, cells = rule.anchors.pairs(), int(raw.image[0] / rule.coder.stride)  # type: ignore[attr-defined]
    assert raw.object is not None
    n = len(pairs)
    sig = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    t, o, x = (v[b].detach().double().numpy() for v in (raw.codes, raw.object, raw.logits))
    p = np.exp(x - x.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    out = {"codes": np.zeros_like(t), "object": np.zeros_like(o), "logits": np.zeros_like(x)}

    def box(k: int) -> list[float]:
        a, cell = k % n, k // n
        return [cell % cells + sig(t[k, 0]), cell // cells + sig(t[k, 1]), pairs[a][0] * np.exp(t[k, 2]),
                pairs[a][1] * np.exp(t[k, 3])]

    def aim(k: int, truth: list[float], scale: float) -> float:
        a, cell = k % n, k // n
        for i, corner in ((0, cell % cells), (1, cell // cells)):
            s = sig(t[k, i])
            out["codes"][k, i] = scale * (truth[i] - corner - s) * s * (1 - s)
            out["codes"][k, 2 + i] = scale * (np.log(truth[2 + i] / pairs[a][i]) - t[k, 2 + i])
        return iou_of(box(k), truth)

    for k in range(len(t)):
        s = sig(o[k])
        out["object"][k] = rule.no_object * (0 - s) * s * (1 - s)
        if max((iou_of(box(k), g) for g in boxes), default=0) > 0.6:
            out["object"][k] = 0
        if young:
            a, cell = k % n, k // n
            aim(k, [cell % cells + 0.5, cell // cells + 0.5, *pairs[a]], 0.01)
    for truth, label in zip(boxes, labels):
        fits = [iou_of([0, 0, *pairs[a]], [0, 0, *truth[2:]]) for a in range(n)]
        k = (int(truth[1]) * cells + int(truth[0])) * n + int(np.argmax(fits))
        iou = aim(k, truth, rule.coord * (2 - truth[2] * truth[3] / cells**2))
        s = sig(o[k])
        out["object"][k] = rule.object * ((iou if rule.rescore else 1) - s) * s * (1 - s)
        out["logits"][k] = rule.cls_weight * ((np.arange(x.shape[1]) == label) - p[k])
    return out


@pytest.mark.parametrize("rescore,young", [(True, False), (False, True), (True, True)])
@pytest.mark.oracle("the released layer's gradients, restated", "yolo_v2")
def test_gradients_are_those_of_the_released_region_layer(rescore: bool, young: bool) -> None:
    rule = awake(RegionRule(anchors=Priors((0.5, 0.6, 1.5, 1.2, 0.8, 2.4)), coder=DirectLocation(16), rescore=rescore),
                 100 if young else 0)
    # two want one prior: the last has it
    boxes = [[[0.3, 0.4, 0.5, 0.7], [1.7, 1.2, 1.4, 1.3], [1.6, 1.4, 1.5, 1.1]], [[2.5, 2.9, 0.7, 0.2]]]
    labels = [[1, 0, 2], [3]]
    raw = a_raw(rule, 4)
    # overlaps the first object by more than .6 and does not answer for it
    raw.codes.data[0, 3] = torch.tensor([-0.8, -0.4, 0.0, 0.15])
    corners = torch.zeros(2, 4, 4)
    for b, rows in enumerate(boxes):
        for k, (x, y, w, h) in enumerate(rows):
            corners[b, k] = 16 * torch.tensor([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    t = Targets(corners, torch.tensor([[1, 0, 2, -1], [3, -1, -1, -1]]))
    torch.stack(list(rule.loss(raw, t, 4).values())).sum().backward()
    for b in range(2):
        want = darknet_deltas(raw, rule, b, boxes[b], labels[b], young)
        for name, delta in want.items():
            got = getattr(raw, name).grad[b].double().numpy() * -2  # the mean over two pictures
            np.testing.assert_allclose(got, delta, atol=1e-5, err_msg=f"{name} of picture {b}")


def test_the_pull_ends_after_its_images_and_counts_in_training_alone() -> None:
    pull = Pull(In((3,), (1,)), images=20, weight=0.01).train()
    eight = torch.tensor(8.0)
    assert [round(pull(eight).item(), 4) for _ in range(4)] == [0.01, 0.01, 0.01, 0.0]
    pull.eval()
    seen = pull.seen.item()
    assert pull(eight) == 0 and pull.seen == seen == 32


def test_direct_location_stays_in_its_cell_and_comes_back() -> None:
    # a prior of 48 x 48 around the cell at (32, 40)
    coder, ref = DirectLocation(16), torch.tensor([[16.0, 24.0, 64.0, 72.0]])
    for code in torch.randn(50, 4) * 8:
        x1, y1, x2, y2 = coder.decode(ref, code[None])[0]
        assert 32 <= (x1 + x2) / 2 <= 48 and 40 <= (y1 + y2) / 2 <= 56
    code = torch.randn(20, 4)
    torch.testing.assert_close(coder.encode(ref.expand(20, 4), coder.decode(ref.expand(20, 4), code)), code,
                               rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(coder.decode(ref, torch.zeros(1, 4)), ref)


# ---------------------------------------------------------------- the tree


def by_hand(x: Tensor) -> dict[int, float]:
    """P of every node of TREE for one row of logits."""
    groups = [[5, 8], [0, 1, 4], [2, 3], [6, 7]]
    cond = {}
    for g in groups:
        for node, p in zip(g, x[g].softmax(0).tolist()):
            cond[node] = p
    up = {0: 8, 1: 8, 4: 8, 2: 0, 3: 0, 6: 5, 7: 5}
    out = {}
    for node in cond:
        p, at = cond[node], node
        while at in up:
            at = up[at]
            p *= cond[at]
        out[node] = p
    return out


@pytest.mark.oracle("products along paths", "yolo_v2")
def test_siblings_sum_to_one_paths_multiply_and_leaves_sum_to_one() -> None:
    x = torch.randn(7, 9)
    cond, joint = TREE.conditionals(x).exp(), TREE.joint(x).exp()
    for group in ([5, 8], [0, 1, 4], [2, 3], [6, 7]):
        torch.testing.assert_close(cond[:, group].sum(1), torch.ones(7))
    for row in range(7):
        want = by_hand(x[row])
        torch.testing.assert_close(joint[row], torch.tensor([want[i] for i in range(9)]))
    torch.testing.assert_close(joint[:, [1, 2, 3, 4, 6, 7]].sum(1), torch.ones(7))
    assert TREE.extra == 1 and TREE.scores(x).shape == (7, 8)


def test_the_loss_goes_up_the_path_and_not_below_the_label() -> None:
    x = torch.randn(1, 9, requires_grad=True)
    cost = TREE(x, torch.tensor([0]))  # an inner class
    assert cost.item() == pytest.approx(-np.log(by_hand(x[0].detach())[0]), rel=1e-5)
    (grad,) = torch.autograd.grad(cost.sum(), x)
    assert (grad[0, [2, 3, 6, 7]] == 0).all() and (grad[0, [0, 1, 4, 5, 8]] != 0).all()
    assert TREE(x, torch.tensor([8])).item() == 0  # background: nothing is paid
    flat = WordTree()
    torch.testing.assert_close(flat(x, torch.tensor([3])), F.cross_entropy(x, torch.tensor([3]), reduction="none"))


def slow_descent(x: Tensor, threshold: float) -> int:
    """The released code's way from the top."""
    children = {-1: [5, 8], 8: [0, 1, 4], 0: [2, 3], 5: [6, 7]}
    p, at = 1.0, -1
    while at in children:
        cond = x[children[at]].softmax(0)
        best = int(cond.argmax())
        if p * cond[best] <= threshold:
            return children[-1][best] if at == -1 else at
        p, at = p * float(cond[best]), children[at][best]
    return at


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.6])
def test_reading_from_the_top_is_the_released_walk(threshold: float) -> None:
    x = 2.5 * torch.randn(300, 9)
    node, p = TREE.descend(x, threshold)
    assert node.tolist() == [slow_descent(row, threshold) for row in x] and len(set(node.tolist())) > 5
    torch.testing.assert_close(p, TREE.joint(x).exp().gather(1, node[:, None])[:, 0])
    said = TREE.nearest_class(node, TREE.scores(x))
    assert ((said < 8) & ((node == 8) | (said == node))).all()
    stopped = node == 8
    under = TREE.scores(x)[:, [0, 1, 2, 3, 4]].argmax(1)
    # some child of three has a third
    assert torch.equal(said[stopped], under[stopped]) and (stopped.any() or threshold < 0.3)


def test_a_class_list_tells_its_tree() -> None:
    tree = WordTree.over(Classes(("dog", "husky", "cat", "car"), parent=("animal", "dog", "animal", "")))
    assert tree == WordTree((4, 0, 4, -1, -1), 4)
    info = scenes().info
    model: Any = stemma.build("yolo-v2", "yolo9000-small", info=info)
    assert model.rule.cls == WordTree((8, 8, 8, 8, 9, 9, 9, 9, -1, -1), 8) and model.head.k == 5 + 10
    assert WordTree.over(Classes(("a", "b"))) == WordTree()
    with pytest.raises(StemmaError, match="above itself"):
        WordTree.over(Classes(("a", "b"), parent=("b", "a")))


# ---------------------------------------------------------------- pictures without boxes


def mixed(rule: RegionRule, assume: float) -> tuple[DenseRaw, dict[str, Tensor]]:
    raw = a_raw(rule, 8, b=2)
    there = torch.zeros(2, 8)
    there[1, [2, 5]] = 1
    boxes = torch.zeros(2, 2, 4)
    boxes[0, 0] = torch.tensor([4.0, 4.0, 20.0, 24.0])
    t = Targets(boxes, torch.tensor([[3, -1], [-1, -1]]), image_labels=there, boxed=torch.tensor([True, False]))
    return raw, rule.loss(raw, t, 8)


@pytest.mark.parametrize("assume", [0.0, 0.9])
def test_a_picture_without_boxes_teaches_the_loudest_box_its_path_and_no_place(assume: float) -> None:
    rule = awake(RegionRule(anchors=Priors((0.5, 0.6, 1.5, 1.2)), coder=DirectLocation(16), cls=TREE, labels=8,
                            assume=assume))
    raw, losses = mixed(rule, assume)
    assert raw.object is not None
    p = raw.object[1].sigmoid()[:, None] * TREE.scores(raw.logits[1])
    best = {label: int(p[:, label].argmax()) for label in (2, 5)}
    want = sum(TREE(raw.logits[1, k][None], torch.tensor([label])) for label, k in best.items()) / 2
    torch.testing.assert_close(losses["image"], want[0])
    torch.stack(list(losses.values())).sum().backward()
    grads = {k: getattr(raw, k).grad[1] for k in ("codes", "object", "logits")}
    assert (grads["codes"] == 0).all()
    assert set(grads["logits"].abs().sum(1).nonzero().flatten().tolist()) == set(best.values())
    others = [k for k in range(len(p)) if k not in best.values()]
    assert (grads["object"][others] > 0).all()  # they learn that they are nothing
    chosen = grads["object"][sorted(set(best.values()))]
    assert (chosen == 0).all() if assume == 0 else (chosen < 0).all()
    if assume == 0:
        assert raw.logits.grad is not None and (raw.logits.grad[0].abs().sum(1) > 0).sum() == 1


def test_the_classifier_is_softmax_of_the_mean_over_the_cells() -> None:
    model: Any = stemma.build("yolo-v2", "classifier-small", classes=8)
    assert isinstance(model.rule, ImageRule)
    images = torch.rand(2, 3, 64, 64)
    raw = model.eval()(images)
    t = Targets(torch.zeros(2, 1, 4), torch.tensor([[3], [6]]))
    torch.testing.assert_close(model.rule.loss(raw, t, 8)["cls"],
                               F.cross_entropy(raw.logits.mean(1), torch.tensor([3, 6])))
    d = model.predict(images)
    assert torch.equal(d.scores.sort(1, descending=True).values, d.scores) and d.scores.sum(1).allclose(torch.ones(2))


def test_the_detector_begins_from_the_classifier(tmp_path: Path) -> None:
    first = short(tmp_path / "classifier", "2steps", paper="yolo-v2", preset="classifier-small", val_every=0)
    run = short(tmp_path / "detector", "1steps", paper="yolo-v2", preset="yolo9000-small", start=str(first.path),
                val_every=0, sets={"recipe.lr": 0.0, "recipe.other_lr": 0.0})
    names = [k for k in checkpoint.read_tensors(first.last)[0] if k.startswith("backbone") and k.endswith("weight")]
    begun = run.record["start"]
    assert begun["taken"] >= len(names) > 5 and not [k for k in begun["left"] if k.startswith("backbone")]


# ---------------------------------------------------------------- training: sizes by tens, anchors kept, resume


def test_a_size_is_held_for_ten_batches_and_depends_on_the_step_alone() -> None:
    data = scenes(24)
    recipe = Recipe(batch=4, resize=Resize("letterbox", 64, scales=(32, 64, 96), hold=10))
    loader = Loader(data, recipe, train=True, batch=4, seed=3)
    sides = [b.images.shape[-1] for epoch in range(10) for b in loader.epoch(epoch)]
    assert len(sides) == 60 and len(set(sides)) > 1
    assert all(len(set(sides[k : k + 10])) == 1 for k in range(0, 60, 10))
    again = Loader(data, recipe, train=True, batch=4, seed=3)
    assert [b.images.shape[-1] for b in again.epoch(7, start=2)] == sides[44:48]


def test_anchors_are_found_in_the_data_and_kept_by_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = short(tmp_path / "run", "2steps", paper="yolo-v2", save_every="1steps")
    found = tuple(run.record["measured"]["rule.anchors.sizes"])
    shapes = np.concatenate([scenes().truth(i).boxes for i in range(24)])
    want, _ = kmeans((shapes[:, 2:] - shapes[:, :2]) / 16, 5)
    np.testing.assert_allclose(np.array(found).reshape(5, 2), want, atol=1e-4)
    loaded: Any = stemma.load(run.path)
    assert loaded.spec.rule.anchors.sizes == found and run.record["spec"]["rule.anchors.sizes"] == list(found)

    def never(*a: Any) -> None:
        raise AssertionError("measured twice")

    monkeypatch.setattr("stemma.engine.pictures.measured.network_boxes", never)
    again = short(tmp_path / "run", "4steps", paper="yolo-v2", save_every="1steps", resume=True)
    assert tuple(again.record["measured"]["rule.anchors.sizes"]) == found and again.record["spent"]["steps"] == 4


def test_the_user_s_anchors_stand(tmp_path: Path) -> None:
    sets = {"rule.anchors.sizes": (1.0, 1.0, 2.0, 2.0)}
    run = short(tmp_path / "run", "1steps", paper="yolo-v2", sets=sets, val_every=0)
    loaded: Any = stemma.load(run.path)
    assert run.record["measured"] == {} and loaded.spec.rule.anchors.sizes == sets["rule.anchors.sizes"]
    assert (stemma.build("yolo-v2", "paper", classes=20).spec.rule.anchors.sizes  # type: ignore[union-attr]
            == Priors().sizes)


def test_stopped_at_every_step_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pull's count, the size of the hour and the mixture of two data sets all go on as if nothing had happened."""
    from stemma.data.mix import Labelled, Mixture

    data = Mixture([scenes(6), Labelled(scenes(10))], (2, 1))
    sets = {"recipe.resize.scales": (32, 64, 96), "recipe.resize.hold": 2}
    settings: dict[str, Any] = {
        "budget": "5steps", "paper": "yolo-v2", "preset": "yolo9000-small", "save_every": "1steps", "data": data,
        "val": scenes(2, "val"), "val_every": 0, "sets": sets,
    }
    alone, pieces = alone_and_in_pieces(tmp_path, monkeypatch, 4, **settings)
    assert [(r.path / "last.safetensors").read_bytes() for r in (alone,)] == [(pieces.path / "last.safetensors")
                                                                              .read_bytes()]
    tensors = checkpoint.read_tensors(pieces.path / "last.safetensors")[0]
    assert tensors["memory.pull.seen"].item() == 20
    losses = list(pieces.metrics("train"))[-1]["losses"]
    assert set(losses) == {"box", "object", "cls", "image", "pull"}
