"""The compiler that torch's Inductor is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.formats.torch_inductor import compiler_blockers


def test_the_compiler_is_the_one_that_workers_find_whatever_the_shell_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("g++", "clang++"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("CXX", "not-there")
    assert compiler_blockers() == []
    monkeypatch.setenv("CXX", "clang++")
    (tmp_path / "g++").unlink()
    assert "apt install g++" in compiler_blockers()[0]
