"""The protocols over gRPC: TensorFlow Serving's PredictionService and KServe's GRPCInferenceService."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from bench.core.artifact import TensorSpec
from bench.core.errors import TargetError
from bench.core.serving import MAX_BODY_BYTES
from bench.wire import WireError, encoding

from .address import Address
from .dialect import NotSpoken, Refused, Reply
from .signature import Signature, of_kserve, tensorflow_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.core.contracts import Batch

_SIGNATURES = "signature_def"
_SIGNATURE = "serving_default"
_SHOWN_CHARS = 300


class _GrpcDialect:
    """What the protocols over gRPC have in common; a subclass says where it finds a model's tensors."""

    name: ClassVar[str]
    transport: ClassVar[Literal["http", "grpc"]] = "grpc"
    encoding: ClassVar[str]

    def __init__(self, address: Address, timeout_s: float) -> None:
        import grpc

        self._address = address
        self._timeout_s = timeout_s
        options = (
            ("grpc.max_receive_message_length", MAX_BODY_BYTES),
            ("grpc.max_send_message_length", MAX_BODY_BYTES),
            ("grpc.enable_http_proxy", 0),  # a proxy of the environment is not for a server that was named
        )
        self._channel = grpc.insecure_channel(str(address), options=options)

    def models(self) -> tuple[str, ...]:
        """None: neither service lists them."""
        return ()

    def ask(self, model: str, batch: Batch, signature: Signature) -> Reply:
        """One call over the kept connection."""
        code = encoding(self.encoding)
        try:
            message = code.encode_request(model, batch, signature.outputs)
            body, latency_s = self._call(message.path, message.body)
            outputs = code.decode_response(body, {}, signature.outputs)
        except WireError as error:
            raise TargetError(f"{self._address} by {self.name}: {error}") from error
        return Reply(outputs=outputs, latency_s=latency_s, sent_bytes=len(message.body), received_bytes=len(body))

    def close(self) -> None:
        """Hang up."""
        self._channel.close()

    def _call(self, path: str, body: bytes) -> tuple[bytes, float]:
        """The message that comes back, and how long it took; NotSpoken, Refused or TargetError when none does."""
        import grpc

        started = time.perf_counter()
        try:
            answer: bytes = self._channel.unary_unary(path)(body, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise self._failure(error.code(), error.details() or "") from error
        return answer, time.perf_counter() - started

    def _failure(self, code: Any, details: str) -> Exception:
        import grpc

        words = " ".join(details.split())[:_SHOWN_CHARS]
        if code in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED}:
            return NotSpoken(f"{self._address} answers {code.name} by {self.name}: {words}")
        if code == grpc.StatusCode.UNAVAILABLE:
            return TargetError(
                f"no gRPC server can be reached at {self._address}: {words}",
                hint=f"start a server: bench serve MODEL --port {self._address.port}",
            )
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return TargetError(
                f"{self._address} does not answer in time", hint="is it the right port? --timeout waits longer"
            )
        return Refused(f"{self._address} answers {code.name} by {self.name}: {words}")


class TfsGrpc(_GrpcDialect):
    """PredictionService of TensorFlow Serving (tensorflow_serving/apis/prediction_service.proto)."""

    name: ClassVar[str] = "grpc"
    encoding: ClassVar[str] = "tfs_grpc"

    def signature(self, model: str) -> Signature:
        """From GetModelMetadata."""
        from bench.wire.protobuf import serving
        from bench.wire.tfs_grpc import parsed

        request = serving.GetModelMetadataRequest(metadata_field=[_SIGNATURES])
        request.model_spec.name = model
        body, _ = self._call("/tensorflow.serving.PredictionService/GetModelMetadata", request.SerializeToString())
        try:
            told = parsed(serving.GetModelMetadataResponse, body)
            signatures = parsed(serving.SignatureDefMap, told.metadata[_SIGNATURES].value).signature_def
            if _SIGNATURE not in signatures:
                raise ValueError(f"it has no {_SIGNATURE}, only {', '.join(sorted(signatures))}")
            found = signatures[_SIGNATURE]
            return Signature(
                inputs=_specs(found.inputs),
                outputs=_specs(found.outputs),
                version=str(told.model_spec.version.value) if told.model_spec.HasField("version") else "",
            )
        except (WireError, ValueError) as error:
            raise TargetError(f"{self._address}: the signature of {model} cannot be read: {error}") from error


class KServeGrpc(_GrpcDialect):
    """GRPCInferenceService of KServe v2 (grpc_predict_v2.proto)."""

    name: ClassVar[str] = "kserve-grpc"
    encoding: ClassVar[str] = "kserve_grpc"

    def signature(self, model: str) -> Signature:
        """From ModelMetadata."""
        from bench.wire.protobuf import inference
        from bench.wire.tfs_grpc import parsed

        request = inference.ModelMetadataRequest(name=model)
        body, _ = self._call("/inference.GRPCInferenceService/ModelMetadata", request.SerializeToString())
        try:
            told = parsed(inference.ModelMetadataResponse, body)
        except WireError as error:
            raise TargetError(f"{self._address}: the tensors of {model} cannot be read: {error}") from error
        return of_kserve(
            {"inputs": _plain(told.inputs), "outputs": _plain(told.outputs), "versions": list(told.versions)}
        )


def _specs(tensors: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    from bench.wire.protobuf import tensorflow

    return tuple(
        tensorflow_spec(
            name,
            tensorflow.DataType.Name(info.dtype),
            [dim.size for dim in info.tensor_shape.dim],
            is_known=not info.tensor_shape.unknown_rank,
        )
        for name, info in sorted(tensors.items())
    )


def _plain(tensors: Any) -> list[dict[str, Any]]:
    return [{"name": each.name, "datatype": each.datatype, "shape": list(each.shape)} for each in tensors]
