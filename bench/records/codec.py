"""JSON of the results: strict both ways, bounded before it is parsed, and migrated from older schema versions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from bench.core.errors import StoreError
from bench.core.record import SCHEMA_VERSION

T = TypeVar("T")
Migrations = Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]
"""Schema version -> what turns the JSON object of that version into the next version's."""

#: One line of a journal: a record is about 5 kB, the rest is room for a long log tail and thousands of CPU ids.
MAX_LINE_BYTES = 4 << 20
#: `run.json` and manifests: 10 000 cell ids are 1 MB.
MAX_FILE_BYTES = 64 << 20
MAX_DEPTH = 64

_NOT_STRUCTURE = bytes(set(range(256)) - set(b"[]{}"))


class NewerSchema(StoreError):
    """Written by a newer version of deploybench, so nothing in it may be guessed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Versioned:
    schema_version: int


def encode(value: Any, *, place: str) -> bytes:
    """JSON of a dataclass or plain value.

    A NaN or an infinity raises StoreError that names the field: JSON has neither, and a silent null would read as
    "not measured". So does a value that JSON cannot hold at all (an array scalar, text that is not valid Unicode).
    """
    try:
        plain = msgspec.to_builtins(value)
        content = msgspec.json.encode(plain)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise StoreError(f"{place} cannot be written as JSON: {error}") from error
    field = _not_finite(plain, "")
    if field:
        raise StoreError(f"{place} holds a number that is not finite: {field}", hint="store None and the reason")
    return content


def decode(
    content: bytes | msgspec.Raw, kind: type[T], *, place: str, migrations: Migrations, max_bytes: int = MAX_FILE_BYTES
) -> T:
    """The versioned value that `encode` wrote, migrated in memory when it is older; StoreError names `place`."""
    problem = bounds_problem(content, max_bytes=max_bytes)
    if problem:
        raise StoreError(f"{place}: {problem}")
    try:
        version = msgspec.json.decode(content, type=_Versioned).schema_version
        if version > SCHEMA_VERSION:
            raise NewerSchema(
                f"{place}: written by schema {version}, this is {SCHEMA_VERSION}: upgrade",
                hint="pip install --upgrade deploybench",
            )
        if version == SCHEMA_VERSION:
            return msgspec.json.decode(content, type=kind)
        return _migrated(msgspec.json.decode(content), version, kind, migrations)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(f"{place}: not a {kind.__name__}: {error}") from error


def decode_plain(content: bytes, kind: type[T], *, place: str, max_bytes: int = MAX_FILE_BYTES) -> T:
    """An unversioned value, with the same bounds and strictness as `decode`."""
    problem = bounds_problem(content, max_bytes=max_bytes)
    if problem:
        raise StoreError(f"{place}: {problem}")
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(f"{place}: not a {kind.__name__}: {error}") from error


def bounds_problem(content: bytes | msgspec.Raw, *, max_bytes: int) -> str:
    """Why JSON text is too large or nested too deeply to be parsed, found without parsing; empty when it is not."""
    text = bytes(content)
    if len(text) > max_bytes:
        return f"too large: {len(text)} bytes, at most {max_bytes}"
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return ""
    # Quotes that end a string are those left when escaped backslashes, then escaped quotes, are gone; every second
    # piece between them is outside of strings. Removing empty brackets once takes one level off the innermost nests.
    pieces = text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
    brackets = b"".join(pieces[::2]).translate(None, _NOT_STRUCTURE)
    for _ in range(MAX_DEPTH):
        shorter = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(shorter) == len(brackets):
            break
        brackets = shorter
    return f"nested deeper than {MAX_DEPTH} levels, or brackets do not match" if brackets else ""


def _migrated(plain: Any, version: int, kind: type[T], migrations: Migrations) -> T:
    for step in range(version, SCHEMA_VERSION):
        if step not in migrations:
            raise msgspec.ValidationError(f"schema {version} is unknown")
        plain = migrations[step](plain)
    return msgspec.convert(plain, kind, strict=True)


def _not_finite(value: Any, path: str) -> str:
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"{path.lstrip('.')} is {value}"
    if isinstance(value, dict):
        return next(filter(None, (_not_finite(item, f"{path}.{key}") for key, item in value.items())), "")
    if isinstance(value, list | tuple):
        return next(filter(None, (_not_finite(item, f"{path}[{i}]") for i, item in enumerate(value))), "")
    return ""
