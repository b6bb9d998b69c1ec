#!/usr/bin/env bash
# Guess: a schema with `prefixItems`, the form that pydantic gives a tuple, holds each place of an array to its own type.
# (lmformatenforcer/jsonschemaparser.py, `get_parser`: of an array `items`, `minItems` and `maxItems` are read alone; its page of limitations names
# neither places nor ranges of numbers.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check lm-format-enforcer==0.11.3 pydantic==2.14.4
cat > show.py <<'PY'
from importlib.metadata import version

from lmformatenforcer import JsonSchemaParser
from pydantic import BaseModel, ValidationError


class Found(BaseModel):
    what: tuple[str, int, int]  # a name, and where it is


def writes(text):
    """Whether a model that is held to the schema may write this, character by character."""
    parser = JsonSchemaParser(Found.model_json_schema())
    for character in text:
        if character not in parser.get_allowed_characters():
            return False
        parser = parser.add_character(character)
    return parser.can_end()


def valid(text):
    try:
        Found.model_validate_json(text, strict=True)
    except ValidationError:
        return False
    return True


texts = ('{"what": ["cat", 3, 4]}', '{"what": [3, 4, "cat"]}', '{"what": ["cat", "dog", "red"]}', '{"what": ["cat", 3]}', '{"what": "cat"}')
seen = {text: (valid(text), writes(text)) for text in texts}
print(f"lm-format-enforcer {version('lm-format-enforcer')}, pydantic {version('pydantic')}: tuple[str, int, int]")
print("Guess: what the enforcer lets a model write is what the schema's own class reads.")
print("Seen: the length is kept and the types are not: three of any pass:")
print(f"    {'':32}valid   let through")
for text, pair in seen.items():
    print(f"    {text:32}" + "     ".join("yes" if yes else "no " for yes in pair).rstrip())
raise SystemExit(list(seen.values()) != [(True, True), (False, True), (False, True), (False, False), (False, False)])
PY
env/bin/python -W ignore show.py
