from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.errors import BenchError, StoreError
from bench.core.record import Record
from bench.core.results import Flag
from bench.records import RunDirectory
from bench.report import print_run
from tests.examples.records import VARIANTS, create_run, make_cell, make_record, make_records, write_run
from tests.report.synthetic import HOSTILE_NAMES, write_named_run

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


@pytest.fixture
def _colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)


def table(path: Path) -> str:
    stream = io.StringIO()
    print_run(path, stream)
    return stream.getvalue()


def on_terminal(path: Path, columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Terminal()
    print_run(path, stream)
    return stream.getvalue()


def one_model(*shapes: tuple[str, float, str]) -> list[Record]:
    """A reference of 1 ms and variants given by name, ratio and status."""
    reference = make_cell()
    records = [make_record(reference, p50_ms=1.0, reference=reference)]
    for name, ratio, status in shapes:
        cell = make_cell(variant=replace(VARIANTS[1], name=name))
        records.append(make_record(cell, p50_ms=ratio, ratio=ratio, reference=reference, status=status))  # type: ignore[arg-type]
    return records


def row(text: str, variant: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"{variant}  "))


def test_each_model_begins_with_its_verdict_and_shows_every_variant_with_interval_and_verdict(
    synthetic: RunDirectory,
) -> None:
    text = table(synthetic.path)

    said = r"\nseed_cnn: ship onnx: 2\.\d+x as fast as keras \[[\d.]+–[\d.]+\], same size, cosine 1\.0000 \(no labels: "
    assert re.search(said, text)
    assert text.index("SHIP onnx") < text.index("ship onnx") < text.index("seed_cnn  batch 1")
    best = row(text, "onnx")
    assert re.search(r"faster, best +18\.\d+ ms \[[\d.]+–[\d.]+\] +0\.\d+x \[[\d.]+–[\d.]+\]", best)
    assert "slower" in row(text, "frozen-int8")
    assert "inconclusive" in row(text, "torch")
    assert "96.9 % [94.6–98.3]" in text
    assert "cosine 0.9870" in text


def test_the_best_variant_is_the_fastest_that_is_ok(tmp_path: Path) -> None:
    records = one_model(("wrong", 0.1, "invalid"), ("good", 0.5, "ok"), ("better", 0.3, "ok"), ("even", 0.99, "ok"))

    text = table(write_run(tmp_path, records).path)

    assert [line.split()[0] for line in text.splitlines() if ", best" in line] == ["better"]
    assert "invalid" in row(text, "wrong")


def test_the_reference_stays_when_nothing_is_decidedly_faster(tmp_path: Path) -> None:
    records = one_model(("even", 0.99, "ok"), ("slow", 1.5, "ok"), ("wrong", 0.1, "invalid"))

    text = table(write_run(tmp_path, records).path)

    assert "KEEP keras" in text
    assert "keep keras: nothing is decidedly faster by 5 %; closest is even, 1.01x as fast [0.99–1.03], same" in text
    assert ", best" not in text


def test_variants_whose_intervals_overlap_the_best_are_named(tmp_path: Path) -> None:
    text = table(write_run(tmp_path, one_model(("a", 0.5, "ok"), ("b", 0.51, "ok"), ("c", 0.7, "ok"))).path)

    assert "speed not told apart: b (1.96x as fast, " in text


def test_nothing_is_ranked_against_a_reference_that_is_not_ok(tmp_path: Path) -> None:
    reference, variant = one_model(("fast", 0.5, "ok"))
    broken = make_record(reference.cell, status="crashed", reference=reference.cell)

    text = table(write_run(tmp_path, [broken, variant]).path)

    assert "no ranking, for the reference keras crashed in load\n" in text
    assert "not compared" in row(text, "fast")
    assert "x" not in row(text, "fast"), "its ratio means nothing"


def test_a_tail_without_evidence_is_no_number(tmp_path: Path) -> None:
    text = table(write_run(tmp_path, one_model()).path)

    assert "needs ~3000 calls" in row(text, "keras")


def test_a_flag_is_told_once_with_the_range_of_its_numbers_and_its_cells(tmp_path: Path) -> None:
    records = [
        replace(record, flags=(Flag(name="noisy-steal", text=f"took {share}% of p25 (8-bit)", affects=("p99_ms",)),))
        for record, share in zip(one_model(("a", 0.5, "ok"), ("b", 0.7, "ok")), ("3.5", "12", "3.5"), strict=True)
    ]
    records[2] = replace(records[2], flags=(Flag(name="noisy-steal", text="something else", affects=()),))

    text = table(write_run(tmp_path, records).path)

    assert text.count("noisy-steal (taints p99): took 3.5–12% of p25 (8-bit)\n    digits: keras, a\n") == 1
    assert "noisy-steal: something else\n    digits: b\n" in text


