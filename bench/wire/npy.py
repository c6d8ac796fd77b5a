"""Numpy's own files: .npy where there is one tensor, .npz where there are several; never a pickle.

https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, versions 1.0 and 2.0, little-endian. The header
is read here: it is small, its words are few, and what it promises is checked before any memory is taken. A .npy does
not name its tensor.
"""

from __future__ import annotations

import ast
import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.artifact import TensorSpec
from bench.core.serving import MAX_BODY_BYTES

from .dtypes import plain, wire_name
from .encoding import Message, WireError
from .raw import raw_array
from .signature import answered, fitted
from .texts import as_text

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

NPY_TYPE = "application/x-npy"
NPZ_TYPE = "application/x-npz"
PATH = "/v1/predict"

_NPY_HEADERS = (("content-type", NPY_TYPE),)
_NPZ_HEADERS = (("content-type", NPZ_TYPE),)
_MAGIC = b"\x93NUMPY"
_LENGTHS = {1: struct.Struct("<H"), 2: struct.Struct("<I")}
_MAX_HEADER_BYTES = 10_000  # as in numpy
_ELEMENT = re.compile(r"[<|]?(b1|[iu][1248]|f[248]|U[1-9]\d{0,6})")
_END_OF_DIRECTORY = struct.Struct("<4s4H2LH")
_MAX_DIRECTORY_BYTES = 1 << 16


class Npy:
    """Tensors as numpy stores them."""

    def encode_request(self, model: str, batch: Batch, outputs: Sequence[TensorSpec]) -> Message:
        """A POST to `/v1/predict`."""
        body, headers = _stored(batch)
        return Message(body=body, path=PATH, headers=headers)

    def decode_request(self, body: bytes, headers: Mapping[str, str], inputs: Sequence[TensorSpec]) -> Batch:
        """Views of `body` where it is a .npy in C order."""
        return fitted(_read(body, inputs), inputs)

    def encode_response(self, model: str, outputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> Message:
        """A .npy where the model has one output."""
        body, headers = _stored({spec.name: outputs[spec.name] for spec in specs})
        return Message(body=body, headers=headers)

    def decode_response(self, body: bytes, headers: Mapping[str, str], specs: Sequence[TensorSpec]) -> Batch:
        """Whichever of the two came."""
        return answered(_read(body, specs), specs)


def _stored(tensors: Mapping[str, Array]) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    arrays = {name: _writable(array) for name, array in tensors.items()}
    if len(arrays) == 1:
        array = next(iter(arrays.values()))
        return b"".join((_header(array.dtype.str, array.shape), array.tobytes())), _NPY_HEADERS
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", _header(array.dtype.str, array.shape) + array.tobytes())
    return stream.getvalue(), _NPZ_HEADERS


def _writable(array: Array) -> Array:
    """Texts in an array of fixed width, the only one that numpy stores without a pickle."""
    if wire_name(array) != "str":
        return plain(array)
    texts = [as_text(text) for text in array.ravel().tolist()]
    return np.array(texts, dtype=f"U{max(map(len, texts), default=0) or 1}").reshape(array.shape)


@lru_cache(maxsize=256)
def _header(descr: str, shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def _read(body: bytes, specs: Sequence[TensorSpec]) -> dict[str, Array]:
    if body.startswith(_MAGIC):
        if len(specs) != 1:
            raise WireError(f"a .npy has one tensor, {len(specs)} are needed: send a .npz")
        return {specs[0].name: _array(body)}
    return {name: _array(content) for name, content in _members(body)}


def _array(content: bytes) -> Array:
    lengths = _LENGTHS.get(content[6]) if len(content) > 12 and content.startswith(_MAGIC) else None
    if lengths is None:
        raise WireError("neither a .npy of version 1 or 2 nor a .npz")
    start = 8 + lengths.size
    offset = start + lengths.unpack_from(content, 8)[0]
    if offset > min(len(content), start + _MAX_HEADER_BYTES):
        raise WireError(f"the .npy header would end at byte {offset}")
    element, fortran_order, shape = _described(content[start:offset])
    if math.prod(shape) * element.itemsize != len(content) - offset:
        raise WireError(f"{element} {list(shape)} is not in the {len(content) - offset} bytes after the .npy header")
    stored = shape[::-1] if fortran_order else shape
    if element.kind == "U":
        array = _texts(content, offset, element, stored)
    else:
        array, _ = raw_array(content, offset, element.name, stored)
    return plain(array.T) if fortran_order else array


def _texts(content: bytes, offset: int, element: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    count = math.prod(shape)
    try:
        flat = np.frombuffer(content, element, count, offset) if count else np.empty(0, element)
        return flat.astype(object).reshape(shape)
    except ValueError as error:
        raise WireError(f"the .npy holds no texts: {error}") from error


@lru_cache(maxsize=256)
def _described(header: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    try:
        said = ast.literal_eval(header.decode("latin-1").strip())
        descr, fortran_order, shape = said["descr"], said["fortran_order"], said["shape"]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise WireError("the .npy header is wrong") from error
    if not isinstance(descr, str) or not _ELEMENT.fullmatch(descr):
        raise WireError(f"the .npy has elements of the type {str(descr)[:40]!r}, which is not read")
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise WireError(f"the .npy has the shape {str(shape)[:40]!r}")
    return np.dtype(descr), fortran_order is True, shape


def _members(body: bytes) -> list[tuple[str, bytes]]:
    """Name and content of each .npy in a .npz, whose sizes are known before one is unpacked."""
    _require_small_directory(body)
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            entries = archive.infolist()
            names = [entry.filename.removesuffix(".npy") for entry in entries]
            if len(set(names)) != len(names):
                raise WireError("the .npz has two members of the same name")
            size = sum(entry.file_size for entry in entries)
            if size > MAX_BODY_BYTES:
                raise WireError(f"the .npz unpacks to {size} bytes, at most {MAX_BODY_BYTES}")
            if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
                raise WireError("the .npz is packed in a way that numpy does not know")
            return [(name, archive.read(entry)) for name, entry in zip(names, entries, strict=True)]
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, OSError, RuntimeError) as error:
        raise WireError(f"neither a .npy nor a .npz: {error}") from error


def _require_small_directory(body: bytes) -> None:
    """Every entry of a directory becomes an object before anything else can be asked of the archive."""
    at = len(body) - _END_OF_DIRECTORY.size
    if at < 0 or body[at : at + 4] != b"PK\x05\x06":
        raise WireError("neither a .npy nor a .npz")
    size = _END_OF_DIRECTORY.unpack_from(body, at)[5]
    if size > _MAX_DIRECTORY_BYTES or body[max(at - 20, 0) :].startswith(b"PK\x06\x07"):
        raise WireError(f"the directory of the .npz is larger than {_MAX_DIRECTORY_BYTES} bytes")


ENCODING = Npy()
