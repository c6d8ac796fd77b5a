"""What a target can do to the harness, and what the user is told: the other cells are measured all the same."""

from __future__ import annotations

import pytest

from tests.runner.conftest import Run, null_matrix

#: Real process trees through the whole harness: seconds each.
pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ("segfault", "crashed", "SIGSEGV"),
        ("abort", "crashed", "SIGABRT"),
        ("raise", "failed", ""),
        ("exit", "failed", "without"),
    ],
)
@pytest.mark.parametrize("phase", ["open", "block"])
def test_a_target_that_dies_costs_only_its_own_cell(
    run_null: Run, fault: str, status: str, words: str, phase: str
) -> None:
    records = run_null(
        null_matrix({"good": "", "bad": f"fault: {fault}, fault_phase: {phase}, fault_call: 5", "other": "seed: 1"})
    )
    assert records["bad"].outcome.status == status
    assert words in records["bad"].outcome.reason
    assert records["bad"].outcome.phase
    assert records["good"].outcome.status == records["other"].outcome.status == "ok"
    assert records["other"].comparison is not None


@pytest.mark.parametrize("fault", ["hang", "native_hang", "chatty"])
def test_a_target_that_hangs_is_ended_at_its_deadline_and_the_rest_is_measured(run_null: Run, fault: str) -> None:
    text = null_matrix({"good": "", "bad": f"fault: {fault}, fault_phase: block, fault_call: 5"})
    records = run_null(text.replace("measurement:\n", "measurement:\n  phase_deadline_s: 1.5\n"))
    assert records["bad"].outcome.status == "timeout"
    assert records["bad"].outcome.phase
    assert records["good"].outcome.status == "ok"


def test_outputs_that_are_not_finite_make_a_variant_invalid_but_its_latency_is_kept(run_null: Run) -> None:
    records = run_null(null_matrix({"good": "", "bad": "fault: nan"}))
    assert records["bad"].outcome.status == "invalid"
    assert "not finite" in records["bad"].outcome.reason
    assert records["bad"].statistics is not None


def test_outputs_outside_the_tolerance_make_a_variant_invalid(run_null: Run) -> None:
    records = run_null(null_matrix({"good": "", "bad": "output_error: 0.5"}))
    assert records["bad"].outcome.status == "invalid"
    assert records["bad"].fidelity is not None
    assert not records["bad"].fidelity.passed


def test_outputs_that_differ_from_run_to_run_make_a_variant_invalid(run_null: Run) -> None:
    records = run_null(null_matrix({"good": "", "bad": "fault: unstable"}))
    assert records["bad"].outcome.status == "invalid"
    assert records["bad"].fidelity is not None
    assert records["bad"].fidelity.deterministic == "unstable"


def test_a_target_that_eats_its_memory_limit_is_out_of_memory(run_null: Run) -> None:
    text = null_matrix(
        {"good": "", "bad": "fault: memory, fault_phase: open"}, extra="axes: {memory_limit_mib: [1500]}\n"
    )
    records = run_null(text)
    assert records["bad"].outcome.status == "oom"
    assert records["good"].outcome.status == "ok"
    assert records["good"].in_force.limiter == "address space"


def test_when_the_reference_dies_the_others_are_measured_but_never_ranked_unchecked(run_null: Run) -> None:
    records = run_null(null_matrix({"reference": "fault: segfault, fault_phase: open", "other": ""}))
    assert records["reference"].outcome.status == "crashed"
    assert records["other"].outcome.status == "invalid"
    assert "reference" in records["other"].outcome.reason
    assert records["other"].statistics is not None
    assert records["other"].comparison is None
