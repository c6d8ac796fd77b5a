"""Which encoding a request speaks: from its path and content type to tensors, and back in the same encoding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from bench import wire
from bench.core.artifact import TensorSpec
from bench.wire import Message
from bench.wire.kserve_messages import VERSION, decode_inference, encode_answer, require_outputs
from bench.wire.tfs_messages import decode_predict, encode_predictions

from .gateway_text import SENTENCES_PATH, with_sentences

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

    Answer = Callable[[Mapping[str, Array]], Message]
    """Outputs by name to the message that the request asked for."""
    Decode = Callable[[bytes, Mapping[str, str]], tuple[Batch, Answer]]
    """Body and headers (lower case) of a request to its tensors, and how to answer it; WireError when it is wrong."""

JSON_TYPE = "application/json"
#: Content type -> encoding of `PREDICT_PATH`.
CONTENT_TYPES: Mapping[str, str] = {
    "application/vnd.deploybench.tensors": "binary",
    JSON_TYPE: "json",
    "application/x-npy": "npy",
    "application/x-npz": "npy",
}
PREDICT_PATH = "/v1/predict"


class Exchange:
    """The encodings in which one model can be asked, over HTTP."""

    def __init__(
        self, model: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], *, tokenizer: str = ""
    ) -> None:
        self._by_type = {kind: _by_encoding(name, model, inputs, outputs) for kind, name in CONTENT_TYPES.items()}
        kserve = _kserve(model, inputs, outputs)
        tfs = _tfs(inputs, outputs)
        self._by_path: dict[str, Decode] = {}
        for version in ("", f"/versions/{VERSION}"):
            for name in {model, quote(model, safe="")}:
                self._by_path[f"/v2/models/{name}{version}/infer"] = kserve
                self._by_path[f"/v1/models/{name}{version}:predict"] = tfs
        if tokenizer:
            answer = partial(wire.encoding("json").encode_response, model, specs=outputs)
            json_or_texts = with_sentences(self._by_type[JSON_TYPE], answer, tokenizer, inputs)
            self._by_type[JSON_TYPE] = self._by_path[SENTENCES_PATH] = json_or_texts

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths to which tensors can be sent."""
        return (PREDICT_PATH, *self._by_path)

    def decoder(self, path: str, content_type: str) -> Decode | None:
        """For a request to one of `paths`; None for a content type that is not read there."""
        decode = self._by_path.get(path) or self._by_type.get(content_type)
        return decode or self._by_type.get(content_type.partition(";")[0].strip().lower())


def _by_encoding(name: str, model: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Decode:
    encoding = wire.encoding(name)
    answer = partial(encoding.encode_response, model, specs=outputs)

    def decode(body: bytes, headers: Mapping[str, str]) -> tuple[Batch, Answer]:
        return encoding.decode_request(body, headers, inputs), answer

    return decode


def _kserve(model: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Decode:
    def decode(body: bytes, headers: Mapping[str, str]) -> tuple[Batch, Answer]:
        batch, wish = decode_inference(body, headers, inputs)
        require_outputs(wish, outputs)
        return batch, partial(encode_answer, model, specs=outputs, wish=wish)

    return decode


def _tfs(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Decode:
    def decode(body: bytes, _: Mapping[str, str]) -> tuple[Batch, Answer]:
        batch, rows = decode_predict(body, inputs)
        return batch, partial(encode_predictions, specs=outputs, rows=rows)

    return decode
