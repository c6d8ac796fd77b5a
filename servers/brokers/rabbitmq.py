"""How RabbitMQ is started for one topology: in the foreground, with its own port mapper, all on loopback.

Debian's /usr/sbin/rabbitmq-server changes the user; the program behind it runs as whoever starts it. What it would
find in /etc and write to /var is named here, so that a broker of the system is neither read nor disturbed. Erlang's
port mapper, epmd, would be started in the background and stay: started before, as a process of its own, it is found.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bench.core.serving import LOOPBACK, Probe, Process, Site

USER = "bench"

_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_START_DEADLINE_S = 60.0
_SETTINGS = """\
default_user = {user}
default_pass = {password}
disk_free_limit.absolute = 1MB
heartbeat = 0
"""


def blockers() -> tuple[str, ...]:
    """Why RabbitMQ cannot be started here."""
    if os.access(_SERVER, os.X_OK) and shutil.which("epmd"):
        return ()
    return ("RabbitMQ is not installed (apt-get install rabbitmq-server)",)


def processes(site: Site, secret: str) -> tuple[tuple[Process, ...], str]:
    """The port mapper and the broker, and the port to which front and workers connect."""
    directory = site.directory / "rabbitmq"
    directory.mkdir()
    mapper_port, port, distribution_port = site.free_port(), site.free_port(), site.free_port()
    (directory / "enabled_plugins").write_text("[].\n", encoding="utf-8")
    settings = directory / "rabbitmq.conf"
    settings.touch(mode=0o600)
    settings.write_text(_SETTINGS.format(user=USER, password=secret), encoding="utf-8")
    mapper = Process(
        name="epmd",
        role="broker",
        argv=(str(shutil.which("epmd")), "-address", LOOPBACK, "-port", str(mapper_port)),
        ready=Probe(kind="tcp", port=mapper_port),
    )
    broker = Process(
        name="rabbitmq",
        role="broker",
        argv=(str(_SERVER),),
        ready=Probe(kind="tcp", port=port, deadline_s=_START_DEADLINE_S),
        environment=tuple(sorted(_environment(directory, mapper_port, port, distribution_port).items())),
    )
    return (mapper, broker), str(port)


def _environment(directory: Path, mapper_port: int, port: int, distribution_port: int) -> dict[str, str]:
    return {
        "HOME": str(directory),  # for Erlang's cookie
        "ERL_CRASH_DUMP_BYTES": "0",
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "ERL_EPMD_PORT": str(mapper_port),
        "RABBITMQ_NODENAME": "bench@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-kernel inet_dist_use_interface {{{LOOPBACK.replace('.', ',')}}}",
        "RABBITMQ_CONF_ENV_FILE": str(directory / "environment.conf"),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(directory / "generated"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        # Its script then becomes the Erlang machine, which obeys signals itself, instead of waiting for it in a shell.
        "RUNNING_UNDER_SYSTEMD": "1",
    }
