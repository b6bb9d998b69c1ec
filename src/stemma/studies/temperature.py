"""Can the agent fool its dream? World Models' controller evolved in dreams of several temperatures, its score there
beside its score in the world.

    python -m stemma.studies.temperature runs/takecover --out runs/temperature

takes V, M and the episodes of a finished run of `world-models`, evolves a controller anew at each temperature, and
writes temperature.json and
temperature.html: table 2 of the paper, made again. A dream that is too certain can be cheated: high score in it, low
score in the world.
"""
from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..core import interrupts, outputs
from ..core.sentence import many
from ..core.types import StemmaError, at_least
from ..engine.running.progress import counting
from ..engine.worlds import agents, dreams, lives
from ..engine.worlds.evolve import strategy
from ..report import charts
from ..report.tags import tag, text
from . import Asked, begun, keep, natural, positive, seed

# dream, world; table 2
PAPER = {0.10: (2086, 193), 0.50: (2060, 196), 1.00: (1145, 868), 1.15: (918, 1092), 1.30: (732, 753)}


def study(
    run: str | Path, out: str | Path, temperatures: tuple[float, ...] = (0.1, 0.5, 1.0, 1.15, 1.3),
    generations: int = 60, episodes: int = 30, seed: int = 0, device: str = "auto",
) -> dict[str, Any]:
    """The study's record. What is finished of it stays in `out` and is not done again. Raises `StemmaError` for a run
    that cannot dream, and for a single episode, which has no interval."""
    at_least(2, episodes=episodes)
    model, folder = lives.agent_of(run, "last", device)
    replay = lives.episodes_of(folder, model) if folder is not None else None
    if replay is None or model.actor is None or "terminal" not in model.heads:
        raise StemmaError(f"{run} is not a run whose dreams end and whose controller can be evolved in them; train "
                          "world-models in takecover or drawn-dodge")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    stage = next(s for s in model.recipe.life.then if s.do == "evolve")
    name, place = model.info.name, str(next(model.parameters()).device)
    codes = dreams.beginnings(model, replay, place)
    file = out / "temperature.json"
    outputs.claim([file, out / "temperature.html"])
    record = begun(file, {"run": str(run), "env": name, "generations": generations, "episodes": episodes, "seed": seed})
    record.setdefault("rows", [])
    if "random" not in record:
        lived = lives.by_chance(model, name, max(episodes, lives.FRESH), seed)
        chance = agents.spread_of(agents.earned(lived[:episodes]))
        record |= {"random": chance["mean"], "random_interval": chance["interval"],
                   "dream": lives.check_dream(model, replay, name, lived[: lives.FRESH])}
    left = [tau for tau in dict.fromkeys(temperatures) if all(r["temperature"] != tau for r in record["rows"])]
    with counting("generations", len(left) * generations, rate=False) as tell:
        for nth, tau in enumerate(left):
            es = strategy(stage.strategy, torch.zeros_like(model.actor.flat()).double().cpu().numpy(), stage.sigma,
                          stage.population, seed)
            for generation in range(generations):
                torch.manual_seed(agents.seed_of(seed, generation))
                weights = torch.from_numpy(es.ask()).float().to(place)
                es.tell(dreams.rollouts(model, weights, codes, stage.rollouts, stage.horizon, tau,
                                        stage.sampled).returns.double().mean(1).cpu().numpy())
                if tell is not None:
                    tell(nth * generations + generation + 1)
            model.actor.load_flat(torch.from_numpy(es.mean))
            torch.manual_seed(seed)
            dreamt = dreams.rollouts(model, model.actor.flat()[None], codes, 256, stage.horizon, tau, stage.sampled)
            with agents.crew_for(model, name) as crew:
                returns, _ = agents.returns_of(model, crew, lives.seeds_of(agents.EVALUATION, seed, episodes))
            real = agents.spread_of(returns)
            record["rows"].append({
                "temperature": tau, "dream": float(dreamt.returns.mean()), "dream_std": float(dreamt.returns.std()),
                "ended": float(dreamt.ended.float().mean()),
                "real": real["mean"], "interval": real["interval"], "std": real["std"],
            })
            keep(file, record)
    record["rows"].sort(key=lambda r: r["temperature"])
    keep(file, record)
    outputs.put_text(out / "temperature.html", page(record))
    return record


