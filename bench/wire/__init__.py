"""Tensors on a wire: the encodings that servers and load generators share, each the same from both sides.

A table line names a module with `ENCODING: Encoding`; nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from .encoding import Encoding, Message, WireError

#: name -> module that holds `ENCODING`.
ENCODINGS: Mapping[str, str] = {
    "binary": "bench.wire.binary",
    "json": "bench.wire.plain_json",
    "kserve": "bench.wire.kserve",
    "kserve_binary": "bench.wire.kserve_binary",
    "kserve_grpc": "bench.wire.kserve_grpc",
    "npy": "bench.wire.npy",
    "tfs_columns": "bench.wire.tfs_columns",
    "tfs_grpc": "bench.wire.tfs_grpc",
    "tfs_row": "bench.wire.tfs_row",
}

__all__ = ["ENCODINGS", "Encoding", "Message", "WireError", "encoding"]


def encoding(name: str) -> Encoding:
    """The encoding of that name; KeyError when there is none."""
    found: Encoding = importlib.import_module(ENCODINGS[name]).ENCODING
    return found
