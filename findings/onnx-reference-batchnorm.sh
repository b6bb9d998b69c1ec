#!/usr/bin/env bash
# Guess: the reference evaluator of the package onnx computes `BatchNormalization` of one output as the standard says: by the stored mean and variance.
# ONNX's operators (onnx.ai/onnx/operators, BatchNormalization-9, which opsets 9 to 13 use): "Output case #2: Y (test mode)".
# The evaluator is the implementation that others are held against (onnx.ai/onnx/api/reference.html), and the operator is in nearly every detector.
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
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

pictures = np.random.default_rng(0).normal(3, 2, (2, 1, 4, 4)).astype(np.float32)
stored = {"scale": 1.0, "shift": 0.0, "mean": 0.0, "variance": 1.0}  # which leaves everything as it is
seen = {}
for opset in (9, 13, 14, 15):
    node = helper.make_node("BatchNormalization", ["x", *stored], ["y"], epsilon=1e-5)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 4, 4])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1, 4, 4])],
                              [numpy_helper.from_array(np.array([v], np.float32), k) for k, v in stored.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    reference = ReferenceEvaluator(model)
    seen[opset] = [float(run(None, {"x": x})[0].flat[0]) for run in (session.run, reference.run) for x in (pictures, pictures[:1])]
print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
print(f"Guess: a normalisation by mean 0 and variance 1 leaves a pixel of {pictures.flat[0]:.3f} as it is, whatever lies beside it.")
print("Seen: up to opset 13 the reference evaluator mixes a tenth of the batch's own mean and variance in, so that a picture's numbers depend on the others:")
print("    opset   onnxruntime: of two pictures, alone   the reference: of two pictures, alone")
for opset, (a, b, c, d) in seen.items():
    print(f"    {opset:5}   {a:28.3f} {b:6.3f}   {c:30.3f} {d:6.3f}")
same = lambda *values: max(values) - min(values) < 1e-3
raise SystemExit(not (all(same(pictures.flat[0], *v[:2]) for v in seen.values()) and all(same(pictures.flat[0], *seen[o]) for o in (14, 15))
                      and all(abs(seen[o][2] - seen[o][0]) > 0.1 and abs(seen[o][2] - seen[o][3]) > 1e-3 for o in (9, 13))))
PY
env/bin/python -W ignore show.py
