"""World models: the oracles and identities of their parts, and what the skeleton must allow."""
from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import solve_discrete_are
from torch import Tensor, nn
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
    OneHotCategorical,
    kl_divergence,
)

import stemma
from learning import Learned
from stemma.core import interrupts
from stemma.core import paper as cards
from stemma.core.part import In, edit, part
from stemma.core.types import StemmaError
from stemma.data.worlds import envs
from stemma.engine.running import checkpoint
from stemma.parts.worlds import by_hand, latents
from stemma.parts.worlds.dynamics import RSSM, SSM, Dynamics, GRUCell
from stemma.parts.worlds.mixtures import MDNRNN, mixture_draw, mixture_nll
from stemma.parts.worlds.nats import FreeNats, Surprise
from stemma.parts.worlds.nets import (
    DenseDecoder,
    DenseEncoder,
    FlagHead,
    ImageHead,
    Pixels,
    ScalarHead,
    dense,
    symexp,
    symlog,
)
from stemma.parts.worlds.plan import CEM, Controller
from stemma.skeletons.world import Head, Sense, WorldModel

SMALL = [("planet", p) for p in ("small", "ssm-small", "rnn-small")] + [("world_models", "small")]
each = pytest.mark.parametrize("name, preset", SMALL)


def count(*modules: nn.Module) -> int:
    return sum(p.numel() for m in modules for p in m.parameters())


def model_of(name: str, preset: str = "small", actions: int = 1, **sets: Any) -> Any:
    torch.manual_seed(0)
    return stemma.build(name, preset, classes=actions, sets={"pixels.size": 16} | sets)


def batch_of(model: Any, b: int = 3, t: int = 7, firsts: bool = True, seed: int = 1) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    size = model.spec.pixels.size
    first = torch.rand(b, t, generator=g) < 0.2 if firsts else torch.zeros(b, t, dtype=torch.bool)
    return {
        "image": torch.randint(0, 256, (b, t, size, size, model.spec.pixels.channels), dtype=torch.uint8, generator=g),
        "action": torch.rand(b, t, model.classes, generator=g) * 2 - 1, "reward": torch.randn(b, t, generator=g),
        "first": first, "terminal": torch.rand(b, t, generator=g) < 0.1,
    }


