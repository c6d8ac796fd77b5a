"""The application behind gunicorn: each worker opens the model itself, after it was forked."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped]

from bench.core.errors import BenchError
from bench.core.serving import IDENTITY_PATH

from .app import Application
from .config import ServerConfig, read_config
from .counters import read_counters
from .http_messages import Receive, Refused, Scope, Send, refusal, respond
from .http_server import settings
from .multiprocess import CONFIG_VARIABLE

_BOOT_ERROR = 3  # gunicorn.arbiter.Arbiter.WORKER_BOOT_ERROR: gunicorn then ends instead of trying again


class GatheredApplication(Application):
    """One of `workers` that says who it is only once all of them are there, for that is when load may come."""

    def __init__(self, config: ServerConfig, workers: int) -> None:
        super().__init__(config)
        self._workers = workers
        self._counters_dir = Path(config.counters_dir)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"] == IDENTITY_PATH:
            there = len(read_counters(self._counters_dir))
            if there < self._workers:
                await respond(send, refusal(Refused(503, f"{there} of {self._workers} workers are there")))
                return
        await super().__call__(scope, receive, send)


def application(workers: int) -> GatheredApplication:
    """What gunicorn calls in each worker; one that cannot open the model says why and ends gunicorn."""
    try:
        return GatheredApplication(_config(), workers)
    except BenchError as error:
        print(f"{error.message}; {error.hint}" if error.hint else error.message, file=sys.stderr)  # noqa: T201  its log
        raise SystemExit(_BOOT_ERROR) from error


class GuardedWorker(UvicornWorker):  # type: ignore[misc]
    """uvicorn within gunicorn, set as the server of one process is."""

    def run(self) -> None:
        """Serve until gunicorn ends it."""
        served: Any = self.wsgi
        self.config = settings(served, _config())
        try:
            super().run()
        finally:
            served.close()


def _config() -> ServerConfig:
    return read_config(Path(os.environ[CONFIG_VARIABLE]))
