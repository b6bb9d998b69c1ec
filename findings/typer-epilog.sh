#!/usr/bin/env bash
# Guess: a page that Typer writes of an app with rich markup has none of it left.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check typer==0.29.2
cat > app.py <<'PY'
import typer

app = typer.Typer(rich_markup_mode="rich")


@app.command(epilog="[bold]after[/]")
def hello(name: str = typer.Option("you", help="[bold]whom[/]")) -> None:
    """[bold]before[/]"""
PY
env/bin/python -m typer app.py utils docs --name app > page.md
echo "typer $(env/bin/pip show typer 2>/dev/null | sed -n 's/^Version: //p')"
echo "Guess: \`typer utils docs\` translates rich markup wherever an app may write it."
echo "Seen: it does so in help texts and leaves an epilog's as it is:"
grep -n "before\|whom\|after" page.md | sed 's/^/    /'
grep -q '<b>before</b>\|<strong>before</strong>\|<span style="font-weight: bold">before</span>' page.md
! grep -q '\[bold\]\(before\|whom\)' page.md
grep -qF '[bold]after[/]' page.md