def without_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws are means, and pictures of five bits stand in the middle of their steps."""
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    monkeypatch.setattr(torch, "rand_like", lambda x: torch.full_like(x, 0.5))


def total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


# ---------------------------------------------------------------- counts


def counted(what: str, m: Any) -> int:
    if what.endswith("V"):
        return count(m.senses, m.heads["image"])
    if what.endswith("M"):
        return count(m.dynamics, *(m.heads[k] for k in m.heads if k != "image"))
    return count(m.actor) if what.endswith("C") else count(m)


@pytest.mark.parametrize("name", ["world_models", "planet"])
def test_parameters_are_the_published_ones(name: str) -> None:
    facts = cards.get(name).facts
    for f in facts:
        m: Any = stemma.build(name, f.variant or "paper", classes=f.classes, sets=dict(f.sets))
        assert counted(f.what, m) == f.value, f
    if name == "world_models":
        assert [f.value for f in facts] == [4_348_547, 422_368, 867, 4_446_915, 1_678_785, 1_088]


# ---------------------------------------------------------------- latents


def test_the_gaussian_kl_is_torchs() -> None:
    g = latents.Gaussian(6)
    q, p = g.stats(torch.randn(4, 5, 12)), g.stats(torch.randn(4, 5, 12))
    there = kl_divergence(Independent(Normal(q["mean"], q["std"]), 1), Independent(Normal(p["mean"], p["std"]), 1))
    torch.testing.assert_close(g.kl(q, p), there)
    torch.testing.assert_close(g.kl_standard(q), kl_divergence(Normal(q["mean"], q["std"]), Normal(0.0, 1.0)).sum(-1))
    assert (g.kl(q, q).abs() < 1e-6).all() and (q["std"] >= 0.1).all()


def test_the_categorical_latent_is_torchs_and_passes_gradients_through() -> None:
    c = latents.Categorical(4, 5, mix=0.01)
    raw = torch.randn(3, 20, requires_grad=True)
    q, p = c.stats(raw), c.stats(torch.randn(3, 20))
    there = kl_divergence(OneHotCategorical(logits=q["logits"]), OneHotCategorical(logits=p["logits"])).sum(-1)
    torch.testing.assert_close(c.kl(q, p), there)
    torch.testing.assert_close(c.kl_standard(q), kl_divergence(OneHotCategorical(logits=q["logits"]),
                                                               OneHotCategorical(probs=torch.ones(5) / 5)).sum(-1))
    assert (q["logits"].exp() >= 0.01 / 5 - 1e-7).all()
    drawn = c.sample(q)
    torch.testing.assert_close(drawn.unflatten(-1, (4, 5)).sum(-1), torch.ones(3, 4))
    (drawn * torch.randn(20)).sum().backward()
    assert raw.grad is not None and raw.grad.abs().sum() > 0
    assert torch.equal(c.mode(q).unflatten(-1, (4, 5)).argmax(-1), q["logits"].argmax(-1))


def test_free_nats_cost_nothing_and_pull_nothing() -> None:
    d = RSSM(In((5,), (1,), actions=2), latent=latents.Gaussian(3), cell=part(GRUCell, size=4, hidden=4), hidden=4)
    posts, priors = d.observe(torch.randn(2, 3, 5), torch.randn(2, 3, 2), torch.zeros(2, 3, dtype=torch.bool))
    kl = FreeNats(free=1e6)(d, posts, priors, [], torch.zeros(2, 3, dtype=torch.bool))["kl"]
    kl.backward()
    assert kl == 0 and all(p.grad is None or not p.grad.any() for p in d.parameters())
    plain = FreeNats(free=0.0)(d, posts, priors, [], torch.zeros(2, 3))["kl"]
    torch.testing.assert_close(plain, d.divergence(posts, priors).mean())
    split = FreeNats(free=0.0, balance=(0.5, 0.1))(d, posts, priors, [], torch.zeros(2, 3))["kl"]
    torch.testing.assert_close(split, 0.6 * plain)


# ---------------------------------------------------------------- the mixture


def mixture(n: int = 7, z: int = 3, k: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(3)
    return tuple(torch.randn(n, z, k, generator=g) for _ in range(3))  # type: ignore[return-value]


def test_the_mixture_likelihood_is_torchs() -> None:
    logit, mean, log_std = mixture()
    x = torch.randn(7, 3)
    there = MixtureSameFamily(Categorical(logits=logit), Normal(mean, log_std.exp())).log_prob(x)
    torch.testing.assert_close(-mixture_nll(x, logit, mean, log_std), there, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(mixture_nll(x, logit + 3.0, mean, log_std), mixture_nll(x, logit, mean, log_std),
                               atol=1e-5, rtol=1e-5)
    one = mixture_nll(x, logit[..., :1], mean[..., :1], log_std[..., :1])
    torch.testing.assert_close(one, -Normal(mean[..., 0], log_std[..., 0].exp()).log_prob(x))


def test_temperature_one_draws_from_the_mixture_and_zero_takes_the_likeliest_mean() -> None:
    logit, mean, log_std = (x[:1].expand(100_000, -1, -1) for x in mixture())
    drawn, true = mixture_draw(logit, mean, log_std), MixtureSameFamily(Categorical(logits=logit[0]),
                                                                        Normal(mean[0], log_std[0].exp()))
    torch.testing.assert_close(drawn.mean(0), true.mean, atol=0.03, rtol=0.02)
    torch.testing.assert_close(drawn.var(0), true.variance, atol=0.1, rtol=0.03)
    cold = mixture_draw(logit[:5], mean[:5], log_std[:5], 0.0)
    torch.testing.assert_close(cold, mean[:5].gather(-1, logit[:5].argmax(-1, keepdim=True))[..., 0])
    nearly = mixture_draw(logit, mean, log_std, 1e-8)
    torch.testing.assert_close(nearly[:5], cold, atol=1e-3, rtol=0)
    hot = mixture_draw(logit, mean, log_std, 4.0)
    assert (hot.var(0) > 2 * drawn.var(0)).all()


def test_a_joint_mixture_is_torchs_and_draws_whole_codes() -> None:
    logit, mean, log_std = mixture()
    logit, x = logit[:, 0], torch.randn(7, 3)
    whole = MixtureSameFamily(Categorical(logits=logit), Independent(Normal(mean.mT, log_std.mT.exp()), 1))
    torch.testing.assert_close(-mixture_nll(x, logit, mean, log_std), whole.log_prob(x), atol=1e-5, rtol=1e-5)
    two = torch.tensor([[-5.0, 5.0]]).expand(1000, 3, 2)  # all numbers low, or all high
    drawn = mixture_draw(torch.zeros(1000, 2), two, torch.full((1000, 3, 2), -3.0)).sign()
    assert (drawn == drawn[:, :1]).all() and abs(float(drawn.mean())) < 0.2
    assert torch.equal(mixture_draw(torch.tensor([[0.0, 1.0]]), two[:1], two[:1], 0.0), torch.full((1, 3), 5.0))
    d = MDNRNN(In((6,), (1,), actions=1), hidden=8, mixtures=4, joint=True)
    posts, priors = d.observe(torch.randn(2, 5, 6), torch.randn(2, 5, 1), torch.zeros(2, 5, dtype=torch.bool))
    assert (priors["logit"].shape == (2, 5, 4) and d.divergence(posts, priors).shape == (2, 5)
            and d.mixture.out_features == 4 * 7)
    assert d.prior(d.initial(torch.zeros(1), 3), torch.zeros(3, 1))["stoch"].shape == (3, 3)


def test_a_restart_forgets_the_past() -> None:
    d = MDNRNN(In((6,), (1,), actions=1), hidden=8, mixtures=2, restart=True)
    code, action = torch.randn(2, 6, 6), torch.randn(2, 6, 1)
    first = torch.zeros(2, 6, dtype=torch.bool)
    first[:, [0, 3]] = True
    torch.manual_seed(5)
    whole, said = d.observe(code, action, first)
    other = torch.cat([torch.randn(2, 3, 6), code[:, 3:]], 1)
    torch.manual_seed(5)
    again, _ = d.observe(other, action, first)
    torch.testing.assert_close(whole["deter"][:, 3:], again["deter"][:, 3:])
    assert (whole["deter"][:, 3] == 0).all() and (whole["deter"][:, 2] != again["deter"][:, 2]).any()
    torch.testing.assert_close(said["logit"].softmax(-1).sum(-1), torch.ones(2, 6, 3))


@pytest.mark.parametrize("restart", [False, True])
def test_the_memory_is_torchs_lstm(restart: bool) -> None:
    d = MDNRNN(In((6,), (1,), actions=2), hidden=8, mixtures=2, restart=restart)
    lstm = nn.LSTM(3 + 2 + restart, 8, batch_first=True)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(d.drive.weight)
        lstm.weight_hh_l0.copy_(d.recur.weight)
        lstm.bias_ih_l0.copy_(d.drive.bias)
        lstm.bias_hh_l0.zero_()
    code, action = torch.randn(2, 5, 6), torch.randn(2, 5, 2)
    first = torch.zeros(2, 5, dtype=torch.bool)
    first[:, 0] = True
    posts, _ = d.observe(code, action, first)
    flag = first.float()[..., None]
    x = torch.cat([posts["stoch"][:, :-1], action[:, 1:], *([flag[:, :-1]] if restart else [])], -1)
    torch.testing.assert_close(posts["deter"][:, 1:], lstm(x)[0])


RELEASED = os.environ.get("STEMMA_WORLD_MODELS_RNN", "")  # carracing/rnn/rnn.json of hardmaru/WorldModelsExperiments


def released(forget: float, order: str) -> MDNRNN:
    """Our memory with the authors' weights, which are kept in ten thousandths: what leads from an LSTM's output to the
    mixtures, its bias, the LSTM's four blocks in TensorFlow's order, theirs. `forget` is added to the gate f, whose
    place `order` says."""
    to_mixture, mixture_bias, kernel, bias = (
        torch.tensor(x, dtype=torch.float64) / 1e4 for x in json.loads(Path(RELEASED).read_text(encoding="utf-8")))
    net = MDNRNN(In((64,), (1,), actions=3), hidden=256, mixtures=5).double()
    blocks, biases = dict(zip(order, kernel.chunk(4, 1))), dict(zip(order, bias.chunk(4)))
    kernel, bias = torch.cat([blocks[k] for k in "ifgo"], 1), torch.cat([biases[k] + forget * (k == "f") for k in "ifgo"])
    by_kind = to_mixture.reshape(256, 32, 3, 5).permute(2, 1, 3, 0), mixture_bias.reshape(32, 3, 5).permute(1, 0, 2)
    net.load_state_dict({
        "drive.weight": kernel[:35].mT, "drive.bias": bias, "recur.weight": kernel[35:].mT,
        "mixture.weight": by_kind[0].reshape(480, 256), "mixture.bias": by_kind[1].reshape(480),
    })
    return net


def dreamt(net: MDNRNN, steps: int = 120) -> tuple[float, float]:
    """Of dreams from the codes' prior at half gas: nats a number that the next code costs, and the mean square of the
    last codes."""
    torch.manual_seed(0)
    state, nats = net.initial(torch.zeros(1, dtype=torch.float64), 32), []
    state["stoch"] = torch.randn(32, 32, dtype=torch.float64)
    action = torch.tensor([[0.0, 0.5, 0.0]], dtype=torch.float64).expand(32, -1)
    with torch.no_grad():
        for _ in range(steps):
            state = net.prior(state, action)
            said = net.said(state["deter"])
            nats.append(mixture_nll(state["stoch"], said["logit"], said["mean"], said["log_std"]).mean())
    return float(torch.stack(nats[20:]).mean()), float(state["stoch"].square().mean())


def test_a_car_s_memory_is_told_gas_and_brake() -> None:
    torch.manual_seed(0)
    plain, told = (MDNRNN(In((6,), (1,), actions=3), hidden=8, mixtures=2, pedals=p) for p in (False, True))
    told.load_state_dict(plain.state_dict())
    state = {**plain.initial(torch.zeros(1), 3), "stoch": torch.randn(3, 3), "deter": torch.randn(3, 8)}
    asked = torch.tensor([[0.2, -1.0, -0.5], [0.2, 1.0, 0.5], [-1.0, 0.0, 1.0]])
    became = torch.tensor([[0.2, 0.0, 0.0], [0.2, 1.0, 0.5], [-1.0, 0.5, 1.0]])
    assert torch.equal(told.prior(state, asked, 0.0)["deter"], plain.prior(state, became, 0.0)["deter"])
    card = cards.get("world-models")
    assert card.spec().dynamics.build(In((64,), (1,), actions=3)).pedals
    assert not card.spec("doom").dynamics.build(In((128,), (1,), actions=1)).pedals


@pytest.mark.given("STEMMA_WORLD_MODELS_RNN")
@pytest.mark.oracle("the authors' cell, restated, with the weights that they released", "world_models")
def test_the_authors_released_memory_is_ours() -> None:
    """Their numbers fill our memory, count by count; their cell, written down again in NumPy, says the same from them;
    and in dreams they are at home in this cell alone: without its bias of 1 for what is kept, or with the blocks in
    torch's order, each next code costs more."""
    net = released(1.0, "igfo")
    assert sum(p.numel() for p in net.parameters()) == 422_368
    w, v, kernel, bias = (np.asarray(x) / 1e4 for x in json.loads(Path(RELEASED).read_text(encoding="utf-8")))
    dice = np.random.default_rng(0)
    x = dice.standard_normal((30, 35))
    h = c = np.zeros(256)
    theirs = []
    for now in x:
        i, j, f, o = np.split(np.concatenate([now, h]) @ kernel + bias, 4)
        c = c / (1 + np.exp(-f - 1)) + np.tanh(j) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        theirs.append((h @ w + v).reshape(32, 3, 5))
    ours, state = [], net.initial(torch.zeros(1, dtype=torch.float64), 1)
    with torch.no_grad():
        for now in torch.from_numpy(x):
            state = net.prior(state | {"stoch": now[None, :32]}, now[None, 32:])
            said = net.said(state["deter"])
            ours.append(torch.stack([said["logit"], said["mean"], said["log_std"]], -2)[0])
    torch.testing.assert_close(torch.stack(ours), torch.from_numpy(np.stack(theirs)), atol=1e-9, rtol=0)
    nats, square = dreamt(net)
    assert 0.5 < square < 2, "dreams leave the codes' prior"
    assert nats + 0.05 < dreamt(released(0.0, "igfo"))[0] and nats + 0.2 < dreamt(released(1.0, "ifgo"))[0]


