"""Which formats can act when they are loaded, and what that means for a file the user names."""

from __future__ import annotations

from .errors import RefusedError

#: Only tensors and a fixed operator set.
DATA_FORMATS = frozenset({"onnx", "openvino_ir", "tflite", "torch_module", "null"})
#: A graph program: its operators may read and write files. Run in a process tree of its own, not a security boundary.
PROGRAM_FORMATS = frozenset({"keras", "saved_model", "frozen_graph"})
#: Loading it can run arbitrary code: Python, or machine code.
CODE_FORMATS = frozenset({"aot_inductor", "exported_program", "python_callable", "tensorrt_engine", "torchscript"})


def require_trust(format: str, location: str, *, trusted: bool) -> None:
    """Refuse a code format that the user has not marked as trusted."""
    if format in CODE_FORMATS and not trusted:
        raise RefusedError(
            f"{location}: the format {format} runs code when it is loaded",
            hint=f"if you wrote it or trust its author, say so: --trust {location}, or trust: true in the matrix",
        )
