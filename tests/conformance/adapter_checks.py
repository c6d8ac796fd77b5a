"""What is seen of an adapter that opens one case; runs in a process of its own and answers in plain JSON."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.core import plugins
from bench.core.errors import BenchError, TargetError
from tests.conformance.adapter_cases import CASES, batch_of

BATCH = 3
_BUSY_S = 0.3
LARGE_BATCH = 512  # enough work for every runtime to use all of its threads
COMPILED_BATCH = 4096  # compilers split work between threads from more on


def build(*, directory: Path, names: Sequence[str]) -> dict[str, str]:
    """Write the models of the cases and tell their paths; apart from `facts`, for building starts frameworks."""
    paths = {}
    for name in names:
        (directory / name).mkdir()
        paths[name] = CASES[name].build(directory / name)
    return paths


def facts(*, directory: Path, name: str, path: str, threads: int) -> dict[str, Any]:
    """All that the conformance suite judges about the case `name`."""
    import numpy as np  # noqa: F401  has threads of its own, which are not the adapter's

    case = CASES[name]
    case.prepare()
    spec = plugins.lookup("adapters", case.adapter)
    adapter = plugins.load("adapters", case.adapter)  # before its framework: its environment must come first
    before_import = _native_threads()
    for package in spec.needs:
        __import__(package)
    after_import = _native_threads()
    session = adapter.open(case.artifact(path), threads=threads, options=adapter.Options(**case.options))
    seen: dict[str, Any] = {
        "threads_of_import": after_import - before_import,
        "input_names": [spec.name for spec in session.inputs],
        "output_names": [spec.name for spec in session.outputs],
        "versions": dict(session.versions),
        "provider": session.provider,
        **_answers(case, session),
        **_refusals(session),
    }
    size = COMPILED_BATCH if case.threads_beside_main is None else LARGE_BATCH
    seen |= _work(session.bind(batch_of(size)))
    seen["threads_of_run"] = _native_threads() - after_import
    session.close()
    session.close()
    seen["refused_after_close"] = _refusal(session, batch_of(BATCH))
    seen["home"] = sorted(str(path.relative_to(directory / "home")) for path in (directory / "home").rglob("*"))
    return seen


def refusal_to_open(*, directory: Path, name: str, path: str) -> dict[str, str]:
    """What the case says, without a device, when it is opened: kind and words of the error, and its hint."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    case = CASES[name]
    adapter = plugins.load("adapters", case.adapter)
    try:
        adapter.open(case.artifact(path), threads=1, options=adapter.Options(**case.options))
    except BenchError as error:
        return {"type": type(error).__name__, "message": error.message, "hint": error.hint or ""}
    return {"type": "", "message": "it was opened", "hint": ""}


def _answers(case: Any, session: Any) -> dict[str, Any]:
    import numpy as np

    batch, other = batch_of(BATCH), batch_of(BATCH, seed=1)
    inputs_before = {name: array.copy() for name, array in batch.items()}
    outputs = session.run(batch)
    again = session.run(batch)
    expected = case.expected(batch)
    bound = session.bind(batch)()
    kept = [array.copy() for array in bound]
    session.bind(other)()
    return {
        "names": list(outputs),
        "types": sorted({type(array).__name__ for array in (*outputs.values(), *bound)}),
        "dtypes": sorted({array.dtype.name for array in outputs.values()}),
        "shapes": {key: list(array.shape) for key, array in outputs.items()},
        "worst_error": max(float(np.abs(outputs[key] - expected[key]).max()) for key in expected),
        "twice_equal": all(np.array_equal(outputs[key], again[key]) for key in outputs),
        "bound_equals_run": all(np.array_equal(a, b) for a, b in zip(bound, outputs.values(), strict=True)),
        "bound_outputs_stay": all(np.array_equal(a, b) for a, b in zip(bound, kept, strict=True)),
        "inputs_untouched": all(np.array_equal(batch[key], inputs_before[key]) for key in batch),
        "sample_alone_error": _sample_alone_error(session, batch, outputs),
    }


def _sample_alone_error(session: Any, batch: Any, outputs: Any) -> float:
    """Another batch size, bound by the same session."""
    import numpy as np

    alone = session.run({key: array[1:2] for key, array in batch.items()})
    return max(float(np.abs(alone[key] - outputs[key][1:2]).max()) for key in outputs)


def _refusals(session: Any) -> dict[str, Any]:
    import numpy as np

    good = batch_of(BATCH)
    return {
        "refusals": {
            "wrong name": _refusal(session, {"left": good["left"], "wrong": good["right"]}),
            "missing input": _refusal(session, {"left": good["left"]}),
            "wrong width": _refusal(session, {**good, "left": good["left"][:, 1:]}),
            "wrong rank": _refusal(session, {**good, "left": good["left"][0]}),
            "unequal batches": _refusal(session, {**good, "left": good["left"][1:]}),
            "wrong dtype": _refusal(session, {**good, "left": good["left"].astype(np.float64)}),
        }
    }


def _refusal(session: Any, batch: Any) -> str:
    try:
        session.run(batch)
    except TargetError as error:
        return error.message
    return ""


def _work(call: Callable[[], Any]) -> dict[str, float]:
    """CPU time over wall time, compilation aside, and the share of CPU time that was the busiest thread's: whatever
    else runs on the machine takes from the first, and leaves the second."""
    call()
    before = _cpu_ns_of_threads()
    wall, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < _BUSY_S:
        call()
    cores_used = (time.process_time() - cpu) / (time.perf_counter() - wall)
    used = [after - before.get(thread, 0) for thread, after in _cpu_ns_of_threads().items()]
    return {"cores_used": cores_used, "busiest_thread_ratio": max(used) / sum(used)}


def _cpu_ns_of_threads() -> dict[str, int]:
    """CPU time of each native thread by its number, without those that end meanwhile."""
    times = {}
    for thread in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            times[thread.name] = int((thread / "schedstat").read_text().split()[0])
    return times


def _native_threads() -> int:
    return len(os.listdir("/proc/self/task"))


def loaded_with_the_plugins(*, directory: Path) -> list[str]:
    """Frameworks in memory after every adapter's module has been loaded."""
    for name in plugins.table("adapters"):
        plugins.load("adapters", name)
    return sorted({"numpy", "onnx", "onnxruntime", "tensorflow", "keras", "torch"} & set(sys.modules))
