"""DreamerV3: the identities of its parts, its published sizes, its optimiser, its lives, and worlds with what is their
own."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("gymnasium", reason="worlds need gymnasium: pip install 'stemma-vision[worlds]'")

import gymnasium

from learning import Learned
from stemma.core import paper as cards
from stemma.core.part import In
from stemma.core.types import StemmaError
from stemma.data.worlds import envs, native
from stemma.data.worlds.replay import Replay
from stemma.engine.running import checkpoint, optim
from stemma.engine.worlds import agents
from stemma.papers.worlds import dreamerv3
from stemma.parts.worlds import latents
from stemma.parts.worlds.acting import Policy, Scale, Shadow, lambda_returns
from stemma.parts.worlds.blocks import BlockGRU, gated
from stemma.parts.worlds.nets import symexp, symlog
from stemma.parts.worlds.normed import BlockLinear, GoingHead, TwoHotHead, balanced_mean, bins_of, two_hot

TINY = {"dynamics.cell.size": 32, "dynamics.cell.hidden": 8, "dynamics.hidden": 8, "behaviour.horizon": 3}


def tiny(env: str, preset: str = "small", **sets: Any) -> Any:
    torch.manual_seed(0)
    own = TINY if preset == "small" else {}
    if preset == "small" and (env.endswith("+image") or env.startswith("drawn")):
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
    torch.testing.assert_close(cell(z, act, h), gated(raw, h))  # type: ignore[arg-type]
    blocks = BlockGRU(In((5,), (1,), actions=2), size=8, hidden=3, blocks=4)
    assert blocks.gates.weight.shape == (4, 2, 6)


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
                                         ("gym:Pendulum-v1", "first-s"), ("drawn-pendulum", "small")])
def test_every_weight_learns_and_losses_are_numbers(env: str, preset: str) -> None:
    m = tiny(env, preset, **({"dynamics.cell.size": 16} if preset != "small" else {})).train()
    with torch.no_grad():  # heads that begin at nothing let no gradient through
        for head in (m.nets["reward"], m.critic):
            nn.init.normal_(head.net[-1].weight, std=0.1)
    losses = m.loss(batch_of(m))
    assert {"reward", "terminal", "kl", "actor", "critic"} <= set(losses) and ("replay" in losses) == (preset == "small")
    assert all(v.isfinite() and v.ndim == 0 for v in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    assert not [n for n, p in m.named_parameters() if p.grad is None]


def test_dreams_teach_the_model_of_the_world_nothing() -> None:
    m = tiny("gym:Pendulum-v1", "small", **{"behaviour.replay": 0.0}).train()
    losses = m.loss(batch_of(m), "^(actor|critic)$")
    torch.stack(list(losses.values())).sum().backward()
    heard = {n.split(".")[0] for n, p in m.named_parameters() if p.grad is not None and p.grad.any()}
    assert heard <= {"actor", "critic"} and "critic" in heard


def test_kept_beliefs_begin_a_sequence() -> None:
    m = tiny("gym:CartPole-v1").eval()
    batch = batch_of(m, 2, 5)
    batch["first"][:] = False
    posts, _ = m.dynamics.observe(m.encode(batch), batch["action"], batch["first"])
    kept = m.kept({k: v[:, 0] for k, v in posts.items()})
    back = m.unkept(kept, {k: v[:, 0] for k, v in posts.items()})
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
    for name, said in (("minigrid:Empty-5x5", r"minigrid.*stemma-vision\[worlds\]"), ("gym:ALE/Pong-v5", "ale-py"),
                       ("gym:CrafterReward-v1", "crafter"), ("dmc:walker-run", r"dm_control.*worlds")):
        with pytest.raises(StemmaError, match=said):
            native.look.cache_clear()
            envs.get(name)


@pytest.mark.parametrize("name, package, inputs, choices", [
    ("minigrid:GoToDoor-5x5", "minigrid", (("vector", 151), ("token", 11)), (7,)),
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
