"""What every vision paper must do, whatever it is: one battery over all papers at their small preset on drawn
scenes."""
from __future__ import annotations

import functools
import inspect
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stemma
from learning import Learned
from stemma.core import paper as cards
from stemma.core.types import Batch, Detections, PanopticMap, SemanticMap, StemmaError, Targets
from stemma.data.loader import Loader
from stemma.data.scenes import Scenes
from stemma.engine.pictures import export as exports
from stemma.engine.pictures import outside

VISION = [n for n in cards.names() if cards.get(n).task in ("detection", "instances", "keypoints", "semantic",
                                                            "panoptic", "proposals", "weak", "amodal")]
SMALL = [(n, p) for n in VISION for p in cards.get(n).presets if p == "small" or p.endswith("-small")]
each = pytest.mark.parametrize("name,preset", SMALL)
# two windows of a lattice overlap by just .8, which float64, asked one by one, and float32, in a graph, take differently
BESIDE = {k: {"modal.rule.nms": 0.81} for k in (("semantic_amodal", "expand-small"), ("amodal_instance", "small"))}


@functools.cache
def scenes(count: int = 8) -> Scenes:
    return Scenes(count, size=128, seed=3, split="train")


def model_of(name: str, preset: str, seed: int = 0, sets: dict[str, Any] | None = None) -> Any:
    torch.manual_seed(seed)
    card = cards.get(name)
    info = scenes().info
    return stemma.build(name, preset=preset, sets=sets, classes=len(info.classes_for(card.task_of(preset))), info=info)


def batch_of(name: str, preset: str, count: int = 2, epoch: int = 0) -> Batch:
    card = cards.get(name)
    model = model_of(name, preset)
    plain = replace(card.recipe(preset), augment=type(card.recipe(preset).augment)(flip=0.0))
    if outside.wants(plain):  # boxes near the truth and far from it, at once
        plain = replace(plain, proposals=replace(plain.proposals, kind="jitter", count=48))
    data = outside.with_proposals(scenes(), plain)
    needs = outside.needed(plain) | frozenset({"boxes", "masks", "amodal", "keypoints", "semantic",
                                                "panoptic"})
    return next(iter(Loader(data, plain, train=True, batch=count, mean=model.spec.preprocess.mean, needs=needs, seed=1)
                     .epoch(epoch)))


def more(model: Any, batch: Batch, of: str = "predict") -> dict[str, Tensor]:
    """The boxes from outside that a method of the model takes besides the pictures."""
    given = outside.given(model.recipe, batch)
    return given if "proposals" in inspect.signature(getattr(model, of)).parameters else {}


def tensors(raw: Any) -> list[Tensor]:
    """Every tensor of a raw output, depth first."""
    if isinstance(raw, Tensor):
        return [raw]
    if isinstance(raw, dict):
        raw = list(raw.values())
    if isinstance(raw, (list, tuple)):
        return [t for r in raw for t in tensors(r)]
    if hasattr(raw, "__dataclass_fields__"):
        return [t for f in fields(raw) for t in tensors(getattr(raw, f.name))]
    return []


def total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


def padded(t: Targets, more: int) -> Targets:
    """The same objects with `more` empty places."""
    def pad(v: Tensor | None, fill: float) -> Tensor | None:
        return None if v is None else torch.cat([v, v.new_full((len(v), more, *v.shape[2:]), fill)], 1)
    places = {"boxes": 0, "labels": -1, "crowd": 0, "masks": 0, "amodal": 0, "keypoints": 0}
    return replace(t, **{k: pad(getattr(t, k), fill) for k, fill in places.items()})


@each
def test_losses_are_finite_and_every_parameter_learns(name: str, preset: str) -> None:
    # as training lays maps out
    layout = torch.channels_last if cards.get(name).recipe(preset).channels_last else torch.contiguous_format
    model, batch = model_of(name, preset).train().to(memory_format=layout), batch_of(name, preset)
    losses = model.loss(replace(batch, images=batch.images.contiguous(memory_format=layout)))
    assert losses and all(v.ndim == 0 and torch.isfinite(v) for v in losses.values()), losses
    total(losses).backward()
    silent = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not silent, silent


