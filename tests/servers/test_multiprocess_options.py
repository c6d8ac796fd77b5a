"""What the topology of several processes can be told, and what it describes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.serving import IDENTITY_PATH
from servers.config import Batching, read_config
from servers.front.config import read_front_config
from servers.multiprocess import CONFIG_VARIABLE, Multiprocess
from tests.servers.http_servers import null_service
from tests.servers.running import site_in

TOPOLOGY = Multiprocess()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers is 0, it must be from 1 to 256"),
        ({"workers": 257}, "workers is 257, it must be from 1 to 256"),
        ({"max_batch": 0}, "max_batch is 0, at least 1 sample is a batch"),
    ],
)
def test_what_cannot_be_is_refused_with_its_value(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Multiprocess.Options(**options)


def test_workers_that_share_a_port_are_one_process_that_is_ready_when_all_are(tmp_path: Path) -> None:
    service, site = null_service(tmp_path), site_in(tmp_path)
    options = Multiprocess.Options(workers=3, max_batch=4, batch_delay_ms=2.0)
    description = TOPOLOGY.describe(service, options, site)
    (process,) = description.processes
    assert process.role == "server"
    assert process.argv[:3] == (sys.executable, "-m", "gunicorn")
    assert process.argv[-1] == "servers.gunicorn_worker:application(3)"
    assert {"--workers=3", "--reuse-port", f"--bind=127.0.0.1:{description.endpoint.port}"} < set(process.argv)
    assert (process.ready.path, process.ready.expects) == (IDENTITY_PATH, site.nonce)
    config = read_config(Path(dict(process.environment)[CONFIG_VARIABLE]))
    assert config.batching == Batching(max_batch=4, delay_ms=2.0)
    assert config.port == description.endpoint.port == description.endpoint.identity_port
    assert config.service == service
    assert "unevenly" in description.notes[0]


def test_a_front_and_each_of_its_workers_is_a_process_of_its_own(tmp_path: Path) -> None:
    service, site = null_service(tmp_path), site_in(tmp_path)
    options = Multiprocess.Options(workers=2, balance="shared_memory", encoding="kserve", keep_alive=False)
    description = TOPOLOGY.describe(service, options, site)
    front, *workers = description.processes
    assert (front.name, front.role) == ("front", "front")
    assert [(worker.name, worker.role) for worker in workers] == [("worker-0", "server"), ("worker-1", "server")]
    assert front.argv[-1] == workers[0].argv[-2]
    config = read_front_config(Path(front.argv[-1]))
    assert (config.workers, config.transport) == (2, "shared_memory")
    assert site.nonce in config.server.address
    for number, worker in enumerate(workers):
        assert worker.argv[-1] == str(number)
        assert worker.ready.path.endswith(f"/{number}")
        assert worker.ready.expects == site.nonce
        assert worker.ready.port == front.ready.port == description.endpoint.port
    assert (description.endpoint.encoding, description.endpoint.keep_alive) == ("kserve", False)


def test_it_is_said_where_requests_cannot_be_put_together(tmp_path: Path) -> None:
    service = null_service(tmp_path)
    fixed = replace(service.artifact.inputs[0], shape=(1, 4))
    service = replace(service, artifact=replace(service.artifact, inputs=(fixed,)))
    description = TOPOLOGY.describe(service, Multiprocess.Options(max_batch=8), site_in(tmp_path))
    assert "changes nothing" in description.notes[-1]


def test_gunicorn_is_asked_for_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (missing,) = TOPOLOGY.blockers("onnx", Multiprocess.Options())
    assert missing == "gunicorn, uvicorn_worker not installed (pip install gunicorn uvicorn_worker)"
    assert TOPOLOGY.blockers("onnx", Multiprocess.Options(balance="shared_memory")) == ()
