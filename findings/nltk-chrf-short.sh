#!/usr/bin/env bash
# Guess: a text that is its reference letter by letter has the best chrF there is, however short it is.
# (nltk/translate/chrf_score.py: `corpus_chrf` takes a mean over the orders 1 to 6 and gives those of which a text is too short 1e-16. Its page
# says "results equivalent to running CHRF++ with the following options: -nw 0 -b 3"; sacrebleu leaves such orders out, and sums over all texts.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check nltk==3.10.4 sacrebleu==2.6.0
cat > show.py <<'PY'
from importlib.metadata import version

from nltk.translate.chrf_score import corpus_chrf, sentence_chrf
from sacrebleu.metrics import CHRF

names = ("cat", "dog", "sheep", "a cat")
right, wrong = "a man rides a horse on the beach", "a girl walks a dog in the street"
seen = {name: [sentence_chrf(name, name), CHRF(beta=3).sentence_score(name, [name]).score / 100] for name in names}
seen["all four"] = [corpus_chrf(names, names), CHRF(beta=3).corpus_score(names, [names]).score / 100]
truth = (*names, right)
for name, answer in (("right names, a wrong caption", (*names, wrong)), ("wrong names, a right caption", ("dog", "cow", "goose", "a cow", right))):
    seen[name] = [corpus_chrf(truth, answer), CHRF(beta=3).corpus_score(answer, [truth]).score / 100]
seen = {name: [round(value, 3) for value in pair] for name, pair in seen.items()}
print(f"nltk {version('nltk')}, sacrebleu {version('sacrebleu')}")
print("Guess: cat for cat has 1.")
print("Seen: with nltk it has .5, as words of three letters have no pieces of four, five and six; two letters would have .333. sacrebleu says 1:")
print(f"    {'':32}{'nltk':>8}{'sacrebleu':>12}")
for name, pair in seen.items():
    print(f"    {name:32}{pair[0]:8.3f}{pair[1]:12.3f}")
raise SystemExit(not ([pair[0] for pair in list(seen.values())[:5]] == [0.5, 0.5, 0.833, 0.667, 0.625] and all(seen[name][1] == 1 for name in (*names, "all four"))))
PY
env/bin/python -W ignore show.py
