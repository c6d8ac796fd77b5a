"""What the topology with a queue can be told, and what it describes."""

from __future__ import annotations

from pathlib import Path

import pytest

from servers.front.config import read_front_config
from servers.queue import Queue
from tests.servers.http_servers import null_service
from tests.servers.running import site_in

TOPOLOGY = Queue()


def test_a_number_of_workers_that_cannot_be_is_refused_with_its_value() -> None:
    with pytest.raises(ValueError, match="workers is 0, it must be from 1 to 256"):
        Queue.Options(workers=0)


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)


@pytest.mark.usefixtures("nothing_installed")
def test_what_is_absent_is_told_with_the_way_to_get_it() -> None:
    rabbitmq = TOPOLOGY.blockers("onnx", Queue.Options())
    assert rabbitmq == (
        "RabbitMQ is not installed (apt-get install rabbitmq-server)",
        "pika is not installed (pip install pika)",
    )
    redis = TOPOLOGY.blockers("onnx", Queue.Options(broker="redis"))
    assert redis == (
        "Redis is not installed (apt-get install redis-server)",
        "redis is not installed (pip install redis)",
    )


@pytest.fixture
def everything_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")


@pytest.mark.usefixtures("everything_installed")
def test_rabbitmq_and_its_port_mapper_come_before_the_front_and_keep_to_loopback(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    description = TOPOLOGY.describe(null_service(tmp_path), Queue.Options(workers=2), site)
    names = [process.name for process in description.processes]
    assert names == ["epmd", "rabbitmq", "front", "worker-0", "worker-1"]
    mapper, broker, front, *_ = description.processes
    assert mapper.argv == ("/usr/bin/epmd", "-address", "127.0.0.1", "-port", str(mapper.ready.port))
    told = dict(broker.environment)
    assert told["RABBITMQ_NODE_IP_ADDRESS"] == told["ERL_EPMD_ADDRESS"] == "127.0.0.1"
    assert told["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] == "-kernel inet_dist_use_interface {127,0,0,1}"
    assert told["ERL_EPMD_PORT"] == str(mapper.ready.port)
    files = [value for value in told.values() if value.startswith("/")]
    assert len(files) >= 9
    assert all(Path(file).is_relative_to(tmp_path) for file in files)
    config = read_front_config(Path(front.argv[-1]))
    assert (config.transport, config.server.address) == ("rabbitmq", str(broker.ready.port))
    assert {broker.role, mapper.role, front.role} == {"broker", "front"}
    ports = {mapper.ready.port, broker.ready.port, description.endpoint.port, int(told["RABBITMQ_DIST_PORT"])}
    assert len(ports) == 4


@pytest.mark.usefixtures("everything_installed")
def test_redis_keeps_nothing_and_lets_nobody_in_without_a_secret_that_nobody_is_told(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    description = TOPOLOGY.describe(null_service(tmp_path), Queue.Options(broker="redis"), site)
    assert [process.name for process in description.processes] == ["redis", "front", "worker-0"]
    program, settings = description.processes[0].argv
    assert program == "/usr/bin/redis-server"
    written = Path(settings)
    secret = read_front_config(Path(description.processes[1].argv[-1])).server.secret
    assert len(secret) == 32
    assert secret != site.nonce
    assert {'save ""', "appendonly no", "bind 127.0.0.1", f"requirepass {secret}"} < set(
        written.read_text().splitlines()
    )
    assert written.stat().st_mode & 0o077 == 0
    assert "time-out" in description.notes[1]
