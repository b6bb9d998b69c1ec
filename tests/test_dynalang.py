"""Dynalang: what a token is, the agent to which nothing is said, HomeGrid's sentences, reading and watching before
acting, and what is taken over from it."""
from __future__ import annotations

import json
import os
import pickle
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

pytest.importorskip("gymnasium", reason="worlds need gymnasium: pip install 'stemma-vision[worlds]'")

import stemma
from engine_help import lived_in_pieces, thrown_alike
from learning import Learned
from stemma.core import paper as cards
from stemma.core.part import In, part
from stemma.core.types import DataError, StemmaError
from stemma.data.worlds import envs, homegrid, partly
from stemma.data.worlds.plain import plain
from stemma.engine.running import checkpoint
from stemma.engine.running.runs import Run
from stemma.engine.worlds import agents, lives, reading
from stemma.papers.worlds import dreamerv3, dynalang
from stemma.parts.worlds import latents
from stemma.parts.worlds.blocks import NormedGRU
from stemma.parts.worlds.latents import Categorical
from stemma.parts.worlds.masked import MaskedRSSM
from stemma.parts.worlds.normed import NumbersEncoder
from stemma.parts.worlds.tokens import TokenEncoder, TokenHead

TINY = {"dynamics.cell.size": 16, "dynamics.cell.hidden": 6, "dynamics.hidden": 6, "behaviour.horizon": 2}
PICTURE = {"heads.0.net.deter": 16, "heads.0.net.depth": 2, "senses.0.net.depth": 2}
SHORT = {"recipe.life.first.0.amount": 2, "recipe.life.then.0.amount": 2, "recipe.life.then.0.sequence": 6,
         "recipe.batch": 4}


def info_of(inputs: Any = (("image", 0), ("token", 9)), choices: tuple[int, ...] = (3,)) -> Any:
    """A world that shows and says something, of which there is no more than its shape."""
    from stemma.core.types import Classes, Info

    names = tuple(f"choice {i}" for i in range(sum(choices)))
    return Info("nowhere", "env", Classes(names), ("reward", "terminal"), inputs=inputs, choices=choices)


def tiny(paper: str = "dynalang", preset: str = "small", info: Any = None, **sets: Any) -> Any:
    torch.manual_seed(0)
    info = info or info_of()
    own = TINY | (PICTURE if dict(info.inputs).get("image") == 0 else {})
    return checkpoint.build(paper, preset, sets=own | sets, info=info)


def batch_of(m: Any, b: int = 3, t: int = 6) -> dict[str, Tensor]:
    g, px = torch.Generator().manual_seed(1), m.spec.pixels
    batch = {"action": F.one_hot(torch.randint(m.classes, (b, t), generator=g), m.classes).float(),
             "reward": torch.randn(b, t, generator=g), "first": torch.rand(b, t, generator=g) < 0.2,
             "terminal": torch.rand(b, t, generator=g) < 0.1}
    for s in m.spec.senses:
        batch[s.channel] = (torch.randint(0, s.width, (b, t), generator=g) if s.channel == "token" else
                            torch.randn(b, t, s.width, generator=g) if s.width else torch.randint(
                                0, 256, (b, t, px.size, px.size, px.channels), dtype=torch.uint8, generator=g))
    return batch


# ---------------------------------------------------------------- sizes and parts


def summed(vocabulary: int, table: bool) -> int:
    """The weights of nets.py at the largest size, layer by layer; a restatement. `table`: tokens are told by number."""
    deter, units, z, depth, layers, actions, norm = 4096, 1024, 32 * 32, 96, 5, 1, 2
    lin, layer = lambda a, b: a * b + b, lambda a, b: a * b + norm * b
    tall = lambda n, a, out: layer(a, units) + (n - 1) * layer(units, units) + lin(units, out)
    c = [3, *(depth * 2**i for i in range(4))]
    seen, f = c[-1] * 16 + units, deter + z
    cell = layer(z + actions, units) + (deter + units) * 3 * deter + norm * 3 * deter
    believe = layer(deter, units) + lin(units, z) + layer(deter + seen, units) + lin(units, z) + deter
    pictures = sum(16 * a * b + norm * b for a, b in zip(c, c[1:]))
    pictures += lin(f, c[-1] * 16) + sum(16 * a * b + norm * b for a, b in zip(c[:1:-1], c[-2:0:-1])) + 16 * c[1] * 3 + 3
    words = layer(vocabulary, units) + (layers - 1) * layer(units, units) + tall(layers, f, vocabulary)
    assert table or vocabulary == 512
    return (cell + believe + pictures + words + tall(layers, f, 255) * 2 + tall(layers, f, 1)
            + tall(layers, f, 2 * actions))


@pytest.mark.oracle("parameters", "dynalang", how="a restatement, layer by layer")
def test_the_published_sizes_have_their_weights() -> None:
    facts = {f.variant: f.value for f in cards.get("dynalang").facts}
    for preset, width in (("", dynalang.VOCABULARY), ("embedded", dynalang.EMBEDDED)):
        with torch.device("meta"):
            model: Any = dynalang.spec(preset or "paper").build(1)
        assert sum(p.numel() for p in model.parameters()) == facts[preset] == summed(width, not preset)
    assert dynalang.spec("text") == dynalang.spec("paper")


@pytest.mark.parametrize("norm", ["rms", "layer"])
def test_a_token_is_its_one_hot_through_the_same_layers(norm: str) -> None:
    a = TokenEncoder(In((7,), (1,)), units=5, layers=2, norm=norm)
    b = NumbersEncoder(In((7,), (1,)), units=5, layers=2, norm=norm, squash=False)
    b.load_state_dict(a.state_dict())
    said = torch.arange(7.0)
    hot = F.one_hot(said.long(), 7).float()
    torch.testing.assert_close(a(said)[1:], b(hot)[1:])
    assert not a(said)[0].any()
    for net, x in ((a, said), (b, hot)):
        (net(x)[1:].square().sum()).backward()
    for p, q in zip(a.parameters(), b.parameters()):
        torch.testing.assert_close(p.grad, q.grad)


