"""DreamerV3: the identities of its parts, its published sizes, its optimiser, its lives, and worlds with what is their
own."""
from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("gymnasium", reason="worlds need gymnasium: pip install 'stemma-vision[worlds]'")

import gymnasium

from engine_help import thrown_alike
from learning import Learned
from stemma.core import paper as cards
from stemma.core.part import In, part
from stemma.core.types import StemmaError
from stemma.data.worlds import envs, native
from stemma.data.worlds.replay import Replay
from stemma.engine.running import checkpoint, optim
from stemma.engine.worlds import agents
from stemma.papers.worlds import dreamerv3
from stemma.parts.worlds import latents, normed
from stemma.parts.worlds.acting import Policy, Scale, Shadow, accounted, lambda_returns
from stemma.parts.worlds.blocks import BlockGRU, NormedRSSM, gated
from stemma.parts.worlds.latents import Categorical
from stemma.parts.worlds.nets import symexp, symlog
from stemma.parts.worlds.normed import BlockLinear, GoingHead, TwoHotHead, balanced_mean, bins_of, two_hot
from stemma.parts.worlds.plan import Lookahead

TINY = {"dynamics.cell.size": 32, "dynamics.cell.hidden": 8, "dynamics.hidden": 8, "behaviour.horizon": 3}


def tiny(env: str, preset: str = "small", **sets: Any) -> Any:
    torch.manual_seed(0)
    own = TINY if preset in ("small", "conv-small") else {}
    if preset == "conv-small" and (env.endswith("+image") or env.startswith("drawn")):
        own = own | {"heads.0.net.deter": 32}  # the decoder is told how many numbers are remembered
    return checkpoint.build("dreamerv3", preset, sets=own | sets, info=envs.info_of(env))


def batch_of(m: Any, b: int = 3, t: int = 6) -> dict[str, Tensor]:
    g, px = torch.Generator().manual_seed(1), m.spec.pixels
    batch = {"action": torch.rand(b, t, m.classes, generator=g), "reward": torch.randn(b, t, generator=g),
             "first": torch.rand(b, t, generator=g) < 0.2, "terminal": torch.rand(b, t, generator=g) < 0.1}
    for s in m.spec.senses:
        batch[s.channel] = (torch.randn(b, t, s.width, generator=g) if s.width else torch.randint(
            0, 256, (b, t, px.size, px.size, px.channels), dtype=torch.uint8, generator=g))
    return batch


# ---------------------------------------------------------------- sizes


def summed(deter: int, hidden: int, classes: int, depth: int, units: int, actions: int = 1) -> int:
    """The weights of rssm.py and heads.py, written down layer by layer; a restatement."""
    lin = lambda a, b: a * b + b
    layer = lambda a, b: lin(a, b) + b
    block = lambda a, b: a * b // 8 + b
    z, c, seen = 32 * classes, [3, *(depth * m for m in (2, 3, 4, 4))], 16 * 4 * depth
    cell = (layer(deter, hidden) + layer(z, hidden) + layer(actions, hidden)
            + block(deter + 24 * hidden, deter) + deter + block(deter, 3 * deter))
    prior = layer(deter, hidden) + layer(hidden, hidden) + lin(hidden, z)
    post = layer(deter + seen, hidden) + lin(hidden, z)
    enc = sum(25 * a * b + 2 * b for a, b in zip(c, c[1:]))
    d = c[:0:-1]
    dec = block(deter, seen) + layer(z, 2 * units) + lin(2 * units, seen) + d[0]
    dec += sum(25 * a * b + 2 * b for a, b in zip(d, d[1:])) + 25 * d[-1] * 3 + 3
    f, tall = deter + z, lambda n, out: layer(deter + z, units) + (n - 1) * layer(units, units) + lin(units, out)
    assert f == deter + z
    return cell + prior + post + enc + dec + tall(1, 255) + tall(1, 1) + tall(3, 2 * actions) + tall(3, 255)


@pytest.mark.oracle("parameters", "dreamerv3", how="a restatement, layer by layer")
def test_every_published_size_has_its_weights() -> None:
    facts = {f.variant: f.value for f in cards.get("dreamerv3").facts}
    assert set(facts) == set(dreamerv3.SIZES)
    for preset, size in dreamerv3.SIZES.items():
        with torch.device("meta"):
            model: Any = dreamerv3.spec(preset).build(1)
        assert sum(p.numel() for p in model.parameters()) == facts[preset] == summed(*size)


# ---------------------------------------------------------------- numbers as bins


