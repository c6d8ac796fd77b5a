"""TensorRT engines on a CUDA device: inputs go there and outputs come back inside the call, for that is what a caller
waits for. Where there is no device nothing is imitated: the artifact is whole, and its execution unavailable.
"""

from __future__ import annotations

import ctypes
import importlib
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.core.artifact import Artifact, TensorSpec
from bench.core.errors import ExecutionUnavailable, TargetError
from bench.formats.tensorrt_engine import LIBRARIES, NO_DEVICE, cuda_device_count, keeping_logger, load_library

from .boundary import Call, ModelSession, as_target_error

if TYPE_CHECKING:
    from bench.core.contracts import Array


@dataclass(frozen=True, kw_only=True)
class Options:
    """There is nothing to choose."""


class TensorRt:
    """Adapter of serialized engines."""

    Options: ClassVar[type[Any]] = Options

    def open(self, artifact: Artifact, *, threads: int, options: Any) -> ModelSession:
        """Load the engine on the first CUDA device; ExecutionUnavailable where there is none.

        TargetError when the engine was built for another GPU or by another version. `threads` has no meaning here:
        the host has one thread, which waits.
        """
        if cuda_device_count() == 0:
            raise ExecutionUnavailable(
                NO_DEVICE, hint="the engine is built; measure it on a machine with an NVIDIA GPU that it was built for"
            )
        try:
            cuda = importlib.import_module("cuda.bindings.runtime")
        except ImportError as error:
            raise ExecutionUnavailable(
                "execution unavailable: no package to reach the CUDA device with", hint="pip install cuda-bindings"
            ) from error
        with as_target_error(f"{artifact.path}: TensorRT cannot open it"):
            library, engine, owners = _deserialized(Path(artifact.path))
            executor = _Executor(library, engine, owners, artifact, cuda)
        name = _check(*cuda.cudaGetDeviceProperties(0)).name.decode()
        return ModelSession(
            artifact,
            versions={library.__name__: library.__version__},
            provider=f"{name}, {library.__name__}, transfers included",
            bind=executor.bind,
        )


def _deserialized(path: Path) -> tuple[Any, Any, tuple[Any, ...]]:
    """The library that can read the engine, the engine, and what must live as long as it."""
    said: list[str] = []
    for name in LIBRARIES:
        try:
            library = load_library(name)
        except ImportError as error:
            said.append(f"{name}: {error}")
            continue
        logger = keeping_logger(library)
        runtime = library.Runtime(logger)
        engine = runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is not None:
            return library, engine, (logger, runtime)
        said.append(f"{name}: {next(iter(logger.messages), 'gave no engine and no reason')}")
    raise TargetError(f"{path}: {'; '.join(said)}", hint="build it again on this machine, for its GPU")


def _check(status: Any, *values: Any) -> Any:
    """The value of a CUDA call, which never raises: it returns its status first."""
    if int(status) != 0:
        words = f"CUDA says {status.name}"
        raise MemoryError(words) if "MemoryAllocation" in status.name else TargetError(words)
    return values[0] if len(values) == 1 else values


class _Buffer:
    """Memory on the device, and page-locked memory on the host that is copied from or to without a stage between."""

    def __init__(self, cuda: Any, shape: Sequence[int], dtype: str) -> None:
        import numpy as np

        count = int(np.prod(shape, dtype=np.int64))
        self.size_bytes = count * np.dtype(dtype).itemsize
        allocated_bytes = max(self.size_bytes, 1)
        self.device: int = _check(*cuda.cudaMalloc(allocated_bytes))
        weakref.finalize(self, cuda.cudaFree, self.device)
        self.host: int = _check(*cuda.cudaMallocHost(allocated_bytes))
        weakref.finalize(self, cuda.cudaFreeHost, self.host)
        memory: Any = (ctypes.c_byte * allocated_bytes).from_address(self.host)
        self.array: Array = np.frombuffer(memory, dtype, count).reshape(shape)


