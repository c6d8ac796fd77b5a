"""The batching parameters of TensorFlow Serving as its text file."""

from __future__ import annotations

from pathlib import Path


def write_batching_parameters(
    path: Path, *, max_batch: int, delay_ms: float, max_enqueued_batches: int, threads: int
) -> None:
    """Write a BatchingParameters file for `--batching_parameters_file`."""
    path.write_text(
        f"max_batch_size {{ value: {max_batch} }}\n"
        f"batch_timeout_micros {{ value: {round(delay_ms * 1000)} }}\n"
        f"max_enqueued_batches {{ value: {max_enqueued_batches} }}\n"
        f"num_batch_threads {{ value: {threads} }}\n",
        encoding="utf-8",
    )
