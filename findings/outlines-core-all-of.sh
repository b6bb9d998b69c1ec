#!/usr/bin/env bash
# Guess: the expression that outlines-core makes of a JSON schema matches JSON, and what fits the schema; what it cannot say is an error, as its page says.
# (src/json_schema/parsing.rs: `parse_all_of` writes the parts one behind the other; `parse_string_type` puts quotes around `pattern` without a group,
# and leaves `pattern` out where there is a `minLength`. The first two are in its tracker, #259 and #267.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check outlines-core==0.2.14
cat > show.py <<'PY'
import json
import re
from importlib.metadata import version

from outlines_core.json_schema import build_regex_from_schema

named = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
placed = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
cases = {"allOf, an object with a name and an x": ({"allOf": [named, placed]}, '{"name": "cat", "x": 3}', '{"name": "cat"}{"x": 3}'),
         "pattern cat|dog": ({"type": "string", "pattern": "cat|dog"}, '"cat"', '"cat'),
         "pattern ^[a-z]+$, at least 2 long": ({"type": "string", "pattern": "^[a-z]+$", "minLength": 2}, '"cat"', '"C3!"')}
seen = {}
for name, (schema, right, wrong) in cases.items():
    expression = build_regex_from_schema(json.dumps(schema))
    seen[name] = [re.fullmatch(expression, text) is not None for text in (right, wrong)]
print(f"outlines-core {version('outlines-core')}")
print("Guess: of each schema the first text matches and the second does not.")
print("Seen: two objects one behind the other, and half of a string, in place of what is asked for; and a pattern that a length takes away:")
for (name, matches), (_, *texts) in zip(seen.items(), cases.values()):
    print(f"    {name:38}" + "".join(f"{text} {'matches' if yes else 'does not match'}".ljust(42) for text, yes in zip(texts, matches)).rstrip())
raise SystemExit(list(seen.values()) != [[False, True], [False, True], [True, True]])
PY
env/bin/python -W ignore show.py
