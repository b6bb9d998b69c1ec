#!/usr/bin/env bash
# Guess: OpenCV 5 reads the padding of an ONNX file as onnxruntime does: `SAME_LOWER` puts the odd pixel before, `SAME_UPPER` behind.
# (ONNX's page of Conv, MaxPool and AveragePool says so. Padding comes to both ends alike where it is even, so that only odd sums show it.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > show.py <<'PY'
import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import helper

picture = np.arange(5, dtype=np.float32).reshape(1, 1, 1, 5) + 10  # 10 11 12 13 14
ones = helper.make_tensor("w", 1, [1, 1, 1, 2], [1.0, 1.0])
seen = {}
for kind in ("MaxPool", "AveragePool", "Conv"):
    for pad in ("SAME_UPPER", "SAME_LOWER"):
        names, how = (["x", "w"], {}) if kind == "Conv" else (["x"], {"kernel_shape": [1, 2]})
        node = helper.make_node(kind, names, ["y"], auto_pad=pad, strides=[1, 2], **how)
        ends = [helper.make_tensor_value_info(n, 1, [1, 1, 1, s]) for n, s in (("x", 5), ("y", 3))]
        graph = helper.make_graph([node], "g", ends[:1], ends[1:], [ones] if kind == "Conv" else [])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
        net = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
        net.setInput(picture, "x")
        by_opencv = net.forward().ravel().tolist()
        seen[kind, pad] = (onnxruntime.InferenceSession(model).run(None, {"x": picture})[0].ravel().tolist(), by_opencv)
print(f"opencv {cv2.__version__}, onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
print("Guess: both have the same numbers, of windows of two that go on by two: over 10 11 12 13 14 with nothing behind, or with nothing before.")
print("Seen: OpenCV puts the odd pixel behind, whatever the file says: everything is a pixel off with SAME_LOWER:")
for (kind, pad), rows in seen.items():
    print(f"    {kind:12}{pad}  onnxruntime {rows[0]}, OpenCV {rows[1]}")
raise SystemExit(not all((a == b) == (pad == "SAME_UPPER") for (_, pad), (a, b) in seen.items()))
PY
env/bin/python -W ignore show.py
