#!/usr/bin/env bash
# Guess: a model with Softmax or Hardmax that `onnx.version_converter` moves to an older or a newer opset gives the numbers that it gave, or is refused.
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
from onnx import TensorProto, helper, version_converter

scores = np.array([[[2, 0], [1, 3], [0, 1]]], np.float32)  # three classes at each of two places


def moved(kind, opset, other):
    """The sum over the classes, at each place, of what the model says, and of what it says in the other opset."""
    graph = helper.make_graph([helper.make_node(kind, ["x"], ["y"], axis=1)], "graph",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 2])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 2])])
    sums = []
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    for one in (made, version_converter.convert_version(made, other)):
        onnx.checker.check_model(one)
        session = onnxruntime.InferenceSession(one.SerializeToString(), providers=["CPUExecutionProvider"])
        sums.append([round(v, 3) for v in session.run(None, {"x": scores})[0].sum(1).ravel().tolist()])
    return sums


seen = {(kind, opset, other): moved(kind, opset, other)
        for kind, opset, other in (("Softmax", 11, 13), ("LogSoftmax", 11, 13), ("Hardmax", 11, 13), ("Softmax", 13, 11), ("Softmax", 13, 12))}
print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
print("Guess: the converter knows that these operators changed with opset 13, and keeps what a model computes, or refuses.")
print("Seen: up to opset 12 they flatten what follows the axis and are taken over all of it, from 13 on over the axis alone; the converter rewrites")
print("    Softmax and LogSoftmax on the way up, not Hardmax, and nothing on the way down. Sums over the classes, at each of two places:")
for (kind, opset, other), (was, now) in seen.items():
    print(f"    {kind:10} {opset} to {other}: {was} becomes {now}{'' if was == now else '   <- another'}")
raise SystemExit([was == now for was, now in seen.values()] != [True, True, False, False, False])
PY
env/bin/python -W ignore show.py
