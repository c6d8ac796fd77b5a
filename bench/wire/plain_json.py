"""Plain JSON: {"inputs": {name: nested lists}}, answered with {"outputs": {name: nested lists}}.

It is strict JSON both ways: an output that holds NaN or an infinity cannot be sent (`bench.wire.json_text`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from bench.core.artifact import TensorSpec

from .encoding import Message, WireError
from .json_text import answered_array, is_finite, json_text, jsonable, parsed
from .json_types import Typed, batch_of, members, object_type
from .signature import answered, fitted

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

CONTENT_TYPE = "application/json"
PATH = "/v1/predict"

_HEADERS = (("content-type", CONTENT_TYPE),)


class PlainJson:
    """Tensors as nested lists."""

    def encode_request(self, model: str, batch: Batch, outputs: Sequence[TensorSpec]) -> Message:
        """A POST to `/v1/predict`; WireError when an input is not finite."""
        return Message(body=_text("inputs", batch), path=PATH, headers=_HEADERS)

    def decode_request(self, body: bytes, headers: Mapping[str, str], inputs: Sequence[TensorSpec]) -> Batch:
        """Every input by its name and no other."""
        request = _decoder(tuple(inputs)).decode(body, literals=False)
        return fitted(batch_of(members(request.inputs), inputs), inputs)

    def encode_response(self, model: str, outputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> Message:
        """WireError when an output is not finite."""
        return Message(body=_text("outputs", {spec.name: outputs[spec.name] for spec in specs}), headers=_HEADERS)

    def decode_response(self, body: bytes, headers: Mapping[str, str], specs: Sequence[TensorSpec]) -> Batch:
        """Nested lists of any shape."""
        answer = parsed(body)
        outputs = answer.get("outputs") if isinstance(answer, dict) else None
        if not isinstance(outputs, dict):
            raise WireError("the answer has no outputs")
        known = {spec.name: answered_array(outputs[spec.name], spec) for spec in specs if spec.name in outputs}
        return answered(known, specs)


def _text(key: str, tensors: Mapping[str, Array]) -> bytes:
    for name, array in tensors.items():
        if not is_finite(array):
            raise WireError(f"{name!r} holds numbers that are not finite, and JSON has none; ask in another encoding")
    return json_text({key: {name: jsonable(array) for name, array in tensors.items()}}, ())


@lru_cache(maxsize=16)
def _decoder(inputs: tuple[TensorSpec, ...]) -> Typed:
    shapes = [spec.shape for spec in inputs]
    strict, lenient = (
        msgspec.defstruct("Request", [("inputs", object_type(inputs, shapes, lenient=lenient))])
        for lenient in (False, True)
    )
    return Typed(strict, lenient)


ENCODING = PlainJson()
