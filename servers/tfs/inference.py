"""Calls of a model, whichever protocol they came by: counted, timed, and ended with a status where they fail."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.core.errors import BenchError
from bench.core.serving import Stamps
from bench.wire import WireError
from bench.wire.protobuf import serving
from servers.counters import Counters

from .examples import batch_of, examples_in
from .loaded import Loaded
from .manager import Manager
from .metrics import Metrics
from .signatures import CLASSIFY_METHOD, DEFAULT_SIGNATURE, PREDICT_METHOD, REGRESS_METHOD
from .status import StatusError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.core.contracts import Array, Batch

_PID = os.getpid()
_METHOD_WORDS = {CLASSIFY_METHOD: "classification", REGRESS_METHOD: "regression"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Which model is asked: the latest version unless one is named, and the default signature likewise."""

    model: str
    version: int | None = None
    label: str = ""
    signature: str = ""

    @classmethod
    def of(cls, spec: Any) -> Target:
        """The target that a tensorflow.serving.ModelSpec names."""
        version = spec.version.value if spec.WhichOneof("version_choice") == "version" else None
        return cls(model=spec.name, version=version, label=spec.version_label, signature=spec.signature_name)


@dataclass(kw_only=True, slots=True)
class Call:
    """One call and its times so far, in ns of CLOCK_MONOTONIC; `is_wanted` tells whether somebody still waits."""

    api: str
    entrypoint: str
    received_ns: int
    is_wanted: Callable[[], bool]
    dequeued_ns: int = 0
    decoded_ns: int = 0
    started_ns: int = 0
    inferred_ns: int = 0
    model: str = ""

    def stamps(self) -> str:
        """For the answer, whose body is encoded now."""
        return Stamps(
            worker=_PID,
            received_ns=self.received_ns,
            dequeued_ns=self.dequeued_ns,
            decoded_ns=self.decoded_ns,
            started_ns=self.started_ns,
            inferred_ns=self.inferred_ns,
            encoded_ns=time.perf_counter_ns(),
        ).text()


