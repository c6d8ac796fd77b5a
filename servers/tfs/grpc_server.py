"""The gRPC server: methods by name, bytes to messages and back, statuses, stamps, and limits on all that can grow.

`received` is when the whole message has left gRPC's core and a thread has taken it: how long it lay in the core's queue
before cannot be seen from Python. There are as many threads as calls may be under way, so that none waits for a thread
unseen. What gRPC itself refuses, a message too large or a call beyond all that may be under way, is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import grpc

from bench.core.errors import HostError
from bench.core.serving import LOOPBACK, STAMPS_HEADER
from bench.wire.protobuf import health, inference, serving
from bench.wire.tfs_grpc import parsed

from .grpc_kserve import Kserve
from .grpc_prediction import Models, Prediction
from .inference import Call, Inference
from .status import StatusError

_SPARE_CALLS = 32  # questions of other kinds beside those that wait for the model
_ENTRYPOINT = "GRPC"

Handle = Callable[[Any, Call], Any]


class Method(NamedTuple):
    """One method: the message it takes, what answers it, and whether it calls a model."""

    request: Any
    handle: Handle
    infers: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class GrpcSettings:
    """Where to listen and how much to take; `threads` 0 are as many as calls may be under way."""

    port: int
    socket_path: str
    max_message_bytes: int
    max_waiting: int
    threads: int
    arguments: tuple[tuple[str, int | str], ...] = ()


def methods_of(
    prediction: Prediction, models: Models, kserve: Kserve, *, with_health: bool
) -> dict[str, dict[str, Method]]:
    """Service -> name -> method."""
    serves = health.HealthCheckResponse(status=health.HealthCheckResponse.SERVING)
    tables = {
        "tensorflow.serving.PredictionService": {
            "Predict": Method(serving.PredictRequest, prediction.predict, infers=True),
            "Classify": Method(serving.ClassificationRequest, prediction.classify, infers=True),
            "Regress": Method(serving.RegressionRequest, prediction.regress, infers=True),
            "MultiInference": Method(serving.MultiInferenceRequest, prediction.multi_inference, infers=True),
            "GetModelMetadata": Method(serving.GetModelMetadataRequest, prediction.get_model_metadata),
        },
        "tensorflow.serving.ModelService": {
            "GetModelStatus": Method(serving.GetModelStatusRequest, models.get_model_status),
            "HandleReloadConfigRequest": Method(serving.ReloadConfigRequest, models.handle_reload_config_request),
        },
        "inference.GRPCInferenceService": {
            "ServerLive": Method(inference.ServerLiveRequest, kserve.server_live),
            "ServerReady": Method(inference.ServerReadyRequest, kserve.server_ready),
            "ModelReady": Method(inference.ModelReadyRequest, kserve.model_ready),
            "ServerMetadata": Method(inference.ServerMetadataRequest, kserve.server_metadata),
            "ModelMetadata": Method(inference.ModelMetadataRequest, kserve.model_metadata),
            "ModelInfer": Method(inference.ModelInferRequest, kserve.model_infer, infers=True),
        },
    }
    if with_health:
        tables["grpc.health.v1.Health"] = {"Check": Method(health.HealthCheckRequest, lambda *_: serves)}
    return tables


def _arrived(body: bytes) -> tuple[int, bytes]:
    return time.perf_counter_ns(), body


def _handler(api: str, method: Method, inference: Inference) -> Any:
    def answer(request: tuple[int, bytes], context: Any) -> bytes:
        received_ns, body = request
        call = Call(api=api, entrypoint=_ENTRYPOINT, received_ns=received_ns, is_wanted=context.is_active)
        call.dequeued_ns = time.perf_counter_ns()
        try:
            with inference.ended(call, is_counted=method.infers):
                content: bytes = method.handle(parsed(method.request, body), call).SerializeToString()
        except StatusError as error:
            context.abort(getattr(grpc.StatusCode, error.code), error.message)
        if method.infers:
            context.set_trailing_metadata(((STAMPS_HEADER, call.stamps()),))
        return content

    return grpc.unary_unary_rpc_method_handler(answer, request_deserializer=_arrived)


def start_grpc(settings: GrpcSettings, services: dict[str, dict[str, Method]], inference: Inference) -> Any:
    """A started grpc.Server on loopback; HostError when another program has the port."""
    may_be_under_way = settings.max_waiting + 1 + _SPARE_CALLS
    options: Sequence[tuple[str, int | str]] = (
        ("grpc.so_reuseport", 0),  # else a second server on the port takes half of the calls, and nobody is told
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        *settings.arguments,
    )
    server = grpc.server(
        ThreadPoolExecutor(settings.threads or may_be_under_way, thread_name_prefix="grpc"),
        handlers=[
            grpc.method_handlers_generic_handler(
                service, {name: _handler(name, method, inference) for name, method in methods.items()}
            )
            for service, methods in services.items()
        ],
        options=options,
        maximum_concurrent_rpcs=may_be_under_way,
    )
    addresses = [f"{LOOPBACK}:{settings.port}"]
    if settings.socket_path:
        addresses.append(f"unix:{settings.socket_path}")
    for address in addresses:
        try:
            server.add_insecure_port(address)
        except RuntimeError as error:
            raise HostError(
                f"{address} cannot be listened on: another program has it", hint="end that program, or choose another"
            ) from error
    server.start()
    return server