@pytest.mark.oracle("token likelihood", "dynalang", how="torch.distributions.Categorical")
def test_the_token_head_is_a_categorical() -> None:
    head = TokenHead(In((4,), (1,), logits=9), units=6, layers=1, norm="rms")
    said, truth = head(torch.randn(5, 4)), torch.tensor([0.0, 3, 8, 1, 2])
    torch.testing.assert_close(head.loss(said, truth), -torch.distributions.Categorical(logits=said).log_prob(truth))
    torch.testing.assert_close(head.mean(said).sum(-1), torch.ones(5))


# ---------------------------------------------------------------- the agent to which nothing is said


def paired(preset: str = "small") -> tuple[Any, Any]:
    """DreamerV3, and Dynalang with the same weights where both have them."""
    base = "conv-small" if preset == "small" else "first-s"
    own = {"dynamics.cell.size": 16, "dynamics.hidden": 8}
    silent = tiny("dreamerv3", base, info_of((("image", 0),)), **(own if preset != "small" else {}))
    model = tiny(preset=preset)
    mine, theirs = model.state_dict(), silent.state_dict()
    for k, v in theirs.items():
        if mine[k].shape == v.shape:
            mine[k] = v
        else:  # one layer reads what is seen; its columns for the token are new
            assert k == "dynamics.see.weight"
            mine[k] = torch.cat([v, mine[k][:, v.shape[1] :]], 1)
    model.load_state_dict(mine)
    return silent, model


def test_with_tokens_at_padding_it_is_dreamerv3() -> None:
    """The same seeds, the same losses, through updates too where the token's own loss has no weight."""
    silent, model = paired()
    batch = batch_of(model)
    batch["token"][:] = 0
    quiet = {k: v for k, v in batch.items() if k != "token"}
    optimizers = [torch.optim.Adam(m.parameters(), 1e-3) for m in (silent, model)]
    for step in range(3):
        losses = []
        for m, b in ((silent, quiet), (model, batch)):
            torch.manual_seed(step)
            losses.append(m.loss(b))
        assert set(losses[1]) - set(losses[0]) == {"token"}
        for k, v in losses[0].items():
            torch.testing.assert_close(losses[1][k], v, rtol=1e-4, atol=1e-5)
        for m, own, o in zip((silent, model), losses, optimizers):
            m.zero_grad()
            torch.stack([v for k, v in own.items() if k != "token"]).sum().backward()
            o.step()
            m.updated()
    heard = [n for n, p in model.named_parameters() if n.startswith("senses.token") and p.grad is not None
             and p.grad.any()]
    assert not heard


def test_silence_is_soon_foreseen(learned: Learned) -> None:
    model = tiny().train()
    batch = batch_of(model)
    batch["token"][:] = 0
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for i in range(40):
        loss = model.loss(batch, "^token$")["token"]
        first = float(loss.detach()) if i == 0 else first
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    learned("nats of silence", float(loss.detach()), at_most=0.1, untrained=first)


def test_where_nothing_is_said_it_is_dreamerv3s_value() -> None:
    world = info_of((("image", 0), ("vector", 4)))
    for preset in ("small", "embedded-small"):
        mute = dynalang.prepare(dynalang.spec(preset), world)
        assert [s.channel for s in mute.senses] == ["image", "vector"] == [h.channel for h in mute.heads][:2]
        theirs = dreamerv3.prepare(dreamerv3.spec("conv-small"), world)
        assert (mute.senses, mute.heads, mute.dynamics) == (theirs.senses, theirs.heads, theirs.dynamics)
    heard = dynalang.prepare(dynalang.spec("embedded-small"), info_of((("image", 0), ("token", 9), ("token_embed", 6))))
    assert [(s.channel, s.width) for s in heard.senses] == [("image", 0), ("token_embed", 6)]
    text = dynalang.prepare(dynalang.spec("small"), info_of((("token", 9),)))
    assert [h.channel for h in text.heads] == ["reward", "terminal", "token"] and text.senses[0].width == 9
    assert not [s for s in dreamerv3.prepare(dreamerv3.spec("small"), info_of()).senses if s.channel != "image"]


@pytest.mark.parametrize("preset, inputs", [
    ("small", (("image", 0), ("token", 9))), ("early-small", (("image", 0), ("token", 9))),
    ("token-small", (("image", 0), ("token", 9))), ("masked-small", (("image", 0), ("token", 9))),
    ("token-small", (("image", 0),)), ("small", (("vector", 4), ("token", 9))),
    ("embedded-small", (("image", 0), ("token_embed", 6))), ("small", (("token", 9),))])
