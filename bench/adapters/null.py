"""The null adapter: no framework and no model, but times, outputs and faults that are known beforehand.

A null model is a JSON object of `Behaviour` fields; `{}` is a call that does nothing. The adapter's options override
single fields, so that the variants of one null model can differ.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec

from bench.core.artifact import Artifact, TensorSpec
from bench.core.errors import TargetError

from .boundary import Call, ModelSession, zip_shape
from .dimensions import Signature
from .faults import trigger

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

#: What tells processes apart: in namespaces of their own they may all have the same id.
_LOADED_AT_NS = time.perf_counter_ns()

INPUTS = (TensorSpec(name="input", dtype="float32", shape=("batch", 4)),)
OUTPUTS = (TensorSpec(name="output", dtype="float32", shape=("batch", 2)),)

Fault = Literal[
    "none", "segfault", "abort", "exit", "raise", "hang", "native_hang", "memory", "chatty", "flood", "orphan", "nan",
    "unstable",
]  # fmt: skip
Phase = Literal["open", "first_call", "check", "warm", "block"]


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What a null model imitates. Waiting is busy, on the monotonic clock, as computing would be.

    `fault` is for testing the harness: at `open`, in the `first_call` of the timed kind, in `check` (`run`), in the
    next timed call (`warm`), or in timed call number `fault_call` of the session (`block`). `nan` and `unstable`
    spoil every output instead and need no phase.
    """

    service_ms: float = 0.0  # of one call
    matmul_size: int = 0  # each call first multiplies a float32 matrix of this size: work, not waiting for a moment
    matmul_columns: int = 1  # of the right-hand side; 1 only streams the matrix through, as many as rows only compute
    jitter_ratio: float = 0.0  # standard deviation of the logarithm of a call's time
    process_spread_ratio: float = 0.0  # the same for a factor drawn once per process
    repeat_ratio: float = 1.0  # of service_ms, for an input seen before in this process: answers are remembered
    first_call_ms: float = 0.0  # added to the first call
    warm_up_calls: int = 0  # so many calls take warm_up_ratio times as long
    warm_up_ratio: float = 1.0
    load_ms: float = 0.0  # of opening
    output_error: float = 0.0  # added to every output, which lies in -1..1
    seed: int = 0
    fault: Fault = "none"
    fault_phase: Phase = "block"
    fault_call: int = 1000
    fault_memory_bytes: int = 1 << 40  # where the fault `memory` stops


@dataclass(frozen=True, kw_only=True)
class Options:
    """Overrides of `Behaviour`, field by field; None keeps what the model's file says."""

    service_ms: float | None = None
    matmul_size: int | None = None
    matmul_columns: int | None = None
    jitter_ratio: float | None = None
    process_spread_ratio: float | None = None
    repeat_ratio: float | None = None
    first_call_ms: float | None = None
    warm_up_calls: int | None = None
    warm_up_ratio: float | None = None
    load_ms: float | None = None
    output_error: float | None = None
    seed: int | None = None
    fault: Fault | None = None
    fault_phase: Phase | None = None
    fault_call: int | None = None
    fault_memory_bytes: int | None = None


class Null:
    """Adapter of null models."""

    Options: ClassVar[type[Any]] = Options

    def open(self, artifact: Artifact, *, threads: int, options: Any) -> NullSession:
        """Wait `load_ms` and give a session; one thread is all it ever uses, whatever `threads` says."""
        stored = read_behaviour(Path(artifact.path))
        overrides = {name: value for name, value in asdict(options).items() if value is not None}
        behaviour = Behaviour(**(asdict(stored) | overrides))
        if behaviour.fault_phase == "open":
            _misbehave(behaviour)
        _wait_until_ns(time.perf_counter_ns() + round(behaviour.load_ms * 1e6))
        return NullSession(artifact, behaviour)


def read_behaviour(path: Path) -> Behaviour:
    """The behaviour in a null model's file; TargetError names the wrong field."""
    try:
        content = msgspec.json.decode(path.read_bytes())
        known = Behaviour.__dataclass_fields__
        unknown = sorted(set(content) - set(known)) if isinstance(content, dict) else ()
        if unknown:
            raise TargetError(
                f"{path}: {', '.join(unknown)}: not words of a null model", hint=f"known: {', '.join(known)}"
            )
        return msgspec.convert(content, Behaviour)
    except (OSError, msgspec.MsgspecError) as error:
        raise TargetError(
            f"{path}: not a null model: {error}", hint="a null model is a JSON object, {} at least"
        ) from error


def signature(path: Path) -> Signature:
    """The signature that every null model has which is named by path."""
    read_behaviour(path)
    return INPUTS, OUTPUTS


