"""The topology `tfs_protocol`: the processes that it describes serve what they were told to, and leave when asked."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from bench.core import plugins
from bench.core.serving import Description, Probe
from bench.wire import encoding
from servers.counters import read_counters
from servers.tfs.text_files import read_batching_parameters
from servers.tfs_protocol import Options, TfsProtocol
from tests.servers.tfs_cases import OUTPUTS, SAMPLE, null_service, site

ROOT = Path(__file__).parents[2]


def described(directory: Path, **options: Any) -> Description:
    return TfsProtocol().describe(null_service(directory), Options(**options), site(directory))


def flag(description: Description, name: str) -> str:
    (process,) = description.processes
    return next(word.partition("=")[2] for word in process.argv if word.startswith(f"--{name}="))


def test_the_table_line_leads_to_the_topology() -> None:
    assert plugins.load("topologies", "tfs_protocol") is TfsProtocol
    assert not TfsProtocol.is_in_process


def test_the_endpoint_is_the_port_of_the_protocol(tmp_path: Path) -> None:
    for name in ("grpc", "rest"):
        (tmp_path / name).mkdir()
    grpc_one = described(tmp_path / "grpc", encoding="kserve_grpc")
    rest_one = described(tmp_path / "rest", encoding="tfs_row", keep_alive=False, compression="gzip")
    assert (grpc_one.endpoint.protocol, grpc_one.endpoint.port) == ("grpc", int(flag(grpc_one, "port")))
    assert (rest_one.endpoint.protocol, rest_one.endpoint.port) == ("http", int(flag(rest_one, "rest_api_port")))
    assert (rest_one.endpoint.keep_alive, rest_one.endpoint.compression) == (False, "gzip")
    assert rest_one.endpoint.identity_port == rest_one.endpoint.port
    assert "it is not TensorFlow Serving" in rest_one.notes[0]
    assert flag(rest_one, "tensorflow_intra_op_parallelism") == "1", "as many threads as the model of the cell"


def test_batches_are_asked_for_in_the_servers_own_file(tmp_path: Path) -> None:
    description = described(tmp_path, max_batch=8, batch_delay_ms=2.5)
    parameters = read_batching_parameters(Path(flag(description, "batching_parameters_file")))
    assert flag(description, "enable_batching") == "true"
    assert (parameters.max_batch_size, parameters.batch_timeout_us) == (8, 2500)
    assert parameters.max_batch_size * parameters.max_enqueued_batches == 256


@pytest.mark.parametrize("options", [{"max_batch": 0}, {"batch_delay_ms": -1.0}, {"compression": "gzip"}])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Options(**options)


@contextmanager
def started(description: Description, directory: Path) -> Iterator[subprocess.Popen[str]]:
    (process,) = description.processes
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **dict(process.environment)}
    running = subprocess.Popen(process.argv, cwd=directory, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        wait_ready(process.ready, running)
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate()


def wait_ready(probe: Probe, running: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline and running.poll() is None:
        with closing(http.client.HTTPConnection("127.0.0.1", probe.port, timeout=5)) as connection:
            try:
                connection.request("GET", probe.path)
                answer = connection.getresponse()
                if answer.status == 200 and probe.expects in answer.read().decode():
                    return
            except OSError:
                time.sleep(0.02)
    pytest.fail(f"not ready: {running.poll()}")


def ask(description: Description, name: str) -> Any:
    wire, target = encoding(name), description.endpoint
    message = wire.encode_request(target.model, {"input": SAMPLE}, OUTPUTS)
    if name.endswith("_grpc"):
        with grpc.insecure_channel(f"127.0.0.1:{flag(description, 'port')}") as channel:
            return wire.decode_response(channel.unary_unary(message.path)(message.body, timeout=5), {}, OUTPUTS)
    with closing(http.client.HTTPConnection("127.0.0.1", target.identity_port, timeout=5)) as connection:
        connection.request("POST", message.path, message.body, dict(message.headers))
        return wire.decode_response(connection.getresponse().read(), {}, OUTPUTS)


@pytest.mark.slow
def test_what_is_described_serves_in_every_encoding_and_leaves_within_two_seconds(tmp_path: Path) -> None:
    description = described(tmp_path, max_batch=4)
    with started(description, tmp_path) as running:
        for name in ("tfs_grpc", "kserve_grpc", "tfs_row", "tfs_columns"):
            np.testing.assert_allclose(ask(description, name)["output"], [[np.sin(1), np.sin(2)]], rtol=1e-6)
        (counts,) = read_counters(tmp_path / "counters")
        assert (counts.pid, counts.received, counts.answered) == (running.pid, 4, 4)
        (process,) = description.processes
        second = subprocess.run(process.argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
        assert second.returncode == 3
        assert second.stderr.splitlines()[-1].startswith(f"127.0.0.1:{flag(description, 'port')} cannot be listened on")
        running.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        assert running.wait(10) == 0
        assert time.monotonic() - asked < 2.0


@pytest.mark.slow
def test_a_call_that_does_not_end_keeps_the_server_no_longer_than_two_seconds(tmp_path: Path) -> None:
    description = described(tmp_path)
    (tmp_path / "null-0.json").write_text(json.dumps({"fault": "hang", "fault_phase": "block", "fault_call": 2}))
    with (
        started(description, tmp_path) as running,
        grpc.insecure_channel(f"127.0.0.1:{flag(description, 'port')}") as to,
    ):
        wire = encoding("tfs_grpc")
        message = wire.encode_request("m", {"input": SAMPLE}, ())
        call = to.unary_unary(message.path).future(message.body)
        deadline = time.monotonic() + 5
        while read_counters(tmp_path / "counters")[0].received == 0:
            assert time.monotonic() < deadline
        running.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        assert running.wait(10) == 0
        assert time.monotonic() - asked < 2.0
        assert call.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)
