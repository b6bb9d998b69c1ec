"""What is asked of an agent after it has lived: returns with their interval, how true its dream is, a film of what it
foresees, a trial."""
from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...core import outputs
from ...core.sentence import many
from ...core.types import StemmaError
from ...data.worlds import envs, messenger
from ...data.worlds.replay import Replay
from ...parts.worlds.plan import CEM
from ..running import checkpoint
from ..running.clock import Stopwatch
from ..running.devices import pick_device
from ..running.runs import Run
from . import agents, dreams, reading

CONTEXT = 5  # frames that are seen before the eyes close
STRIPES = 8  # numbers that are shown as stripes in a row
STRIDE = 10_000  # between the episodes of two seeds
FRESH = 64  # lives by chance that the dream is held against


def agent_of(model: nn.Module | Run | str | Path, which: str, device: str,
             instead: str = "name its data") -> tuple[Any, Path | None]:
    """The model, and the run's folder where it is one's. Raises `StemmaError`, which ends with what is to be done
    `instead`, for no agent."""
    m: Any = checkpoint.resolve(model, which)
    folder = (model.path if isinstance(model, Run) else Path(model) if isinstance(model, (str, Path))
              and Path(model).is_dir() else None)
    if m.paper.task != "world":
        raise StemmaError(f"{m.paper.cli_name} looks at pictures and does not live in a world; {instead}")
    return m.to(pick_device(device)).eval(), folder


def world_of(model: nn.Module, data: Any = None) -> str:
    """The world that is asked for, or the one that the model knows. Raises `StemmaError` where their actions differ,
    or the widths of a channel that both have."""
    m: Any = model
    if data is None and m.info is None:
        raise StemmaError("name a world with --env: this model was not trained in one")
    name = m.info.name if data is None else agents.name_of(data)
    if len(envs.get(name).actions) != m.classes:
        raise StemmaError(f"an action in '{name}' has {many(len(envs.get(name).actions), 'number')}, and this model "
                          f"was built for {m.classes}")
    shown, seen = dict(envs.info_of(name).inputs), {s.channel: s.width for s in m.spec.senses}
    if any(shown.get(channel, width) != width for channel, width in seen.items()):
        raise StemmaError(f"'{name}' shows {_widths(shown)}, and this model was built for {_widths(seen)}; name the "
                          "world that it was trained in, or one like it")
    return str(name)


def _widths(channels: dict[str, int]) -> str:
    """Channels in words: "a picture and a vector of 8"."""
    return " and ".join("a picture" if not n else f"a {channel} of {n}" for channel, n in channels.items())


def evaluate(
    model: nn.Module | Run | str | Path, data: Any = None, *, episodes: int = 20, which: str = "best",
    device: str = "auto", workers: int = 0, seed: int = 0, random_episodes: int | None = None,
) -> dict[str, Any]:
    """Returns of the agent without noise over `episodes` seeds that it has not lived, with a 95 % interval,
    beside those of chance. Of one that plans, "search" says how its search narrows (`searched`).

    random: as many episodes (or `random_episodes`) under the world's own law of chance; that law is named. Where the
    model foresees words, "language" says how well (`check_words`); "reading" is how many steps of a life are for that.
    Where a run's folder with episodes is given and its model foresees endings, "dream" says how the dream compares with
    the world (`check_dream`).
    """
    m, folder = agent_of(model, which, device, "name its data with --data")
    name = world_of(m, data)
    watch = Stopwatch(str(next(m.parameters()).device))
    with agents.crew_for(m, name) as crew:
        returns, lengths = agents.returns_of(m, crew, seeds_of(agents.EVALUATION, seed, episodes))
    watch.lap()
    replay = episodes_of(folder, m) if folder is not None and "terminal" in m.heads and m.actor is not None else None
    dreams_too = replay is not None and replay.count > 0
    count = random_episodes or episodes
    lived = by_chance(m, name, max(count, FRESH) if dreams_too else count, seed, workers)
    chance = agents.earned(lived[:count])
    own, other = agents.spread_of(returns), agents.spread_of(chance)
    out: dict[str, Any] = {
        "env": name, "episodes": episodes, "return": own.pop("mean"), **own, "length": float(lengths.mean()),
        "random": other["mean"], "random_interval": other["interval"], "random_std": other["std"],
        "law": envs.get(name).law, "decisions_per_second": float(lengths.sum()) / watch.seconds,
        "returns": [float(x) for x in returns], "random_returns": [float(x) for x in chance],
    }
    out["better"] = out["return"] - out["interval"] > out["random"] + out["random_interval"]
    if isinstance(m.spec.actor, CEM):
        out["search"] = searched(m, lived)
    if "reading" in lived[0]:
        out["reading"] = float(np.mean([e["reading"].sum() for e in lived]))
    if reading.reads(m, lived):
        out["language"] = check_words(m, folder, name, lived[:count], seed)
    if replay is not None and dreams_too:
        out["dream"] = check_dream(m, replay, name, lived[:FRESH])
    return out


