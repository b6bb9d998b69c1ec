"""Lives: episodes on disk, every world's face, killed and resumed in each phase, the dream as a world, what is asked of
an agent afterwards."""
from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("gymnasium", reason="worlds need gymnasium: pip install 'stemma-vision[worlds]'")
pytest.importorskip("cma", reason="evolution needs cma: pip install 'stemma-vision[worlds]'")

import stemma
from engine_help import Killed, lived_in_pieces
from learning import Learned
from stemma.core.types import DataError, StemmaError
from stemma.data.worlds import engines, envs
from stemma.data.worlds.replay import Replay
from stemma.engine.running import checkpoint
from stemma.engine.running.runs import Run
from stemma.engine.worlds import agents, dreams, lives
from stemma.engine.worlds.evolve import KINDS, Cma, ranks, strategy
from stemma.papers.worlds import world_models

PLANET = {
    "dynamics.cell.size": 12, "dynamics.cell.hidden": 12, "dynamics.hidden": 12, "heads.1.net.units": 8,
    "senses.0.net.units": 8, "heads.0.net.units": 8, "actor.candidates": 6, "actor.elites": 2, "actor.iterations": 1,
    "actor.horizon": 2, "recipe.life.first.0.amount": 2,
    "recipe.life.then.0.amount": 2, "recipe.life.then.0.sequence": 6, "recipe.batch": 4,
}
MODELS = {
    "pixels.size": 16, "senses.0.net.width": 2, "heads.0.net.width": 2, "dynamics.hidden": 8,
    "recipe.life.first.0.amount": 4,
    **{f"recipe.life.then.{i}.{k}": v for i in (0, 1) for k, v in (("batch", 4),)}, "recipe.life.then.1.sequence": 8,
    "recipe.life.then.2.population": 4, "recipe.life.then.2.rollouts": 2, "recipe.life.then.2.horizon": 12,
}
DREAMER = {
    "dynamics.cell.size": 16, "dynamics.cell.hidden": 6, "dynamics.hidden": 6, "behaviour.horizon": 2,
    "recipe.life.first.0.amount": 2, "recipe.life.then.0.ratio": 2.0, "recipe.life.then.0.sequence": 4,
    "recipe.batch": 4,
}
LIVES: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "planet": ("planet", "drawn-pendulum", "4steps", PLANET),
    "world-models": ("world-models", "drawn-dodge", "9steps", MODELS),
    "dreamerv3": ("dreamerv3", "gym:CartPole-v1", "9steps", DREAMER),
    "dynalang": ("dynalang", "minigrid:GoToDoor-5x5", "9steps", DREAMER),
}
each = pytest.mark.parametrize("which", LIVES)


def life(folder: Path, which: str, budget: str | None = None, **more: Any) -> Run:
    """A short life whose state is saved after every unit."""
    paper, env, length, sets = LIVES[which]
    if env.startswith("minigrid"):
        pytest.importorskip("minigrid", reason="MiniGrid: pip install 'stemma-vision[worlds]'")
    settings: dict[str, Any] = {"save_every": "0.000001s", "progress": False, "val_every": 0.5, "val_episodes": 2,
                                "resume": True, "device": "cpu"} | more
    return agents.train(paper, f"env:{env}", budget or length, "small", folder, 3,
                        sets | settings.pop("sets", {}), **settings)


def same_end(a: Path, b: Path) -> None:
    """The same weights, the same episodes, the same story but for the clock."""
    for name in ("last.safetensors", "best.safetensors"):
        assert (a / name).read_bytes() == (b / name).read_bytes()
    files = [sorted(p.name for p in (x / "episodes").iterdir()) for x in (a, b)]
    assert files[0] == files[1] and all((a / "episodes" / f).read_bytes() == (b / "episodes" / f).read_bytes()
                                        for f in files[0])
    said = [[{k: v for k, v in e.items() if k not in ("seconds", "wall")} for e in Run.open(x).metrics()]
            for x in (a, b)]
    assert said[0] == said[1] and Run.open(a).state == Run.open(b).state == "finished"


# ---------------------------------------------------------------- worlds


@pytest.mark.parametrize("name", ["drawn-pendulum", "drawn-dodge"])
def test_drawn_worlds_keep_gymnasiums_rules(name: str) -> None:
    from gymnasium.utils.env_checker import check_env

    env = envs.make(name, 16, True)
    check_env(env, skip_render_check=True)
    one, two = (envs.live(env, envs.RandomPolicy("uniform", 1, 5), 5) for _ in range(2))
    assert all(np.array_equal(one[k], two[k]) for k in one)
    assert one["first"].sum() == 1 and one["first"][0] and not one["action"][0].any() and one["reward"][0] == 0
    assert one["image"].shape[1:] == (16, 16, 1) and one["image"].dtype == np.uint8 and one["image"].max() > 150


def test_the_drawn_pendulum_is_gymnasiums() -> None:
    import gymnasium

    ours: Any = envs.make("drawn-pendulum", 16, True)
    theirs: Any = gymnasium.make("Pendulum-v1").unwrapped
    ours.reset(seed=1)
    theirs.reset(seed=1)
    theirs.state = np.array([ours.angle, ours.speed])
    for action in np.random.default_rng(0).uniform(-1, 1, 20):
        _, reward, *_ = ours.step(np.array([action]))
        summed = sum(float(theirs.step(np.array([2 * action]))[1]) for _ in range(4))
        assert abs(reward - summed) < 1e-6 * max(1, abs(summed)) and abs(ours.speed - theirs.state[1]) < 1e-9


def far_from_harm(env: Any, side: float, steps: int = 16) -> float:
    """The nearest that a ball comes to an agent that goes `side` for three steps and then stays,
    from where they are now."""
    x, nearest = env.x, 1.0
    balls = [list(b) for b in env.balls]
    for t in range(steps):
        x = min(max(x + 0.07 * side * (t < 3), 0.06), 0.94)
        for b in balls:
            b[0], b[1] = b[0] + b[2], b[1] + b[3]
            if 0.84 < b[1] < 1.0:
                nearest = min(nearest, abs(b[0] - x))
    return min(nearest, 0.2) - 0.1 * abs(x - 0.5)


