"""Published presets as they are: a step of each phase and an answer, in full width, at the published picture size, on
real pictures. Processor seconds, and the peak of memory of the process.

    python benchmarks/published.py --data ../shared/data                 # each `paper` that has no row, then the table
    python benchmarks/published.py --data ../shared/data all             # each published preset that has none
    python benchmarks/published.py --data ../shared/data ssd:ssd512 fpn  # some of them, anew
    python benchmarks/published.py                                       # print the table of what is known

A preset is published where its name does not end in `small`.

A preset is trained as `stemma train PAPER -p PRESET --batch 1 --budget Nsteps --start FILE` does it, on one thread, in
a process of its own that may hold --memory GiB and work --seconds. FILE has weights that are drawn and scaled as
trained ones are (tests/pretend.py). Phases have equal shares, so that each gets one of N steps, or a batch for the
method that it runs. Training sizes are those that the recipe draws. A row is kept in docs/published.json after each.
"""
from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from stemma.engine.running.checkpoint import write_text  # noqa: E402

KEPT = ROOT / "docs" / "published.json"
REAL: dict[str, tuple[str, dict[str, str]]] = {  # in --data, how it is read, by task or preset, where not COCO's boxes
    "semantic": ("camvid", {}), "keypoints": ("coco549", {"which": "person_keypoints"}),
    "panoptic": ("panoptic_sample/sample_data/panoptic_examples.json", {}),
    "densebox:landmarks": ("coco549", {"which": "person_keypoints"}),
}
DRAWN = "amodal"  # real pictures of what is hidden are not there: scenes of as many pixels


def shown(preset: str, data: Path, batch: int) -> dict[str, Any]:
    """Train a preset by a step a phase and let it answer, in this process; its row."""
    import torch

    import stemma
    from pretend import pretend
    from stemma.core import paper as cards
    from stemma.data.records import DataWarning
    from stemma.engine.pictures.trainer import Trainer

    torch.set_num_threads(1)
    name, which = preset.split(":")
    card = cards.get(name)
    recipe, task = card.recipe(which), card.task_of(which)
    folder, options = REAL.get(preset) or REAL.get(task, ("coco549", {"which": "instances"}))
    where, options = (f"scenes:{recipe.resize.size}:4", {}) if task == DRAWN else (str(data / folder), options)
    sets = {f"recipe.phases.{i}.share": 1.0 for i in range(len(recipe.phases))}
    sizes, losses = [], Trainer._losses

    def seeing(t: Any, batch: Any) -> Any:
        sizes.append(tuple(batch.images.shape[2:]))
        return losses(t, batch)

    Trainer._losses = seeing  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as at, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        start = Path(at) / "start.safetensors"
        stemma.save(start, pretend(stemma.build(name, which, info=stemma.open_dataset(where, "train", **options).info)))
        gc.collect()
        begun = time.process_time()
        run = stemma.train(name, where, f"{len(recipe.phases) or 1}steps", which, Path(at) / "run", sets=sets,
                           batch=batch, val_images=1, val_every=0, start=start, progress=False, device="cpu",
                           data_options=options)
        answered = next(iter(run.metrics("val")))
        return {"parameters": run.record["parameters"], "precision": run.record["precision"], "steps": len(sizes),
                "sizes": sorted({f"{w} x {h}" for h, w in sizes}), "loss": answered["loss"],
                "step_seconds": round(run.record["spent"]["worked"], 1), "batch": batch,
                "answer_seconds": round(1 / answered["images_per_second"], 1),
                "seconds": round(time.process_time() - begun, 1),
                "told": sorted({str(w.message) for w in told if not issubclass(w.category, DataWarning)})}


def measured(preset: str, a: argparse.Namespace) -> dict[str, Any]:
    """The row of a preset, from a process that may have so much memory and time."""
    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (int(a.memory * 2**30),) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (a.seconds, a.seconds + 5))

    words = [sys.executable, __file__, preset, "--data", a.data, "--batch", str(a.batch), "--here"]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(words, stdout=out, stderr=errors, preexec_fn=bounded,
                                 env={"PYTHONPATH": str(ROOT / "src"), **os.environ, "OMP_NUM_THREADS": "1"})
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        for f in (out, errors):
            f.seek(0)
        wrong = (errors.read().strip().splitlines() or [f"ended with {child.returncode}"])[-1]
        failed = (f"more than {a.seconds} s of a processor" if -child.returncode == signal.SIGXCPU else
                  wrong.removeprefix("stemma.core.samples.StemmaError: ")[-300:])
        row = json.loads(out.read().splitlines()[-1]) if child.returncode == 0 else {"failed": failed}
    return {"preset": preset, **row, "gib": round(used.ru_maxrss / 2**20, 1)}


def table(rows: dict[str, dict[str, Any]]) -> str:
    """What is known, as a table of Markdown."""
    lines = ["| preset | parameters | pictures of a step | in | GiB | seconds of the steps | of an answer |",
             "|---|---|---|---|---|---|---|"]
    for preset, r in sorted(rows.items()):
        cells = ([f"**{r['failed']}**", "", "", f"{r['gib']}", "", ""] if "failed" in r else
                 [f"{r['parameters']:,}", f"{r['batch']} of {', '.join(r['sizes'])}", r["precision"], f"{r['gib']}",
                  f"{r['step_seconds']} ({r['steps']})", f"{r['answer_seconds']}"])
        lines.append(f"| {preset} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("presets", nargs="*", help="PAPER, which is its `paper`; PAPER:PRESET; or all")
    p.add_argument("--data", help="the folder in which coco549, camvid and panoptic_sample lie")
    p.add_argument("--batch", type=int, default=1, help="pictures of a step")
    p.add_argument("--memory", type=float, default=15.0, help="GiB that a process may hold")
    p.add_argument("--seconds", type=int, default=300, help="of a processor that it may work")
    p.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.here:
        print(json.dumps(shown(a.presets[0], Path(a.data), a.batch)))
        return
    rows: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}
    if a.data:
        from presets import presets

        every = [v for v in presets() if not v.endswith("small") and v not in rows]
        papers = [v for v in every if v.endswith(":paper")]
        asked = every if a.presets == ["all"] else [v if ":" in v else f"{v}:paper" for v in a.presets] or papers
        for preset in asked:
            rows[preset] = measured(preset, a)
            write_text(KEPT, json.dumps(rows, indent=1, sort_keys=True) + "\n")
            print(json.dumps(rows[preset]), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
