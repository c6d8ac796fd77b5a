"""nginx before several servers: what its configuration says, and that requests reach every one of them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from bench.core.serving import Description
from servers.counters import read_counters
from servers.nginx import Nginx
from tests.servers.http_servers import Running, direct_answer, new_site, null_service, wait_until_ready

_INSTALLED = bool(shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"))
needs_nginx = pytest.mark.skipif(not _INSTALLED, reason="nginx is not installed: apt-get install nginx-light")
BATCH = {"input": np.arange(8, dtype=np.float32).reshape(2, 4) / 7}


def _described(directory: Path, **options: Any) -> tuple[Description, str]:
    description = Nginx().describe(null_service(directory), Nginx.Options(**options), new_site(directory))
    return description, (directory / "nginx.conf").read_text()


def test_servers_come_first_and_nginx_is_asked(tmp_path: Path) -> None:
    description, configuration = _described(tmp_path, servers=3, encoding="json")
    assert [process.name for process in description.processes] == ["server1", "server2", "server3", "nginx"]
    balancer = description.processes[-1]
    assert balancer.role == "balancer"
    endpoint = description.endpoint
    assert endpoint.port == endpoint.identity_port == balancer.ready.port
    assert endpoint.encoding == "json"
    for server in description.processes[:-1]:
        assert configuration.count(f"server 127.0.0.1:{server.ready.port};") == 1
    assert f"listen 127.0.0.1:{endpoint.port};" in configuration
    assert "least_conn" not in configuration


def test_the_servers_with_the_fewest_open_requests_can_be_preferred(tmp_path: Path) -> None:
    assert "least_conn;" in _described(tmp_path, method="least_conn")[1]


@pytest.mark.parametrize(("options", "words"), [({"servers": 0}, "servers is 0"), ({"max_batch": 0}, "max_batch is 0")])
def test_options_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Nginx.Options(**options)


def test_where_nginx_is_missing_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path: None)
    assert Nginx().blockers("null", Nginx.Options()) == ("nginx is not installed (apt-get install nginx-light)",)


@needs_nginx
def test_nginx_is_found_where_packages_put_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Nginx().blockers("null", Nginx.Options()) == ()


@needs_nginx
@pytest.mark.parametrize("name", ["plain", "with space", 'quote"and\\slash', "dollar$pid;"])
def test_nginx_takes_the_configuration_wherever_it_lies(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    directory.mkdir()
    description, _ = _described(directory)
    done = subprocess.run([*description.processes[-1].argv, "-t"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True, kw_only=True)
class _Balanced:
    front: Running
    servers: tuple[subprocess.Popen[bytes], ...]

    def answered(self) -> list[int]:
        return [counts.answered for counts in read_counters(self.front.counters_dir)]


@contextlib.contextmanager
def _balanced(directory: Path, **options: Any) -> Iterator[_Balanced]:
    description, _ = _described(directory, **options)
    started: list[subprocess.Popen[bytes]] = []
    try:
        for process in description.processes:
            started.append(subprocess.Popen(process.argv, cwd=directory))
            port = process.ready.port
            running = Running(
                port=port, process=started[-1], counters_dir=directory / "counters", service=null_service(directory)
            )
            wait_until_ready(running)
        yield _Balanced(front=running, servers=tuple(started[:-1]))
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(5)


@needs_nginx
@pytest.mark.slow
def test_every_server_gets_its_share_and_the_answers_are_the_models(tmp_path: Path) -> None:
    with _balanced(tmp_path) as balanced:
        front = balanced.front
        wanted = direct_answer(front.service, BATCH)
        for encoding in ("binary", "kserve_binary", "tfs_row", "json") * 10:
            answer = front.decoded(encoding, front.send(encoding, BATCH, {"accept-encoding": "identity"}))
            np.testing.assert_array_equal(answer["output"], wanted["output"])
        assert balanced.answered() == [20, 20]
        large = {"input": np.zeros((3_000_000, 4), np.float32)}
        assert front.send("binary", large).status == 200
        assert front.ask("POST", "/v1/predict", bytes(65 << 20)).status == 413
        listening = {
            each.laddr.ip
            for process in (front.process, *balanced.servers)
            for member in (psutil.Process(process.pid), *psutil.Process(process.pid).children())
            for each in member.net_connections()
            if each.status == "LISTEN"
        }
        assert listening == {"127.0.0.1"}
    made = {path.name for path in tmp_path.iterdir()}
    assert made >= {"nginx.conf", "server1.json", "server2.json", "counters"}


@needs_nginx
@pytest.mark.slow
def test_a_server_that_was_killed_is_gone_round(tmp_path: Path) -> None:
    with _balanced(tmp_path, method="least_conn") as balanced:
        balanced.servers[0].send_signal(signal.SIGKILL)
        balanced.servers[0].wait(5)
        statuses = []
        for _ in range(20):
            statuses.append(balanced.front.send("binary", BATCH).status)
            time.sleep(0.005)
        assert statuses[-10:] == [200] * 10
        assert sum(status != 200 for status in statuses) <= 1
