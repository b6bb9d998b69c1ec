"""The site's settings for Sphinx. `make docs` builds it; see docs/house.md for why this generator."""
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "src" / "stemma"
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(SOURCE.parent))

import pages  # noqa: E402

import stemma  # noqa: E402

project = "Stemma"
author = "The Stemma authors"
version = release = stemma.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["README.md"]
html_theme = "furo"
html_title = f"Stemma {version}"
html_extra_path = ["lineage.html", "temperature.html"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
myst_heading_anchors = 3
suppress_warnings = [
    "myst.xref_missing",  # anchors written as HTML are not known to it; docs/check.py looks at every link
    "ref.python",  # names in signatures that several classes have
]
autodoc_member_order = "bysource"
maximum_signature_line_length = 100
autodoc_inherit_docstrings = False  # forward() of torch says what our classes do not


smartquotes = False
toc_object_entries = False  # every page copies the tree, and functions would make it large
BESIDE = pages.comments(SOURCE)
OURS = pages.classes(SOURCE)


def plain_docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if not any(lines) and name in BESIDE:
        lines[:] = [BESIDE[name]]
    lines[:] = pages.restructured(lines)


def unlinked(app: Any, doctree: Any) -> None:
    """Types in signatures that are not ours lead nowhere; Sphinx would look for each among the ends of all names."""
    from sphinx.addnodes import pending_xref

    for node in list(doctree.findall(pending_xref)):
        if node.get("refdomain") == "py" and node.get("reftarget", "").rpartition(".")[2] not in OURS:
            node.replace_self(node.children)


def setup(app: Any) -> None:
    pages.write(SOURCE, HERE / "made")
    app.connect("autodoc-process-docstring", plain_docstring)
    app.connect("doctree-read", unlinked)
