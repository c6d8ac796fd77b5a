"""TensorFlow Serving's REST API in the column format (`bench.wire.tfs_messages`)."""

from __future__ import annotations

from .tfs_row import TfsRest

ENCODING = TfsRest(rows=False)