def test_what_nothing_foretold_costs_nothing() -> None:
    """Neither an episode's first step nor a chunk's was expected; the cell begins by remembering."""
    torch.manual_seed(0)
    net = MDNRNN(In((8,), (1,), actions=1), hidden=4, mixtures=2)
    assert (net.drive.bias[4:8].mean() - net.drive.bias[:4].mean()) > 0.5
    first = torch.zeros(2, 5, dtype=torch.bool)
    first[1, 3] = True
    posts, priors = net.observe(torch.randn(2, 5, 8), torch.rand(2, 5, 1), first)
    nll = net.divergence(posts, priors)
    kept = torch.ones(2, 5, dtype=torch.bool)
    kept[:, 0], kept[1, 3] = False, False
    torch.testing.assert_close(Surprise()(net, posts, priors, [], first)["transition"], nll[kept].mean())


def test_the_code_pays_its_floor_at_least() -> None:
    model = model_of("world-models")
    losses = model.loss(batch_of(model), "^(image|kl)$")
    assert set(losses) == {"image", "kl"} and losses["kl"] >= 0.5 * 32 - 1e-4


# ---------------------------------------------------------------- beliefs


def dynamics_of(kind: str) -> Dynamics:
    inp = In((5,), (1,), actions=2)
    cell = part(GRUCell, size=7, hidden=6)
    made: dict[str, Dynamics] = {
        "rssm": RSSM(inp, latents.Gaussian(4), cell, 6), "rnn": RSSM(inp, latents.Gaussian(4, noiseless=True), cell, 6),
        "ssm": SSM(inp, latents.Gaussian(4), 6), "categorical": RSSM(inp, latents.Categorical(3, 4), cell, 6),
        "ssm of classes": SSM(inp, latents.Categorical(3, 4), 6),
    }
    return made[kind]


KINDS = ["rssm", "rnn", "ssm", "categorical", "ssm of classes"]