class NullSession(ModelSession):
    """A session that waits instead of computing; a no-op behaviour binds to a call that does nothing at all."""

    def __init__(self, artifact: Artifact, behaviour: Behaviour) -> None:
        super().__init__(artifact, versions={"null": "1"}, provider="null", bind=self._bind_call)
        self._behaviour = behaviour
        self._random = random.Random(behaviour.seed)
        self._factor = _process_factor(behaviour)
        self._compute = _product(behaviour)
        self._calls = 0
        self._seen: set[bytes] = set()
        self._is_timed = True

    def run(self, batch: Batch) -> Mapping[str, Array]:
        """One call outside the timed kind: no waiting, and not counted; but its input has been seen."""
        if self._behaviour.fault_phase == "check":
            _misbehave(self._behaviour)
        self._is_timed = False
        try:
            return super().run(batch)
        finally:
            self._is_timed = True

    def _bind_call(self, arrays: list[Array]) -> Call:
        behaviour = self._behaviour
        outputs = _outputs(self.inputs, self.outputs, arrays, behaviour, self._random)
        takes_time = behaviour.service_ms or behaviour.first_call_ms or behaviour.matmul_size
        does_nothing = not takes_time and behaviour.fault == "none"
        content = b"".join(array.tobytes() for array in arrays) if behaviour.repeat_ratio != 1.0 else b""
        if not self._is_timed:
            self._seen.add(content)
        if does_nothing or not self._is_timed:
            return lambda: outputs
        return self._waiting_call(outputs, content)

    def _waiting_call(self, outputs: Sequence[Array], content: bytes) -> Call:
        behaviour, clock, compute = self._behaviour, time.perf_counter_ns, self._compute
        faulty_call = {"first_call": 1, "warm": 2, "block": behaviour.fault_call}.get(behaviour.fault_phase)

        def call() -> Sequence[Array]:
            started_ns = clock()
            self._calls += 1
            if self._calls == faulty_call:
                _misbehave(behaviour)
            compute()
            _wait_until_ns(started_ns + self._service_ns(content))
            return outputs

        return call

    def _service_ns(self, content: bytes) -> int:
        behaviour = self._behaviour
        service_ms = behaviour.service_ms * self._factor
        if content in self._seen:
            service_ms *= behaviour.repeat_ratio
        self._seen.add(content)
        if behaviour.jitter_ratio:
            service_ms *= math.exp(self._random.gauss(0.0, behaviour.jitter_ratio))
        if self._calls <= behaviour.warm_up_calls:
            service_ms *= behaviour.warm_up_ratio
        if self._calls == 1:
            service_ms += behaviour.first_call_ms
        return round(service_ms * 1e6)


def _wait_until_ns(deadline_ns: int, clock: Callable[[], int] = time.perf_counter_ns) -> None:
    while clock() < deadline_ns:
        pass


def _product(behaviour: Behaviour) -> Callable[[], object]:
    """A matrix product of fixed size into memory of its own; nothing where the size is 0."""
    if not behaviour.matmul_size:
        return lambda: None
    import numpy as np

    rng = np.random.default_rng(behaviour.seed)
    left = rng.random((behaviour.matmul_size, behaviour.matmul_size), dtype=np.float32)
    right = rng.random((behaviour.matmul_size, behaviour.matmul_columns), dtype=np.float32)
    result = np.empty_like(right)
    return lambda: np.dot(left, right, out=result)


def _process_factor(behaviour: Behaviour) -> float:
    """Speed is fixed per process in real runtimes, by page placement: here by a draw that no other process repeats."""
    draw = random.Random(f"{behaviour.seed}/{_LOADED_AT_NS}")
    return math.exp(draw.gauss(0.0, behaviour.process_spread_ratio))


def _misbehave(behaviour: Behaviour) -> None:
    if behaviour.fault not in {"none", "nan", "unstable"}:
        trigger(behaviour.fault, behaviour.fault_phase, behaviour.fault_memory_bytes)


def _outputs(
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    arrays: Sequence[Array],
    behaviour: Behaviour,
    noise: random.Random,
) -> list[Array]:
    """Outputs that follow from the inputs alone, in -1..1: a sine of the sample's mean, another one per element."""
    import numpy as np

    sizes = {
        dim: size
        for spec, array in zip(inputs, arrays, strict=True)
        for dim, size in zip_shape(spec, array)
        if isinstance(dim, str)
    }
    error = behaviour.output_error
    if behaviour.fault == "nan":
        error = math.nan
    elif behaviour.fault == "unstable":
        error += noise.gauss(0.0, 1.0)
    made = []
    for spec in outputs:
        shape = tuple(sizes.get(dim, 1) if isinstance(dim, str) else dim for dim in spec.shape)
        samples = shape[0] if spec.shape and spec.shape[0] == "batch" else 1
        means = sum(array.reshape(samples, -1).mean(axis=1, dtype="float64") for array in arrays)
        phases = np.arange(1, math.prod(shape) // max(samples, 1) + 1)
        values = np.sin(np.multiply.outer(means, phases)).reshape(shape) + error
        made.append(values.astype(spec.dtype))
    return made


ADAPTER = Null()
