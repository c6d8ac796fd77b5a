from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cli.main import main
from tests.examples.records import write_run


def test_it_writes_the_page_of_the_latest_run_and_prints_where_it_lies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older, newer = sorted((write_run(tmp_path), write_run(tmp_path)), key=lambda run: run.path.name)

    assert main(["report", "--results", str(tmp_path)]) == 0

    assert capsys.readouterr().out.endswith(f"report: {newer.report_path}\n")
    assert newer.report_path.exists()
    assert not older.report_path.exists()


@pytest.mark.parametrize("as_path", [True, False])
def test_a_run_is_named_by_its_path_or_its_id(
    as_path: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path)
    word = str(run.path) if as_path else run.manifest.run_id

    assert main(["report", word, "--results", str(tmp_path), "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["run"] == run.manifest.run_id
    assert not run.report_path.exists()


def test_markdown_goes_to_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path)

    assert main(["report", str(run.path), "--markdown"]) == 0

    assert capsys.readouterr().out.startswith("### Benchmark example\n")


@pytest.mark.parametrize("word", ["", "20261120-xyz", "nul\0byte"])
def test_a_run_that_is_not_there_is_the_users_mistake_with_a_way_out(
    word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *([word] if word else []), "--results", str(tmp_path)]) == 2

    error = capsys.readouterr().err
    assert str(tmp_path) in error
    assert "next: " in error
