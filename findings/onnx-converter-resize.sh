#!/usr/bin/env bash
# Guess: a model that `onnx.version_converter` has moved to a newer opset gives the numbers that it gave before.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > show.py <<'PY'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, version_converter

twice = numpy_helper.from_array(np.array([1, 1, 1, 2], np.float32), "scales")
ramp = np.array([[[[0, 10, 20, 30]]]], np.float32)


def model(kind, opset):
    graph = helper.make_graph([helper.make_node(kind, ["x", "scales"], ["y"], mode="linear")], "graph",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 1, 4])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 1, 8])], [twice])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


def run(made):
    onnx.checker.check_model(made)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": ramp})[0].ravel().tolist()


seen = {}
for kind, opset in (("Upsample", 9), ("Resize", 10)):
    made = model(kind, opset)
    seen[kind] = [run(made)] + [run(version_converter.convert_version(made, newer)) for newer in (11, 18)]
print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
print("Guess: the converter keeps what a model computes: it is there for that.")
print("Seen: to opset 10 new pixels lie at multiples of the old ones, to 11 and later in their middles unless told otherwise, which the converter does not:")
print("    each linear Upsample and Resize of a network moves its maps by a part of a pixel:")
for kind, rows in seen.items():
    for where, row in zip((f"{kind} as made", "    moved to 11", "    moved to 18"), rows):
        print(f"    {where:18}" + "".join(f"{v:6.1f}" for v in row))
old, new = [0, 5, 10, 15, 20, 25, 30, 30], [0, 2.5, 7.5, 12.5, 17.5, 22.5, 27.5, 30]
raise SystemExit(any(rows != [old, new, new] for rows in seen.values()))
PY
env/bin/python -W ignore show.py
