"""What is seen of a Keras archive before Keras opens it; no framework is needed to make one, or to refuse it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from bench.core.errors import RefusedError, TargetError
from bench.formats.archives import require_plausible_archive
from bench.formats.keras_archive import require_no_code
from tests.runner import hostile_files


def test_an_archive_of_its_own_size_is_plausible_and_a_bomb_is_told_by_its_sizes(tmp_path: Path) -> None:
    require_plausible_archive(hostile_files.keras_pickled_weights(tmp_path), "keras")
    with pytest.raises(TargetError, match=r"40 GB are packed into 38\.9 MB"):
        require_plausible_archive(hostile_files.keras_zip_bomb(tmp_path), "keras")


def test_small_files_may_compress_well(tmp_path: Path) -> None:
    path = tmp_path / "zeros.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(50_000_000))
    assert path.stat().st_size * 100 < 50_000_000
    require_plausible_archive(path, "keras")


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"no archive at all"])
def test_what_is_no_archive_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.keras").write_bytes(content)
    with pytest.raises(TargetError, match="no zip archive"):
        require_plausible_archive(tmp_path / "m.keras", "keras")


def test_python_code_is_refused_however_deep_it_lies(tmp_path: Path) -> None:
    require_no_code(hostile_files.keras_pickled_weights(tmp_path))
    with pytest.raises(RefusedError, match="Python code in a Lambda layer"):
        require_no_code(hostile_files.keras_lambda(tmp_path))
    nested = '{"class_name": "Functional", "config": {"layers": [{"config": {"f": {"class_name": "__lambda__"}}}]}}'
    with zipfile.ZipFile(tmp_path / "nested.keras", "w") as archive:
        archive.writestr("config.json", nested)
    with pytest.raises(RefusedError, match="Python code in a Lambda layer"):
        require_no_code(tmp_path / "nested.keras")


def test_a_class_of_another_module_is_refused_unless_it_is_registered(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="the class 'mkdir' of the module 'os'"):
        require_no_code(hostile_files.keras_foreign_class(tmp_path))
    with zipfile.ZipFile(tmp_path / "mine.keras", "w") as archive:
        archive.writestr("config.json", '{"class_name": "Mine", "module": "mine", "registered_name": "mine>Mine"}')
    require_no_code(tmp_path / "mine.keras")


@pytest.mark.parametrize("content", ["{", '"' + "[" * 100_000])
def test_a_damaged_configuration_is_said_to_be_one(tmp_path: Path, content: str) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", content.strip('"'))
    with pytest.raises(TargetError, match=r"config\.json"):
        require_no_code(tmp_path / "m.keras")