def test_what_is_not_ok_is_told_with_reason_and_next_step_apart_from_what_was_never_run(tmp_path: Path) -> None:
    text = table(write_run(tmp_path).path)

    broken, not_run = text.split("\nnot ok\n")[1].split("\nnot run\n")
    assert "onnx-failed: failed in build: ValueError: opset 99 is not supported\n    next: choose an opset" in broken
    assert "onnx-oom: ran out of memory in warm-up" in broken
    assert "onnx-skipped: was skipped: needs openvino, not installed\n    next: pip install openvino" in not_run


def test_what_is_missing_or_damaged_is_told(tmp_path: Path) -> None:
    records = make_records()
    run = write_run(tmp_path, records)
    lines = run.journal_path.read_bytes().splitlines(keepends=True)
    run.journal_path.write_bytes(b"".join([lines[0].replace(b"0.4", b"0.3"), *lines[1:]]))

    text = table(run.path)

    assert f"damaged: {run.journal_path}:1: checksum does not match" in text
    missing = 1 + sum(record.outcome.status == "cancelled" for record in records)
    assert f"unfinished: {missing} of {len(records)} cells are not measured yet" in text
    assert "no ranking, for the reference has no record" in text


def test_elsewhere_than_on_a_terminal_it_is_plain_and_never_wrapped(synthetic: RunDirectory) -> None:
    text = table(synthetic.path)

    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())
    assert max(map(len, text.splitlines())) > 160


@pytest.mark.usefixtures("_colours")
@pytest.mark.parametrize("columns", [40, 80, 120, 140, 200])
def test_no_number_is_cut_however_narrow_the_terminal(
    columns: int, synthetic: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = synthetic
    plain = table(run.path).split("\nflags\n")[0]

    shown = _COLOUR.sub("", on_terminal(run.path, columns, monkeypatch)).split("\nflags")[0]

    assert "…" not in shown
    numbers = [word for line in plain.splitlines() if "s [" in line for word in line.split() if "[" in word]
    assert len(numbers) > 35
    assert [word for word in numbers if word not in shown.split()] == []


@pytest.mark.usefixtures("_colours")
@pytest.mark.parametrize("columns", [120, 140])
def test_unlabelled_models_fit_a_usual_terminal_in_one_line_each(
    columns: int, synthetic: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = _COLOUR.sub("", on_terminal(synthetic.path, columns, monkeypatch))

    assert re.search(r"\nkeras +reference +41\.\d ms \[[\d.–]+\] +1x .*\nfrozen +faster", shown)
    assert max(map(len, shown.splitlines())) <= columns


@pytest.mark.usefixtures("_colours")
def test_colours_are_used_on_a_terminal_and_dropped_at_the_users_word(
    synthetic: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = synthetic.path
    green = re.compile(r"\x1b\[[0-9;]*32m")
    assert green.search(on_terminal(path, 140, monkeypatch))

    monkeypatch.setenv("NO_COLOR", "1")

    assert not green.search(on_terminal(path, 140, monkeypatch))


@pytest.mark.usefixtures("_colours")
def test_hostile_names_steer_no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_named_run(tmp_path, HOSTILE_NAMES).path

    for text in (table(path), _COLOUR.sub("", on_terminal(path, 140, monkeypatch))):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
        assert "[/bold][link=https://example.org]x" in text
        assert "\ufffd[31mred" in text


def test_an_output_without_the_characters_gets_others(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="ascii")
    records = one_model(("größer", 0.5, "ok"))

    print_run(write_run(tmp_path, records).path, stream)
    stream.flush()

    assert b"[0.510-0.530]" not in buffer.getvalue()
    assert re.search(rb"gr\?\?er +faster, best +0\.500 ms \[0\.490-0\.510\]", buffer.getvalue())


def test_an_empty_run_is_no_error(tmp_path: Path) -> None:
    assert "cells are not measured yet" in table(create_run(tmp_path).path)


def test_a_directory_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=re.escape(str(tmp_path))):
        table(tmp_path)


def test_a_view_that_fails_says_which_view_of_which_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_run(tmp_path, one_model()).path
    monkeypatch.setattr("bench.report.terminal.render", lambda *_: 1 / 0)

    with pytest.raises(BenchError, match="the table cannot be made: ZeroDivisionError") as caught:
        table(path)

    assert str(path) in caught.value.message
