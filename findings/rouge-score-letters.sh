#!/usr/bin/env bash
# Guess: a sentence compared with itself has a ROUGE of 1, in whatever language, and another word is another word.
# (rouge_score/tokenize.py: everything but a to z and 0 to 9 is a space.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check rouge-score==0.1.2 absl-py==2.5.1 nltk==3.10.4 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

from rouge_score import rouge_scorer

scorer = rouge_scorer.RougeScorer(["rouge1", "rougeL"])
pairs = [("the cat sits", "the cat sits"), ("кошка сидит", "кошка сидит"), ("η γάτα κάθεται", "η γάτα κάθεται"), ("кошка и 2 собаки", "машина без 2 колёс"),
         ("gå på åsen", "på"), ("über", "aber"), ("über", "ber")]
seen = [{kind: round(score.fmeasure, 3) for kind, score in scorer.score(*pair).items()} for pair in pairs]
print(f"rouge-score {version('rouge-score')}")
print("Guess: 1 for the first three pairs, and for each other as much as it has words in common.")
print("Seen: letters beyond a to z are spaces: a Russian sentence has 0 with itself, two that share a 2 have 1, and an umlaut is left out of its word:")
for (a, b), scores in zip(pairs, seen):
    print(f"    {a:18} {b:20} ROUGE-1 {scores['rouge1']:.3f}  ROUGE-L {scores['rougeL']:.3f}")
raise SystemExit([s["rouge1"] for s in seen][:4] + [s["rouge1"] for s in seen][5:] != [1, 0, 0, 1, 0, 1])
PY
env/bin/python -W ignore show.py
