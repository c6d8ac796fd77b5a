"""`--set a.b=c`: replace one value of the matrix before it is checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.core.errors import MatrixError

from .document import parse
from .problems import Finding, KeyPath, Problems, Source, show_path


def apply_sets(data: dict[str, Any], sets: Sequence[str], source: Source, problems: Problems) -> None:
    """Change `data` in place and note in `source` what was set; the values are YAML: 3, onnx, [1, 8], null."""
    for word in sets:
        key, equals, text = word.partition("=")
        path: KeyPath = tuple(key.split("."))
        if not equals or "" in path:
            raise MatrixError(f"--set {word}: write it as key.key=value", hint="for example --set axes.batch=[1,8]")
        source.overridden.append(path)
        value, found = parse(text, Source(name=f"--set {show_path(path)}"))
        found.raise_if_any()
        _set(data, path, value, problems)


def _set(data: dict[str, Any], path: KeyPath, value: Any, problems: Problems) -> None:
    inner: Any = data
    for depth, key in enumerate(path[:-1]):
        if inner.get(key) is None:  # absent, or a zoo model without a body
            inner[key] = {}
        inner = inner[key]
        if not isinstance(inner, dict):
            around = show_path(path[: depth + 1])
            problems.add(Finding(text=f"{around} is no mapping: set it whole", at=path))
            return
    inner[path[-1]] = value
