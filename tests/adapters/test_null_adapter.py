"""The null adapter keeps its word: known times, outputs that follow from the inputs, faults where they were asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.adapters.faults import InjectedFault
from bench.adapters.null import ADAPTER, Behaviour, NullSession, Options
from bench.core.artifact import Artifact, TensorSpec
from bench.core.errors import TargetError

INPUTS = (TensorSpec(name="input", dtype="float32", shape=("batch", 4)),)
OUTPUTS = (TensorSpec(name="output", dtype="float32", shape=("batch", 3)),)
BATCH = {"input": np.arange(8, dtype=np.float32).reshape(2, 4)}


def null_artifact(directory: Path, content: str | dict[str, Any]) -> Artifact:
    path = directory / "model.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return Artifact(id="0", format="null", path=str(path), size_bytes=1, inputs=INPUTS, outputs=OUTPUTS)


def opened(directory: Path, behaviour: dict[str, Any] | None = None, **options: Any) -> NullSession:
    return ADAPTER.open(null_artifact(directory, behaviour or {}), threads=1, options=Options(**options))


def fastest_ms(call: Any, calls: int = 5) -> float:
    latencies_ns = []
    for _ in range(calls):
        started_ns = time.perf_counter_ns()
        call()
        latencies_ns.append(time.perf_counter_ns() - started_ns)
    return min(latencies_ns) / 1e6


def test_a_call_takes_the_service_time_and_never_less(tmp_path: Path) -> None:
    assert 3.0 <= fastest_ms(opened(tmp_path, {"service_ms": 3.0}).bind(BATCH)) < 3.5


def test_a_product_of_matrices_takes_longer_the_larger_it_is(tmp_path: Path) -> None:
    small, large = (
        fastest_ms(opened(tmp_path, {"matmul_size": 64, "matmul_columns": columns}).bind(BATCH), calls=20)
        for columns in (1, 4096)
    )
    assert small < large / 10


def test_an_option_overrides_the_models_file(tmp_path: Path) -> None:
    session = opened(tmp_path, {"service_ms": 50.0}, service_ms=1.0)
    assert fastest_ms(session.bind(BATCH)) < 10.0


def test_every_word_of_a_model_can_be_overridden() -> None:
    assert set(Options.__dataclass_fields__) == set(Behaviour.__dataclass_fields__)


def test_the_first_call_and_the_warm_up_take_longer(tmp_path: Path) -> None:
    call = opened(tmp_path, {"service_ms": 1, "first_call_ms": 20, "warm_up_calls": 3, "warm_up_ratio": 4}).bind(BATCH)
    assert fastest_ms(call, calls=1) >= 24.0
    assert fastest_ms(call, calls=2) >= 4.0
    assert fastest_ms(call) < 4.0


def test_an_input_seen_before_can_be_made_faster(tmp_path: Path) -> None:
    session = opened(tmp_path, service_ms=4.0, repeat_ratio=0.1)
    call, again, other = session.bind(BATCH), session.bind(BATCH), session.bind({"input": BATCH["input"] + 1})
    checked = {"input": BATCH["input"] + 2}
    session.run(checked)
    assert fastest_ms(call, calls=1) >= 4.0
    assert fastest_ms(again) < 4.0
    assert fastest_ms(other, calls=1) >= 4.0
    assert fastest_ms(session.bind(checked)) < 4.0


def test_the_speed_factor_of_a_process_is_drawn_once(tmp_path: Path) -> None:
    behaviour = {"service_ms": 1.0, "process_spread_ratio": 0.5}
    first, second = opened(tmp_path, behaviour), opened(tmp_path, behaviour)
    assert first._factor == second._factor != 1.0
    assert opened(tmp_path, {**behaviour, "seed": 1})._factor != first._factor


def test_outputs_follow_from_each_sample_alone(tmp_path: Path) -> None:
    session = opened(tmp_path)
    both = session.run(BATCH)["output"]
    alone = session.run({"input": BATCH["input"][1:]})["output"]
    assert both.shape == (2, 3)
    np.testing.assert_array_equal(both[1:], alone)
    np.testing.assert_allclose(both[0], np.sin(1.5 * np.arange(1, 4)), rtol=1e-6)
    np.testing.assert_array_equal(session.bind(BATCH)()[0], both)


def test_an_output_error_is_what_was_asked(tmp_path: Path) -> None:
    exact, wrong = (opened(tmp_path, output_error=error).run(BATCH)["output"] for error in (0.0, 0.25))
    np.testing.assert_allclose(wrong - exact, 0.25, atol=1e-6)


def test_nan_and_unstable_spoil_the_outputs(tmp_path: Path) -> None:
    assert np.isnan(opened(tmp_path, fault="nan").run(BATCH)["output"]).all()
    unstable = opened(tmp_path, fault="unstable")
    assert (unstable.run(BATCH)["output"] != unstable.run(BATCH)["output"]).any()


def test_a_fault_strikes_in_its_phase_and_in_no_other(tmp_path: Path) -> None:
    with pytest.raises(InjectedFault, match="open"):
        opened(tmp_path, fault="raise", fault_phase="open")
    checking = opened(tmp_path, fault="raise", fault_phase="check")
    checking.bind(BATCH)()
    with pytest.raises(InjectedFault, match="check"):
        checking.run(BATCH)
    for phase, struck in {"first_call": 1, "warm": 2, "block": 4}.items():
        session = opened(tmp_path, fault="raise", fault_phase=phase, fault_call=4)
        session.run(BATCH)
        call = session.bind(BATCH)
        for _ in range(struck - 1):
            call()
        with pytest.raises(InjectedFault, match=phase):
            call()


@pytest.mark.parametrize(
    ("fault", "exit_status"), [("segfault", -11), ("abort", -6), ("exit", 0), ("memory", 0), ("flood", 0)]
)
def test_a_fault_ends_its_process_as_named(tmp_path: Path, fault: str, exit_status: int) -> None:
    program = f"from bench.adapters.faults import trigger; trigger({fault!r}, 'open', 1 << 26)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=False)
    assert done.returncode == exit_status
    assert (len(done.stdout) > 10_000_000) == (fault == "flood")


@pytest.mark.parametrize("fault", ["hang", "native_hang", "chatty"])
def test_a_hang_does_not_end_by_itself(fault: str) -> None:
    program = f"from bench.adapters.faults import trigger; trigger({fault!r}, 'open', 0)"
    with (
        open(os.devnull, "wb") as nowhere,
        pytest.raises(subprocess.TimeoutExpired),
    ):
        subprocess.run([sys.executable, "-c", program], stdout=nowhere, timeout=1, check=False)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "not a null model"),
        ("{", "not a null model"),
        ("[]", "not a null model"),
        ('{"service_ms": "long"}', "service_ms"),
        ('{"servise_ms": 1}', "servise_ms"),
        ('{"fault": "explode"}', "explode"),
    ],
)
def test_a_wrong_model_file_is_refused_in_one_line(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(TargetError) as caught:
        ADAPTER.open(null_artifact(tmp_path, content), threads=1, options=Options())
    assert words in caught.value.message
    assert "\n" not in caught.value.message
