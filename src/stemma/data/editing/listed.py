"""Lists of edits, a record each: what a person writes down, and what GIER and others publish.

A list is JSON ([{...}, ...]), JSON lines, CSV or TSV and is called edits, pairs, metadata, GIER, GIER_new, meta_info
or magic_train; or train, val, test. It lies in the folder, or in a folder of its split below it. A JSON called edits or
pairs may also hold its list under a name, its records by their names, a list a column, or a record a line. A record
says

before        input, source, original or before, also as input_image, input_image_file_name, image_before and so on;
              else image or file_name, as Hugging Face's imagefolder has it
after         output, edited, target, result or after, likewise
instruction   instruction, edit_prompt, edit, prompt, text or caption, or several of them: a list, instructions,
              prompts. GIER's are those of experts and of amateurs (expert_summary, amateur_summary)
captions      original_prompt and edited_prompt, or input_caption and output_caption: both pictures in words
split         train, val or test, where the list holds several; without, the first 90 % are train, 5 % val, 5 % test

Of several instructions training takes another at each visit; else each is asked once, with its pair. Pictures are
found by the end of their paths, which may be another machine's. GIER: Shi et al., 2020; the release of
InstructDiffusion reads it with the first of warped/ and images/ that holds a picture (dataset/editing). Pairs of GIER
and of its meta_info are not mirrored in training, as in its configuration: their sentences speak of left and right.
"""
from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.samples import DataError
from ..files import SPLIT_OF, SPLITS, head_of, read_bytes, rows_of, text_of
from ..finding import Pictures
from ..images import listing
from ..readers.documents import load_json
from ..records import Fault
from . import folders
from .folders import RECORD, Entry, Folder, as_list
from .pairs import Pair

STEMS = ("edits", "pairs", "metadata", "GIER", "GIER_new", "meta_info", "magic_train")
SIDED = ("GIER", "GIER_new", "meta_info")  # what InstructDiffusion's release mirrors nothing of
OWN = STEMS[:2]  # names that people give: what is called so is a list of edits and nothing else
TABLES, LINES = (".csv", ".tsv"), (".jsonl", ".ndjson")
ENDINGS = (".json", *LINES, *TABLES)
_NAMES = {
    "before": ("before", "input", "source", "original", "image", "file_name", "filename"),
    "after": ("after", "output", "edited", "target", "result"),
    "instruction": ("instruction", "instructions", "edit_prompt", "edit_instruction", "edit", "prompt", "prompts",
                    "expert_summary", "text", "caption"),
}
_CAPTIONS = (("original_prompt", "edited_prompt"), ("input_caption", "output_caption"))
_AROUND = re.compile(r"^(image|img)_|(_image|_img)?(_file_?name|_path|_file)?$")  # what says only that it is a picture
_HEAD = 1 << 16  # bytes of a list in which its first record stands, or the names of its columns


@dataclass
class Listed(Folder):
    """A split of a list. An entry's instruction is its instructions, a line each; `sided` is that of each pair."""

    sided: bool = False

    def versions(self, i: int) -> int:
        return len(self.entries[i].instruction.split("\n"))

    def pair(self, i: int, version: int = 0) -> Pair:
        """Raises `DataError` for pictures that are missing, damaged or of two sizes."""
        said = self.entries[i].instruction.split("\n")
        return replace(super().pair(i), instruction=said[version % len(said)], sided=self.sided)


def lists_at(path: Path) -> dict[str, Path]:
    """split -> its list, "all" where one holds them; the first of several that fit, in the order of the names."""
    found: dict[str, Path] = {}
    for split, file in _places(path):
        if split not in found and len(_columns(_names(file))) == len(_NAMES):
            if split == "all":
                return {"all": file}
            found[split] = file
    return folders.alone(found)


def unlike(path: Path) -> str:
    """What keeps a file that is called as a list of edits from being one, or is one but for its name or kind, in words;
    "" where none is."""
    places = [file for _, file in _places(path)]
    for file in places:
        if names := _names(file):
            lack = " and no ".join(k for k in _NAMES if k not in _columns(names))
            return f"{file.relative_to(path).as_posix()} names no {lack} among {', '.join(dict.fromkeys(names))[:200]}"
    if empty := next((f for f in places if f.stem in OWN and f.is_file()), None):
        return f"{empty.name} is empty, or begins as no list of records does"
    for name in listing(path, (*ENDINGS, ".parquet")) if path.is_dir() else ():
        if name.lower().endswith(".parquet"):
            return f"{name} is Parquet, which is not read: write it as {OWN[0]}.csv"
        if path / name not in places and len(_columns(_names(path / name))) == len(_NAMES):
            return f"{name} would be a list of edits if it were called {OWN[0]}{Path(name).suffix}"
    return ""


def _places(path: Path) -> Iterator[tuple[str, Path]]:
    """(split, file) of all that a list may be called, "all" first."""
    for split, at in [("all", path / s) for s in STEMS] + [
            (split, at) for name, split in SPLIT_OF.items() for at in (path / name, *(path / name / s for s in STEMS))]:
        yield from ((split, at.parent / f"{at.name}{e}") for e in ENDINGS)


def _names(file: Path) -> list[str]:
    """The names in the head of a list, of its columns or of its first records; none of a file that begins otherwise."""
    try:
        head = head_of(file, _HEAD).lstrip()
        if file.suffix.lower() in TABLES:
            return next(iter(rows_of(head.partition("\n")[0], file)), [])
    except (OSError, ValueError, DataError):
        return []
    begins = "{" if file.suffix.lower() in LINES else "[{" if file.stem in OWN else "["
    return re.findall(r'"([\w -]+)"\s*:', head) if head and head[0] in begins else []


