"""LiteRT's C library, as much of it as a profiled call needs: its Python classes cannot switch operator profiling on.

Signatures and layouts are those of litert/c in the sources of ai-edge-litert 2.x; `LiteRtParamIndex` is a size_t.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.core.errors import TargetError

if TYPE_CHECKING:
    from bench.core.artifact import Artifact
    from bench.core.contracts import Array, Batch

_CPU = ctypes.c_int(1)
_LOCK_FOR_WRITING = ctypes.c_int(1)
_MAX_RANK = 8
_RANK_BITS = 0x7F
_NOTHING_TO_FREE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)


class _Layout(ctypes.Structure):
    _fields_ = (
        ("rank_and_flags", ctypes.c_uint32),
        ("sizes", ctypes.c_int32 * _MAX_RANK),
        ("strides", ctypes.c_uint32 * _MAX_RANK),
    )


class _TensorType(ctypes.Structure):
    _fields_ = (("element_type", ctypes.c_int), ("layout", _Layout))


class _Event(ctypes.Structure):
    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_size_t * 6),
        ("metadata", ctypes.c_uint64 * 2),
        ("source", ctypes.c_int),
    )


class Event(NamedTuple):
    """One note of LiteRT's profiler; `start_us` is 0 where only a duration is known."""

    tag: str
    type: int
    start_us: int
    elapsed_us: int