def test_every_weight_learns_and_losses_are_numbers(preset: str, inputs: Any) -> None:
    m = tiny(preset=preset, info=info_of(inputs)).train()
    with torch.no_grad():  # heads that begin at nothing let no gradient through
        for head in (m.nets["reward"], m.critic):
            nn.init.normal_(head.net[-1].weight, std=0.1)
    losses = m.loss(batch_of(m))
    assert {k for k, _ in inputs} | {"reward", "terminal", "kl", "actor", "critic", "replay"} == set(losses)
    assert all(v.isfinite() and v.ndim == 0 for v in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    assert not [n for n, p in m.named_parameters() if p.grad is None]


def test_what_a_batch_lacks_is_not_looked_at_and_teaches_nothing() -> None:
    """Text without pictures: the picture's code is zeros, its encoder and decoder get no gradient; and the other way."""
    m = tiny().train()
    for lacks, sense in (("image", "senses.image"), ("token", "senses.token")):
        batch = {k: v for k, v in batch_of(m).items() if k != lacks}
        width = [m.senses[s.channel].out.channels[0] for s in m.spec.senses]
        code = m.encode(batch).split(width, -1)[0 if lacks == "image" else 1]
        assert not code.any()
        m.zero_grad(set_to_none=True)
        losses = m.loss(batch, "^(image|token|kl)$")
        assert lacks not in losses and len(losses) == 2
        torch.stack(list(losses.values())).sum().backward()
        assert not [n for n, p in m.named_parameters() if n.startswith((sense, f"heads.{lacks}")) and p.grad is not None
                    and p.grad.any()]


def test_a_token_may_be_learned_from_before_it_is_heard() -> None:
    """heads.N.foreseen: the same loss on beliefs that have not seen the step, where it does not begin a life."""
    plain_, more = (tiny(**{"heads.3.foreseen": x}) for x in (0.0, 0.5))
    more.load_state_dict(plain_.state_dict())
    batch = batch_of(plain_)
    out, _, priors = thrown_alike((plain_, more), batch, "token")
    nll = -more.said("token", priors).gather(-1, batch["token"][..., None].long())[..., 0].log()
    told = ~batch["first"]
    torch.testing.assert_close(out[1] - out[0], 0.5 * nll[told].mean(), rtol=1e-4, atol=1e-5)


def test_an_early_belief_is_drawn_from_the_frame_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """z_t of what is seen at t, whatever was before; foreseen from the memory before it and the action; the memory then
    holds it. A life within a sequence is one of its own."""
    monkeypatch.setattr(latents, "chosen", lambda weights: weights.argmax(-1))
    m = tiny(preset="early-small")
    d, g = m.dynamics, torch.Generator().manual_seed(0)
    code = torch.randn(2, 6, m.senses["image"].out.channels[0] + m.senses["token"].out.channels[0], generator=g)
    action, first = torch.rand(2, 6, 3, generator=g), torch.zeros(2, 6, dtype=torch.bool)
    first[:, [0, 4]] = True
    posts, priors = d.observe(code, action, first)
    other, _ = d.observe(torch.cat([code[:, :3] + 1, code[:, 3:]], 1), action, first)
    torch.testing.assert_close(other["logits"][:, 3:], posts["logits"][:, 3:])
    assert (other["deter"][:, 3] != posts["deter"][:, 3]).any()
    torch.testing.assert_close(other["deter"][:, 4:], posts["deter"][:, 4:])
    alone, _ = d.observe(code[:, 4:], action[:, 4:], first[:, 4:])
    torch.testing.assert_close(alone["deter"], posts["deter"][:, 4:])
    by_hand = d.cell(posts["stoch"][:, 2], action[:, 2], posts["deter"][:, 1])
    torch.testing.assert_close(posts["deter"][:, 2], by_hand)
    foreseen = d.latent.stats(d.expect(torch.cat([posts["deter"][:, 1], action[:, 2]], 1)))
    torch.testing.assert_close(priors["logits"][:, 2], foreseen["logits"])
    losses = tiny(preset="early-small", **{"heads.3.reads": ("deter",)}).train().loss(batch_of(m))
    assert all(v.isfinite() for v in losses.values()) and "token" in losses
    state = stemma.build("dynalang", "early-small", classes=2).dynamics.initial(torch.zeros(1), 2)
    assert set(state) == {"logits", "stoch", "deter"}


def test_heads_actor_and_critic_of_the_early_preset_read_the_memory_alone() -> None:
    """configs.yaml: all five inputs are [deter]. What is foreseen, done and judged changes with nothing else."""
    spec = cards.get("dynalang").spec("early")
    assert {h.reads for h in spec.heads} == {("deter",)} == {spec.actor["reads"], spec.judged}
    heads = {f"heads.{i}.reads": ("deter",) for i in (1, 2, 3)}
    m = tiny(preset="early-small", **heads, **{"actor.reads": ("deter",), "judged": ("deter",)})
    path = m.dynamics.features(m.dynamics.observe(*(torch.randn(2, 3, n) for n in (
        m.senses["image"].out.channels[0] + m.senses["token"].out.channels[0], 3)), torch.zeros(2, 3, dtype=torch.bool))[0])
    wide = m.dynamics.latent.width
    other = torch.cat([path[..., :wide] + 1, path[..., wide:]], -1)
    for one, two in zip((*m.foretold(path), m.value(path.flatten(0, 1))), (*m.foretold(other), m.value(other.flatten(0, 1)))):
        torch.testing.assert_close(one, two)
    losses = m.train().loss(batch_of(m))
    assert all(v.isfinite() for v in losses.values()) and {"actor", "critic", "reward", "terminal"} <= set(losses)
    with pytest.raises(StemmaError, match="critic reads cell"):
        tiny(preset="early-small", judged=("cell",))


def test_text_is_read_once_as_its_authors_read_it() -> None:
    """A shard's words once an epoch: as many are learned from as come in."""
    life = cards.get("dynalang").recipe("text").life
    assert life is not None and life.then[0].ratio == 1 and life.then[1].amount == 512


def test_words_apart_are_taken_in_as_they_are_and_foreseen_beside_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """TokenRSSM: the frame's classes are of the frame alone, the memory takes in the token's one-hot, and the memory
    before and the action foresee both; the token's loss is the cross-entropy of what was foreseen."""
    monkeypatch.setattr(latents, "chosen", lambda weights: weights.argmax(-1))
    m = tiny(preset="token-small")
    d, batch = m.dynamics, batch_of(m)
    batch["first"][:] = False
    posts, priors = d.observe(m.encode(batch), batch["action"], batch["first"])
    other = batch | {"token": (batch["token"] + 1) % 9}
    again, _ = d.observe(m.encode(other), other["action"], other["first"])
    torch.testing.assert_close(again["logits"], posts["logits"])
    assert (again["deter"] != posts["deter"]).any() and d.words == 9
    hot = F.one_hot(batch["token"][:, 2].long(), 9).float()
    by_hand = d.cell(torch.cat([posts["stoch"][:, 2], hot], 1), batch["action"][:, 2], posts["deter"][:, 1])
    torch.testing.assert_close(posts["deter"][:, 2], by_hand)
    raw = d.expect(torch.cat([posts["deter"][:, 1], batch["action"][:, 2]], 1))
    torch.testing.assert_close(priors["words"][:, 2], raw[:, -9:].log_softmax(1))
    torch.testing.assert_close(posts["words"][:, 2].exp(), hot)
    nll = F.cross_entropy(priors["words"].flatten(0, 1), batch["token"].flatten().long())
    torch.testing.assert_close(m.loss(batch, "^token$")["token"], nll)
    torch.testing.assert_close(reading.surprise(m, batch, draws=2).mean(), F.cross_entropy(
        priors["words"][:, 1:].flatten(0, 1), batch["token"][:, 1:].flatten().long()))


def test_classes_foreseen_together_can_hang_together(learned: Learned) -> None:
    """MaskedRSSM: four groups that are always alike. Each by itself they agree by chance; together nearly always."""
    torch.manual_seed(0)
    d = MaskedRSSM(In((6,), (1,), actions=1), Categorical(4, 4), part(NormedGRU, size=8, hidden=8), 8, embed=16, layers=1,
                   heads=2, wide=32, learned=False)
    optimizer = torch.optim.Adam(d.parameters(), 1e-2)
    deter = torch.zeros(64, 8)
    alike = lambda: float((lambda i: (i == i[:, :1]).all(1).float())(d.drawn({"deter": torch.zeros(512, 8)}).unflatten(
        1, (4, 4)).argmax(-1)).mean())
    before = alike()
    for _ in range(150):
        hot = F.one_hot(torch.randint(4, (64, 1)).expand(64, 4), 4).float().flatten(1)
        post = {"stoch": hot, "logits": d.latent.stats(hot * 20)["logits"], "deter": deter}
        loss = d.divergence(post, d._foreseen(deter, posts=post)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    learned("part that is not alike", 1 - alike(), at_most=0.4, untrained=1 - before)


def test_what_is_hidden_counts_and_all_is_filled_in() -> None:
    m = tiny(preset="masked-small").train()
    d, batch = m.dynamics, batch_of(m)
    posts, priors = d.observe(m.encode(batch), batch["action"], batch["first"])
    assert "hidden" not in posts and 0 < priors["hidden"].float().mean() < 1
    each = torch.distributions.kl_divergence(*(torch.distributions.Categorical(logits=s["logits"])
                                               for s in (posts, priors)))
    by_hand = torch.where(priors["hidden"], each, 0).sum(-1) / priors["hidden"].sum(-1)
    torch.testing.assert_close(d.divergence(posts, priors), by_hand)
    with torch.no_grad():
        ahead = d.prior({k: v[:, 0] for k, v in posts.items()}, batch["action"][:, 0])
    assert (ahead["stoch"].unflatten(-1, (16, 8)).sum(-1) == 1).all() and ahead["hidden"].all()
    torch.manual_seed(0)
    one = d.prior({k: v[:, 0] for k, v in posts.items()}, batch["action"][:, 0], 0.0)["stoch"]
    assert torch.equal(one, d.prior({k: v[:, 0] for k, v in posts.items()}, batch["action"][:, 0], 0.0)["stoch"])


# ---------------------------------------------------------------- what is read, and how it is measured


def test_counts_of_words_are_entropies() -> None:
    known = [np.array([0, 1, 2] * 400)]
    one, two = reading.counted(known, known, 3)
    assert abs(one - np.log(3)) < 0.01 and two < 0.01


def test_foreseeing_is_measured_as_it_is_defined() -> None:
    """Against steps taken one by one: with the life remembered, and from one step alone."""
    m = tiny(info=info_of((("token", 9),))).eval()
    rng = np.random.default_rng(0)
    lived = [{"token": rng.integers(0, 9, n).astype(np.int32), "action": np.zeros((n, 3), np.float32),
              "reward": np.zeros(n, np.float32), "first": np.arange(n) == 0} for n in (5, 7)]
    batch, own = reading.gathered(m, lived)
    assert own.sum(1).tolist() == [5, 7] and batch["token"].shape == (2, 7)
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(latents, "chosen", lambda weights: weights.argmax(-1))
        whole, short = (reading.surprise(m, batch, r) for r in (True, False))
        code, state = m.encode(batch), m.dynamics.initial(torch.zeros(1), 2)
        for t in range(7):
            state, prior = m.dynamics.step(state, batch["action"][:, t], code[:, t], batch["first"][:, t])
            if t:
                nll = -m.said("token", prior)[[0, 1], batch["token"][:, t].long()].log()
                torch.testing.assert_close(whole[:, t - 1], nll)
        begun = torch.ones(2, dtype=torch.bool)
        state, _ = m.dynamics.step(m.dynamics.initial(torch.zeros(1), 2), batch["action"][:, 3], code[:, 3], begun)
        _, prior = m.dynamics.step(state, batch["action"][:, 4], code[:, 4], ~begun)
        torch.testing.assert_close(short[:, 3], -m.said("token", prior)[[0, 1], batch["token"][:, 4].long()].log())


# ---------------------------------------------------------------- HomeGrid


def kept(values: Any) -> bytes:
    return pickle.dumps(values, protocol=4)


def test_arrays_come_out_of_a_pickle_that_is_not_run(tmp_path: Path) -> None:
    x = {"a": np.arange(6, dtype=np.int64).reshape(2, 3), "b": np.ones((2, 2), np.float32, order="F") * 0.5, "c": 0,
         "d": ("e", 1.5, True, None)}
    one, two = plain(kept((x, {"f": np.float64([1, 2])})))
    assert set(one) == set(x) and one["c"] == 0 and one["d"] == x["d"] and two["f"].tolist() == [1, 2]
    assert all(np.array_equal(one[k], x[k]) and one[k].dtype == x[k].dtype for k in "ab")

    class Bad:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "made"),)

    for worse in (Bad(), {"a": Bad()}, {"a": np.array([Bad()])}, {"a": os.mkdir}, [1]):
        with pytest.raises(ValueError):
            plain(kept(worse))
    assert not (tmp_path / "made").exists()


