"""What the TFS-protocol server does not take: too large, too many, too late, and a port that is not free; and what its
flags change."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from bench.core.errors import HostError
from bench.core.serving import MAX_BODY_BYTES
from bench.wire.protobuf import health, serving
from servers.counters import read_counters
from tests.servers.tfs_cases import PREDICTION, Running, add_version, predict_request, running, wait_until

UNLIMITED = [("grpc.max_send_message_length", -1)]


def bench_config(directory: Path, **settings: Any) -> str:
    (directory / "counters").mkdir()
    path = directory / "bench.json"
    path.write_text(json.dumps({"counters_dir": str(directory / "counters"), **settings}))
    return f"--bench_config={path}"


def code_of(call: Any) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    code: str = caught.value.code().name
    return code


def test_a_message_of_one_byte_more_than_64_mib_is_refused_unread(tmp_path: Path) -> None:
    add_version(tmp_path / "m", 1)
    body = memoryview(bytes(MAX_BODY_BYTES + 1))
    with (
        running("--model_name=m", f"--model_base_path={tmp_path / 'm'}") as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}", UNLIMITED) as channel,
    ):
        predict = channel.unary_unary(f"{PREDICTION}/Predict")
        assert code_of(lambda: predict(bytes(body), timeout=20)) == "RESOURCE_EXHAUSTED"
        assert code_of(lambda: predict(bytes(body[:-1]), timeout=20)) == "INVALID_ARGUMENT", "read, but no message"
        assert server.http("/v1/models/m:predict", bytes(body))[0] == 413


def test_calls_beyond_those_that_may_wait_are_refused_at_once_and_counted(tmp_path: Path) -> None:
    add_version(tmp_path / "m", 1, service_ms=500.0)
    words = ("--enable_model_warmup=false", bench_config(tmp_path, max_waiting=2))
    with running("--model_name=m", f"--model_base_path={tmp_path / 'm'}", *words) as server:
        predict = server._channel.unary_unary(f"{PREDICTION}/Predict")
        body = predict_request().SerializeToString()
        calls = [predict.future(body) for _ in range(12)]
        codes = [call.code().name for call in calls]
        (counts,) = read_counters(tmp_path / "counters")
        # Those that are under way but not yet at the model may be one more, by the time they get there.
        assert 3 <= codes.count("OK") <= 4
        assert codes.count("RESOURCE_EXHAUSTED") == 12 - codes.count("OK")
        assert (counts.received, counts.answered, counts.failed) == (12, codes.count("OK"), 0)
        assert counts.refused == codes.count("RESOURCE_EXHAUSTED")


def test_the_model_is_not_called_for_a_caller_that_has_gone(tmp_path: Path) -> None:
    add_version(tmp_path / "m", 1, service_ms=200.0)
    words = ("--enable_model_warmup=false", bench_config(tmp_path))
    with running("--model_name=m", f"--model_base_path={tmp_path / 'm'}", *words) as server:
        predict = server._channel.unary_unary(f"{PREDICTION}/Predict")
        body = predict_request().SerializeToString()
        first = predict.future(body)
        wait_until(lambda: server.server._manager._versions["m"][1].calls == 1)
        assert code_of(lambda: predict(body, timeout=0.05)) == "DEADLINE_EXCEEDED"
        first.result()
        wait_until(lambda: read_counters(tmp_path / "counters")[0].failed == 1)
        assert server.server._manager._versions["m"][1].loaded.model._session._calls == 1  # type: ignore[union-attr]


def test_a_rest_request_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    add_version(tmp_path / "m", 1, service_ms=200.0)
    words = ("--enable_model_warmup=false", "--rest_api_timeout_in_ms=30")
    with running("--model_name=m", f"--model_base_path={tmp_path / 'm'}", *words) as server:
        status, _, answer = server.http("/v1/models/m:predict", b'{"instances": [[1, 1, 1, 1]]}')
        assert (status, json.loads(answer)["error"]) == (504, "not answered within 0.03 s")


@pytest.mark.parametrize("flag", ["--port", "--rest_api_port"])
def test_a_second_server_on_a_port_is_refused(tmp_path: Path, flag: str) -> None:
    add_version(tmp_path / "m", 1)
    words = ("--model_name=m", f"--model_base_path={tmp_path / 'm'}")
    with running(*words) as server:
        taken = server.port if flag == "--port" else server.rest_port
        with pytest.raises(HostError, match=f"127.0.0.1:{taken} cannot be listened on"):
            Running(*words, f"{flag}={taken}").close()
        assert server.predict().model_spec.version.value == 1


def test_what_is_under_way_is_answered_when_the_server_ends(tmp_path: Path) -> None:
    add_version(tmp_path / "m", 1, service_ms=200.0)
    answers: list[int] = []
    with running("--model_name=m", f"--model_base_path={tmp_path / 'm'}", "--enable_model_warmup=false") as server:
        asking = threading.Thread(target=lambda: answers.append(server.predict().model_spec.version.value))
        asking.start()
        wait_until(lambda: server.server._manager._versions["m"][1].calls == 1)
        server.server.stop()
        asking.join()
    assert answers == [1]


def test_flags_change_what_the_server_does(tmp_path: Path) -> None:
    add_version(tmp_path / "m", 1)
    socket_path = tmp_path / "socket"
    words = (
        "--enable_signature_method_name_check",
        "--enable_grpc_healthcheck_service",
        "--enable_serialization_as_tensor_content",
        "--rest_api_enable_cors_support",
        "--enable_batching",
        f"--grpc_socket_path={socket_path}",
        "--grpc_channel_arguments=grpc.max_concurrent_streams=7,grpc.primary_user_agent=x",
    )
    with (
        running("--model_name=m", f"--model_base_path={tmp_path / 'm'}", *words) as server,
        grpc.insecure_channel(f"unix:{socket_path}") as channel,
    ):
        content = channel.unary_unary(f"{PREDICTION}/Predict")(predict_request().SerializeToString(), timeout=5)
        outputs = serving.PredictResponse.FromString(content).outputs
        np.testing.assert_allclose(np.frombuffer(outputs["value"].tensor_content, np.float32), [np.sin(1)], rtol=1e-6)
        checked = health.HealthCheckResponse.FromString(
            channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5)
        )
        assert checked.status == health.HealthCheckResponse.SERVING
        request = serving.ClassificationRequest()
        request.model_spec.name = "m"
        assert code_of(lambda: server.call(f"{PREDICTION}/Classify", request)) == "INVALID_ARGUMENT"
        _, headers, answer = server.http("/v1/models/m:predict", b'{"instances": [[1, 1, 1, 1]]}')
        assert headers["access-control-allow-origin"] == "*"
        assert json.loads(answer)["predictions"][0]["value"] == pytest.approx(np.sin(1))
