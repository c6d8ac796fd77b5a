"""Fetching the packages of onnx2tf: all of them, or a plain refusal and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters import onnx2tf_packages


def test_without_an_index_the_refusal_names_the_command_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEPLOYBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    assert onnx2tf_packages.main() == 3
    assert "onnx_to_saved_model is blocked: pip could not install onnx2tf" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "packages").iterdir() if not path.name.endswith(".lock")] == []
    assert not onnx2tf_packages.is_fetched()


def test_what_is_there_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for name in ("onnx2tf", "onnx_graphsurgeon", "sne4onnx", "sng4onnx"):
        (onnx2tf_packages.directory() / name).mkdir(parents=True)
    assert not onnx2tf_packages.is_fetched()
    (onnx2tf_packages.directory() / "tf_keras").mkdir()
    assert onnx2tf_packages.fetch() == onnx2tf_packages.directory()
