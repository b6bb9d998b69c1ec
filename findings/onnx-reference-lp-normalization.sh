#!/usr/bin/env bash
# Guess: LpNormalization with p = 1 divides by the sum of the absolute values, also in the package's reference evaluator.
# (onnx/reference/ops/op_lp_normalization.py raises the numbers to the power p with their signs.)
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
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

onnxruntime.set_default_logger_severity(3)
graph = helper.make_graph([helper.make_node("LpNormalization", ["x"], ["y"], axis=1, p=1)], "g",
                          [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
                          [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
x = np.array([[1, 2, 1], [1, -3, 1]], np.float32)
reference = ReferenceEvaluator(model).run(None, {"x": x})[0]
runtime = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
print("Guess: 1 -3 1 becomes .2 -.6 .2: the sizes add up to 1.")
print("Seen: the reference evaluator divides by the sum, here -1, so that all signs are turned and nothing is smaller:")
for row, a, b in zip(x, reference, runtime):
    print(f"    {row.tolist()}: reference {a.round(3).tolist()}, onnxruntime {b.round(3).tolist()}")
raise SystemExit(not (np.allclose(reference, [[0.25, 0.5, 0.25], [-1, 3, -1]]) and np.allclose(runtime, [[0.25, 0.5, 0.25], [0.2, -0.6, 0.2]])))
PY
env/bin/python -W ignore show.py
