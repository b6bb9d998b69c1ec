#!/usr/bin/env bash
# Guess: a tokenizer that is trained with `vocab_size=40` has at most 40 tokens, or the trainer refuses.
# The docs of tokenizers (huggingface.co/docs/tokenizers, Trainers, BpeTrainer and WordPieceTrainer): `vocab_size` is "the size of the final vocabulary,
# including all tokens and alphabet"; UnigramTrainer of the same package refuses what is too small.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check tokenizers==0.23.3
cat > show.py <<'PY'
import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

text = ["the quick brown fox jumps over the lazy dog"] * 5
kinds = {"BPE": (models.BPE, trainers.BpeTrainer), "WordPiece": (models.WordPiece, trainers.WordPieceTrainer),
         "Unigram": (models.Unigram, trainers.UnigramTrainer), "WordLevel": (models.WordLevel, trainers.WordLevelTrainer)}
seen = {}
print(f"tokenizers {tokenizers.__version__}")
print("Guess: no kind of tokenizer has more tokens than it was given room for.")
print("Seen: BPE and WordPiece take in every letter first, WordPiece twice (inside of words once more), and say nothing where that is too much:")
for asked in (20, 40):
    for name, (model, trainer) in kinds.items():
        tokenizer = Tokenizer(model())
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        try:
            tokenizer.train_from_iterator(text, trainer(vocab_size=asked, show_progress=False))
            largest = max(tokenizer.get_vocab().values())
            seen[name, asked] = tokenizer.get_vocab_size()
            print(f"    {name:9} {asked} asked, {seen[name, asked]} made; the largest id {largest}, {'outside of' if largest >= asked else 'within'} an embedding of {asked} rows")
        except Exception as error:
            seen[name, asked] = None
            print(f"    {name:9} {asked} asked, refused: {error}")
raise SystemExit(not (seen["BPE", 20] > 20 and seen["WordPiece", 20] > 20 and seen["WordPiece", 40] > 40 and seen["Unigram", 20] is None
                      and all(seen["WordLevel", a] <= a for a in (20, 40))))
PY
env/bin/python -W ignore show.py
