#!/usr/bin/env bash
# Guess: a caption that is the reference, word by word, has the largest CIDEr, 10, and a BLEU of 1, however few pictures and words there are.
# (CIDEr weighs words by the logarithm of pictures to pictures that have them, by the references handed over: of one picture that is 0. BLEU-4 counts the
# pairs, triples and fours of words that a short caption has not as nearly none found.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pycocoevalcap==1.2 pycocotools==2.0.11 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider

cat, dogs = "a cat sits on a red mat", "two dogs run along the beach"
sets = {"one picture": [cat], "two pictures": [cat, dogs], "two pictures of one caption": [cat, cat], "the first twice, and the other": [cat, cat, dogs],
        "two words each": ["a cat", "a dog"], "three words each": ["a cat sits", "two dogs run"]}
seen = {}
for name, captions in sets.items():
    same = {k: [caption] for k, caption in enumerate(captions)}
    cider = Cider().compute_score(same, same)[1]
    seen[name] = [round(float(c), 3) for c in cider], round(Bleu(4).compute_score(same, same, verbose=0)[0][3], 3)
print(f"pycocoevalcap {version('pycocoevalcap')}")
print("Guess: every answer is its reference: CIDEr 10 and BLEU-4 1.")
print("Seen: a perfect caption has a CIDEr of 0 where it is the only one, or as every other, and a BLEU-4 of .001 where it has two words:")
for name, (cider, bleu) in seen.items():
    print(f"    {name:32} CIDEr {str(cider):22} BLEU-4 {bleu}")
raise SystemExit(not (seen["one picture"][0] == [0] and seen["two pictures of one caption"][0] == [0, 0] and seen["two pictures"] == ([10, 10], 1)
                      and seen["two words each"] == ([5, 5], 0.001) and seen["three words each"][1] == 0.032))
PY
env/bin/python -W ignore show.py
