"""Triton: what it is told, and, where it is installed, the real server with an ONNX file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import wire
from bench.core.artifact import Artifact, TensorSpec
from bench.core.errors import HostError, TargetError
from bench.core.serving import Endpoint, Service
from bench.load.drive import drive_closed
from bench.load.target import open_target
from servers.triton import Triton
from servers.tritonserver import environment
from tests.servers.http_servers import Running
from tests.servers.running import deployed, site_in

TOPOLOGY = Triton()
INPUTS = (
    TensorSpec(name="left", dtype="float32", shape=("batch", 4), native="left:0"),
    TensorSpec(name="right", dtype="int64", shape=("batch", 4), native="right:0"),
)
OUTPUTS = (TensorSpec(name="sum", dtype="float32", shape=("batch", 4), native="sum:0"),)


def service_of(path: Path, **more: Any) -> Service:
    artifact = Artifact(id="a1", format="onnx", path=str(path), size_bytes=1, inputs=INPUTS, outputs=OUTPUTS)
    return Service(model="m", artifact=artifact, adapter="onnxruntime", **more)


def test_the_model_has_a_name_that_no_other_server_knows_and_its_own_tensors(tmp_path: Path) -> None:
    service, site = service_of(tmp_path / "m.onnx", threads=3), site_in(tmp_path)
    options = Triton.Options(max_batch=8, batch_delay_ms=1.5, instances=2)
    description = TOPOLOGY.describe(service, options, site)
    name = f"m-{site.nonce}"
    assert description.endpoint.model == name
    assert description.processes[0].ready.path == f"/v2/models/{name}/ready"
    assert (tmp_path / "triton" / name / "config.pbtxt").read_text().splitlines() == [
        f'name: "{name}"',
        'backend: "python"',
        "max_batch_size: 8",
        "instance_group [ { kind: KIND_CPU count: 2 } ]",
        'input [ { name: "left" data_type: TYPE_FP32 dims: [4] } ]',
        'input [ { name: "right" data_type: TYPE_INT64 dims: [4] } ]',
        'output [ { name: "sum" data_type: TYPE_FP32 dims: [4] } ]',
        "dynamic_batching { max_queue_delay_microseconds: 1500 }",
    ]
    told = json.loads((tmp_path / "triton" / name / "1" / "model.json").read_text())
    assert (told["threads"], told["inputs"]["right"], told["outputs"]) == (3, "right:0", {"sum": "sum:0"})
    assert told["graph_optimization"] == "ORT_ENABLE_ALL"


def test_without_batching_a_request_may_have_any_batch(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    TOPOLOGY.describe(service_of(tmp_path / "m.onnx"), Triton.Options(), site)
    written = (tmp_path / "triton" / f"m-{site.nonce}" / "config.pbtxt").read_text()
    assert "max_batch_size: 0" in written
    assert "dims: [-1, 4]" in written
    assert "dynamic_batching" not in written


@pytest.mark.parametrize(
    ("service", "options", "message"),
    [
        ({"adapter": "openvino"}, {}, "not openvino on cpu"),
        ({"adapter_options": (("provider", "cuda"),)}, {}, "not onnxruntime on cuda"),
        ({"shape": (4,)}, {"max_batch": 2}, "the first dimension of 'left' is no batch of any size"),
        ({"dtype": "bfloat16"}, {}, "cannot pass 'left': it is bfloat16"),
    ],
)
def test_what_triton_cannot_serve_is_said(
    tmp_path: Path, service: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    asked = service_of(tmp_path / "m.onnx")
    of_tensor = {key: service.pop(key) for key in ("shape", "dtype") if key in service}
    artifact = replace(asked.artifact, inputs=(replace(INPUTS[0], **of_tensor), INPUTS[1]))
    with pytest.raises(TargetError, match=message):
        TOPOLOGY.describe(replace(asked, artifact=artifact, **service), Triton.Options(**options), site_in(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_batch": 0}, "max_batch is 0"),
        ({"instances": 0}, "instances is 0"),
        ({"batch_delay_ms": -1.0, "max_batch": 2}, "batch_delay_ms is -1"),
        ({"batch_delay_ms": 1.0}, "max_batch is 1: raise it"),
    ],
)
def test_what_cannot_be_is_refused_with_its_value(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Triton.Options(**options)


def test_what_is_missing_is_told_with_the_way_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(environment, "_onnxruntime_version", lambda: "1.2.3")
    assert TOPOLOGY.blockers("onnx", Triton.Options()) == (
        "Triton is not installed: python -m servers.tritonserver.environment",
    )
    assert TOPOLOGY.blockers("saved_model", Triton.Options()) == (
        "Triton serves onnx here, not saved_model: serve a variant that ends in onnx",
    )
    monkeypatch.setattr(environment, "_onnxruntime_version", lambda: "")
    assert TOPOLOGY.blockers("onnx", Triton.Options()) == ("onnxruntime is not installed (pip install onnxruntime)",)
    with pytest.raises(HostError, match="ONNX Runtime, which is not installed"):
        environment.fetch()


def test_a_failed_installation_leaves_nothing_and_says_what_pip_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEPLOYBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(environment, "_onnxruntime_version", lambda: "1.2.3")
    monkeypatch.setattr("subprocess.run", _failing)
    assert environment.main() == HostError.exit_code
    assert "no such distribution" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "packages").iterdir() if not path.name.endswith(".lock")] == []


def _failing(command: list[str], **settings: Any) -> Any:
    return subprocess.CompletedProcess(command, 1, stdout="", stderr="ERROR: no such distribution\n")


@pytest.mark.slow
def test_triton_gives_the_answers_of_the_model_in_every_encoding_and_collects_requests(tmp_path: Path) -> None:
    if reasons := TOPOLOGY.blockers("onnx", Triton.Options()):
        pytest.skip("; ".join(reasons))
    service, site = service_of(written_model(tmp_path / "m.onnx")), site_in(tmp_path)
    options = Triton.Options(encoding="kserve_grpc", max_batch=16, batch_delay_ms=50.0)
    description = TOPOLOGY.describe(service, options, site)
    grpc = description.endpoint
    http = replace(grpc, protocol="http", port=description.processes[0].ready.port, encoding="kserve_binary")
    with deployed(description, service, site) as running:
        for endpoint in (grpc, http, replace(http, encoding="kserve")):
            check_answers(endpoint)
        statistics = stats_of(running.front, http)
        assert statistics["inference_count"] == 3 * 16
        assert statistics["execution_count"] < 3 * 16 / 2


def check_answers(endpoint: Endpoint) -> None:
    """Sixteen requests of one sample by eight callers, each answered with what belongs to it."""
    rng = np.random.default_rng(0)
    batches = [
        {"left": rng.random((1, 4), np.float32), "right": rng.integers(-9, 9, (1, 4), np.int64)} for _ in range(16)
    ]
    encoding = wire.encoding(endpoint.encoding)
    payloads = [encoding.encode_request(endpoint.model, batch, OUTPUTS) for batch in batches]
    with open_target(endpoint, payloads) as target:
        drive = drive_closed(target, concurrency=8, duration_s=20.0, timeout_s=10.0, keep_every=1, max_requests=16)
    assert len(drive.samples) == 16
    for sample in drive.samples:
        found = encoding.decode_response(sample.body, sample.headers, OUTPUTS)
        wanted = batches[sample.input]["left"] + batches[sample.input]["right"].astype(np.float32)
        np.testing.assert_allclose(found["sum"], wanted, rtol=1e-6)


def stats_of(front: Running, http: Endpoint) -> Mapping[str, Any]:
    answer = replace(front, port=http.port).get(f"/v2/models/{http.model}/stats")
    statistics: Mapping[str, Any] = answer.json["model_stats"][0]
    return statistics


def written_model(path: Path) -> Path:
    """left + right, as an ONNX file whose names are not those on the wire."""
    import onnx
    from onnx import TensorProto, helper

    tensor = helper.make_tensor_value_info
    inputs = [tensor("left:0", TensorProto.FLOAT, ["n", 4]), tensor("right:0", TensorProto.INT64, ["n", 4])]
    outputs = [tensor("sum:0", TensorProto.FLOAT, ["n", 4])]
    nodes = [
        helper.make_node("Cast", ["right:0"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["left:0", "cast"], ["sum:0"]),
    ]
    graph = helper.make_graph(nodes, "sum", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path
