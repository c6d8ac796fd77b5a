"""How a variant is served: what a topology describes, whom a load generator talks to, how a server tells its times.

A topology only describes processes; `bench.supervise` starts them, in the order given, each once the one before is
ready. A server of ours proves who it is with a nonce, and tells with each answer when it did what.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from .artifact import Artifact, Options

LOOPBACK = "127.0.0.1"
MAX_BODY_BYTES = 64 << 20
#: Path of our servers that answers a JSON object with at least {"nonce", "artifact_id", "pid"}; see `Identity`.
IDENTITY_PATH = "/bench/identity"
#: Header (HTTP) or trailing metadata (gRPC) of an answer: `Stamps.text`.
STAMPS_HEADER = "bench-stamps"


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """A variant as its servers get it; `model` is the name under which it is served."""

    model: str
    artifact: Artifact
    adapter: str
    adapter_options: Options = ()
    threads: int = 1
    tokenizer: str = ""  # path of a tokenizer.json: requests may then hold texts in place of token ids


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """What must be true of a process before the next one is started.

    tcp: `port` accepts a connection. http: GET `path` on `port` answers 200 and its body contains `expects`.
    """

    kind: Literal["tcp", "http"]
    port: int
    path: str = "/"
    expects: str = ""
    deadline_s: float = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """One process of a topology; `environment` is added to a worker's, `argv` runs in the site's directory.

    It must stay in the foreground, listen on loopback only, and leave within seconds of a SIGTERM.
    """

    name: str
    role: Literal["server", "front", "balancer", "broker"]
    argv: tuple[str, ...]
    ready: Probe
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """Whom the load generator talks to and how; `encoding` is a name of `bench.wire`.

    `model` is the name in paths and messages. `tells_stamps`: answers carry `STAMPS_HEADER`. `identity_port`: where
    `IDENTITY_PATH` is answered, None for servers that are not ours.
    """

    protocol: Literal["http", "grpc"]
    port: int
    encoding: str
    model: str
    host: str = LOOPBACK
    keep_alive: bool = True
    compression: Literal["none", "gzip"] = "none"
    tells_stamps: bool = True
    identity_port: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """Processes in the order in which they are started, and the endpoint that then answers.

    `network` is the host's only where the endpoint cannot be reached from a private one: a server that is there
    already, or one in a container. `does_all_work`: the processor time and memory of these processes, with their
    descendants, are all that serving takes. `listens_everywhere`: a foreign program cannot be kept from listening on
    every interface, so it is started on a private network only.
    """

    processes: tuple[Process, ...]
    endpoint: Endpoint
    network: Literal["private", "host"] = "private"
    does_all_work: bool = True
    listens_everywhere: bool = False
    notes: tuple[str, ...] = ()  # what everyone who reads a number of this topology must know


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Where a topology may write its files, and what makes it this one.

    `free_port()` is another port at each call. `counters_dir` is where servers of ours keep `servers.counters`.
    """

    directory: Path
    counters_dir: Path
    nonce: str
    free_port: Callable[[], int]


class Topology(Protocol):
    """How a variant is reached. `Options` is a frozen dataclass with defaults, validated in the parent.

    `is_in_process` is True only where there is nothing to start and nothing to send.
    """

    Options: ClassVar[type[Any]]
    is_in_process: ClassVar[bool]

    def blockers(self, format: str, options: Any) -> Sequence[str]:
        """Reasons why an artifact of `format` cannot be served this way on this host, each with the way out."""
        ...

    def describe(self, service: Service, options: Any, site: Site) -> Description:
        """What to start and whom to ask; writes its configuration below `site.directory` and starts nothing."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """What a server of ours says of itself at `IDENTITY_PATH`."""

    nonce: str
    artifact_id: str
    pid: int
    import_s: float = 0.0
    load_s: float = 0.0
    provider: str = ""
    versions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Stamps:
    """When a server did what for one request, in ns of CLOCK_MONOTONIC, which all processes of a machine share.

    received: the whole body is there. dequeued: the process that decodes it has it. decoded: tensors are ready.
    started: inference begins. inferred: its outputs are there. encoded: the body of the answer is.
    """

    worker: int  # process id, as the worker itself sees it
    received_ns: int
    dequeued_ns: int
    decoded_ns: int
    started_ns: int
    inferred_ns: int
    encoded_ns: int

    def text(self) -> str:
        """For the header: the seven numbers with commas between them."""
        return (
            f"{self.worker},{self.received_ns},{self.dequeued_ns},{self.decoded_ns},{self.started_ns},"
            f"{self.inferred_ns},{self.encoded_ns}"
        )
