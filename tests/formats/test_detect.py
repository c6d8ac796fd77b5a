"""The format of a model is told from its name and its directory, without opening it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.artifact import FORMATS
from bench.core.errors import MatrixError
from bench.formats.detect import detect_format, split_callable


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.onnx", "onnx"),
        ("A.ONNX", "onnx"),
        ("graph.pb", "frozen_graph"),
        ("model.xml", "openvino_ir"),
        ("net.keras", "keras"),
        ("net.h5", "keras"),
        ("net.tflite", "tflite"),
        ("net.pt2", "exported_program"),
        ("net.ts", "torchscript"),
        ("imitation.json", "null"),
        ("with space $x 'q'.onnx", "onnx"),
    ],
)
def test_a_file_is_known_by_its_suffix(tmp_path: Path, name: str, format: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert detect_format(str(tmp_path / name)) == format
    assert format in FORMATS


@pytest.mark.parametrize(("marker", "format"), [("saved_model.pb", "saved_model"), ("module.json", "torch_module")])
def test_a_directory_is_known_by_the_file_it_holds(tmp_path: Path, marker: str, format: str) -> None:
    (tmp_path / marker).write_bytes(b"")
    assert detect_format(str(tmp_path)) == format


def test_a_callable_is_known_by_its_colon_and_needs_its_file(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("")
    assert detect_format(f"{tmp_path}/net.py:build") == "python_callable"
    assert split_callable("a/b.py:build") == (Path("a/b.py"), "build")
    assert split_callable("a/b.py:not an identifier") is None
    with pytest.raises(MatrixError, match="no such file"):
        detect_format(f"{tmp_path}/other.py:build")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("weights.pth", "torch.export"),
        ("script.pt", "name it model.ts"),
        ("model.py", "model.py:build"),
        ("model.bin", "known are"),
        ("saved_model.pb", "name the directory"),
    ],
)
def test_a_file_that_cannot_be_run_says_the_way_out(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(MatrixError) as caught:
        detect_format(str(tmp_path / name))
    assert words in (caught.value.hint or "")


@pytest.mark.parametrize("path", ["", "a\0b", "missing.onnx", "x" * 300 + ".onnx"])
def test_a_path_that_names_nothing_is_the_users_mistake(path: str) -> None:
    with pytest.raises(MatrixError):
        detect_format(path)


def test_a_directory_without_a_model_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(MatrixError, match=r"neither saved_model\.pb nor module\.json"):
        detect_format(str(tmp_path))
