"""Several servers with the model in each, and nginx before them that gives each request to one of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from bench.core.serving import IDENTITY_PATH, LOOPBACK, MAX_BODY_BYTES, Description, Probe, Process, Service, Site

from .http_topology import HttpOptions, batching_notes, endpoint, server_process

_MAX_SERVERS = 64
#: Where packages put programs that are not on every user's PATH.
_SYSTEM_PATHS = ("/usr/sbin", "/usr/local/sbin", "/sbin")
_METHODS = {"round_robin": "", "least_conn": "        least_conn;\n"}


@dataclass(frozen=True, kw_only=True)
class Options(HttpOptions):
    """`servers` processes hold the model; `method` is how nginx chooses: each in turn, or who has the fewest open."""

    servers: int = 2
    method: Literal["round_robin", "least_conn"] = "round_robin"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.servers <= _MAX_SERVERS:
            raise ValueError(f"servers is {self.servers}, it must be from 1 to {_MAX_SERVERS}")


class Nginx:
    """A balancer as most put it before a service."""

    Options: ClassVar[type[Any]] = Options
    is_in_process: ClassVar[bool] = False

    def blockers(self, format: str, options: Any) -> Sequence[str]:
        """Whether nginx is missing."""
        return () if _program() else ("nginx is not installed (apt-get install nginx-light)",)

    def describe(self, service: Service, options: Any, site: Site) -> Description:
        """The servers, then nginx: it would bench those for 10 s that it does not find."""
        servers = [
            server_process(f"server{number}", service, options, site) for number in range(1, options.servers + 1)
        ]
        port = site.free_port()
        path = site.directory / "nginx.conf"
        ports = [server.ready.port for server in servers]
        path.write_text(_configuration(site.directory, port, ports, options.method), encoding="utf-8")
        balancer = Process(
            name="nginx",
            role="balancer",
            argv=(_program() or "nginx", "-p", f"{site.directory}/", "-c", str(path)),
            ready=Probe(kind="http", port=port, path=IDENTITY_PATH, expects=site.nonce),
        )
        return Description(
            processes=(*servers, balancer),
            endpoint=endpoint(options, model=service.model, port=port, identity_port=port),
            notes=batching_notes(options, service),
        )


def _program() -> str | None:
    return shutil.which("nginx", path=os.pathsep.join((os.environ.get("PATH", os.defpath), *_SYSTEM_PATHS)))


def _configuration(directory: Path, port: int, servers: Sequence[int], method: str) -> str:
    """In the foreground, on loopback, with all of its files in `directory`.

    Connections to the servers are kept, and bodies stay in memory: both cost more than the rest of the way otherwise.
    """
    upstream = "".join(f"        server {LOOPBACK}:{server};\n" for server in servers)
    temporary = "".join(
        f"    {kind}_temp_path {_quoted(directory / f'{kind}_temp')};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    size = f"{MAX_BODY_BYTES >> 20}m"
    return f"""daemon off;
worker_processes 1;
pid {_quoted(directory / "nginx.pid")};
error_log stderr error;
events {{
    worker_connections 4096;
}}
http {{
{temporary}    access_log off;
    server_tokens off;
    client_max_body_size {size};
    client_body_buffer_size {size};
    client_header_timeout 10s;
    keepalive_timeout 75s;
    keepalive_requests 1000000000;
    upstream servers {{
{_METHODS[method]}{upstream}        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {LOOPBACK}:{port};
        location / {{
            proxy_pass http://servers;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffers 8 64k;
            proxy_buffer_size 64k;
            proxy_max_temp_file_size 0;
        }}
    }}
}}
"""


def _quoted(path: Path) -> str:
    """A path as a word of nginx's language, whatever is in it."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