def test_an_absent_homegrid_is_named_with_its_own_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == "homegrid" else real(n, *a))
    envs._homegrid.cache_clear()
    with pytest.raises(StemmaError, match=r"homegrid.*stemma-vision\[homegrid\]"):
        envs.get("homegrid:future")


@pytest.fixture(scope="module")
def house() -> Any:
    pytest.importorskip("homegrid", reason="HomeGrid needs the older gym: pip install 'stemma-vision[homegrid]'")
    return homegrid


def lived_through(kind: str, seed: int, policy: int = 0) -> tuple[list[dict[str, Any]], list[str], list[float]]:
    """(what was seen, what was being said, what was earned) at each step of a life under random actions."""
    env = envs.make(f"homegrid:{kind}", 16, True, ("image", "token", "token_embed"))
    rng = np.random.default_rng(policy)
    now, more = env.reset(seed=seed)
    seen, said, earned, done = [now], [more["said"]], [0.0], False
    while not done:
        now, reward, over, cut, more = env.step(np.eye(10, dtype=np.float32)[rng.integers(10)])
        assert env.observation_space.contains(now)
        done = over or cut
        seen.append(now)
        said.append(more["said"])
        earned.append(reward)
    env.close()
    return seen, said, earned


def test_a_life_that_its_time_ends_is_over_as_in_the_authors_wrappers(house: Any) -> None:
    """embodied/envs/from_gym.py: `is_terminal` is `done` where the world says no other. Pictures are each cell's middle."""
    env = envs.make("homegrid:task", 64, False, ("image",))
    seen, _ = env.reset(seed=0)
    steps, over, cut = 0, False, False
    while not (over or cut):
        seen, reward, over, cut, _ = env.step(np.eye(10, dtype=np.float32)[9])
        steps += 1
    assert (steps, over, cut) == (100, True, False) or reward > 0
    assert seen["image"].shape == (64, 64, 3)
    picture = np.arange(96 * 96 * 3, dtype=np.int64).reshape(96, 96, 3) % 251
    from stemma.data.worlds.gym import shrink
    small = shrink(picture.astype(np.uint8), 64, False, nearest=True)
    at = ((np.arange(64) + 0.5) * 1.5).astype(int)
    assert np.array_equal(small, picture.astype(np.uint8)[np.ix_(at, at)])
    env.close()


