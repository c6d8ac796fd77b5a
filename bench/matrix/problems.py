"""Mistakes in a matrix, gathered so that all are told at once, each with its place and a suggestion."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from bench.core.errors import MatrixError

KeyPath = tuple[str | int, ...]
"""Where something stands in the data: keys of mappings and indexes of lists."""

_SHOWN_VALUE_CHARS = 60
_SHOWN_LINE_CHARS = 120
_LISTED_NAMES = 12
_PLAIN_KEY = re.compile(r"[\w-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A spot in the file; both count from 1."""

    line: int
    column: int


@dataclass(kw_only=True, slots=True)
class Source:
    """Where the data came from: lines of the text, the place of every value and key, and what `--set` replaced."""

    name: str
    lines: list[str] = field(default_factory=list)
    values: dict[KeyPath, Place] = field(default_factory=dict)
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    overridden: list[KeyPath] = field(default_factory=list)

    def place(self, path: KeyPath, *, at_key: bool) -> Place | None:
        """The place of `path`, or of the closest thing around it; None when there is no text."""
        if at_key and path in self.keys:
            return self.keys[path]
        for length in range(len(path), -1, -1):
            if path[:length] in self.values:
                return self.values[path[:length]]
        return None

    def override_around(self, path: KeyPath) -> KeyPath | None:
        """The `--set` that `path` came from, or that made the mapping `path`; the last one given wins."""

        def made(given: KeyPath) -> bool:
            return path[: len(given)] == given or (path not in self.values and given[: len(path)] == path)

        return next((given for given in reversed(self.overridden) if made(given)), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One mistake, relative to what was being checked; `known` are the names that would have been right."""

    text: str
    at: KeyPath = ()
    known: tuple[str, ...] = ()
    wrong: str = ""  # the name to find a suggestion for
    at_key: bool = False


class Problems:
    """Collects mistakes of one source."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._found: dict[str, tuple[int, int]] = {}  # message -> where; a mistake said twice is one mistake

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, finding: Finding, *, below: KeyPath = ()) -> None:
        """Note a mistake at `below` followed by its own path."""
        path = below + finding.at
        text = finding.text + suggestion(finding.wrong, finding.known)
        place = self._source.place(path, at_key=finding.at_key)
        override = self._source.override_around(path)
        if override is not None:
            where = "" if path == override else f"{show_path(path)}: "
            self._found[f"--set {show_path(override)}: {where}{text}"] = (0, 0)
        elif place is None:
            self._found[f"{self._source.name}: {show_path(path)}: {text}"] = (0, 0)
        else:
            self.add_at(place, f"{show_path(path)}: {text}" if path else text)

    def add_at(self, place: Place, text: str) -> None:
        """Note a mistake at a place of the text, with the line and a caret below it."""
        message = f"{self._source.name}:{place.line}:{place.column}: {text}"
        if place.line <= len(self._source.lines):
            message += "\n" + _excerpt(self._source.lines[place.line - 1], place)
        self._found[message] = (place.line, place.column)

    def raise_if_any(self) -> None:
        """MatrixError with every mistake in the order of the file."""
        if not self._found:
            return
        messages = tuple(sorted(self._found, key=lambda message: self._found[message]))
        count = "1 mistake" if len(messages) == 1 else f"{len(messages)} mistakes"
        raise MatrixError(
            f"{count} in {self._source.name}",
            hint="the keys are described in docs/reference/matrix.md, the names by `bench list`",
            problems=messages,
        )


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or the known names where there are few, or nothing."""
    names = list(dict.fromkeys(known))
    if not names:
        return ""
    close = get_close_matches(wrong, names, n=1)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (known: {', '.join(names)})" if len(names) <= _LISTED_NAMES else ""


def show_path(path: KeyPath) -> str:
    """`variants.onnx-int8.steps[2]`; a key that is not a plain word is quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _PLAIN_KEY.fullmatch(part) else show_value(part))
    return text


def show_value(value: Any) -> str:
    """`value` on one short line, without control characters."""
    if value is None:
        return "nothing"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN_VALUE_CHARS else f"{text[: _SHOWN_VALUE_CHARS - 3]}..."


def printable(text: str) -> str:
    """`text` with a blank for every control character, as long as before."""
    return "".join(character if character.isprintable() else " " for character in text)


def _excerpt(line: str, place: Place) -> str:
    """The offending line and a caret under the column; long lines are cut around it."""
    start = max(0, place.column - 1 - _SHOWN_LINE_CHARS // 2) if len(line) > _SHOWN_LINE_CHARS else 0
    number = str(place.line)
    shown = printable(line[start : start + _SHOWN_LINE_CHARS]).rstrip()
    return f"  {number} | {shown}\n  {' ' * len(number)} | {' ' * (place.column - 1 - start)}^"