def check_words(model: nn.Module, folder: Path | None, name: str, lived: list[envs.Episode],
                seed: int = 0) -> dict[str, float]:
    """How well what is said is foreseen (`reading.foretold`): in lives by chance, or in what a text holds out; counts
    of words are those of the run's own lives, or of others by chance."""
    apart = envs.get(name).held
    replay = episodes_of(folder, model) if folder is not None else None
    if replay is not None and "token" in replay.arrays:
        known = np.split(replay.arrays["token"][: replay.steps], np.cumsum(replay.lengths)[:-1])
    else:
        known = [e["token"] for e in by_chance(model, name, len(lived), seed + 1)]
    return reading.foretold(model, by_chance(model, apart, len(lived), seed) if apart else lived, known)


@torch.no_grad()
def searched(model: nn.Module, lived: list[envs.Episode], most: int = 8) -> dict[str, list[float]]:
    """How a search narrows, by iteration, mean over what is believed after the first frames of some lives:
    "elite_returns", foreseen for the plans that it keeps, and "elite_stds", how far these lie apart."""
    m: Any = model
    device, t = next(model.parameters()).device, min(CONTEXT, *(len(e["reward"]) for e in lived))
    torch.manual_seed(0)
    seen = {k: torch.from_numpy(np.stack([e[k][:t] for e in lived[:most]])).to(device)
            for k in (*m.senses, "action", "first") if k in lived[0]}
    posts, _ = m.dynamics.observe(m.encode(seen), seen["action"], seen["first"])
    plan = m.plan({k: v[:, -1] for k, v in posts.items()})
    return {k: [float(x.mean()) for x in getattr(plan, k)] for k in ("elite_returns", "elite_stds")}


def seeds_of(begin: int, seed: int, count: int) -> list[int]:
    """Seeds of episodes that nothing is learned from; those of two seeds have none in common."""
    return [begin + STRIDE * seed + i for i in range(count)]


def by_chance(model: nn.Module, name: str, count: int, seed: int = 0, workers: int = 0) -> list[envs.Episode]:
    """Lives by chance that nothing was learned from, under the world's own law, as the model sees them."""
    with agents.crew_for(model, name, workers) as crew:
        return list(crew.random(seeds_of(agents.CHANCE, seed, count)))


def episodes_of(folder: Path, model: nn.Module, most: int = 200) -> Replay | None:
    """The newest episodes of a run, or None where it has none."""
    replay = Replay(folder / "episodes", 1 << 40)
    there = replay.on_disk()
    if not there:
        return None
    replay.low = max(there[0], there[-1] + 1 - most)
    replay.load(replay.low, there[-1] + 1)
    return replay