@pytest.mark.parametrize("kind", KINDS)
def test_whole_sequences_are_single_steps(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    monkeypatch.setattr(latents, "chosen", lambda weights: weights.argmax(-1))
    d = dynamics_of(kind)
    code, action, first = torch.randn(3, 6, 5), torch.randn(3, 6, 2), torch.rand(3, 6) < 0.3
    posts, priors = d.observe(code, action, first)
    loop, _ = Dynamics.observe(d, code, action, first)
    for k in loop:
        torch.testing.assert_close(posts[k], loop[k], atol=1e-5, rtol=1e-5)
    state = {k: v[:, 2] for k, v in posts.items()}
    ahead = d.imagine(action[:, 3:], state)
    one = d.prior(state, action[:, 3])
    torch.testing.assert_close(ahead["stoch"][:, 0], one["stoch"])
    assert d.features(posts).shape == (3, 6, d.out.channels[0]) and d.divergence(posts, priors).shape == (3, 6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_episode_in_a_sequence_is_a_sequence_of_its_own(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    monkeypatch.setattr(latents, "chosen", lambda weights: weights.argmax(-1))
    d = dynamics_of(kind)
    code, action, first = torch.randn(2, 6, 5), torch.randn(2, 6, 2), torch.zeros(2, 6, dtype=torch.bool)
    first[:, [0, 4]] = True
    whole, _ = d.observe(code, action, first)
    alone, _ = d.observe(code[:, 4:], action[:, 4:], first[:, 4:])
    torch.testing.assert_close(whole["stoch"][:, 4:], alone["stoch"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("often", [0.0, 0.3, 1.0])
def test_a_brief_observation_is_the_memory_step_by_step(often: float) -> None:
    """torch's own recurrence over the pieces between empty memories: what is remembered and all gradients."""
    torch.manual_seed(0)
    d = MDNRNN(In((8,), (1,), actions=2), hidden=6, restart=True)
    code, action, first = torch.randn(5, 9, 8), torch.randn(5, 9, 2), torch.rand(5, 9) < often
    state = {k: torch.randn_like(v) for k, v in d.initial(code, 5).items()}
    out = []
    for brief in (False, True):
        torch.manual_seed(1)
        d.zero_grad()
        posts, priors = d.observe(code, action, first, state, brief)
        (posts["deter"].square().sum() + priors["mean"].square().sum()).backward()
        assert ("cell" in posts) is not brief
        out.append((posts["deter"], priors["logit"], *(p.grad for p in d.parameters() if p.grad is not None)))
    assert len(out[0]) == len(out[1]) > 4
    for a, b in zip(*out):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_the_cell_is_worked_out_where_a_head_reads_it() -> None:
    spec = cards.get("world-models").spec("small")
    assert spec.build(1).brief
    spec = replace(spec, heads=(spec.heads[0], replace(spec.heads[1], reads=("cell",))))
    assert not spec.build(1).brief


@pytest.mark.parametrize("classes", [2, 8, 40])
def test_shares_are_softmax_and_draws_come_by_them(classes: int) -> None:
    raw = torch.randn(3, 4, classes, requires_grad=True)
    weigh = torch.randn(3, 4, classes)
    for log in (False, True):
        ours, theirs = latents.shares(raw, log), (raw.log_softmax(-1) if log else raw.softmax(-1))
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(*(torch.autograd.grad((v * weigh).sum(), raw)[0] for v in (ours, theirs)))
    torch.manual_seed(0)
    weights = torch.tensor([0.0, 1.0, 3.0, 0.0, 4.0, 0.0])
    drawn = latents.chosen(weights.expand(20_000, 6)).bincount(minlength=6) / 20_000
    torch.testing.assert_close(drawn, weights / 8, atol=0.015, rtol=0)
    assert not drawn[weights == 0].any()


def test_the_deterministic_model_is_a_plain_recurrent_network() -> None:
    d = dynamics_of("rnn")
    assert isinstance(d, RSSM)
    code, action, first = torch.randn(3, 6, 5), torch.randn(3, 6, 2), torch.zeros(3, 6, dtype=torch.bool)
    posts, _ = d.observe(code, action, first)
    mean, h, seen = torch.zeros(3, 4), torch.zeros(3, 7), d.see(code)
    for t in range(6):
        h = d.cell(mean, action[:, t], h)
        mean = d.judge(torch.relu(d.recall(h) + seen[:, t]))[:, :4]
        assert torch.equal(posts["stoch"][:, t], mean) and torch.equal(posts["deter"][:, t], h)
    assert cards.get("planet").spec("rnn").rule.scale == 0.0


def test_the_cell_is_the_gated_unit_by_hand() -> None:
    cell = GRUCell(In((3,), (1,), actions=2), size=4, hidden=5)
    s, a, h = torch.randn(2, 3), torch.randn(2, 2), torch.randn(2, 4)
    gates = torch.cat([cell.of_x.weight[:8], cell.of_h.weight], 1)  # as one matrix over [x, h]
    candidate = torch.cat([cell.of_x.weight[8:], cell.of_reset.weight], 1)
    x = torch.relu(torch.cat([s, a], 1) @ cell.join.weight.T + cell.join.bias)
    r, u = (torch.cat([x, h], 1) @ gates.T + cell.of_x.bias[:8]).sigmoid().chunk(2, 1)
    new = (torch.cat([x, r * h], 1) @ candidate.T + cell.of_x.bias[8:]).tanh()
    torch.testing.assert_close(cell(s, a, h), u * h + (1 - u) * new)
    assert (cell.of_x.bias[:8] == 1).all() and not cell.of_x.bias[8:].any()


def test_gradients_written_out_are_the_slopes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randn_like", torch.ones_like)
    g = torch.Generator().manual_seed(0)
    x = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64).requires_grad_()
    check = torch.autograd.gradcheck
    assert check(by_hand.RMSNormedSiLU.apply, (x(2, 3, 5), x(5), 1e-4))
    said, share = x(4, 7), torch.rand(2, 4, generator=g, dtype=torch.float64)
    above = torch.tensor([[1, 6, 3, 2], [5, 5, 1, 3]])
    shares = lambda s: (s.detach().log_softmax(-1), s.detach().softmax(-1))
    assert check(lambda s: by_hand.TwoHotLoss.apply(s, *shares(s), above, share), (said,))
    pictures = x(3, 1, 2, 2).detach()
    assert check(lambda s: by_hand.HalfSquares.apply(s, pictures), (x(3, 1, 2, 2),))
    assert check(by_hand.MixtureNLL.apply, (x(2, 3), x(2, 4, 3), x(2, 4, 3), x(2, 4, 3)))
    keep = torch.tensor([[1, 1, 1], [1, 0, 1]], dtype=torch.float64)[..., None]
    weights = [x(4, 2), x(9, 4), x(9), x(6, 3), x(3, 3), x(5, 3), x(4, 5), x(4)]
    assert check(lambda *a: by_hand.GaussianSteps.apply(*a[:4], keep, [False, True, False], 0.1, *a[4:]),
                 (x(2, 3, 4), x(2, 3, 5), x(2, 2), x(2, 3), *weights))


def test_planets_belief_by_hand_is_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    m = RSSM(In((6,), (1,), actions=2), latents.Gaussian(3), part(GRUCell, size=8, hidden=7), 5)
    embed, action, first = torch.randn(3, 9, 6, requires_grad=True), torch.randn(3, 9, 2), torch.rand(3, 9) < 0.2
    before = {k: torch.rand_like(v) for k, v in m.initial(embed, 3).items()}
    found = []
    for way in (by_hand.by_hand, lambda x: False):
        monkeypatch.setattr("stemma.parts.worlds.dynamics.by_hand", way)
        torch.manual_seed(1)
        posts, priors = m.observe(embed, action, first, before)
        total = torch.stack([v.square().sum() for v in (*posts.values(), *priors.values())]).sum()
        found.append([*posts.values(), *torch.autograd.grad(total, [embed, *m.parameters()])])
    for mine, loops in zip(*found):
        torch.testing.assert_close(mine, loops, rtol=1e-4, atol=1e-5)


def test_a_pictures_error_by_hand_is_autograds_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    head, x, truth = DenseDecoder(In((5,), (1,), logits=1, size=8), units=7), torch.randn(9, 5), torch.rand(9, 1, 8, 8)
    found = []
    for way in (by_hand.by_hand, lambda x: False):
        monkeypatch.setattr("stemma.parts.worlds.nets.by_hand", way)
        error = head.loss(head(x), truth)
        found.append([error, *torch.autograd.grad(error.square().sum(), [*head.parameters()])])
    assert all(torch.equal(mine, autograds) for mine, autograds in zip(*found))


@pytest.mark.parametrize("px", [Pixels(4, bits=5), Pixels(4, bits=5, invert=True, shift=0.5, gain=3.0)])
def test_pixels_are_those_of_their_formula_and_the_picture_stays(px: Pixels) -> None:
    image = torch.arange(96, dtype=torch.uint8).view(2, 4, 4, 3)
    for seen in (image, image.float()):
        before = seen.clone()
        torch.manual_seed(0)
        got = px(seen)
        assert torch.equal(seen, before)
        torch.manual_seed(0)
        x = before.movedim(-1, -3).float()
        x = 255 - x if px.invert else x
        assert torch.equal(got, (((x / 8).floor() + torch.rand_like(x)) / 32 - px.shift) * px.gain)


# ---------------------------------------------------------------- overshooting


def test_overshooting_by_one_step_is_the_plain_divergence() -> None:
    model = model_of("planet")
    batch = batch_of(model)
    one, many = [], []
    for distance, into in ((1, one), (4, many)):
        model.spec = edit(edit(model.spec, "rule.distance", distance), "rule.free", 0.0)
        torch.manual_seed(3)
        into.append(model.loss(batch, "^kl$")["kl"])
    torch.manual_seed(3)
    posts, priors = model.dynamics.observe(model.encode(batch), batch["action"], batch["first"])
    torch.testing.assert_close(one[0], model.dynamics.divergence(posts, priors).mean())
    assert model.dynamics.overshoot(posts, batch["action"], batch["first"], 1) == [] and many[0] != one[0]


def test_overshooting_rolls_every_posterior_and_masks_the_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows as the authors' code lays them out: [A..F] and [A..E], three further steps;
    the second sequence's last step is padding."""
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    d = dynamics_of("rssm")
    code, action, first = torch.randn(2, 6, 5), torch.randn(2, 6, 2), torch.zeros(2, 6, dtype=torch.bool)
    first[:, 0] = True
    first[1, 5] = True  # the step after the fifth belongs to something else
    posts, priors = d.observe(code, action, first)
    rolled = d.overshoot(posts, action, first, 4)
    masks = [m.int().tolist() for _, _, m in rolled]
    # rows C.., D.., E.. of the figure
    assert masks == [[[1, 1, 1, 1], [1, 1, 1, 0]], [[1, 1, 1], [1, 1, 0]], [[1, 1], [1, 0]]]
    for n, (state, seen, _) in enumerate(rolled):
        steps = n + 2
        for s in range(6 - steps):
            by_hand = {k: v[:1, s] for k, v in posts.items()}
            for t in range(s + 1, s + steps + 1):
                by_hand = d.prior(by_hand, action[:1, t])
            torch.testing.assert_close(state["mean"][:1, s], by_hand["mean"])
            assert torch.equal(seen["mean"][:, s], posts["mean"][:, s + steps])
    one = d.prior({k: v[:1, 2] for k, v in posts.items()}, action[:1, 3])
    torch.testing.assert_close(one["mean"], priors["mean"][:1, 3])


def test_overshooting_does_not_move_what_it_aims_at() -> None:
    d = dynamics_of("rssm")
    code, action, first = (torch.randn(2, 5, 5, requires_grad=True), torch.randn(2, 5, 2),
                           torch.zeros(2, 5, dtype=torch.bool))
    posts, priors = d.observe(code, action, first)
    (state, seen, mask), *_ = d.overshoot(posts, action, first, 2)
    rule = FreeNats(free=0.0, distance=2)
    before = rule(d, {k: v.detach() for k, v in posts.items()}, {k: v.detach() for k, v in priors.items()},
                  [(state, seen, mask)], first)["kl"]
    (grad,) = torch.autograd.grad(before, code)
    assert (grad[:, 3:] == 0).all() and grad[:, :3].any()  # the last two steps are only aimed at


def test_observation_overshooting_teaches_heads_ahead() -> None:
    model = model_of("planet", **{"rule.distance": 3, "rule.ahead": True})
    losses = model.loss(batch_of(model))
    assert all(torch.isfinite(v) for v in losses.values())
    plain = model_of("planet")
    torch.manual_seed(0)
    assert losses["image"] != plain.loss(batch_of(plain))["image"]


# ---------------------------------------------------------------- the planner and the controller


def riccati(a: np.ndarray, b: np.ndarray, q: np.ndarray, r: np.ndarray, x: np.ndarray) -> float:
    return float(x @ solve_discrete_are(a, b, q, r) @ x)


def test_the_planner_reaches_the_riccati_cost(learned: Learned) -> None:
    """A double integrator with quadratic cost: plans of 12 steps, replanned at each step, against the optimal
    infinite-horizon cost."""
    a, b = np.array([[1.0, 0.2], [0.0, 1.0]]), np.array([[0.02], [0.2]])
    q, r = np.diag([1.0, 0.1]), np.array([[0.1]])
    at, bt, qt = (torch.from_numpy(v).float() for v in (a, b, q))
    start = np.array([0.15, 0.0])

    def returns(x: Tensor) -> Any:
        def of(actions: Tensor) -> Tensor:
            state, cost = x.expand(actions.shape[1], 2), torch.zeros(actions.shape[1])
            for t in range(actions.shape[2]):
                u = actions[0, :, t]
                cost = cost + (state @ qt * state).sum(1) + 0.1 * u[:, 0] ** 2
                state = state @ at.T + u @ bt.T
            return -(cost + 5 * (state @ qt * state).sum(1))[None]
        return of

    planner, x, cost = CEM(horizon=12, candidates=300, elites=30, iterations=12), torch.from_numpy(start).float(), 0.0
    for _ in range(40):
        u = planner.search(returns(x), x, 1, 1).mean[0, 0]
        cost += float(x @ qt @ x + 0.1 * u @ u)
        x = at @ x + bt @ u
    # idle: it begins at rest, and stays where it is
    best, idle = riccati(a, b, q, r, start), 40 * float(start @ q @ start)
    assert best <= cost * 1.001
    learned("cost over the best", cost / best - 1, at_most=0.05, untrained=idle / best - 1)


def test_the_planner_improves_its_elites_and_starts_from_nothing(learned: Learned) -> None:
    goal = torch.rand(3, 6, 2) * 1.6 - 0.8
    returns = lambda a: -(a - goal[:, None]).square().sum((2, 3))
    plan = CEM(horizon=6, candidates=200, elites=20, iterations=8).search(returns, goal, 3, 2)
    values = torch.stack(plan.elite_returns)
    assert (values[1:] >= values[:-1] - 1e-3).all()
    learned("distance to the goal", float((plan.mean - goal).abs().max()), at_most=0.1,
            untrained=float(goal.abs().max()))
    assert (torch.stack(plan.elite_stds)[-1] < torch.stack(plan.elite_stds)[0]).all()
    nothing = CEM(horizon=6, iterations=0).search(returns, goal, 3, 2)
    assert not nothing.mean.any()


def test_many_controllers_at_once_are_each_alone() -> None:
    c = Controller(In((7,), (1,), actions=2), reads=("stoch", "deter"), hidden=3)
    state = {"stoch": torch.randn(8, 4), "deter": torch.randn(8, 3)}
    assert not c(state).any()  # no weights: nothing is done
    weights = torch.randn(4, c.flat().numel())
    many = c.many(state, weights)
    for i in range(4):
        c.load_flat(weights[i])
        mine = {k: v[2 * i : 2 * i + 2] for k, v in state.items()}
        torch.testing.assert_close(c(mine), many[2 * i : 2 * i + 2])
        x = torch.tanh(torch.cat([mine["stoch"], mine["deter"]], 1) @ c.hidden.weight.T  # type: ignore[union-attr]
                       + c.hidden.bias)
        torch.testing.assert_close(c(mine), torch.tanh(x @ c.last.weight.T + c.last.bias))


# ---------------------------------------------------------------- pixels and heads


@pytest.mark.parametrize("learning", [True, False])
def test_five_bit_pictures_get_noise_in_learning_and_in_acting(learning: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the release, which prepares pictures by one function for the trainer and for the agent."""
    model, looked = model_of("planet").train(learning), []
    monkeypatch.setattr(type(model.senses["image"]), "forward", lambda self, x: looked.append(x) or x.new_zeros(
        len(x), self.out.channels[0]))
    batch = batch_of(model, 2, 1)
    with torch.no_grad():
        for _ in range(2):
            model.act({k: v[:, 0] for k, v in batch.items()})
            model.loss(batch)
    exact = (batch["image"].movedim(-1, -3).float().flatten(0, 1) / 8).floor()
    assert len(looked) == 4 and len({x.sum().item() for x in looked}) == 4
    for x in looked:
        gap = x * 32 - exact
        assert -1e-4 <= gap.min() < 0.05 and 0.95 < gap.max() < 1 + 1e-4


def test_five_bits_are_kept_and_come_back() -> None:
    px = Pixels(16, bits=5, shift=0.5)
    image = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    x = px(image)
    assert x.shape == (1, 1, 16, 16) and x.min() >= -0.5 and x.max() < 0.5
    torch.testing.assert_close(((x + 0.5) * 32).floor(), (image.movedim(-1, 1).float() / 8).floor())
    gap = (px(torch.full((1, 100, 100, 1), 77, dtype=torch.uint8)) + 0.5) * 32 - 9  # uniform over the step of 8 shades
    assert 0 <= gap.min() < 0.01 and 0.99 < gap.max() < 1 and abs(gap.mean() - 0.5) < 0.02
    assert (px.back(x).int() - image.int()).abs().max() < 8
    upside = Pixels(16, invert=True)
    torch.testing.assert_close(upside(image), 1 - Pixels(16)(image))
    assert torch.equal(upside.back(upside(image)), image)


def test_dense_nets_read_pictures_and_numbers() -> None:
    seen = DenseEncoder(In((3,), (1,), size=8), units=6, layers=2)
    assert seen(torch.randn(5, 3, 8, 8)).shape == (5, 6) and seen.out.channels == (6,)
    assert sum(isinstance(m, torch.nn.Linear) for m in seen.modules()) == 2
    assert DenseEncoder(In((20,), (1,), size=1), units=6, layers=1)(torch.randn(5, 20)).shape == (5, 6)
    drawn = DenseDecoder(In((6,), (1,), logits=3, size=8), units=7, layers=2, sigmoid=True)(torch.randn(5, 6))
    assert drawn.shape == (5, 3, 8, 8) and 0 < drawn.min() and drawn.max() < 1
    p = cards.get("planet").spec("small")
    model = replace(p, senses=(*p.senses, Sense("token", part(DenseEncoder, units=9), width=20))).build(1)
    assert model.encode(batch_of(model) | {"token": torch.randn(3, 7, 20)}).shape == (3, 7, 128 + 9)


def test_a_halved_picture_counts_its_area_and_sees_what_is_near_its_place() -> None:
    head = ImageHead()
    x, far, near = torch.zeros(3, 1, 3, 16, 16).unbind()
    x[..., 4:6, 4:6], near[..., 4:6, 6:8], far[..., 12:14, 12:14] = 1.0, 1.0, 1.0
    plain = head.loss(near, x), head.loss(far, x)
    assert torch.equal(*plain)  # near or far, pixels do not tell
    head.scales = 3
    # an error everywhere is seen at every scale alike
    assert torch.allclose(head.loss(x + 0.5, x), 3 * 0.5 * 0.25 * x[0].numel() * torch.ones(1))
    assert plain[0] < head.loss(near, x) < head.loss(far, x)


def test_heads_are_likelihoods() -> None:
    x, y = torch.randn(6, 4), torch.randn(6)
    number = ScalarHead(In((4,), (1,)), units=5, layers=1)
    said = number(x)
    torch.testing.assert_close(number.loss(said, y), -Normal(said, 1.0).log_prob(y) - 0.5 * np.log(2 * np.pi))
    flag, truth = FlagHead(In((4,), (1,)), rare=1.0), (y > 0).float()
    torch.testing.assert_close(flag.loss(flag(x), truth), -Bernoulli(logits=flag(x)).log_prob(truth))
    image, seen = torch.randn(6, 3, 4, 4), torch.randn(6, 3, 4, 4)
    torch.testing.assert_close(ImageHead().loss(image, seen),
                               -(Normal(image, 1.0).log_prob(seen) + 0.5 * np.log(2 * np.pi)).sum((1, 2, 3)))
    torch.testing.assert_close(symexp(symlog(100 * y)), 100 * y)


def test_a_weighed_flag_says_its_true_chance(learned: Learned) -> None:
    """Trained on one sign in ten with rarity 9, the logit is near 0 and the chance near a tenth."""
    flag = FlagHead(In((1,), (1,)), rare=9.0)
    x, truth = torch.zeros(1000, 1), (torch.arange(1000) % 10 == 0).float()
    far = lambda: (abs(float(flag(x)[0].detach())), abs(float(flag.mean(flag(x))[0].detach()) - 0.1))
    torch.nn.init.constant_(flag.net[-1].bias, 2.0)
    untrained = far()
    optimizer = torch.optim.Adam(flag.parameters(), 0.1)
    for _ in range(200):
        optimizer.zero_grad()
        flag.loss(flag(x), truth).mean().backward()
        optimizer.step()
    for what, now, before, most in zip(("logit", "chance - 1/10"), far(), untrained, (0.1, 0.01)):
        learned(what, now, at_most=most, untrained=before)


# ---------------------------------------------------------------- the battery for worlds


@each
def test_losses_are_finite_and_every_parameter_learns(name: str, preset: str) -> None:
    model = model_of(name, preset)
    losses = model.loss(batch_of(model))
    assert losses and all(v.ndim == 0 and torch.isfinite(v) for v in losses.values())
    total(losses).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None and not n.startswith("actor")]
    idle = [n for n in silent if not (preset == "rnn-small" and n.startswith("dynamics.expect"))]
    assert not idle, idle


@each
def test_a_batch_of_two_is_two_batches_of_one(name: str, preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_chance(monkeypatch)
    model = model_of(name, preset).eval()
    batch = batch_of(model, 2)
    with torch.no_grad():
        both = model.open_loop(batch, 3)
        for i in range(2):
            one = model.open_loop({k: v[i : i + 1] for k, v in batch.items()}, 3)
            torch.testing.assert_close(one["stoch"][:, :3], both["stoch"][i : i + 1, :3], atol=1e-4, rtol=1e-3)


@each
def test_acting_step_by_step_believes_what_observing_does(name: str, preset: str,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    without_chance(monkeypatch)
    model = model_of(name, preset, **({"actor.iterations": 1, "actor.candidates": 8, "actor.elites": 2}
                                      if name == "planet" else {})).eval()
    batch, carry, done = batch_of(model, 2, 5, firsts=False), None, []
    batch["first"][:, 0] = True
    for t in range(5):
        action, carry = model.act({k: v[:, t] for k, v in batch.items()}, carry)
        assert action.shape == (2, 1) and (action.abs() <= 1).all()
        done.append((action, carry))
    batch["action"] = torch.stack([torch.zeros(2, 1), *(a for a, _ in done[:-1])], 1)
    with torch.no_grad():
        posts, _ = model.dynamics.observe(model.encode(batch), batch["action"], batch["first"])
    torch.testing.assert_close(posts["stoch"][:, -1], done[-1][1]["stoch"], atol=1e-4, rtol=1e-3)


@each
def test_saved_and_loaded_it_says_the_same(name: str, preset: str, tmp_path: Any,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    without_chance(monkeypatch)
    model = model_of(name, preset).eval()
    stemma.save(tmp_path / "net.safetensors", model)
    again: Any = stemma.load(tmp_path / "net.safetensors")
    assert again.recipe == model.recipe and again.recipe.life.then
    with torch.no_grad():
        assert torch.equal(model.encode(batch_of(model)), again.encode(batch_of(model)))


@pytest.mark.whole
@each
def test_the_unrolled_loss_compiles_as_one_graph(name: str, preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randn_like", lambda x: x * 0)  # a compiled graph leaves out draws that nothing reads
    model = model_of(name, preset, **({"rule.distance": 2} if preset == "small" and name == "planet" else {}))
    batch = batch_of(model, 2, 4)

    def step(b: dict[str, Tensor]) -> Tensor:
        return total(model.loss(b))

    torch._dynamo.reset()
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    torch.manual_seed(0)
    eager = step(batch)
    torch.manual_seed(0)
    torch.testing.assert_close(compiled(batch), eager, rtol=1e-3, atol=1e-3)


def test_one_batch_is_learned_by_heart(learned: Learned) -> None:
    model = model_of("planet")
    batch = batch_of(model, 4, 8, firsts=False)
    batch["image"] = (batch["image"][:, :1] // 2
                      + 40 * (torch.arange(8) % 3)[None, :, None, None, None]).to(torch.uint8)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for i in range(80):
        loss = total(model.loss(batch))
        first = loss.item() if i == 0 else first
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    learned("loss", loss.item(), at_most=0.5 * first, untrained=first)


# ---------------------------------------------------------------- what comes next must fit


class Words(nn.Module):
    """A sense for tokens: an embedding's mean, enough to show that text stands beside pixels."""

    def __init__(self, inp: In, vocabulary: int = 20, code: int = 6) -> None:
        super().__init__()
        self.net, self.out = nn.Linear(vocabulary, code), In((code,), (1,))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)  # type: ignore[no-any-return]


class WordHead(nn.Module):
    """A head that says which token comes."""

    def __init__(self, inp: In, vocabulary: int = 20) -> None:
        super().__init__()
        self.net = dense(inp.channels[0], 8, 1, vocabulary)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)  # type: ignore[no-any-return]

    def loss(self, said: Tensor, truth: Tensor) -> Tensor:
        return -(said.log_softmax(-1) * truth).sum(-1)

    def mean(self, said: Tensor) -> Tensor:
        return said.softmax(-1)


def test_classes_for_latents_and_text_beside_pixels_fit_the_skeleton() -> None:
    p = cards.get("planet").spec("small")
    spec = replace(
        p, senses=(*p.senses, Sense("token", part(Words), width=20)),
        heads=(*p.heads, Head("token", part(WordHead)), Head("terminal", part(FlagHead))),
        dynamics=part(RSSM, latent=latents.Categorical(8, 8), cell=part(GRUCell, size=32, hidden=16), hidden=16),
        rule=FreeNats(1.0, balance=(1.0, 0.1)), actor=part(Controller, reads=("stoch", "deter")),
    )
    model: WorldModel = spec.build(2)
    batch = batch_of(model)
    batch["token"] = torch.nn.functional.one_hot(torch.randint(0, 20, (3, 7)), 20)
    losses = model.loss(batch)
    assert set(losses) == {"image", "reward", "token", "terminal", "kl"}
    total(losses).backward()
    action, _ = model.act({k: v[:, 0] for k, v in batch.items()})
    assert action.shape == (3, 2)
    stored = model.loss({k: v for k, v in batch.items() if k != "image"} | {"code": model.encode(batch).detach()},
                        "^(token|kl)$")
    assert set(stored) == {"token", "kl"}


@pytest.mark.parametrize("paper,preset,sets,said", [
    ("planet", "small", {"actor.candidates": 5}, "10 of 5 here"),
    ("planet", "small", {"rule.ahead": True}, "a distance of 2 or more, not 1"),
    ("planet", "paper", {"pixels.size": 32}, "64"),
    ("world-models", "small", {"actor.reads": ("stoch", "foo")}, "actor reads foo, .*it holds stoch"),
    ("world-models", "small", {"heads.1.reads": ("bar",)}, "terminal reads bar"),
    ("world-models", "small", {"recipe.life.then.1.sequence": 0}, "stage 'M' sequence must be 1 or more, not 0"),
])
def test_settings_that_do_not_go_together_are_told(paper: str, preset: str, sets: dict[str, Any], said: str) -> None:
    with pytest.raises(StemmaError, match=said):
        checkpoint.build(paper, preset, sets=sets, info=envs.info_of("drawn-dodge"))


def test_gain_and_shift_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    without_chance(monkeypatch)
    image = torch.randint(0, 256, (3, 4, 4, 3), dtype=torch.uint8)
    for px in (Pixels(4, shift=0.35, gain=5.0), Pixels(4, shift=0.5, gain=0.5, invert=True)):
        assert torch.equal(px.back(px(image)), image)
    assert torch.allclose(Pixels(4, bits=5, shift=0.2, gain=3.0)(image), 3 * Pixels(4, bits=5, shift=0.2)(image))


def test_numbers_stay_inside_boxes_that_end_on_one_side() -> None:
    spaces = pytest.importorskip("gymnasium.spaces")
    from stemma.data.worlds.gym import scaled_to

    low, high = np.array([0, 2, -np.inf, -np.inf, -1], np.float32), np.array([np.inf, 5, 3, np.inf, 0.1], np.float32)
    box = spaces.Box(low, high)
    act = scaled_to(box)
    assert act(np.full(5, -1.0)).tolist() == [0, 2, 1, -1, -1]
    assert act(np.full(5, 1.0)).tolist() == [2, 5, 3, 1, np.float32(0.1)]
    for a in np.linspace(-1, 1, 41):
        assert box.contains(act(np.full(5, a)))


@pytest.mark.parametrize("prefix", ["", "gym:"])
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("fails", ["reset", "step"])
def test_an_environment_that_fails_is_told_in_a_line_with_its_name(
    prefix: str, workers: int, fails: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it lives too: in a process of its own."""
    pytest.importorskip("gymnasium")
    module = f"frail_{prefix.strip(':')}_{workers}_{fails}"
    name = f"{prefix}{module}:Frail-v0"
    (tmp_path / f"{module}.py").write_text(f"""
import gymnasium, numpy as np
from gymnasium import spaces
class Frail(gymnasium.Env):
    metadata = {{"render_modes": ["rgb_array"]}}
    observation_space, action_space, lives = spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2), 0
    def __init__(self, render_mode=None): self.render_mode = render_mode
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if {fails == "reset"} and seed == 7: raise KeyError("no motor")
        self.steps = 0
        return np.zeros(3, np.float32), {{}}
    def step(self, action):
        self.steps += 1
        if {fails == "step"} and self.steps > 3: raise RuntimeError("the motor\\nis gone")
        return np.ones(3, np.float32), 1.0, self.steps > 9, False, {{}}
    def render(self): return np.zeros((64, 64, 3), np.uint8)
gymnasium.register("Frail-v0", entry_point="{module}:Frail")
""")
    monkeypatch.syspath_prepend(tmp_path)
    why = "KeyError: 'no motor'" if fails == "reset" else "RuntimeError: the motor is gone"
    senses = ("vector",) if prefix else ("image",)
    with envs.Crew(name, workers, senses=senses) as crew, pytest.raises(StemmaError) as said:
        list(crew.random([7]))
    assert f"the environment '{name}' failed in its {fails}() ({why}; {tmp_path}" in str(said.value)
    assert "\n" not in str(said.value)


ODD = """
import gymnasium, numpy as np, sys
from gymnasium import spaces
class Odd(gymnasium.Env):
    metadata = {"render_modes": []}
    observation_space, action_space, steps = OBS, ACT, 0
    def seen(self): return SEEN
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.steps = 0
        return RESET
    def step(self, action):
        assert self.action_space.contains(action), action
        self.steps += 1
        STEP
gymnasium.register("MODULE-v0", entry_point="MODULE:Odd", max_episode_steps=9)
"""
WHOLE = {"OBS": "spaces.Box(-1, 1, (3,), np.float32)", "ACT": "spaces.Discrete(2)",
         "SEEN": "self.observation_space.sample()", "RESET": "self.seen(), {}",
         "STEP": "return self.seen(), 1.0, self.steps == 5, False, {}"}


def odd_world(folder: Any, monkeypatch: pytest.MonkeyPatch, **parts: str) -> str:
    """The name of a world of a person's own that is as `WHOLE` says but for `parts`."""
    module = f"odd_{folder.name.replace('-', '_')}"
    text = ODD.replace("MODULE", module)
    for what, how in (WHOLE | parts).items():
        text = text.replace(what, how)
    (folder / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    return f"gym:{module}:{module}-v0"


@pytest.mark.parametrize(("parts", "inputs", "choices", "earned", "ended"), [
    ({"ACT": "spaces.Discrete(3, start=-1)"}, {"vector": 3}, (3,), 5, True),
    ({"ACT": "spaces.Discrete(np.int64(3), start=np.int64(4))"}, {"vector": 3}, (3,), 5, True),
    ({"ACT": "spaces.MultiDiscrete([[3, 2], [4, 2]], start=[[1, 0], [-1, 5]])"}, {"vector": 3}, (3, 2, 4, 2), 5, True),
    ({"ACT": "spaces.MultiBinary((2, 2))"}, {"vector": 3}, (2, 2, 2, 2), 5, True),
    ({"ACT": "spaces.Box(0, 3, (2,), np.int8)"}, {"vector": 3}, (4, 4), 5, True),
    ({"ACT": "spaces.Dict(b=spaces.Discrete(3), a=spaces.Tuple([spaces.MultiBinary(2)]))"}, {"vector": 3},
     (3, 2, 2), 5, True),
    ({"ACT": "spaces.Box(-np.inf, np.inf, (2, 2), np.float64)"}, {"vector": 3}, (), 5, True),
    ({"ACT": "spaces.Box(-3, 5, (), np.float16)"}, {"vector": 3}, (), 5, True),
    ({"OBS": "spaces.MultiDiscrete([[3, 3], [2, 2]], start=[[1, 1], [-1, 1]])"}, {"vector": 10}, (2,), 5, True),
    ({"OBS": "spaces.Discrete(3, start=2)", "SEEN": "np.array([4])"}, {"vector": 3}, (2,), 5, True),
    ({"OBS": "spaces.Tuple((spaces.MultiBinary((2, 2)), spaces.Box(0, 255, (3, 32, 40), np.uint8)))"},
     {"image": 0, "vector": 4}, (2,), 5, True),
    ({"OBS": "spaces.Box(0, 255, (32, 32, 3), np.uint8)", "SEEN": "np.zeros((40, 32, 3), np.uint8)"},
     {"image": 0}, (2,), 5, True),
    ({"OBS": "spaces.Box(0, 1, (32, 40), np.bool_)"}, {"vector": 1280}, (2,), 5, True),
    ({"SEEN": "[9, 1, 2]"}, {"vector": 3}, (2,), 5, True),  # outside its bounds, as many worlds are
    ({"STEP": "return self.seen(), np.float64(.5), np.array([self.steps == 5]), np.bool_(False), {}"}, {"vector": 3},
     (2,), 2.5, True),
    ({"STEP": "return self.seen(), np.array([2]), self.steps == 5, self.steps == 5, {}"}, {"vector": 3}, (2,), 10, True),
    ({"STEP": "return self.seen(), np.int64(1), False, self.steps == 3, {}"}, {"vector": 3}, (2,), 3, False),
    ({"STEP": "return self.seen(), True, False, False, {}"}, {"vector": 3}, (2,), 9, False),  # time is up
])
def test_odd_worlds_that_gymnasium_allows_are_lived_in(
    parts: dict[str, str], inputs: dict[str, int], choices: tuple[int, ...], earned: float, ended: bool, tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gymnasium")
    name = odd_world(tmp_path, monkeypatch, **parts)
    card = envs.get(name)
    assert (dict(card.inputs), card.choices, card.limit) == (inputs, choices, 9)
    with envs.Crew(name, 0, 16, senses=tuple(inputs)) as crew:
        lived = list(crew.random([1, 2]))
    for life in lived:
        assert life["reward"].sum() == earned and life["terminal"].any() == life["terminal"][-1] == ended
        assert life["first"].sum() == 1 and all(np.isfinite(v).all() for v in life.values())
    assert "vector" not in inputs or lived[0]["vector"].shape[1:] == (inputs["vector"],)


@pytest.mark.parametrize(("parts", "why"), [
    ({"STEP": "return self.seen(), 1.0, True, {}"}, "answers its step.. with 4 things, and gymnasium's answer is obs"),
    ({"RESET": "self.seen()"}, "answers its reset.. with one ndarray, and gymnasium's answer is observation and info"),
    ({"OBS": "spaces.Box(0, 1, (2,), np.float32)", "RESET": "self.seen()"}, "answers its reset.. with one ndarray"),
    ({"SEEN": "np.zeros(4, np.float32)"}, r"shows 4 numbers, and its observation_space says Box.*\(3,\)"),
    ({"SEEN": "None"}, r"shows object \(\), and its observation_space"),
    ({"OBS": "spaces.Dict(a=spaces.Discrete(2), b=spaces.Discrete(2))", "SEEN": "{'a': 1}"},
     "shows no b, which its observation_space names"),
    ({"OBS": "spaces.Dict(a=spaces.Discrete(3))", "SEEN": "{'a': -1}"}, "shows the choice -1 in its a, and its obs"),
    ({"OBS": "spaces.MultiDiscrete([3, 3])", "SEEN": "np.array([4, 0])"}, "shows the choice 4, and its observation_sp"),
    ({"OBS": "spaces.Discrete(3)", "SEEN": "1.5"}, r"shows float64 \(\), and its observation_space says Discrete"),
    ({"OBS": "spaces.MultiBinary(2)", "SEEN": "np.array([2, 0])"}, "shows the choice 2"),
    ({"OBS": "spaces.Box(0, 255, (32, 32, 3), np.uint8)", "SEEN": "np.zeros((32, 32), np.uint8)"},
     r"shows uint8 \(32, 32\), and its observation_space says Box\(0, 255, \(32, 32, 3\), uint8\)"),
    ({"OBS": "spaces.Box(0, 255, (32, 32, 3), np.uint8)", "SEEN": "np.zeros((32, 32, 3))"}, "shows float64"),
    ({"STEP": "return self.seen(), 1e39, True, False, {}"}, r"rewards 1e\+39 at a step"),  # float32 ends at 3e38
    ({"STEP": "sys.exit(3)"}, r"failed in its step.. \(SystemExit: 3; "),
    ({"OBS": "spaces.Sequence(spaces.Discrete(2))"}, "shows something as Sequence; numbers, choices and pictures"),
    ({"ACT": "spaces.Tuple((spaces.Discrete(2), spaces.Box(-1, 1, (2,))))"}, "holds choices and other numbers at once"),
])
def test_worlds_that_are_not_what_they_say_get_a_line(parts: dict[str, str], why: str, tmp_path: Any,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gymnasium")
    name = odd_world(tmp_path, monkeypatch, **parts)
    with pytest.raises(StemmaError, match=why) as said:
        list(envs.Crew(name, 0, 16, senses=tuple(k for k, _ in envs.get(name).inputs)).random([1]))
    assert "\n" not in str(said.value) and name.removeprefix("gym:") in str(said.value)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are read where there is /proc")
@pytest.mark.parametrize("hears", [True, False])
def test_a_crew_that_is_closed_leaves_no_engine(hears: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a world is told to end by is no fault of its step, and one that does not hear it takes its engine with it."""
    pytest.importorskip("gymnasium")
    (tmp_path / "engine").write_text("")
    begun = f"f = open({str(tmp_path / 'engine')!r}, 'a'); f.write(str(os.getpid()) + '\\n'); f.close()"
    # an engine as ViZDoom's: a process of its own that hears nothing; the step waits for what never comes
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)" if not hears else "pass"
    name = odd_world(tmp_path, monkeypatch, STEP=(
        f"import os, signal, subprocess, time; self.engine = subprocess.Popen(['sleep', '100']); {deaf}; {begun}; "
        "time.sleep(100)"))
    monkeypatch.setattr(envs, "CLOSING", 5.0 if hears else 0.2)
    crew = envs.Crew(name, 1, 16, senses=("vector",))
    crew.pipes[0].send(1)
    until = time.monotonic() + 60
    while not (tmp_path / "engine").read_text() and time.monotonic() < until:
        time.sleep(0.01)
    worker, = crew.processes
    engines = interrupts.descendants(worker.pid)
    assert len(engines) == 1
    crew.close()
    assert worker.exitcode == (128 + signal.SIGTERM if hears else -signal.SIGKILL)
    if not hears:  # one that hears closes its world, which is to end its engine
        until = time.monotonic() + 10
        while (alive := os.path.exists(f"/proc/{engines[0]}/exe")) and time.monotonic() < until:
            time.sleep(0.01)
        assert not alive
    with contextlib.suppress(ProcessLookupError):
        os.kill(engines[0], signal.SIGKILL)


def test_text_whose_words_are_not_told_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    gymnasium = pytest.importorskip("gymnasium")
    from gymnasium import spaces

    from stemma.data.worlds import native

    class Told(spaces.Text):
        """BabyAI's, which tells one word and says others."""
        mission_func, ordered_placeholders = staticmethod(lambda: "go"), None

    class Odd(gymnasium.Env):
        metadata: dict[str, Any] = {"render_modes": []}
        action_space = spaces.Discrete(2)

        def __init__(self, **shown: Any) -> None:
            self.observation_space = spaces.Dict(shown)

        def seen(self) -> dict[str, Any]:
            return {k: np.zeros(2, np.float32) if k == "x" else "go to the ball" for k in self.observation_space}

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            return self.seen(), {}

        def step(self, action: Any) -> Any:
            return self.seen(), 0.0, False, False, {}

    two = spaces.Box(-1, 1, (2,), np.float32)
    for k, text in enumerate((spaces.Text(20), Told(20))):
        monkeypatch.setattr(native, "made", lambda name, text=text: Odd(mission=text, x=two))
        with pytest.warns(UserWarning, match=f"'mission' of the environment 'gym:text{k}' does not tell its words"):
            assert native.look(f"gym:text{k}").inputs == (("vector", 2),)
        world = native.world(f"gym:text{k}", 64, False, ("vector",))
        assert world.reset(seed=0)[0]["vector"].tolist() == [0, 0] == world.step(np.ones(2))[0]["vector"].tolist()
    for k, shown in enumerate(({"mission": spaces.Text(20)}, {})):
        monkeypatch.setattr(native, "made", lambda name, shown=shown: Odd(**shown))
        with pytest.raises(StemmaError, match="shows nothing that can be seen"):
            native.look(f"gym:empty{k}")


# ---------------------------------------------------------------- a memory that loses numbers


def test_a_memory_that_loses_numbers_has_the_noise_that_its_rate_says() -> None:
    """Unbiased, and |h| sqrt(p / (1 - p)) a number; none at temperature 0."""
    own, lossy = (model_of("planet", "rnn-small", **{"dynamics.dropout": p}) for p in (0.0, 0.2))
    lossy.load_state_dict(own.state_dict())
    batch = batch_of(own, 1, 6, firsts=False)
    seen = own.dynamics.observe(own.encode(batch), batch["action"], batch["first"])[0]
    state, action = {k: v[:, -1].expand(4000, -1) for k, v in seen.items()}, batch["action"][0, :1].expand(4000, -1)
    h = own.dynamics.prior(state, action)["deter"][0].detach()
    many = lossy.dynamics.prior(state, action)["deter"].detach()
    torch.testing.assert_close(many.mean(0), h, atol=float(4 * h.abs().max() * 0.5 / 4000**0.5), rtol=0)
    torch.testing.assert_close(many.std(0), h.abs() * 0.5, rtol=0.1, atol=1e-6)
    assert torch.equal(lossy.dynamics.prior(state, action, 0.0)["deter"][0], h)
    assert not many[0].equal(many[1])
    total(lossy.loss(batch)).backward()
    assert all(p.grad is not None for p in lossy.dynamics.cell.parameters())
    with pytest.raises(StemmaError, match="dropout is a chance"):
        model_of("planet", "rnn-small", **{"dynamics.dropout": 1.0})


def test_what_a_belief_holds_is_read_off_it_and_what_it_does_not_is_not() -> None:
    from stemma.studies import transitions

    m = model_of("planet", "rnn-small").eval()
    both = [batch_of(m, 12, 20, firsts=False, seed=s) for s in (1, 2)]
    held = [transitions.beliefs_of(m, b, 0.0)["deter"][..., :1] for b in both]
    chance = [torch.randn(12, 20, 1, generator=torch.Generator().manual_seed(s)) for s in (3, 4)]
    told: Any = [(b, torch.cat([x, y], -1)) for b, x, y in zip(both, held, chance)]
    found = transitions.probes(m, *told)
    assert found["deter"][0][0] > 0.95 and found["deter"][0][1] < 0.1
    assert found["deter"][2][0] < found["deter"][0][0]  # with closed eyes the truth, which saw, is known less


def test_one_future_drawn_often_is_as_likely_as_once_and_has_no_spread() -> None:
    from stemma.studies import transitions

    m = model_of("planet", "rnn-small").eval()
    batch = batch_of(m, 4, 12, firsts=False) | {"image": torch.zeros(4, 12, 16, 16, 1, dtype=torch.uint8)}
    once, often = (transitions.foresight(m, batch, n) for n in (2, 8))
    assert max(once["reward"]["spread"]) < 1e-3  # what is left is the noise of pictures of five bits
    np.testing.assert_allclose(once["reward"]["nats"], often["reward"]["nats"], rtol=0.05)
    drawn = transitions.foresight(model_of("planet", "small").eval(), batch, 8)
    assert all(s > 0 for s in drawn["reward"]["spread"])


@pytest.mark.whole
def test_the_study_of_transitions_writes_its_page_and_continues(tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    from stemma.studies import transitions

    monkeypatch.setattr(transitions, "ARMS", {k: transitions.ARMS[k] for k in ("rssm", "rnn", "dropout 0.2")})
    given: dict[str, Any] = {"steps": 2, "life": 2, "episodes": 2, "draws": 3, "device": "cpu"}
    record = transitions.study(tmp_path / "s", **given)
    assert [r["arm"] for r in record["rows"]] == list(transitions.ARMS)
    assert [r["noise"] for r in record["rows"]][1:] == [None, 0.5]
    assert set(record["rows"][0]["probes"]) == {"deter", "stoch"} and record["rows"][0]["numbers"][2] == "speed"
    kept = json.dumps(record["rows"])
    again = transitions.study(tmp_path / "s", **given, seeds=2)
    assert json.dumps(again["rows"][:3]) == kept and len(again["rows"]) == 6
    assert "<svg" in (tmp_path / "s" / "transitions.html").read_text()
    with pytest.raises(StemmaError, match="other settings"):
        transitions.study(tmp_path / "s", **given | {"draws": 4})
