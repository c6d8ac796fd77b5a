"""Whole runs over null models: splitting by memory, looks and budget, two names for one model, resuming."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import matrix, records, runner
from bench.core.cell import Group, Measurement
from bench.core.record import Record
from bench.measure.comparison import compare
from bench.runner import session
from bench.runner.prepared import Prepared
from tests.runner.conftest import Run, null_matrix

#: Real process trees through the whole harness: seconds each.
pytestmark = pytest.mark.slow


def short(text: str, **measurement: object) -> str:
    """The matrix with one round, and these numbers instead of those it has."""
    for key, value in {"rounds": 1, "max_rounds": 1, **measurement}.items():
        lines = [f"  {key}: {value}" if line.startswith(f"  {key}: ") else line for line in text.splitlines()]
        text = "\n".join(lines if any(f"  {key}: " in line for line in lines) else [*lines, f"  {key}: {value}"])
    return text + "\n"


def test_a_group_that_does_not_fit_into_memory_is_split_and_every_variant_is_compared(
    run_null: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[list[str]] = []
    split = session.split

    def spied_split(cells: Sequence[Prepared], reference_id: str, available_bytes: int) -> list[list[Prepared]]:
        made = split(cells, reference_id, available_bytes)
        parts.extend([each.cell.variant.name for each in part] for part in made)
        return made

    monkeypatch.setattr(session, "split", spied_split)
    monkeypatch.setattr(session, "available_memory_bytes", lambda: 350_000_000)
    found = run_null(short(null_matrix({name: f"seed: {seed}" for seed, name in enumerate("abcd")})))
    assert parts == [["a", "b", "c"], ["a", "d"]]
    assert list(found) == list("abcd")
    assert {record.outcome.status for record in found.values()} == {"ok"}
    assert {name for name, record in found.items() if record.comparison is None} == {"a"}
    (path,) = records.run_paths(tmp_path / "results")
    lines, _ = records.read(path / "journal.jsonl")
    assert sorted(record.cell.variant.name for record in lines) == list("abcd"), "the reference is recorded once"
    for name, record in found.items():
        if name != "a":
            assert recomputed_ratio(path, record, found["a"]) == record.comparison.ratio.value  # type: ignore[union-attr]


def recomputed_ratio(run_dir: Path, record: Record, reference: Record) -> float | None:
    """The ratio of a record, from samples on disk alone."""
    reference_samples = record.reference_samples or reference.samples
    assert record.samples is not None
    assert reference_samples is not None
    return compare(
        records.read_samples(run_dir, reference_samples),
        records.read_samples(run_dir, record.samples),
        reference_id=record.reference_id,
        measurement=Measurement(),
        look=1,
        looks_total=1,
    ).ratio.value


def test_one_model_under_two_names_is_measured_under_both(run_null: Run, tmp_path: Path) -> None:
    run_null(short(null_matrix({"v": ""})).replace("  m:", "  n: {null: {service_ms: 0.05}}\n  m:"))
    (path,) = records.run_paths(tmp_path / "results")
    found, _ = records.open_run(path).records()
    assert [(record.cell.model.name, record.outcome.status) for record in found] == [("n", "ok"), ("m", "ok")]
    assert len({record.artifact.id for record in found if record.artifact is not None}) == 1


def test_with_a_tiny_budget_only_the_first_look_happens(run_null: Run, tmp_path: Path) -> None:
    text = short(null_matrix({"a": "", "b": "process_spread_ratio: 0.5"}), max_rounds=4, budget_s=0.001)
    record = run_null(text)["b"]
    assert record.comparison is not None
    assert (record.comparison.verdict, record.comparison.looks) == ("inconclusive", 1)
    assert rounds_of(record, tmp_path) == 1


def test_jittery_variants_go_to_the_last_round_and_decided_ones_do_not(run_null: Run, tmp_path: Path) -> None:
    variants = {"a": "", "b": "process_spread_ratio: 0.6", "c": "service_ms: 5"}
    found = run_null(short(null_matrix(variants), rounds=2, max_rounds=4))
    assert found["c"].comparison is not None
    assert (found["c"].comparison.verdict, found["c"].comparison.looks) == ("changed", 1)
    assert {name: rounds_of(record, tmp_path) for name, record in found.items()} == {"a": 4, "b": 4, "c": 2}


def rounds_of(record: Record, tmp_path: Path) -> int:
    assert record.samples is not None
    (path,) = records.run_paths(tmp_path / "results")
    return len(records.read_samples(path, record.samples))


class Listener(runner.Silent):
    """Keeps what it is told in lines of their own."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.groups: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def group_started(self, group: Group, position: int, total: int) -> None:
        self.groups.append(f"{position}/{total}")


def test_a_resumed_run_says_what_it_found_damaged_and_measures_that_anew(
    run_null: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = short(null_matrix({"a": "", "b": "seed: 1"}))
    run_null(text)
    (path,) = records.run_paths(tmp_path / "results")
    journal = path / "journal.jsonl"
    first, second = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(first.replace(b'"ok"', b'"no"', 1) + second)
    listener = Listener()

    options = runner.RunOptions(results_dir=tmp_path / "results")
    result = runner.run(matrix.load(text), options, listener)

    assert result.run_dir == path
    assert any(f"{journal}:1" in note and "damaged" in note for note in listener.notes), listener.notes
    assert any("resuming" in note and "1 of 2 cells left" in note for note in listener.notes)
    assert listener.groups == ["1/1"]
    assert {record.cell.variant.name: record.outcome.status for record in result.records} == {"a": "ok", "b": "ok"}
    lines, _ = records.read(journal)
    assert [record.cell.variant.name for record in lines] == ["b", "a"], "only what was missing is measured anew"


def test_the_kinds_of_time_of_a_run_add_up_and_the_children_account_for_most_of_it(
    run_null: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYBENCH_CACHE", str(tmp_path / "cache"))
    options = runner.RunOptions(results_dir=tmp_path / "results")
    text = short(null_matrix({"a": "service_ms: 5"}), warm_up_min_s=0.1)
    spent = runner.run(matrix.load(text), options, runner.Silent()).spent_s
    assert all(seconds >= 0 for seconds in spent.values())
    assert spent["build"] > 0
    assert spent["warm-up"] >= 0.1
    assert spent["timed"] >= 3 * 3 * 0.005