def test_symexp_undoes_symlog() -> None:
    x = torch.cat([torch.logspace(-6, 6, 50, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)])
    torch.testing.assert_close(symexp(symlog(-x)), -x, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("curved", [True, False])
def test_two_hot_sums_to_one_and_returns_what_it_was_told(curved: bool) -> None:
    bins = bins_of(curved=curved)
    x = torch.tensor([0.0, 0.37, -5.2, 11.0, float(bins[200]), 1e12, -1e12])
    hot = two_hot(x, bins)
    torch.testing.assert_close(hot.sum(-1), torch.ones(7))
    torch.testing.assert_close(balanced_mean(hot, bins)[:5], x[:5], rtol=1e-5, atol=1e-5)
    assert hot[4, 200] == 1 and hot[5, -1] == 1 and hot[6, 0] == 1 and (hot > 0).sum(-1).max() <= 2
    assert balanced_mean(torch.full((255,), 1 / 255), bins) == 0.0  # exactly
    assert torch.equal(bins, -bins.flip(0)) and len(bins) == 255


def test_two_hot_is_the_restated_one() -> None:
    """NumPy after outs.py's TwoHot.loss."""
    bins, x = bins_of().double().numpy(), np.random.default_rng(0).normal(0, 50, 200)
    want = np.zeros((200, 255))
    for i, v in enumerate(x):
        below = int((bins <= v).sum()) - 1
        above = min(below + 1, 254)
        share = (v - bins[below]) / (bins[above] - bins[below])
        want[i, below], want[i, above] = 1 - share, share
    ours = two_hot(torch.from_numpy(x), bins_of().double())
    np.testing.assert_allclose(ours.numpy(), want, atol=1e-9)


def test_a_new_head_says_exactly_zero_and_going_holds_the_discount() -> None:
    head = TwoHotHead(In((5,), (1,)), units=8)
    assert not head.mean(head(torch.randn(4, 5))).any()
    inside, outside = (GoingHead(In((5,), (1,)), units=8, inside=i) for i in (True, False))
    said = torch.full((3,), 30.0)
    torch.testing.assert_close(outside.going(said), torch.full((3,), 1 - 1 / 333))
    torch.testing.assert_close(inside.going(said), torch.ones(3))
    known = torch.logit(torch.tensor([1 - 1 / 333]))
    # what is learned where nothing ends is the discount, and then no end is foreseen
    torch.testing.assert_close(inside.loss(known, torch.zeros(1)), torch.distributions.Bernoulli(1 - 1 / 333).entropy()
                               .view(1))
    assert inside.mean(known) < 1e-6


@pytest.mark.parametrize("how", [{}, {"curved": False}, {"squash": False}, {"bins": 1}])
def test_what_is_said_of_numbers_in_bfloat16_costs_what_it_does_in_float32(how: dict[str, Any]) -> None:
    torch.manual_seed(0)
    head, x, truths = TwoHotHead(In((5,), (1,)), units=8, **how), torch.randn(6, 5), torch.randn(2, 6)
    nn.init.normal_(head.net[-1].weight)
    found = []
    for half in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            said = head(x)
            losses, mean = head.losses(said, truths), head.mean(said)
        losses.sum().backward()
        found.append((losses.detach(), mean.detach(), head.net[-1].weight.grad.clone()))
        assert {v.dtype for v in found[-1]} == {torch.float32}
        head.zero_grad()
    for whole, half in zip(found[0][::2], found[1][::2]):
        torch.testing.assert_close(whole, half, rtol=0.05, atol=0.05 * float(whole.abs().max()))


# ---------------------------------------------------------------- belief


def test_one_block_is_a_dense_cell() -> None:
    a = BlockLinear(6, 4, 1)
    nn.init.normal_(a.weight)
    x = torch.randn(3, 6)
    torch.testing.assert_close(a(x), x @ a.weight[0])
    cell = BlockGRU(In((5,), (1,), actions=2), size=8, hidden=3, blocks=1)
    z, act, h = torch.randn(2, 5), torch.randn(2, 2) * 3, torch.randn(2, 8)
    seen = [net(v) for net, v in zip(cell.of, (h, z, act.clamp(-1, 1)))]
    raw = cell.gates(cell.hidden(torch.cat([h, *seen], 1))).chunk(3, 1)
    torch.testing.assert_close(cell(z, act, h), gated(raw, h))
    blocks = BlockGRU(In((5,), (1,), actions=2), size=8, hidden=3, blocks=4)
    assert blocks.gates.weight.shape == (4, 2, 6)


def test_the_first_versions_sequences_know_nothing_of_what_was_done_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The authors' replay calls the first step of a sequence one (replay/generic.py): the action that led to it, from a
    belief that is not there, does not enter. Its first lives are by chance; the second version's are not."""
    monkeypatch.setattr(latents, "chosen", lambda weights: weights.argmax(-1))
    m = tiny("gym:CartPole-v1", "first-s", **{"dynamics.cell.size": 16, "dynamics.hidden": 8})
    code, action = torch.randn(2, 6, m.senses["vector"].out.channels[0]), torch.randn(2, 6, 2)
    first = torch.zeros(2, 6, dtype=torch.bool)
    other = torch.cat([action[:, :1] + 1, action[:, 1:]], 1)
    one, two = (m.dynamics.observe(code, a, first)[0]["deter"] for a in (action, other))
    torch.testing.assert_close(one, two)
    begun = {k: v + 0 for k, v in m.dynamics.initial(code, 2).items()}
    one, two = (m.dynamics.observe(code, a, first, begun)[0]["deter"] for a in (action, other))
    assert (one[:, 0] != two[:, 0]).any(), "one that goes on knows it"
    card = cards.get("dreamerv3")
    policies = {preset: card.recipe(preset).life.first[0].policy for preset in ("paper", "first-s", "first-xl")}
    assert policies == {"paper": "agent", "first-s": "random", "first-xl": "random"}


def test_a_belief_of_blocks_by_hand_is_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    m = NormedRSSM(In((6,), (1,), actions=2), Categorical(5, 4), part(BlockGRU, size=24, hidden=7, blocks=4), 9)
    with torch.no_grad():
        for p in m.parameters():
            p.add_(0.2 * torch.randn_like(p))
    embed, action, first = torch.randn(3, 9, 6, requires_grad=True), torch.randn(3, 9, 2), torch.rand(3, 9) < 0.2
    before = {k: torch.rand_like(v).requires_grad_() for k, v in m.initial(embed, 3).items()}
    found = []
    for mine in (True, False):
        if not mine:
            for where in ("blocks.by_hand", "normed.plain"):
                monkeypatch.setattr(f"stemma.parts.worlds.{where}", lambda x: False)
        torch.manual_seed(1)
        posts, priors = m.observe(embed, action, first, before)
        made = [*posts.values(), *priors.values()]
        total = torch.stack([(v * torch.linspace(-1, 2, v.numel()).view_as(v)).sum() for v in made]).sum()
        asked = [embed, before["stoch"], before["deter"], *m.parameters()]
        found.append([*made, *torch.autograd.grad(total, asked)])
    assert first.any() and not first.all()
    for written, loops in zip(*found):
        torch.testing.assert_close(written, loops, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("preset", ["small", "first-s"])
def test_what_the_actor_said_in_a_dream_is_what_it_says_of_its_beliefs(preset: str) -> None:
    m = tiny("gym:CartPole-v1", preset, **({"dynamics.cell.size": 16, "dynamics.hidden": 8} if preset != "small" else {}))
    posts = {k: v.unsqueeze(1) for k, v in m.dynamics.initial(torch.zeros(1), 6).items()}
    with torch.no_grad():
        path, done, said = m.dream(posts, 3, learned=True)
    again = m.actor(m.of_actor(m.parted(path)))
    assert said.requires_grad and not path.requires_grad and not done.requires_grad
    torch.testing.assert_close(said, again)
    mine, theirs = (torch.autograd.grad(x.square().sum(), list(m.actor.parameters())) for x in (said, again))
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("preset", ["small", "first-s"])
def test_an_episode_within_a_sequence_is_one_of_its_own(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latents, "chosen", lambda weights: weights.argmax(-1))
    m = tiny("gym:CartPole-v1", preset, **({"dynamics.cell.size": 16, "dynamics.hidden": 8} if preset != "small" else {}))
    code, action = torch.randn(2, 6, m.senses["vector"].out.channels[0]), torch.randn(2, 6, 2)
    first = torch.zeros(2, 6, dtype=torch.bool)
    first[:, [0, 4]] = True
    whole, _ = m.dynamics.observe(code, action, first)
    alone, _ = m.dynamics.observe(code[:, 4:], action[:, 4:], first[:, 4:])
    torch.testing.assert_close(whole["deter"][:, 4:], alone["deter"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("balance", [(1.0, 0.0), (0.0, 1.0), (0.5, 0.1)])
def test_the_split_divergence_pulls_the_named_side_alone(balance: tuple[float, float]) -> None:
    """The first weight draws what was foreseen to what is seen, the second the other way (eq. 5); each by its own."""
    m = tiny("gym:CartPole-v1", **{"rule.free": 0.0, "rule.balance": balance})
    latent, rule = m.dynamics.latent, m.spec.rule
    g = torch.Generator().manual_seed(0)
    seen, foreseen = (torch.randn(2, 3, latent.params, generator=g, requires_grad=True) for _ in range(2))
    rule(m.dynamics, latent.stats(seen), latent.stats(foreseen), [], torch.zeros(2, 3, dtype=torch.bool))["kl"].backward()
    given = [torch.zeros(()) if x.grad is None else x.grad.abs().sum() for x in (foreseen, seen)]
    assert [bool(v > 0) for v in given] == [w > 0 for w in balance]
    alone = torch.autograd.grad(latent.kl(latent.stats(seen.detach()), latent.stats(foreseen)).mean(), foreseen)[0]
    if balance[0]:
        torch.testing.assert_close(foreseen.grad, balance[0] * alone * rule.scale)


# ---------------------------------------------------------------- acting


def test_lambda_returns_at_both_ends() -> None:
    g = torch.Generator().manual_seed(0)
    r, v = torch.randn(2, 6, generator=g), torch.randn(2, 6, generator=g)
    one = torch.ones(2, 6)
    torch.testing.assert_close(lambda_returns(r, one * 0.9, v, 0.0), r[:, 1:] + 0.9 * v[:, 1:])
    far = lambda_returns(r, one * 0.9, v, 1.0)
    by_hand = sum(0.9**k * r[:, 1 + k] for k in range(5)) + 0.9**5 * v[:, 5]
    torch.testing.assert_close(far[:, 0], by_hand)
    cut = torch.zeros(2, 6, dtype=torch.bool)
    cut[:, 3] = True
    torch.testing.assert_close(lambda_returns(r, one * 0.9, v, 1.0, cut)[:, 2], r[:, 3] + 0.9 * v[:, 3])


def test_returns_that_lie_near_are_not_scaled_and_the_scale_begins_at_nothing() -> None:
    scale = Scale()
    assert scale(torch.tensor([0.0, 0.5, 1.0])) == 1.0
    x = torch.linspace(0, 1000, 1001)
    torch.testing.assert_close(scale(x), torch.tensor(0.99 * 0.01 * 0.9 + 0.01 * 900), rtol=1e-4, atol=0)
    before = scale.high.clone()
    scale(x, update=False)
    assert torch.equal(scale.high, before)


@pytest.mark.parametrize("choices", [(3,), (2, 4), ()])
def test_a_policy_is_torchs_distribution(choices: tuple[int, ...]) -> None:
    p = Policy(In((5,), (1,), actions=sum(choices) or 2), units=8, layers=1, choices=choices, scale=1.0)
    said = p(torch.randn(7, 5))
    action = p.sample(said)
    if choices:
        there = [torch.distributions.OneHotCategorical(logits=x) for x in said.split(choices, -1)]
        parts = action.split(choices, -1)
        assert all((x.sum(-1) == 1).all() for x in parts)
    else:
        there, parts = [torch.distributions.Independent(torch.distributions.Normal(*p._normal(said)), 1)], (action,)
    torch.testing.assert_close(p.log_prob(said, action), sum(d.log_prob(x) for d, x in zip(there, parts)))
    torch.testing.assert_close(p.entropy(said), sum(d.entropy() for d in there))


def test_a_shadow_follows_by_its_rate() -> None:
    net = nn.Linear(3, 2)
    shadow = Shadow(net)
    x = torch.randn(4, 3)
    was = net(x).detach()
    with torch.no_grad():
        net.weight.add_(1.0)
    torch.testing.assert_close(shadow(net, x), was)
    shadow.follow(net, 0.02)
    torch.testing.assert_close(shadow(net, x), was + 0.02 * x.sum(-1, keepdim=True))


@pytest.mark.oracle("LaProp", "dreamerv3", how="a restatement of ten lines")
def test_laprop_is_ten_lines() -> None:
    torch.manual_seed(0)
    w = nn.Parameter(torch.randn(4, 3))
    own, v, m = w.detach().clone(), 0.0, 0.0
    opt = optim.LaProp([{"params": [w]}], lr=0.01, agc=0.3)
    for t in range(1, 8):
        g = torch.randn(4, 3) * 10
        w.grad = g.clone()
        g = g / max(1.0, float(g.norm() / (0.3 * max(1e-3, float(own.norm())))))
        v = 0.999 * v + 0.001 * g * g
        m = 0.9 * m + 0.1 * g / ((v / (1 - 0.999**t)).sqrt() + 1e-20)
        own = own - 0.01 * m / (1 - 0.9**t)
        before = w.detach().clone()
        opt.step()
        torch.testing.assert_close(w.detach(), own)
        if t == 1:
            torch.testing.assert_close((w.detach() - before).abs(), torch.full((4, 3), 0.01))


# ---------------------------------------------------------------- the whole


@pytest.mark.parametrize("env, preset", [("gym:CartPole-v1+image", "small"), ("gym:Pendulum-v1", "small"),
                                         ("gym:Pendulum-v1", "first-s"), ("drawn-pendulum", "small"),
                                         ("drawn-pendulum", "conv-small")])
def test_every_weight_learns_and_losses_are_numbers(env: str, preset: str) -> None:
    m = tiny(env, preset, **({"dynamics.cell.size": 16} if preset == "first-s" else {})).train()
    with torch.no_grad():  # heads that begin at nothing let no gradient through
        for head in (m.nets["reward"], m.critic):
            nn.init.normal_(head.net[-1].weight, std=0.1)
    losses = m.loss(batch_of(m))
    assert {"reward", "terminal", "kl", "actor", "critic"} <= set(losses) and ("replay" in losses) == (preset != "first-s")
    assert all(v.isfinite() and v.ndim == 0 for v in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    assert not [n for n, p in m.named_parameters() if p.grad is None]


def test_dreams_teach_the_model_of_the_world_nothing() -> None:
    m = tiny("gym:Pendulum-v1", "small", **{"behaviour.replay": 0.0}).train()
    losses = m.loss(batch_of(m), "^(actor|critic)$")
    torch.stack(list(losses.values())).sum().backward()
    heard = {n.split(".")[0] for n, p in m.named_parameters() if p.grad is not None and p.grad.any()}
    assert heard <= {"actor", "critic"} and "critic" in heard


def test_blocks_begin_as_the_authors_code_counts_their_inputs() -> None:
    """nets.py `Initializer.compute_fans`: of a kernel (blocks, in, out) the fan-in is blocks x in."""
    torch.manual_seed(0)
    for preset, inputs in (("size1m", 512), ("conv-small", 512 // 8)):
        p = dreamerv3.spec(preset)
        kept, drawn = (x["whole"] for x in (p.dynamics["cell"], p.heads[0].net))
        assert kept == drawn == (preset == "size1m")
        wide = normed.begin(BlockLinear(512, 4096, 8, kept)).weight.std().item()
        assert wide == pytest.approx(inputs**-0.5, rel=0.02)


@pytest.mark.parametrize("env", ["gym:CartPole-v1", "gym:Pendulum-v1"])
def test_an_actor_says_how_random_it_is(env: str) -> None:
    """The authors' `imag_loss`: rand, ret_rate, adv_mag, of the same dream; a new actor is nearly by chance."""
    m = tiny(env).train()
    m.actor.net[-1].weight.data.zero_()
    torch.manual_seed(0)
    m.loss(batch_of(m))
    said = {k: float(v) for k, v in m.told.items()}
    n = m.classes
    if env.endswith("CartPole-v1"):
        own, least, most = math.log(n), 0.0, math.log(n)
    else:
        at = lambda std: n * float(torch.distributions.Normal(0, std).entropy())
        own, least, most = at(0.9 * torch.tensor(2.0).sigmoid() + 0.1), at(0.1), at(1.0)
    assert said["entropy"] == pytest.approx(own, rel=1e-4)
    assert said["randomness"] == pytest.approx((own - least) / (most - least), rel=1e-4)
    assert 0 <= said["return_rate"] <= 1 and said["advantage"] >= 0


def test_what_dreams_came_to_is_the_authors_metrics() -> None:
    returns, value = torch.tensor([[3.0, 0.5], [-2.0, 1.0]]), torch.tensor([[1.0, 1.0], [1.0, 1.0]])
    said = accounted(returns, value, torch.full((2, 2), 0.3), (torch.tensor(-1.0), torch.tensor(2.0)), (0.1, 0.5))
    assert {k: pytest.approx(float(v)) for k, v in said.items()} == {
        "entropy": 0.3, "randomness": 0.5, "return": (2 + 0.75 - 0.5 + 1) / 4, "return_rate": 0.5,
        "advantage": (1 + 0.25 + 1.5 + 0) / 4}


def test_kept_beliefs_begin_a_sequence() -> None:
    m = tiny("gym:CartPole-v1").eval()
    batch = batch_of(m, 2, 5)
    batch["first"][:] = False
    posts, _ = m.dynamics.observe(m.encode(batch), batch["action"], batch["first"])
    kept = m.kept({k: v[:, 0] for k, v in posts.items()})
    back = latents.unkept(m.dynamics.latent, kept)
    torch.testing.assert_close(back["stoch"], posts["stoch"][:, 0].detach())
    torch.testing.assert_close(back["deter"], posts["deter"][:, 0].detach(), atol=1e-3, rtol=1e-3)
    torch.manual_seed(0)
    m.loss(batch | {k: v[:, None].expand(-1, 5, *v.shape[1:]) for k, v in kept.items()})
    assert m.fresh["deter"].shape[:2] == (2, 4) and m.fresh["stoch"].dtype == torch.uint8


def test_one_batch_is_learned_by_heart(learned: Learned) -> None:
    m = tiny("gym:CartPole-v1").train()
    batch = batch_of(m, 4, 8)
    optimizer = torch.optim.Adam(m.parameters(), 3e-3)
    only = "^(vector|reward|terminal)$"
    for i in range(200):
        loss = torch.stack(list(m.loss(batch, only).values())).sum()
        first = loss.item() if i == 0 else first
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    learned("losses of the world model", loss.item(), at_most=0.4 * first, untrained=first)


def test_small_sees_a_picture_within_its_few_updates(learned: Learned) -> None:
    """At its own rate, beside one picture that is drawn for all."""
    m = tiny("drawn-pendulum").train()
    env = envs.make("drawn-pendulum", m.spec.pixels.size, True)
    lives = [envs.live(env, envs.RandomPolicy("uniform", 1, i), i) for i in range(8)]
    batch = {k: torch.from_numpy(np.stack([e[k][:8] for e in lives])) for k in lives[0]}
    x = m.spec.pixels(batch["image"])
    blind = m.spec.heads[0].weight * 0.5 * (x - x.mean((0, 1))).square().sum((2, 3, 4)).mean().item()
    optimizer = optim.make_optimizer(m, m.recipe)
    for _ in range(200):
        losses = m.loss(batch, "^(image|kl)$")
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
    learned("what is wrong in a picture", losses["image"].item(), at_most=0.9 * blind, untrained=blind)


# ---------------------------------------------------------------- what a part is worth: one taken away at a time

PLAIN = {"senses.0.net.squash": False, "heads.0.net.squash": False, "heads.1.net.squash": False, "critic.squash": False}


def test_without_symlog_numbers_stay_as_they_are() -> None:
    m, n = tiny("gym:Pendulum-v1"), tiny("gym:Pendulum-v1", **PLAIN)
    x = torch.tensor([[0.3, -40.0, 7.0]])
    for model, f in ((m, symlog), (n, lambda v: v)):
        torch.testing.assert_close(model.senses["vector"](x), model.senses["vector"].net(f(x)))
        head = model.nets["vector"]
        said = head(torch.randn(1, 160))
        torch.testing.assert_close(head.loss(said, x), (said - f(x)).square().sum(-1))
        torch.testing.assert_close(symlog(head.mean(said)) if f is symlog else head.mean(said), said)
    for head in (n.nets["reward"], n.critic):
        torch.testing.assert_close(head.bins, torch.linspace(-20, 20, 255))
        hot = two_hot(torch.tensor([3.3]), head.bins)
        torch.testing.assert_close(head.mean((hot + 1e-12).log()), torch.tensor([3.3]), rtol=1e-4, atol=1e-4)
    assert m.critic.bins[-1] > 1e8


@pytest.mark.parametrize("squash", [True, False])
def test_without_two_hot_one_number_is_told(squash: bool) -> None:
    one = {"heads.1.net.bins": 1, "critic.bins": 1, "heads.1.net.squash": squash, "critic.squash": squash}
    m = tiny("gym:CartPole-v1", **one).train()
    f = symlog if squash else (lambda v: v)
    said, truth = torch.randn(5, 1), torch.tensor([0.0, 1.0, -30.0, 4.0, 900.0])
    for head in (m.nets["reward"], m.critic):
        assert head(torch.randn(5, 160)).shape == (5, 1) and not head.mean(head(torch.randn(5, 160))).any()
        torch.testing.assert_close(head.loss(said, truth), 0.5 * (said[:, 0] - f(truth)).square())
        torch.testing.assert_close(f(head.mean(said)), said[:, 0])
    assert all(v.isfinite() for v in m.loss(batch_of(m)).values())


def test_without_free_nats_every_nat_costs() -> None:
    m, n = tiny("gym:CartPole-v1"), tiny("gym:CartPole-v1", **{"rule.free": 0.0})
    batch = batch_of(m)
    kl, posts, priors = thrown_alike((m, n), batch, "kl")
    nats = n.dynamics.divergence(posts, priors)
    torch.testing.assert_close(kl[1], (1.0 + 0.1) * nats.mean())
    torch.testing.assert_close(kl[0], (1.0 + 0.1) * (nats - 1).clamp(min=0).mean())
    assert kl[1] > kl[0]


def test_without_the_slow_critic_nothing_draws_the_fast_one() -> None:
    m, n = tiny("gym:CartPole-v1").train(), tiny("gym:CartPole-v1", **{"behaviour.pull": 0.0}).train()
    batch, losses = batch_of(m), []
    for model in (m, n):
        for v in model.shadow.buffers():
            v.copy_(torch.randn(v.shape, generator=torch.Generator().manual_seed(3)))
        torch.manual_seed(0)
        losses.append(model.loss(batch)["critic"])
    assert losses[0] != losses[1]
    for v in n.shadow.buffers():
        v.zero_()
    torch.manual_seed(0)
    n.scale.low.zero_(), n.scale.high.zero_()
    torch.testing.assert_close(n.loss(batch)["critic"], losses[1])


class Line:
    """A model of a world that is known: a place moves by what is done; being near 3 earns; nothing ends."""

    def __init__(self, looks: Lookahead, choices: tuple[int, ...]) -> None:
        self.spec = SimpleNamespace(actor={"choices": choices}, looks=looks)
        self.classes, self.dynamics, self.seen = sum(choices) or 1, self, 0
        self.choices = choices

    def imagine(self, action: Tensor, state: dict[str, Tensor]) -> dict[str, Tensor]:
        moved = action @ torch.tensor([[-1.0], [1.0]]) if self.choices else action
        return {"stoch": state["stoch"][:, None] + moved.cumsum(1)}

    def features(self, state: dict[str, Tensor]) -> Tensor:
        return state["stoch"]

    def foretold(self, path: Tensor) -> tuple[Tensor, Tensor]:
        return -(path[..., 0] - 3).abs(), torch.full(path.shape[:2], 0.9)

    def value(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        return -20 * x[..., 0]  # behind the horizon it is better the other way

    def dream(self, posts: Any, steps: int | None = None) -> tuple[Tensor, Tensor]:
        n = len(posts["stoch"])
        assert steps is not None
        return torch.zeros(n, steps + 1, 1), torch.full((n, steps + 1, self.classes), -1.0)


@pytest.mark.parametrize("choices", [(), (2,)])
def test_a_search_takes_the_actors_place(choices: tuple[int, ...]) -> None:
    """It goes to where the rewards are; with the critic at its horizon, to what is worth more behind it."""
    torch.manual_seed(0)
    state = {"stoch": torch.tensor([[0.0], [6.0]])}
    for valued in (False, True):
        looks = Lookahead(ahead=3, valued=valued, candidates=64, elites=8)
        model = Line(looks, choices)
        first = looks.decide(model, state)
        way = first @ torch.tensor([[-1.0], [1.0]]) if choices else first
        assert (way[0] < -0.3 if valued else way[0] > 0.3) and way[1] < -0.3 and (model.seen > 0) == valued
        if choices:
            assert first.sum(1).tolist() == [1, 1] and set(first.flatten().tolist()) == {0.0, 1.0}
    by_hand = -2 + 0.9 * -1 + 0.81 * 0
    told = Lookahead(3, False).worth(Line(looks, ()), {"stoch": torch.zeros(1, 1)}, torch.ones(1, 1, 3, 1))
    torch.testing.assert_close(told, torch.tensor([[by_hand]]))


@pytest.mark.parametrize("env", ["gym:CartPole-v1", "gym:Pendulum-v1"])
def test_an_agent_that_looks_ahead_lives(env: str) -> None:
    sets = {"looks.ahead": 3, "looks.seeded": 4, "looks.candidates": 16, "looks.elites": 4}
    m, plain_ = tiny(env, **sets).eval(), tiny(env).eval()
    seen = {"vector": torch.randn(2, 4 if "Cart" in env else 3), "first": torch.ones(2, dtype=torch.bool)}
    called = []
    own = Lookahead.decide
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lookahead, "decide", lambda *given: called.append(1) or own(*given))
        for model in (m, plain_):
            action, carry = model.act(seen)
            assert action.shape == (2, model.classes) and action.abs().max() <= 1 and set(carry) > {"action", "deter"}
    assert len(called) == 1
    for sets, said in (({"looks.ahead": 3, "looks.seeded": 500}, "cannot be the actor's"),
                       ({"looks.ahead": 3, "looks.elites": 500}, "elites")):
        with pytest.raises(StemmaError, match=said):
            tiny(env, **sets)


def test_a_window_remembers_what_is_in_it_and_nothing_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latents, "chosen", lambda weights: weights.argmax(-1))
    torch.manual_seed(0)
    m = checkpoint.build("dreamerv3", "window-small", sets={
        "dynamics.cell.size": 16, "dynamics.cell.hidden": 8, "dynamics.cell.window": 3, "dynamics.cell.layers": 1,
        "dynamics.hidden": 8, "behaviour.horizon": 2}, info=envs.info_of("t-maze:5"))
    d = m.dynamics
    state = d.initial(torch.zeros(1), 2)
    stoch = torch.randn(2, 6, d.latent.width)
    told: list[list[Tensor]] = [[], []]
    for which, begin in ((0, 0), (1, 3)):  # the same last three steps
        past, filled = state["past"], state["filled"]
        for t in range(begin, 6):
            deter, past, filled = d.cell(stoch[:, t], torch.zeros(2, 2), past, filled)
            told[which].append(deter)
    torch.testing.assert_close(told[0][-1], told[1][-1])
    assert not torch.allclose(told[0][4], told[1][1]) and not torch.allclose(told[0][-1], told[0][-2])
    batch = batch_of(m)
    losses = m.train().loss(batch)
    assert all(v.isfinite() for v in losses.values()) and not m.context
    code = m.encode(batch)
    batch["first"][:] = False
    batch["first"][:, 3] = True
    whole, _ = d.observe(code, batch["action"], batch["first"])
    alone, _ = d.observe(code[:, 3:], batch["action"][:, 3:], batch["first"][:, 3:])
    torch.testing.assert_close(whole["deter"][:, 3:], alone["deter"], atol=1e-5, rtol=1e-5)
    with agents.crew_for(m, "t-maze:5") as crew:
        assert len(agents.live_side_by_side(m.eval(), crew, [1])[0]["reward"]) == 7


def test_a_world_may_pay_another_coin() -> None:
    for name in ("gym:Pendulum-v1", "drawn-pendulum"):
        plain_, more = envs.get(name), envs.get(f"times:0.01:{name}")
        assert (more.choices, more.actions, more.law) == (plain_.choices, plain_.actions, plain_.law)
        senses = tuple(k for k, _ in more.inputs)
        with envs.Crew(name, senses=senses) as one, envs.Crew(more.name, senses=senses) as other:
            (a,), (b,) = one.random([5]), other.random([5])
        np.testing.assert_allclose(b["reward"], 0.01 * a["reward"], rtol=1e-6)
        assert all(np.array_equal(a[k], b[k]) for k in a if k != "reward") and a["reward"].any()
    for name in ("times:gym:CartPole-v1", "times:0:gym:CartPole-v1", "times:2"):
        with pytest.raises(StemmaError, match="no factor and world"):
            envs.get(name)


def test_a_worlds_pictures_alone_keep_its_choices() -> None:
    pytest.importorskip("minigrid", reason="MiniGrid: pip install 'stemma-vision[worlds]'")
    name = "pictures:minigrid:Empty-5x5"
    card = envs.get(name)
    assert (card.inputs, card.choices, card.words, card.numbers) == ((("image", 0),), (7,), (), ())
    assert not envs.get("pictures:drawn-pendulum").choices
    with envs.Crew(name, 0, 16) as one, envs.Crew("minigrid:Empty-5x5+image", 0, 16, senses=("image", "vector")) as all_:
        a, b = next(one.random([3])), next(all_.random([3]))
    assert set(b) - set(a) == {"vector"} and all(np.array_equal(a[k], b[k]) for k in a)
    for none in ("pictures:t-maze:3", "pictures:messenger:s1"):
        with pytest.raises(StemmaError, match="shows no picture; it shows"):
            envs.get(none)


def test_a_t_maze_asks_for_memory_alone() -> None:
    env = envs.make("t-maze:4", senses=("vector",))
    signs = set()
    for seed in range(8):
        for side in (0, 1):
            seen, _ = env.reset(seed=seed)
            sign, told, over = int(seen["vector"].argmax()), [], False
            while not over:
                seen, reward, over, _, _ = env.step(np.eye(2, dtype=np.float32)[side])
                told.append((int(seen["vector"].argmax()), reward))
            assert [t[0] for t in told] == [2, 2, 2, 3, sign] and [t[1] for t in told[:-1]] == [0, 0, 0, 0]
            assert told[-1][1] == (1.0 if side == sign else -1.0)
            signs.add(sign)
    assert signs == {0, 1}
    for name in ("t-maze:", "t-maze:none", "t-maze:0"):
        with pytest.raises(StemmaError, match="names no corridor"):
            envs.get(name)
    with pytest.raises(StemmaError, match="shows no image"):
        envs.make("t-maze:4", senses=("image",))


# ---------------------------------------------------------------- the newest first, and worlds


def test_the_newest_are_given_once_and_first(tmp_path: Path) -> None:
    store = Replay(tmp_path)
    one = lambda n, k: {"action": np.zeros((n, 1)), "reward": np.full(n, k, np.float32), "terminal": np.zeros(n, bool),
                        "first": np.arange(n) == 0}
    store.add(0, one(20, 0))
    rows = store.sample(np.random.default_rng(0), 3, 5, cross=True, newest=True)["row"]
    assert rows[:, 0].tolist() == [0, 5, 10]
    again = store.sample(np.random.default_rng(0), 3, 5, cross=True, newest=True)["row"]
    assert again[0, 0] == 15 and store.handed == 20
    store.add(1, one(7, 1))
    assert store.sample(np.random.default_rng(0), 2, 5, cross=True, newest=True)["row"][0].tolist() == [20, 21, 22, 23, 24]


class Counting(gymnasium.Env):
    """Tells which life it is and how many steps it has lived; ends at the fifth."""

    observation_space = gymnasium.spaces.Box(-1e3, 1e3, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)
    lives = 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.lives, self.n = self.lives + 1, 0
        return np.array([self.lives, 0], np.float32), {}

    def step(self, action: Any) -> Any:
        assert action in (0, 1, 2)
        self.n += 1
        return np.array([self.lives, self.n], np.float32), float(self.n), self.n == 5, False, {}


def test_no_step_of_an_episode_is_lost_doubled_or_anothers(tmp_path: Path) -> None:
    """Counted steps: what a late reset would put into the store (a step with the last episode's end, or an action that
    was never carried out) is not there."""
    gymnasium.register("Counting-v0", entry_point=Counting, max_episode_steps=50)
    try:
        m = tiny("gym:Counting-v0")
        with agents.crew_for(m, "gym:Counting-v0") as crew:
            for lived in (agents.live_side_by_side(m, crew, [1, 2]), list(crew.random([3, 4]))):
                for e in lived:
                    assert e["vector"][:, 1].tolist() == e["reward"].tolist() == [0, 1, 2, 3, 4, 5]
                    assert len(set(e["vector"][:, 0].tolist())) == 1
                    assert e["terminal"].tolist() == [False] * 5 + [True] and e["first"].tolist() == [True] + [False] * 5
                    assert not e["action"][0].any() and (e["action"][1:].sum(1) == 1).all()
    finally:
        gymnasium.registry.pop("Counting-v0")


def test_a_late_reset_of_vector_environments_would_be_seen(tmp_path: Path) -> None:
    """gymnasium's own vector reset comes a step late: of n steps taken, one an episode carries nothing out, and earns 0.
    Counted beside what lives side by side here leave in the store, which has none of these."""
    gymnasium.register("Counting-v0", entry_point=Counting, max_episode_steps=50)
    try:
        theirs = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("Counting-v0")] * 2)
        theirs.reset(seed=0)
        told = [theirs.step(np.zeros(2, np.int64)) for _ in range(18)]
        idle = sum(int((seen[:, 1] == 0).sum()) for seen, *_ in told)
        assert idle == 6 and sum(float(r.sum()) for _, r, *_ in told) == 2 * 3 * 15  # three lives of 5 steps and 1 idle
        theirs.close()
        m, store = tiny("gym:Counting-v0"), Replay(tmp_path)
        with agents.crew_for(m, "gym:Counting-v0") as crew:
            for n, e in enumerate(agents.live_side_by_side(m, crew, [1, 2, 3, 4, 5, 6])):
                store.add(n, e)
        begun = store.arrays["first"][: store.steps]
        counted = store.arrays["vector"][: store.steps, 1]
        # every step that is held but an episode's first was carried out and earned what it counted
        assert store.steps == 6 * 6 and begun.sum() == 6 and (counted[begun] == 0).all() and (counted[~begun] > 0).all()
        assert store.arrays["reward"][: store.steps].sum() == 6 * 15
        assert (store.arrays["action"][: store.steps].sum(1) == ~begun).all()
    finally:
        gymnasium.registry.pop("Counting-v0")


def test_names_of_worlds_say_what_is_seen_and_done() -> None:
    info = envs.info_of("gym:CartPole-v1+image")
    assert info.inputs == (("image", 0), ("vector", 4)) and info.choices == (2,)
    assert envs.info_of("gym:Pendulum-v1").choices == () and envs.get("drawn-pendulum").inputs == ()
    env = envs.make("gym:CartPole-v1+image", 32, True, ("image", "vector"))
    seen, _ = env.reset(seed=3)
    assert seen["image"].shape == (32, 32, 1) and seen["vector"].shape == (4,)
    bare = gymnasium.make("CartPole-v1")
    theirs, _ = bare.reset(seed=3)
    np.testing.assert_array_equal(seen["vector"], theirs)
    np.testing.assert_array_equal(env.step(np.array([0.0, 1.0]))[0]["vector"], bare.step(1)[0])
    with pytest.raises(StemmaError, match="shows no token"):
        envs.make("gym:CartPole-v1", 32, True, ("token",))
    with pytest.raises(StemmaError, match="cannot be made"):
        envs.get("gym:CartPoles-v1")


def test_an_absent_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    gone = ("minigrid", "crafter", "ale_py", "dm_control")
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n in gone else real(n, *a))
    for name, said in (("minigrid:Empty-5x5", r"minigrid.*stemma-vision\[worlds\]"), ("gym:ALE/Pong-v5", r"ale_py.*worlds"),
                       ("atari:pong", r"ale_py.*worlds"), ("gym:CrafterReward-v1", "crafter"), ("dmc:walker-run", r"dm_control.*worlds")):
        with pytest.raises(StemmaError, match=said):
            native.look.cache_clear()
            envs.get(name)


@pytest.mark.parametrize("name, package, inputs, choices", [
    ("minigrid:GoToDoor-5x5", "minigrid", (("vector", 151), ("token", 11)), (7,)),
    ("atari100k:pong", "ale_py", (("image", 0),), (6,)), ("gym:ALE/Pong-v5", "ale_py", (("image", 0),), (6,)),
    ("gym:CrafterReward-v1", "crafter", (("image", 0),), (17,)), ("dmc:walker-walk", "dm_control", (("vector", 24),), ())])
def test_worlds_of_others_live_with_what_is_their_own(name: str, package: str, inputs: Any, choices: Any) -> None:
    pytest.importorskip(package, reason=f"{name}: pip install 'stemma-vision[worlds]'")
    info = envs.info_of(name)
    assert info.inputs == inputs and info.choices == choices
    env = envs.make(name, 32, False, tuple(k for k, _ in inputs))
    seen, _ = env.reset(seed=0)
    policy = envs.RandomPolicy(envs.get(name).law, len(envs.get(name).actions), 0, choices)
    for _ in range(3):
        seen, *_ = env.step(policy())
    for k, n in inputs:
        assert seen[k].shape == ((32, 32, 3) if k == "image" else () if k == "token" else (n,))
    env.close()


def test_an_episode_is_as_long_as_its_world_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """ale-py 0.12 registers no number of steps: a game has 108,000 frames, four of them a decision. crafter 1.8 has
    10,000 steps in its class alone. A world that says nothing is cut, and that is said."""
    pytest.importorskip("ale_py", reason="Atari: pip install 'stemma-vision[worlds]'")
    pytest.importorskip("crafter", reason="Crafter: pip install 'stemma-vision[worlds]'")
    assert [native.look(n).limit for n in ("gym:ALE/Pong-v5", "atari:pong", "gym:CrafterReward-v1", "gym:CartPole-v1")
            ] == [27_000, 27_000, 10_000, 500]
    import gymnasium
    from gymnasium.envs.classic_control import CartPoleEnv

    monkeypatch.setitem(gymnasium.registry, "Endless-v0", gymnasium.envs.registration.EnvSpec("Endless-v0", CartPoleEnv))
    with pytest.warns(UserWarning, match="'gym:Endless-v0' does not say how long .* cut after 1000"):
        assert native.look("gym:Endless-v0").limit == 1000


@pytest.mark.oracle("the Arcade Learning Environment", how="the same pixels and points")
def test_a_decision_of_atari_is_what_the_emulator_does_in_four_frames() -> None:
    """Against the emulator itself, set back to where the decision began."""
    pytest.importorskip("ale_py", reason="Atari: pip install 'stemma-vision[worlds]'")
    env = native.made("atari100k:Boxing")
    ale, rng, begun = env.unwrapped.ale, np.random.default_rng(0), set()
    for seed in range(12):
        env.reset(seed=seed)
        begun.add(ale.getEpisodeFrameNumber())
        for _ in range(3):
            action, state = int(rng.integers(18)), ale.cloneState()
            seen, reward, *_ = env.step(action)
            after = ale.cloneState()
            ale.restoreState(state)
            earned, frames = 0, []
            for _ in range(4):
                earned += ale.act(env.unwrapped._action_set[action])
                frames.append(ale.getScreenRGB())
            assert reward == earned and (seen == np.maximum(*frames[2:])).all()
            ale.restoreState(after)
    assert len(begun) > 6 and min(begun) >= 0 and max(begun) <= 30, "0 to 30 frames in which nothing is done"
    late = native.made("atari:boxing").unwrapped.ale.getFloat("repeat_action_probability")
    assert (ale.getFloat("repeat_action_probability"), late) == (0.0, 0.25)
    assert native.made("atari:pong").action_space.n == 18 and native.made("atari100k:pong").action_space.n == 6
    with pytest.raises(StemmaError, match="no game 'pongg'.*did you mean pong"):
        native.made("atari:pongg")


def test_deepmind_control_lives_in_a_process_of_its_own() -> None:
    """torch's compiler and the software renderer each bring an LLVM; which is first decides whether both live."""
    pytest.importorskip("dm_control", reason="DeepMind control: pip install 'stemma-vision[worlds]'")
    done = subprocess.run([sys.executable, "-c", "from stemma.data.worlds import envs\n"
                           "envs.info_of('dmc:cartpole-swingup')\n"
                           "envs.make('dmc:cartpole-swingup', 16, True, ('vector',)).reset(seed=0)"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]


def test_a_task_of_control_that_reached_its_end_is_over_and_one_whose_time_is_up_is_not() -> None:
    """Its discount says which (0: nothing comes behind); and MuJoCo's 1e10 is no bound to scale an action to."""
    pytest.importorskip("dm_control", reason="DeepMind control: pip install 'stemma-vision[worlds]'")
    env = envs.make("dmc:lqr-lqr-2-1", 16, True, ("vector",))
    env.reset(seed=0)
    _, reward, *ended, _ = env.step(np.ones(1, np.float32))
    assert ended == [False, False] and abs(reward) < 5
    with env.inner.physics.reset_context():
        env.inner.physics.data.qpos[:] = env.inner.physics.data.qvel[:] = 0
    assert env.step(np.zeros(1, np.float32))[2:4] == (True, False)
    env = envs.make("dmc:cartpole-swingup", 16, True, ("vector",))
    env.reset(seed=0)
    ends = [env.step(np.zeros(1, np.float32))[2:4] for _ in range(500)]
    assert ends == [(False, False)] * 499 + [(False, True)]


def test_the_study_of_actors_asks_every_way_and_continues(tmp_path: Path) -> None:
    from stemma.studies import lookahead

    sets = TINY | {"recipe.life.first.0.amount": 1, "recipe.life.then.0.sequence": 8, "recipe.batch": 2,
                   "recipe.life.then.0.ratio": 0.0}
    run = agents.train("dreamerv3", "env:gym:CartPole-v1", "2steps", "small", tmp_path / "run", 0,
                       sets | {"recipe.life.then.0.amount": 2}, progress=False, val_every=0, device="cpu")
    given: dict[str, Any] = {"episodes": 2, "candidates": 8, "device": "cpu"}
    record = lookahead.study(run.path, tmp_path / "s", (2,), **given)
    assert [(r["way"], r["ahead"]) for r in record["rows"]] == [("actor", 0), *((w, 2) for w in lookahead.WAYS[1:])]
    assert all(r["return"] > 0 and r["milliseconds"] > 0 for r in record["rows"])
    again = lookahead.study(run.path, tmp_path / "s", (2, 3), **given)
    assert len(again["rows"]) == 7 and record["rows"][1] in again["rows"]
    assert "<svg" in (tmp_path / "s" / "lookahead.html").read_text()
    with pytest.raises(StemmaError, match="other settings"):
        lookahead.study(run.path, tmp_path / "s", (2,), **given | {"episodes": 3})
    with pytest.raises(StemmaError, match="episodes must be 2 or more"):
        lookahead.study(run.path, tmp_path / "one", (2,), **given | {"episodes": 1})
    asked = [lookahead.looks_of(w, 5, 32) for w in lookahead.WAYS]
    assert [(x.ahead, x.valued, x.seeded) for x in asked] == [(0, True, 0), (5, False, 0), (5, True, 0), (5, True, 8)]


def test_the_study_of_switches_takes_each_part_away_and_continues(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from stemma.studies import switches

    whole, *without = switches.parts("gym:CartPole-v1", 50.0).items()
    assert whole == (switches.WHOLE, ("small", {})) and len(without) == 4
    assert [switches.plainly(x) for x in (3, 100.0, 0.01, 1e-7, 0.1234567)] == ["3", "100", "0.01", "0.0000001",
                                                                               "0.1234567"]
    m = {name: tiny("gym:CartPole-v1", **sets) for name, (_, sets) in without}
    bins = m["no symlog"].critic.bins
    assert not m["no symlog"].critic.squash and not m["no symlog"].heads["vector"].squash
    assert float(bins[-1]) == 50 and torch.allclose(bins.diff(), bins.diff()[0].expand(254))
    assert m["no two-hot"].critic.one and m["no two-hot"].nets["reward"].one and m["no two-hot"].critic.squash
    assert m["no free nats"].spec.rule.free == 0 and m["no slow critic"].spec.behaviour.pull == 0

    args = ["parts", "--scales", "100", "--budget", "1steps", "--episodes", "2", "--out", str(tmp_path),
            *(f"--set={k}={v}" for k, v in TINY.items())]
    switches.main(args)
    said = capsys.readouterr().out
    assert [line.split("  ")[0] for line in said.splitlines()[1:7]] == [switches.WHOLE, *m, switches.CHANCE]
    record = json.loads((tmp_path / "switches.json").read_text())
    assert len(record["rows"]) == 6 and all(9 <= r["mean"] <= 500 for r in record["rows"])  # in poles held, not in coin
    switches.main(args)
    again = capsys.readouterr().out
    assert again == said and json.loads((tmp_path / "switches.json").read_text()) == record
    for more, told in ((["--episodes", "3"], "other settings"), (["--set", "rule.free"], "PATH=VALUE"),
                       (["--set", "rule.none=1"], "none")):
        with pytest.raises(StemmaError, match=told):
            switches.main([*args, *more])


def test_what_a_memory_foresees_behind_a_turn_is_held_against_what_is_seen_there(tmp_path: Path) -> None:
    from stemma.studies import switches

    short = {"recipe.life.first.0.amount": 2, "recipe.batch": 2}
    record = switches.study("memory", tmp_path, [2], budget="1steps", episodes=4, sets=short)
    assert [(r["agent"], r["updates"], r["lived"]) for r in record["rows"]] == [
        ("gated unit", 1, 6), ("transformer", 1, 6)]
    assert switches.table(record)[0] == ["corridor of", "2"]

    preset, sets = switches.memories(2)["gated unit"]
    m = checkpoint.build("dreamerv3", preset, sets=switches.SHORT["memory"] | sets, info=envs.info_of("t-maze:2")).eval()
    with envs.Crew("t-maze:2", senses=("vector",)) as crew:
        lived = list(crew.random(range(8)))
    signs = torch.from_numpy(np.stack([e["vector"][0] for e in lived]))
    beliefs: list[Tensor] = []
    for by, right in ((1, 1.0), (-1, 0.0)):  # a model that knows, and one that knows and lies
        m.said = lambda channel, state, by=by: beliefs.append(state["deter"]) or by * signs
        assert (switches.foretold(m, lived) == right).all()
    for e, t in ((e, t) for t in (-1, 0) for e in lived):
        e["vector"][t] = e["vector"][t][[1, 0, 2, 3]]
        if e is lived[-1]:
            switches.foretold(m, lived)
    assert torch.equal(beliefs[0], beliefs[2])  # what is behind the turn is not seen
    assert not torch.allclose(beliefs[2], beliefs[3])  # the sign is


@pytest.mark.whole
def test_an_update_is_one_graph() -> None:
    """Whole sequences and dreams, as torch traces them, without a break; the losses are those of the plain way."""
    m = tiny("gym:CartPole-v1", **{"behaviour.horizon": 2}).eval()
    batch = batch_of(m, 2, 3)
    graph = torch.compile(m.loss, backend="eager", fullgraph=True)
    out = []
    for way in (m.loss, graph):
        torch.manual_seed(1)
        out.append(way(batch))
    assert set(out[0]) == set(out[1])
    for k, v in out[0].items():
        torch.testing.assert_close(out[1][k], v, rtol=1e-4, atol=1e-5)
