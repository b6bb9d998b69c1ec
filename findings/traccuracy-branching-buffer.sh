#!/usr/bin/env bash
# Guess: where the divisions that were found a frame too late count as found, with a buffer of one frame, all four numbers of traccuracy's
# `DivisionMetrics` are 1: recall, precision, F1 and mitotic branching correctness, TP / (TP + FP + FN).
# (traccuracy/metrics/_divisions.py: for each buffer the last of them is made of the counts without a buffer.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check traccuracy==0.4.3
cat > show.py <<'PY'
import logging
from importlib.metadata import version

import networkx as nx
from traccuracy import TrackingGraph
from traccuracy.matchers import PointMatcher
from traccuracy.metrics import DivisionMetrics

logging.disable(logging.CRITICAL)
NAMES = "Division Recall", "Division Precision", "Division F1", "Mitotic Branching Correctness"


def cells(last):  # one cell, which is seen for the last time in this frame, and its two daughters until frame 7
    graph, before = nx.DiGraph(), []
    for t in range(8):
        now = [(3 * t, 0.0)] if t <= last else [(3 * t + 1, 1.0), (3 * t + 2, -1.0)]
        for place, (name, y) in enumerate(now):
            graph.add_node(name, t=t, x=0.0, y=y)
            if before:
                graph.add_edge(before[place if len(before) == 2 else 0][0], name)
        before = now
    return TrackingGraph(graph, location_keys=("x", "y"))


seen = {}
for name, last in (("found in its frame", 3), ("found a frame late", 4)):
    matched = PointMatcher(threshold=1.5).compute_mapping(cells(3), cells(last))
    for buffer, row in DivisionMetrics(max_frame_buffer=1).compute(matched).results.items():
        seen[name, int(buffer[-1])] = [float(row[key]) for key in NAMES] + [row["True Positive Divisions"], row["False Positive Divisions"]]
print(f"traccuracy {version('traccuracy')}, networkx {version('networkx')}")
print("Guess: with a buffer of a frame the late division is as good as the other.")
print("Seen: it is to recall, precision and F1, and the branching correctness beside them stays 0 with a true positive and no false one:")
for (name, buffer), (recall, precision, f1, branching, right, wrong) in seen.items():
    print(f"    {name}, buffer {buffer}: recall {recall:.0f}, precision {precision:.0f}, F1 {f1:.0f}, branching correctness {branching:.0f}; "
          f"true positives {right}, false ones {wrong}")
raise SystemExit(not (seen["found in its frame", 0] == seen["found in its frame", 1] == [1, 1, 1, 1, 1, 0]
                      and seen["found a frame late", 1] == [1, 1, 1, 0, 1, 0]))
PY
env/bin/python -W ignore show.py
