"""An artifact is built once, is checked on every use, and is never half there."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.artifacts import Store, default_root, step_key
from bench.core.artifact import Artifact, Change, LineageStep, TensorSpec
from bench.core.cell import StepCall
from bench.core.contracts import StepResult
from bench.core.errors import HostError, StepFailed, StoreError
from bench.core.files import sha256_tree
from tests.examples.faults import before_operation, die_before_each_operation, fail_with

KEY = "0123abcd"
INPUTS = (TensorSpec(name="image", dtype="float32", shape=("batch", 8, 8, 1)),)
OUTPUTS = (TensorSpec(name="logits", dtype="float32", shape=("batch", 10), native="logits:0"),)
CHANGES = (Change(what="nodes", before=12, after=7),)
LINK = LineageStep(step="freeze", options=(("opset", 17),), source_id="ab" * 32, versions=(("onnx", "1.23"),))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def without_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Still an operation that can fail, but one that does not wait for the disk."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def result(path: Path) -> StepResult:
    return StepResult(format="onnx", path=path, inputs=INPUTS, outputs=OUTPUTS, changes=CHANGES)


def make(out_dir: Path) -> StepResult:
    """A model of two files, one of them in a directory of its own."""
    (out_dir / "data").mkdir()
    (out_dir / "data" / "weights.bin").write_bytes(b"weights" * 100)
    (out_dir / "model.onnx").write_bytes(b"model")
    return result(out_dir / "model.onnx")


def never(out_dir: Path) -> StepResult:
    raise AssertionError("built again")


def leftovers(store: Store) -> list[Path]:
    return [*(store.root / "tmp").iterdir(), *store.root.rglob(".*.tmp")]


def in_child(work: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class TestBuild:
    def test_what_was_made_is_kept_with_its_hash_signature_and_lineage(self, store: Store) -> None:
        source = replace(LINK, step="to_onnx", duration_s=3.0)
        built = store.build(KEY, make, lineage=(source, LINK))
        artifact = built.artifact
        content = store.root / "cas" / artifact.id / "content"
        assert built.fresh
        assert built.notes == ()
        assert artifact.path == str(content / "model.onnx")
        assert artifact.id == sha256_tree(content)
        assert (artifact.format, artifact.inputs, artifact.outputs) == ("onnx", INPUTS, OUTPUTS)
        assert artifact.size_bytes == 705
        assert artifact.lineage[0] == source
        assert artifact.lineage[1] == replace(LINK, changes=CHANGES, duration_s=artifact.lineage[1].duration_s)
        assert 0 < artifact.lineage[1].duration_s < 10
        assert leftovers(store) == []

    def test_it_is_made_once_also_for_a_later_process(self, store: Store) -> None:
        first = store.build(KEY, make, lineage=(LINK,))
        again = Store(store.root).build(KEY, never)
        assert again.artifact == first.artifact
        assert not again.fresh

    def test_equal_content_of_two_keys_is_kept_once_with_a_lineage_each(self, store: Store) -> None:
        one = store.build("one", make, lineage=(LINK,)).artifact
        two = store.build("two", make).artifact
        assert one.path == two.path
        assert (len(one.lineage), len(two.lineage)) == (1, 0)
        assert [path.name for path in (store.root / "cas").iterdir()] == [one.id]

    def test_files_are_read_only_and_can_be_deleted_with_their_directory(self, store: Store) -> None:
        path = Path(store.build(KEY, make).artifact.path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o444
        assert stat.S_IMODE(path.parent.stat().st_mode) & 0o200
        shutil.rmtree(store.root)

    def test_a_directory_can_be_the_model(self, store: Store) -> None:
        def make_directory(out_dir: Path) -> StepResult:
            (out_dir / "saved_model.pb").write_bytes(b"graph")
            return replace(result(out_dir), format="saved_model")

        artifact = store.build(KEY, make_directory).artifact
        assert (Path(artifact.path) / "saved_model.pb").read_bytes() == b"graph"
        assert store.build(KEY, never).artifact == artifact

    def test_a_step_with_nothing_to_change_may_answer_with_what_is_stored(self, store: Store) -> None:
        source = store.build("source", make).artifact
        same = store.build("same", lambda out_dir: result(Path(source.path)), lineage=(LINK,)).artifact
        assert (same.id, same.path, same.size_bytes) == (source.id, source.path, source.size_bytes)
        assert same.lineage[0].step == "freeze"
        assert store.build("same", never).artifact == same

    def test_a_failure_is_never_kept(self, store: Store) -> None:
        def fail(out_dir: Path) -> StepResult:
            (out_dir / "half").write_bytes(b"half")
            raise StepFailed("no such operator")

        with pytest.raises(StepFailed, match="no such operator"):
            store.build(KEY, fail)
        assert leftovers(store) == []
        assert not list((store.root / "cas").iterdir())
        assert store.build(KEY, make).fresh

    def test_an_os_error_of_the_build_is_not_taken_for_one_of_the_store(self, store: Store) -> None:
        with pytest.raises(FileNotFoundError):
            store.build(KEY, lambda out_dir: result(Path((out_dir / "absent").read_text())))

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (lambda out_dir: out_dir / "absent.onnx", "does not exist"),
            (lambda out_dir: Path("/etc/hostname"), "not in the directory it was given"),
            (lambda out_dir: out_dir / ".." / ".." / ".." / ".." / "outside", "not in the directory it was given"),
            (lambda out_dir: out_dir, "wrote no file"),
        ],
    )
    def test_an_answer_that_does_not_fit_is_a_failed_step(
        self, store: Store, answer: Callable[[Path], Path], message: str
    ) -> None:
        (store.root.parent / "outside").write_bytes(b"x")
        (store.root / "outside").write_bytes(b"x")
        with pytest.raises(StepFailed, match=message):
            store.build(KEY, lambda out_dir: result(answer(out_dir)))
        assert leftovers(store) == []

    @pytest.mark.parametrize("plant", [lambda path: path.symlink_to("/etc/passwd"), os.mkfifo])
    def test_a_link_or_special_file_is_a_failed_step(self, store: Store, plant: Callable[[Path], None]) -> None:
        def make_bad(out_dir: Path) -> StepResult:
            plant(out_dir / "weights")
            return make(out_dir)

        with pytest.raises(StepFailed, match="is a link or a special file"):
            store.build(KEY, make_bad)

    @pytest.mark.parametrize("key", ["", "../x", "a/b", "A", "x" * 129, ".hidden", "a\0", "a\n"])
    def test_a_key_is_never_a_path(self, store: Store, key: str) -> None:
        with pytest.raises(ValueError, match="not a key"):
            store.build(key, never)


class TestSite:
    """The same in two halves, for builds that run while others do."""

    def test_what_is_kept_is_found_by_the_next(self, store: Store) -> None:
        with store.site(KEY) as site:
            assert site.found is None
            assert list(site.out_dir.iterdir()) == []
            kept = site.keep(make(site.out_dir), lineage=(replace(LINK, duration_s=2.5),))
        assert kept.lineage == (replace(LINK, changes=CHANGES, duration_s=2.5),)
        with store.site(KEY) as site:
            assert site.found == kept
        assert store.build(KEY, never).artifact == kept

    def test_left_without_keep_there_is_nothing(self, store: Store) -> None:
        with store.site(KEY) as site:
            make(site.out_dir)
        assert leftovers(store) == []
        assert store.build(KEY, make).fresh

    def test_sites_of_several_keys_are_open_at_once(self, store: Store) -> None:
        with store.site("one") as one, store.site("two") as two:
            assert two.keep(make(two.out_dir)).id == one.keep(make(one.out_dir)).id
        assert leftovers(store) == []

    def test_where_the_artifact_was_found_there_is_nothing_to_build(self, store: Store) -> None:
        store.build(KEY, make)
        with store.site(KEY) as site, pytest.raises(ValueError, match="nothing to build"):
            site.keep(result(Path("/x")))


class TestDamage:
    @pytest.mark.parametrize("file", ["content/model.onnx", "content/data/weights.bin"])
    def test_a_flipped_byte_is_found_set_aside_and_built_again(self, store: Store, file: str) -> None:
        before = store.build(KEY, make).artifact
        damaged = store.root / "cas" / before.id / file
        damaged.chmod(0o644)
        damaged.write_bytes(b"X" + damaged.read_bytes()[1:])
        built = store.build(KEY, make)
        assert built.fresh
        assert replace(built.artifact, lineage=()) == before
        assert file.removeprefix("content/") in built.notes[0]
        (aside,) = (store.root / "quarantine").glob(f"{before.id}-*")
        assert (aside / file).read_bytes().startswith(b"X")
        assert store.build(KEY, never).artifact == built.artifact

    @pytest.mark.parametrize(
        "harm",
        [
            lambda content: (content / "model.onnx").unlink(),
            lambda content: (content / "extra").write_bytes(b"x"),
            lambda content: (content / "link").symlink_to("/etc/passwd"),
            shutil.rmtree,
            lambda content: shutil.rmtree(content.parent),
        ],
        ids=["file gone", "file more", "link", "content gone", "all gone"],
    )
    def test_any_other_harm_is_found_too(self, store: Store, harm: Callable[[Path], Any]) -> None:
        before = store.build(KEY, make).artifact
        harm(store.root / "cas" / before.id / "content")
        built = store.build(KEY, make)
        assert built.fresh
        assert built.notes
        assert built.artifact == before
        assert store.build(KEY, never).artifact == before

    @pytest.mark.parametrize(
        "content",
        [b"", b"{}", b"[" * 100_000, b'{"schema_version":7}'],
        ids=["empty", "no fields", "deep", "newer"],
    )
    def test_a_damaged_key_file_is_found_and_built_again(self, store: Store, content: bytes) -> None:
        before = store.build(KEY, make).artifact
        (store.root / "keys" / f"{KEY}.json").write_bytes(content)
        built = store.build(KEY, make)
        assert (built.artifact, built.fresh, len(built.notes)) == (before, True, 1)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("path", "../manifest.json"), ("path", "absent"), ("id", "../../x"), ("id", "0" * 64)],
    )
    def test_a_key_file_cannot_name_a_file_outside_of_its_content(self, store: Store, name: str, value: str) -> None:
        before = store.build(KEY, make).artifact
        path = store.root / "keys" / f"{KEY}.json"
        old = before.id if name == "id" else "model.onnx"
        path.write_text(path.read_text().replace(f'"{name}":"{old}"', f'"{name}":"{value}"', 1))
        built = store.build(KEY, make)
        assert (built.artifact, built.fresh, len(built.notes)) == (before, True, 1)

    def test_a_disk_error_names_the_store_and_the_way_out(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "fsync", lambda descriptor: fail_with(errno.ENOSPC)())
        with pytest.raises(StoreError, match="disk full") as full:
            store.build(KEY, make)
        assert full.value.hint is not None
        monkeypatch.undo()
        assert leftovers(store) == []
        assert store.build(KEY, make).fresh


class TestTwoRuns:
    def test_two_runs_build_once_and_the_other_waits(self, store: Store, tmp_path: Path) -> None:
        builds = tmp_path / "builds"

        def slow(out_dir: Path) -> StepResult:
            with open(builds, "ab") as stream:
                stream.write(b"x")
            time.sleep(0.3)
            return make(out_dir)

        def work() -> None:
            built = Store(store.root).build(KEY, slow)
            expected = built.fresh or any("waited" in note for note in built.notes)
            assert expected

        children = [in_child(work) for _ in range(3)]
        assert [wait(pid) for pid in children] == [0, 0, 0]
        assert builds.read_bytes() == b"x"
        assert leftovers(store) == []

    def test_equal_content_made_at_the_same_time_under_two_keys_is_accepted(self, store: Store) -> None:
        children = [in_child(partial(Store(store.root).build, f"key{n}", make)) for n in range(4)]
        assert [wait(pid) for pid in children] == [0, 0, 0, 0]
        assert len(list((store.root / "cas").iterdir())) == 1
        assert leftovers(store) == []

    def test_waiting_can_be_given_up(self, store: Store) -> None:
        reading, writing = os.pipe()

        def hold(out_dir: Path) -> StepResult:
            os.write(writing, b".")
            time.sleep(60)
            raise AssertionError("not killed")

        pid = in_child(lambda: store.build(KEY, hold))
        os.read(reading, 1)
        try:
            with pytest.raises(StoreError, match="stopped waiting"):
                store.build(KEY, never, give_up=lambda: True)
            # Nor does a store that is opened meanwhile take the work of the living for leftovers.
            Store(store.root)
            assert len(leftovers(store)) == 1
        finally:
            os.kill(pid, signal.SIGKILL)
            wait(pid)
            os.close(reading)
            os.close(writing)
        Store(store.root)
        assert leftovers(store) == []
        assert store.build(KEY, make).fresh


class TestFaults:
    def test_a_builder_killed_at_any_moment_leaves_a_whole_artifact_or_none(
        self, tmp_path: Path, without_fsync: None
    ) -> None:
        root = tmp_path / "store"
        deaths = 0
        for _ in die_before_each_operation(lambda: Store(root).build(KEY, make)):
            deaths += 1
            store = Store(root)
            assert leftovers(store) == []
            built = store.build(KEY, make)
            assert built.notes == ()
            assert sorted(path.name for path in Path(built.artifact.path).parent.iterdir()) == ["data", "model.onnx"]
            shutil.rmtree(root)
        assert deaths > 30

    def test_any_operation_may_fail_and_the_next_build_succeeds(self, tmp_path: Path, without_fsync: None) -> None:
        root = tmp_path / "store"
        for number in range(300):
            # OSError: from the build itself.
            suppressed = contextlib.suppress(StoreError, StepFailed, OSError)
            with before_operation(number, fail_with(errno.EIO)) as begun, suppressed:
                Store(root).build(KEY, make)
            if begun() <= number:
                break
            store = Store(root)
            built = store.build(KEY, make)
            assert Path(built.artifact.path).read_bytes() == b"model"
            assert leftovers(store) == []
            shutil.rmtree(root)
        assert number > 30


class TestDefaultRoot:
    def test_it_is_the_user_s_cache_or_what_they_say(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEPLOYBENCH_CACHE", str(tmp_path / "chosen"))
        assert default_root() == tmp_path / "chosen" / "artifacts"
        monkeypatch.delenv("DEPLOYBENCH_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert default_root() == tmp_path / "xdg" / "deploybench" / "artifacts"
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert default_root() == tmp_path / ".cache" / "deploybench" / "artifacts"

    def test_without_a_home_it_still_works(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DEPLOYBENCH_CACHE", raising=False)
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setenv("HOME", "/proc/nohome")
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        assert Store(default_root()).build(KEY, make).fresh

    def test_a_chosen_place_that_cannot_be_used_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEPLOYBENCH_CACHE", "/proc/nocache")
        with pytest.raises(HostError, match="DEPLOYBENCH_CACHE=/proc/nocache"):
            default_root()
        with pytest.raises(StoreError, match="/proc/nocache"):
            Store(Path("/proc/nocache"))


class TestStepKey:
    SOURCE = Artifact(
        id="ab" * 32,
        format="onnx",
        path="/one/model.onnx",
        size_bytes=5,
        inputs=INPUTS,
        outputs=OUTPUTS,
        lineage=(LINK,),
    )
    STEP = StepCall(name="freeze", options=(("opset", 17),))
    VERSIONS = (("onnx", "1.23"), ("numpy", "2.4"))

    def test_it_is_a_key_and_does_not_depend_on_place_history_or_order(self, store: Store) -> None:
        key = step_key(self.SOURCE, self.STEP, self.VERSIONS)
        moved = replace(self.SOURCE, path="/two/model.onnx", lineage=())
        assert step_key(moved, self.STEP, self.VERSIONS[::-1]) == key
        assert store.build(key, make).fresh

    def test_whatever_decides_the_result_changes_it(self) -> None:
        keys = {
            step_key(self.SOURCE, self.STEP, self.VERSIONS),
            step_key(replace(self.SOURCE, id="cd" * 32), self.STEP, self.VERSIONS),
            step_key(replace(self.SOURCE, format="keras"), self.STEP, self.VERSIONS),
            step_key(replace(self.SOURCE, path="/one/other.onnx"), self.STEP, self.VERSIONS),
            step_key(replace(self.SOURCE, inputs=OUTPUTS), self.STEP, self.VERSIONS),
            step_key(self.SOURCE, replace(self.STEP, name="strip"), self.VERSIONS),
            step_key(self.SOURCE, replace(self.STEP, options=(("opset", 18),)), self.VERSIONS),
            step_key(self.SOURCE, self.STEP, (("onnx", "1.24"), ("numpy", "2.4"))),
            step_key(self.SOURCE, self.STEP, self.VERSIONS, examples_sha256="ef" * 32),
        }
        assert len(keys) == 9
