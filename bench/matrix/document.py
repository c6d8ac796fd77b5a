"""YAML 1.2 text to plain data, with the place of every key and value; refuses what makes YAML dangerous.

Refused with their place: anchors and aliases (nine lines of them can mean a billion values), tags (they name types to
build), directives (`%YAML 1.1` would turn `no` into false), duplicate keys (the first would be lost without a word),
infinite and not-a-number values. Keys are always text, so that `null:` and `on:` are names.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, DocumentStartEvent, NodeEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from bench.core.errors import MatrixError

from .problems import Finding, KeyPath, Place, Problems, Source, printable, show_value

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32

_TAG = "tag:yaml.org,2002:"
_CONSTRUCTED = {f"{_TAG}{name}" for name in ("null", "bool", "int", "float")}  # all else is text, timestamps too


def read_text(path: Path) -> str:
    """The text of a matrix file; MatrixError when it is absent, too large or not UTF-8."""
    name = printable(str(path))
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise MatrixError(f"{name}: {error.strerror}", hint="ready matrices lie in matrices/") from error
    if len(content) > MAX_BYTES:
        raise MatrixError(f"{name}: larger than {MAX_BYTES // 1024} KiB", hint="a matrix names axes, not every cell")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise MatrixError(
            f"{name}:{line}: byte {content[error.start]:#04x} at offset {error.start} is not valid UTF-8",
            hint="save the file as UTF-8",
        ) from error


def parse(text: str, source: Source) -> tuple[Any, Problems]:
    """Plain data of `text`, its places noted in `source`; duplicate keys and the like are left in the problems.

    MatrixError at once for what cannot be read at all or is refused.
    """
    source.lines = text.splitlines()
    problems = Problems(source)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise MatrixError(f"{source.name}: larger than {MAX_BYTES // 1024} KiB")
    try:
        _refuse_events(text, problems)
        problems.raise_if_any()
        node = YAML(typ="safe", pure=True).compose(text)
    except YAMLError as error:
        problems.add_at(*_place_and_text(error, text))
        problems.raise_if_any()
        raise AssertionError("unreachable") from error
    if node is None:
        return None, problems
    return _Reader(source, problems).value(node, ()), problems


def _refuse_events(text: str, problems: Problems) -> None:
    """Look at the stream of events before anything is built of it: its cost is that of the text's length."""
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        place = Place(line=event.start_mark.line + 1, column=event.start_mark.column + 1)
        if isinstance(event, AliasEvent):
            problems.add_at(place, f"aliases such as *{event.anchor} are refused: write the value out")
        elif isinstance(event, NodeEvent) and event.anchor:
            problems.add_at(place, f"anchors such as &{event.anchor} are refused: write the value out where it is used")
        elif getattr(event, "ctag", None) is not None:
            problems.add_at(place, f"tags such as {show_value(str(event.ctag))} are refused: write the plain value")
        elif isinstance(event, DocumentStartEvent) and (event.version or event.tags):
            problems.add_at(Place(line=1, column=1), "directives are refused: a matrix is plain YAML 1.2")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            problems.add_at(place, f"nested more than {MAX_DEPTH} deep")
            return


def _place_and_text(error: YAMLError, text: str) -> tuple[Place, str]:
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        if mark is not None:
            return Place(line=mark.line + 1, column=mark.column + 1), f"not YAML: {said}"
    if isinstance(error, ReaderError):
        before = text[: error.position]
        column = len(before) - (before.rfind("\n") + 1) + 1
        place = Place(line=before.count("\n") + 1, column=column)
        return place, f"the character {text[error.position]!a} may not stand in YAML"
    return Place(line=1, column=1), f"not YAML: {' '.join(str(error).split())}"


class _Reader:
    """Turns nodes into plain data and notes where each stands."""

    def __init__(self, source: Source, problems: Problems) -> None:
        self._source = source
        self._problems = problems
        self._constructor = YAML(typ="safe", pure=True).constructor

    def value(self, node: Node, path: KeyPath) -> Any:
        nothing_written = isinstance(node, ScalarNode) and node.start_mark.index == node.end_mark.index
        # Where nothing is written the parser has already gone on to the next line.
        self._source.values[path] = self._source.keys.get(path, _start(node)) if nothing_written else _start(node)
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path) if isinstance(node, ScalarNode) else None

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._problems.add_at(_start(key_node), "a key must be a plain word")
                continue
            key = self._text(key_node, path)
            if key in data:
                first = self._source.keys[(*path, key)].line
                self._problems.add_at(_start(key_node), f"{show_value(key)} is given twice, first in line {first}")
                continue
            self._source.keys[(*path, key)] = _start(key_node)
            data[key] = self.value(value_node, (*path, key))
        return data

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        if str(node.tag) not in _CONSTRUCTED:
            return self._text(node, path)
        try:
            value = self._constructor.construct_object(node)
        except ValueError:  # thousands of digits: Python refuses to convert them
            value = math.inf
        if isinstance(value, float) and not math.isfinite(value):
            self._problems.add(Finding(text=f"{show_value(node.value)} is not a finite number", at=path))
            return None
        return value

    def _text(self, node: ScalarNode, path: KeyPath) -> str:
        text: str = node.value
        try:
            text.encode()
        except UnicodeEncodeError:  # "\ud800": half of a character
            self._problems.add(Finding(text=f"{show_value(text)} is not valid Unicode", at=path))
            return "?"
        return text


def _start(node: Node) -> Place:
    return Place(line=node.start_mark.line + 1, column=node.start_mark.column + 1)
