"""What every topology promises, over all of the table: the same answers, loopback only, nothing left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.core import plugins
from bench.core.artifact import Artifact
from bench.core.cell import Cell, LoadPlan, ModelRef, Serving, Tolerance, Variant
from bench.environment import effective_cpus
from bench.runner.agreement import agreement
from bench.runner.crew import Crew
from bench.runner.deployment import Deployment, shared_out
from bench.runner.loads import Loads
from bench.runner.prepared import Pool, Prepared
from bench.supervise import Supervisor
from bench.zoo.inputs import write_pool
from bench.zoo.null import Null

from .topology_cases import CASES, TopologyCase

_LISTENING = "0A"  # of the state column; see proc_net_tcp
#: 127.0.0.1, ::1, and the first as the second kind of address.
_LOOPBACKS = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
ALL = [(name, case) for name, cases in CASES.items() for case in cases]
STARTED = [(name, case) for name, case in ALL if not case.not_here]


def _label(value: object) -> str:
    if isinstance(value, TopologyCase):
        return "-".join(map(str, value.options.values())) or "usual"
    return str(value)


def test_every_topology_of_the_table_has_a_case() -> None:
    assert sorted(CASES) == sorted(plugins.table("topologies"))


@pytest.mark.parametrize(("name", "case"), ALL, ids=_label)
def test_options_have_defaults_and_blockers_end_with_a_way_out(name: str, case: TopologyCase) -> None:
    spec = plugins.lookup("topologies", name)
    if spec.missing_packages():
        pytest.skip(f"{name} needs {', '.join(spec.missing_packages())}")
    topology = plugins.load("topologies", name)()
    assert isinstance(topology.is_in_process, bool)
    for format in ("null", "onnx", "saved_model"):
        for reason in topology.blockers(format, topology.Options(**case.options)):
            assert reason
            assert "\n" not in reason


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[tuple[Crew, Path]]:
    for name in ("jobs", "logs"):
        (tmp_path / name).mkdir()
    with Supervisor(tmp_path) as supervisor:
        yield Crew(supervisor, tmp_path, width=effective_cpus(), deadline_s=30.0, seed=0), tmp_path


def prepared(directory: Path, name: str, case: TopologyCase) -> Prepared:
    model = Null()
    built = model.build("null", directory)
    artifact = Artifact(
        id="a" * 64,
        format="null",
        path=str(built.path),
        size_bytes=built.path.stat().st_size,
        inputs=built.inputs,
        outputs=built.outputs,
    )
    pool = Pool(path=str(directory / "pool.npz"), sha256="", labelled_path="", metric="")
    write_pool(Path(pool.path), model.sample_inputs(count=4, batch=1, dimensions=(), seed=0))
    cell = Cell(
        model=ModelRef(name="m", kind="null", location="null"),
        variant=Variant(name="null", source="null", adapter="null"),
        topology=name,
        topology_options=tuple(sorted(case.options.items())),
        load=LoadPlan(kind="poisson", load_ratio=0.5),
    )
    return Prepared(cell=cell, artifact=artifact, pool=pool, source_sha256="")


def outputs_in_process(cell: Prepared, path: Path) -> None:
    """What `direct` answers on the pool, in the form in which workers write it."""
    from bench.worker.checking import write_outputs
    from bench.zoo.inputs import read_pool

    adapter = plugins.load("adapters", "null")
    session = adapter.open(cell.artifact, threads=1, options=adapter.Options())
    write_outputs(session, read_pool(Path(cell.pool.path)), path)


def listeners(pid: int) -> set[str]:
    """Addresses on which anything listens in the network of a process, as the kernel writes them."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            if state == _LISTENING:
                found.add(local.partition(":")[0])
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "case"), STARTED, ids=_label)
def test_a_topology_gives_the_answers_of_its_model_on_loopback_only(
    name: str, case: TopologyCase, stage: tuple[Crew, Path]
) -> None:
    crew, directory = stage
    topology = plugins.load("topologies", name)()
    reasons = topology.blockers("null", topology.Options(**case.options))
    if reasons:
        pytest.skip("; ".join(reasons))
    cell = prepared(directory, name, case)
    outputs_in_process(cell, directory / "direct.npz")
    settings, _ = shared_out(cell.cell.limits, 30.0)
    site = directory / "site"
    with Deployment(crew, cell, site, settings, Tolerance(), name="case") as deployment:
        assert listeners(next(iter(deployment.pids.values()))) <= _LOOPBACKS
        deployment.check(directory / "served.npz", deadline_s=30.0)
        assert agreement(str(directory / "direct.npz"), str(directory / "served.npz"), Tolerance()) in {
            "bitwise",
            "within tolerance",
        }
        loads = Loads(deployment, Serving(timeout_s=5.0), directory, seed=0)
        loaded = loads.closed(4, max_requests=120)
        assert loaded.point.answered == 120
        stamped = loaded.requests.stamps[:, 1:]
        assert np.all(np.diff(stamped, axis=1) >= 0), "a later moment is not before an earlier one"
        assert sum(counts.answered for counts in deployment.counts()) == 8 + 120
        assert deployment.server_cpu_ns() > 0
        assert deployment.server_memory_bytes() > 1_000_000
    assert deployment.dead == tuple(deployment.pids), "all have ended"