@pytest.mark.parametrize("kind", homegrid.KINDS)
def test_homegrids_sentences_come_back_from_the_tokens(kind: str, house: Any) -> None:
    """What was streamed a token a step is what the package says that it was saying."""
    ids, words = house.vocabulary()
    assert len(ids) == len(words) == 40 and (words[0], ids[0]) == ("", 0) and not [w for w in words if w.startswith("<")]
    cache, _ = house.sentences()
    for sentence, tokens in cache.items():
        if sentence != "<pad>":
            assert house.spoken([words[ids.index(int(t))] for t in tokens]) == sentence
    whole = 0
    for seed in range(3):
        seen, said, _ = lived_through(kind, seed)
        heard: list[str] = []
        for i, (now, sentence) in enumerate(zip(seen, said)):
            word = words[int(now["token"])]
            if sentence == "<pad>":
                assert word == "" and not heard
                continue
            heard.append(word)
            told = house.spoken(heard)
            assert sentence.startswith(told), (told, sentence)
            if told == sentence:
                whole += 1
            if told == sentence or i + 1 < len(said) and said[i + 1] != sentence:
                heard = []
    assert whole >= 15


@pytest.mark.parametrize("kind, flagged, length", [("task", 1, 100), ("future", 24, 123), ("dynamics", 13, 112),
                                                   ("corrections", 1, 100)])
def test_reading_steps_earn_nothing_and_ignore_what_is_done(kind: str, flagged: int, length: int, house: Any) -> None:
    seen, _, earned = lived_through(kind, 4)
    flags = np.array([bool(s["reading"]) for s in seen])
    reads = int(flags.sum())
    assert flags[:reads].all() and flagged <= reads <= 28 and length <= len(seen) - 1 <= length + 4
    assert not any(earned[:reads]) and len(seen) - 1 - (reads - 1) == 100
    dark = [float(s["image"].mean()) for s in seen]
    assert max(dark[:reads]) < 0.8 * np.mean(dark[reads:])  # half as bright
    other, _, _ = lived_through(kind, 4, policy=1)
    for a, b in zip(seen[:reads], other[:reads]):
        assert all(np.array_equal(a[k], b[k]) for k in a)
    assert any(not np.array_equal(a["image"], b["image"]) for a, b in zip(seen[reads:], other[reads:]))


def test_what_is_done_at_the_last_reading_step_is_carried_out(house: Any) -> None:
    """One walks at it or stays, and is elsewhere; at any reading step before it both are where they were."""
    moved = 0
    for seed in range(6):
        places = []
        for way in (4, 0, 1, 2, 3):  # picks up, which moves nobody, or walks
            env = envs.make("homegrid:task", 32, True, ("image",))
            seen, _ = env.reset(seed=seed)
            assert seen["reading"]
            seen, *_ = env.step(np.eye(10, dtype=np.float32)[way])
            assert not seen["reading"]
            places.append(seen["image"])
            env.close()
        moved += any(not np.array_equal(places[0], p) for p in places[1:])
    assert moved >= 4


