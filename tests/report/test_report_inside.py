from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bench.explain.divergence import Divergence, TensorError
from bench.records import RunDirectory, write_explanation
from bench.report import print_run, write_html, write_markdown
from bench.report.inside import Inside, read_inside
from bench.report.reading import read_report
from tests.report.quantized import write_profile, write_quantized_run

_TENSOR = TensorError(
    tensor="/conv1/Conv_output_0", reference_tensor="conv1", node="/conv1/Conv", operator="Conv",
    relative_error=0.21, cosine=0.97, max_abs_error=3.0, problem="cosine 0.97 is below 0.98",
)  # fmt: skip


@pytest.fixture
def quantized(tmp_path: Path) -> RunDirectory:
    return write_quantized_run(tmp_path)


def inside(run: RunDirectory) -> Inside:
    return read_inside(run, read_report(run.path).sections)


def cell_id(run: RunDirectory, model: str, variant: str) -> str:
    records, _ = run.records()
    return next(
        record.cell_id for record in records if (record.cell.model.name, record.cell.variant.name) == (model, variant)
    )


def page_text(run: RunDirectory) -> str:
    page = write_html(run.path).read_text(encoding="utf-8").split('<script type="application/json"')[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def test_the_explanation_of_what_is_shipped_comes_first_then_that_of_the_slowest(quantized: RunDirectory) -> None:
    found = inside(quantized)

    assert [answer.title for answer in found.answers] == [
        "seed_cnn: why openvino-bf16 is faster than frozen",
        "seed_cnn: why frozen-int8 is slower than frozen",
    ]
    assert found.answers[0].sentences[0] == "openvino-bf16 is 3.58x faster than frozen"
    assert found.answers[0].columns[:4] == ("kind of work", "frozen", "openvino-bf16", "difference")
    assert {len(cells) for answer in found.answers for cells in answer.cells} == {7}
    assert found.problems == ()
    assert "Convolution 33 ms 8.35 ms -24.7 ms 83.0 %" in page_text(quantized)


def test_where_the_numbers_part_is_shown_with_its_tensors(quantized: RunDirectory) -> None:
    a, b = (cell_id(quantized, "mnist", name) for name in ("torch", "binarized"))
    found = Divergence(
        reference="torch", variant="binarized", against="torch", tolerance="cosine at least 0.98", batches=2,
        outputs=(_TENSOR,), worst=(_TENSOR,), words=("the first tensor outside the tolerance is conv1",),
    )  # fmt: skip
    write_explanation(quantized.path, "divergences", a, b, found)

    text = page_text(quantized)

    assert "mnist: where binarized leaves the numbers of torch" in text
    assert "/conv1/Conv_output_0 0.21 0.97000 yes Conv /conv1/Conv" in text


def test_an_answer_about_cells_of_another_run_is_left_out(quantized: RunDirectory) -> None:
    known = inside(quantized).answers
    (first, *_) = (quantized.path / "explanations").iterdir()
    first.with_name("other--cells.json").write_bytes(first.read_bytes())

    assert inside(quantized).answers == known


def test_a_damaged_explanation_is_named_and_the_page_is_made(quantized: RunDirectory) -> None:
    broken = next((quantized.path / "explanations").iterdir())
    broken.write_text("{")

    assert f"Not shown: {broken}: not a Explanation" in page_text(quantized)


def test_files_of_a_profile_are_linked_relative_to_the_page(quantized: RunDirectory) -> None:
    cell = cell_id(quantized, "digits", "onnx")
    write_profile(quantized, cell, ('a "b" <c>.json', "gone.csv/never"))

    (_, look) = inside(quantized).looks

    assert [(file.name, file.href) for file in look.files] == [
        ('a "b" <c>.json', f"profiles/{cell}/a%20%22b%22%20%3Cc%3E.json")
    ]
    body = write_html(quantized.path).read_text(encoding="utf-8").split("<main>")[1].split("<script")[0]
    links = re.findall(r'href="([^"#]+)"', body)
    assert f"profiles/{cell}/a%20%22b%22%20%3Cc%3E.json" in links
    assert all(link.startswith("profiles/") for link in links)


@pytest.mark.parametrize("path", ["../../run.json", "/etc/hostname"])
def test_a_profile_that_names_files_elsewhere_is_a_problem_and_links_nothing(
    path: str, quantized: RunDirectory
) -> None:
    home = quantized.path / "profiles" / cell_id(quantized, "digits", "onnx")
    home.mkdir()
    (home / "index.json").write_text(json.dumps({"files": [{"path": path, "what": ""}]}))

    found = inside(quantized)

    assert len(found.looks) == 1
    assert "lies outside of the profile" in found.problems[0]


@pytest.mark.parametrize("index", ["{", "[]", '{"files": [1]}', '{"files": null}'])
def test_a_damaged_index_is_named(index: str, quantized: RunDirectory) -> None:
    home = quantized.path / "profiles" / cell_id(quantized, "digits", "onnx")
    home.mkdir()
    (home / "index.json").write_text(index)

    assert inside(quantized).problems[0].startswith("profile of digits onnx: ")


def test_notes_are_numbered_footnotes_told_once_with_their_cells(quantized: RunDirectory) -> None:
    report = read_report(quantized.path)
    notes = {note.text: note for note in report.footnotes}

    unsigned = notes["no binary kernel is used: signs are computed as float32"]
    assert [section.model for section, _ in unsigned.cells] == ["seed_cnn", "mnist"]
    numbers = {row.variant: report.footnote_numbers(row) for row in report.sections[0].rows}
    assert numbers["binarized"] == (unsigned.number,)
    assert len(numbers["tensorrt-int8"]) == 2
    assert numbers["frozen"] == ()
    told = "no binary kernel is used: signs are computed as float32 seed_cnn: binarized; mnist: binarized"
    assert told in page_text(quantized)


def test_what_was_built_and_could_not_run_shows_size_time_of_building_and_why(quantized: RunDirectory) -> None:
    with (quantized.path / "table.txt").open("w", encoding="utf-8") as stream:
        print_run(quantized.path, stream)
    table = (quantized.path / "table.txt").read_text(encoding="utf-8")

    why = "was skipped: execution unavailable: no CUDA device on this machine"
    assert f"seed_cnn tensorrt-int8 (12.4 MB, built in 1 min 14 s): {why}" in table
    assert "no CUDA device is visible; the engine was built and never run\n    seed_cnn: tensorrt-int8" in table
    assert "its artifact: 12.4 MB; 1" not in page_text(quantized)
    assert "its artifact: 12.4 MB, built in 1 min 14 s; built by tensorrt_rtx 1.2.0 for sm_80, sm_89; no CUDA" in (
        page_text(quantized)
    )
    assert "tensorrt-int8 (12.4 MB, built in 1 min 14 s) was skipped" in write_markdown(quantized.path)


def test_accuracy_stands_beside_the_change_and_each_output_can_be_unfolded(quantized: RunDirectory) -> None:
    text = page_text(quantized)

    assert re.search(r"cosine 0\.9980 logits relative error 0\.02, largest error 0\.06, mean error 0\.01, cosine", text)
    assert "96.9 % [94.6–98.3] – 380 kB" in text
    assert "96.7 % [94.3–98.1] -0.3 [-1.6, +1.0] 110 kB" in text
