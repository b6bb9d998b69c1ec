#!/usr/bin/env bash
# Guess: an adapter that has learned nothing changes nothing, and `merge_and_unload` gives the network that was trained: merged and unmerged answer alike.
# (peft/tuners/oft/layer.py: unmerged, a convolution turns each window of the picture and adds the overlapping windows up into a picture again, which
# the convolution then cuts into windows once more; merged, its kernel is turned.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check peft==0.21.2 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import torch
from peft import BOFTConfig, HRAConfig, LoraConfig, OFTConfig, get_peft_model


def apart(kernel, config):
    """How far the merged network's answer is from the unmerged one's, over its size; and the same of the untrained adapter from the network without one."""
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Conv2d(4, 8, kernel, padding=kernel // 2)).eval()
    picture = torch.randn(1, 4, 16, 16)
    with torch.no_grad():
        alone = plain(picture)
        adapted = get_peft_model(plain, config).eval()
        untrained = adapted(picture)
        for part in adapted.parameters():
            if part.requires_grad:
                part.add_(0.1 * torch.randn_like(part))
        unmerged = adapted(picture)
        merged = adapted.merge_and_unload()(picture)
    return ((unmerged - merged).norm() / merged.norm()).item(), ((untrained - alone).norm() / alone.norm()).item()


rows = {(name, kernel): apart(kernel, make()) for name, make in (
            ("LoRA", lambda: LoraConfig(target_modules=["0"], r=2)), ("HRA", lambda: HRAConfig(target_modules=["0"], r=2)),
            ("BOFT", lambda: BOFTConfig(target_modules=["0"], boft_block_size=2)), ("OFT", lambda: OFTConfig(target_modules=["0"], r=2, oft_block_size=0)))
        for kernel in (1, 3)}
print(f"peft {version('peft')}, torch {torch.__version__}")
print("Guess: an untrained adapter answers as the plain network, and a merged one as the unmerged one, but for rounding.")
print("Seen: so it is, but for OFT on a convolution of 3 x 3, which changes all before it has learned, and merged is another network than was trained:")
for (name, kernel), (difference, start) in rows.items():
    print(f"    {name:4} on {kernel} x {kernel}: merged from unmerged {difference:.4f} of the answer's size, untrained from the plain network {start:.4f}")
wrong = rows.pop(("OFT", 3))
raise SystemExit(not (min(wrong) > 0.5 and all(max(apart) < 1e-4 for apart in rows.values())))
PY
env/bin/python -W ignore show.py
