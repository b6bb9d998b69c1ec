#!/usr/bin/env bash
# Guess: the reference evaluator in the package onnx computes `LRN` as the standard says: each channel by its neighbours' squares.
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

maps = np.full((1, 4, 1, 1), 10, np.float32)  # four channels of one picture
node = helper.make_node("LRN", ["maps"], ["out"], size=3, alpha=1.0, beta=0.5, bias=1.0)
graph = helper.make_graph([node], "one", [helper.make_tensor_value_info("maps", TensorProto.FLOAT, maps.shape)],
                          [helper.make_tensor_value_info("out", TensorProto.FLOAT, maps.shape)])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
squares = np.array([(maps[0, max(0, c - 1) : c + 2] ** 2).sum() for c in range(4)])
told = {"by the standard": maps.ravel() / np.sqrt(1 + squares / 3),
        "onnxruntime": onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"maps": maps})[0].ravel(),
        "onnx.reference": ReferenceEvaluator(model).run(None, {"maps": maps})[0].ravel()}
print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
print("Guess: the three agree.")
print("Seen: it goes through as many channels as there are pictures: of one picture the first channel alone is normalised:")
for name, out in told.items():
    print(f"    {name:16}" + "".join(f"{v:8.3f}" for v in out))
standard, runtime, reference = told.values()
raise SystemExit(not (np.allclose(standard, runtime, atol=1e-4) and np.allclose(reference[0], standard[0], atol=1e-4)
                      and (reference[1:] == 10).all()))
PY
env/bin/python -W ignore show.py
