"""Who is compared: our topologies, and each peer as its own documentation advises for one core in production.

All of them hold one model in one process with one thread, log no requests, collect no metrics, and call nobody.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.core import plugins
from bench.core.artifact import Options
from bench.core.serving import LOOPBACK, Description, Endpoint, Probe, Process, Service, Site

from .environments import Environment, ensure

WRAPPERS = Path(__file__).resolve().parent / "wrappers"
OURS = "ours: "


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """A server: `encodings` are what is asked of it, the first `quick` of them in a quick run; for the first `searched`
    of them its highest rate within the objective is searched.

    A peer that is no topology of ours has an `environment` and a `describe`; `settings` says what its command does not
    show. One that `listens_everywhere` is started on a private network only.
    """

    name: str
    encodings: tuple[str, ...]
    quick: int = 1
    searched: int = 1
    topology: str = ""
    options: Options = ()
    environment: Environment | None = None
    describe: Callable[[Service, Site, Environment], Described] | None = None
    settings: str = ""
    listens_everywhere: bool = False

    @property
    def slug(self) -> str:
        """Its name as part of a file's."""
        return "".join(char if char.isalnum() else "_" for char in f"{self.name}_{self.encodings[0]}")

    @property
    def is_ours(self) -> bool:
        """Whether it is what the others are compared with."""
        return self.name.startswith(OURS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """What to start, and where to ask in HTTP and in gRPC."""

    process: Process
    http_port: int
    grpc_port: int = 0


def prepare(contender: Contender, tell: Callable[[str], None]) -> str:
    """Install what it needs; why it cannot be measured, empty when it can. HostError when installing fails."""
    if contender.environment is not None:
        ensure(contender.environment, tell)
        return ""
    if contender.topology == "triton":
        from servers.tritonserver import environment as triton

        if not triton.is_fetched():
            tell(f"triton: installing nvidia-pytriton {triton.PYTRITON_VERSION}")
            triton.fetch()
    topology = plugins.load("topologies", contender.topology)()
    return "; ".join(topology.blockers("onnx", topology.Options(**dict(contender.options))))


def endpoint_of(described: Described, encoding: str, model: str) -> Endpoint:
    """Whom to ask in an encoding."""
    is_grpc = encoding.endswith("_grpc")
    return Endpoint(
        protocol="grpc" if is_grpc else "http",
        port=described.grpc_port if is_grpc else described.http_port,
        encoding=encoding,
        model=model,
        tells_stamps=False,
    )


def description_of(described: Described, encoding: str, model: str) -> Description:
    """The same as a topology would say it."""
    return Description(processes=(described.process,), endpoint=endpoint_of(described, encoding, model))


def _variables(service: Service, site: Site, more: Mapping[str, str] | None = None) -> tuple[tuple[str, str], ...]:
    """Beside a worker's: what the wrappers read, and the word that nobody is to be told of this run."""
    variables = {
        "DEPLOYBENCH_MODEL": service.artifact.path,
        "PYTHONPATH": str(WRAPPERS),
        "PYTHONDONTWRITEBYTECODE": "1",
        "VIRTUAL_ENV": "",
        "HOME": str(site.directory),
        "DO_NOT_TRACK": "1",
    }
    return tuple(sorted({**variables, **(more or {})}.items()))


def _mlserver(service: Service, site: Site, environment: Environment) -> Described:
    http_port, grpc_port = site.free_port(), site.free_port()
    settings = {
        "host": LOOPBACK,
        "http_port": http_port,
        "grpc_port": grpc_port,
        "metrics_endpoint": None,
        "debug": False,  # which also turns the access log off
        "parallel_workers": 0,  # the model in the server's own process: a hop less
    }
    model = {"name": service.model, "implementation": "mlserver_model.Served"}
    (site.directory / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    (site.directory / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
    process = Process(
        name="mlserver",
        role="server",
        argv=(str(environment.bin / "mlserver"), "start", str(site.directory)),
        ready=Probe(kind="http", port=http_port, path=f"/v2/models/{service.model}/ready"),
        environment=_variables(service, site),
    )
    return Described(process=process, http_port=http_port, grpc_port=grpc_port)


def _litserve(service: Service, site: Site, environment: Environment) -> Described:
    port = site.free_port()
    process = Process(
        name="litserve",
        role="server",
        argv=(str(environment.python), str(WRAPPERS / "litserve_server.py"), str(port)),
        ready=Probe(kind="http", port=port, path="/health"),
        environment=_variables(service, site),
    )
    return Described(process=process, http_port=port)


def _bentoml(service: Service, site: Site, environment: Environment) -> Described:
    port = site.free_port()
    where = ("--host", LOOPBACK, "--port", str(port), "--working-dir", str(WRAPPERS))
    process = Process(
        name="bentoml",
        role="server",
        argv=(str(environment.bin / "bentoml"), "serve", "bentoml_service:Served", *where),
        ready=Probe(kind="http", port=port, path="/readyz"),
        environment=_variables(
            service, site, {"BENTOML_HOME": str(site.directory / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
        ),
    )
    return Described(process=process, http_port=port)


def _kserve(service: Service, site: Site, environment: Environment) -> Described:
    http_port, grpc_port = site.free_port(), site.free_port()
    ports = (str(http_port), str(grpc_port))
    process = Process(
        name="kserve",
        role="server",
        argv=(str(environment.python), str(WRAPPERS / "kserve_server.py"), service.model, *ports),
        ready=Probe(kind="http", port=http_port, path=f"/v2/models/{service.model}/ready"),
        environment=_variables(service, site),
    )
    return Described(process=process, http_port=http_port, grpc_port=grpc_port)


CONTENDERS: tuple[Contender, ...] = (
    Contender(
        name=f"{OURS}simple",
        topology="simple",
        encodings=("kserve", "json", "kserve_binary", "binary", "tfs_row"),
        quick=3,
        searched=3,
    ),
    Contender(
        name=f"{OURS}multiprocess, reuse_port",
        topology="multiprocess",
        options=(("balance", "reuse_port"), ("workers", 1)),
        encodings=("kserve_binary", "kserve"),
    ),
    Contender(
        name=f"{OURS}multiprocess, shared_memory",
        topology="multiprocess",
        options=(("balance", "shared_memory"), ("workers", 1)),
        encodings=("kserve_binary", "kserve"),
    ),
    Contender(
        name=f"{OURS}tfs_protocol",
        topology="tfs_protocol",
        options=(("encoding", "tfs_grpc"),),
        encodings=("tfs_grpc",),
        quick=0,
        searched=0,
    ),
    Contender(
        name="mlserver",
        encodings=("kserve", "kserve_grpc"),
        environment=Environment(name="mlserver", requirements=("mlserver==1.7.1",)),
        describe=_mlserver,
        settings="parallel_workers 0 (no hop to another process), debug off (no access log), no metrics endpoint",
    ),
    Contender(
        name="litserve",
        encodings=("json",),
        environment=Environment(name="litserve", requirements=("litserve==0.2.19",)),
        describe=_litserve,
        settings="1 worker, 1 API server, fast_queue (ZeroMQ), no access log; no tensor format but JSON",
    ),
    Contender(
        name="bentoml",
        encodings=("json",),
        environment=Environment(name="bentoml", requirements=("bentoml==1.4.39",)),
        describe=_bentoml,
        settings="1 worker, async endpoint, no access log, no metrics; its own client sends JSON too",
    ),
    Contender(
        name="kserve",
        encodings=("kserve", "tfs_row", "kserve_binary", "kserve_grpc"),
        environment=Environment(name="kserve", requirements=("kserve==0.21.0",)),
        describe=_kserve,
        settings="1 worker, no latency log",
        listens_everywhere=True,
    ),
    Contender(
        name="triton",
        topology="triton",
        encodings=("kserve_binary", "kserve"),
        quick=2,
        settings="the model in its Python backend, 1 instance: there is no ONNX Runtime backend in this package",
    ),
    Contender(
        name="triton",
        topology="triton",
        options=(("encoding", "kserve_grpc"),),
        encodings=("kserve_grpc",),
        quick=0,
        searched=0,
    ),
)
