"""What people and programs see of a run, rebuilt from its directory alone: nothing here measures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bench.core.errors import BenchError, StoreError

__all__ = ["print_run", "run_json", "write_html", "write_markdown"]


def print_run(run_dir: Path, stream: IO[str]) -> None:
    """Write what to ship, then a table for each model, then notes, flags, and what is not ok with the way out.

    On a terminal as wide as it is; elsewhere plain text, as wide as the numbers need.
    """
    with _naming(run_dir, "the table"):
        from .reading import read_report
        from .terminal import render

        stream.write(render(read_report(run_dir), stream))


def run_json(run_dir: Path) -> str:
    """One JSON object `{run, environment_id, cells: [...]}`, null where a value is unknown.

    Latencies, ratios and verdicts are those of cells of status `ok`; an invalid cell can never be ranked by them.
    """
    with _naming(run_dir, "the JSON object"):
        from .machine import to_json
        from .reading import read_report

        return to_json(read_report(run_dir))


def write_html(run_dir: Path) -> Path:
    """Write `report.html` into the run's directory and return its path: one file that needs no network."""
    with _naming(run_dir, "the HTML report"):
        from bench.core.files import write_atomic

        from .html import page
        from .reading import read_report

        report = read_report(run_dir)
        path = report.run.report_path
        try:
            write_atomic(path, page(report).encode())
        except OSError as error:
            raise StoreError(
                f"{path}: cannot be written: {error.strerror}",
                hint="make room or check permissions, then: bench report",
            ) from error
        return path


def write_markdown(run_dir: Path) -> str:
    """A table and folded details for a pull request, in GitHub's Markdown."""
    with _naming(run_dir, "the Markdown table"):
        from .markdown import to_markdown
        from .reading import read_report

        return to_markdown(read_report(run_dir))


@contextmanager
def _naming(run_dir: Path, view: str) -> Iterator[None]:
    """Whatever goes wrong in a view becomes one error that says which view of which run; the data is safe."""
    try:
        yield
    except (BenchError, BrokenPipeError):
        raise
    except Exception as error:
        raise BenchError(
            f"{run_dir}: {view} cannot be made: {type(error).__name__}: {error}",
            hint="the results are safe in the run's directory; --debug shows where it failed",
        ) from error
