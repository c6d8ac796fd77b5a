from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from bench.core.errors import StoreError
from bench.records import RunDirectory
from bench.report import write_html
from tests.examples.records import create_run, make_cell, make_record, write_run
from tests.report.page import Page
from tests.report.synthetic import HOSTILE_NAMES, write_named_run

BENIGN_NAMES = tuple(f"name-{letter}" for letter in "abcdefghijk")


@pytest.fixture(scope="module")
def page(synthetic: RunDirectory) -> Page:
    return Page(write_html(synthetic.path))


def labelled(figure: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The markers of a figure by what is written beside them."""
    markers = [trace for trace in figure["data"] if "marker" in trace]
    return {label["text"]: trace for label, trace in zip(figure.get("labels", ()), markers, strict=False)}


def test_the_page_is_written_beside_the_records(synthetic: RunDirectory, page: Page) -> None:
    assert synthetic.report_path.exists()
    assert page.elements[0][0] == "html"


def test_verdicts_come_first_and_every_variant_has_one(page: Page) -> None:
    headings = [attributes["id"] for tag, attributes in page.elements if tag == "h2"]
    expected = ["verdicts", "cells", "tails", "costs", "flags", "not-ok", "environment", "repeat"]
    assert headings == expected
    said = r"ship onnx-int8: 2\.\d+x as fast as torch \[\S+\] , 3\.97x smaller, cosine 0\.9870 \(no labels: judged by"
    assert re.search(said, page.text)
    assert "keep saved_model: nothing is decidedly faster by 5 %; closest is frozen, " in page.text
    assert len([1 for attributes in page.all("span") if attributes.get("class", "").startswith("mark ")]) >= 2 * 19


def test_no_verdict_relies_on_colour_alone(page: Page) -> None:
    for word in ("reference", "faster", "faster, best", "slower", "same", "inconclusive", "invalid", "failed"):
        assert f"{word} " in page.text


def test_policy_allows_exactly_the_scripts_and_styles_of_the_page(page: Page) -> None:
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    runnable = [text for text in page.texts("script") if not text.startswith("[")]
    assert len(runnable) == 2
    for text in (*runnable, *page.texts("style")):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy


def test_nothing_is_fetched_from_anywhere(page: Page) -> None:
    assert not {"img", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.elements}
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
    assert "url(" not in page.texts("style")[0]


def test_tables_and_figures_can_be_read_without_seeing_them(page: Page) -> None:
    assert len(page.all("caption")) == len(page.all("table")) == 7
    for table_head in page.all("th"):
        assert table_head.get("scope") in {"col", "row", "rowgroup"}
    plots = [attributes for attributes in page.all("div") if "data-figure" in attributes]
    assert len(plots) == 8
    assert all(plot["role"] == "img" and len(plot["aria-label"]) > 40 for plot in plots)
    assert page.elements[0] == ("html", {"lang": "en"})


def test_invalid_variants_are_hollow_and_never_on_the_front(page: Page) -> None:
    figure = next(figure for figure in page.figures if "onnx-int8 (invalid)" in labelled(figure))
    marked = labelled(figure)

    invalid = marked.pop("onnx-int8 (invalid)")
    assert invalid["marker"]["symbol"].endswith("-open")
    assert invalid["role"] == "bad"
    assert not any(trace["marker"]["symbol"].endswith("-open") for trace in marked.values())
    fronts = [each for each in page.figures if each["kind"] == "tradeoff"]
    lines = [trace for each in fronts for trace in each["data"] if trace["mode"] == "lines"]
    assert lines
    assert all(invalid["x"][0] not in trace["x"] for trace in lines)


def test_sorting_never_ranks_a_cell_that_is_not_ok(page: Page) -> None:
    row: list[dict[str, str]] = []
    values = []
    for tag, attributes in page.elements:
        row = [] if tag == "tr" else row
        row += [attributes] if "data-v" in attributes else []
        if len(row) == 5 and tag == "td":
            values.append((row[1]["data-v"], {cell["data-v"] for cell in row[2:]}))
            row = []

    assert len(values) == 19
    for standing, numbers in values:
        assert ("" in numbers) == (standing in {"invalid", "failed"})


def test_speed_up_is_the_ratio_turned_over_and_labelled_models_show_their_accuracy(page: Page) -> None:
    digits = next(figure for figure in page.figures if "accuracy" in figure["layout"]["yaxis"]["title"]["text"])
    by_name = labelled(digits)

    assert by_name["keras: reference"]["x"] == [1.0]
    assert 11 < by_name["onnx: ship"]["x"][0] < 13
    assert by_name["onnx-int8"]["y"][0] == pytest.approx(-100 * 4 / 360)
    assert by_name["onnx-int8"]["error_y"]["arrayminus"][0] > 0.5
    band = next(shape for shape in digits["layout"]["shapes"] if shape["name"] == "band")
    assert band["y0"] == pytest.approx(-2)


def test_tail_curves_end_where_the_evidence_does(page: Page) -> None:
    curves = [trace for figure in page.figures if figure["kind"] == "tails" for trace in figure["data"]]

    assert len(curves) == 18
    for curve in curves:
        assert curve["x"] == sorted(curve["x"])
        assert curve["y"][0] == 0
        assert curve["y"][-1] < 2.8, "870 steady calls are no evidence for p99.9"


def test_every_row_has_the_commands_that_repeat_it(synthetic: RunDirectory, page: Page) -> None:
    for cell_id in synthetic.manifest.planned_cell_ids:
        assert f"python -m bench replay {synthetic.path} {cell_id} " in page.text + " "
    assert page.text.count("python -m bench.worker ") == 18, "the cell that failed to build never had a worker"


def test_environment_and_worker_variables_are_shown(page: Page) -> None:
    assert "processor.caches.L3 32768K" in page.text
    assert "share.affinity 0, 1" in page.text
    assert "GLIBC_TUNABLES glibc.malloc.hugetlb=1" in page.text


def test_hostile_names_add_no_element_and_no_attribute(tmp_path: Path) -> None:
    hostile = Page(write_html(write_named_run(tmp_path / "hostile", HOSTILE_NAMES).path))
    benign = Page(write_html(write_named_run(tmp_path / "benign", BENIGN_NAMES).path))

    assert hostile.structure == benign.structure
    assert "<script>alert(1)</script>" in hostile.text
    assert "{{ 7*7 }} {% raw %}" in hostile.text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", "".join(hostile.words))
    for _, attributes in hostile.elements:
        assert not re.search(r"[\x00-\x1f]", "".join(attributes.values()))


def test_hostile_names_are_no_markup_in_a_figure(tmp_path: Path) -> None:
    path = write_html(write_named_run(tmp_path, HOSTILE_NAMES).path)

    page = Page(path)
    figures = page.figures

    assert {figure["kind"] for figure in figures} == {"tradeoff", "tails"}
    assert any("&lt;script&gt;" in text for text in page.figure_strings)
    for text in page.figure_strings:
        assert not re.search(r"[$]|<(?!br>|/?extra>)", text), text
    templates = {trace.get("hovertemplate", "") for figure in figures for trace in figure["data"]}
    assert templates == {"%{customdata}<extra></extra>", ""}


def test_lost_samples_are_told_and_all_else_is_shown(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    lost = run.records()[0][0].samples
    assert lost is not None
    (run.path / lost.path).unlink()

    page = Page(write_html(run.path))

    assert f"No curve: digits (batch 1, 1 thread) keras: {run.path / lost.path}: samples cannot be read" in page.text
    assert len(page.figures) == 9, "five groups, four of them measured, each with two figures, and one with one"


def test_a_run_without_a_measurement_carries_no_plotting_library(tmp_path: Path) -> None:
    record = make_record(make_cell(), status="skipped")

    path = write_html(write_run(tmp_path, [record]).path)

    assert path.stat().st_size < 60_000
    assert "was skipped: needs openvino, not installed" in Page(path).text
    assert write_html(create_run(tmp_path / "empty").path).exists()


def test_a_page_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    run.report_path.mkdir()

    with pytest.raises(StoreError, match=re.escape(f"{run.report_path}: cannot be written")):
        write_html(run.path)
