"""One server process with the model in it: uvicorn, and the model in a thread of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from bench.core.serving import Description, Service, Site

from .http_topology import HttpOptions, batching_notes, endpoint, server_process


class Simple:
    """What most people start with: a web server that calls the model."""

    Options: ClassVar[type[Any]] = HttpOptions
    is_in_process: ClassVar[bool] = False

    def blockers(self, format: str, options: Any) -> Sequence[str]:
        """None: the packages that it needs are named in its table line."""
        return ()

    def describe(self, service: Service, options: Any, site: Site) -> Description:
        """The server, and itself as the endpoint."""
        process = server_process("server", service, options, site)
        port = process.ready.port
        return Description(
            processes=(process,),
            endpoint=endpoint(options, model=service.model, port=port, identity_port=port),
            notes=batching_notes(options, service),
        )