@pytest.mark.parametrize("package,extra", [("vizdoom", "worlds"), ("homegrid", "homegrid"), ("langroom", "langroom")])
def test_an_absent_package_names_the_extra_that_brings_all_of_a_world(
    package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where gymnasium is the first that is missed: one installation is enough."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StemmaError, match=rf"^the environment 'a' needs the package gymnasium, .*\[{extra}\]'$"):
        envs.need(package, "a")


def test_engines_of_vizdoom_find_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that begin together would both make it, and one would end: each waits for its turn. Nothing of theirs is left
    there, and a world whose folder is gone lives on."""
    vizdoom = pytest.importorskip("vizdoom", reason="takecover: pip install 'stemma-vision[worlds]'")
    there: list[bool] = []
    init = vizdoom.DoomGame.init

    def watched(game: Any) -> Any:
        there.append((tmp_path / "_vizdoom").is_dir())
        return init(game)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(vizdoom.DoomGame, "init", watched)
    env = envs.make("takecover", 16, True)
    env.reset(seed=0)
    assert there == [True] and not list(tmp_path.iterdir())
    env.step(np.zeros(1, np.float32))
    env.reset(seed=1)
    env.close()
    assert not list(tmp_path.iterdir())
    (tmp_path / "_vizdoom").mkdir()
    (tmp_path / "_vizdoom" / "of.mine").touch()
    with engines.looked_for("_vizdoom"):
        pass
    assert (tmp_path / "_vizdoom" / "of.mine").exists()


def test_a_folder_that_engines_look_for_is_had_by_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    having, most = [0], [0]

    def begin(_: int) -> bool:
        with engines.looked_for("folder"):
            having[0] += 1
            most[0] = max(most[0], having[0])
            time.sleep(0.002)
            there = Path("folder").is_dir()
            having[0] -= 1
        return there

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(begin, range(40))) and most == [1]
    assert not list(tmp_path.iterdir())


def test_dodging_can_be_done_by_looking() -> None:
    env: Any = envs.make("drawn-dodge", 16, True)
    lengths = []
    for seed in range(6):
        env.reset(seed=seed)
        done, n = False, 0
        while not done:
            side = max((0.0, -1.0, 1.0), key=lambda a: far_from_harm(env, a))
            _, _, over, cut, _ = env.step(np.array([side]))
            n, done = n + 1, over or cut
        lengths.append(n)
    with envs.Crew("drawn-dodge", 0, 16, True) as crew:
        assert np.mean(lengths) > 3 * np.mean([e["reward"].sum() for e in crew.random(range(12))])


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="children that live are read from /proc")
def test_what_a_crew_lives_is_work() -> None:
    """The processor time of worlds in processes of their own counts while these go on."""
    from stemma.engine.running.clock import processor_seconds

    with envs.Crew("drawn-dodge", 1, 64) as crew:
        whole, own = processor_seconds(), time.process_time()
        steps = sum(len(e["reward"]) for e in crew.random(range(40)))
        children = processor_seconds() - whole - (time.process_time() - own)
    assert children > 0.05, (steps, children)


def test_processes_live_the_same_episodes() -> None:
    with envs.Crew("drawn-dodge", 0, 16, True) as crew:
        here = list(crew.random([4, 5, 6]))
    with envs.Crew("drawn-dodge", 2, 16, True) as crew:
        next(iter(crew.random([1, 2, 3])))  # given up with episodes under way
        there = list(crew.random([4, 5, 6]))
    for a, b in zip(here, there, strict=True):
        assert a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_an_absent_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = envs.importlib.util.find_spec
    monkeypatch.setattr(envs.importlib.util, "find_spec",
                        lambda name, *a: None if name in ("vizdoom", "dm_control") else real(name, *a))
    with pytest.raises(StemmaError, match=r"takecover.*vizdoom.*stemma-vision\[worlds\]"):
        agents.train("world-models", "env:takecover", "1s", out=tmp_path / "x", progress=False)
    with pytest.raises(StemmaError, match="mujoco<4"):
        envs.make("cartpole-swingup")


def test_a_worlds_name_that_is_nearly_one_is_told_by_that_alone() -> None:
    with pytest.raises(StemmaError, match=r"named 'drawn-pendulm'; did you mean drawn-pendulum[a-z -]*\?$"):
        envs.get("env:drawn-pendulm")
    with pytest.raises(StemmaError, match=r"named 'moon'; there are: drawn-pendulum, .*times:100:WORLD pays more$"):
        envs.get("moon")
    pytest.importorskip("dm_control")
    with pytest.raises(StemmaError, match=r"no task 'walker-wolk'; did you mean walker-walk[a-z -]*\?$"):
        envs.get("dmc:walker-wolk")


@pytest.mark.parametrize("name", ["pendulum", "cartpole", "acrobot", "mountain-car"])
def test_classic_control_is_rendered_small(name: str) -> None:
    pytest.importorskip("pygame",
                        reason="classic control is drawn with pygame: pip install 'gymnasium[classic-control]'")
    env = envs.make(name, 32, False)
    seen, _ = env.reset(seed=0)
    after, reward, *_ = env.step(np.array([1.0], np.float32))
    assert (seen["image"].shape == (32, 32, 3) and seen["image"].std() > 1 and np.isfinite(reward)
            and env.observation_space.contains(after))
    env.close()


@pytest.mark.parametrize("name, package, actions", [("takecover", "vizdoom", 1), ("car-racing", "Box2D", 3),
                                                    ("cartpole-swingup", "dm_control", 1)])
def test_larger_worlds_live(name: str, package: str, actions: int) -> None:
    pytest.importorskip(package, reason=f"{name} needs {package}: pip install 'stemma-vision[worlds]'")
    env = envs.make(name, 64, False)
    episodes = []
    for _ in range(2):
        seen, _ = env.reset(seed=1)
        frames = [seen["image"]]
        policy = envs.RandomPolicy(envs.get(name).law, actions, 1)
        for _ in range(12):
            seen, reward, over, cut, _ = env.step(policy())
            frames.append(seen["image"])
            assert np.isfinite(reward) and not cut
            if over:
                break
        episodes.append(np.stack(frames))
    env.close()
    assert (episodes[0].shape[1:] == (64, 64, 3) and np.array_equal(episodes[0], episodes[1])
            and episodes[0].std(0).max() > 5)


@pytest.mark.parametrize("name, tics", [("takecover", 4), ("takecover-tics", 1)])
def test_a_decision_of_take_cover_lasts_its_tics(name: str, tics: int) -> None:
    """One point a tic alive; both cards hold the same 2,100."""
    pytest.importorskip("vizdoom", reason="takecover needs vizdoom: pip install 'stemma-vision[worlds]'")
    env = envs.make(name, 16, True)
    env.reset(seed=2)
    assert ([env.step(np.zeros(1, np.float32))[1] for _ in range(3)] == [tics] * 3
            and envs.get(name).limit * tics == 2100)
    env.close()


# ---------------------------------------------------------------- episodes


def episode(n: int, number: int = 0, ends: bool = True) -> envs.Episode:
    first, terminal = np.zeros(n, bool), np.zeros(n, bool)
    first[0], terminal[-1] = True, ends
    return {"image": np.full((n, 2, 2, 1), number, np.uint8), "action": np.zeros((n, 1), np.float32),
            "reward": np.arange(n, dtype=np.float32), "first": first,
            "terminal": terminal}


def test_episodes_come_back_from_the_disk_and_the_oldest_go(tmp_path: Path) -> None:
    store = Replay(tmp_path, capacity=30)
    for n in range(6):
        store.add(n, episode(10, n))
    assert store.count == 6 and store.low == 3 and store.steps == 30 and store.on_disk() == list(range(6))
    store.prune()
    assert store.on_disk() == [3, 4, 5]
    again = Replay(tmp_path, capacity=30)
    again.load(3, 6)
    assert again.count == 6 and all(np.array_equal(again.arrays[k][:30], store.arrays[k][:30]) for k in store.arrays)
    one, two = (r.sample(np.random.default_rng(1), 5, 4) for r in (store, again))
    assert all(np.array_equal(one[k], two[k]) for k in one)


def test_sequences_stay_in_their_episode_or_say_where_the_next_begins(tmp_path: Path) -> None:
    store = Replay(tmp_path)
    for n in range(5):
        store.add(n, episode(10, n), write=False)
    inside = store.sample(np.random.default_rng(0), 200, 6)
    assert (inside["image"] == inside["image"][:, :1]).all() and (np.diff(inside["reward"], axis=1) == 1).all()
    across = store.sample(np.random.default_rng(0), 200, 6, cross=True)
    changes = np.diff(across["image"][..., 0, 0, 0].astype(int), axis=1) != 0
    assert changes.any() and np.array_equal(changes, across["first"][:, 1:])
    longer = store.sample(np.random.default_rng(0), 50, 25)
    assert longer["first"].sum(1).min() >= 2
    newest = store.sample(np.random.default_rng(0), 200, 6, recent=1.0)
    assert (newest["image"] == 4).all()
    deaths = store.sample(np.random.default_rng(0), 200, 6, endings=1.0)
    assert deaths["terminal"].any(1).all()


def test_cars_memory_learns_whole_episodes_and_dooms_runs_on(tmp_path: Path) -> None:
    """World Models' scripts: a sequence of CarRacing's is an episode's 1,000 pictures, of which 999 are foreseen; Doom's
    are 500 steps of episodes laid end to end."""
    store = Replay(tmp_path, capacity=100_000)
    for n in range(3):
        store.add(n, episode(1001, n), write=False)
    rng, lives = np.random.default_rng(0), {p: world_models.recipe(p).life for p in ("paper", "doom")}
    found = {p: store.sample(rng, 60, next(s.sequence for s in life.then if s.name == "M"), cross=life.cross)["first"]
             for p, life in lives.items() if life is not None}
    assert found["paper"].shape == (60, 1000) and not found["paper"][:, 1:].any()
    assert found["doom"].shape == (60, 500) and found["doom"][:, 1:].any()


def test_damaged_and_foreign_episodes_are_told(tmp_path: Path) -> None:
    store = Replay(tmp_path)
    store.add(0, episode(10))
    store.path(0).write_bytes(store.path(0).read_bytes()[:100])
    with pytest.raises(DataError, match="000000.npz"):
        Replay(tmp_path).load(0, 1)
    np.savez(store.path(0), image=np.zeros((3, 2, 2, 1)))
    with pytest.raises(DataError, match="action"):
        Replay(tmp_path).load(0, 1)
    with pytest.raises(StemmaError, match="no episode"):
        Replay(tmp_path).sample(np.random.default_rng(0), 1, 2)


# ---------------------------------------------------------------- evolution


@pytest.mark.parametrize("name", ["sphere", "rosenbrock"])
def test_evolution_finds_the_lowest_point_as_the_package_alone_does(name: str, learned: Learned) -> None:
    import cma

    f = {"sphere": lambda x: float(np.square(x).sum()),
         "rosenbrock": lambda x: float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())}[name]
    ours, used = Cma(np.full(8, 0.3), 0.3, 12, 1), 0
    while f(ours.mean) > 1e-8 and used < 20_000:
        ours.tell(-np.array([f(x) for x in ours.ask()]))
        used += 12
    theirs = cma.fmin2(f, np.full(8, 0.3), 0.3, {"popsize": 12, "seed": 5, "verbose": -9, "ftarget": 1e-8})[1]
    assert f(ours.mean) <= 1e-8
    learned("evaluations beside theirs", used / theirs.countevals, at_most=2.5, untrained=20_000 / theirs.countevals)


@pytest.mark.parametrize("kind", KINDS)
def test_evolution_continues_from_what_it_was_told(kind: str) -> None:
    whole = strategy(kind, np.zeros(6), 0.2, 8, 4)
    for _ in range(12):
        whole.tell(-np.square(whole.ask() - 1).sum(1))
    again = strategy(kind, np.zeros(6), 0.2, 8, 4, np.stack(whole.history[:7]))
    for _ in range(5):
        again.tell(-np.square(again.ask() - 1).sum(1))
    assert np.array_equal(whole.mean, again.mean) and whole.sigma == again.sigma


@pytest.mark.parametrize("kind", KINDS)
def test_every_strategy_climbs(kind: str, learned: Learned) -> None:
    es, far = strategy(kind, np.zeros(6), 0.1, 20, 0), 6 * 0.5**2
    for _ in range(300):
        es.tell(-np.square(es.ask() - 0.5).sum(1))
    learned("distance to the top", float(np.square(es.mean - 0.5).sum()), at_most=0.05 * far, untrained=far)
    assert es.sigma < 0.1


def test_one_generation_by_hand() -> None:
    """OpenES and PEPG: Adam's first step is the rate along the sign of the slope; PEPG narrows where pairs that go far
    do worse than the mean."""
    worth = np.arange(6.0)
    assert ranks(np.array([3.0, -7.0, 100.0])).tolist() == [0.0, -0.5, 0.5]
    for kind in ("open-es", "pepg"):
        es = strategy(kind, np.zeros(4), 0.1, 6, 2)
        noise = es.ask().copy()
        es.tell(worth)
        slope = ((ranks(worth) - ranks(worth).mean())[:, None] * noise).sum(0)
        np.testing.assert_allclose(es.mean, 0.01 * np.sign(slope), rtol=1e-4)
    es = strategy("pepg", np.zeros(2), 0.1, 6, 3)
    noise = es.ask().copy()
    es.tell(-np.square(noise[:, 0]) - 1e-3 * np.arange(6))  # the first weight is best near 0
    pairs = (ranks(es.history[0])[:3] + ranks(es.history[0])[3:]) / 2
    change = 0.2 * (pairs[:, None] * (np.square(noise[:3]) - 0.01) / 0.1).sum(0) / 6
    np.testing.assert_allclose(es.width, (0.1 + np.clip(change, -0.02, 0.02)) * 0.999)
    assert es.width[0] < 0.0999
    with pytest.raises(StemmaError, match="its population is even, not 5"):
        strategy("pepg", np.zeros(2), 0.1, 5, 0)
    with pytest.raises(StemmaError, match="no strategy of evolution named 'sgd'; there are cma, open-es, pepg, ga"):
        strategy("sgd", np.zeros(2), 0.1, 4, 0)


def test_deviations_are_annealed_to_two_hundredths_and_rates_are_not() -> None:
    """What the authors' training script gives its strategies: sigma_limit .02, learning_rate_decay 1."""
    es = strategy("ga", np.zeros(3), 0.1, 20, 1)
    for width, after in ((0.03, 0.03 * 0.999), (0.015, 0.015)):
        es.width = width
        es.ask()
        es.tell(np.arange(20.0))
        assert es.sigma == pytest.approx(after)
    climbing: Any = strategy("open-es", np.zeros(3), 0.1, 6, 1)
    rates: list[float] = []
    move = climbing.adam.step
    climbing.adam.step = lambda slope, rate: rates.append(rate) or move(slope, rate)
    for _ in range(3):
        climbing.ask()
        climbing.tell(np.arange(6.0))
    assert rates == [0.01] * 3


def test_the_genetic_algorithms_children_are_of_the_best_tenth() -> None:
    es = strategy("ga", np.zeros(3), 0.1, 20, 1)
    first = es.ask().copy()
    es.tell(np.arange(20.0))
    assert np.array_equal(es.mean, first[19])
    es.width = 0.0
    children = es.ask()
    assert all(((c == first[19]) | (c == first[18])).all() for c in children) and len(np.unique(children, axis=0)) > 1


# ---------------------------------------------------------------- lives


@each
def test_a_life_leaves_a_whole_run(which: str, tmp_path: Path) -> None:
    run = life(tmp_path / "run", which)
    record = run.record
    kinds = [e["kind"] for e in run.metrics()]
    assert (record["state"] == "finished" and record["spent"]["steps"] == int(LIVES[which][2][:-5])
            and {"train", "val", "episode"} <= set(kinds))
    lived = list(run.metrics("episode"))
    assert ([e["episode"] for e in lived] == list(range(record["episodes"]))
            and sum(e["length"] for e in lived) == record["spent"]["images"])
    again: Any = stemma.load(run.path, "last")
    assert again.info.name == LIVES[which][1]
    told = [e["told"] for e in run.metrics("train")]
    assert told and all(x["gradient"] > 0 and ("randomness" in x) == (which in ("dreamerv3", "dynalang")) for x in told)
    parts = [{k: v for k, v in x.items() if k.startswith("gradient_")} for x in told]
    assert all(("gradient_actor" in x) == (which in ("dreamerv3", "dynalang")) for x in parts)
    for x, part in zip(told, parts):  # of one update each part's is a share of the whole; of several, in the mean
        assert max(part.values()) <= x["gradient"] * (1 + 1e-5) <= sum(part.values()) * (1 + 1e-4)
    if which == "planet":
        assert [e["policy"] for e in lived] == ["random", "random", "agent"]
    elif which in ("dreamerv3", "dynalang"):  # for each step that was lived, two were learned from, 16 an update
        assert {e["policy"] for e in lived} == {"agent"} and 16 * 8 < 2 * record["spent"]["images"]
    else:
        stages = [e["stage"] for e in run.metrics() if e["kind"] in ("train", "evolve")]
        assert list(dict.fromkeys(stages)) == ["V", "M", "C"] and again.actor.flat().abs().sum() > 0
    with pytest.raises(StemmaError, match="resume"):
        life(tmp_path / "run", which, resume=False)
    with pytest.raises(StemmaError, match="seed"):
        agents.train(LIVES[which][0], f"env:{LIVES[which][1]}", "4steps", "small", run.path, 4, LIVES[which][3],
                     resume=True, progress=False)


@each
def test_stopped_at_every_unit_and_resumed(which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if killed before each unit, and again after each episode was written but before it was counted."""
    life(tmp_path / "alone", which)
    lived_in_pieces(lambda: life(tmp_path / "pieces", which), tmp_path / "pieces", monkeypatch)
    same_end(tmp_path / "pieces", tmp_path / "alone")


def test_killed_when_all_is_saved_but_not_yet_said_to_be_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not measured for the last time twice."""
    life(tmp_path / "alone", "planet")

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(agents.Ending, "finished", killed)
        life(tmp_path / "killed", "planet")
    assert Run.open(tmp_path / "killed").state != "finished"
    life(tmp_path / "killed", "planet")
    same_end(tmp_path / "killed", tmp_path / "alone")
    more = life(tmp_path / "killed", "planet", budget="6steps")
    assert [e["step"] for e in more.metrics("val")][-1] == 6


@pytest.mark.whole
@each
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the test forks")
def test_killed_at_a_random_moment_and_resumed(which: str, tmp_path: Path) -> None:
    life(tmp_path / "alone", which)
    dice = random.Random(time.time())
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            try:
                life(tmp_path / "killed", which)
            finally:
                os._exit(0)
        time.sleep(dice.uniform(0.05, 0.8))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    life(tmp_path / "killed", which)
    same_end(tmp_path / "killed", tmp_path / "alone")
    assert not list((tmp_path / "killed" / "episodes").glob(".*")) and not list((tmp_path / "killed").glob(".*"))


@each
def test_killed_between_the_last_validation_and_the_last_save(which: str, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """What was said after the saved state is said again, not twice."""
    life(tmp_path / "alone", which)
    validate = agents.Agent._validate

    def last(self: agents.Agent) -> None:
        validate(self)
        if self._over():
            raise Killed

    monkeypatch.setattr(agents.Agent, "_validate", last)
    with pytest.raises(Killed):
        life(tmp_path / "killed", which)
    monkeypatch.undo()
    assert [e["kind"] for e in Run.open(tmp_path / "killed").metrics()][-1] == "val"
    Run.open(tmp_path / "killed").update(state="running")
    life(tmp_path / "killed", which)
    same_end(tmp_path / "killed", tmp_path / "alone")


def test_a_lifes_seconds_are_work_and_wall_time_caps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks turned by hand: a unit is a second of work on a machine that gives a quarter of the time; killed on the
    way, it keeps both."""
    from stemma.engine.running import clock

    now = [0.0, 0.0]
    monkeypatch.setattr(clock, "processor_seconds", lambda: now[0])
    monkeypatch.setattr(clock, "wall_seconds", lambda: now[1])
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    unit = agents.Agent._unit

    def live(self: agents.Agent, stage: Any) -> None:
        if now == [3.0, 12.0] and self.tick == 3:
            now[1] += 1  # time that passes while nothing runs
            raise RuntimeError("killed")
        unit(self, stage)
        now[:] = now[0] + 1, now[1] + 4

    monkeypatch.setattr(agents.Agent, "_unit", live)
    with pytest.raises(RuntimeError, match="killed"):
        life(tmp_path / "a", "planet", "6s")
    spent = life(tmp_path / "a", "planet", "6s").record["spent"]
    assert (spent["seconds"], spent["wall"]) == (6.0, 24.0)
    record = life(tmp_path / "b", "planet", "6s", wall="12s").record
    assert ((record["spent"]["seconds"], record["spent"]["wall"], record["clock"], record["wall_limit"])
            == (3.0, 12.0, "processor", 12.0))
    assert record["cut"] == "wall time of 12 s ran out at 50 % of the budget of 6s"


def test_rounds_collect_with_the_controller_and_fit_again(tmp_path: Path) -> None:
    """World Models' iterative training: what C lives in round one is what V and M learn from in round two."""
    nets = {k: v for k, v in MODELS.items() if not k.startswith("recipe")}
    small = {f"recipe.life.{when}.{i}.{k}": v for when in ("first", "then")
             for i, stage in enumerate(("collect", "V", "M", "C"))
             for k, v in {"collect": {"amount": 4 if when == "first" else 3}, "V": {"batch": 4},
                          "M": {"batch": 4, "sequence": 8},
                          "C": {"population": 4, "rollouts": 2, "horizon": 12}}[stage].items()}
    run = agents.train("world-models", "env:drawn-dodge", "24steps", "iterative", tmp_path / "run", 0, nets | small,
                       progress=False, val_every=0, val_episodes=1)
    lived = [e["policy"] for e in run.metrics("episode")]
    assert lived == ["random"] * 4 + ["agent"] * 3 and run.record["spent"]["steps"] == 24
    learned = [e["stage"] for e in run.metrics() if e["kind"] in ("train", "evolve")]
    assert [k for k, _ in itertools.groupby(learned)] == ["V", "M", "C", "V", "M", "C"]


def test_a_controller_evolves_in_the_world_itself(tmp_path: Path) -> None:
    """CarRacing's way: no dream, the candidates live the same episodes."""
    run = life(tmp_path / "run", "world-models",
               sets={"recipe.life.then.2.dream": False, "recipe.life.then.2.rollouts": 1}, val_every=0)
    grown = list(run.metrics("evolve"))
    assert grown and all("ended" not in e and e["best"] >= e["mean"] > 0 for e in grown)
    assert run.record["spent"]["images"] > sum(e["length"] for e in run.metrics("episode"))


@pytest.mark.parametrize("name,value",
                         [("batch", 8), ("patience", 2), ("precision", "bf16"), ("val", "test"), ("format", "coco")])
def test_what_an_agent_cannot_be_told_is_refused(name: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(StemmaError, match=f"^'{name}' means nothing here: planet lives in a world; "):
        stemma.train("planet", "env:drawn-pendulum", "1steps", out=tmp_path / "run", **{name: value})
    assert not (tmp_path / "run").exists()


def test_a_world_of_another_width_gets_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from stemma.core.types import Classes, Info
    from stemma.engine.worlds import lives

    card = SimpleNamespace(actions=("0", "1"), name="gym:Acrobot-v1")
    monkeypatch.setattr(lives.envs, "get", lambda name: card)
    monkeypatch.setattr(lives.envs, "info_of", lambda name: Info(name, "env", Classes(("0", "1")), (),
                                                                 inputs=(("image", 0), ("vector", 6))))
    sense = SimpleNamespace(channel="vector", width=4)
    model: Any = SimpleNamespace(info=None, classes=2, spec=SimpleNamespace(senses=(sense,)))
    with pytest.raises(StemmaError, match="'gym:Acrobot-v1' shows a picture and a vector of 6, and this model was built "
                                          "for a vector of 4"):
        lives.world_of(model, "env:gym:Acrobot-v1")
    sense.width = 6
    assert lives.world_of(model, "env:gym:Acrobot-v1") == "gym:Acrobot-v1"


def test_counts_below_one_are_refused_before_a_wing_is_asked(tmp_path: Path) -> None:
    """Whatever the wing: it would take 0 for "as many as usual", or fail at -1."""
    from stemma.core import paper as cards
    from stemma.engine.wings import call

    asked = lambda model, limit=None, workers=0: limit  # noqa: E731
    for paper in ("planet", "fpn", "rational_meaning", "instruct_pix2pix", "imagenet_transfer"):
        for said, why in (({"limit": 0}, "limit must be 1 or more, not 0"), ({"limit": -1}, "limit must be 1"),
                          ({"batch": 0}, "batch must be 1 or more"), ({"workers": -1}, "workers must be 0 or more")):
            with pytest.raises(StemmaError, match=why):
                call(asked, cards.get(paper), None, **said)
        assert call(asked, cards.get(paper), None, limit=3) == 3


def test_who_exports_nothing_says_why_and_not_that_an_option_was_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    from stemma.core import paper as cards
    from stemma.engine import wings

    for paper, why in (("planet", "keeps a memory"), ("rational_meaning", "no graph"), ("instruct_pix2pix", "no one g")):
        card = cards.get(paper)
        monkeypatch.setattr(wings.checkpoint, "card_of", lambda model, which="best", card=card: card)
        with pytest.raises(StemmaError, match=why):
            wings.export("run", "x.onnx", "onnx", which="best", outputs="raw")


def test_the_best_mean_is_elected_and_survives_a_kill(tmp_path: Path) -> None:
    """The authors': every so many generations the mean acts as often as a whole generation,
    and the best such mean is kept."""
    sets = {"recipe.life.then.2.elect": 2}
    alone = life(tmp_path / "alone", "world-models", "15steps", sets=sets, val_every=0)
    grown = list(alone.metrics("evolve"))
    held = [e.get("elected") for e in grown]
    assert len(grown) >= 4 and held[0] is None and all(h is not None for h in held[1::2])
    life(tmp_path / "twice", "world-models", f"{grown[2]['step']}steps", sets=sets, val_every=0)
    again = life(tmp_path / "twice", "world-models", "15steps", sets=sets, val_every=0)
    state = lambda run: checkpoint.read_tensors(run.path / "state.safetensors")[1]["elected"]
    assert state(alone) == max(h for h in held if h is not None) and state(again) is not None


def test_a_controller_that_has_not_grown_up_is_nobodys_best(tmp_path: Path) -> None:
    run = life(tmp_path / "run", "world-models", "12steps", val_every=0.1, val_episodes=1)
    stages = {e["step"]: e["stage"] for e in run.metrics("val")}
    assert {"V", "M", "C"} <= set(stages.values())
    assert stages[run.record["best"]["step"]] in ("C", "")


@pytest.mark.parametrize("budget", ["6episodes", "3000images"])
def test_a_budget_that_learning_never_uses_up_is_refused(budget: str, tmp_path: Path) -> None:
    with pytest.raises(StemmaError, match=r"lives no episode while it learns \(V, M, C\).*give it in seconds or steps"):
        stemma.train("world-models", "env:drawn-dodge", budget, out=tmp_path / "run")


def test_a_bounded_store_forgets_and_resumes(tmp_path: Path) -> None:
    sets = {"recipe.life.capacity": 110}
    alone = life(tmp_path / "alone", "planet", "10steps", sets=sets)
    assert len(list((alone.path / "episodes").iterdir())) == 2 and alone.record["episodes"] == 6
    life(tmp_path / "twice", "planet", "6steps", sets=sets, val_every=0)
    again = life(tmp_path / "twice", "planet", "10steps", sets=sets, val_every=0)
    assert (again.path / "last.safetensors").read_bytes() == (alone.path / "last.safetensors").read_bytes()


def test_a_loss_that_is_not_finite_ends_with_a_word(tmp_path: Path) -> None:
    with pytest.raises(StemmaError, match="not a finite number.*recipe.lr"):
        life(tmp_path / "run", "planet", "40steps", sets={"recipe.lr": 1e9, "recipe.clip": 0.0})
    assert Run.open(tmp_path / "run").state == "failed"


# ---------------------------------------------------------------- dreams


@pytest.fixture(scope="module")
def dreamer(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return life(tmp_path_factory.mktemp("dreamer") / "run", "world-models")


def test_the_dream_is_a_gymnasium_environment(dreamer: Run) -> None:
    from gymnasium.utils.env_checker import check_env

    model: Any = stemma.load(dreamer.path)
    replay = lives.episodes_of(dreamer.path, model)
    assert replay is not None
    codes = dreams.beginnings(model, replay, "cpu")
    assert codes.shape == (4, 64)
    env = dreams.dream_env(model, codes, temperature=1.15, horizon=9)
    check_env(env, skip_render_check=True)
    seen, _ = env.reset(seed=1)
    assert seen.shape == (32 + 8,) and not seen[32:].any()  # a first step remembers nothing
    steps = 0
    done = False
    while not done:
        seen, reward, over, cut, _ = env.step(np.array([1.0], np.float32))
        steps, done = steps + 1, over or cut
    assert steps <= 9 and env.render().shape == (16, 16, 3)
    cold = dreams.dream_env(model, codes[:1], temperature=0.0, horizon=5, sampled=False)
    torch.manual_seed(0)
    state = dreams.begin(model, codes[:1])
    one, two = (model.dynamics.prior(state, torch.zeros(1, 1), 0.0)["stoch"] for _ in range(2))
    assert torch.equal(one, two) and cold is not None


def test_many_dreams_at_once_are_single_ones(dreamer: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without chance, a controller's dreams in a batch are those that it has alone;
    endings take dreams out of the batch."""
    model: Any = stemma.load(dreamer.path)
    replay = lives.episodes_of(dreamer.path, model)
    assert replay is not None
    codes = dreams.beginnings(model, replay, "cpu")[:1]
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    weights = torch.randn(3, model.actor.flat().numel(), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        model.heads["terminal"].net[-1].bias.fill_(-0.3)
        model.heads["terminal"].net[-1].weight.mul_(20)
    many = dreams.rollouts(model, weights, codes, 2, 40, 0.0, sampled=False)
    for i in range(3):
        one = dreams.rollouts(model, weights[i : i + 1], codes, 1, 40, 0.0, sampled=False)
        torch.testing.assert_close(many.returns[i], one.returns[0].expand(2), rtol=1e-4, atol=1e-4)
        assert torch.equal(many.lengths[i], one.lengths[0].expand(2)) and torch.equal(many.ended[i],
                                                                                      one.ended[0].expand(2))


def test_a_dream_that_never_ends_lasts_its_horizon(dreamer: Run) -> None:
    model: Any = stemma.load(dreamer.path)
    replay = lives.episodes_of(dreamer.path, model)
    assert replay is not None
    with torch.no_grad():
        model.heads["terminal"].net[-1].weight.zero_()
        model.heads["terminal"].net[-1].bias.fill_(-50.0)
    codes = dreams.beginnings(model, replay, "cpu")
    lived = dreams.rollouts(model, model.actor.flat()[None], codes, 5, 30)
    assert (lived.lengths == 30).all() and not lived.ended.any()
    with torch.no_grad():
        model.heads["terminal"].net[-1].bias.fill_(float(np.log(0.1 / 0.9)))
    many = dreams.rollouts(model, model.actor.flat()[None], codes, 4000, 200)
    assert abs(float(many.lengths.mean()) - 10.0) < 0.6 and many.ended.all()


# ---------------------------------------------------------------- afterwards


@each
def test_evaluate_says_returns_beside_chance(which: str, dreamer: Run, tmp_path: Path) -> None:
    run = dreamer if which == "world-models" else life(tmp_path / "run", which)
    one, two = (lives.evaluate(run, episodes=4) for _ in range(2))
    drop = {"decisions_per_second"}
    assert {k: v for k, v in one.items() if k not in drop} == {k: v for k, v in two.items() if k not in drop}
    assert (len(one["returns"]) == 4 and one["env"] == LIVES[which][1] and isinstance(one["better"], bool)
            and (one["interval"] > 0) == (len(set(one["returns"])) > 1))  # at a door, four may all find nothing
    assert ("dream" in one) == (which != "planet") == ("search" not in one)
    if "search" in one:
        planner = run.load("last").spec.actor
        assert all(len(v) == planner.iterations for v in one["search"].values())
        assert one["search"]["elite_stds"][-1] <= one["search"]["elite_stds"][0] < 1
    if "dream" in one:
        assert one["dream"]["real_rate"] > 0 and 0 <= one["dream"]["dream_ended"] <= 1
    with pytest.raises(StemmaError, match="action"):
        lives.evaluate(run, "env:car-racing")


def test_a_known_return_has_its_interval() -> None:
    said = agents.spread_of(np.array([1.0, 2.0, 3.0, 4.0]))
    assert said["mean"] == 2.5 and abs(said["interval"] - 3.1824 * 1.29099 / 2) < 1e-3


@each
def test_a_film_shows_the_world_beside_what_is_foreseen(which: str, dreamer: Run, tmp_path: Path) -> None:
    from PIL import Image

    run = dreamer if which == "world-models" else life(tmp_path / "run", which)
    said = lives.film(run, tmp_path / "film", episodes=8, steps=8)  # a life before a door may be short
    with Image.open(said["films"][0]) as gif:
        high, wide = {"dreamerv3": (160, 640), "dynalang": (156, 156)}.get(which, (160, 160))  # stripes, cells, a picture
        assert gif.n_frames > 5 and gif.size == (2 * wide + 4, high + 6)
    record = json.loads((tmp_path / "film" / "predictions.json").read_text())
    assert record["context"] == 5 and all(
        len(record["error"][k]) <= 8 and min(record["error"][k]) >= 0 for k in record["error"])


@pytest.mark.parametrize("count,size", [(1, (16, 16)), (8, (16, 128)), (9, (12, 12)), (348, (76, 76)), (361, (76, 76))])
def test_a_film_of_many_numbers_can_be_looked_at(tmp_path: Path, count: int, size: tuple[int, int]) -> None:
    """Side by side they were 320 pixels wide each: 348, a humanoid's, more than a GIF can be."""
    real = np.random.default_rng(0).normal(size=(3, count))
    shown, foreseen = map(lives.striped, lives.shades(real, real + 9))
    assert shown.shape == (3, *size, 1) and shown.dtype == np.uint8 and shown.max() == 255 and shown.min() == 0
    step = 16 if count < 9 else 4
    cells = shown[:, ::step, ::step, 0].reshape(3, -1)[:, :count]
    low, high = real.min(0), real.max(0)
    assert np.abs(cells - (real - low) / (high - low) * 255).max() <= 0.5 and (foreseen[:, 0, 0] == 255).all()
    lives.save_gif(tmp_path / "film.gif", lives.side_by_side(shown, foreseen))


def test_before_the_eyes_close_what_is_foreseen_is_what_is_seen(tmp_path: Path) -> None:
    model: Any = stemma.load(life(tmp_path / "run", "planet").path)
    env = envs.make("drawn-pendulum", 16, True)
    lived = envs.live(env, envs.RandomPolicy("uniform", 1, 1), 1)
    other = {k: v.copy() for k, v in lived.items()}
    other["image"][5:] = 0  # the model must not look at what comes after its five frames
    torch.manual_seed(1)
    one = lives.foresee(model, lived, 5, 10)
    torch.manual_seed(1)
    two = lives.foresee(model, other, 5, 10)
    assert np.array_equal(one["imagined"], two["imagined"]) and one["imagined"].shape == (15, 16, 16, 1)


# ---------------------------------------------------------------- the same commands


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    from stemma.cli import main

    with pytest.raises(SystemExit) as stop:
        main(list(words))
    out = capsys.readouterr()
    return int(stop.value.code or 0), out.out, out.err


def as_words(sets: dict[str, Any]) -> list[str]:
    return [w for k, v in sets.items() for w in ("--set", f"{k}={v}")]


OWN = """
import gymnasium, numpy as np
from gymnasium import spaces

class Own(gymnasium.Env):
    metadata = {"render_modes": MODES, "render_fps": 10}
    action_space, observation_space = SPACE, spaces.Box(0, 1, (3,), np.float32)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = int(self.np_random.integers(60))
        return np.zeros(3, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.x = (self.x + 7) % 60
        return np.zeros(3, np.float32), 1.0, False, False, {}

    def render(self):
        picture = np.zeros((64, 96, 3), np.uint8)
        picture[10:20, self.x : self.x + 9] = 255
        return picture

gymnasium.register(ID, Own, max_episode_steps=12)
"""


def own_world(folder: Path, space: str, number: int, modes: str = "['rgb_array']") -> str:
    """A module in `folder` that registers an environment of a person's own; the id that is typed."""
    name = f"own_world_{number}"
    text = OWN.replace("SPACE", space).replace("MODES", modes).replace("ID", f"'Own{number}-v0'")
    (folder / f"{name}.py").write_text(text)
    return f"{name}:Own{number}-v0"


@pytest.mark.parametrize(("number", "space", "actions"), [
    (1, "spaces.Discrete(2)", 1), (2, "spaces.Discrete(3, start=5)", 1), (3, "spaces.Discrete(6)", 6),
    (4, "spaces.MultiDiscrete([2, 4])", 2),
    (5, "spaces.MultiBinary(3)", 3), (6, "spaces.Box(-2, np.array([4.0, 6.0], np.float32), (2,), np.float32)", 2),
    (7, "spaces.Box(-np.inf, np.inf, (1,), np.float32)", 1),
])
def test_a_world_of_ones_own_is_lived_in_by_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, space: str, actions: int
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = own_world(tmp_path, space, number)
    card = envs.get(f"env:{name}")
    assert len(card.actions) == actions and card.limit == 12 and card.name == name
    env = envs.make(name, 32)
    said = [envs.live(env, envs.RandomPolicy(card.law, actions, seed), seed) for seed in (3, 3)]
    env.close()
    assert said[0]["image"].shape == (13, 32, 32, 3) and said[0]["image"].max() > 100 and said[0]["reward"].sum() == 12
    for k, v in said[0].items():
        np.testing.assert_array_equal(v, said[1][k])


def test_numbers_say_every_choice_alike_often() -> None:
    from gymnasium import spaces

    from stemma.data.worlds.gym import _actions

    _, act, _ = _actions(spaces.Discrete(3), "x")
    assert [act(np.array([v])) for v in (-1, -0.34, -0.32, 0.32, 0.34, 1)] == [0, 0, 1, 1, 2, 2]
    _, act, _ = _actions(spaces.Discrete(5), "x")
    assert act(np.array([0, 0.1, 0.9, -1, 0.2])) == 2
    _, act, held = _actions(spaces.Box(np.array([-2, 0], np.float32), np.array([4, 1], np.float32)), "x")
    np.testing.assert_allclose([act(np.array(v)) for v in ([-1, -1], [1, 1], [0, 0])], [[-2, 0], [4, 1], [1, 0.5]])
    assert not held


def test_worlds_that_cannot_be_lived_in_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name, why in (
        ("Nowhere-v0", "cannot be made.*NameNotFound"), ("no_such_module:X-v0", "cannot be made.*ModuleNotFoundError"),
        (own_world(tmp_path, "spaces.Discrete(2)", 21, "['human']"),
         "does not draw itself: its render modes are human"),
        (own_world(tmp_path, "spaces.Text(4)", 22), "takes actions of Text"),
        ("catch", "did you mean cup-catch"), ("xylophone", "any of gymnasium's that draws itself works by its id too"),
    ):
        with pytest.raises(StemmaError, match=why) as said:
            envs.get(name)
        assert len(str(said.value).splitlines()) == 1


def test_train_evaluate_and_predict_from_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    code, out, err = said(capsys, "train", "planet", "--env", "drawn-pendulum", "-b", "2steps", "-o", run, "--json",
                          "--val-every", "0", *as_words(PLANET))
    assert code == 0 and json.loads(out)["spent"]["steps"] == 2, err
    code, out, err = said(capsys, "evaluate", run, "--limit", "2", "--json")
    assert code == 0 and len(json.loads(out)["returns"]) == 2, err
    code, out, err = said(capsys, "evaluate", run, "--limit", "2")
    assert code == 0 and "chance" in out, err
    code, out, err = said(capsys, "predict", run, "--out", str(tmp_path / "films"))
    assert code == 0 and "open_loop_0.gif" in out.replace("\n", "") and (tmp_path / "films"
                                                                         / "open_loop_0.gif").is_file(), err
    for words, message in (
        (("train", "planet"), "--env"), (("train", "planet", "--env", "moon"), "no environment"),
        (("train", "fpn", "--env", "takecover"), "environments are for agents"),
        (("compare", "planet", "fpn", "--env", "drawn-pendulum"), "no common measure"),
    ):
        code, out, err = said(capsys, *words)
        assert code == 2 and message in err and len(err.strip().splitlines()) == 1, err


@pytest.mark.whole
def test_compare_trains_agents_alike_and_writes_one_page(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """In this process, job by job: processes of their own are `compare`'s, and tested with the detectors."""
    from stemma.engine.comparing import compare as comparing
    from stemma.engine.comparing import trial
    from stemma.report import compare

    def here(todo: list[Any], states: Any, folder: Path, *_: Any) -> None:
        for state in todo:
            state.job.save(folder / "jobs" / f"{state.job.id}.json")
            trial.run(state.job)
            state.status = "done"

    sets = ({f"{p}:{k}": v for p, s in (("planet", PLANET), ("world-models", MODELS)) for k, v in s.items()}
            | {"world-models:recipe.life.first.0.amount": 2})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparing, "_locally", here)
        done = compare(["world-models", "planet"], "env:drawn-pendulum", "4steps", 2, out=tmp_path / "x", sets=sets,
                       limit=2, validations=2)
    page = (tmp_path / "x" / "report.html").read_text()
    assert done.results["wing"] == "worlds" and len(done.results["systems"]) == 2 and not done.failed
    assert ("PlaNet" in page and "World Models" in page and "data:image/gif;base64," in page
            and "decisions in the world" in page)
    assert "return of candidates" in page and "deviation of weights" in page
    assert all(len(s["runs"]) == 2 and s["runs"][0]["curve"] for s in done.results["systems"])
    from stemma.cli.worlds import compared

    compared(done.results)
    assert "steps lived" in capsys.readouterr().out


@pytest.mark.parametrize("what, why", [("sgd", "takes one of cma, open-es, pepg, ga, not 'sgd'"), ("cma", "pip install")])
def test_what_evolution_lacks_is_told_before_a_life_begins(what: str, why: str, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """And not when all that comes before the controller was learned."""
    from stemma.engine.worlds import evolve

    monkeypatch.setattr(evolve.importlib.util, "find_spec", lambda name: None if name == "cma" else object())
    with pytest.raises(StemmaError, match=why):
        stemma.train("world-models", "env:drawn-pendulum", "1h", out=tmp_path / "run", progress=False,
                     sets={"recipe.life.then.2.strategy": what})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("dreamt, real, said", [
    ((1, 10_000), (0, 4_500), "may be believed or not, too few failed"),  # nothing is known of so rare an end
    ((0, 10_000), (40, 4_000), "are not to be believed"), ((400, 20_000), (80, 8_000), "are not to be believed"),
    ((500, 50_000), (200, 20_000), "may be believed"), ((10, 1_000), (4, 400), "may be believed or not"),
])
def test_a_dream_is_judged_by_as_many_failures_as_were_seen(dreamt: tuple[int, int], real: tuple[int, int],
                                                            said: str) -> None:
    from stemma.report import worlds

    run = {"metrics": {"return": 9.0, "interval": 1.0, "random": 1.0, "random_interval": 1.0},
           "dream": {"dream_rate": dreamt[0] / dreamt[1], "real_rate": real[0] / real[1], "dream_counts": dreamt,
                     "real_counts": real}}
    system = {"title": "A", "runs": [run], "summary": {"return": {"mean": 9.0, "spread": None, "values": [9.0]}}}
    (line,) = worlds.answer({"systems": [system]})[1]
    assert f"its scores {said}" in line


def test_the_interval_of_two_rates_is_that_of_a_binomial() -> None:
    """10 and 5 events in as many steps: 10 of 15 lies within .3838 and .8818 (Clopper and Pearson)."""
    from stemma.report.worlds import _ratio

    np.testing.assert_allclose(_ratio(10, 100, 5, 100), (0.3838 / 0.6162, 0.8818 / 0.1182), rtol=2e-3)
    assert _ratio(0, 10, 3, 10)[0] == 0 and _ratio(3, 10, 0, 10)[1] == np.inf


def test_the_study_of_temperatures_writes_its_page_and_continues(
    dreamer: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from stemma.engine.running import progress
    from stemma.studies import temperature

    monkeypatch.setattr(progress, "QUIET", 0.0)
    record = temperature.study(dreamer.path, tmp_path / "t", (1.0, 0.1), generations=2, episodes=2)
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("generations")] == [
        f"generations: {k} of 4" for k in range(1, 5)]
    assert [r["temperature"] for r in record["rows"]] == [0.1, 1.0] and all(r["real"] > 0 and np.isfinite(r["dream"])
                                                                            for r in record["rows"])
    again = temperature.study(dreamer.path, tmp_path / "t", (1.0, 0.1, 1.3), generations=2, episodes=2)
    assert again["rows"][:2] == record["rows"] and len(again["rows"]) == 3
    page = (tmp_path / "t" / "temperature.html").read_text()
    assert "<svg" in page and "fool" in page
    rows = [{"temperature": 0.1, "dream": 900.0, "real": 90.0}, {"temperature": 1.0, "dream": 400.0, "real": 300.0}]
    assert temperature.fooled(rows, 100.0) == [0.1] and temperature.fooled(rows, 50.0) == []
    with pytest.raises(StemmaError, match="other settings"):
        temperature.study(dreamer.path, tmp_path / "t", (1.0,), generations=3, episodes=2)
    with pytest.raises(StemmaError, match="episodes must be 2 or more"):
        temperature.study(dreamer.path, tmp_path / "one", (1.0,), generations=1, episodes=1)
    assert not (tmp_path / "one").exists()
