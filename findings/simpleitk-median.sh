#!/usr/bin/env bash
# Guess: the median of a label's pixels is the median of these pixels, as their mean and largest are.
# (SimpleITK reads it off a histogram of equal bins, 256 and 128 of them, from the least to the largest pixel of the whole picture. The page of the
# first filter says that the median's accuracy is "limited to the bin width", and not what a bin's width is; pictures of 8 bits are exact there.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check SimpleITK==2.5.7 numpy==2.4.6
cat > show.py <<'PY'
import numpy as np
import SimpleITK as sitk

depth = np.zeros((4, 6), np.float32)
depth[:, :3] = np.arange(12).reshape(4, 3) + 10  # an object, 10 to 21 away
objects = (depth > 0).astype(np.uint8)
seen = {}
for far in (0, 60000):
    depth[0, 5] = far  # one pixel of the background, far from the object
    by_label, by_shape = sitk.LabelStatisticsImageFilter(), sitk.LabelIntensityStatisticsImageFilter()
    by_label.Execute(sitk.GetImageFromArray(depth), sitk.GetImageFromArray(objects))
    by_shape.Execute(sitk.GetImageFromArray(objects), sitk.GetImageFromArray(depth))
    seen[far] = [(f.GetMedian(1), f.GetMean(1), f.GetMaximum(1)) for f in (by_label, by_shape)]
right = float(np.median(depth[objects == 1]))
print(f"SimpleITK {sitk.Version_VersionString()}")
print(f"Guess: the median of the object's pixels, 10 to 21, is {right:g}, whatever lies beside it.")
print("Seen: with one far pixel in the background it is above the largest pixel of the object; mean and maximum stay right:")
for far, rows in seen.items():
    for name, (median, mean, most) in zip(("LabelStatistics", "LabelIntensityStatistics"), rows, strict=True):
        print(f"    a background pixel of {far:5}: {name:24} median {median:8.2f}, mean {mean:g}, maximum {most:g}")
raise SystemExit(not all(abs(seen[0][i][0] - right) < 1 and seen[60000][i][0] > 100 and seen[60000][i][1:] == (right, 21) for i in (0, 1)))
PY
env/bin/python -W ignore show.py