def _columns(names: list[str]) -> dict[str, str]:
    """What of before, after and instruction a record's names say, each by the first of them that does."""
    plain = {re.sub(r"\W", "_", n.lower()): n for n in names}
    bare = {_AROUND.sub("", p): n for p, n in reversed(plain.items())}
    return {what: n for what, own in _NAMES.items()
            if (n := next((of[k] for k in own for of in (plain, bare) if k in of), None)) is not None}


def splits_at(path: Path) -> tuple[str, ...]:
    """The splits that are there."""
    there = lists_at(path)
    if "all" not in there:
        return tuple(s for s in SPLITS if s in there)
    named = {_split(r) for _, r in _records(there["all"])[0]} - {""}
    return tuple(s for s in SPLITS if s in named) or tuple(SPLITS)


def _split(record: Any) -> str:
    said = record.get("split") if isinstance(record, dict) else None
    return SPLIT_OF.get(said.strip().lower(), "") if isinstance(said, str) else ""


def _records(file: Path) -> tuple[list[tuple[str, Any]], str]:
    """((where it stands, the record) of each, the file's sha256). Raises `DataError` for a file that is no such list;
    a line that is no JSON is its text."""
    raw = read_bytes(file)
    digest, text = hashlib.sha256(raw).hexdigest(), text_of(raw, file)
    if file.suffix in LINES or file.suffix == ".json" and _by_line(text):
        return [(f"line {n}", _json(s)) for n, s in enumerate(text.split("\n"), 1) if s.strip()], digest
    if file.suffix == ".json":
        return [(f"entry {n}", r) for n, r in enumerate(as_list(_unwrapped(load_json(file)[0]), file))], digest
    rows = rows_of(text, file)
    return [(f"line {n}", dict(zip(rows[0], row))) for n, row in enumerate(rows[1:], 2) if any(row)], digest


def _by_line(text: str) -> bool:
    """Whether a JSON has a record a line."""
    first, _, rest = text.strip().partition("\n")
    return rest.lstrip()[:1] == "{" and isinstance(_json(first), dict)


def _unwrapped(document: Any) -> Any:
    """The records of a document: itself, its columns put together, the one list of records in it, or what its names
    stand for."""
    if not isinstance(document, dict):
        return document
    of = list(document.values())
    if len(_columns(list(document))) == len(_NAMES):
        columns = [list(v.values()) if isinstance(v, dict) else v for v in of]
        if all(isinstance(v, list) and len(v) == len(columns[0]) for v in columns):
            return [dict(zip(document, row)) for row in zip(*columns)]
    inner = [v for v in of if isinstance(v, list) and v and isinstance(v[0], dict)]
    return inner[0] if len(inner) == 1 else of if of and all(isinstance(v, dict) for v in of) else document


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line


def open_listed(path: Path, split: str, follow_links: bool = False) -> Listed:
    """A split with all its entries that can be made sense of. Raises `DataError`."""
    there = lists_at(path)
    file = there.get(split) or there["all"]
    records, digest = _records(file)
    if split not in there:
        named = any(_split(r) for _, r in records)
        records = [x for x in records if _split(x[1]) == split] if named else folders.part_of(records, split)[1]
    out = Listed(path, "edits", split, [], hashlib.sha256(f"{digest} {split}".encode()).hexdigest(), follow_links,
                 sided=file.stem in SIDED)
    pictures = Pictures(path, follow_links=follow_links)
    where = pictures.below(file.parent)
    for at, r in records:
        files, said, faults = [], [], list(_faults(r))
        if not faults:
            names = _columns(list(r))
            said = [" ".join(s.split()) for s in _instructions(r, names["instruction"])]
            for what in ("before", "after"):
                name = r[names[what]]
                try:
                    files.append(pictures.find(name, near="warped", beside=where) or name)
                except LookupError as several:
                    faults.append((names[what], f"{name} may be {several}", "say more of its path"))
        if faults:
            field, problem, mend = faults[0]
            out.faults.append(Fault(str(file), at, field, problem, f"{mend}; training leaves it out", True, RECORD))
            continue
        said = [s for s in said if s] or [""]
        seen = next(((r[a], r[b]) for a, b in _CAPTIONS if isinstance(r.get(a), str) and isinstance(r.get(b), str)),
                    None)
        for each in (["\n".join(said)] if split == "train" else said):
            out.entries.append(Entry(each, ((files[0], files[1]),), f"{file.relative_to(path).as_posix()}:{at}",
                                     captions=seen))
    return out


def _instructions(record: dict[str, Any], name: str) -> list[str]:
    said = record[name]
    if name == "expert_summary":
        more = record.get("amateur_summary")
        said = [*said, *more] if isinstance(said, list) and isinstance(more, list) else said
    return said if isinstance(said, list) else [said]


def _faults(record: Any) -> Iterator[tuple[str, str, str]]:
    """(field, what is wrong, mend) of a record."""
    mend = "mend the entry"
    if not isinstance(record, dict):
        yield "", "is no record of an edit", mend
        return
    names = _columns(list(record))
    if lack := [k for k in _NAMES if k not in names]:
        yield lack[0], "is not there", mend
        return
    for what in ("before", "after"):
        if not (isinstance(record[names[what]], str) and record[names[what]].strip()):
            yield names[what], "is no name of a picture", mend
    if not all(isinstance(s, str) for s in _instructions(record, names["instruction"])):
        yield names["instruction"], "is no text", mend


__all__ = ["Listed", "lists_at", "open_listed", "splits_at", "unlike"]