class Inference:
    """Looks models up and calls them."""

    def __init__(
        self, manager: Manager, metrics: Metrics, counters: Counters | None, *, checks_method_names: bool
    ) -> None:
        self.manager = manager
        self._metrics = metrics
        self._counters = counters
        self._counting = threading.Lock()  # adding one is a read and a write
        self._checks_method_names = checks_method_names

    @contextmanager
    def ended(self, call: Call, *, is_counted: bool) -> Iterator[None]:
        """Nothing but a StatusError leaves the block; what a counted call came to is kept."""
        if is_counted:
            self._count("received")
        try:
            with _as_status():
                yield
        except StatusError as error:
            if is_counted:
                self._count("refused" if error.is_refusal else "failed")
                self._metrics.observe_request(call.model, call.api, call.entrypoint, error.code, call.received_ns)
            raise
        if is_counted:
            self._count("answered")
            self._metrics.observe_request(call.model, call.api, call.entrypoint, "OK", call.received_ns)

    def _count(self, what: str) -> None:
        if self._counters is not None:
            with self._counting:
                self._counters.add(what)

    @contextmanager
    def using(self, target: Target, call: Call) -> Iterator[Loaded]:
        """The version that is asked, for as long as the call takes."""
        with self.manager.use(target.model, target.version, target.label) as loaded:
            call.model = loaded.name
            yield loaded

    def run(self, loaded: Loaded, batch: Batch, call: Call) -> Mapping[str, Array]:
        """Wait for the model and call it on a batch that has just been decoded."""
        call.decoded_ns = time.perf_counter_ns()
        ran = loaded.runner.run(batch, call.is_wanted)
        call.started_ns, call.inferred_ns = ran.started_ns, ran.inferred_ns
        self._metrics.observe_runtime(loaded.name, call.api, ran.inferred_ns - ran.started_ns)
        return ran.outputs

    # ------------------------------------------------------------------------------------------------------- signatures

    def require_predict(self, loaded: Loaded, signature: str) -> str:
        """The name of the signature that Predict uses; StatusError when it is none that takes tensors."""
        name = signature or DEFAULT_SIGNATURE
        found = loaded.signatures.definitions.get(name)
        if found is None:
            raise StatusError("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        if found.method_name in _METHOD_WORDS:
            raise StatusError("INVALID_ARGUMENT", f"{name!r} is asked through {found.method_name.rpartition('/')[2]}")
        return name

    def _require_method(self, loaded: Loaded, signature: str, method: str) -> None:
        """StatusError when the signature is not there, or is another method's and that is looked at."""
        name = signature or DEFAULT_SIGNATURE
        found = loaded.signatures.definitions.get(name)
        if found is None:
            raise StatusError("INVALID_ARGUMENT", f"No signature was found with the name: {name}")
        is_other = found.method_name != method and (
            self._checks_method_names or found.method_name not in ("", PREDICT_METHOD)
        )
        if is_other:
            raise StatusError(
                "INVALID_ARGUMENT",
                f"Expected {_METHOD_WORDS[method]} signature method_name to be {method}. Was: {found.method_name}",
            )

    # ---------------------------------------------------------------------------------------------------- with examples

    def classify(self, loaded: Loaded, signature: str, message: Any, call: Call) -> Any:
        """A ClassificationResult for a tensorflow.serving.Input."""
        return self.infer(loaded, [(signature, CLASSIFY_METHOD)], message, call)[0]

    def regress(self, loaded: Loaded, signature: str, message: Any, call: Call) -> Any:
        """A RegressionResult for a tensorflow.serving.Input."""
        return self.infer(loaded, [(signature, REGRESS_METHOD)], message, call)[0]

    def infer(self, loaded: Loaded, tasks: Sequence[tuple[str, str]], message: Any, call: Call) -> list[Any]:
        """One result per task, which is a signature's name and a method, from one call of the model."""
        for signature, method in tasks:
            self._require_method(loaded, signature, method)
            _require_output(loaded, method)
        examples = examples_in(message)
        outputs = self.run(loaded, batch_of(examples, loaded.model.inputs), call)
        make = {CLASSIFY_METHOD: _classifications, REGRESS_METHOD: _regressions}
        return [make[method](loaded, outputs, len(examples)) for _, method in tasks]


@contextmanager
def _as_status() -> Iterator[None]:
    """Every error as the status that the caller is told."""
    try:
        yield
    except StatusError:
        raise
    except WireError as error:
        raise StatusError("INVALID_ARGUMENT", str(error)) from error
    except BenchError as error:
        raise StatusError("INTERNAL", error.message) from error
    except MemoryError as error:
        raise StatusError("INTERNAL", "memory ran out") from error
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        raise StatusError("INTERNAL", f"{type(error).__name__}: {error}") from error


def _require_output(loaded: Loaded, method: str) -> None:
    signatures = loaded.signatures
    if method == CLASSIFY_METHOD and not (signatures.scores or signatures.classes):
        raise StatusError(
            "FAILED_PRECONDITION",
            'Expected classification signature outputs to contain at least one of "classes" or "scores": '
            "no output, or more than one, is a number for each class of a sample",
        )
    if method == REGRESS_METHOD and not signatures.regressed:
        raise StatusError("FAILED_PRECONDITION", "Expected one output Tensor: none, or more, is one number per sample")


def _classifications(loaded: Loaded, outputs: Mapping[str, Array], count: int) -> Any:
    scores, classes = loaded.signatures.scores, loaded.signatures.classes
    found = [None if spec is None else _rows(outputs[spec.name], spec.name, count) for spec in (scores, classes)]
    result = serving.ClassificationResult()
    for row in range(count):
        numbers = [] if found[0] is None else found[0][row].tolist()
        labels = [] if found[1] is None else [_text(label) for label in found[1][row].tolist()]
        if numbers and labels and len(numbers) != len(labels):
            raise StatusError("INVALID_ARGUMENT", f"{len(labels)} classes came with {len(numbers)} scores")
        listed = result.classifications.add().classes
        for position in range(max(len(numbers), len(labels))):
            listed.add(label=labels[position] if labels else "", score=numbers[position] if numbers else 0.0)
    return result


def _regressions(loaded: Loaded, outputs: Mapping[str, Array], count: int) -> Any:
    spec = loaded.signatures.regressed
    assert spec is not None  # noqa: S101  required before the model was called
    result = serving.RegressionResult()
    for value in _rows(outputs[spec.name], spec.name, count).reshape(-1).tolist():
        result.regressions.add(value=value)
    return result


def _rows(array: Array, name: str, count: int) -> Array:
    if not array.ndim or len(array) != count:
        raise StatusError("INTERNAL", f"output {name!r} has the shape {list(array.shape)} for {count} examples")
    return array


def _text(label: str | bytes) -> str:
    return label if isinstance(label, str) else label.decode(errors="replace")
