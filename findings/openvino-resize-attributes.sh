#!/usr/bin/env bash
# Guess: OpenVINO does what a node `Resize` of an ONNX file asks for, or refuses the file.
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
from onnx import TensorProto, helper, numpy_helper


def both(picture, opset, inputs, **asked):
    """The answers of onnxruntime and OpenVINO to one node Resize."""
    names = ["picture", *(name if name in inputs else "" for name in ("roi", "scales", "sizes"))]
    while not names[-1]:
        names.pop()
    graph = helper.make_graph([helper.make_node("Resize", names, ["out"], **asked)], "one",
                              [helper.make_tensor_value_info("picture", TensorProto.FLOAT, picture.shape)],
                              [helper.make_tensor_value_info("out", TensorProto.FLOAT, [None] * 4)],
                              [numpy_helper.from_array(value, name) for name, value in inputs.items()])
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9).SerializeToString()
    core = openvino.Core()
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    return (onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"picture": picture})[0],
            core.compile_model(core.read_model(file), "CPU", exact)([picture])[0])


stripes = np.tile(np.array([0, 0, 0, 8], np.float32), 8)[None, None, None].repeat(32, 2)  # a white column in four, mean 2
small = both(stripes, 18, {"scales": np.array([1, 1, 0.25, 0.25], np.float32)}, mode="linear", antialias=1)
square = both(stripes[..., :8, :8], 18, {"sizes": np.array([4, 2], np.int64)}, mode="linear", axes=[2, 3],
              keep_aspect_ratio_policy="not_smaller")
print(f"openvino {openvino.__version__.split('-')[0]}, onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}")
print("Guess: the same as onnxruntime, with antialias=1 a smooth grey of 2, and with not_smaller a picture of 4 x 4; or an error.")
print("Seen: antialias and keep_aspect_ratio_policy are passed over without a word:")
for name, (theirs, here) in (("onnxruntime", (small[0], square[0])), ("OpenVINO", (small[1], square[1]))):
    print(f"    {name:12} stripes at a quarter {np.round(theirs[0, 0, 3, 2:6], 2).tolist()}, 8 x 8 to not less than 4 x 2: {here.shape[2:]}")
raise SystemExit(not (small[0][0, 0, 3, 3] > 1.5 and (small[1] == 0).all() and square[0].shape[2:] == (4, 4) and square[1].shape[2:] == (4, 2)))
PY
env/bin/python -W ignore show.py
