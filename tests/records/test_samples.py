"""Samples come back exactly, or not at all."""

from __future__ import annotations

import errno
import hashlib
import io
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.core.block import Block, Counters
from bench.core.errors import StoreError
from bench.core.results import SamplesRef
from bench.records import read_samples, samples, write_samples
from tests.examples.faults import before_operation, die_before_each_operation, fail_with
from tests.examples.records import make_blocks

numbers = st.integers(0, 2**63 - 1)
counters = st.builds(Counters, **dict.fromkeys(Counters.__dataclass_fields__, numbers))
blocks = st.builds(
    Block,
    round=st.integers(0, 1000),
    index=st.integers(0, 1000),
    latencies_ns=st.lists(numbers, max_size=5).map(tuple),
    settling_calls=st.integers(0, 5),
    wall_ns=numbers,
    counters=counters,
)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    (tmp_path / "samples").mkdir()
    return tmp_path


def store(run_dir: Path, content: bytes) -> SamplesRef:
    (run_dir / "samples" / "x.npz").write_bytes(content)
    return SamplesRef(path="samples/x.npz", sha256=hashlib.sha256(content).hexdigest(), calls=0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(st.lists(blocks, max_size=3).map(tuple), max_size=3).map(tuple))
def test_any_blocks_come_back_exactly(run_dir: Path, rounds: tuple[tuple[Block, ...], ...]) -> None:
    assert read_samples(run_dir, write_samples(run_dir, "cell", rounds)) == rounds


def test_the_reference_says_where_and_how_many(run_dir: Path) -> None:
    samples_ref = write_samples(run_dir, "digits.onnx.b1.0a1b2c3d", make_blocks(rounds=2, blocks=3, calls=20))
    assert samples_ref.path == f"samples/digits.onnx.b1.0a1b2c3d.{samples_ref.sha256[:8]}.npz"
    assert samples_ref.calls == 120
    assert [path.name for path in (run_dir / "samples").iterdir()] == [Path(samples_ref.path).name]


def test_samples_of_an_earlier_attempt_stay(run_dir: Path) -> None:
    first = write_samples(run_dir, "cell", make_blocks(seed=1))
    second = write_samples(run_dir, "cell", make_blocks(seed=2))
    assert read_samples(run_dir, first) == make_blocks(seed=1)
    assert read_samples(run_dir, second) == make_blocks(seed=2)


def test_two_thousand_calls_take_less_than_twelve_kilobytes(run_dir: Path) -> None:
    samples_ref = write_samples(run_dir, "cell", make_blocks(rounds=5, blocks=10, calls=40))
    assert samples_ref.calls == 2000
    assert (run_dir / samples_ref.path).stat().st_size < 12_000


def test_a_flipped_bit_anywhere_is_noticed(run_dir: Path) -> None:
    samples_ref = write_samples(run_dir, "cell", make_blocks(rounds=1, blocks=1, calls=2))
    path = run_dir / samples_ref.path
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(StoreError, match="sha256 differs"):
            read_samples(run_dir, samples_ref)


def test_missing_samples_are_named(run_dir: Path) -> None:
    with pytest.raises(StoreError, match=r"samples/gone\.npz: samples cannot be read"):
        read_samples(run_dir, SamplesRef(path="samples/gone.npz", sha256="", calls=0))


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "samples/\0", "samples/link"])
def test_a_record_cannot_name_a_file_outside_of_its_run(run_dir: Path, path: str) -> None:
    (run_dir / "samples" / "link").symlink_to("/etc/passwd")
    with pytest.raises(StoreError, match=r"leaves|NUL"):
        read_samples(run_dir, SamplesRef(path=path, sha256="", calls=0))


class TestForeignFiles:
    """Files whose hash is right, for whoever can write a file can write its hash."""

    def edit(self, run_dir: Path, **changes: object) -> SamplesRef:
        written = write_samples(run_dir, "cell", make_blocks())
        with np.load(run_dir / written.path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **(arrays | changes))
        return store(run_dir, buffer.getvalue())

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("calls", np.array([1], dtype=np.int64)),
            ("calls", np.array([-1, 1, 20, 20, 20, 60], dtype=np.int64)),
            ("blocks_per_round", np.array([5], dtype=np.int64)),
            ("wall_ns", np.array([1], dtype=np.int64)),
            ("wall_ns", np.zeros(6)),
            ("wall_ns", np.zeros((6, 1), dtype=np.int64)),
            ("counters.cpu_ns", np.zeros(1, dtype=np.int64)),
            ("format_version", np.array([2], dtype=np.int64)),
        ],
    )
    def test_parts_that_do_not_fit_together_are_refused(self, run_dir: Path, name: str, value: object) -> None:
        with pytest.raises(StoreError, match="not a samples file"):
            read_samples(run_dir, self.edit(run_dir, **{name: value}))

    def test_a_pickle_is_never_loaded(self, run_dir: Path) -> None:
        harmful = np.array([{"a": 1}], dtype=object)
        buffer = io.BytesIO()
        np.savez(buffer, format_version=harmful)
        with pytest.raises(StoreError, match="not a samples file"):
            read_samples(run_dir, store(run_dir, buffer.getvalue()))
        with pytest.raises(StoreError, match="not a samples file"):
            read_samples(run_dir, store(run_dir, pickle.dumps({"a": 1})))

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"garbage" * 100])
    def test_garbage_is_refused(self, run_dir: Path, content: bytes) -> None:
        with pytest.raises(StoreError, match="not a samples file"):
            read_samples(run_dir, store(run_dir, content))

    def test_an_archive_that_unpacks_without_end_is_refused(
        self, run_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(samples, "_MAX_UNPACKED_BYTES", 1 << 20)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("latencies_ns.npy", bytes(2 << 20))
        assert len(buffer.getvalue()) < 5000
        with pytest.raises(StoreError, match="bytes when unpacked"):
            read_samples(run_dir, store(run_dir, buffer.getvalue()))

    def test_a_counter_that_was_not_known_yet_is_zero(self, run_dir: Path) -> None:
        written = write_samples(run_dir, "cell", make_blocks())
        with np.load(run_dir / written.path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name != "counters.threads"}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        (block, *_), *_ = read_samples(run_dir, store(run_dir, buffer.getvalue()))
        expected = make_blocks()[0][0]
        assert block == replace(expected, counters=replace(expected.counters, threads=0))


class TestFaults:
    def test_a_failed_write_leaves_nothing(self, run_dir: Path) -> None:
        rounds = make_blocks()
        for number in range(100):
            with before_operation(number, fail_with(errno.ENOSPC)) as begun:
                try:
                    write_samples(run_dir, "cell", rounds)
                    failed = False
                except StoreError as error:
                    failed = "No space left on device" in error.message
            if begun() <= number:
                break
            assert failed
            assert not list(run_dir.rglob(".*.tmp"))
        assert number > 3

    def test_a_writer_killed_at_any_moment_leaves_the_earlier_samples(self, run_dir: Path) -> None:
        first = write_samples(run_dir, "cell", make_blocks(seed=1))
        for _ in die_before_each_operation(lambda: write_samples(run_dir, "cell", make_blocks(seed=1))):
            assert read_samples(run_dir, first) == make_blocks(seed=1)
