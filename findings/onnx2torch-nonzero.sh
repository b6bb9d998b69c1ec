#!/usr/bin/env bash
# Guess: a file that onnx2torch converts gives in PyTorch what it gives in onnxruntime, or is refused, as operators without a converter are.
# ONNX's operators (NonZero-13): the indices "in row-major order - by dimension", an axis a row, "similar to numpy.nonzero"; IsInf-10 has `detect_negative`;
# Pow-13 gives the type of its first input. onnx2torch 1.5.15 has a converter for each of the three, and raises NotImplementedError for what it does not know.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check onnx2torch==1.5.15 onnx==1.23.2 onnxruntime==1.32.0 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper
from onnx2torch import convert

found = np.array([[0, 3, 0], [4, 0, 5]], np.float32)  # scores of a map: three cells hold something
cases = {
    "NonZero": ([found], {}, TensorProto.INT64),
    "IsInf, detect_negative=0": ([np.array([np.inf, -np.inf, 1], np.float32)], {"detect_negative": 0}, TensorProto.BOOL),
    "Pow of whole numbers": ([np.array([2, 3], np.int64), np.array([0.5, 2], np.float32)], {}, TensorProto.INT64),
}
seen = {}
print(f"onnx2torch {version('onnx2torch')}, onnxruntime {onnxruntime.__version__}, torch {torch.__version__}")
print("Guess: the same numbers, three times.")
print("Seen: NonZero is torch.nonzero, a row for each pixel where ONNX has one for each axis; attributes and types of two others are passed over, without a word:")
for name, (inputs, attributes, kind) in cases.items():
    node = helper.make_node(name.split(",")[0].split(" ")[0], [f"x{i}" for i in range(len(inputs))], ["y"], **attributes)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info(f"x{i}", helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for i, a in enumerate(inputs)],
                              [helper.make_tensor_value_info("y", kind, [None] * inputs[0].ndim)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    by_onnx = session.run(None, {f"x{i}": a for i, a in enumerate(inputs)})[0]
    by_torch = convert(model).eval()(*map(torch.from_numpy, inputs)).numpy()
    seen[name] = by_onnx.tolist(), [round(v, 3) if isinstance(v, float) else v for v in by_torch.tolist()]
    print(f"    {name:25} onnxruntime {seen[name][0]}, onnx2torch {seen[name][1]}")
raise SystemExit(not (seen["NonZero"] == ([[0, 1, 1], [1, 0, 2]], [[0, 1], [1, 0], [1, 2]]) and seen["IsInf, detect_negative=0"] == ([True, False, False], [True, True, False])
                      and seen["Pow of whole numbers"][0] == [1, 9] and seen["Pow of whole numbers"][1][0] > 1.4))
PY
env/bin/python -W ignore show.py
