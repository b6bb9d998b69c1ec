#!/usr/bin/env bash
# Guess: the box of a mask is as wide and as high as the mask, however it is stored.
# (kwimage/structs/mask.py, `get_xywh`: of masks as arrays it takes the last column less the first; of run lengths it asks COCO's `toBbox`, where
# the package kwimage-ext is there, and otherwise makes an array of them too.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check kwimage==0.12.0 kwimage-ext==0.4.1 opencv-python-headless==5.0.0.93 numpy==2.4.6
cat > show.py <<'PY'
import kwimage
import numpy as np

mask = np.zeros((12, 14), np.uint8)
mask[2:6, 3:9] = 1  # 6 wide, 4 high
line = np.zeros((12, 14), np.uint8)
line[2:6, 3] = 1  # 1 wide, 4 high
boxes = {}
for name, data in (("6 x 4", mask), ("1 x 4", line)):
    array = kwimage.Mask(data, "c_mask")
    boxes[name] = {kind: [int(v) for v in m.get_xywh()] for kind, m in (("array", array), ("run lengths", array.to_bytes_rle()))}
print(f"kwimage {kwimage.__version__}")
print("Guess: a mask in the columns 3 to 8 and the rows 2 to 5 has the COCO box 3 2 6 4, as an array and as run lengths.")
print("Seen: of an array the box is a pixel too small each way, and that of a line has no area; of run lengths it is right:")
for name, kinds in boxes.items():
    for kind, box in kinds.items():
        print(f"    {name} pixels, {kind:12} x, y, width, height: {' '.join(map(str, box))}")
raise SystemExit(boxes != {"6 x 4": {"array": [3, 2, 5, 3], "run lengths": [3, 2, 6, 4]}, "1 x 4": {"array": [3, 2, 0, 3], "run lengths": [3, 2, 1, 4]}})
PY
env/bin/python -W ignore show.py
