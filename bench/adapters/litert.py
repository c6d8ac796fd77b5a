"""LiteRT on the CPU: TensorFlow Lite files with the interpreter's own kernels and XNNPACK."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.core.artifact import Artifact
from bench.formats.tflite_file import delegated_operators, open_interpreter, tensor_indices

from .boundary import Call, ModelSession, as_target_error

if TYPE_CHECKING:
    from bench.core.contracts import Array


@dataclass(frozen=True, kw_only=True)
class Options:
    """There is nothing to choose."""


class LiteRt:
    """Adapter of .tflite files."""

    Options: ClassVar[type[Any]] = Options

    def open(self, artifact: Artifact, *, threads: int, options: Any) -> ModelSession:
        """Open the file with one pool of `threads`; TargetError says why it cannot be."""
        with as_target_error(f"{artifact.path}: LiteRT cannot open it"):
            interpreter = open_interpreter(Path(artifact.path), threads=threads)
            feeds = tensor_indices(interpreter, artifact.inputs, kind="input")
            fetches = tensor_indices(interpreter, artifact.outputs, kind="output")
        model = _Resizable(interpreter, feeds, fetches)
        version = importlib.metadata.version("ai-edge-litert")
        return ModelSession(artifact, versions={"ai_edge_litert": version}, provider=model.provider, bind=model.bind)


class _Resizable:
    """An interpreter, which holds memory for one shape of each input at a time."""

    def __init__(self, interpreter: Any, feeds: Sequence[int], fetches: Sequence[int]) -> None:
        self._interpreter = interpreter
        self._feeds = feeds
        self._fetches = fetches
        self._shapes: list[tuple[int, ...]] = []

    def provider(self) -> str:
        """What XNNPACK took of the file's operators; it is asked when memory is planned for the first input."""
        if not self._shapes:
            return "CPU"
        taken = delegated_operators(self._interpreter)
        if not taken.delegates:
            return "CPU, LiteRT's own kernels"
        parts = "1 delegate" if taken.delegates == 1 else f"{taken.delegates} delegates"
        return f"CPU, XNNPACK ({taken.operators} of {taken.of_operators} operators in {parts})"

    def bind(self, arrays: list[Array]) -> Call:
        """Inputs are copied in and outputs copied out by each call, for all calls share one memory."""
        shapes = [array.shape for array in arrays]
        feeds, fetches = list(zip(self._feeds, arrays, strict=True)), self._fetches
        set_tensor, invoke = self._interpreter.set_tensor, self._interpreter.invoke
        get_tensor = self._interpreter.get_tensor
        if self._shapes != shapes:
            self._take(shapes)

        def call() -> Sequence[Array]:
            if self._shapes != shapes:  # a batch of another size was bound meanwhile
                self._take(shapes)
            for index, array in feeds:
                set_tensor(index, array)
            invoke()
            return [get_tensor(index) for index in fetches]

        return call

    def _take(self, shapes: list[tuple[int, ...]]) -> None:
        """Plan the memory for inputs of these shapes."""
        self._shapes = []  # when the next lines fail, the interpreter fits nothing
        for index, shape in zip(self._feeds, shapes, strict=True):
            self._interpreter.resize_tensor_input(index, shape)
        self._interpreter.allocate_tensors()
        self._shapes = shapes


ADAPTER = LiteRt()
