"""The raw format of our own servers: a short description, then each tensor's bytes as they lie in memory.

4 bytes little-endian with the length of a JSON list of {name, dtype, shape}, the list, then for each of its entries the
elements in C order, little-endian. Spaces at the end of the list let the first tensor begin at a multiple of 16, for
runtimes read whole vectors. Texts have their length in front (`bench.wire.texts`).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from bench.core.artifact import TensorSpec

from .dtypes import element_type, plain, wire_name
from .encoding import Message, WireError
from .raw import raw_array, raw_content
from .signature import answered, fitted

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

CONTENT_TYPE = "application/vnd.deploybench.tensors"
PATH = "/v1/predict"

_HEADERS = (("content-type", CONTENT_TYPE),)
_LENGTH = struct.Struct("<I")
_ALIGNMENT = 16
_MAX_DESCRIPTION_BYTES = 1 << 16
_Entry = tuple[str, str, tuple[int, ...]]


class _Described(msgspec.Struct):
    name: str
    dtype: str
    shape: tuple[Annotated[int, Meta(ge=0)], ...]


class Binary:
    """Tensors as bytes, described by one line of JSON."""

    def encode_request(self, model: str, batch: Batch, outputs: Sequence[TensorSpec]) -> Message:
        """A POST to `/v1/predict`."""
        return Message(body=_packed(batch), path=PATH, headers=_HEADERS)

    def decode_request(self, body: bytes, headers: Mapping[str, str], inputs: Sequence[TensorSpec]) -> Batch:
        """Views of `body`."""
        return fitted(_unpacked(body), inputs)

    def encode_response(self, model: str, outputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> Message:
        """The same format."""
        return Message(body=_packed({spec.name: outputs[spec.name] for spec in specs}), headers=_HEADERS)

    def decode_response(self, body: bytes, headers: Mapping[str, str], specs: Sequence[TensorSpec]) -> Batch:
        """Views of `body`."""
        return answered(_unpacked(body), specs)


def _packed(tensors: Mapping[str, Array]) -> bytes:
    arrays = [plain(array) for array in tensors.values()]
    entries = tuple((name, wire_name(array), array.shape) for name, array in zip(tensors, arrays, strict=True))
    return b"".join((_description(entries), *map(raw_content, arrays)))


@lru_cache(maxsize=256)
def _description(entries: tuple[_Entry, ...]) -> bytes:
    listed = msgspec.json.encode([{"name": name, "dtype": dtype, "shape": shape} for name, dtype, shape in entries])
    if len(listed) > _MAX_DESCRIPTION_BYTES - _ALIGNMENT:
        raise WireError(f"the description of the tensors has {len(listed)} bytes, at most {_MAX_DESCRIPTION_BYTES}")
    listed += b" " * (-(_LENGTH.size + len(listed)) % _ALIGNMENT)
    return _LENGTH.pack(len(listed)) + listed


def _unpacked(body: bytes) -> dict[str, Array]:
    if len(body) < _LENGTH.size:
        raise WireError("the body ends before its description")
    offset = _LENGTH.size + _LENGTH.unpack_from(body)[0]
    if offset > min(len(body), _LENGTH.size + _MAX_DESCRIPTION_BYTES):
        raise WireError(f"the description of the tensors would end at byte {offset}")
    found: dict[str, Array] = {}
    for name, dtype, shape in _described(body[_LENGTH.size : offset]):
        found[name], offset = raw_array(body, offset, dtype, shape)
    if offset != len(body):
        raise WireError(f"{len(body) - offset} bytes are left after the last tensor")
    return found


@lru_cache(maxsize=256)
def _described(listed: bytes) -> tuple[_Entry, ...]:
    try:
        entries = msgspec.json.decode(listed, type=list[_Described])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise WireError(f"the description of the tensors is wrong: {error}") from error
    if len({entry.name for entry in entries}) != len(entries):
        raise WireError("two tensors have the same name")
    for entry in entries:
        element_type(entry.dtype)
    return tuple((entry.name, entry.dtype, entry.shape) for entry in entries)


ENCODING = Binary()
