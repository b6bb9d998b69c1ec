#!/usr/bin/env bash
# Guess: with one sample a bin the largest and the mean of the samples are the same: that sample.
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

x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
given = {"x": x, "boxes": np.array([[0, 0, 2, 2]], np.float32), "of": np.array([0])}
seen = {}
for mode in ("avg", "max"):
    node = helper.make_node("RoiAlign", list(given), ["y"], output_height=1, output_width=1, sampling_ratio=1, mode=mode)
    kinds = {"x": TensorProto.FLOAT, "boxes": TensorProto.FLOAT, "of": TensorProto.INT64}
    graph = helper.make_graph([node], "one", [helper.make_tensor_value_info(k, kinds[k], v.shape) for k, v in given.items()],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 1, 1])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    run = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    seen[mode] = run.run(None, given)[0].item(), ReferenceEvaluator(model).run(None, given)[0].item()
print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
print("Guess: one sample, amid 0, 1, 4 and 5, is 2.5, and so are the mean and the largest of the bin's samples.")
print("Seen: mode max takes the largest of the four corners, each weighed by how near it is, which is no sample of the map:")
for mode, (runtime, reference) in seen.items():
    print(f"    {mode}  onnxruntime {runtime}  onnx's reference {reference}")
raise SystemExit(seen != {"avg": (2.5, 2.5), "max": (1.25, 1.25)})
PY
env/bin/python show.py
