"""What a run leaves on disk: frozen manifest, append-only journal, samples; and the views rebuilt from them."""

from .explanations import Answers, read_explanations, write_explanation
from .journal import Damage, Journal, read
from .lock import exclusive_writer
from .pandas_view import flat_row, frame
from .places import writable_directory, writing_to
from .request_files import store_requests, stored_requests
from .run_directory import (
    RunDirectory,
    RunManifest,
    create,
    is_terminal,
    latest,
    open_run,
    results_dir_of,
    run_paths,
)
from .samples import read_samples, write_samples

__all__ = [
    "Answers",
    "Damage",
    "Journal",
    "RunDirectory",
    "RunManifest",
    "create",
    "exclusive_writer",
    "flat_row",
    "frame",
    "is_terminal",
    "latest",
    "open_run",
    "read",
    "read_explanations",
    "read_samples",
    "results_dir_of",
    "run_paths",
    "store_requests",
    "stored_requests",
    "writable_directory",
    "write_explanation",
    "write_samples",
    "writing_to",
]
