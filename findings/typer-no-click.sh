#!/usr/bin/env bash
# Guess: typer.main.get_command(app) returns a click.Command, as it long did, so that tools for click read Typer's apps.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check typer==0.29.2 click==8.5.1
cat > app.py <<'PY'
import click
import typer

app = typer.Typer()


@app.command()
def hello(name: str = "you") -> None:
    """Says hello."""


command = typer.main.get_command(app)
print("click.Command:", isinstance(command, click.Command))
print("ancestors:", ", ".join(c.__module__ + "." + c.__name__ for c in type(command).__mro__[:2]))
PY
env/bin/python app.py > said.txt
echo "typer 0.29.2, click 8.5.1"
echo "Guess: what get_command returns is a click.Command."
echo "Seen: Typer brings a copy of click of its own, and its commands descend from that:"
sed 's/^/    /' said.txt
grep -qx "click.Command: False" said.txt
grep -q "typer._click" said.txt
