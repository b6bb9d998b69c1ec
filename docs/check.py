"""Whether a built site can be read offline: every link inside it leads somewhere, and nothing is loaded from outside.

    python docs/check.py site

Exit status 1 and a line a fault where not. Links to other sites are counted and left alone: they are the reader's to
follow.
"""
from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {  # what a browser loads without being asked
    "script": ("src",), "img": ("src", "srcset"), "source": ("src", "srcset"), "video": ("src", "poster"),
    "audio": ("src",), "track": ("src",), "iframe": ("src",), "embed": ("src",), "object": ("data",), "input": ("src",),
    "image": ("href", "xlink:href"), "use": ("href", "xlink:href"),
}
NOT_FETCHED = {  # rel of <link>
    "next", "prev", "index", "search", "author", "canonical", "alternate", "license", "help", "bookmark",
}
STYLE = re.compile(r"""url\(\s*["']?([^"')]+)["']?\s*\)|@import\s+["']([^"']+)["']""")


@dataclass
class Page(HTMLParser):
    """What one page is linked by, links to and loads."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    _style: bool = False

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {k: v or "" for k, v in attrs}
        self.ids |= {given[k] for k in ("id", "name") if given.get(k) and (k == "id" or tag == "a")}
        self._style = tag == "style"
        self.loads += [x for a, b in STYLE.findall(given.get("style", "")) if (x := a or b)]
        if tag in ("a", "area") and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and "href" in given:
            (self.links if set(given.get("rel", "").split()) <= NOT_FETCHED else self.loads).append(given["href"])
        for name in FETCHED.get(tag, ()):
            for one in given.get(name, "").split(",") if name == "srcset" else [given.get(name, "")]:
                if one.strip():
                    self.loads.append(one.split()[0] if name == "srcset" else one)

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        if self._style:
            self.loads += [a or b for a, b in STYLE.findall(data)]


def read(path: Path) -> Page:
    page = Page()
    if path.suffix == ".css":
        rules = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
        page.loads = [a or b for a, b in STYLE.findall(rules)]
    else:
        page.feed(path.read_text(encoding="utf-8"))
    return page


def faults(site: Path) -> tuple[list[str], int]:
    """(what is wrong, a line each; how many links lead to other sites)."""
    site = site.resolve()
    files = {p.resolve() for p in site.rglob("*") if p.is_file()}
    pages = {p: read(p) for p in sorted(files) if p.suffix in (".html", ".css")}
    wrong: list[str] = []
    outside = 0
    if not any(p.suffix == ".html" for p in pages):
        return [f"{site}: no page is there"], 0
    for path, page in pages.items():
        here = path.relative_to(site)
        for link, loaded in [*((x, False) for x in page.links), *((x, True) for x in page.loads)]:
            at = urlsplit(link)
            if at.scheme in ("data", "mailto", "javascript", "about") and not (loaded and at.scheme != "data"):
                continue
            if at.scheme or at.netloc:
                outside += 1
                if loaded or at.scheme not in ("http", "https"):
                    wrong.append(f"{here}: loads {link} from outside" if loaded else f"{here}: links to {link}")
                continue
            if at.path.startswith("/"):
                wrong.append(f"{here}: {link} begins at the root of the file system")
                continue
            to = (path.parent / unquote(at.path)).resolve() if at.path else path
            if to not in files:
                wrong.append(f"{here}: {link} leads to no file")
            elif at.fragment and to.suffix == ".html" and unquote(at.fragment) not in pages[to].ids:
                wrong.append(f"{here}: {link} leads to no such place on the page")
    return wrong, outside


def main(site: str = "site") -> int:
    wrong, outside = faults(Path(site))
    for line in dict.fromkeys(wrong):
        print(line)
    verdict = f"{len(wrong)} faults" if wrong else "links lead somewhere, nothing is loaded from outside"
    print(f"{site}: {verdict}; {outside} links lead to other sites")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
