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
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from stemma.engine.running.checkpoint import write_text

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "docs" / "presets.json"
TEST = "tests/test_presets.py::test_a_preset_trains_through_all_its_phases"
NOTE = """Made by `python benchmarks/presets.py`: each preset through all phases of its own recipe, from weights that
are drawn and scaled as trained ones are, on drawn scenes at the least size that it takes; fully connected layers of
2,048 numbers and more are narrowed to 256, an answer of AttractioNet begins with 300 windows (`regression`:
48, of which it learns from 16), one of Amodal Instance Segmentation with 20, and DCR's `fpn` names 20 finds anew and
learns from 8 of a picture. OverFeat and AttractioNet's `regression` see scenes of one thing that nearly fills them, at
256 pixels. The loss is that of one
batch, where a phase begins and where it ends.
"""


def presets() -> list[str]:
    """PAPER:PRESET of all systems that look at pictures."""
    from stemma.core import paper as cards

    vision = [c for c in cards.papers() if c.task not in ("world", "editing", "transfer", "language")]
    return [f"{c.cli_name}:{p}" for c in vision for p in c.presets]


class Keeper:
    """What pytest tells while it runs: a row of each preset, kept as soon as its test ends."""

    def __init__(self, rows: dict[str, Any], tests: dict[str, str]) -> None:
        self.rows, self.tests = rows, tests

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and not (report.when == "setup" and report.failed):
            return
        preset = self.tests[report.nodeid]
        found = dict(report.user_properties)
        seen: dict[str, Any] = json.loads(str(found["row"])) if "row" in found else {"preset": preset}
        if report.failed:
            lines = [line for line in str(report.longrepr).splitlines() if "Error" in line or "assert" in line]
            seen["failed"] = " ".join((lines or ["no answer"])[-1].split())[-200:]
        self.rows[preset] = seen
        write_text(KEPT, json.dumps(self.rows, indent=1, sort_keys=True) + "\n")
        print(f"\n{preset}: {seen.get('failed', 'trained')}, {report.duration:.0f} s", flush=True)


def measure(wanted: list[str], rows: dict[str, Any]) -> None:
    """Run the test of each preset, one after another in this process."""
    tests = {}
    for preset in wanted:
        name, which = preset.split(":")
        tests[f"{TEST}[{name.replace('-', '_')}-{which}]"] = preset
    os.chdir(ROOT)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        pytest.main([*tests, "-m", "slow or not slow", "--basetemp", str(Path(folder) / "runs"), "--tb", "short",
                     "-o", "tmp_path_retention_policy=none", "-p", "no:cacheprovider"], [Keeper(rows, tests)])


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
    if not asked.table and (wanted := wanted or [p for p in presets() if p not in rows]):
        measure(wanted, rows)
    print(f"{NOTE}\n{table(rows)}")


if __name__ == "__main__":
    main()
