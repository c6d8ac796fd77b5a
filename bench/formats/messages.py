"""What frameworks say when they fail: told in one line, and understood where it means that memory ran out."""

from __future__ import annotations

_LINE_MAX_CHARS = 500
#: Words of ONNX Runtime, PyTorch and TensorFlow, which raise no MemoryError.
_OUT_OF_MEMORY = ("bad_alloc", "Failed to allocate memory", "can't allocate memory", "OOM when allocating")


def in_one_line(text: str) -> str:
    """All lines of `text` as one, cut to 500 characters: torch lists every missing tensor, over several lines."""
    line = " ".join(part for part in map(str.strip, text.splitlines()) if part)
    return line if len(line) <= _LINE_MAX_CHARS else line[: _LINE_MAX_CHARS - 1] + "…"


def is_about_memory(error: BaseException) -> bool:
    """Whether an exception of a framework says that memory ran out."""
    return any(words in str(error) for words in _OUT_OF_MEMORY)
