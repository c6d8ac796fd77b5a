from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from bench.core.cache import cache_root
from bench.core.errors import HostError


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DEPLOYBENCH_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


def _unusable(tmp_path: Path) -> Path:
    """A path below a file cannot be made, not even by root."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "below"


def test_the_own_variable_comes_first_then_xdg_then_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_root() == tmp_path / "home" / ".cache" / "deploybench"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "xdg" / "deploybench"
    monkeypatch.setenv("DEPLOYBENCH_CACHE", str(tmp_path / "own"))
    assert cache_root() == tmp_path / "own"
    assert cache_root().is_dir()


def test_a_relative_xdg_directory_is_ignored_as_its_specification_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
    assert cache_root() == tmp_path / "home" / ".cache" / "deploybench"


def test_an_unusable_own_variable_is_an_error_and_never_replaced_in_silence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DEPLOYBENCH_CACHE", str(_unusable(tmp_path)))
    with pytest.raises(HostError, match="DEPLOYBENCH_CACHE="):
        cache_root()


def test_an_unusable_home_gives_a_private_temporary_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(_unusable(tmp_path)))
    root = cache_root()
    assert root == tmp_path / "tmp" / f"deploybench-{os.getuid()}"
    assert root.stat().st_mode & 0o777 == 0o700
    assert cache_root() == root


@pytest.mark.parametrize("trap", ["open to others", "a link"])
def test_a_temporary_directory_that_others_could_have_laid_out_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trap: str
) -> None:
    monkeypatch.setenv("HOME", str(_unusable(tmp_path)))
    directory = tmp_path / "tmp" / f"deploybench-{os.getuid()}"
    if trap == "a link":
        directory.symlink_to(tmp_path)
    else:
        directory.mkdir()
        directory.chmod(0o777)
    with pytest.raises(HostError, match="not a private directory"):
        cache_root()
