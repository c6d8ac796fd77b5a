"""A front: `python -m servers.front.server CONFIG.json`, ended by SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import uvicorn
import uvloop

from bench.core.errors import BenchError
from servers.http_server import settings

from .app import FrontApplication
from .config import FrontConfig, read_front_config
from .transport import open_dispatcher
from .waiting import Waiting


async def _serve(config: FrontConfig) -> None:
    waiting = Waiting(config)
    dispatcher = open_dispatcher(config, waiting)
    await dispatcher.open()
    sweeper = asyncio.create_task(waiting.sweep())
    application: Any = FrontApplication(config, waiting, dispatcher)
    try:
        await uvicorn.Server(settings(application, config.server)).serve()
    finally:
        sweeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeper
        await dispatcher.close()


def main(config_path: Path) -> int:
    """Serve until a signal ends it; the exit status."""
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)  # uvicorn raises the signal again once it has shut down
    try:
        uvloop.run(_serve(read_front_config(config_path)))
    except BenchError as error:
        print(f"{error.message}; {error.hint}" if error.hint else error.message, file=sys.stderr)  # noqa: T201  its log
        return error.exit_code
    except OSError as error:
        print(f"the front cannot serve: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _leave(*_: object) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
