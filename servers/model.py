"""The model inside a server process: one session, one thread that calls it, so that the server keeps listening.

A session is called by one thread at a time; more of them are more processes. The runtime gives the interpreter's lock
back while it computes, so requests that arrive meanwhile are read and stamped at once, and their waiting is seen.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bench.core import plugins
from bench.core.serving import Identity, Service

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch


class ServedModel:
    """A session opened for serving; `run` is called by one thread at a time."""

    def __init__(self, service: Service, nonce: str) -> None:
        started = time.perf_counter()
        adapter = plugins.load("adapters", service.adapter)  # sets what its framework reads at import
        for package in plugins.lookup("adapters", service.adapter).needs:
            importlib.import_module(package)
        imported = time.perf_counter()
        options = adapter.Options(**dict(service.adapter_options))
        self._session = adapter.open(service.artifact, threads=service.threads, options=options)
        self.service = service
        self.inputs = service.artifact.inputs
        self.outputs = service.artifact.outputs
        self.identity = Identity(
            nonce=nonce,
            artifact_id=service.artifact.id,
            pid=os.getpid(),
            import_s=imported - started,
            load_s=time.perf_counter() - imported,
            provider=self._session.provider,
            versions=tuple(sorted(self._session.versions.items())),
        )

    def run(self, batch: Batch) -> Mapping[str, Array]:
        """One call: output name -> array; TargetError says why the model cannot answer."""
        outputs: Mapping[str, Array] = self._session.run(batch)
        return outputs

    def close(self) -> None:
        """Give the model back."""
        self._session.close()
