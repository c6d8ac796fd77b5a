"""The model inside a server process: one session, one thread that calls it, so that the server keeps listening.

A session is called by one thread at a time; more of them are more processes. The runtime gives the interpreter's lock
back while it computes, so requests that arrive meanwhile are read and stamped at once, and their waiting is seen.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.core import plugins
from bench.core.errors import BenchError, TargetError
from bench.core.serving import Identity, Service
from bench.formats.messages import is_about_memory, telling_line

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
        self._nonce = nonce
        self._import_s = imported - started
        self._load_s = time.perf_counter() - imported
        self._provider = ""

    @property
    def identity(self) -> Identity:
        """Who this process is; the provider is known once a call was answered: some runtimes choose it then."""
        return Identity(
            nonce=self._nonce,
            artifact_id=self.service.artifact.id,
            pid=os.getpid(),
            import_s=self._import_s,
            load_s=self._load_s,
            provider=self._provider,
            versions=tuple(sorted(self._session.versions.items())),
        )

    def run(self, batch: Batch) -> Mapping[str, Array]:
        """One call of the timed kind, from arrays to arrays: output name -> array.

        TargetError says why the model cannot answer, MemoryError that memory ran out.
        """
        outputs = self._called(batch)
        if len(outputs) != len(self.outputs):
            raise TargetError(f"the model gave {len(outputs)} outputs, its signature names {len(self.outputs)}")
        if not self._provider:
            self._provider = self._session.provider
        return {spec.name: array for spec, array in zip(self.outputs, outputs, strict=True)}

    def _called(self, batch: Batch) -> Sequence[Array]:
        try:
            outputs: Sequence[Array] = self._session.bind(batch)()
        except (BenchError, MemoryError):
            raise
        except Exception as error:
            cause = telling_line(error) or type(error).__name__
            if is_about_memory(error):
                raise MemoryError(cause) from error
            raise TargetError(f"the model cannot be run: {cause}") from error
        return outputs

    def close(self) -> None:
        """Give the model back."""
        self._session.close()
