"""The configuration inside a .keras archive, looked at before Keras builds anything of it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.core.errors import RefusedError, TargetError

_CONFIGURATION = "config.json"
_BROUGHT_BY = ("keras", "builtins")


def require_no_code(path: Path) -> None:
    """RefusedError for Python code in the configuration, TargetError for classes that Keras does not bring.

    Keras refuses both itself, in pages of advice on how to run them all the same.
    """
    for entry in _entries(_configuration(path)):
        kind, module = entry.get("class_name"), entry.get("module")
        if kind in ("__lambda__", "Lambda"):
            raise RefusedError(
                f"{path}: holds Python code in a Lambda layer, which is never run from a file",
                hint="write the layer as a class, or with keras.ops, and save the model again",
            )
        is_foreign = isinstance(module, str) and module.partition(".")[0] not in _BROUGHT_BY
        if is_foreign and not entry.get("registered_name"):
            raise TargetError(
                f"{path}: not a readable keras model: names the class {kind!r} of the module {module!r}",
                hint="only layers that Keras itself brings can be loaded from a file",
            )


def _configuration(path: Path) -> Any:
    hint = "check that the file is complete"
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(_CONFIGURATION))
    except (KeyError, ValueError, RecursionError, zipfile.BadZipFile) as error:
        raise TargetError(f"{path}: not a readable keras model: {_CONFIGURATION}: {error}", hint=hint) from error


def _entries(configuration: Any) -> Iterator[dict[str, Any]]:
    waiting = [configuration]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