@torch.no_grad()
def check_dream(
    model: nn.Module, replay: Replay, name: str, fresh: list[envs.Episode], each: int = 256,
    horizon: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Whether the dream's endings come as often as the world's, before its scores are believed: lives by chance, in
    both, at temperature 1.

    The world's are `fresh` (`by_chance`); `replay` gives the dream its beginnings.
    real_rate, dream_rate: failures a step; real_counts, dream_counts: failures, and steps.
    recall: share of real last steps whose foreseen chance of failure is above the median of that at other steps,
    weighed over thresholds (the area under the curve).
    dream_length, real_length: steps lived.
    """
    m: Any = model
    device = str(next(model.parameters()).device)
    torch.manual_seed(seed)
    codes = dreams.beginnings(m, replay, device)
    card = envs.get(name)
    left = torch.zeros(each, dtype=torch.long, device=device)
    kept = torch.zeros(each, m.classes, device=device)

    def chance(state: dict[str, torch.Tensor]) -> torch.Tensor:
        nonlocal left, kept
        n = len(state["stoch"])
        if card.law == "uniform" or n != len(left):  # endings have thinned the batch: what was held is drawn anew
            left, kept = torch.zeros(n, dtype=torch.long, device=device), torch.zeros(n, m.classes, device=device)
        if card.law == "still":
            return torch.zeros(n, m.classes, device=device)
        if card.law == "choice":
            return torch.cat([torch.eye(k, device=device)[torch.randint(k, (n,), device=device)]
                              for k in card.choices], 1)
        if card.law == "uniform":
            return torch.rand(n, m.classes, device=device) * 2 - 1
        new = left == 0
        left = torch.where(new, torch.randint(1, 11, (n,), device=device), left) - 1
        kept = torch.where(new[:, None], torch.rand(n, m.classes, device=device) * 2 - 1, kept)
        return kept

    lived = dreams.rollouts(m, torch.zeros(1, 0, device=device), codes, each, horizon, 1.0, True, choose=chance)
    held = Replay(Path("."), 1 << 40)
    for i, episode in enumerate(fresh):
        held.add(i, episode, write=False)
    n, firsts = held.steps, held.count
    ends, steps = int(held.arrays["terminal"][:n].sum()), max(n - firsts, 1)
    dreamt, within = int(lived.ended.sum()), max(int(lived.lengths.sum()), 1)
    out = {
        "real_rate": ends / steps, "dream_rate": dreamt / within,
        "real_counts": (ends, steps), "dream_counts": (dreamt, within),
        "real_length": (n - firsts) / max(firsts, 1),
        "dream_length": float(lived.lengths.mean()), "dream_ended": float(lived.ended.float().mean()),
    }
    return out | {"recall": foreseen_endings(m, held, len(fresh))}


@torch.no_grad()
def foreseen_endings(model: nn.Module, replay: Replay, most: int = 64) -> float:
    """How well the model tells, one step ahead, the steps at which episodes fail: the area under the curve of its
    foreseen chances, over some of the newest episodes, which it is shown. .5 is chance, 1 perfect."""
    from scipy.stats import rankdata

    m: Any = model
    device = next(model.parameters()).device
    begin = np.concatenate([[0], np.cumsum(replay.lengths)])
    said, true = [], []
    for i in range(max(0, len(replay.lengths) - most), len(replay.lengths)):
        rows = slice(begin[i], begin[i + 1])
        seen = {k: torch.from_numpy(replay.arrays[k][rows])[None].to(device) for k in (*m.senses, "first", "action")
                if k in replay.arrays}
        _, priors = m.dynamics.observe(m.encode(seen), seen["action"], seen["first"])
        head = next(h for h in m.spec.heads if h.channel == "terminal")
        if not set(head.reads) <= set(priors):
            return float("nan")
        said.append(m.said("terminal", priors)[0, 1:].float().cpu().numpy())
        true.append(replay.arrays["terminal"][rows][1:])
    x, y = np.concatenate(said), np.concatenate(true)
    if y.all() or not y.any():
        return float("nan")
    ranks = rankdata(x)
    return float((ranks[y].sum() - y.sum() * (y.sum() + 1) / 2) / (y.sum() * (~y).sum()))


# ---------------------------------------------------------------- films


@torch.no_grad()
def foresee(model: nn.Module, episode: envs.Episode, context: int = CONTEXT, steps: int = 50,
            temperature: float = 1.0) -> dict[str, np.ndarray]:
    """What the model foresees of an episode after `context` frames, knowing only what was done: "real" and "imagined"
    uint8 [T, H, W, C], their "error" float32 [T], mean squared of what is 0..1, and, where it foresees them, "reward"
    beside "imagined_reward"."""
    m: Any = model
    device = next(model.parameters()).device
    t = min(len(episode["reward"]), context + steps)
    if t <= context:
        raise StemmaError(f"an episode of {len(episode['reward'])} frames ends before there is anything to foresee "
                          f"after {context}")
    batch = {k: torch.from_numpy(episode[k][:t])[None].to(device) for k in (*m.senses, "action", "first")
             if k in episode}
    beliefs = m.open_loop(batch, context, temperature)
    if "image" in m.heads:
        both = [episode["image"][:t], m.spec.pixels.back(m.said("image", beliefs))[0].cpu().numpy()]
    elif "grid" in m.heads:
        truth, said = episode["grid"][:t], m.said("grid", beliefs)[0].cpu().numpy()
        both = [messenger.pictured(x.reshape(len(x), messenger.SIDE, messenger.SIDE, -1)) for x in (truth, said)]
    else:
        both = shades(episode["vector"][:t], m.said("vector", beliefs)[0].cpu().numpy())
    far = np.square((both[0].astype(np.float32) - both[1]) / 255).reshape(t, -1).mean(1)
    out = dict(zip(("real", "imagined"), both if both[0].ndim == 4 else map(striped, both))) | {"error": far}
    if "reward" in m.heads:
        out |= {"reward": episode["reward"][:t], "imagined_reward": m.said("reward", beliefs)[0].float().cpu().numpy()}
    return out


def shades(truth: np.ndarray, said: np.ndarray) -> list[np.ndarray]:
    """Numbers [T, W] as greys, uint8, each over its range in the truth."""
    low, high = truth.min(0), truth.max(0)
    scaled = ((x - low) / np.maximum(high - low, 1e-6) for x in (truth, said))
    return [(x.clip(0, 1) * 255).round().astype(np.uint8) for x in scaled]


def striped(greys: np.ndarray) -> np.ndarray:
    """Greys [T, W] as pictures: up to `STRIPES` numbers as stripes, [T, 16, 16 W, 1], more as the cells of a square,
    line by line, [T, 4 n, 4 n, 1] with n * n >= W > (n - 1)^2."""
    count = greys.shape[1]
    if count <= STRIPES:
        return np.repeat(np.repeat(greys[:, None, :, None], 16, 1), 16, 2)
    side = math.isqrt(count - 1) + 1
    cells = np.pad(greys, ((0, 0), (0, side * side - count)), constant_values=128).reshape(-1, side, side, 1)
    return np.repeat(np.repeat(cells, 4, 1), 4, 2)


def side_by_side(real: np.ndarray, imagined: np.ndarray, context: int = CONTEXT, height: int = 160) -> list[Any]:
    """Pictures of a film: the world on the left, what is imagined on the right, under a bar that is green while the
    model sees and orange after."""
    from PIL import Image

    scale = max(1, height // real.shape[1])
    frames = []
    for i in range(len(real)):
        a, b = (np.repeat(np.repeat(x[i], scale, 0), scale, 1) for x in (real, imagined))
        a, b = (np.repeat(x, 3, -1) if x.shape[-1] == 1 else x for x in (a, b))
        gap = np.full((a.shape[0], 4, 3), 128, np.uint8)
        picture = np.concatenate([a, gap, b], 1)
        bar = np.empty((6, picture.shape[1], 3), np.uint8)
        bar[:] = (0, 160, 90) if i < context else (230, 120, 20)
        frames.append(Image.fromarray(np.concatenate([bar, picture])))
    return frames


def save_gif(path: Path, frames: list[Any], milliseconds: int = 90) -> Path:
    """Pictures as a GIF that runs for ever."""
    return outputs.put(path, lambda p: frames[0].save(p, save_all=True, append_images=frames[1:], duration=milliseconds,
                                                      loop=0), prediction=True)


def film(
    model: nn.Module | Run | str | Path, out: str | Path, data: Any = None, *, episodes: int = 4, steps: int = 50,
    which: str = "best", device: str = "auto", temperature: float = 1.0, seed: int = 0,
) -> dict[str, Any]:
    """Write open-loop films of episodes that the agent lives, `out`/open_loop_0.gif ..., and `out`/predictions.json:
    the mean squared error of pixels (0..1) and of rewards by how many steps ahead they were foreseen, and, where words
    are foreseen, how what was read goes on (`reading.continued`). A text has no film."""
    m, _ = agent_of(model, which, device, "name pictures: files, a folder, or a pattern in quotes")
    if not m.heads:
        raise StemmaError(f"{m.paper.cli_name} as it was built here learns no model of its world, and foresees nothing "
                          "that could be shown")
    name, out = world_of(m, data), Path(out)
    name = envs.get(name).held or name
    outputs.claim([out / "predictions.json", *(out / f"open_loop_{i}.gif" for i in range(episodes))])
    with agents.crew_for(m, name) as crew:
        lived = agents.live_side_by_side(m, crew, seeds_of(agents.EVALUATION, seed, episodes))
    files: list[str] = []
    shown = next((k for k in ("image", "grid", "vector") if k in m.heads and k in lived[0]), "")
    errors: dict[str, list[np.ndarray]] = {shown: [], "reward": []}
    torch.manual_seed(seed)
    for i, episode in enumerate(e for e in lived if shown and len(e["reward"]) > CONTEXT):
        seen = foresee(m, episode, CONTEXT, steps, temperature)
        files.append(str(save_gif(out / f"open_loop_{i}.gif", side_by_side(seen["real"], seen["imagined"]))))
        errors[shown].append(seen["error"][CONTEXT:])
        if "reward" in seen:
            errors["reward"].append(np.square(seen["reward"][CONTEXT:] - seen["imagined_reward"][CONTEXT:]))
    texts = [reading.continued(m, e, envs.get(name).words) for e in lived if len(e["reward"]) > CONTEXT
             ] if reading.reads(m, lived) else []
    if not files and not texts:
        raise StemmaError(f"every episode in '{name}' ended within {CONTEXT} frames; there is nothing to foresee")
    ahead = {k: [float(np.mean([e[s] for e in v if len(e) > s])) for s in range(max(map(len, v)))]
             for k, v in errors.items() if v}
    record = {"env": name, "films": files, "context": CONTEXT, "temperature": temperature,
              "returns": [float(e["reward"].sum()) for e in lived], "error": ahead}
    if texts:
        record["texts"] = texts
    said = checkpoint.jsonable(record | {"films": [Path(f).name for f in files]})
    outputs.put_text(out / "predictions.json", json.dumps(said, indent=1), prediction=True)
    return record


def temperatures(run: str | Path, values: tuple[float, ...] = (0.1, 0.5, 1.0, 1.15, 1.3),
                 **more: Any) -> list[dict[str, float]]:
    """Dream score and length of a run's controller at several temperatures, of the same beginnings."""
    m, folder = agent_of(run, "last", more.get("device", "auto"))
    replay = episodes_of(folder, m) if folder is not None else None
    if replay is None or not hasattr(m.actor, "flat"):
        raise StemmaError(f"{run} holds no episodes and controller to dream with")
    codes = dreams.beginnings(m, replay, str(next(m.parameters()).device))
    out = []
    for tau in values:
        torch.manual_seed(0)
        lived = dreams.rollouts(m, m.actor.flat()[None], codes, 256, int(more.get("horizon", 525)), tau, True)
        means = {"dream": lived.returns, "length": lived.lengths, "ended": lived.ended.float()}
        out.append({"temperature": tau, **{k: float(v.mean()) for k, v in means.items()}})
    return out


# ---------------------------------------------------------------- one training of a comparison


def trial(job: Any, folder: Path, episodes: int = 20) -> dict[str, Any]:
    """Train (or finish) a job of `compare` in a world and measure it: what its `trial.json` holds."""
    trained = agents.train(job.paper, job.data, job.length, job.preset, folder, job.seed, job.sets, resume=True,
                           device=job.device, workers=job.workers,
                           val_every=1 / job.validations, val_episodes=5, progress=False)
    record = trained.record
    measured = evaluate(trained, None, episodes=job.limit or episodes, which="last", device=job.device)
    torch.manual_seed(job.seed)
    bare = checkpoint.build(job.paper, job.preset, sets=job.sets, info=envs.info_of(measured["env"]))
    untrained = evaluate(bare, None, episodes=5, device=job.device, random_episodes=2)
    m: Any = bare
    shown: dict[str, Any] = {"error": {}, "films": []}
    if m.heads:
        shown = film(trained, folder / "films", None, episodes=2, which="last", device=job.device)
    return {
        "id": job.id, "paper": m.paper.name, "title": m.paper.title, "label": m.paper.label, "preset": job.preset,
        "seed": job.seed, "task": "world", "steps": record["spent"]["steps"], "images": record["spent"]["images"],
        "episodes": record["episodes"],
        "parameters": record["parameters"], "peak_memory_mb": record["peak_memory_mb"], "device": record["device"],
        "metrics": {k: v for k, v in measured.items() if isinstance(v, (int, float)) and not isinstance(v, bool)},
        "env": measured["env"], "law": measured["law"], "dream": measured.get("dream"),
        "untrained": untrained["return"], "error": shown["error"], "films": [Path(f).name for f in shown["films"]],
        "curve": [{k: e[k] for k in ("seconds", "images", "step", "episodes")} | {"value": e["return"]}
                  for e in trained.metrics("val")],
        "lived": [{"images": e["images"], "seconds": e["seconds"], "return": e["return"], "policy": e["policy"]}
                  for e in trained.metrics("episode")],
        "evolved": [{k: e[k] for k in ("generation", "mean", "best", "sigma")} for e in trained.metrics("evolve")],
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


__all__ = [
    "FRESH", "agent_of", "by_chance", "check_dream", "evaluate", "film", "foresee", "foreseen_endings", "save_gif",
    "seeds_of", "side_by_side", "temperatures", "trial", "world_of",
]
