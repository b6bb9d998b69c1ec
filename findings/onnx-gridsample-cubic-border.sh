#!/usr/bin/env bash
# Guess: `GridSample` with mode "cubic" and padding_mode "border" reads outside of the picture what its border is.
# (The operator's page: "border: use border values for out-of-bound grid locations". onnxruntime, as `grid_sample` of PyTorch, lets the curve
# run on over a border that is repeated; the reference evaluator of the package onnx moves the place onto the border first.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

columns = np.array([0, 0, 0, 0, 1], np.float32)
picture = np.tile(columns, (5, 1))[None, None]
places = np.array([3.5, 4, 4.25, 4.5, 4.75, 5, 6], np.float32)  # in columns; the last one of the picture is 4
grid = np.stack([places / 2 - 1, np.zeros_like(places)], axis=-1)[None, None]
node = helper.make_node("GridSample", ["picture", "grid"], ["read"], mode="cubic", padding_mode="border", align_corners=1)
inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape) for name, array in (("picture", picture), ("grid", grid))]
graph = helper.make_graph([node], "graph", inputs, [helper.make_tensor_value_info("read", TensorProto.FLOAT, None)])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
feed = {"picture": picture, "grid": grid}
seen = {"onnxruntime": onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)[0], "the reference evaluator": ReferenceEvaluator(model).run(None, feed)[0]}
seen = {name: values.ravel().round(3).tolist() for name, values in seen.items()}
print(f"onnxruntime {version('onnxruntime')}, onnx {version('onnx')}")
print("Guess: of a row 0 0 0 0 1 every place behind its last column is 1.")
print("Seen: up to a column behind the border onnxruntime reads more than is anywhere in the picture; the reference evaluator reads 1:")
print(f"    {'column':24}" + "".join(f"{place:9g}" for place in places))
for name, values in seen.items():
    print(f"    {name:24}" + "".join(f"{value:9.3f}" for value in values))
fast, slow = seen.values()
raise SystemExit(not (slow[1:] == [1] * 6 and fast[1] == 1 and all(value > 1.03 for value in fast[2:5]) and fast[5:] == [1, 1] and fast[0] == slow[0]))
PY
env/bin/python -W ignore show.py