def fooled(rows: list[dict[str, float]], chance: float) -> list[float]:
    """Temperatures whose dream promises more than the best world score while the world gives no more than chance."""
    best = max(r["real"] for r in rows)
    return [r["temperature"] for r in rows if r["dream"] > best and r["real"] <= chance]


def page(record: dict[str, Any]) -> str:
    """The study as one page with its plot."""
    from ..report.sheet import definitions, grid, leaf, remark

    rows = record["rows"]
    lines = [charts.Line(0, "in the dream", tuple((r["temperature"], r["dream"]) for r in rows)),
             charts.Line(1, "in the world", tuple((r["temperature"], r["real"]) for r in rows)),
             charts.Line(7, "chance in the world",
                         ((0.0, record["random"]), (rows[-1]["temperature"], record["random"])))]
    cheated = fooled(rows, record["random"])
    head = (f"At temperature {' and '.join(f'{t:g}' for t in cheated)} the agent fools its dream: it earns more "
            "there than any controller earns in the world, and in the world no more than chance." if cheated
            else "At none of these temperatures is the dream fooled outright.")
    best = max(rows, key=lambda r: r["real"])
    earned = f"{best['real']:.0f} ± {best['interval']:.0f}, where chance earns {record['random']:.0f}."
    head += f" Best in the world is temperature {best['temperature']:g}: {earned}"
    names = ("temperature", "in the dream", "dreams that end", "in the world", "± 95 %", "published: dream",
             "published: world")
    body = []
    for r in rows:
        said = PAPER.get(r["temperature"], ("–", "–")) if record["env"] == "takecover" else ("–", "–")
        body.append((f"{r['temperature']:g}", f"{r['dream']:.0f}", f"{100 * r['ended']:.0f} %", f"{r['real']:.0f}",
                     f"{r['interval']:.0f}", *said))
    d = record["dream"]
    facts = {
        "world": text(record["env"]), "run": text(record["run"]),
        "each controller": text(f"{many(record['generations'], 'generation')}, seed {record['seed']}"),
        "measured on": text(f"{record['episodes']} episodes of the world, 256 dreams"),
        "failures a step, by chance": text(f"{d['real_rate']:.4f} in the world, {d['dream_rate']:.4f} in the dream at "
                                           "temperature 1"),
    }
    note = remark("A controller is evolved anew at each temperature in dreams of the same model, and then lives in the "
                  "world, where it has never been.")
    return leaf("Temperature of the dream", tag("div", tag("p", text(head), cls="head"), cls="answer"),
                tag("h2", "Dream and world"), note, charts.legend(lines),
                tag("div", charts.line_chart(lines, "temperature", "return", "Return against temperature"),
                    style="max-width:40rem"), grid(names, body),
                tag("h2", "How this was made"), definitions(facts), heading="Can the agent fool its dream?")


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("temperature", __doc__)
    parser.add_argument("run")
    parser.add_argument("--out", default="runs/temperature")
    parser.add_argument("--temperatures", type=positive, nargs="+", default=[0.1, 0.5, 1.0, 1.15, 1.3],
                        help="of the dream; a controller is evolved in each")
    parser.add_argument("--generations", type=natural, default=60, help="of each controller")
    parser.add_argument("--episodes", type=natural, default=30, help="of the world, for each controller")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args(argv)
    record = study(args.run, args.out, tuple(args.temperatures), args.generations, args.episodes,
                   args.seed, args.device)
    for r in record["rows"]:
        print(f"temperature {r['temperature']:g}: dream {r['dream']:.0f}, world {r['real']:.0f} ± {r['interval']:.0f}")
    print(f"chance {record['random']:.0f} ± {record['random_interval']:.0f}; {Path(args.out) / 'temperature.html'}")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["fooled", "page", "study"]
