"""Models of every format tell what they take; damaged ones end in one line; hard ones end as what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.adapters.inspect_child import CUTS
from tests.conformance.adapter_cases import CASES, FEATURES
from tests.conformance.isolated import call_isolated

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

CHILD = "tests.adapters.inspect_child"
WIDE, NARROW = ["batch", FEATURES], ["batch"]


def isolated(function: str, directory: Path, **arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = call_isolated(f"{CHILD}:{function}", directory=directory, timeout_s=110, **arguments)
    return found


def test_tensorflow_formats_tell_their_signature(tmp_path: Path) -> None:
    assert isolated("signatures", tmp_path, names=["saved_model", "frozen_graph", "keras"]) == {
        "saved_model": [
            [["l", "float32", WIDE, "l"], ["r", "float32", WIDE, "r"]],
            [["p", "float32", WIDE, "p"], ["t", "float32", NARROW, "t"]],
        ],
        "frozen_graph": [
            [["l", "float32", WIDE, "l:0"], ["r", "float32", WIDE, "r:0"]],
            [["Identity", "float32", WIDE, "Identity:0"], ["Identity_1", "float32", NARROW, "Identity_1:0"]],
        ],
        "keras": [
            [["k_right", "float32", WIDE, "k_right"], ["k_left", "float32", WIDE, "k_left"]],
            [["k_total", "float32", NARROW, "k_total"], ["k_product", "float32", WIDE, "k_product"]],
        ],
    }


def test_tensorflow_lite_tells_the_names_of_its_signature_else_of_its_tensors(tmp_path: Path) -> None:
    assert isolated("signatures", tmp_path, names=["tflite"])["tflite"] == [
        [["l", "float32", WIDE, "l"], ["r", "float32", WIDE, "r"]],
        [["Identity", "float32", WIDE, "Identity"], ["Identity_1", "float32", NARROW, "Identity_1"]],
    ]
    (tmp_path / "named").mkdir()
    inputs, outputs = isolated("tflite_with_a_signature", tmp_path / "named")["found"]
    assert [entry[:3] for entry in (*inputs, *outputs)] == [
        ["l", "float32", WIDE],
        ["r", "float32", WIDE],
        ["p", "float32", WIDE],
        ["t", "float32", NARROW],
    ]


def test_openvino_ir_tells_its_signature(tmp_path: Path) -> None:
    assert isolated("signatures", tmp_path, names=["openvino_ir"])["openvino_ir"] == [
        [["in/left", "float32", WIDE, "in/left"], ["in/right", "float32", WIDE, "in/right"]],
        [["out:product", "float32", WIDE, "out:product"], ["out:total", "float32", NARROW, "out:total"]],
    ]


def test_torch_formats_tell_their_signature(tmp_path: Path) -> None:
    found = isolated("signatures", tmp_path, names=["exported_program", "python_callable"])
    inputs = [["left", "float32", WIDE, "left"], ["right", "float32", WIDE, "right"]]
    assert found["exported_program"] == [
        inputs,
        [["output_0", "float32", WIDE, "output_0"], ["output_1", "float32", NARROW, "output_1"]],
    ]
    assert found["python_callable"] == [
        inputs,
        [["t", "float32", NARROW, "t"], ["p", "float32", WIDE, "p"]],
    ]


def test_a_users_function_is_probed_for_its_outputs_or_told_what_is_wrong(tmp_path: Path) -> None:
    found = isolated("user_code", tmp_path)
    assert found["dynamic"][1] == [
        ["output_0", "float32", ["batch", "time"], "output_0"],
        ["output_1", "float32", ["batch", "time"], "output_1"],
    ]
    assert found["keyed"][1] == [["scores", "float32", ["batch", 2], "scores"]]
    for name, words in {
        "undeclared": "does not say what its model takes",
        "syntax": "cannot be imported",
        "other_name": "defines no function 'build'",
        "raises": "no such disk",
        "no_model": "not a readable python_callable model",
    }.items():
        assert words in str(found[name])
        assert "\n" not in str(found[name])


def test_ids_of_tensorflow_models_are_kept_within_their_tables(tmp_path: Path) -> None:
    tables = {"words": 40, "kinds": 3}
    assert isolated("tables", tmp_path) == {
        "keras": tables,
        "saved_model": tables,
        "frozen_graph": tables,
        "without": {},
    }


@pytest.mark.parametrize(
    "names",
    [["onnx"], ["saved_model", "frozen_graph", "keras"], ["tflite"], ["openvino_ir"], ["exported_program"]],
    ids=lambda names: names[0],
)
def test_a_damaged_file_is_told_in_one_line_with_format_and_path(tmp_path: Path, names: list[str]) -> None:
    for name, said in isolated("damaged", tmp_path, names=names).items():
        format = CASES[name].format
        assert len(said) == CUTS + 4
        for damage, message in said.items():
            assert message, f"{name} {damage} was taken"
            assert not message.startswith("LEAKED"), message
            assert "\n" not in message
            assert len(message) < 600
            assert str(tmp_path) in message
            assert format in message or "frozen graph" in message or "exported program" in message, message


def test_an_adapter_says_in_one_line_what_it_cannot_open(tmp_path: Path) -> None:
    """Files that were whole when they were inspected, and then lost their end."""
    vital = {
        "saved_model": "variables/variables.data-00000-of-00001",
        "onnx": "",
        "keras": "",
        "frozen_graph": "",
        "tflite": "",
        "exported_program": "",
        "torch_module": "weights.safetensors",
    }
    (tmp_path / "models").mkdir()
    paths = call_isolated(
        "tests.conformance.adapter_checks:build", directory=tmp_path / "models", timeout_s=110, names=list(vital)
    )
    for name, member in vital.items():
        file = Path(paths[name], member) if member else Path(paths[name])
        file.write_bytes(file.read_bytes()[:100])
    for name, message in isolated("opened", tmp_path, paths=paths).items():
        assert str(message).startswith(paths[name]), f"{name}: {message}"
        assert "\n" not in str(message)


def test_nan_is_passed_on_noise_is_noise_and_a_bomb_is_out_of_memory(tmp_path: Path) -> None:
    found = isolated("hard_onnx", tmp_path)
    assert found["logarithm"] == ["nan", "0.0", "-inf"]
    assert found["random_differs"]
    assert "Failed to allocate memory" in found["bomb"]["memory"]
