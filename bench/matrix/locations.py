"""The user's files: paths in a matrix start at the directory that the matrix lies in."""

from __future__ import annotations

import itertools
import os
from difflib import get_close_matches
from pathlib import Path

from bench.core.errors import MatrixError
from bench.formats.detect import detect_format, split_callable

from .problems import Finding, printable, show_value

INPUT_SUFFIXES = (".npz", ".npy", ".jsonl")

_NEIGHBOURS = 1000  # looked at for a suggestion


def absolute(path: str, directory: Path) -> str:
    """`path` seen from `directory`, without `..`; a link stays a link."""
    return os.path.normpath(directory / path)


def require_utf8(path: str) -> None:
    """MatrixError for a path that frameworks cannot open and records cannot hold."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise MatrixError(f"the path {path!a} is not valid UTF-8", hint="rename the file or its directory") from error


def check_model(path: str, directory: Path) -> list[Finding]:
    """Nothing, or why `path` is no model that can be run."""
    location = absolute(path, directory)
    findings = _check_file(path, split_callable(location) or (Path(location), ""), directory)
    if findings:
        return findings
    try:
        detect_format(location)
    except MatrixError as error:
        return [Finding(text=f"{error.message}; {error.hint}")]
    return []


def check_inputs(path: str, directory: Path) -> list[Finding]:
    """Nothing, or why `path` is no file of samples."""
    file = Path(absolute(path, directory))
    findings = _check_file(path, (file, ""), directory)
    if not findings and file.suffix not in INPUT_SUFFIXES:
        return [Finding(text=f"{show_value(path)} is none of {', '.join(INPUT_SUFFIXES)}")]
    return findings


def is_trusted(location: str, format: str, trusted: frozenset[str]) -> bool:
    """Whether the user named this very location, or the file of this `file.py:function`, as trusted."""
    file = split_callable(location) if format == "python_callable" else None
    return location in trusted or (file is not None and str(file[0]) in trusted)


def _check_file(written: str, found: tuple[Path, str], directory: Path) -> list[Finding]:
    file = found[0]
    if not written or "\0" in written:
        return [Finding(text=f"{show_value(written)} is not a path")]
    try:
        require_utf8(str(file))
        exists = file.exists()
    except MatrixError as error:
        return [Finding(text=f"{error.message}; {error.hint}")]
    except OSError as error:  # a name too long, a directory we may not enter
        return [Finding(text=f"{show_value(written)}: {error.strerror}")]
    if exists:
        return []
    return [Finding(text=f"{show_value(written)}: no such file in {printable(str(directory))}{_neighbour(file)}")]


def _neighbour(file: Path) -> str:
    """A suggestion of a file with a similar name beside the one that is absent."""
    try:
        names = [entry.name for entry in itertools.islice(file.parent.iterdir(), _NEIGHBOURS)]
    except OSError:
        return ""
    close = get_close_matches(file.name, names, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
