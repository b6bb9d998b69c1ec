"""The agent without a model that Dynalang is held against: what it learns from, written out, and that it learns."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("gymnasium", reason="pip install 'stemma-vision[worlds]'")

from learning import Learned  # noqa: E402
from stemma.core.types import StemmaError  # noqa: E402
from stemma.data.worlds import envs  # noqa: E402
from stemma.engine.running import checkpoint  # noqa: E402
from stemma.engine.worlds import agents, lives  # noqa: E402
from stemma.parts.worlds.nets import symexp, symlog  # noqa: E402

TINY = {"dynamics.cell.size": 32, "dynamics.cell.hidden": 16, "actor.units": 32, "senses.0.net.units": 32}
PRESET = "model-free-small"


def tiny(env: str, **sets: Any) -> Any:
    torch.manual_seed(0)
    return checkpoint.build("dynalang", PRESET, sets=TINY | sets, info=envs.info_of(env))


def lived(env: str, b: int, t: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Lives by chance, end to end, as sequences [B, T]."""
    card = envs.get(env)
    world, rows = envs.make(env, 16, False, tuple(dict(card.inputs))), []
    while sum(len(e["reward"]) for e in rows) < b * t:
        rows.append(envs.live(world, envs.RandomPolicy(card.law, len(card.actions), seed, card.choices), seed))
        seed += 1
    return {k: torch.from_numpy(np.concatenate([e[k] for e in rows])[: b * t]).unflatten(0, (b, t)) for k in rows[0]}


@pytest.mark.parametrize("burn", [0, 3])
def test_what_choices_are_worth_is_learned_from_double_lambda_returns(burn: int) -> None:
    m = tiny("gym:CartPole-v1", burn=burn)
    assert list(m.heads) == [] and list(m.senses) == ["vector"] and m.actor.choices == (2,)
    batch = lived("gym:CartPole-v1", 2, 40)
    batch["reward"] = torch.randn(2, 40)
    assert 2 < batch["first"].sum() and 1 < batch["terminal"].sum()
    with torch.no_grad():
        for p in m.actor.net[-1].parameters():
            p.normal_()
        for v in m.shadow.buffers():
            v.mul_(0.7)
    posts, _ = m.dynamics.observe(m.encode(batch), batch["action"], batch["first"])
    said, slow = m.actor(posts["deter"]), m.shadow(m.actor, posts["deter"])
    missed = []
    for i in range(2):
        returns = torch.zeros(40)
        for t in reversed(range(40)):
            if t == 39:
                returns[t] = value_of(slow, said, i, t)
                continue
            # what comes is looked at no further than the episode's last step
            over = bool(batch["terminal"][i, t + 1]) or t + 2 < 40 and bool(batch["first"][i, t + 2])
            ahead = value_of(slow, said, i, t + 1)
            mixed = ahead if over else 0.2 * ahead + 0.8 * float(returns[t + 1])
            returns[t] = float(batch["reward"][i, t + 1]) + 0.997 * (1 - float(batch["terminal"][i, t + 1])) * mixed
        for t in range(burn, 39):
            last = bool(batch["terminal"][i, t]) or bool(batch["first"][i, t + 1])
            taken = said[i, t, batch["action"][i, t + 1].argmax()]
            missed.append(0.0 if last else 0.5 * float(taken - symlog(returns[t])) ** 2)
    torch.testing.assert_close(m.loss(batch)["worth"], torch.tensor(missed).mean(), rtol=1e-4, atol=1e-5)


def value_of(slow: torch.Tensor, said: torch.Tensor, i: int, t: int) -> float:
    return float(symexp(slow[i, t, said[i, t].argmax()]))


def test_every_weight_learns_and_a_kept_memory_begins_a_sequence() -> None:
    m = tiny("gym:CartPole-v1")
    batch = lived("gym:CartPole-v1", 2, 30)
    torch.nn.init.normal_(m.actor.net[-1].weight)
    m.loss(batch)["worth"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in m.parameters())
    posts, _ = m.dynamics.observe(m.encode(batch), batch["action"], batch["first"])
    kept = m.kept(posts)
    later = m.loss({k: v[:, 7:] for k, v in (batch | kept).items()})["worth"]
    whole = m.fresh["deter"]
    m.loss(batch)
    torch.testing.assert_close(whole, m.fresh["deter"][:, 8:], rtol=0, atol=2e-3)  # kept as halves
    assert later.isfinite()


@pytest.mark.whole
def test_it_remembers_a_sign(learned: Learned) -> None:
    """A T-maze, lived by chance: what is done at its end is right if the sign at its beginning is remembered."""
    m = tiny("t-maze:3", burn=0)
    score = lambda: agents.returns_of(m, envs.Crew("t-maze:3", 0, senses=("vector",)), list(range(32)))[0].mean()
    begun = score()
    batch = lived("t-maze:3", 16, 40)
    optimizer = torch.optim.Adam(m.parameters(), 3e-3)
    for _ in range(80):
        optimizer.zero_grad()
        m.loss(batch)["worth"].backward()
        optimizer.step()
        m.updated()
    learned("return in a T-maze", score(), at_least=0.5, untrained=begun)


def test_it_lives_is_measured_and_shows_no_film(tmp_path: Path) -> None:
    sets = TINY | {"recipe.batch": 2, "recipe.life.then.0.sequence": 8, "recipe.life.first.0.amount": 2}
    run = agents.train("dynalang", "t-maze:2", "4steps", PRESET, tmp_path / "run", sets=sets, device="cpu", val_every=0,
                       progress=False)
    assert run.record["spent"]["steps"] == 4
    said = lives.evaluate(run, episodes=3, device="cpu")
    assert len(said["returns"]) == 3 and "dream" not in said
    with pytest.raises(StemmaError, match="learns no model of its world"):
        lives.film(run, tmp_path / "films", device="cpu")
    with pytest.raises(StemmaError, match="choices alone"):
        tiny("gym:Pendulum-v1")
    with pytest.raises(StemmaError, match="rule"):  # it foresees nothing, and so has no rule to set
        agents.train("dynalang", "t-maze:2", "4steps", PRESET, tmp_path / "other", sets=sets | {"rule.free": 0.5},
                     device="cpu", progress=False)
    a, b = (tiny("t-maze:2") for _ in range(2))
    seen = {"vector": torch.eye(4)[:2], "first": torch.ones(2, dtype=torch.bool)}
    torch.manual_seed(1)
    many = torch.stack([a.act(seen, None, 1.0)[0] for _ in range(64)])
    assert many.mean(0).min() > 0.2 and (many.sum(-1) == 1).all()
    torch.testing.assert_close(a.act(seen)[0], b.act(seen)[0])