def test_a_life_in_homegrid_is_its_seeds_and_leaves_global_chance_alone(house: Any) -> None:
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].copy()
    one = lived_through("future", 7)
    assert random.getstate() == before[0] and np.array_equal(np.random.get_state()[1], before[1])
    random.seed(2)
    two = lived_through("future", 7)
    assert all(np.array_equal(a[k], b[k]) for a, b in zip(one[0], two[0], strict=True) for k in a) and one[2] == two[2]
    other = lived_through("future", 8)
    assert [int(s["token"]) for s in one[0]] != [int(s["token"]) for s in other[0]]


def test_homegrids_package_runs_no_pickle(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle, "load", lambda *_: pytest.fail("it was unpickled"))
    monkeypatch.setattr(pickle, "Unpickler", lambda *_: pytest.fail("it was unpickled"))
    house.vocabulary.cache_clear()
    envs.make("homegrid:task", 16, True, ("token",)).reset(seed=0)
    assert __import__("homegrid.language_wrappers").language_wrappers.pickle is pickle
    with pytest.raises(StemmaError, match="there are: task, future"):
        envs.get("homegrid:tasks")


def test_a_mission_is_streamed_a_word_a_step() -> None:
    pytest.importorskip("minigrid", reason="MiniGrid: pip install 'stemma-vision[worlds]'")
    env = envs.make("minigrid:GoToDoor-5x5", 16, True, ("vector", "token"))
    words = envs.get("minigrid:GoToDoor-5x5").words
    seen, _ = env.reset(seed=3)
    heard = [words[int(seen["token"])]]
    for _ in range(9):
        seen, *_ = env.step(np.eye(7, dtype=np.float32)[6])
        heard.append(words[int(seen["token"])])
    env.close()
    assert heard[:4] == ["go", "to", "the", heard[3]] and heard[4] == "door" and heard[:5] == heard[5:]


def test_one_moves_and_speaks_in_langroom() -> None:
    """Two choices an action; the answer earns at the step at which the room says it, any other word is a fault."""
    pytest.importorskip("langroom", reason="LangRoom: pip install 'stemma-vision[langroom]'")
    card = envs.get("langroom:answer-only")
    assert card.choices == (5, 15) and len(card.actions) == 20 and card.words[0] == "" and len(card.words) == 15
    env, rng = envs.make(card.name, 16, False, ("image", "token")), np.random.default_rng(0)
    one_hot = lambda move, word: np.concatenate([np.eye(5, dtype=np.float32)[move], np.eye(15, dtype=np.float32)[word]])
    heard, pictures, found = [], [], []
    for _ in range(2):
        seen, _ = env.reset(seed=4)
        told = [int(seen["token"])]
        cut = False
        while not cut:
            seen, reward, over, cut, _ = env.step(one_hot(int(rng.integers(5)), 0))
            assert reward == 0 and not over and env.observation_space.contains(seen)
            told.append(int(seen["token"]))
        heard.append(told)
        pictures.append(seen["image"])
    assert heard[0] == heard[1] and len(heard[0]) == 201 and (pictures[0] != pictures[1]).any()
    colours = [card.words.index(c) for c in ("red", "green", "blue", "yellow")]
    env.reset(seed=4)
    for word in heard[0][1:]:  # who knows what will be said
        found.append((word, env.step(one_hot(0, word))[1]))
    assert all(r == pytest.approx(1.0 if w in colours else 0.0 if w == 0 else -0.01) for w, r in found)
    assert sum(r == 1 for _, r in found) >= 3
    with pytest.raises(StemmaError, match="there are: answer-only"):
        envs.get("langroom:answer")
    model = checkpoint.build("dynalang", "small", info=envs.info_of(card.name))
    assert model.actor.choices == (5, 15)


# ---------------------------------------------------------------- reading and watching, then acting


@pytest.fixture
def stories(tmp_path: Path) -> Path:
    """Sentences of a template; who went where is told again in the next."""
    rng, out = random.Random(0), []
    for _ in range(300):
        who, what, where = rng.choice("tom lily ben sue".split()), rng.choice("ball kite".split()), rng.choice(
            "park school garden".split())
        out.append(f"{who} went to the {where} and saw a {what}. {who} liked the {what}.")
    path = tmp_path / "stories.txt"
    path.write_text("\n".join(out))
    return path


def test_a_text_is_read_a_word_a_step_and_a_tenth_is_held_out(stories: Path, tmp_path: Path) -> None:
    card, found = envs.get(f"text:{stories}"), partly.split_of(stories.read_text())
    assert card.held == f"text-held:{stories}" and card.law == "still" and set(found) == set(card.words) - {""}
    text = partly.text_of(str(stories))
    whole = [card.words[i] for i in (*text.read, *text.held)]
    assert whole == found and len(text.held) == len(found) // 10
    said = " ".join(found)
    for name, piece in ((card.name, text.read), (card.held, text.held)):
        with envs.Crew(name, senses=("token",)) as crew:
            one, again = crew.random([3, 3])
        told = " ".join(card.words[i] for i in one["token"])
        assert told in said and told in " ".join(card.words[i] for i in piece) and not one["action"].any()
        assert np.array_equal(one["token"], again["token"]) and not one["reward"].any() and not one["terminal"].any()
    (tmp_path / "short.txt").write_text("too short")
    with pytest.raises(DataError, match="holds 2 words"):
        envs.get(f"text:{tmp_path / 'short.txt'}")
    with pytest.raises(DataError, match="cannot be read as text"):
        envs.get("text:nowhere.txt")
    with pytest.raises(StemmaError, match="nothing is said in 'drawn-dodge'"):
        envs.get(f"text:{stories}@drawn-dodge")
    with pytest.raises(StemmaError, match="nothing to mute"):
        envs.get("mute:drawn-dodge")
    for name, senses in ((f"text:{stories}", ("image",)), ("video:drawn-dodge", ("token",))):
        with pytest.raises(StemmaError, match=f"shows nothing that this agent sees, which is {senses[0]}"):
            envs.make(name, 16, True, senses)


