"""Plain data to a checked MatrixFile, with every mistake noted at its place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .checks import check_name
from .problems import Finding, KeyPath, Problems
from .schema import MatrixFile, schema
from .shapes import Context
from .standard import standard_variants
from .wording import wording


def validate(data: Any, directory: Path, problems: Problems) -> MatrixFile:
    """The checked matrix; MatrixError with all of `problems`. Paths are seen from `directory`."""
    if not isinstance(data, dict):
        problems.add(Finding(text="a matrix is a mapping; begin with: schema: 1"))
        problems.raise_if_any()
    own = data.get("variants")
    names = dict.fromkeys([*(own if isinstance(own, dict) else ()), *standard_variants()])
    context = Context(directory=directory, variants=tuple(names))
    _find_unknown_zoo_models(data.get("models"), problems)
    try:
        # JSON because strict validation takes a list for a tuple only there.
        checked = MatrixFile.model_validate_json(json.dumps(data), context=context)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            _note(details, data, problems)
        problems.raise_if_any()
        raise
    problems.raise_if_any()
    return checked


def _find_unknown_zoo_models(models: Any, problems: Problems) -> None:
    """Judged before the schema, so that a wrong name is told together with whatever else is wrong."""
    for name, body in models.items() if isinstance(models, dict) else ():
        if body is None or (isinstance(body, dict) and not {"path", "null"} & set(body)):
            for finding in check_name("models", name):
                text = f"{finding.text} of the zoo, and it has no path"
                at: KeyPath = ("models", name)
                problems.add(Finding(text=text, at=at, at_key=True, wrong=name, known=finding.known))


def _note(details: Any, data: Mapping[str, Any], problems: Problems) -> None:
    if details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"]:
        return  # items that are wrong were not counted; each has its own message
    path = _path_in(data, details["loc"])
    at_key = details["type"] == "missing" or details["loc"][-1:] == ("[key]",)
    if details["type"] == "findings":
        for finding in details["ctx"]["findings"]:
            problems.add(replace(finding, at_key=finding.at_key or at_key), below=path)
        return
    if details["type"] == "extra_forbidden":
        known = tuple(_known_keys(schema(), path[:-1]))
        problems.add(Finding(text="unknown key", at=path, at_key=True, wrong=str(path[-1]), known=known))
        return
    text, known = wording(details)
    problems.add(Finding(text=text, at=path, at_key=at_key, wrong=str(details["input"]), known=known))


def _path_in(data: Any, location: tuple[str | int, ...]) -> KeyPath:
    """The location that pydantic gives without the parts that are not in the data: names of union branches, `[key]`."""
    path: KeyPath = ()
    for part in location:
        inside = part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int)
        if inside:
            data = data[part]
            path = (*path, part)
    return path


def _known_keys(root: Mapping[str, Any], path: KeyPath) -> Iterator[str]:
    """Keys that the JSON schema allows at `path`."""
    nodes = list(_plain_nodes(root, root))
    for part in path:
        deeper = [child for node in nodes for child in _children(node, part)]
        nodes = [plain for child in deeper for plain in _plain_nodes(root, child)]
    for node in nodes:
        yield from node.get("properties", ())


def _children(node: Mapping[str, Any], part: str | int) -> Iterator[Mapping[str, Any]]:
    if isinstance(part, int):
        found = node.get("items")
    else:
        found = node.get("properties", {}).get(part, node.get("additionalProperties"))
    if isinstance(found, Mapping):
        yield found


def _plain_nodes(root: Mapping[str, Any], node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """`node` with references followed and alternatives spread out."""
    if "$ref" in node:
        yield from _plain_nodes(root, root["$defs"][node["$ref"].removeprefix("#/$defs/")])
        return
    yield node
    for alternative in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from _plain_nodes(root, alternative)
