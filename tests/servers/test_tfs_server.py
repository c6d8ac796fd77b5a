"""The TFS-protocol server as its callers see it: answers, statuses, stamps and counts, over gRPC and REST."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from bench.core.serving import IDENTITY_PATH, STAMPS_HEADER
from bench.wire.protobuf import inference, serving
from servers.counters import read_counters
from tests.servers.tfs_cases import PREDICTION, SAMPLE, Running, add_version, predict_request, running

METHOD = "tensorflow/serving"
ROWS = b'{"instances": [[1, 1, 1, 1]]}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("tfs")
    add_version(directory / "m", 3)
    (directory / "counters").mkdir()
    (directory / "bench.json").write_text(json.dumps({"nonce": "n0", "counters_dir": str(directory / "counters")}))
    (directory / "monitoring").write_text("prometheus_config { enable: true }")
    words = (f"--model_base_path={directory / 'm'}", f"--bench_config={directory / 'bench.json'}")
    with running("--model_name=m", *words, f"--monitoring_config_file={directory / 'monitoring'}") as started:
        started.counters_dir = directory / "counters"  # type: ignore[attr-defined]
        yield started


def status_of(server: Running, path: str, request: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        server.call(path, request)
    return caught.value.code().name, caught.value.details()


def test_a_prediction_names_the_version_and_the_signature_that_made_it(server: Running) -> None:
    response = server.predict()
    assert (response.model_spec.name, response.model_spec.version.value) == ("m", 3)
    assert response.model_spec.signature_name == "serving_default"
    assert list(response.outputs["output"].float_val) == pytest.approx([np.sin(1), np.sin(2)])
    assert list(response.outputs["value"].float_val) == pytest.approx([np.sin(1)])


def test_a_filter_chooses_outputs(server: Running) -> None:
    request = predict_request()
    request.output_filter.append("value")
    response = server.call(f"{PREDICTION}/Predict", request, serving.PredictResponse)
    assert list(response.outputs) == ["value"]
    request.output_filter.append("value")
    assert status_of(server, f"{PREDICTION}/Predict", request) == (
        "INVALID_ARGUMENT",
        "duplicate output tensor alias: value",
    )
    request.output_filter[:] = ["nothing"]
    assert status_of(server, f"{PREDICTION}/Predict", request)[1].startswith("output tensor alias not found")


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        ({"model": "other"}, ("NOT_FOUND", "Servable not found for request: Latest(other)")),
        ({"version": 4}, ("NOT_FOUND", "Servable not found for request: Specific(m, 4)")),
        ({"version_label": "new"}, ("INVALID_ARGUMENT", "Unrecognized servable version label: new")),
        ({"signature_name": "s"}, ("FAILED_PRECONDITION", 'Serving signature key "s" not found.')),
        ({"signature_name": "regression"}, ("INVALID_ARGUMENT", "'regression' is asked through regress")),
    ],
)
def test_what_is_not_served_has_the_status_of_tensorflow_serving(
    server: Running, spec: dict[str, Any], status: tuple[str, str]
) -> None:
    assert status_of(server, f"{PREDICTION}/Predict", predict_request(**spec)) == status


def test_a_wrong_input_is_the_callers_mistake(server: Running) -> None:
    code, details = status_of(server, f"{PREDICTION}/Predict", predict_request(np.ones((1, 5), np.float32)))
    assert code == "INVALID_ARGUMENT"
    assert "[1, 5]" in details
    with pytest.raises(grpc.RpcError) as caught:
        server._channel.unary_unary(f"{PREDICTION}/Predict")(b"\xff", timeout=5)
    assert caught.value.code().name == "INVALID_ARGUMENT"


def test_an_unknown_method_is_unimplemented(server: Running) -> None:
    assert status_of(server, f"{PREDICTION}/PredictStream", predict_request())[0] == "UNIMPLEMENTED"


def examples(*values: list[float], method: str = "", signature: str = "") -> Any:
    request = {"Classify": serving.ClassificationRequest, "Regress": serving.RegressionRequest}[method]()
    request.model_spec.name, request.model_spec.signature_name = "m", signature
    for each in values:
        example = request.input.example_list.examples.add()
        example.features.feature["input"].float_list.value.extend(each)
    return request


@pytest.mark.parametrize("signature", ["", "classification"])
def test_examples_are_classified(server: Running, signature: str) -> None:
    request = examples([1, 1, 1, 1], [2, 2, 2, 2], method="Classify", signature=signature)
    response = server.call(f"{PREDICTION}/Classify", request, serving.ClassificationResponse)
    scores = [[each.score for each in row.classes] for row in response.result.classifications]
    assert scores == [pytest.approx([np.sin(1), np.sin(2)]), pytest.approx([np.sin(2), np.sin(4)])]


def test_examples_are_regressed_with_a_common_context(server: Running) -> None:
    request = serving.RegressionRequest()
    request.model_spec.name = "m"
    together = request.input.example_list_with_context
    together.context.features.feature["input"].int64_list.value.extend([2, 2, 2, 2])
    together.examples.add()
    response = server.call(f"{PREDICTION}/Regress", request, serving.RegressionResponse)
    assert [each.value for each in response.result.regressions] == pytest.approx([np.sin(2)])


@pytest.mark.parametrize(
    ("request_", "details"),
    [
        (examples(method="Classify"), "Input is empty."),
        (examples([1, 1, 1], method="Classify"), "feature 'input' has 3 values, which do not make [4]"),
        (examples([1] * 4, method="Classify", signature="x"), "No signature was found with the name: x"),
        (
            examples([1] * 4, method="Classify", signature="regression"),
            f"Expected classification signature method_name to be {METHOD}/classify. Was: {METHOD}/regress",
        ),
    ],
)
def test_examples_that_do_not_fit_are_refused(server: Running, request_: Any, details: str) -> None:
    assert status_of(server, f"{PREDICTION}/Classify", request_) == ("INVALID_ARGUMENT", details)


def test_multi_inference_answers_several_signatures_from_one_call_of_the_model(server: Running) -> None:
    request = serving.MultiInferenceRequest()
    for signature, method in (("regression", "regress"), ("classification", "classify")):
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = "m", signature
    example = request.input.example_list.examples.add()
    example.features.feature["input"].float_list.value.extend([1, 1, 1, 1])
    response = server.call(f"{PREDICTION}/MultiInference", request, serving.MultiInferenceResponse)
    assert response.results[0].regression_result.regressions[0].value == pytest.approx(np.sin(1))
    assert response.results[1].classification_result.classifications[0].classes[1].score == pytest.approx(np.sin(2))
    assert [each.model_spec.signature_name for each in response.results] == ["regression", "classification"]
    request.tasks[1].model_spec.signature_name = "regression"
    assert (
        status_of(server, f"{PREDICTION}/MultiInference", request)[1] == "Duplicate evaluation of signature: regression"
    )


def test_metadata_are_the_signatures(server: Running) -> None:
    request = serving.GetModelMetadataRequest(metadata_field=["signature_def"])
    assert status_of(server, f"{PREDICTION}/GetModelMetadata", request) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    request.model_spec.name = "m"
    response = server.call(f"{PREDICTION}/GetModelMetadata", request, serving.GetModelMetadataResponse)
    signatures = serving.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert sorted(signatures.signature_def) == ["classification", "regression", "serving_default"]
    served = signatures.signature_def["serving_default"]
    assert [dim.size for dim in served.inputs["input"].tensor_shape.dim] == [-1, 4]


def test_kserve_clients_are_answered_on_the_same_port(server: Running) -> None:
    path = "/inference.GRPCInferenceService"
    request = inference.ModelInferRequest(model_name="m", id="7", outputs=[{"name": "value"}])
    request.inputs.add(name="input", datatype="FP32", shape=[1, 4])
    request.raw_input_contents.append(SAMPLE.tobytes())
    response = server.call(f"{path}/ModelInfer", request, inference.ModelInferResponse)
    assert (response.id, response.model_version, [each.name for each in response.outputs]) == ("7", "3", ["value"])
    np.testing.assert_allclose(np.frombuffer(response.raw_output_contents[0], np.float32), [np.sin(1)], rtol=1e-6)
    for name, ready in (("m", True), ("other", False)):
        answer = server.call(f"{path}/ModelReady", inference.ModelReadyRequest(name=name), inference.ModelReadyResponse)
        assert answer.ready is ready
    metadata = server.call(
        f"{path}/ModelMetadata", inference.ModelMetadataRequest(name="m"), inference.ModelMetadataResponse
    )
    assert [(each.name, each.datatype, list(each.shape)) for each in metadata.inputs] == [("input", "FP32", [-1, 4])]
    request.model_name = "other"
    assert status_of(server, f"{path}/ModelInfer", request)[0] == "NOT_FOUND"


# ---------------------------------------------------------------------------------------------------------------- REST


def test_rest_answers_in_the_format_of_the_request(server: Running) -> None:
    status, headers, body = server.http("/v1/models/m:predict", ROWS)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body)["predictions"][0]["output"] == pytest.approx([np.sin(1), np.sin(2)])
    _, _, body = server.http("/v1/models/m/versions/3:predict", b'{"inputs": [[1, 1, 1, 1]]}')
    assert json.loads(body)["outputs"]["value"] == pytest.approx([np.sin(1)])


def test_rest_classifies_and_regresses(server: Running) -> None:
    body = b'{"context": {"input": [1.0, 1, 1, 1]}, "examples": [{}, {"input": [2, 2, 2, 2]}]}'
    _, _, answer = server.http("/v1/models/m:regress", body)
    assert json.loads(answer)["result"] == pytest.approx([np.sin(1), np.sin(2)])
    _, _, answer = server.http("/v1/models/m:classify", body)
    assert json.loads(answer)["result"][1] == [["", pytest.approx(np.sin(2))], ["", pytest.approx(np.sin(4))]]


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("/v1/models/other:predict", ROWS, 404, "Servable not found for request: Latest(other)"),
        ("/v1/models/m/versions/9:predict", ROWS, 404, "Servable not found for request: Specific(m, 9)"),
        ("/v1/models/m/labels/new:predict", ROWS, 400, "Unrecognized servable version label: new"),
        ("/v1/models/m:predict", b"{", 400, ""),
        ("/v1/models/m:predict", b'{"instances": [[1, 1]]}', 400, ""),
        ("/v1/models/m:classify", b"[]", 400, "an object with a list of 'examples' is expected"),
        ("/v1/models/m:regress", b'{"examples": [{"input": {"b64": "?"}}]}', 400, "feature 'input' is none"),
        ("/v1/models/m:guess", ROWS, 400, "Malformed request: POST /v1/models/m:guess"),
        ("/v1/models/other", None, 404, "Could not find any versions of model other"),
        ("/v1/models/m/versions/9", None, 404, "Could not find version 9 of model m"),
        ("/v1/models", None, 400, "Missing model name in request."),
        ("/elsewhere", None, 404, "Not Found"),
    ],
)
def test_rest_errors_are_json_with_a_status(
    server: Running, path: str, body: bytes | None, status: int, error: str
) -> None:
    found, _, answer = server.http(path, body)
    assert found == status
    assert json.loads(answer)["error"].startswith(error)


def test_rest_tells_status_and_metadata_as_tensorflow_serving_writes_them(server: Running) -> None:
    _, _, body = server.http("/v1/models/m")
    state = {"version": "3", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert json.loads(body) == {"model_version_status": [state]}
    metadata = json.loads(server.http("/v1/models/m/metadata")[2])
    assert metadata["model_spec"] == {"name": "m", "signature_name": "", "version": "3"}
    info = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["input"]
    assert (info["dtype"], info["tensor_shape"]["dim"][1]["size"]) == ("DT_FLOAT", "4")


def test_rest_bodies_may_be_packed_in_both_directions(server: Running) -> None:
    rows = json.dumps({"instances": [[1, 1, 1, 1]] * 40}).encode()
    status, headers, body = server.http(
        "/v1/models/m:predict", gzip.compress(rows), **{"content-encoding": "gzip", "accept-encoding": "gzip"}
    )
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert len(json.loads(gzip.decompress(body))["predictions"]) == 40
    assert server.http("/v1/models/m:predict", b"no", **{"content-encoding": "gzip"})[0] == 400
    assert server.http("/v1/models/m:predict", b"no", **{"content-encoding": "br"})[0] == 415


# -------------------------------------------------------------------------------------- identity, stamps, counts, met


def test_the_server_says_who_it_is(server: Running) -> None:
    told = json.loads(server.http(IDENTITY_PATH)[2])
    assert (told["nonce"], told["artifact_id"], told["pid"]) == ("n0", "a1", os.getpid())


def test_every_answer_tells_when_the_server_did_what(server: Running) -> None:
    before_ns = time.perf_counter_ns()
    _, call = server._channel.unary_unary(f"{PREDICTION}/Predict").with_call(predict_request().SerializeToString())
    _, headers, _ = server.http("/v1/models/m:predict", ROWS)
    trailing = dict(call.trailing_metadata())
    for text in (trailing[STAMPS_HEADER], headers[STAMPS_HEADER]):
        worker, *times = map(int, text.split(","))
        assert worker == os.getpid()
        in_order = [before_ns, *times, time.perf_counter_ns()]
        assert in_order == sorted(in_order)


def test_received_requests_are_counted_by_how_they_ended(server: Running) -> None:
    def counts() -> tuple[int, int, int, int]:
        (found,) = read_counters(server.counters_dir)  # type: ignore[attr-defined]
        return found.received, found.answered, found.failed, found.refused

    before = counts()
    server.predict()
    server.http("/v1/models/m:predict", ROWS)
    server.http("/v1/models/m")  # no request for inference
    status_of(server, f"{PREDICTION}/Predict", predict_request(version=9))
    assert [after - old for after, old in zip(counts(), before, strict=True)] == [3, 2, 1, 0]


def test_prometheus_finds_the_metrics_of_tensorflow_serving(server: Running) -> None:
    server.predict()
    status, headers, page = server.http("/monitoring/prometheus/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain")
    lines = page.decode().splitlines()
    assert any(line.startswith(':tensorflow:serving:request_count{model_name="m",status="OK"} ') for line in lines)
    name = ':tensorflow:serving:request_latency_bucket{model_name="m",API="Predict",entrypoint="GRPC"'
    assert any(line.startswith(f'{name},le="10.0"}} ') for line in lines)
    assert any(line.startswith(f'{name},le="+Inf"}} ') for line in lines)
