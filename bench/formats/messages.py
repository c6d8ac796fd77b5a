"""What frameworks say when they fail: told in one line, and understood where it means that memory ran out."""

from __future__ import annotations

import re

_LINE_MAX_CHARS = 500
_TERMINAL_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # Keras writes some of its messages in bold
#: What TensorFlow says before it comes to the cause.
_PREAMBLES = ("Graph execution error:", "Detected at node", "<stack traces unavailable>")
_TORCHSCRIPT_CAUSE = "\nRuntimeError: "
#: Words of ONNX Runtime, PyTorch and TensorFlow, which raise no MemoryError.
_OUT_OF_MEMORY = ("bad_alloc", "Failed to allocate memory", "can't allocate memory", "OOM when allocating")


def in_one_line(text: str) -> str:
    """All lines of `text` as one, cut to 500 characters: torch lists every missing tensor, over several lines."""
    line = " ".join(part for part in map(str.strip, text.splitlines()) if part)
    return line if len(line) <= _LINE_MAX_CHARS else line[: _LINE_MAX_CHARS - 1] + "…"


def telling_line(error: BaseException) -> str:
    """The first line of an exception's text that tells the cause, empty where there is none."""
    plain = _TERMINAL_COLOUR.sub("", str(error))
    _, script, after = plain.rpartition(_TORCHSCRIPT_CAUSE)
    if script:  # TorchScript names the operation and its whole call stack before the cause
        plain = after
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith(_PREAMBLES)), "".join(lines[:1]))


def is_about_memory(error: BaseException) -> bool:
    """Whether an exception of a framework says that memory ran out."""
    return any(words in str(error) for words in _OUT_OF_MEMORY)
