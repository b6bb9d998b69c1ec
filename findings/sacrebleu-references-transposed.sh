#!/usr/bin/env bash
# Guess: sacrebleu takes the references of each sentence, [[r1], [r2]] for two sentences; what does not fit is refused.
# (Its page: "refs: the second dimension is over the sentences": [[r1, r2]].)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check sacrebleu==2.6.0
cat > show.py <<'PY'
import sacrebleu

said = ["the cat sat on the mat", "zzz"]
true = ["the cat sat on the mat", "a dog ran in the park"]
turned = [[r] for r in true]
scores = {name: (f(said, turned).score, f(said, [true]).score) for name, f in (
    ("BLEU", sacrebleu.corpus_bleu), ("chrF", sacrebleu.corpus_chrf), ("TER", sacrebleu.corpus_ter))}
bare = sacrebleu.corpus_bleu(said[:1], true[:1]).score
print(f"sacrebleu {sacrebleu.__version__}")
print("Guess: one sentence right and one wrong is not perfect; references the wrong way round are refused.")
print("Seen: they are two references of a corpus with one sentence; the second sentence is not looked at, without a word:")
for name, (wrong, right) in scores.items():
    print(f"    {name:5} [[r1], [r2]] {wrong:6.1f}    [[r1, r2]] {right:6.1f}")
print(f"    BLEU of a sentence and itself, given as [sentence], [sentence]: {bare:.1f} (letters are taken for references)")
raise SystemExit(not (scores["BLEU"][0] > 99.9 and scores["chrF"][0] > 99.9 and scores["TER"][0] == 0 and scores["BLEU"][1] < 90 and bare < 1))
PY
env/bin/python -W ignore show.py
