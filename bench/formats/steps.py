"""What every optimizer and converter does the same way: say why it cannot run, and fail in one line with a way out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from bench.core.artifact import Artifact, Change, TensorSpec
from bench.core.errors import BenchError, StepFailed
from bench.core.plugins import install_hint, lookup

from .messages import in_one_line, is_about_memory, telling_line

_SUMMARY_MAX_CHARS = 300


def table_blockers(step: str, source_format: str) -> list[str]:
    """Reasons that the table line of `step` alone gives, without importing any framework."""
    spec = lookup("steps", step)
    reasons = []
    if source_format not in spec.accepts:
        formats = " or ".join(spec.accepts)
        reasons.append(f"{step} reads {formats}, not {source_format}: put a step before it that makes {formats}")
    missing = spec.missing_packages()
    if missing:
        reasons.append(f"{step} needs {', '.join(missing)}, not installed: {install_hint(missing)}")
    return reasons


@contextmanager
def only_step_failures(step: str, source: Artifact, *, hint: str) -> Iterator[None]:
    """Turn whatever a library raises inside into one StepFailed of one line: the step, the source and the cause.

    MemoryError stays MemoryError, and frameworks' own words for it become one, so that the build ends as out of
    memory. The library's own traceback stays chained below, for the log.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        message, way_out = _told(step, source, error), getattr(error, "hint", None) or hint
        if is_about_memory(error):
            raise MemoryError(message) from error
        if isinstance(error, StepFailed) and message == error.message:
            raise
        raise StepFailed(message, hint=way_out) from error


def _told(step: str, source: Artifact, error: Exception) -> str:
    if isinstance(error, StepFailed):
        return in_one_line(error.message)
    if isinstance(error, BenchError):
        return f"{step}: {in_one_line(error.message)}"
    return f"{step}: {source.path}: {summary_of(error)}"


def summary_of(error: BaseException) -> str:
    """Type and first telling line of a foreign exception, cut to a readable length."""
    first = telling_line(error)
    text = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return text if len(text) <= _SUMMARY_MAX_CHARS else text[: _SUMMARY_MAX_CHARS - 1] + "…"


def require_dimensions(step: str, option: str, names: Iterable[str], inputs: Sequence[TensorSpec]) -> None:
    """StepFailed unless every one of `names`, which `option` gives, is a named dimension of the inputs."""
    known = dict.fromkeys(size for spec in inputs for size in spec.shape if isinstance(size, str))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise StepFailed(
            f"{step}: {option} names {', '.join(map(repr, unknown))}, which is no dynamic dimension of the model",
            hint=f"choose from {', '.join(known)}" if known else f"leave {option} out: every dimension is fixed",
        )


def count_changes(before: Counter[str], after: Counter[str], bytes_before: int, bytes_after: int) -> tuple[Change, ...]:
    """Bytes, nodes, and each operator whose number changed, from how often each operator stands in a graph."""
    operators = sorted(name for name in before.keys() | after.keys() if before[name] != after[name])
    return (
        Change(what="bytes", before=bytes_before, after=bytes_after),
        Change(what="nodes", before=before.total(), after=after.total()),
        *(Change(what=f"operator {name}", before=before[name], after=after[name]) for name in operators),
    )
