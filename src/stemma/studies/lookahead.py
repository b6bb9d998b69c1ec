"""What is an actor worth? One trained model of a world, asked four ways what to do: its actor; a search of what is
foreseen, as PlaNet has it; the same with the critic behind its horizon; and that with the actor's own ways among the
candidates.

    python -m stemma.studies.lookahead runs/cartpole --out runs/lookahead

takes a finished run of `dreamerv3` or `dynalang`, lives the same episodes with each at several horizons, and writes
lookahead.json and lookahead.html: returns with their interval, and what a decision costs.
"""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..core import interrupts, outputs
from ..core.types import StemmaError, at_least
from ..engine.running.clock import Stopwatch
from ..engine.running.progress import going
from ..engine.worlds import agents, lives
from ..parts.worlds.plan import Lookahead
from ..report import charts
from ..report.tags import tag, text
from . import Asked, begun, keep, natural, seed

WAYS = ("actor", "search", "search and critic", "search, critic and actor")


def looks_of(way: str, ahead: int, candidates: int) -> Lookahead:
    """The setting of a way: steps that it looks, and so many candidates, an eighth of them kept."""
    if way == WAYS[0]:
        return Lookahead()
    return Lookahead(ahead, way != WAYS[1], candidates // 4 if way == WAYS[3] else 0, candidates,
                     max(candidates // 8, 1))


def study(run: str | Path, out: str | Path, horizons: tuple[int, ...] = (5, 15, 30), episodes: int = 20,
          candidates: int = 128, seed: int = 0, device: str = "auto") -> dict[str, Any]:
    """The study's record. What is finished of it stays in `out` and is not done again. Raises `StemmaError` for a run
    without an actor and a critic that learn in dreams, and for a single episode, which has no interval."""
    at_least(2, episodes=episodes)
    model, _ = lives.agent_of(run, "last", device)
    if not hasattr(model.spec, "looks"):
        raise StemmaError(f"{run} has no actor beside a critic to search in the place of; train dreamerv3 or dynalang")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    file, own = out / "lookahead.json", model.spec
    outputs.claim([file, out / "lookahead.html"])
    record = begun(file, {"run": str(run), "env": model.info.name, "episodes": episodes, "candidates": candidates,
                          "seed": seed})
    record.setdefault("rows", [])
    for way, ahead in going([(WAYS[0], 0), *((w, h) for w in WAYS[1:] for h in horizons)], "ways to act"):
        if any((r["way"], r["ahead"]) == (way, ahead) for r in record["rows"]):
            continue
        looks = looks_of(way, ahead, candidates)
        looks.check()
        model.spec = replace(own, looks=looks)
        watch = Stopwatch(str(next(model.parameters()).device))
        torch.manual_seed(seed)
        with agents.crew_for(model, model.info.name) as crew:
            returns, lengths = agents.returns_of(model, crew, lives.seeds_of(agents.EVALUATION, seed, episodes))
        watch.lap()
        spread = agents.spread_of(returns)
        record["rows"].append({"way": way, "ahead": ahead, "return": spread["mean"], "interval": spread["interval"],
                               "milliseconds": 1000 * watch.work / max(float(lengths.sum()), 1.0)})
        record["rows"].sort(key=lambda r: (WAYS.index(r["way"]), r["ahead"]))
        keep(file, record)
    model.spec = own
    outputs.put_text(out / "lookahead.html", page(record))
    return record


def page(record: dict[str, Any]) -> str:
    """The study as one page with its plot."""
    from ..report.sheet import definitions, grid, leaf, remark

    rows = record["rows"]
    actor, best = rows[0], max(rows[1:], key=lambda r: r["return"])
    clear = best["return"] - best["interval"] > actor["return"] + actor["interval"]
    worse = best["return"] + best["interval"] < actor["return"] - actor["interval"]
    head = (f"The actor earns {actor['return']:.1f} ± {actor['interval']:.1f}; the best search, {best['way']} with "
            f"{best['ahead']} steps, {best['return']:.1f} ± {best['interval']:.1f}: "
            + ("clearly more" if clear else "clearly less" if worse else "no clear difference")
            + f", at {best['milliseconds'] / max(actor['milliseconds'], 1e-9):.0f} times the work a decision.")
    far = [r["ahead"] for r in rows[1:]]
    lines = [charts.Line(0, WAYS[0], ((float(min(far)), actor["return"]), (float(max(far)), actor["return"])))]
    lines += [charts.Line(i, w, tuple((float(r["ahead"]), r["return"]) for r in rows if r["way"] == w))
              for i, w in enumerate(WAYS) if i]
    body = [(r["way"], str(r["ahead"] or "–"), f"{r['return']:.1f}", f"{r['interval']:.1f}",
             f"{r['milliseconds']:.2f}") for r in rows]
    facts = {"world": text(record["env"]), "run": text(record["run"]),
             "measured on": text(f"{record['episodes']} episodes, the same for all"),
             "candidates": text(f"{record['candidates']} an iteration, four iterations, an eighth kept")}
    note = remark("Nothing is trained anew: one model, and what is done with it. Work is processor time of all that a "
                  "decision takes, the world's step included.")
    return leaf("What an actor is worth", tag("div", tag("p", text(head), cls="head"), cls="answer"),
                tag("h2", "Return and horizon"), note, charts.legend(lines),
                tag("div", charts.line_chart(lines, "steps ahead", "return", "Return against steps ahead"),
                    style="max-width:40rem"),
                grid(("who decides", "steps ahead", "return", "± 95 %", "ms a decision"), body),
                tag("h2", "How this was made"), definitions(facts), heading="What is an actor worth?")


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("lookahead", __doc__)
    parser.add_argument("run")
    parser.add_argument("--out", default="runs/lookahead")
    parser.add_argument("--horizons", type=natural, nargs="+", default=[5, 15, 30],
                        help="steps that a search looks ahead")
    parser.add_argument("--episodes", type=natural, default=20, help="of the world, for each way")
    parser.add_argument("--candidates", type=natural, default=128, help="action sequences of a search")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args(argv)
    record = study(args.run, args.out, tuple(args.horizons), args.episodes, args.candidates, args.seed, args.device)
    for r in record["rows"]:
        print(f"{r['way']}, {r['ahead']} steps: {r['return']:.1f} ± {r['interval']:.1f}, {r['milliseconds']:.2f} ms")
    print(Path(args.out) / "lookahead.html")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["WAYS", "looks_of", "page", "study"]
