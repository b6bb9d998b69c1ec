#!/usr/bin/env bash
# Guess: where all ten scores of a picture are the same, top-k accuracy is that of a guess, k / 10, or at least what the first k classes give; and a
# network that gives nan is never right.
# (torcheval/metrics/functional/classification/accuracy.py and ranking/: a class's rank is the number of classes with a score above its own.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torcheval==0.0.7 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 scikit-learn==1.9.1
cat > show.py <<'PY'
from importlib.metadata import version

import torch
from sklearn.metrics import top_k_accuracy_score
from torcheval.metrics.functional import hit_rate, multiclass_accuracy, reciprocal_rank

truth = torch.arange(10)
rows = []
for name, scores in (("all scores alike", torch.zeros(10, 10)), ("all scores nan", torch.full((10, 10), torch.nan))):
    theirs = [multiclass_accuracy(scores, truth, k=k, num_classes=10).item() for k in (1, 2, 5)]
    first = [(scores.topk(k, dim=1).indices == truth[:, None]).any(1).float().mean().item() for k in (1, 2, 5)]
    rows.append((name, theirs, first, hit_rate(scores, truth, k=1).mean().item(), reciprocal_rank(scores, truth).mean().item()))
known = [top_k_accuracy_score(truth.numpy(), torch.zeros(10, 10).numpy(), k=k, labels=range(10)) for k in (1, 2, 5)]
print(f"torcheval {version('torcheval')}, torch {torch.__version__}")
print("Guess: top-1, top-2 and top-5 accuracy of a network that cannot tell ten classes apart is .1, .2 and .5, and so it is where it gives nan, or 0.")
print("Seen: from k = 2 on every picture is right, as no class has a score above the true one's; so is every hit and every rank, nan too:")
for name, theirs, first, hit, rank in rows:
    print(f"    {name:17} top-1, 2, 5: torcheval {theirs[0]:.1f} {theirs[1]:.1f} {theirs[2]:.1f}, torch.topk {first[0]:.1f} {first[1]:.1f} {first[2]:.1f};  "
          f"hit rate (k=1) {hit:.1f}, reciprocal rank {rank:.1f}")
print(f"    all scores alike  scikit-learn {known[0]:.1f} {known[1]:.1f} {known[2]:.1f}")
raise SystemExit(not all(theirs[0] < 0.2 and theirs[1:] == [1, 1] and hit == rank == 1 and first[2] < 0.6 for _, theirs, first, hit, rank in rows))
PY
env/bin/python -W ignore show.py
