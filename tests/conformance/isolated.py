"""Run one function in a fresh interpreter: frameworks size their threads once per process, and none enters pytest's."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def call_isolated(reference: str, *, directory: Path, timeout_s: float = 50, **arguments: Any) -> Any:
    """The JSON result of `module:function(directory=..., **arguments)`.

    HOME and TMPDIR of the child lie in `directory`. Its own output is shown only when it fails: frameworks talk.
    """
    home, answer = directory / "home", directory / "answer.json"
    home.mkdir(parents=True, exist_ok=True)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "TF_", "KERAS_", "XDG_"))
    }
    done = subprocess.run(
        [sys.executable, "-m", __name__, reference, str(directory), json.dumps(arguments), str(answer)],
        cwd=ROOT,
        env={**environment, "HOME": str(home), "TMPDIR": str(directory), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"{reference} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-6000:]}")
    return json.loads(answer.read_text())


def main(reference: str, directory: str, arguments: str, answer: str) -> None:
    """The child's side of `call_isolated`."""
    module, _, function = reference.partition(":")
    result = getattr(importlib.import_module(module), function)(directory=Path(directory), **json.loads(arguments))
    Path(answer).write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
