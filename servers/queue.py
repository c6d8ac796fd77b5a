"""A message queue between the web server and the workers that hold the model."""

from __future__ import annotations

import importlib.util
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from bench.core.plugins import install_hint
from bench.core.serving import Description, Process, Service, Site

from .brokers import rabbitmq, redis
from .config import ServerConfig
from .front.config import FrontConfig
from .front.processes import front_processes
from .http_topology import HttpOptions, batching, batching_notes, endpoint

_NOTE = "queue: every request and every answer passes through the broker, whose processor time is part of the servers'."


@dataclass(frozen=True, kw_only=True, slots=True)
class _Broker:
    """`blockers` and `processes` are those of its module, `package` is what front and workers import for it."""

    package: str
    blockers: Callable[[], Sequence[str]]
    processes: Callable[[Site, str], tuple[tuple[Process, ...], str]]
    note: str


_BROKERS: Mapping[str, _Broker] = {
    "rabbitmq": _Broker(
        package="pika",
        blockers=rabbitmq.blockers,
        processes=rabbitmq.processes,
        note="queue: RabbitMQ gives the request of a worker that is lost to another one.",
    ),
    "redis": _Broker(
        package="redis",
        blockers=redis.blockers,
        processes=redis.processes,
        note="queue: the request of a worker that is lost is not repeated with Redis: it runs into the time-out.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Options(HttpOptions):
    """`workers` processes hold the model, each with the threads of the limits, and take requests from `broker`."""

    broker: Literal["rabbitmq", "redis"] = "rabbitmq"
    workers: int = 1

    def __post_init__(self) -> None:
        HttpOptions.__post_init__(self)
        if not 1 <= self.workers <= 256:
            raise ValueError(f"workers is {self.workers}, it must be from 1 to 256")


class Queue:
    """A broker, a front that publishes requests and awaits answers, and workers that consume."""

    Options: ClassVar[type[Any]] = Options
    is_in_process: ClassVar[bool] = False

    def blockers(self, format: str, options: Any) -> Sequence[str]:
        """The broker's program or its package is absent."""
        broker = _BROKERS[options.broker]
        reasons = tuple(broker.blockers())
        if importlib.util.find_spec(broker.package) is None:
            reasons += (f"{broker.package} is not installed ({install_hint((broker.package,))})",)
        return reasons

    def describe(self, service: Service, options: Any, site: Site) -> Description:
        """The broker first, for front and workers connect to it at their start."""
        broker = _BROKERS[options.broker]
        secret = secrets.token_hex(16)
        processes, address = broker.processes(site, secret)
        config = ServerConfig(
            service=service,
            nonce=site.nonce,
            counters_dir=str(site.counters_dir),
            port=site.free_port(),
            batching=batching(options),
            address=address,
            secret=secret,
        )
        front = FrontConfig(server=config, transport=options.broker, workers=options.workers)
        return Description(
            processes=(*processes, *front_processes(front, site)),
            endpoint=endpoint(options, model=service.model, port=config.port, identity_port=config.port),
            notes=(_NOTE, broker.note, *batching_notes(options, service)),
        )
