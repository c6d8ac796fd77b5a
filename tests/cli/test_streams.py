"""Streams as a shell may hand them over: a reader that leaves, closed descriptors, other encodings, no colours."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.streams import make_usable
from tests.cli.conftest import MATRIX, ROOT, Bench, run_paths
from tests.examples.records import write_run

#: Real process trees through the whole harness: seconds each.
pytestmark = pytest.mark.slow

ESCAPE = "\x1b"
COLOUR = re.compile(r"\x1b\[(?:[0-9]+;)*(?:3[0-8]|4[0-8]|9[0-7])(?:;[0-9]+)*m")


def test_a_reader_that_leaves_after_one_line_harms_nothing(bench_process: Bench, matrix: Path, tmp_path: Path) -> None:
    # Unbuffered, so that each line meets the closed pipe by itself.
    told = bench_process(
        "run",
        str(matrix),
        script='"$@" 2> errors.txt | head -n 1; echo "${PIPESTATUS[0]}"',
        environment={"PYTHONUNBUFFERED": "1"},
    )
    first, code = told.out.splitlines()
    assert first.strip()
    assert code == "0"
    errors = (tmp_path / "errors.txt").read_text()
    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors
    assert (run_paths(tmp_path / "results")[0] / "report.html").is_file()


@pytest.mark.parametrize("form", ["--json", "--no-report"])
def test_a_reader_that_never_reads_does_not_hide_that_cells_are_not_ok(
    bench_process: Bench, tmp_path: Path, form: str
) -> None:
    (tmp_path / "mine.py").write_text("")
    told = bench_process(
        "run", "mine.py:build", form, "--no-report", script='"$@" 2> errors.txt | true; echo "${PIPESTATUS[0]}"'
    )
    assert told.out == "5\n"
    assert "Traceback" not in (tmp_path / "errors.txt").read_text()


@pytest.mark.parametrize("verb", ["list", "schema"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_never_reads_is_no_error_of_any_verb(bench_process: Bench, verb: str, unbuffered: str) -> None:
    told = bench_process(
        verb, script='"$@" | true; echo "${PIPESTATUS[0]}"', environment={"PYTHONUNBUFFERED": unbuffered}
    )
    assert (told.out, told.err) == ("0\n", "")


@pytest.mark.parametrize("closed", ["<&- >&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_errors_and_what_is_open_gets_only_its_own(
    bench_process: Bench, tmp_path: Path, closed: str
) -> None:
    (tmp_path / "mine.py").write_text("")
    told = bench_process("run", "mine.py:build", "--json", "--no-report", script=f'"$@" {closed}; exit $?')
    assert told.code == 5
    (run,) = run_paths(tmp_path / "results")
    if ">&-" in closed.replace("2>&-", ""):
        assert told.out == ""
    else:
        assert json.loads(told.out)["run"] == run.name
    if "2>&-" in closed:
        assert told.err == ""
    else:
        assert "refused" in told.err


def test_a_run_with_closed_stdout_measures_all_the_same(bench_process: Bench, matrix: Path, tmp_path: Path) -> None:
    told = bench_process("run", str(matrix), "--no-report", script='"$@" >&-')
    assert told.code == 0
    assert told.err.count("  ok ") == 2
    (run,) = run_paths(tmp_path / "results")
    assert len((run / "journal.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    "environment",
    [
        {"LANG": "C", "LC_ALL": "C"},
        {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
)
def test_what_the_encoding_lacks_is_printed_as_an_escape(
    bench_process: Bench, tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "é.yaml").write_text(MATRIX.replace("tiny", "é 測定"), encoding="utf-8")
    told = bench_process("plan", "é.yaml", environment=environment, script='"$@" > out.bin 2> err.bin; exit $?')
    assert told.code == 0, (tmp_path / "err.bin").read_bytes()
    first_line = (tmp_path / "out.bin").read_bytes().splitlines()[0]
    assert first_line.endswith(b": 2 cells in 1 groups, 2 can run here")
    shown = first_line.split(b":")[0]
    assert shown in {rb"\xe9 \u6e2c\u5b9a", "é 測定".encode(), b"\xe9 " + rb"\u6e2c\u5b9a"}


def test_every_character_can_be_printed_once_the_streams_are_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    stream = open(writer, "w", encoding="ascii")  # noqa: SIM115  closed below
    monkeypatch.setattr(sys, "stdout", stream)
    make_usable()
    stream.write("é \udce9 測")
    stream.close()
    with open(reader, "rb") as pipe:
        assert pipe.read() == rb"\xe9 \udce9 \u6e2c"


@pytest.mark.parametrize("words", [("list",), ("plan", "tiny.yaml"), ("report", "--results", "results")])
def test_no_escape_codes_where_stdout_is_no_terminal(
    bench: Bench, matrix: Path, tmp_path: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "results")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    told = bench(*words)
    assert told.code == 0, told.err
    assert told.out
    assert ESCAPE not in told.out + told.err


@pytest.mark.parametrize("no_color", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_no_color_is_heeded_on_a_terminal(tmp_path: Path, no_color: bool) -> None:
    write_run(tmp_path / "results")
    shown = _on_a_terminal(tmp_path, "report", environment={"NO_COLOR": "1"} if no_color else {})
    assert b"report: " in shown
    assert bool(COLOUR.search(shown.decode())) is not no_color


def test_names_and_messages_with_terminal_escapes_are_shown_harmless(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "evil.yaml").write_text(MATRIX.replace("name: tiny", r'name: "\e]0;owned\a[/bold][link=x]"'))
    assert r"\x1b]0;owned\x07[/bold][link=x]: 2 cells" in bench("plan", "evil.yaml").out
    for words in (
        ("plan", "evil.yaml"),
        ("plan", "\x1b[2J.onnx"),
        ("plan", "evil.yaml", "--only", "\x1b[2J"),
        ("\x1b[2J",),
    ):
        told = bench(*words)
        assert told.out + told.err
        assert "\x1b" not in told.out + told.err
        assert "\x07" not in told.out + told.err


def _on_a_terminal(directory: Path, *words: str, environment: dict[str, str]) -> bytes:
    ours, theirs = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *words],
        cwd=directory,
        env={**kept, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65_536)
        except OSError:  # EIO: the other end is closed
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    assert process.wait(timeout=30) == 0, shown
    return shown