class LibrarySession:
    """A model opened by the C library on the CPU (XNNPACK), with profiling on; a `Session` that gives no outputs."""

    def __init__(self, artifact: Artifact, *, threads: int) -> None:
        self.inputs = artifact.inputs
        self.outputs = artifact.outputs
        self.versions: Mapping[str, str] = {}
        self.provider = "CPU, XNNPACK"
        self.compile_s: float | None = None
        self._library = ctypes.CDLL(str(_library_path()))
        self._kept: list[Any] = []  # what the library refers to, as long as it may
        self._environment = self._new("LiteRtCreateEnvironment", ctypes.c_int(0), None)
        self._model = self._new("LiteRtCreateModelFromFile", self._environment, artifact.path.encode())
        self._compiled = self._new("LiteRtCreateCompiledModel", self._environment, self._model, self._options(threads))
        self._profiler = self._new("LiteRtCompiledModelGetProfiler", self._compiled)

    def bind(self, batch: Batch) -> Callable[[], tuple[Array, ...]]:
        """A call that copies the inputs in and runs; outputs stay where they are."""
        main = ctypes.c_size_t()
        self._do("LiteRtGetMainModelSubgraphIndex", self._model, ctypes.byref(main))
        graph = self._new("LiteRtGetModelSubgraph", self._model, main)
        arrays = {spec.native_name: batch[spec.name] for spec in self.inputs}
        tensors = self._tensors(graph, "Input")
        in_order = [arrays[self._name(tensor)] for tensor in tensors]
        inputs = [self._input(position, *pair) for position, pair in enumerate(zip(tensors, in_order, strict=True))]
        outputs = self._outputs(self._tensors(graph, "Output"))
        buffers = (ctypes.c_void_p * len(inputs))(*inputs), (ctypes.c_void_p * len(outputs))(*outputs)

        def call() -> tuple[Array, ...]:
            for buffer, array in zip(inputs, in_order, strict=True):
                place = self._new_with("LiteRtLockTensorBuffer", buffer, after=(_LOCK_FOR_WRITING,))
                ctypes.memmove(place, array.ctypes.data, array.nbytes)
                self._do("LiteRtUnlockTensorBuffer", buffer)
            sizes = ctypes.c_size_t(len(inputs)), ctypes.c_size_t(len(outputs))
            self._do(
                "LiteRtRunCompiledModel", self._compiled, ctypes.c_size_t(0), sizes[0], buffers[0], sizes[1], buffers[1]
            )
            return ()

        return call

    def run(self, batch: Batch) -> Mapping[str, Array]:
        """Not for outputs: the library is opened to be watched."""
        raise NotImplementedError

    def close(self) -> None:
        """The process that looks at a model ends with it, and the library with the process."""

    @contextmanager
    def profiling(self, events: list[Event]) -> Iterator[None]:
        """Collect what the library notes in the block."""
        self._do("LiteRtResetProfiler", self._profiler)
        self._do("LiteRtStartProfiler", self._profiler)
        yield
        self._do("LiteRtStopProfiler", self._profiler)
        count = ctypes.c_int()
        self._do("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(count))
        found = (_Event * max(count.value, 1))()
        self._do("LiteRtGetProfilerEvents", self._profiler, ctypes.c_int(len(found)), found)
        noted = found[: count.value]
        events += [Event((each.tag or b"").decode(), each.type, each.start_us, each.elapsed_us) for each in noted]

    def _options(self, threads: int) -> ctypes.c_void_p:
        options = self._new("LiteRtCreateOptions")
        self._do("LiteRtSetOptionsHardwareAccelerators", options, _CPU)
        for name, text in (
            (b"xnnpack", f"num_threads = {threads}\n"),
            (b"runtime_options_string", "enable_profiling = true\n"),
        ):
            content = ctypes.create_string_buffer(text.encode())
            self._kept.append(content)
            opaque = self._new(
                "LiteRtCreateOpaqueOptions", name, ctypes.cast(content, ctypes.c_void_p), _NOTHING_TO_FREE
            )
            self._do("LiteRtAddOpaqueOptions", options, opaque)
        return options

    def _tensors(self, graph: ctypes.c_void_p, kind: str) -> list[ctypes.c_void_p]:
        count = ctypes.c_size_t()
        self._do(f"LiteRtGetNumSubgraph{kind}s", graph, ctypes.byref(count))
        return [self._new(f"LiteRtGetSubgraph{kind}", graph, ctypes.c_size_t(i)) for i in range(count.value)]

    def _name(self, tensor: ctypes.c_void_p) -> str:
        name = ctypes.c_char_p()
        self._do("LiteRtGetTensorName", tensor, ctypes.byref(name))
        return (name.value or b"").decode()

    def _input(self, position: int, tensor: ctypes.c_void_p, array: Array) -> ctypes.c_void_p:
        """A buffer for one input, the model being resized to it."""
        kind = _TensorType()
        self._do("LiteRtGetRankedTensorType", tensor, ctypes.byref(kind))
        if tuple(kind.layout.sizes[: array.ndim]) != array.shape:
            kind.layout.sizes[: array.ndim] = array.shape
            sizes, rank = kind.layout.sizes, ctypes.c_size_t(array.ndim)
            self._do(
                "LiteRtCompiledModelResizeInputTensor",
                *(self._compiled, ctypes.c_size_t(0), ctypes.c_size_t(position), sizes, rank),
            )
        return self._buffer("Input", position, kind)

    def _outputs(self, tensors: list[ctypes.c_void_p]) -> list[ctypes.c_void_p]:
        """Buffers for the outputs, in the sizes that follow from the inputs."""
        layouts = (_Layout * len(tensors))()
        count, update = ctypes.c_size_t(len(tensors)), ctypes.c_bool(True)
        self._do(
            "LiteRtGetCompiledModelOutputTensorLayouts", self._compiled, ctypes.c_size_t(0), count, layouts, update
        )
        buffers = []
        for position, (tensor, layout) in enumerate(zip(tensors, layouts, strict=True)):
            kind = _TensorType()
            self._do("LiteRtGetRankedTensorType", tensor, ctypes.byref(kind))
            rank = layout.rank_and_flags & _RANK_BITS
            kind.layout.sizes[:rank] = layout.sizes[:rank]
            buffers.append(self._buffer("Output", position, kind))
        return buffers

    def _buffer(self, kind: str, position: int, tensor_type: _TensorType) -> ctypes.c_void_p:
        place = ctypes.c_size_t(0), ctypes.c_size_t(position)
        needs = self._new(f"LiteRtGetCompiledModel{kind}BufferRequirements", self._compiled, *place)
        return self._new(
            "LiteRtCreateManagedTensorBufferFromRequirements", self._environment, ctypes.byref(tensor_type), needs
        )

    def _new(self, function: str, *arguments: Any) -> ctypes.c_void_p:
        """What a function hands out through its last parameter."""
        return self._new_with(function, *arguments, after=())

    def _new_with(self, function: str, *arguments: Any, after: tuple[Any, ...]) -> ctypes.c_void_p:
        made = ctypes.c_void_p()
        self._do(function, *arguments, ctypes.byref(made), *after)
        return made

    def _do(self, function: str, *arguments: Any) -> None:
        status = getattr(self._library, function)(*arguments)
        if status != 0:
            raise TargetError(f"LiteRT's {function} failed with status {status}", hint="profile it with cprofile alone")


def _library_path() -> Path:
    spec = importlib.util.find_spec("ai_edge_litert")
    origin = None if spec is None else spec.origin
    if origin is None:
        raise TargetError("ai_edge_litert is not installed", hint="pip install ai-edge-litert")
    return Path(origin).parent / "libLiteRt.so"
