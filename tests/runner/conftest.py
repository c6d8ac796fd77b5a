"""Whole runs over null models: the entire pipeline with known times, in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench import matrix, runner
from bench.core.record import Record

Run = Callable[..., dict[str, Record]]

MEASUREMENT = """
measurement:
  rounds: 2
  max_rounds: 2
  blocks: 3
  block_min_calls: 3
  block_min_s: 0.002
  warm_up_min_calls: 2
  warm_up_min_s: 0.005
  warm_up_max_s: 0.1
  input_pool: 2
"""


def null_matrix(variants: dict[str, str], *, model: str = "service_ms: 0.05", extra: str = "") -> str:
    """A matrix of one null model whose variants differ in the options of the null adapter."""
    lines = ["schema: 1", "name: test", "models:", f"  m: {{null: {{{model}}}}}", "variants:"]
    lines += [f'  {name}: {{source: "null", adapter: {{"null": {{{options}}}}}}}' for name, options in variants.items()]
    return "\n".join(lines) + "\n" + MEASUREMENT + extra


@pytest.fixture
def run_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a null matrix in a results directory of its own and give the records by variant name."""
    monkeypatch.setenv("DEPLOYBENCH_CACHE", str(tmp_path / "cache"))

    def run(text: str, **options: object) -> dict[str, Record]:
        given = runner.RunOptions(results_dir=tmp_path / "results", **options)  # type: ignore[arg-type]
        result = runner.run(matrix.load(text), given, runner.Silent())
        return {record.cell.variant.name: record for record in result.records}

    return run