@each
def test_more_padding_changes_no_loss(name: str, preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # a sampler's draw must not see the padding
    monkeypatch.setattr(torch, "rand_like", lambda x, **_: torch.zeros_like(x, dtype=torch.float32) + 0.5)
    model, batch = model_of(name, preset).eval(), batch_of(name, preset)
    one = model.loss(batch)
    two = model.loss(replace(batch, targets=padded(batch.targets, 2)))
    for k in one:
        torch.testing.assert_close(one[k], two[k], rtol=1e-5, atol=1e-6)


@each
def test_a_batch_of_two_is_two_batches_of_one(name: str, preset: str) -> None:
    model, batch = model_of(name, preset).eval(), batch_of(name, preset)
    with torch.no_grad():
        boxes = more(model, batch, "forward")
        whole = tensors(model(batch.images, **boxes))
        halves = [tensors(model(batch.images[i : i + 1], **{k: v[i : i + 1] for k, v in boxes.items()}))
                  for i in range(2)]
    for j, w in enumerate(whole):
        if w.ndim and len(w) == 2:
            torch.testing.assert_close(w, torch.cat([h[j] for h in halves]), rtol=1e-3, atol=1e-4)


@each
def test_predictions_lie_in_the_picture_best_first(name: str, preset: str) -> None:
    model, batch = model_of(name, preset).eval(), batch_of(name, preset)
    out = model.predict(batch.images, batch.sizes, **more(model, batch))
    h, w = batch.images.shape[-2:]
    if isinstance(out, Detections):
        assert (out.boxes >= 0).all() and (out.boxes[..., [0, 2]] <= w).all() and (out.boxes[..., [1, 3]] <= h).all()
        assert (out.scores.diff(dim=1) <= 1e-6).all() and ((out.labels >= -1) & (out.labels < model.classes)).all()
        assert not out.boxes.requires_grad
    elif isinstance(out, SemanticMap):
        assert out.labels.shape[-2:] == (h, w) and ((out.labels >= 0) & (out.labels < model.classes)).all()
    else:
        assert isinstance(out, PanopticMap)
        assert out.ids.shape[-2:] == (h, w) and (out.ids.amax((1, 2)) <= out.labels.shape[1]).all()


@each
def test_pictures_without_objects_train(name: str, preset: str) -> None:
    model, batch = model_of(name, preset).train(), batch_of(name, preset)
    t = batch.targets
    semantic = None if t.semantic is None else torch.zeros_like(t.semantic)
    empty = replace(t, boxes=t.boxes * 0, labels=torch.full_like(t.labels, -1), semantic=semantic,
                    masks=None if t.masks is None else torch.zeros_like(t.masks))
    losses = model.loss(replace(batch, targets=empty))
    total(losses).backward()
    assert all(torch.isfinite(v) for v in losses.values())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@each
def test_the_same_seed_gives_the_same_loss(name: str, preset: str) -> None:
    batch = batch_of(name, preset)
    runs = []
    for _ in range(2):
        model = model_of(name, preset, seed=5).train()
        torch.manual_seed(7)
        runs.append(total(model.loss(batch)).item())
    assert runs[0] == runs[1]


@each
def test_saved_and_loaded_it_says_the_same(name: str, preset: str, tmp_path: Path) -> None:
    model, batch = model_of(name, preset).eval(), batch_of(name, preset)
    path = tmp_path / "net.safetensors"
    stemma.save(path, model)
    again = stemma.load(path).eval()
    one, two = (m.predict(batch.images, **more(m, batch)) for m in (model, again))
    for a, b in zip(tensors(one), tensors(two)):
        assert torch.equal(a, b)


@pytest.mark.slow
@each
def test_the_exported_graph_says_the_same(name: str, preset: str) -> None:
    model, batch = model_of(name, preset, sets=BESIDE.get((name, preset))).eval(), batch_of(name, preset)
    with torch.no_grad():
        boxes = more(model, batch, "forward")
        graph = torch.export.export(model, (batch.images,), boxes).module()
        for a, b in zip(tensors(model(batch.images, **boxes)), tensors(graph(batch.images, **boxes))):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@each
def test_predictions_are_written_as_onnx(name: str, preset: str, tmp_path: Path) -> None:
    """As `stemma export` does it: read back, run and held by what the model says. What no graph can hold is said."""
    pytest.importorskip("onnxruntime")
    model = model_of(name, preset).eval()
    why = next((said for x in (model, getattr(model, "rule", None)) if (said := getattr(x, "no_graph", ""))), "")
    if why:
        with pytest.raises(StemmaError, match="predicts what no graph can hold"):
            exports.export(model, tmp_path / "m.onnx")
    else:
        done = exports.export(model, tmp_path / "m.onnx")
        assert done["bytes"] > 0 and done.get("compared", 1) > 0


@pytest.mark.slow
@each
def test_the_loss_compiles_as_one_graph(name: str, preset: str) -> None:
    model, batch = model_of(name, preset).train(), batch_of(name, preset)

    def step(images: Tensor, targets: Targets) -> Tensor:
        return total(model.loss(replace(batch, images=images, targets=targets)))

    before = {k: v.clone() for k, v in model.state_dict().items()}
    torch.manual_seed(0)
    eager = step(batch.images, batch.targets)
    model.load_state_dict(before)  # what the loss or its norms remember
    torch._dynamo.reset()
    torch.manual_seed(0)
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")(batch.images, batch.targets)
    torch.testing.assert_close(eager, compiled, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@each
def test_one_batch_is_learned_by_heart(name: str, preset: str, learned: Learned) -> None:
    model, batch = model_of(name, preset).train(), batch_of(name, preset)
    # one class a picture: of several no single answer is right, and the loss has a floor
    if preset == "classifier-small":
        labels = batch.targets.labels.clone()
        labels[:, 1:] = -1
        batch = replace(batch, targets=replace(batch.targets, labels=labels, image_labels=None))
    optimizer, seen, most = torch.optim.AdamW(model.parameters(), 2e-3), list[float](), 200
    while len(seen) < most and not (len(seen) >= 5 and sum(seen[-5:]) / 5 < 0.5 * seen[0]):
        optimizer.zero_grad()
        loss = total(model.loss(batch))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        seen.append(loss.item())
    steps = len(seen) if len(seen) < most else math.inf
    learned("steps to half of the loss", steps, at_most=most, untrained=math.inf)


@pytest.mark.slow
@each
def test_half_precision_trains_and_measures(name: str, preset: str, tmp_path: Path) -> None:
    """`auto` chooses bf16 on a processor that is faster with it; every operator has to take it."""
    run = stemma.train(name, Scenes(8, size=128, seed=1), "1steps", preset, tmp_path / "run",
                       val=Scenes(2, size=128, seed=1, split="val"), precision="bf16",
                       batch=4, progress=False, val_every=0)
    said = stemma.evaluate(run, Scenes(2, size=128, seed=1, split="val"), precision="bf16")
    assert said["images"] == 2 and run.state == "finished"
