"""How Redis is started for one topology: in the foreground, on loopback, with nothing kept on disk."""

from __future__ import annotations

import shutil

from bench.core.serving import LOOPBACK, Probe, Process, Site

_SETTINGS = """\
bind {host}
port {port}
requirepass {password}
dir "{directory}"
daemonize no
save ""
appendonly no
"""


def blockers() -> tuple[str, ...]:
    """Why Redis cannot be started here."""
    return () if shutil.which("redis-server") else ("Redis is not installed (apt-get install redis-server)",)


def processes(site: Site, secret: str) -> tuple[tuple[Process, ...], str]:
    """The broker, and the port to which front and workers connect."""
    directory = site.directory / "redis"
    directory.mkdir()
    port = site.free_port()
    settings = directory / "redis.conf"
    settings.touch(mode=0o600)
    settings.write_text(
        _SETTINGS.format(host=LOOPBACK, port=port, password=secret, directory=directory), encoding="utf-8"
    )
    broker = Process(
        name="redis",
        role="broker",
        argv=(str(shutil.which("redis-server")), str(settings)),
        ready=Probe(kind="tcp", port=port),
    )
    return (broker,), str(port)
