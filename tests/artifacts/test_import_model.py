"""A user's model is copied, the copy is hashed, and only files beside it come along."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.artifacts import Store, plain_files
from bench.core.errors import RefusedError, StoreError, TargetError
from bench.core.files import sha256_tree
from tests.examples.faults import die_before_each_operation


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "mine"
    directory.mkdir()
    (directory / "model.onnx").write_bytes(b"model" * 1000)
    (directory / "weights.bin").write_bytes(b"weights" * 1000)
    (directory / "secret.txt").write_bytes(b"secret")
    return directory / "model.onnx"


@pytest.fixture
def without_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Still an operation that can fail, but one that does not wait for the disk."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def content(store: Store) -> list[str]:
    return sorted(
        path.relative_to(store.root / "cas").as_posix().partition("/content/")[2]
        for path in (store.root / "cas").rglob("*")
        if path.is_file() and "content" in path.parts
    )


def test_the_copy_is_what_is_hashed_and_used(store: Store, model: Path) -> None:
    stored = store.import_model(model)
    assert stored.path.is_relative_to(store.root)
    assert stored.path.read_bytes() == model.read_bytes()
    assert stored.sha256 == hashlib.sha256(b"model" * 1000).hexdigest()
    assert stored.size_bytes == 5000
    assert stored.notes == ()
    assert content(store) == ["model.onnx"]


def test_a_model_that_changes_after_it_was_hashed_changes_nothing(store: Store, model: Path) -> None:
    stored = store.import_model(model)
    with open(model, "r+b") as stream:  # in place: a copy that shared the file would change with it
        stream.write(b"EVIL!")
    assert stored.path.read_bytes() == b"model" * 1000
    changed = store.import_model(model)
    assert changed.sha256 != stored.sha256
    assert changed.path != stored.path
    assert stored.path.read_bytes() == b"model" * 1000


@pytest.mark.parametrize(("mode", "size_bytes"), [("ab", 5004), ("r+b", 5000)])
def test_a_model_that_changes_while_it_is_copied_is_refused(
    store: Store, model: Path, mode: str, size_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(model, ns=(0, 0))  # file times are coarse: a change right after the file was made might not show
    real_copy = os.copy_file_range

    def copy_and_change(*arguments: int) -> int:
        with open(model, mode) as stream:
            stream.write(b"more")
        return real_copy(*arguments)

    monkeypatch.setattr(os, "copy_file_range", copy_and_change)
    with pytest.raises(StoreError, match="changed while it was copied"):
        store.import_model(model)
    monkeypatch.undo()
    assert content(store) == []
    assert store.import_model(model).size_bytes == size_bytes


def test_the_same_model_is_kept_once(store: Store, model: Path, tmp_path: Path) -> None:
    elsewhere = shutil.copytree(model.parent, tmp_path / "elsewhere") / "model.onnx"
    assert store.import_model(model) == store.import_model(elsewhere)
    assert len(list((store.root / "cas").iterdir())) == 1


def test_a_damaged_copy_is_set_aside_and_copied_again(store: Store, model: Path) -> None:
    stored = store.import_model(model)
    stored.path.chmod(0o644)
    stored.path.write_bytes(b"damage")
    again = store.import_model(model)
    assert again.path.read_bytes() == model.read_bytes()
    assert "model.onnx" in again.notes[0]


def test_where_the_kernel_cannot_copy_ranges_the_bytes_are_copied(
    store: Store, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*arguments: int) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", cannot)
    monkeypatch.setattr(plain_files, "_COPY_BYTES", 999)
    assert store.import_model(model).path.read_bytes() == model.read_bytes()


class TestNames:
    @pytest.mark.parametrize("name", ["with space.onnx", "quote'\".onnx", "$HOME.onnx", "模型.onnx", "n" * 255, "-x"])
    def test_any_name_works(self, store: Store, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(b"x")
        stored = store.import_model(tmp_path / name)
        assert (stored.path.name, stored.path.read_bytes()) == (name, b"x")

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        name=st.text(
            st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60
        ).filter(lambda name: name not in (".", ".."))
    )
    def test_every_name_that_a_file_can_have_works(
        self, store: Store, tmp_path: Path, without_fsync: None, name: str
    ) -> None:
        directory = tmp_path / "any"
        directory.mkdir(exist_ok=True)
        (directory / name).write_bytes(b"x")
        assert store.import_model(directory / name).path.name == name
        shutil.rmtree(directory)

    def test_a_name_that_is_not_utf_8_is_refused_before_anything_is_read(self, store: Store, tmp_path: Path) -> None:
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.onnx"))
        path.write_bytes(b"x")
        with pytest.raises(StoreError, match="not valid UTF-8"):
            store.import_model(path)


class TestDirectories:
    def test_a_directory_is_copied_whole(self, store: Store, tmp_path: Path) -> None:
        source = tmp_path / "saved"
        (source / "variables").mkdir(parents=True)
        (source / "saved_model.pb").write_bytes(b"graph")
        (source / "variables" / "data").write_bytes(b"values")
        stored = store.import_model(source)
        assert (stored.path / "variables" / "data").read_bytes() == b"values"
        assert stored.sha256 == sha256_tree(source)

    def test_a_link_inside_is_refused(self, store: Store, tmp_path: Path) -> None:
        source = tmp_path / "saved"
        source.mkdir()
        (source / "assets").symlink_to("/etc")
        with pytest.raises(RefusedError, match="assets is a link"):
            store.import_model(source)
        assert content(store) == []

    def test_the_named_path_itself_may_be_a_link(self, store: Store, model: Path, tmp_path: Path) -> None:
        (tmp_path / "link.onnx").symlink_to(model)
        (tmp_path / "link").symlink_to(model.parent)
        assert store.import_model(tmp_path / "link.onnx").path.name == "link.onnx"
        assert (store.import_model(tmp_path / "link").path / "weights.bin").is_file()


class TestMembers:
    def test_only_the_files_that_are_named_come_along(self, store: Store, model: Path) -> None:
        (model.parent / "deep").mkdir()
        (model.parent / "deep" / "more.bin").write_bytes(b"more")
        members = ["weights.bin", "./weights.bin", "deep/more.bin", "model.onnx"]
        stored = store.import_model(model, members)
        assert content(store) == ["deep/more.bin", "model.onnx", "weights.bin"]
        assert stored.size_bytes == 5000 + 7000 + 4
        assert stored.sha256 == hashlib.sha256(model.read_bytes()).hexdigest()

    @pytest.mark.parametrize("member", ["/etc/passwd", "../outside", "deep/../../outside", "", "x\0y", ".."])
    def test_a_path_that_leads_away_is_refused(self, store: Store, model: Path, tmp_path: Path, member: str) -> None:
        (tmp_path / "outside").write_bytes(b"outside")
        with pytest.raises(RefusedError, match="not a file beside it"):
            store.import_model(model, [member])
        assert content(store) == []

    @pytest.mark.parametrize("target", ["/etc/passwd", "secret.txt", "weights.bin"])
    def test_a_link_is_refused_wherever_it_leads(self, store: Store, model: Path, target: str) -> None:
        (model.parent / "link.bin").symlink_to(target)
        with pytest.raises(RefusedError, match=r"link\.bin is a link"):
            store.import_model(model, ["link.bin"])
        (model.parent / "dir").symlink_to(model.parent)
        with pytest.raises(RefusedError, match="lies behind one"):
            store.import_model(model, ["dir/weights.bin"])

    def test_a_fifo_is_refused_without_waiting_for_its_writer(self, store: Store, model: Path) -> None:
        os.mkfifo(model.parent / "pipe")
        with pytest.raises(RefusedError, match="not a plain file"):
            store.import_model(model, ["pipe"])

    def test_a_missing_file_is_named(self, store: Store, model: Path) -> None:
        with pytest.raises(TargetError, match=r"absent\.bin: cannot be read: No such file"):
            store.import_model(model, ["absent.bin"])
        with pytest.raises(TargetError, match=r"absent\.onnx: cannot be read: No such file"):
            store.import_model(model.parent / "absent.onnx")

    def test_a_device_is_refused(self, store: Store) -> None:
        with pytest.raises(RefusedError, match="/dev/zero is not a plain file"):
            store.import_model(Path("/dev/zero"))


def test_an_import_killed_at_any_moment_leaves_a_whole_copy_or_none(
    store: Store, model: Path, without_fsync: None
) -> None:
    for _ in die_before_each_operation(lambda: store.import_model(model, ["weights.bin"])):
        again = Store(store.root)
        assert list((store.root / "tmp").iterdir()) == []
        stored = again.import_model(model, ["weights.bin"])
        assert stored.notes == ()
        assert (stored.path.parent / "weights.bin").read_bytes() == b"weights" * 1000
        shutil.rmtree(store.root)
        Store(store.root)