def test_words_that_a_world_does_not_know_are_told(stories: Path, house: Any) -> None:
    with pytest.raises(DataError, match="words that this world does not know, '.*' first"):
        envs.get(f"text:{stories}@homegrid:task")


def sentences_of(path: Path, count: int = 60) -> Path:
    """What HomeGrid may say, as a text."""
    told = [s for s in homegrid.sentences()[0] if s != "<pad>"]
    path.write_text(". ".join(random.Random(1).choices(told, k=count)).replace(".", " "))
    return path


def test_what_is_heard_may_be_another_lifes() -> None:
    """All but the words is the world's own; the words are those of missions, and seldom of its own."""
    pytest.importorskip("minigrid", reason="MiniGrid: pip install 'stemma-vision[worlds]'")
    plain, name = "minigrid:GoToDoor-5x5", "astray:minigrid:GoToDoor-5x5"
    card, senses, own = envs.get(name), ("vector", "token"), 0
    assert card.words == envs.get(plain).words and card.inputs == envs.get(plain).inputs
    one, two = envs.make(name, 16, False, senses), envs.make(plain, 16, False, senses)
    for seed in range(24):
        lived = [envs.live(e, envs.RandomPolicy(card.law, len(card.actions), seed, card.choices), seed)
                 for e in (one, two, one)]
        assert all(np.array_equal(lived[0][k], lived[2][k]) for k in lived[0])
        assert all(np.array_equal(lived[0][k], lived[1][k]) for k in lived[0] if k != "token")
        said = [[card.words[i] for i in x["token"]] for x in lived]
        assert said[0][0] == "go" and set(said[0]) <= set(card.words[1:])
        own += all(a == b for a, b in zip(*said[:2]))
    assert own <= 12  # a sixth of the missions by chance, and lives that are over before the colour is said
    with pytest.raises(StemmaError, match="nothing is said in 'drawn-dodge'"):
        envs.get("astray:drawn-dodge")


def test_a_world_may_be_watched_and_may_be_mute(house: Any) -> None:
    for name in ("video:homegrid:future", "mute:homegrid:future"):
        card, whole = envs.get(name), envs.get("homegrid:future")
        assert (card.inputs, card.choices, card.actions) == (whole.inputs, whole.choices, whole.actions)
        with envs.Crew(name, 0, 16, True, ("image", "token")) as crew:
            (lived,) = crew.random([3])
        assert lived["image"].std() > 5
        if name.startswith("video"):
            assert "token" not in lived and not lived["action"].any() and not lived["reward"].any()
            assert len(np.unique(lived["image"].reshape(len(lived["image"]), -1), axis=0)) > 10  # somebody acts
        else:
            assert not lived["token"].any() and lived["action"].sum(1).tolist() == [0.0] + [1.0] * (len(lived["action"]) - 1)


@pytest.mark.parametrize(("where", "package", "shown"), [
    ("messenger:s1", "gymnasium", "grid"), ("homegrid:task", "homegrid", "image"),
    ("minigrid:GoToDoor-5x5", "minigrid", "vector")])
def test_what_is_said_first_may_be_told_at_once(where: str, package: str, shown: str) -> None:
    pytest.importorskip(package)
    card, whole = envs.get(f"once:{where}"), envs.get(where)
    assert dict(card.inputs)["told"] == len(whole.words) and "token" not in dict(card.inputs) and not card.words
    env = envs.make(card.name, 16, True, (shown, "told"))
    seen, more = env.reset(seed=3)
    told = [w.lower() for w, n in zip(whole.words, seen["told"]) for _ in range(int(n))]
    assert told and sorted(told) == sorted(re.findall(r"\w+|[^\w\s]", more["said"].lower()))
    after = env.step(np.eye(len(card.actions))[0])[0]
    assert not after["told"].any() and after[shown].shape == seen[shown].shape
    env.close()
    spec = dynalang.prepare(dynalang.spec("small"), envs.info_of(card.name))
    assert {s.channel: s.width for s in spec.senses}["told"] == len(whole.words)
    assert "token" not in [s.channel for s in spec.senses]


def test_a_sentence_that_is_not_known_at_the_beginning_is_not_told() -> None:
    with pytest.raises(StemmaError, match="nothing to tell"):
        envs.get("once:drawn-dodge")
    env = partly.at_once(envs.make("messenger:s1", 16, True, ("grid",)), "elsewhere", ("",))
    env.env.reset = lambda **more: ({}, {})
    with pytest.raises(StemmaError, match="not known as a life begins.*mute:elsewhere"):
        env.reset(seed=0)


def life(out: Path, env: str, preset: str, budget: str = "6steps", **more: Any) -> Run:
    picture = PICTURE if "homegrid" in env else {}
    text = {} if preset == "small" else {"recipe.life.first.0.policy": "random"}
    settings: dict[str, Any] = {"save_every": "0.000001s", "progress": False, "val_every": 0.5, "val_episodes": 1,
                                "resume": True, "device": "cpu"} | more
    ratio = {"recipe.life.then.0.ratio": 0.0}
    return agents.train("dynalang", f"env:{env}", budget, preset, out, 3,
                        TINY | picture | SHORT | text | ratio | settings.pop("sets", {}), **settings)


