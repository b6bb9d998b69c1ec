#!/usr/bin/env bash
# Guess: captum's LayerGradCam is Grad-CAM, whose map says what speaks for a class: it is passed through a ReLU (Selvaraju et al. 2017, eq. 2).
# (The class's own page: "relu_attributions: Indicates whether to apply a ReLU operation on the final attribution", False by default.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check captum==0.9.0 torch==2.14.1
cat > show.py <<'PY'
import captum
import torch
from captum.attr import LayerGradCam

net = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1, bias=False), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
                          torch.nn.Linear(1, 2, bias=False))
with torch.no_grad():
    net[0].weight.fill_(1.0)
    net[4].weight[:, 0] = torch.tensor([-1.0, 1.0])  # brightness speaks against class 0 and for class 1
picture = torch.tensor([[[[0.0, 1.0], [0.0, 0.5]]]])
cam = LayerGradCam(net, net[1])
against, plain = cam.attribute(picture, target=0), cam.attribute(picture, target=0, relu_attributions=True)
top = torch.nn.functional.normalize(against.abs().flatten(), p=float("inf"), dim=0)
print(f"captum {captum.__version__}, torch {torch.__version__}")
print("Guess: where nothing speaks for a class its map is 0 everywhere.")
print("Seen: the map keeps its sign, so that what speaks against the class has the largest size, which pictures drawn by size show:")
print("    as it is             ", [round(v, 3) for v in against.flatten().tolist()])
print("    relu_attributions    ", [round(v, 3) for v in plain.flatten().tolist()])
print("    drawn by size        ", [round(v, 3) for v in top.tolist()])
raise SystemExit(not (against.min() < 0 and against.max() <= 0 and plain.abs().max() == 0))
PY
env/bin/python -W ignore show.py
