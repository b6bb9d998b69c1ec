"""Which presets train: every one taken through steps of each phase of its own recipe, stopped and resumed inside each.

    python benchmarks/presets.py                    # those that have no row yet, one after another; then the table
    python benchmarks/presets.py fpn ssd:ssd512     # some of them, anew
    python benchmarks/presets.py --table            # print the table of what is known

Each is a run of `tests/test_presets.py`, which says how: at the least size that a preset takes, on drawn scenes, from
weights as large as ImageNet's. Rows are kept in docs/presets.json after each, so that the whole may be done in parts.
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "docs" / "presets.json"
NOTE = """Made by `python benchmarks/presets.py`: each preset through all phases of its own recipe, from weights that
are drawn and scaled as trained ones are, on drawn scenes at the least size that it takes; fully connected layers of
2,048 numbers and more are narrowed to 256. The loss is that of one batch, where a phase begins and where it ends.
"""


def presets() -> list[str]:
    """PAPER:PRESET of all systems that look at pictures."""
    from stemma.core import paper as cards

    vision = [c for c in cards.papers() if c.task not in ("world", "editing", "transfer", "language")]
    return [f"{c.cli_name}:{p}" for c in vision for p in c.presets]


def row(preset: str) -> dict[str, Any]:
    """Run the test of one preset; what it noted, or why it failed."""
    name, which = preset.split(":")
    with tempfile.TemporaryDirectory() as folder:
        xml = Path(folder) / "junit.xml"
        test = (f"tests/test_presets.py::test_a_preset_trains_through_all_its_phases"
                f"[{name.replace('-', '_')}-{which}]")
        command = [sys.executable, "-m", "pytest", test, "-m", "slow or not slow", "--junit-xml", str(xml),
                   "--basetemp", str(Path(folder) / "runs"), "--tb", "line"]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True,
                              capture_output=True)
        noted = ElementTree.parse(xml).iter("property") if xml.is_file() else ()
        found = {p.get("name"): p.get("value") for p in noted}
    seen: dict[str, Any] = json.loads(str(found["row"])) if "row" in found else {"preset": preset}
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if "Error" in line or "assert" in line]
        seen["failed"] = " ".join((lines or ["no answer"])[-1].split())[-200:]
    return seen


def table(rows: dict[str, dict[str, Any]]) -> str:
    """What is known, as a table of Markdown."""
    lines = ["| preset | pixels | steps | phases, each resumed | loss from ... to ... |", "|---|---|---|---|---|"]
    for preset in sorted(rows):
        r = rows[preset]
        losses = "; ".join(f"{k + ': ' if k else ''}{a:.4g} → {b:.4g}" for k, (a, b) in r.get("losses", {}).items())
        lines.append(f"| {preset} | {r.get('pixels', '')} | {r.get('steps', '')} | {r.get('phases', '')} | {losses}"
                     f"{' **failed**: ' + r['failed'] if 'failed' in r else ''} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("presets", nargs="*", help="PAPER or PAPER:PRESET")
    parser.add_argument("--table", action="store_true", help="print what is known, training nothing")
    asked = parser.parse_args()
    rows: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}
    wanted = [p for p in presets() if p in asked.presets or p.split(":")[0] in asked.presets]
    for preset in [] if asked.table else wanted or [p for p in presets() if p not in rows]:
        rows[preset] = row(preset)
        KEPT.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(preset, rows[preset].get("failed", "trained"), flush=True)
    print(f"{NOTE}\n{table(rows)}")


if __name__ == "__main__":
    main()
