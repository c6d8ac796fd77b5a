"""The REST application under uvicorn, in a thread beside the gRPC server."""

from __future__ import annotations

import socket
import threading

import uvicorn

from bench.core.errors import HostError
from bench.core.serving import LOOPBACK
from servers.http_guard import GRACE_S, Guard, within

from .rest import RestApp

_BACKLOG = 1024
_BOUNDS = Guard(max_connections=1024, header_timeout_s=10.0, idle_timeout_s=75.0)


class RestServer:
    """Listens on loopback as soon as it is made; HostError when another program has the port."""

    def __init__(self, app: RestApp, port: int) -> None:
        self._app = app
        self._listener = _listener(port)
        self._server = uvicorn.Server(within(_BOUNDS, app))
        self._thread = threading.Thread(
            target=self._server.run, args=([self._listener],), name="rest-loop", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Answer what is under way and leave."""
        self._server.should_exit = True
        self._thread.join(GRACE_S + 0.5)
        self._listener.close()
        self._app.close()


def _listener(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise HostError(
            f"{LOOPBACK}:{port} cannot be listened on: {error.strerror}",
            hint="end the program that has the port, or choose another",
        ) from error
    return listener