class _Executor:
    """One execution context and one stream for all bound inputs, which the harness calls one at a time."""

    def __init__(self, library: Any, engine: Any, owners: tuple[Any, ...], artifact: Artifact, cuda: Any) -> None:
        self._cuda = cuda
        self._owners = (*owners, engine)
        self._inputs, self._outputs = artifact.inputs, artifact.outputs
        _check_names(engine, artifact)
        for spec in self._outputs:
            made = library.nptype(engine.get_tensor_dtype(spec.native_name)).__name__
            if made != spec.dtype:
                raise TargetError(f"output {spec.name!r} is {made} in the engine, {spec.dtype} in the signature")
        self._context = engine.create_execution_context()
        if self._context is None:
            raise TargetError("no execution context was made", hint="the memory of the device may be full")
        self._stream = _check(*cuda.cudaStreamCreate())
        weakref.finalize(self, cuda.cudaStreamDestroy, self._stream)
        self._placed: object = None  # the inputs whose shapes and addresses the context holds

    def bind(self, arrays: list[Array]) -> Call:
        """Buffers of their own for these inputs and the outputs that their shapes lead to."""
        for spec, array in zip(self._inputs, arrays, strict=True):
            if not self._context.set_input_shape(spec.native_name, array.shape):
                raise TargetError(
                    f"input {spec.name!r} of shape {list(array.shape)} lies outside the engine's optimization profile",
                    hint="build it with a wider range of sizes (step onnx_to_tensorrt)",
                )
        self._placed = None
        inputs = [_Buffer(self._cuda, array.shape, array.dtype.name) for array in arrays]
        outputs = [_Buffer(self._cuda, self._shape(spec), spec.dtype) for spec in self._outputs]
        for buffer, array in zip(inputs, arrays, strict=True):
            buffer.array[...] = array
        return partial(self._call, inputs, outputs)

    def _shape(self, spec: TensorSpec) -> tuple[int, ...]:
        shape = tuple(self._context.get_tensor_shape(spec.native_name))
        if any(size < 0 for size in shape):
            raise TargetError(f"the shape of output {spec.name!r} follows from values: no buffer can be made before")
        return shape

    def _call(self, inputs: Sequence[_Buffer], outputs: Sequence[_Buffer]) -> list[Array]:
        """Inputs to the device, the network, outputs back, all on one stream; then the host waits and copies."""
        if self._placed is not inputs:
            self._place(inputs, outputs)
        cuda, stream = self._cuda, self._stream
        to_device, to_host = cuda.cudaMemcpyKind.cudaMemcpyHostToDevice, cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        for buffer in inputs:
            _check(*cuda.cudaMemcpyAsync(buffer.device, buffer.host, buffer.size_bytes, to_device, stream))
        if not self._context.execute_async_v3(int(stream)):
            raise TargetError("the engine could not be enqueued")
        for buffer in outputs:
            _check(*cuda.cudaMemcpyAsync(buffer.host, buffer.device, buffer.size_bytes, to_host, stream))
        _check(*cuda.cudaStreamSynchronize(stream))
        return [buffer.array.copy() for buffer in outputs]

    def _place(self, inputs: Sequence[_Buffer], outputs: Sequence[_Buffer]) -> None:
        for spec, buffer in zip(self._inputs, inputs, strict=True):
            self._context.set_input_shape(spec.native_name, buffer.array.shape)
        for spec, buffer in zip((*self._inputs, *self._outputs), (*inputs, *outputs), strict=True):
            self._context.set_tensor_address(spec.native_name, buffer.device)
        self._placed = inputs


def _check_names(engine: Any, artifact: Artifact) -> None:
    known = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
    wanted = {spec.native_name for spec in (*artifact.inputs, *artifact.outputs)}
    if known != wanted:
        raise TargetError(f"the engine has the tensors {sorted(known)}, the signature names {sorted(wanted)}")


ADAPTER = TensorRt()
