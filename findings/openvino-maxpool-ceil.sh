#!/usr/bin/env bash
# Guess: `MaxPool` with `ceil_mode` has the same shape in OpenVINO as by ONNX's text: no window begins in the padding.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check openvino==2026.4.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > show.py <<'PY'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper

picture = np.arange(1, 26, dtype=np.float32).reshape(1, 1, 5, 5)
node = helper.make_node("MaxPool", ["picture"], ["out"], kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1)
graph = helper.make_graph([node], "one", [helper.make_tensor_value_info("picture", TensorProto.FLOAT, picture.shape)],
                          [helper.make_tensor_value_info("out", TensorProto.FLOAT, [None] * 4)])
file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10).SerializeToString()
core = openvino.Core()
theirs = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"picture": picture})[0][0, 0]
seen = core.compile_model(core.read_model(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([picture])[0][0, 0]
print(f"openvino {openvino.__version__.split('-')[0]}, onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}")
print("Guess: of 5 x 5 pixels, padded by one, 3 x 3 largest numbers: windows that would begin in the padding are left out (operator set 22),")
print("    as in PyTorch and onnxruntime.")
print("Seen: OpenVINO keeps these windows, which hold no pixel, and gives the least float for them:")
for name, out in (("onnxruntime", theirs), ("OpenVINO", seen)):
    for k, row in enumerate(out):
        print(f"    {name if not k else '':12}" + "".join(f"{v:10.3g}" for v in row))
raise SystemExit(not (theirs.shape == (3, 3) and seen.shape == (4, 4) and (seen[:, 3] == np.finfo(np.float32).min).all()))
PY
env/bin/python -W ignore show.py
