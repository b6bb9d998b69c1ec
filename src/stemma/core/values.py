"""What is written for one and the same thing: yes and no, ids, attributes that are set, and settings in a line."""
from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Any

from .samples import StemmaError

YES, NO = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no", "", "none", "null"})


def flag(value: Any) -> bool:
    """Yes or no, as 0 and 1, true and false, or either of them as text; nothing is no. Raises `ValueError` for what is
    neither."""
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, (int, float)) and value in (0, 1):
        return value == 1
    word = value.strip().lower() if isinstance(value, str) else "?"
    if word in YES or word in NO:
        return word in YES
    raise ValueError(f"{str(value)[:40]!r} is neither yes nor no (0 or 1)")


def ident(value: Any) -> int | str | None:
    """An id as a number where it is a whole one, be it written 7, 7.0 or "7"; other text as it is;
    None for what is no id."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    whole = text.removeprefix("-")
    # 007 is a name
    same = whole.isascii() and whole.isdigit() and len(whole) < 19 and (whole == "0" or whole[0] != "0")
    return int(text) if same else value


def told(attributes: Any, but: Iterable[str | None] = ()) -> list[str]:
    """What attributes say of an object and is not read, in words: those that are set, but for some."""
    rows = attributes.items() if isinstance(attributes, Mapping) else ()
    return [f"the attribute {str(k)[:60]!r}" for k, v in rows
            if k not in but and v not in (None, False, "", 0) and v != [] and v != {}]


def keywords(text: str) -> dict[str, Any]:
    """Keyword arguments written as in Python, values that are literals alone. Raises `StemmaError`."""
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        assert isinstance(call, ast.Call) and not call.args
        return {str(k.arg): ast.literal_eval(k.value) for k in call.keywords if k.arg}
    except (SyntaxError, ValueError, AssertionError):
        raise StemmaError(f"cannot read '{text}'; write settings as in Python: widths=(8, 16, 32), blocks=2") from None


__all__ = ["flag", "ident", "keywords", "told"]
