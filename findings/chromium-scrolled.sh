#!/usr/bin/env bash
# Guess: a screenshot of page.html#place shows what a window of that size shows there.
set -euo pipefail
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$browser" ]; then
  echo "needs Chromium: apt-get install chromium"
  exit 2
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pillow==12.0.0
# Bands of 100 pixels, band k of the grey 20 k; #place is the top of band 2, 200 pixels down.
{
  echo '<!doctype html><style>body { margin: 0 } div { height: 100px }</style>'
  for k in $(seq 0 11); do echo "<div id=\"b$k\" style=\"background: rgb($((20 * k)), $((20 * k)), $((20 * k)))\"></div>"; done
} > page.html
shoot() {
  "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --force-device-scale-factor=1 --user-data-dir="$folder/profile" \
    --window-size=200,400 --screenshot="$folder/shot.png" "file://$folder/page.html$1" > /dev/null 2>&1
  env/bin/python -c "
from PIL import Image
shot = Image.open('shot.png').convert('L')
print(' '.join(str(shot.getpixel((100, y))) for y in range(50, 400, 100)))"
}
top=$(shoot "")
scrolled=$(shoot "#b2")
echo "$("$browser" --version 2>/dev/null | tail -n 1)"
echo "Guess: at #b2 the window begins with band 2, so its four bands are grey 40 60 80 100."
echo "Seen: the shot is the page's top, and what lies above the scrolled window is blank (255):"
echo "    page.html     $top"
echo "    page.html#b2  $scrolled"
[ "$top" = "0 20 40 60" ]
[ "$scrolled" = "255 255 40 60" ]
