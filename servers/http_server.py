"""A model behind HTTP in one process: `python -m servers.http_server CONFIG.json`, ended by SIGTERM or SIGINT."""

from __future__ import annotations

import ipaddress
import logging
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import uvicorn

from bench.core.errors import BenchError, HostError

from .app import Application
from .config import read_config
from .http_guard import Guard, within

if TYPE_CHECKING:
    from .config import ServerConfig
    from .http_messages import Asgi

_OTHER_FILES = 256  # that a runtime and its libraries may have open


def settings(application: Asgi, config: ServerConfig) -> uvicorn.Config:
    """How uvicorn serves an application within the bounds of `config`."""
    if not ipaddress.ip_address(config.host).is_loopback:
        raise HostError(
            f"{config.host} is not this machine alone", hint="serve on 127.0.0.1, through a proxy if need be"
        )
    bounds = Guard(
        max_connections=config.max_connections,
        max_body_bytes=config.max_body_bytes,
        header_timeout_s=config.header_timeout_s,
        idle_timeout_s=config.idle_timeout_s,
    )
    return within(bounds, application, host=config.host, port=config.port)


def main(config_path: Path) -> int:
    """Serve until a signal ends it; the exit status."""
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR)
    try:
        config = read_config(config_path)
        application = Application(config)
        server = uvicorn.Server(settings(application, config))
    except BenchError as error:
        print(f"{error.message}; {error.hint}" if error.hint else error.message, file=sys.stderr)  # noqa: T201  its log
        return error.exit_code
    _allow_files(config.max_connections + _OTHER_FILES)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)  # uvicorn raises the signal again once it has shut down
    try:
        server.run()
    finally:
        application.close()
    return 0


def _allow_files(count: int) -> None:
    """As many open files as connections need, as far as the system lets us: many systems start with 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


def _leave(*_: object) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
