"""One server with the model in it answers in every encoding what the model says, and tells when it did what."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from bench import wire
from bench.core.serving import IDENTITY_PATH, STAMPS_HEADER
from tests.servers.http_servers import NONCE, Running, direct_answer, null_service, running_server
from tests.wire.signatures import HTTP

BATCH = {"input": np.arange(8, dtype=np.float32).reshape(2, 4) / 7}
_JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("server")
    with running_server(directory, null_service(directory)) as running:
        yield running


@pytest.mark.parametrize("encoding", HTTP)
def test_every_encoding_brings_what_the_model_says(server: Running, encoding: str) -> None:
    answer = server.decoded(encoding, server.send(encoding, BATCH))
    wanted = direct_answer(server.service, BATCH)
    assert list(answer) == ["output", "second"]
    for name, array in wanted.items():
        np.testing.assert_array_equal(answer[name], array, strict=True)


def test_an_answer_tells_when_its_server_did_what(server: Running) -> None:
    before_ns = time.perf_counter_ns()
    answer = server.send("binary", BATCH)
    worker, *times = map(int, answer.headers[STAMPS_HEADER].split(","))
    assert worker == server.process.pid
    assert len(times) == 6
    passed = [before_ns, *times, time.perf_counter_ns()]
    assert passed == sorted(passed)


def test_a_server_proves_who_it_is(server: Running) -> None:
    server.send("binary", BATCH)
    identity = server.get(IDENTITY_PATH).json
    assert identity["nonce"] == NONCE
    assert identity["artifact_id"] == "a1"
    assert identity["pid"] == server.process.pid
    assert identity["provider"] == "null"
    assert identity["import_s"] > 0


def test_a_connection_is_kept_or_closed_as_the_client_says(server: Running) -> None:
    request = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n"
    kept = server.raw(request * 2 + request.replace(b"host: x", b"host: x\r\nconnection: close"))
    assert kept.count(b"HTTP/1.1 200") == 3
    assert kept.count(b"connection: close") == 1


def test_only_this_machine_is_listened_to(server: Running) -> None:
    listeners = [each for each in psutil.Process(server.process.pid).net_connections() if each.status == "LISTEN"]
    assert [each.laddr for each in listeners] == [("127.0.0.1", server.port)]


def test_the_open_inference_protocol_is_spoken(server: Running) -> None:
    assert server.get("/v2").json["extensions"] == ["binary_tensor_data"]
    assert server.get("/v2/health/live").json == {"live": True}
    assert server.get("/v2/health/ready").json == {"ready": True}
    for model in ("/v2/models/m", "/v2/models/m/versions/1"):
        assert server.get(f"{model}/ready").json == {"name": "m", "ready": True}
        told = server.get(model).json
        assert told["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 4]}]
        assert told["outputs"][1] == {"name": "second", "datatype": "FP64", "shape": [-1]}
        assert told["versions"] == ["1"]
        tensor = {"name": "input", "shape": [1, 4], "datatype": "FP32", "data": [[1, 2, 3, 4]]}
        answer = server.ask("POST", f"{model}/infer", json.dumps({"id": "7", "inputs": [tensor]}).encode()).json
        assert (answer["id"], answer["model_name"], answer["model_version"]) == ("7", "m", "1")


def test_an_inference_request_may_mix_json_and_bytes_and_choose_its_outputs(server: Running) -> None:
    array = BATCH["input"]
    wanted = direct_answer(server.service, BATCH)
    text = json.dumps(
        {
            "inputs": [
                {"name": "input", "shape": [2, 4], "datatype": "FP32", "parameters": {"binary_data_size": array.nbytes}}
            ],
            "outputs": [{"name": "second"}, {"name": "output", "parameters": {"binary_data": True}}],
        }
    ).encode()
    length = {"inference-header-content-length": str(len(text))}
    answer = server.ask("POST", "/v2/models/m/infer", text + array.tobytes(), length)
    told = json.loads(answer.body[: int(answer.headers["inference-header-content-length"])])
    assert told["outputs"][0]["data"] == wanted["second"].tolist()
    assert told["outputs"][1]["parameters"] == {"binary_data_size": wanted["output"].nbytes}
    assert answer.body.endswith(wanted["output"].tobytes())
    refused = server.ask("POST", "/v2/models/m/infer", text.replace(b"second", b"thirds") + array.tobytes(), length)
    assert (refused.status, refused.error) == (400, "'thirds' is no output of the model; it has output, second")


def test_tensorflow_servings_paths_are_spoken(server: Running) -> None:
    for model in ("/v1/models/m", "/v1/models/m/versions/1"):
        assert server.get(model).json["model_version_status"][0]["state"] == "AVAILABLE"
        definition = server.get(f"{model}/metadata").json["metadata"]["signature_def"]["signature_def"]
        tensor = definition["serving_default"]["inputs"]["input"]
        assert (tensor["dtype"], [size["size"] for size in tensor["tensor_shape"]["dim"]]) == ("DT_FLOAT", ["-1", "4"])
        rows = server.ask("POST", f"{model}:predict", b'{"instances": [{"input": [1, 2, 3, 4]}]}').json
        assert set(rows["predictions"][0]) == {"output", "second"}
        columns = server.ask("POST", f"{model}:predict", b'{"inputs": {"input": [[1, 2, 3, 4]]}}').json
        assert columns["outputs"]["second"] == [rows["predictions"][0]["second"]]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/nowhere", None, 404, "'/nowhere' is no path"),
        ("GET", "/v2/models/other", None, 404, "'other' is not served, only the model 'm'"),
        ("POST", "/v1/models/other:predict", b"{}", 404, "'other:predict' is not served"),
        ("POST", "/v2/models/m/versions/2/infer", b"{}", 404, "'m/versions/2/infer' is not served"),
        ("GET", "/v1/predict", None, 405, "GET is not allowed"),
        ("DELETE", IDENTITY_PATH, None, 405, "DELETE is not allowed"),
        ("POST", "/v1/predict", b'{"inputs": {"input": [[1, 2, 3]]}}', 400, "length >= 4"),
        ("POST", "/v1/predict", b'{"inputs": {"inputs": [[1, 2, 3, 4]]}}', 400, "unknown field `inputs`"),
        ("POST", "/v1/predict", b'{"inputs": {"input": [[1, 2, 3, "4"]]}}', 400, "Expected `float`, got `str`"),
        ("POST", "/v1/predict", b"", 400, "JSON"),
        ("POST", "/v1/models/m:predict", b'{"instances": []}', 400, "no values in 'instances'"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    server: Running, method: str, path: str, body: bytes | None, status: int, words: str
) -> None:
    answer = server.ask(method, path, body, _JSON)
    assert (answer.status, words in answer.error) == (status, True), answer.body
    assert answer.headers["content-type"] == "application/json"


def test_an_unknown_content_type_is_answered_with_the_known_ones(server: Running) -> None:
    answer = server.ask("POST", "/v1/predict", b"a=1", {"content-type": "application/x-www-form-urlencoded"})
    assert answer.status == 415
    assert "application/json" in answer.error
    known = server.ask(
        "POST",
        "/v1/predict",
        b'{"inputs": {"input": [[1, 2, 3, 4]]}}',
        {"content-type": "Application/JSON; charset=utf-8"},
    )
    assert known.status == 200


def test_bodies_may_be_packed_both_ways(server: Running) -> None:
    batch = {"input": np.zeros((200, 4), np.float32)}
    request = wire.encoding("json").encode_request("m", batch, ())
    answer = server.ask(
        "POST",
        request.path,
        gzip.compress(request.body),
        {**_JSON, "content-encoding": "gzip", "accept-encoding": "gzip"},
    )
    assert answer.headers["content-encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(answer.body))["outputs"]["output"]) == 200
    assert "content-encoding" not in server.send("json", BATCH, {"accept-encoding": "gzip"}).headers


def test_what_the_docs_page_shows_can_be_sent_as_it_is(server: Running) -> None:
    document = server.get("/openapi.json").json
    sent = {
        path: server.ask(
            "POST", path, json.dumps(post["requestBody"]["content"]["application/json"]["example"]).encode(), _JSON
        )
        for path, post in ((path, item["post"]) for path, item in document["paths"].items() if "post" in item)
    }
    assert {path: answer.status for path, answer in sent.items()} == dict.fromkeys(
        ["/v1/predict", "/v2/models/m/infer", "/v1/models/m:predict"], 200
    )
    for path, item in document["paths"].items():
        if "get" in item:
            assert server.get(path).status == 200


def test_the_docs_page_takes_everything_from_its_own_server(server: Running) -> None:
    pytest.importorskip("swagger_ui_bundle", reason="not installed: pip install swagger-ui-bundle")
    for path in ("/", "/docs"):
        page = server.get(path).body.decode()
        assert "//" not in page
    for path in ("/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/start.js"):
        assert path in page
        assert server.get(path).status == 200


def test_what_is_not_finite_is_said_where_a_protocol_has_words_for_it(server: Running) -> None:
    batch = {"input": np.full((1, 4), np.nan, np.float32)}
    for encoding in ("binary", "npy", "kserve", "kserve_binary", "tfs_row", "tfs_columns"):
        assert np.isnan(server.decoded(encoding, server.send(encoding, batch))["output"]).all()
    assert server.ask("POST", "/v1/predict", b'{"inputs": {"input": [[NaN, 1, 1, 1]]}}', _JSON).status == 400


def test_every_request_is_counted_once(tmp_path: Path) -> None:
    service = null_service(tmp_path, fault="nan")
    with running_server(tmp_path, service) as server:
        server.send("binary", BATCH)
        assert "not finite" in server.send("json", BATCH).error
        server.ask("POST", "/v1/predict", b"{", _JSON)
        server.get(IDENTITY_PATH)
        counts = server.counts()
        assert (counts.received, counts.answered, counts.failed, counts.refused) == (3, 1, 2, 0)
        metrics = server.get("/metrics").body.decode()
        assert re.search(r'requests_total{worker="\d+\.\d+",outcome="failed"} 2\n', metrics)


def test_a_model_that_fails_is_told_and_the_server_lives_on(tmp_path: Path) -> None:
    with running_server(tmp_path, null_service(tmp_path, fault="raise", fault_phase="first_call")) as server:
        answer = server.send("binary", BATCH)
        assert (answer.status, answer.error) == (500, "the model cannot be run: an injected fault in first_call")
        assert server.send("binary", BATCH).status == 200


def test_a_signal_ends_a_server_within_two_seconds_and_what_runs_is_answered(tmp_path: Path) -> None:
    with running_server(tmp_path, null_service(tmp_path, service_ms=300)) as server, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(server.send, "binary", BATCH)
        time.sleep(0.1)
        started = time.monotonic()
        server.process.terminate()
        assert server.process.wait(5) == 0
        assert time.monotonic() - started < 2
        assert asked.result().status == 200
