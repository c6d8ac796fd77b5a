"""The protocols over HTTP/1.1: TensorFlow Serving's REST API, KServe v2, and plain JSON of our own servers."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import quote

from bench.core.errors import TargetError
from bench.core.serving import IDENTITY_PATH, MAX_BODY_BYTES
from bench.wire import Message, WireError, encoding

from .address import Address, nobody_there
from .dialect import NotSpoken, Refused, Reply
from .signature import Signature, of_kserve, of_tfs_rest

if TYPE_CHECKING:
    from bench.core.contracts import Batch

_SHOWN_CHARS = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    latency_s: float

    @property
    def is_ok(self) -> bool:
        return self.status == http.client.OK

    @property
    def words(self) -> str:
        """What it says: the text of a JSON error, else the beginning of the body."""
        try:
            told = json.loads(self.body)
            text = str(told.get("error") or told)
        except (ValueError, AttributeError):
            text = self.body.decode(errors="replace")
        return " ".join(text.split())[:_SHOWN_CHARS] or http.client.responses.get(self.status, "")


class _Http:
    """One connection that is kept; TargetError when the server cannot be reached or does not speak HTTP/1.1."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address = address
        self._connection = http.client.HTTPConnection(address.host, address.port, timeout=timeout_s)

    def get(self, path: str) -> _Answer:
        return self._ask("GET", path, Message(body=b""))

    def post(self, message: Message) -> _Answer:
        return self._ask("POST", message.path, message)

    def json_of(self, answer: _Answer) -> Any:
        """The JSON of a good answer, None of any other."""
        if not answer.is_ok:
            return None
        try:
            return json.loads(answer.body)
        except ValueError:
            return None

    def _ask(self, method: str, path: str, message: Message) -> _Answer:
        started = time.perf_counter()
        try:
            self._connection.request(method, path, body=message.body or None, headers=dict(message.headers))
            answer = self._connection.getresponse()
            body = answer.read(MAX_BODY_BYTES + 1)
            if len(body) > MAX_BODY_BYTES:
                raise TargetError(f"{self._address} answers with more than {MAX_BODY_BYTES >> 20} MiB")
        except OSError as error:
            self._connection.close()
            raise nobody_there(self._address, error) from error
        except http.client.HTTPException as error:
            self._connection.close()
            raise TargetError(
                f"{self._address} does not speak HTTP/1.1: {type(error).__name__}",
                hint=f"for a gRPC server: grpc://{self._address}",
            ) from error
        latency_s = time.perf_counter() - started
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return _Answer(status=answer.status, headers=headers, body=body, latency_s=latency_s)

    def close(self) -> None:
        self._connection.close()


class _HttpDialect:
    """What the protocols over HTTP have in common; a subclass says where it finds models and their tensors."""

    name: ClassVar[str]
    transport: ClassVar[Literal["http", "grpc"]] = "http"
    encoding: ClassVar[str]

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address = address
        self._http = _Http(address, timeout_s)

    def models(self) -> tuple[str, ...]:
        """The models it serves as far as it tells."""
        return ()

    def ask(self, model: str, batch: Batch, signature: Signature) -> Reply:
        """One request over the kept connection."""
        code = encoding(self.encoding)
        try:
            message = code.encode_request(model, batch, signature.outputs)
            answer = self._http.post(message)
            if not answer.is_ok:
                raise Refused(f"{self._address} answers {answer.status} by {self.name}: {answer.words}")
            outputs = code.decode_response(answer.body, answer.headers, signature.outputs)
        except WireError as error:
            raise TargetError(f"{self._address} by {self.name}: {error}") from error
        return Reply(
            outputs=outputs,
            latency_s=answer.latency_s,
            sent_bytes=len(message.body),
            received_bytes=len(answer.body),
        )

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def _told(self, path: str) -> Any:
        """The JSON at a path; NotSpoken when there is none."""
        answer = self._http.get(path)
        told = self._http.json_of(answer)
        if told is None:
            raise NotSpoken(f"{self._address}{path} answers {answer.status}: {answer.words}")
        return told


class TfsRest(_HttpDialect):
    """TensorFlow Serving's REST API in rows, https://www.tensorflow.org/tfx/serving/api_rest."""

    name: ClassVar[str] = "rest"
    encoding: ClassVar[str] = "tfs_row"

    def models(self) -> tuple[str, ...]:
        """TensorFlow Serving lists none; KServe's servers of the same protocol do, at /v1/models."""
        told = self._http.json_of(self._http.get("/v1/models"))
        return _names(told.get("models") if isinstance(told, dict) else None)

    def signature(self, model: str) -> Signature:
        """From GET /v1/models/<model>/metadata."""
        return of_tfs_rest(self._told(f"/v1/models/{quote(model, safe='')}/metadata"))


class KServe(_HttpDialect):
    """The Open Inference Protocol (KServe v2) with tensors as JSON."""

    name: ClassVar[str] = "kserve"
    encoding: ClassVar[str] = "kserve"

    def models(self) -> tuple[str, ...]:
        """From Triton's repository index, else from GET /v2/models."""
        listed = self._http.json_of(self._http.post(Message(body=b"{}", path="/v2/repository/index", headers=_JSON)))
        if isinstance(listed, list):
            return _names([each.get("name") for each in listed if isinstance(each, dict)])
        told = self._http.json_of(self._http.get("/v2/models"))
        return _names(told.get("models") if isinstance(told, dict) else None)

    def signature(self, model: str) -> Signature:
        """From GET /v2/models/<model>."""
        return of_kserve(self._told(f"/v2/models/{quote(model, safe='')}"))


class KServeBinary(KServe):
    """The same with tensors as bytes behind the JSON: for large images."""

    name: ClassVar[str] = "kserve-binary"
    encoding: ClassVar[str] = "kserve_binary"


class PlainJson(KServe):
    """Plain JSON of our own servers at /v1/predict; the tensors are told by KServe's metadata."""

    name: ClassVar[str] = "json"
    encoding: ClassVar[str] = "json"

    def signature(self, model: str) -> Signature:
        """From GET /v2/models/<model>, for servers of ours alone."""
        self._told(IDENTITY_PATH)
        return super().signature(model)


def has_page(address: Address, path: str, timeout_s: float) -> bool:
    """Whether a browser gets a page there."""
    server = _Http(address, timeout_s)
    try:
        answer = server.get(path)
        return answer.is_ok and answer.headers.get("content-type", "").startswith("text/html")
    finally:
        server.close()


_JSON = (("content-type", "application/json"),)


def _names(listed: Any) -> tuple[str, ...]:
    """Names in a list of texts, or of objects with a name."""
    if not isinstance(listed, list):
        return ()
    names = [each.get("name") if isinstance(each, dict) else each for each in listed]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))
