"""The Open Inference Protocol (KServe v2) with tensors as bytes after the JSON (`bench.wire.kserve_messages`)."""

from __future__ import annotations

from .kserve import KServe

ENCODING = KServe(binary=True)
