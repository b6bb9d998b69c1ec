#!/usr/bin/env bash
# Guess: the reference evaluator of the package onnx stops a padded sequence at its `sequence_lens`, and has the `activations` and the `clip` of a node.
# (onnx/reference/ops/op_lstm.py, op_gru.py, op_rnn.py of 1.23.2: `sequence_lens` is an argument that nothing reads, and so are most attributes.)
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
from onnx import TensorProto, checker, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

sequences = np.array([[1, 1], [1, 1], [1, 0], [1, 0]], np.float32)[..., None]  # step, sequence: four steps, and two and padding


def both(kind, gates, **attributes):
    """The last state of both sequences, by the reference evaluator and by onnxruntime."""
    weights = {"W": np.full((1, gates, 1), 0.5, np.float32), "R": np.full((1, gates, 1), 0.5, np.float32),
               "B": np.full((1, 2 * gates), 0.1, np.float32), "lengths": np.array(attributes.pop("lengths", [4, 4]), np.int32)}
    node = helper.make_node(kind, ["X", *weights], ["", "last"], hidden_size=1, **attributes)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("X", TensorProto.FLOAT, [4, 2, 1])],
                              [helper.make_tensor_value_info("last", TensorProto.FLOAT, [1, 2, 1])],
                              [numpy_helper.from_array(v, k) for k, v in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [run(None, {"X": sequences})[0].ravel().round(3).tolist() for run in (ReferenceEvaluator(model).run, session.run)]


seen = {f"{kind}{said}": both(kind, gates, **options) for kind, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1))
        for said, options in ((", of four steps each", {}), (", sequence_lens 4 and 2", {"lengths": [4, 2]}), (", clip .3", {"clip": 0.3}))}
seen["GRU, activations Sigmoid, Relu"] = both("GRU", 3, activations=["Sigmoid", "Relu"])
print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}; the last state of two sequences")
print("Guess: the evaluator that the standard's own package calls its reference has onnxruntime's numbers.")
print("Seen: a short sequence is gone on with into its padding; `clip` and other activations are passed over, without a word:")
print(f"    {'':31}{'reference':16}onnxruntime")
for name, (reference, runtime) in seen.items():
    print(f"    {name:31}" + "".join(f"{', '.join(f'{v:.3f}' for v in row):16}" for row in (reference, runtime)).rstrip())
same = {name: np.allclose(*rows, atol=0.002) for name, rows in seen.items()}
short = all(seen[f"{k}, sequence_lens 4 and 2"][0] == seen[f"{k}, of four steps each"][0] for k in ("LSTM", "GRU", "RNN"))
raise SystemExit(not (short and all(equal == name.endswith("each") for name, equal in same.items())))
PY
env/bin/python -W ignore show.py
