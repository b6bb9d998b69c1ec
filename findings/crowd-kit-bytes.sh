#!/usr/bin/env bash
# Guess: a majority of three masks of 0 and 1 is where two of them are 1, whatever whole numbers hold them.
# (crowdkit/aggregation/image_segmentation/segmentation_majority_vote.py: twice the sum less the number of workers, kept in the masks' type, is
# asked to be 0 or more; in uint8, which most masks are, 0 less 3 is 253.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check crowd-kit==1.4.2 numpy==2.4.6 pandas==3.1.1
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
import pandas as pd
from crowdkit.aggregation import SegmentationEM, SegmentationMajorityVote, SegmentationRASA

kinds = (bool, np.int64, np.int32, np.uint8)
seen = {}
for way in (SegmentationMajorityVote, SegmentationEM, SegmentationRASA):
    for kind in kinds:
        masks = np.zeros((3, 10, 10), kind)
        masks[:, 2:5, 2:6] = 1  # three people agree on 12 of 100 pixels; one has one more
        masks[0, 8, 8] = 1
        table = pd.DataFrame({"task": "picture", "worker": list("abc"), "segmentation": list(masks)})
        seen.setdefault(way.__name__, []).append(int(np.asarray(way().fit_predict(table)["picture"]).sum()))
print(f"crowd-kit {version('crowd-kit')}, numpy {version('numpy')}, pandas {version('pandas')}")
print("Guess: the three people's mask has 12 pixels.")
print("Seen: of masks in uint8 the majority vote makes a mask of all of the picture, without a word; the two other ways do not:")
print(f"    {'pixels, of masks in':28}" + "".join(f"{np.dtype(kind).name:>9}" for kind in kinds))
for way, pixels in seen.items():
    print(f"    {way:28}" + "".join(f"{number:9}" for number in pixels))
raise SystemExit(seen != {"SegmentationMajorityVote": [12, 12, 12, 100], "SegmentationEM": [12] * 4, "SegmentationRASA": [12] * 4})
PY
env/bin/python -W ignore show.py
