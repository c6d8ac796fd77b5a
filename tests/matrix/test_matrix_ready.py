"""The matrices that come with the program, the schema for editors, and what loading costs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from bench.core import plugins
from bench.core.artifact import FORMATS
from bench.core.cell import Measurement, Tolerance
from bench.matrix import load, matrix_for_model, schema
from bench.matrix.checks import check_chain
from bench.matrix.schema import MatrixFile, MeasurementSection, ToleranceSection
from bench.matrix.shapes import words
from bench.matrix.standard import standard_variants

ROOT = Path(__file__).parents[2]
READY = sorted((ROOT / "matrices").glob("*.yaml"))


@pytest.mark.parametrize("file", READY, ids=lambda file: file.stem)
def test_every_ready_matrix_loads_and_is_named_after_its_file(file: Path) -> None:
    matrix = load(file)
    assert matrix.name == file.stem
    compares_topologies = len({group.reference.topology for group in matrix.groups}) > 1
    assert compares_topologies or all(len(group.cells) > 1 for group in matrix.groups)


def test_the_default_matrix_covers_four_models_three_frameworks_float_and_quantized() -> None:
    cells = list(load(ROOT / "matrices/default.yaml").cells)
    assert 16 <= len(cells) <= 20
    assert {cell.model.name for cell in cells} == {"seed_cnn", "digits", "basic_pitch", "minilm"}
    assert {cell.variant.adapter for cell in cells} == {"tensorflow", "torch", "onnxruntime"}
    steps = {step.name for cell in cells for step in cell.variant.steps}
    assert {"quantize_weights", "quantize_dynamic"} <= steps
    assert {(cell.batch, cell.limits.threads) for cell in cells} == {(1, 1)}


def test_the_quantized_matrix_compares_every_track_on_labelled_and_unlabelled_models() -> None:
    cells = list(load(ROOT / "matrices/quantized.yaml").cells)
    assert len(cells) >= 40
    assert {cell.model.name for cell in cells} == {"seed_cnn", "digits", "mnist", "basic_pitch", "minilm"}
    adapters = {"tensorflow", "torch", "torchscript", "aot_inductor", "onnxruntime", "openvino", "litert", "tensorrt"}
    assert {cell.variant.adapter for cell in cells} == adapters
    assert {"prune", "distill", "binarize"} <= {step.name for cell in cells for step in cell.variant.steps}


def test_the_frameworks_matrix_compares_five_batch_sizes_and_the_text_matrix_three_lengths() -> None:
    frameworks = list(load(ROOT / "matrices/frameworks.yaml").cells)
    assert {cell.batch for cell in frameworks} == {1, 8, 16, 32, 64}
    text = load(ROOT / "matrices/text.yaml")
    assert {cell.dimensions[0].values for cell in text.cells} == {(16,), (64,), (256,)}


def test_the_null_matrix_has_twenty_cells_in_several_groups() -> None:
    matrix = load(ROOT / "matrices/null.yaml")
    assert (len(matrix.groups), sum(1 for _ in matrix.cells)) == (5, 20)
    assert {cell.variant.adapter for cell in matrix.cells} == {"null"}


def test_every_standard_variant_fits_together_from_every_source() -> None:
    for name, variant in standard_variants().items():
        for source, steps in variant.ways.items():
            chain = [words(step)[0] for step in steps]
            assert set(chain) <= set(plugins.table("steps")), name
            assert check_chain(source, chain, words(variant.adapter)[0]) is None, (name, source)


def test_every_format_has_a_standard_variant_that_runs_it_unmodified() -> None:
    unmodified = {
        source for variant in standard_variants().values() for source, steps in variant.ways.items() if not steps
    }
    assert unmodified == set(FORMATS)


def test_the_sections_know_every_field_with_the_usual_value() -> None:
    assert MeasurementSection().model_dump() == {each.name: each.default for each in fields(Measurement)}
    assert ToleranceSection().model_dump() == {each.name: each.default for each in fields(Tolerance)}


def test_the_schema_in_the_documentation_is_current() -> None:
    stored = json.loads((ROOT / "docs/reference/matrix.schema.json").read_text())
    assert stored == schema(), "write it again: python -m bench schema > docs/reference/matrix.schema.json"


def test_the_reference_page_names_every_key_and_every_standard_variant() -> None:
    page = (ROOT / "docs/reference/matrix.md").read_text()
    keys = {key for node in (schema(), *schema()["$defs"].values()) for key in node.get("properties", ())}
    missing = [key for key in sorted(keys | set(standard_variants())) if f"`{key}`" not in page]
    assert not missing
    assert len(MatrixFile.model_fields) == len(schema()["properties"])


def test_loading_imports_no_framework_and_no_numpy() -> None:
    code = (
        "import sys; from bench.matrix import load; load('matrices/default.yaml'); load('matrices/null.yaml');"
        "heavy = 'numpy tensorflow torch onnx onnxruntime keras pandas scipy'.split();"
        "print(*[name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_one_model_can_be_named_for_every_model_of_the_zoo() -> None:
    for name in plugins.table("models"):
        assert matrix_for_model(name).groups[0].reference.model.name == name
