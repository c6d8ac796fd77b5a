"""The topology `simple` says what to start and whom to ask, and weighs nothing until then."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core import plugins
from bench.core.artifact import TensorSpec
from bench.core.serving import IDENTITY_PATH
from servers.config import Batching, read_config
from servers.simple import Simple
from tests.servers.http_servers import NONCE, direct_answer, new_site, null_service, running_server


def test_it_describes_one_server_that_is_asked_directly(tmp_path: Path) -> None:
    options = Simple.Options(encoding="tfs_row", max_batch=8, batch_delay_ms=2.5, keep_alive=False, compression="gzip")
    description = Simple().describe(null_service(tmp_path), options, new_site(tmp_path))
    (process,) = description.processes
    endpoint = description.endpoint
    assert (endpoint.encoding, endpoint.model, endpoint.keep_alive, endpoint.compression) == (
        "tfs_row",
        "m",
        False,
        "gzip",
    )
    assert endpoint.port == endpoint.identity_port == process.ready.port
    assert (process.ready.path, process.ready.expects) == (IDENTITY_PATH, NONCE)
    config = read_config(Path(process.argv[-1]))
    assert Path(process.argv[-1]).parent == tmp_path
    assert (config.port, config.host, config.nonce) == (endpoint.port, "127.0.0.1", NONCE)
    assert config.batching == Batching(max_batch=8, delay_ms=2.5)
    assert description.notes == ()


def test_without_batching_none_is_asked_for(tmp_path: Path) -> None:
    description = Simple().describe(null_service(tmp_path), Simple.Options(), new_site(tmp_path))
    assert read_config(Path(description.processes[0].argv[-1])).batching is None


def test_a_model_whose_requests_cannot_be_put_together_is_noted(tmp_path: Path) -> None:
    service = null_service(tmp_path, outputs=(TensorSpec(name="output", dtype="float32", shape=(1, 2)),))
    (note,) = Simple().describe(service, Simple.Options(max_batch=4), new_site(tmp_path)).notes
    assert "max_batch 4 changes nothing" in note


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_batch": 0}, "max_batch is 0"),
        ({"max_batch": 2, "batch_delay_ms": -1.0}, "batch_delay_ms is -1.0"),
        ({"max_batch": 2, "batch_delay_ms": float("nan")}, "batch_delay_ms is nan"),
        ({"batch_delay_ms": 1.0}, "max_batch is 1"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Simple.Options(**options)


def test_its_plan_needs_neither_a_web_server_nor_numpy() -> None:
    program = """
import sys
from bench.core import plugins
for name in ("simple", "nginx"):
    topology = plugins.load("topologies", name)()
    topology.blockers("onnx", topology.Options())
sys.exit(", ".join({"numpy", "uvicorn", "orjson", "asyncio"} & set(sys.modules)) or 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not plugins.load("topologies", "simple").is_in_process


def test_a_server_that_batches_answers_everyone_rightly(tmp_path: Path) -> None:
    service = null_service(tmp_path, service_ms=5)
    batches = [{"input": np.full((1 + number % 3, 4), number, np.float32)} for number in range(24)]
    with (
        running_server(tmp_path, service, batching=Batching(max_batch=8, delay_ms=2)) as server,
        ThreadPoolExecutor(8) as pool,
    ):
        answers = list(pool.map(lambda batch: server.send("binary", batch), batches))
        for batch, answer in zip(batches, answers, strict=True):
            wanted = direct_answer(service, batch)
            np.testing.assert_array_equal(server.decoded("binary", answer)["output"], wanted["output"])
    started = {answer.headers["bench-stamps"].split(",")[4] for answer in answers}
    assert len(started) < len(batches)  # some were one call


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"artifact": {"path": "/nowhere/model.json"}}, "/nowhere/model.json: not a null model"),
        ({"host": "192.0.2.1"}, "192.0.2.1 is not this machine alone"),
    ],
)
def test_a_server_that_cannot_start_says_why_in_one_line(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    description = Simple().describe(null_service(tmp_path), Simple.Options(), new_site(tmp_path))
    argv = description.processes[0].argv
    config = json.loads(Path(argv[-1]).read_bytes())
    config["service"]["artifact"] |= change.pop("artifact", {})
    Path(argv[-1]).write_text(json.dumps(config | change))
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 3
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