@pytest.mark.parametrize("kind", ["text", "video"])
def test_only_the_model_of_the_world_is_taken_over(kind: str, house: Any, tmp_path: Path) -> None:
    """Read or watched first: what was not seen keeps its weights, bit for bit; the agent that starts from it has new
    habits."""
    where = f"text:{sentences_of(tmp_path / 'said.txt')}@homegrid:task" if kind == "text" else "video:homegrid:task"
    run = life(tmp_path / "first", where, f"{kind}-small")
    torch.manual_seed(3)
    new = checkpoint.build("dynalang", "small", sets=TINY | PICTURE, info=envs.info_of("homegrid:task"))
    read = stemma.load(run.path, "last").state_dict()
    unseen = "image" if kind == "text" else "token"
    moved = {k for k, v in new.state_dict().items() if not torch.equal(v, read[k])}
    assert moved and all(k.startswith(("senses", "dynamics", "heads")) for k in moved)
    assert not [k for k in moved if f".{unseen}." in k or "reward" in k or "terminal" in k]
    assert [k for k in moved if f".{'token' if kind == 'text' else 'image'}." in k]
    told = checkpoint.start_from(new, run.path)
    now = new.state_dict()
    torch.manual_seed(3)
    fresh = checkpoint.build("dynalang", "small", sets=TINY | PICTURE, info=envs.info_of("homegrid:task")).state_dict()
    for k, v in now.items():
        assert torch.equal(v, read[k] if k.startswith(("senses", "dynamics", "heads")) else fresh[k]), k
    assert {k.split(".")[0] for k in told["left"]} == {"actor", "critic", "shadow", "scale"}
    started = life(tmp_path / "second", "homegrid:task", "small", "2steps", start=run.path)
    assert started.record["start"]["taken"] == told["taken"]
    if kind == "video":  # where nothing is said, nothing of words is asked
        shown = lives.film(run, tmp_path / "film", which="last", device="cpu", episodes=1)
        assert len(shown["films"]) == 1 and "texts" not in shown
        asked = lives.evaluate(stemma.load(run, "last"), episodes=1, device="cpu", random_episodes=1)
        assert "language" not in asked and asked["return"] == 0


@pytest.mark.parametrize("kind", ["text", "small", "token", "masked"])
def test_killed_at_every_unit_and_resumed(kind: str, stories: Path, tmp_path: Path,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """In reading, in living and in learning: the same bytes."""
    if kind == "small":
        pytest.importorskip("homegrid", reason="HomeGrid needs the older gym: pip install 'stemma-vision[homegrid]'")
    world = {"text": f"text:{stories}", "small": "homegrid:task"}.get(kind, "messenger:s1")
    given = {"env": world, "preset": "small" if kind == "small" else f"{kind}-small", "val_every": 0,
             "sets": {"recipe.life.first.0.amount": 1, "recipe.life.then.0.amount": 1}}
    alone = life(tmp_path / "alone", budget="3steps", **given)
    pieces, done = lived_in_pieces(lambda: life(tmp_path / "pieces", budget="3steps", **given), tmp_path / "pieces",
                                   monkeypatch, 0, 30)
    assert pieces is not None
    assert len(done) >= 2 and pieces.state == alone.state == "finished"
    for name in ("last.safetensors", *(f"episodes/{p.name}" for p in (alone.path / "episodes").iterdir())):
        assert (alone.path / name).read_bytes() == (pieces.path / name).read_bytes()


def test_a_text_is_learned_and_goes_on(stories: Path, tmp_path: Path, learned: Learned) -> None:
    """What was held out is foreseen better than by counts of words, and worse from one step alone."""
    sets = {"dynamics.cell.size": 64, "dynamics.cell.hidden": 32, "dynamics.hidden": 32, "recipe.lr": 0.004,
            "recipe.warmup_steps": 10, "recipe.life.then.0.sequence": 16, "recipe.life.first.0.amount": 8}
    run = agents.train("dynalang", f"env:text:{stories}", "120steps", "text-small", tmp_path / "run", 0, sets,
                       progress=False, val_every=0, device="cpu")
    m: Any = stemma.load(run, "last").eval()
    said = lives.check_words(m, run.path, m.info.name, [{}] * 3)
    bare = checkpoint.build("dynalang", "text-small", sets=sets, info=m.info).eval()
    untrained = reading.foretold(bare, lives.by_chance(m, f"text-held:{stories}", 3), [])
    learned("nats a token", said["nats"], at_most=said["unigram"] - np.log(2), untrained=untrained["nats"])
    assert said["nats"] < said["forgetful"] - 0.05 and said["bigram"] < said["unigram"]
    record = lives.film(run, tmp_path / "out", which="last", device="cpu", episodes=2)
    written = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert not record["films"] and written["texts"] == record["texts"] and len(record["texts"]) == 2
    for t in record["texts"]:
        words = set(envs.get(f"text:{stories}").words) | {"_"}
        assert len(t["continued"].split()) == 10 and set(t["continued"].split()) <= words
        assert len(t["read"].split()) == 50 and f"{t['read']} {t['said']}" in " ".join(partly.split_of(stories.read_text()))


def test_a_house_is_evaluated_and_filmed_with_its_words(house: Any, tmp_path: Path) -> None:
    run = life(tmp_path / "run", "homegrid:future", "small", "2steps", val_every=0)
    said = lives.evaluate(stemma.load(run, "last"), episodes=2, device="cpu", random_episodes=2)
    assert {"nats", "forgetful", "unigram", "bigram"} <= set(said["language"]) and 24 <= said["reading"] <= 28
    assert said["env"] == "homegrid:future" and 0 < said["language"]["bigram"] < said["language"]["unigram"]
    shown = lives.film(run, tmp_path / "film", which="last", device="cpu", episodes=1)
    assert len(shown["films"]) == len(shown["texts"]) == 1 and "is in the" in shown["texts"][0]["read"]
