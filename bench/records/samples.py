"""Raw samples of a cell: every call of every block as integers in one compressed file that is never rewritten."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.block import Block, Counters
from bench.core.canonical import slug
from bench.core.errors import StoreError
from bench.core.files import safe_join, write_atomic
from bench.core.results import SamplesRef

if TYPE_CHECKING:
    import numpy as np

    IntArray = np.ndarray[Any, np.dtype[np.int64]]

_FORMAT_VERSION = 1
_NAME_HASH_CHARS = 8
_COUNTER_NAMES = tuple(field.name for field in fields(Counters))
#: Unpacked; one hour of calls of 10 us is 3 GB, more than that is not a file of ours.
_MAX_UNPACKED_BYTES = 4 << 30


def write_samples(run_dir: Path, cell_id: str, rounds: Sequence[Sequence[Block]]) -> SamplesRef:
    """Store the blocks of a cell durably below `run_dir` and say where; StoreError when the disk refuses.

    The name holds the content's hash: samples that a record of an earlier attempt names stay as they are.
    """
    content = _pack(rounds)
    sha256 = hashlib.sha256(content).hexdigest()
    relative = f"samples/{slug(cell_id)}.{sha256[:_NAME_HASH_CHARS]}.npz"
    try:
        write_atomic(run_dir / relative, content)
    except OSError as error:
        raise StoreError(
            f"{run_dir / relative}: cannot be written: {error.strerror}", hint="make room, then run again"
        ) from error
    calls = sum(len(block.latencies_ns) for blocks in rounds for block in blocks)
    return SamplesRef(path=relative, sha256=sha256, calls=calls)


def read_samples(run_dir: Path, samples: SamplesRef) -> tuple[tuple[Block, ...], ...]:
    """The rounds of blocks that `write_samples` stored; StoreError when they are missing or not those."""
    try:
        path = safe_join(run_dir, samples.path)
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise StoreError(f"{run_dir / samples.path}: samples cannot be read: {error}") from error
    if hashlib.sha256(content).hexdigest() != samples.sha256:
        raise StoreError(f"{path}: the samples are not those that the record names: sha256 differs")
    try:
        return _unpack(content)
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StoreError(f"{path}: not a samples file: {error}") from error


def _pack(rounds: Sequence[Sequence[Block]]) -> bytes:
    """Arrays of int64: one entry per round, per block, or per call.

    Latencies as they are: differences to the call before take 6 % more room, for neighbouring calls are independent.
    """
    import numpy as np

    blocks = [block for round_blocks in rounds for block in round_blocks]
    arrays = {
        "format_version": [_FORMAT_VERSION],
        "blocks_per_round": [len(round_blocks) for round_blocks in rounds],
        "round": [block.round for block in blocks],
        "index": [block.index for block in blocks],
        "calls": [len(block.latencies_ns) for block in blocks],
        "settling_calls": [block.settling_calls for block in blocks],
        "wall_ns": [block.wall_ns for block in blocks],
        "latencies_ns": [latency for block in blocks for latency in block.latencies_ns],
    }
    for name in _COUNTER_NAMES:
        arrays[f"counters.{name}"] = [getattr(block.counters, name) for block in blocks]
    integers: dict[str, Any] = {name: np.asarray(values, dtype=np.int64) for name, values in arrays.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **integers)
    return buffer.getvalue()


def _unpack(content: bytes) -> tuple[tuple[Block, ...], ...]:
    arrays = _load_arrays(content)
    if arrays["format_version"].tolist() != [_FORMAT_VERSION]:
        raise ValueError(f"format {arrays['format_version'].tolist()}, this reads {_FORMAT_VERSION}")
    calls = arrays["calls"].tolist()
    latencies = arrays["latencies_ns"].tolist()
    counts = arrays["blocks_per_round"].tolist()
    if min([0, *calls, *counts]) < 0 or sum(calls) != len(latencies) or sum(counts) != len(calls):
        raise ValueError("its parts do not fit together")
    columns = {name: arrays[name].tolist() for name in ("round", "index", "settling_calls", "wall_ns")}
    counters = {name: arrays[f"counters.{name}"].tolist() for name in _COUNTER_NAMES if f"counters.{name}" in arrays}
    if any(len(column) != len(calls) for column in (*columns.values(), *counters.values())):
        raise ValueError("its parts do not fit together")
    blocks = []
    start = 0
    for place, count in enumerate(calls):
        values = {name: column[place] for name, column in columns.items()}
        block_counters = Counters(**{name: column[place] for name, column in counters.items()})
        blocks.append(Block(latencies_ns=tuple(latencies[start : start + count]), counters=block_counters, **values))
        start += count
    remaining = iter(blocks)
    return tuple(tuple(next(remaining) for _ in range(count)) for count in counts)


def _load_arrays(content: bytes) -> dict[str, IntArray]:
    import numpy as np

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        unpacked_bytes = sum(member.file_size for member in archive.infolist())
    if unpacked_bytes > _MAX_UNPACKED_BYTES:
        raise ValueError(f"{unpacked_bytes} bytes when unpacked, at most {_MAX_UNPACKED_BYTES}")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for name, array in arrays.items():
        if array.dtype != np.int64 or array.ndim != 1:
            raise ValueError(f"{name} is not a list of 64-bit integers")
    return arrays
