"""A model_config_file for TensorFlow Serving that lists every model below a directory, with all its versions.

    python -m servers.tfs.model_config MODELS [BASE_PATH] > models.config

`MODELS/<model>/<version>/` is what it looks for; BASE_PATH is what the server calls that directory, for containers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from bench.core.errors import BenchError, MatrixError

from .repository import versions_found

_USAGE = "usage: python -m servers.tfs.model_config MODELS [BASE_PATH]\n"


def model_config(models: Path, base_path: PurePath | None = None) -> str:
    """A ModelServerConfig as text; MatrixError when no model is there.

    All versions that are there when the server looks are served, also those that come later.
    """
    found = [member for member in sorted(models.iterdir()) if versions_found(member)] if models.is_dir() else []
    if not found:
        raise MatrixError(f"{models}: no model is there", hint="a model is a directory with numbered ones inside")
    return config_text((member.name, (base_path or models.resolve()) / member.name) for member in found)


def config_text(models: Iterable[tuple[str, PurePath]]) -> str:
    """A ModelServerConfig as text from names and base paths."""
    return "model_config_list {\n" + "".join(_entry(name, base_path) for name, base_path in models) + "}\n"


def _entry(name: str, base_path: PurePath) -> str:
    return (
        "  config {\n"
        f"    name: {_quoted(name)}\n"
        f"    base_path: {_quoted(str(base_path))}\n"
        '    model_platform: "tensorflow"\n'
        "    model_version_policy { all {} }\n"
        "  }\n"
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def main(words: Sequence[str]) -> int:
    """Write the configuration to the standard output."""
    if len(words) not in (1, 2):
        sys.stderr.write(_USAGE)
        return 2
    try:
        sys.stdout.write(model_config(Path(words[0]), PurePath(words[1]) if len(words) == 2 else None))
    except BenchError as error:
        sys.stderr.write(f"{error.message} ({error.hint})\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
