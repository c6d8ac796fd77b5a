"""The same network tells the same story in each format, as far as the formats keep it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import inspect
from bench.core.errors import TargetError
from tests.conformance.isolated import call_isolated

_LAYER = '<layer id="{id}" name="{name}" type="{kind}" version="opset1">{data}{ports}</layer>'


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_keras_saved_model_frozen_graph_and_tflite_agree(tmp_path: Path) -> None:
    found = call_isolated("tests.inspect.inspected:tensorflow_formats", directory=tmp_path, timeout_s=200)
    structures = {format: told["structure"] for format, told in found.items()}
    works = {format: structures[format]["work"]["operations"] for format in ("keras", "saved_model", "frozen_graph")}
    assert len(set(works.values())) == 1
    # 10x10 outputs of 3x3x3 products in 32 channels, 8x8 of 3x3x32 in 32, then 32x64 and 64x10.
    assert structures["tflite"]["work"]["operations"] == 100 * 32 * 27 + 64 * 32 * 288 + 32 * 64 + 64 * 10
    assert {format: told["products"] for format, told in structures.items()} == dict.fromkeys(structures, 4)
    (weights,) = structures["keras"]["weights"]
    assert weights["values"] == 27 * 32 + 288 * 32 + 2 * 32 + 2 * 4 * 32 + 32 * 64 + 64 + 64 * 10 + 10
    assert {entry["operator"] for entry in structures["saved_model"]["operators"]}.isdisjoint({"PartitionedCall"})
    for format in found:
        assert len(list((tmp_path / format / "logs").iterdir())) == 1


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_products_that_tensorflow_has_no_count_for_are_named(tmp_path: Path) -> None:
    structure = call_isolated("tests.inspect.inspected:keras_attention", directory=tmp_path, timeout_s=100)["structure"]
    assert structure["work"]["operations"] >= 2 * 6 * 8 * 3
    assert structure["work"]["basis"].endswith("; not counted: Einsum")
    assert structure["products"] == 2


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_products_in_the_body_of_a_loop_are_named(tmp_path: Path) -> None:
    structure = call_isolated("tests.inspect.inspected:frozen_loop", directory=tmp_path, timeout_s=100)["structure"]
    assert structure["work"]["basis"].endswith("; not counted: MatMul inside a function")
    assert structure["work"]["operations"] >= 2 * 4 * 4
    assert structure["products"] == 2


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_exported_program_tells_operators_weights_and_pytorchs_own_count(tmp_path: Path) -> None:
    structure = call_isolated("tests.inspect.inspected:exported_program", directory=tmp_path, timeout_s=100)[
        "structure"
    ]
    assert structure["work"]["operations"] == 2 * (6 * 6 * 5 * 18 + 7 * 180)
    assert "FlopCounterMode" in structure["work"]["basis"]
    assert structure["products"] == 2
    assert structure["weights"] == [{"dtype": "float32", "values": 1362, "size_bytes": 5448}]


def ports(*shapes: str, side: str) -> str:
    dims = ["".join(f"<dim>{size}</dim>" for size in shape.split()) for shape in shapes]
    return f"<{side}>" + "".join(f'<port id="{n}">{dim}</port>' for n, dim in enumerate(dims)) + f"</{side}>"


def read_ir(path: Path, content: str) -> inspect.Structure:
    path.write_text(content)
    return inspect.read("openvino_ir", inspect.Subject(path=path, inputs=(), outputs=(), load=lambda: None))


def test_an_openvino_ir_is_read_without_openvino(tmp_path: Path) -> None:
    layers = [
        ("0", "x", "Parameter", '<data shape="?,4" element_type="f32"/>', ports("-1 4", side="output")),
        ("1", "w", "Const", '<data element_type="i8" shape="4, 3" offset="0" size="12"/>', ports("4 3", side="output")),
        ("2", "fq", "FakeQuantize", "", ports("-1 4", side="input") + ports("-1 4", side="output")),
        ("3", "mm", "MatMul", "", ports("-1 4", "4 3", side="input") + ports("-1 3", side="output")),
    ]
    names = ("id", "name", "kind", "data", "ports")
    body = "".join(_LAYER.format(**dict(zip(names, layer, strict=True))) for layer in layers)
    edges = "".join(f'<edge from-layer="{a}" to-layer="{b}"/>' for a, b in (("0", "2"), ("2", "3"), ("1", "3")))
    found = read_ir(
        tmp_path / "m.xml",
        f'<net name="m" version="11"><layers>{body}</layers><edges>{edges}</edges>'
        '<rt_info><Runtime_version value="2026.4"/></rt_info></net>',
    )
    assert found.work.operations == 3 * 4
    assert (found.products, found.products_on_8_bit) == (1, 1)
    assert found.weights == (inspect.Weights(dtype="int8", values=12, size_bytes=12),)
    assert dict(found.facts) == {"IR version": "11", "Runtime_version": "2026.4"}


@pytest.mark.parametrize(
    ("content", "says"),
    [("<net>", "not a readable"), ("<!DOCTYPE net><net/>", "document type"), ("<net><layer/></net>", "not a readable")],
)
def test_a_damaged_or_hostile_ir_is_refused(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(TargetError, match=says):
        read_ir(tmp_path / "m.xml", content)
