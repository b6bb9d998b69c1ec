#!/usr/bin/env bash
# Guess: a model that onnxoptimizer has gone over with its own choice of passes gives the numbers that it gave before.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check onnxoptimizer==0.4.2 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
import onnx
import onnxoptimizer
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

# Four channels as two groups, and what is in a group as one row: 0 in a shape means "as many as there are".
shapes = [numpy_helper.from_array(np.array(shape, np.int64), name) for name, shape in (("groups", [1, 2, 2, 3]), ("rows", [0, 0, -1]))]
graph = helper.make_graph([helper.make_node("Reshape", ["x", "groups"], ["g"]), helper.make_node("Reshape", ["g", "rows"], ["r"]),
                           helper.make_node("ReduceMean", ["r"], ["y"], axes=[2], keepdims=0)], "graph",
                          [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 3])],
                          [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, "means"])], shapes)
made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
onnx.checker.check_model(made)


def run(model):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.arange(12, dtype=np.float32).reshape(1, 4, 3)})[0].tolist()


smaller = onnxoptimizer.optimize(made)
onnx.checker.check_model(smaller)
seen = run(made), run(smaller)
print(f"onnxoptimizer {version('onnxoptimizer')}, onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
print("Guess: `optimize(model)` makes it smaller, and leaves its numbers alone.")
print("Seen: of two Reshapes in a row the first is taken out, also where the second says 0, \"as many as the first made\": means of the two groups")
print("    become means of the four channels, as in each group normalisation that is written out:")
for name, model, value in zip(("as made", "optimised"), (made, smaller), seen):
    print(f"    {name:10} {' '.join(node.op_type for node in model.graph.node):30} {value}")
raise SystemExit(seen != ([[2.5, 8.5]], [[1, 4, 7, 10]]))
PY
env/bin/python -W ignore show.py
