"""The border between our names and errors and a framework's: checked inputs, one-line errors, the common session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.core.artifact import Artifact, TensorSpec
from bench.core.errors import BenchError, TargetError
from bench.formats.messages import is_about_memory, telling_line

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

Call = Callable[[], "Sequence[Array]"]

_LINE_MAX_CHARS = 300


def one_line(error: BaseException) -> str:
    """The telling line of an exception's text, cut to 300 characters; its type where the text alone says nothing."""
    text = telling_line(error)
    if not text or isinstance(error, KeyError):
        text = f"{type(error).__name__} {text}".strip()
    return text[:_LINE_MAX_CHARS]


@contextmanager
def as_target_error(doing: str, *, hint: str | None = None) -> Iterator[None]:
    """Turn whatever a framework raises into one TargetError line `<doing>: <cause>`.

    MemoryError stays MemoryError, and frameworks' own words for it become one, so that the cell ends as out of memory.
    """
    try:
        yield
    except (BenchError, MemoryError):
        raise
    except Exception as error:
        cause = one_line(error)
        if is_about_memory(error):
            raise MemoryError(f"{doing}: {cause}") from error
        raise TargetError(f"{doing}: {cause}", hint=hint) from error


def checked_arrays(specs: Sequence[TensorSpec], batch: Batch) -> list[Array]:
    """The arrays of `batch` in the order of `specs`, contiguous; TargetError names what does not fit the signature."""
    import numpy as np

    names = [spec.name for spec in specs]
    if set(batch) != set(names):
        raise TargetError(
            f"inputs {sorted(batch)} were given, but the model takes {sorted(names)}",
            hint="name the inputs as the model's signature does",
        )
    sizes: dict[str, int] = {}
    for spec in specs:
        array = batch[spec.name]
        if not _fits(spec, array, sizes):
            raise TargetError(
                f"input {spec.name!r} is {array.dtype} {list(array.shape)}, "
                f"but the model takes {spec.dtype} {list(spec.shape)}",
                hint="give inputs of the model's element type and shape; equal dimension names must have equal sizes",
            )
    return [np.ascontiguousarray(batch[name]) for name in names]


def _fits(spec: TensorSpec, array: Array, sizes: dict[str, int]) -> bool:
    """Whether `array` has the spec's element type and shape; `sizes` remembers each named dimension's size."""
    is_text = spec.dtype == "str" and array.dtype.kind in "UO"
    if (array.dtype.name != spec.dtype and not is_text) or array.ndim != len(spec.shape):
        return False
    wanted = (sizes.setdefault(dim, size) if isinstance(dim, str) else dim for dim, size in zip_shape(spec, array))
    return all(size == given for size, given in zip(wanted, array.shape, strict=True))


def zip_shape(spec: TensorSpec, array: Array) -> Iterator[tuple[int | str, int]]:
    """Declared and real size of each axis."""
    return zip(spec.shape, array.shape, strict=True)


class ModelSession:
    """An opened model (`bench.core.contracts.Session`) around one function that binds arrays to a bare call."""

    def __init__(
        self,
        artifact: Artifact,
        *,
        versions: Mapping[str, str],
        provider: str | Callable[[], str],
        bind: Callable[[list[Array]], Call],
        compile_s: Callable[[], float] | None = None,
    ) -> None:
        """`bind` gets checked arrays in the order of the artifact's inputs and holds all that keeps the model alive;
        `provider` is a function where the runtime chooses its kernels for the first input; `compile_s` tells how long
        calls have been compiling so far, where the runtime says so."""
        self.inputs = artifact.inputs
        self.outputs = artifact.outputs
        self.versions = versions
        self._provider = provider
        self._bind: Callable[[list[Array]], Call] | None = bind
        self._compile_s = compile_s

    @property
    def provider(self) -> str:
        """What computes, as the runtime says after the first `bind`."""
        return self._provider if isinstance(self._provider, str) else self._provider()

    @property
    def compile_s(self) -> float | None:
        """Seconds of all calls so far that went into compiling, None where the runtime does not tell them apart."""
        return None if self._compile_s is None else self._compile_s()

    def bind(self, batch: Batch) -> Call:
        """A bare call on `batch`; TargetError when the batch does not fit or the session is closed."""
        if self._bind is None:
            raise TargetError("the session is closed")
        arrays = checked_arrays(self.inputs, batch)
        with as_target_error("the inputs cannot be bound"):
            return self._bind(arrays)

    def run(self, batch: Batch) -> Mapping[str, Array]:
        """One call: output name -> array in host memory; TargetError says why the model cannot answer."""
        call = self.bind(batch)
        with as_target_error("the model cannot be run"):
            outputs = call()
        if len(outputs) != len(self.outputs):
            raise TargetError(f"the model gave {len(outputs)} outputs, its signature names {len(self.outputs)}")
        return {spec.name: array for spec, array in zip(self.outputs, outputs, strict=True)}

    def close(self) -> None:
        """Drop the model; a second time does nothing."""
        self._bind = None
