#!/usr/bin/env bash
# Guess: the reference evaluator of the package onnx runs a model of an old opset by that opset's operators, as it has three of BatchNormalization's.
# ONNX's operators (Softmax-1 and Softmax-11, which opsets below 13 use): the input is "coerced into a 2D tensor" at `axis`, so that all that follows it is
# one vector; from 13 on it is the one axis. Softmax, LogSoftmax and Hardmax are alike in this.
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

scores = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)  # a picture, two classes, four pixels
seen = {}
for operator in ("Softmax", "LogSoftmax", "Hardmax"):
    for opset in (11, 13):
        node = helper.make_node(operator, ["x"], ["y"], axis=1)
        graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, scores.shape)],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, scores.shape)])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        onnx.checker.check_model(model)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        seen[operator, opset] = [run(None, {"x": scores})[0].ravel() for run in (session.run, ReferenceEvaluator(model).run)]
flat = np.exp(scores) / np.exp(scores).sum()
print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
print("Guess: onnxruntime and the reference give the same numbers, of opset 11 over all eight, of opset 13 over the two classes of a pixel.")
print("Seen: the reference has the newer operator alone, and runs the model of opset 11 by it:")
for (operator, opset), (runtime, reference) in seen.items():
    print(f"    {operator:10} opset {opset}  the last number: onnxruntime {runtime[-1]:7.4f}, reference {reference[-1]:7.4f}; sums {runtime.sum():8.3f}, {reference.sum():8.3f}")
same = lambda a, b: np.allclose(a, b, atol=1e-5)
raise SystemExit(not (all(same(*seen[o, 13]) and not same(*seen[o, 11]) and same(seen[o, 11][1], seen[o, 13][1]) for o in ("Softmax", "LogSoftmax", "Hardmax"))
                      and same(seen["Softmax", 11][0], flat.ravel())))
PY
env/bin/python -W ignore show.py
