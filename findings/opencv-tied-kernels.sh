#!/usr/bin/env bash
# Guess: a network that uses one kernel twice has the same numbers in OpenCV 5 as in onnxruntime.
# (A normalisation in front of a convolution is taken into its kernel. Two kernels that are alike, but are stored twice, are right.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > show.py <<'PY'
import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

node = helper.make_node


def both(kernels):
    """Two pictures of ones, of which the first is normalised (times 10), through the kernels; by onnxruntime and by OpenCV."""
    numbers = {"scale": np.full(1, 10), "shift": np.zeros(1), "mean": np.zeros(1), "variance": np.ones(1), **{k: np.full((1, 1, 1, 1), 3) for k in kernels}}
    nodes = [node("BatchNormalization", ["a", "scale", "shift", "mean", "variance"], ["n"], epsilon=0.0),
             node("Conv", ["n", kernels[0]], ["y"]), node("Conv", ["b", kernels[-1]], ["z"])]
    info = lambda names: [helper.make_tensor_value_info(n, 1, [1, 1, 2, 2]) for n in names]
    graph = helper.make_graph(nodes, "g", info("ab"), info("yz"), [numpy_helper.from_array(np.float32(v), k) for k, v in numbers.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    given = {n: np.ones((1, 1, 2, 2), np.float32) for n in "ab"}
    net = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
    for name, value in given.items():
        net.setInput(value, name)
    return [[float(v.ravel()[0].round(3)) for v in out] for out in (onnxruntime.InferenceSession(model).run(None, given), net.forward(["y", "z"]))]


seen = {"one kernel": both(["w"]), "two alike": both(["w", "v"])}
print(f"opencv {cv2.__version__}, onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
print("Guess: a kernel of 3 makes 30 of the normalised picture and 3 of the other, whether both share it or have one each.")
print("Seen: where they share it, OpenCV gives the other picture the normalisation too:")
for name, (right, by_opencv) in seen.items():
    print(f"    {name:10}  onnxruntime {right}, OpenCV {by_opencv}")
raise SystemExit(not (seen["two alike"] == [[30, 3], [30, 3]] and seen["one kernel"] == [[30, 3], [30, 30]]))
PY
env/bin/python -W ignore show.py
