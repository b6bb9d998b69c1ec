#!/usr/bin/env bash
# Guess: the population stability index of two samples of one distribution is near 0 (below .1 by the usual rule), and that of two normal
# distributions a deviation apart is near 1, the sum of both divergences.
# (frouros/detectors/data_drift/batch/distance_based/psi.py: the share of an empty bin becomes `sys.float_info.min`, 2.2e-308, so that each
# number in a bin that is empty on the other side counts as its share times 700.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check frouros==0.9.0 numpy==2.1.3 scipy==1.14.1
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from frouros.detectors.data_drift import PSI


def drift(reference, sample):
    detector = PSI()
    detector.fit(X=reference)
    return float(detector.compare(X=sample)[0].distance)


def by_hand(reference, sample):  # half a number in a bin that is empty, as is usual
    edges = np.histogram_bin_edges(np.concatenate((reference, sample)), 10)
    p, q = (np.maximum(np.histogram(part, edges)[0], 0.5) / len(part) for part in (reference, sample))
    return float(((q - p) * np.log(q / p)).sum())


draw = np.random.default_rng(0)
reference = draw.normal(0, 1, 500)
rows = [(name, [function(reference, sample) for function in (by_hand, drift)])
        for name, sample in (("the same distribution", draw.normal(0, 1, 500)), ("half a deviation further", draw.normal(0.5, 1, 500)),
                             ("the same 500 numbers, one of them 6", np.append(reference[1:], 6.0)))]
print(f"frouros {version('frouros')}, numpy {version('numpy')}")
print("Guess: PSI of two samples of 500 numbers from one distribution is near 0; above .2 is the usual sign of a large drift.")
print("Seen: one number in a bin that is empty on the other side adds 1.4, so that nothing drifted has more than the sign of a large drift,")
print("    and one outlier of 500 as much as a real drift:")
for name, (hand, theirs) in rows:
    print(f"    {name:38} by hand {hand:6.3f}   frouros {theirs:7.3f}")
(same, same_theirs), (_, moved_theirs), (one, one_theirs) = (values for _, values in rows)
raise SystemExit(not (same < 0.1 and one < 0.1 and same_theirs > 1 and one_theirs > 1 and moved_theirs > 1))
PY
env/bin/python -W ignore show.py
