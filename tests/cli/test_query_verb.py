"""`bench query` against servers of every protocol, well-behaved and not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench import wire
from bench.core.artifact import TensorSpec
from bench.wire.protobuf import inference, serving, tensorflow
from tests.cli.conftest import Bench
from tests.query.canned import Said, grpc_server, http_server

X = TensorSpec(name="x", dtype="float32", shape=("batch", 2))
Y = TensorSpec(name="y", dtype="float32", shape=("batch", 3))
OUTPUTS = {"y": np.array([[0.25, 0.5, 0.25]], np.float32)}


def tensor_info(data_type: str, size: int) -> dict[str, object]:
    return {"dtype": data_type, "tensor_shape": {"dim": [{"size": "-1"}, {"size": str(size)}], "unknown_rank": False}}


SIGNATURE = {"inputs": {"x": tensor_info("DT_FLOAT", 2)}, "outputs": {"y": tensor_info("DT_FLOAT", 3)}}
TFS: dict[str, Said] = {
    "/v1/models/m/metadata": (
        200,
        json.dumps(
            {
                "model_spec": {"name": "m", "version": "7"},
                "metadata": {"signature_def": {"signature_def": {"serving_default": SIGNATURE, "other": {}}}},
            }
        ).encode(),
    ),
    "/v1/models/m:predict": (200, wire.encoding("tfs_row").encode_response("m", OUTPUTS, [Y]).body),
}
KSERVE: dict[str, Said] = {
    "/v2/repository/index": (200, b'[{"name": "m", "state": "READY"}]'),
    "/v2/models/m": (
        200,
        json.dumps(
            {
                "name": "m",
                "versions": ["1", "2"],
                "platform": "p",
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
                "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
            }
        ).encode(),
    ),
    "/v2/models/m/infer": (200, wire.encoding("kserve").encode_response("m", OUTPUTS, [Y]).body),
}


@pytest.fixture
def inputs(tmp_path: Path) -> str:
    np.savez(tmp_path / "x.npz", x=np.zeros((1, 2), np.float32))
    return str(tmp_path / "x.npz")


def test_tensorflow_serving_is_asked_by_rest(bench: Bench, inputs: str) -> None:
    with http_server(TFS) as (port, posts):
        told = bench("query", str(port), "--model", "m", "--inputs", inputs, "--top", "1")
    assert told.code == 0, told.err
    assert told.out.splitlines()[:4] == [
        f"m at 127.0.0.1:{port} by rest, version 7",
        "  probabilities: 'y', 3 classes",
        "    class  probability",
        "    1           0.5000",
    ]
    assert [(path, json.loads(body)) for path, body in posts] == [("/v1/models/m:predict", {"instances": [[0.0, 0.0]]})]


def test_a_server_of_kserve_tells_its_only_model(bench: Bench, inputs: str, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("cat\ndog\ncow\n")
    with http_server(KSERVE) as (port, _):
        told = bench("query", f"http://127.0.0.1:{port}", "--inputs", inputs, "--labels", "labels", "--json")
    assert told.code == 0, told.err
    (answer,) = json.loads(told.out)["answers"]
    assert (answer["protocol"], answer["version"]) == ("kserve", "1, 2")
    assert [score["label"] for score in answer["readings"][0]["samples"][0]] == ["dog", "cat", "cow"]


@pytest.fixture
def grpc_port() -> Iterator[int]:
    """A server of both protocols over gRPC, with one model, m."""
    pytest.importorskip("grpc", reason="grpcio is not installed: pip install grpcio")

    def tfs_metadata(body: bytes) -> bytes:
        asked = serving.GetModelMetadataRequest.FromString(body)
        if asked.model_spec.name != "m":
            raise RuntimeError("NOT_FOUND", f"Servable not found for request: Latest({asked.model_spec.name})")
        told = serving.SignatureDefMap()
        for name, tensors, size in (("x", "inputs", 2), ("y", "outputs", 3)):
            info = getattr(told.signature_def["serving_default"], tensors)[name]
            info.dtype = tensorflow.DataType.Value("DT_FLOAT")
            for each in (-1, size):
                info.tensor_shape.dim.add(size=each)
        answer = serving.GetModelMetadataResponse()
        answer.model_spec.version.value = 7
        answer.metadata["signature_def"].value = told.SerializeToString()
        return bytes(answer.SerializeToString())

    def kserve_metadata(_: bytes) -> bytes:
        answer = inference.ModelMetadataResponse(name="m", versions=["1"])
        answer.inputs.add(name="x", datatype="FP32", shape=[-1, 2])
        answer.outputs.add(name="y", datatype="FP32", shape=[-1, 3])
        return bytes(answer.SerializeToString())

    def refuse(_: bytes) -> bytes:
        raise RuntimeError("RESOURCE_EXHAUSTED", "as many wait as may")

    methods = {
        "/tensorflow.serving.PredictionService/GetModelMetadata": tfs_metadata,
        "/tensorflow.serving.PredictionService/Predict": lambda _: (
            wire.encoding("tfs_grpc").encode_response("m", OUTPUTS, [Y]).body
        ),
        "/inference.GRPCInferenceService/ModelMetadata": kserve_metadata,
        "/inference.GRPCInferenceService/ModelInfer": refuse,
    }
    with grpc_server(methods) as port:
        yield port


def test_a_grpc_server_and_a_rest_server_are_asked_one_after_the_other(
    bench: Bench, inputs: str, grpc_port: int
) -> None:
    with http_server(TFS) as (port, _):
        told = bench("query", str(grpc_port), str(port), "--model", "m", "--inputs", inputs, "--repeat", "3", "--json")
    assert told.code == 0, told.err
    answers = json.loads(told.out)["answers"]
    assert [(answer["protocol"], answer["version"]) for answer in answers] == [("grpc", "7"), ("rest", "7")]
    assert answers[0]["readings"] == answers[1]["readings"]
    assert [len(answer["latency_ms"]) for answer in answers] == [3, 3]


def test_what_a_grpc_server_says_is_passed_on(bench: Bench, inputs: str, grpc_port: int) -> None:
    told = bench(
        "query", f"grpc://127.0.0.1:{grpc_port}", "--model", "m", "--protocol", "kserve-grpc", "--inputs", inputs
    )
    assert (told.code, "RESOURCE_EXHAUSTED by kserve-grpc: as many wait as may" in told.err) == (3, True), told.err
    told = bench("query", str(grpc_port), "--model", "n", "--protocol", "grpc")
    assert (told.code, "Servable not found for request: Latest(n)" in told.err) == (3, True), told.err
    told = bench("query", str(grpc_port), "--model", "m", "--protocol", "rest")
    assert (told.code, "speaks grpc" in told.err) == (2, True), told.err


def test_a_grpc_port_on_which_nobody_listens_says_what_to_start(bench: Bench) -> None:
    pytest.importorskip("grpc", reason="grpcio is not installed: pip install grpcio")
    told = bench("query", "grpc://127.0.0.1:1", "--model", "m")
    assert (told.code, "no gRPC server can be reached at 127.0.0.1:1" in told.err) == (3, True), told.err
    assert "bench serve MODEL --port 1" in told.err


@pytest.mark.parametrize(
    ("answers", "words", "code", "said"),
    [
        ({"/v1/models": (200, b'{"models": ["a", "b"]}')}, (), 2, "serves 2 models\n  next: --model with one of a, b"),
        ({"/v1/models": (200, b'{"models": ["a", "b"]}')}, ("--model", "c"), 3, "'c'\n  next: it serves a, b"),
        ({}, (), 2, "does not tell which models it serves"),
        ({}, ("--model", "m"), 3, "no such thing"),
        ({"/v1/models/m/metadata": (200, b"<html>")}, ("--model", "m"), 3, "serves no model 'm'"),
        ({"/v1/models/m/metadata": (200, b"{}")}, ("--model", "m"), 3, "'metadata' is missing or unknown"),
        ({"/v2/models/m": (200, b'{"inputs": 3}')}, ("--model", "m"), 3, "cannot be read"),
        (TFS | {"/v1/models/m:predict": (503, b'{"error": "busy"}')}, ("--model", "m"), 3, "answers 503 by rest: busy"),
        (TFS | {"/v1/models/m:predict": (200, b"{}")}, ("--model", "m"), 3, "the answer has no predictions"),
        (TFS, ("--model", "m", "--protocol", "grpc"), 2, "speaks http"),
    ],
)
def test_a_server_that_does_not_answer_as_hoped_is_understood(
    bench: Bench, inputs: str, answers: dict[str, Said], words: tuple[str, ...], code: int, said: str
) -> None:
    with http_server(answers) as (port, _):
        told = bench("query", str(port), "--inputs", inputs, *words)
    assert told.code == code
    assert said in told.err


def test_without_a_server_it_is_said_what_to_name(bench: Bench) -> None:
    told = bench("query", "--inputs", "x.npz")
    assert (told.code, "no server is kept up here" in told.err) == (2, True), told.err


def test_hostile_names_are_printed_as_escapes(bench: Bench) -> None:
    name = "\x1b[31m"
    signature = json.dumps({"inputs": [{"name": name, "datatype": "FP32", "shape": [1]}], "outputs": []}).encode()
    with http_server({"/v2/models/m": (200, signature)}) as (port, _):
        told = bench("query", str(port), "--model", "m")
    assert told.code == 0, told.err
    assert "takes \\x1b[31m: float32 [1]" in told.out
    assert "\x1b" not in told.out
