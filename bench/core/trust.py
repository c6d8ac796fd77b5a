"""Which formats can act when they are loaded, and what that means for a file the user names."""

from __future__ import annotations

from .errors import RefusedError

#: Only tensors and a fixed operator set.
DATA_FORMATS = frozenset({"onnx", "torch_module", "null"})
#: A graph program: its operators may read and write files. Run in a process tree of its own, not a security boundary.
PROGRAM_FORMATS = frozenset({"keras", "saved_model", "frozen_graph"})
#: Loading it runs arbitrary Python.
CODE_FORMATS = frozenset({"exported_program", "python_callable"})


def require_trust(format: str, location: str, *, trusted: bool) -> None:
    """Refuse a code format that the user has not marked as trusted."""
    if format in CODE_FORMATS and not trusted:
        raise RefusedError(
            f"{location}: the format {format} runs code when it is loaded",
            hint=f"if you wrote it or trust its author, say so: --trust {location}, or trust: true in the matrix",
        )
