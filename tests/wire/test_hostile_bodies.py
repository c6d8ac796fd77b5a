"""Whatever is wrong with a body is one line, found before memory is taken; nothing else is ever raised."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import wire
from bench.core.artifact import TensorSpec
from tests.wire.signatures import HTTP, IMAGE, TWO

_IMAGE = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
_TWO = {"ids:0": np.zeros((2, 4), np.int64), "said": np.array(["a", "b"], object)}
_QUICK = settings(max_examples=25, deadline=None)


def _refusal(
    name: str, body: bytes, specs: tuple[TensorSpec, ...] = IMAGE, headers: dict[str, str] | None = None
) -> str:
    with pytest.raises(wire.WireError) as caught:
        wire.encoding(name).decode_request(body, headers or {}, specs)
    text = str(caught.value)
    assert text
    assert "\n" not in text
    assert len(text) < 500
    return text


def _sent(name: str, tensors: dict[str, np.ndarray], specs: tuple[TensorSpec, ...] = IMAGE) -> str:
    """The refusal of a well-formed request that does not fit the model."""
    request = wire.encoding(name).encode_request("m", tensors, specs)
    return _refusal(name, request.body, specs, dict(request.headers))


def _binary(entries: object, content: bytes = b"") -> bytes:
    listed = json.dumps(entries).encode()
    return struct.pack("<I", len(listed)) + listed + content


@pytest.mark.parametrize("name", HTTP)
def test_a_tensor_that_the_model_does_not_take_or_that_is_missing_is_named(name: str) -> None:
    assert "third" in _sent(name, {**_TWO, "third": np.zeros(2, np.float32)}, TWO)
    if name not in {"npy", "tfs_columns", "tfs_row"}:  # where one tensor alone has no name
        assert "said" in _sent(name, {"ids:0": _TWO["ids:0"]}, TWO)
        assert "imag" in _sent(name, {"imago": _IMAGE})


@pytest.mark.parametrize("name", HTTP)
@pytest.mark.parametrize("shape", [(1, 2, 4), (1, 3, 2), (6,), (1, 2, 3, 1)])
def test_another_shape_is_refused(name: str, shape: tuple[int, ...]) -> None:
    _sent(name, {"image": np.zeros(shape, np.float32)})


@pytest.mark.parametrize("name", HTTP)
def test_a_dimension_of_one_name_has_one_size(name: str) -> None:
    said = (
        _sent(name, {"ids:0": np.zeros((2, 4), np.int64), "said": np.array(["a", "b", "c"], object)}, TWO)
        if (name != "tfs_row")
        else "batch"
    )
    assert "batch" in said


@pytest.mark.parametrize("name", ["binary", "kserve", "kserve_binary", "npy"])
def test_another_element_type_is_refused_where_the_wire_has_types(name: str) -> None:
    _sent(name, {"image": _IMAGE.astype(np.float64)})
    _sent(name, {"image": _IMAGE.astype(np.int32)})


@pytest.mark.parametrize("name", ["json", "tfs_columns", "tfs_row"])
@pytest.mark.parametrize("element", ['"1"', "true", "null", "{}", "[]", "1e999", "1e39"])
def test_what_is_no_number_of_the_element_type_is_refused(name: str, element: str) -> None:
    key, value = {"json": ("inputs", '{"image": %s}'), "tfs_columns": ("inputs", "%s"), "tfs_row": ("instances", "%s")}[
        name
    ]
    _refusal(name, f'{{"{key}": {value % f"[[[1, 2, {element}], [4, 5, 6]]]"}}}'.encode())


@pytest.mark.parametrize("value", ["1.0", "1e2", "300", "-1", "true", "99999999999999999999"])
def test_no_number_is_bent_to_fit_an_integer(value: str) -> None:
    specs = (TensorSpec(name="x", dtype="uint8", shape=("batch",)),)
    _refusal("json", f'{{"inputs": {{"x": [{value}]}}}}'.encode(), specs)


def test_ragged_lists_are_refused() -> None:
    body = b'{"inputs": {"ids:0": [[1, 2], [3]], "said": ["a", "b"]}}'
    assert "ragged" in _refusal("json", body, TWO)


@pytest.mark.parametrize("name", HTTP)
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b"\0" * 100, b"\xff" * 100, b"[" * 100_000, b'{"inputs":' * 50_000],
    ids=["empty", "open", "list", "null", "object", "utf16", "zeros", "ones", "deep", "deep objects"],
)  # fmt: skip
def test_what_is_no_message_at_all_is_refused(name: str, body: bytes) -> None:
    _refusal(name, body)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("json", '{"inputs": {"image": %s}}'),
        ("json", '{"inputs": %s}'),
        ("kserve", '{"inputs": [{"name": "image", "shape": [1, 2, 3], "datatype": "FP32", "data": %s}]}'),
        ("kserve", '{"inputs": %s}'),
        ("kserve", '{"inputs": [], "parameters": %s}'),
        ("tfs_row", '{"instances": %s}'),
        ("tfs_columns", '{"inputs": {"image": %s}}'),
        ("tfs_columns", '{"inputs": %s}'),
    ],
)
def test_nesting_and_a_flood_of_empty_things_take_no_memory(name: str, text: str) -> None:
    for filling in ("[" * 50_000, "[" + "[]," * 50_000 + "[]]", "[" + "{}," * 50_000 + "{}]", '{"a":' * 50_000):
        body = (text % filling).encode()
        tracemalloc.start()
        try:
            _refusal(name, body)
            assert tracemalloc.get_traced_memory()[1] < 500_000
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    "body",
    [
        _binary([{"name": "image", "dtype": "float32", "shape": [1, 2, 3]}]),
        _binary([{"name": "image", "dtype": "float32", "shape": [1, 2, 3]}], b"x" * 25),
        _binary([{"name": "image", "dtype": "float32", "shape": [1, 2, -3]}], b"x" * 24),
        _binary([{"name": "image", "dtype": "float32", "shape": [2**62, 2**62, 3]}], b"x" * 24),
        _binary([{"name": "image", "dtype": "float32", "shape": [0, 2**62, 2**62]}]),
        _binary([{"name": "image", "dtype": "float32", "shape": [1] * 100}], b"x" * 4),
        _binary([{"name": "image", "dtype": "object", "shape": [1, 2, 3]}], b"x" * 48),
        _binary([{"name": "image", "dtype": "float32", "shape": 6}], b"x" * 24),
        _binary([{"name": "image", "dtype": "float32"}]),
        _binary([{"name": "image", "dtype": "str", "shape": [2**40]}], b"x" * 24),
        _binary({"name": "image"}),
        _binary(7),
        _binary([{"name": "image", "dtype": "float32", "shape": [1, 2, 3]}] * 2, b"x" * 48),
        struct.pack("<I", 2**32 - 1) + b"[]",
        struct.pack("<I", 1 << 20) + b" " * (1 << 20),
    ],
)  # fmt: skip
def test_a_description_that_lies_is_refused(body: bytes) -> None:
    _refusal("binary", body)


def test_truth_values_are_zero_or_one() -> None:
    specs = (TensorSpec(name="x", dtype="bool", shape=("batch",)),)
    assert "0 or 1" in _refusal("binary", _binary([{"name": "x", "dtype": "bool", "shape": [2]}], b"\1\2"), specs)


@pytest.mark.parametrize("packed", [b"", b"\5\0\0\0abc", b"\1\0\0\0\xff", b"\xff\xff\xff\xffa"])
def test_texts_that_are_cut_short_or_no_utf8_are_refused(packed: bytes) -> None:
    specs = (TensorSpec(name="x", dtype="str", shape=("batch",)),)
    _refusal("binary", _binary([{"name": "x", "dtype": "str", "shape": [1]}], packed), specs)


def _npy(header: str, content: bytes = b"x" * 24) -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + content


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|O', 'fortran_order': False, 'shape': (1, 2, 3), }",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 2, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 2, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2**62, 2, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 6, }",
        "{'descr': '<f4', 'shape': (1, 2, 3), }",
        "{'descr': '<M8', 'fortran_order': False, 'shape': (1, 2, 3), }",
        "__import__('os').getpid()",
        "(" * 9000,
        "",
    ],
)  # fmt: skip
def test_a_header_of_numpy_that_lies_is_refused(header: str) -> None:
    _refusal("npy", _npy(header))


def test_a_pickle_in_numpys_file_is_never_read() -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], object), allow_pickle=True)
    assert "'|O'" in _refusal("npy", stream.getvalue())


def _archive(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_an_archive_that_unpacks_to_too_much_is_refused_packed() -> None:
    bomb = _archive({"image.npy": bytes(65 << 20)})
    tracemalloc.start()
    try:
        assert "unpacks to" in _refusal("npy", bomb)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_an_archive_with_an_endless_directory_is_refused() -> None:
    assert "directory" in _refusal("npy", _archive({f"{number:0>100}.npy": b"" for number in range(1000)}))


def test_an_archive_of_another_kind_is_refused() -> None:
    _refusal("npy", _archive({"image.npy": b"abc"}))
    _refusal("npy", _archive({"image.npy": b"abc"}, zipfile.ZIP_LZMA))
    _refusal("npy", _archive({"image.npy": bytes(100)})[:-30] + b"PK\5\6" + bytes(18))


@pytest.mark.parametrize("length", ["-1", "x", "999", "1e1", "", "\uff19"])
def test_a_wrong_length_of_the_json_is_refused(length: str) -> None:
    _refusal("kserve_binary", b"{}", headers={"inference-header-content-length": length})


def _kserve(tensor: dict[str, object], content: bytes = b"", **more: object) -> tuple[bytes, dict[str, str]]:
    full = {"name": "image", "shape": [1, 2, 3], "datatype": "FP32", **tensor}
    text = json.dumps({"inputs": [full], **more}).encode()
    return text + content, {"inference-header-content-length": str(len(text))}


@pytest.mark.parametrize(
    ("tensor", "content"),
    [
        ({"parameters": {"binary_data_size": 24}}, b"x" * 23),
        ({"parameters": {"binary_data_size": 20}}, b"x" * 20),
        ({"parameters": {"binary_data_size": 28}}, b"x" * 28),
        ({"parameters": {"binary_data_size": 24}}, b"x" * 28),
        ({"parameters": {"binary_data_size": -1}}, b"x" * 24),
        ({"parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 24}}, b""),
        ({}, b""),
        ({"data": [1, 2, 3]}, b""),
        ({"data": [[[1, 2, 3]]]}, b""),
        ({"data": [1, 2, 3, 4, 5, [6]]}, b""),
        ({"data": "123456"}, b""),
        ({"datatype": "FP64", "data": [1, 2, 3, 4, 5, 6]}, b""),
        ({"shape": [1, 2, -3], "data": []}, b""),
        ({"shape": [2**62, 2, 3], "data": []}, b""),
    ],
)
def test_an_inference_request_that_lies_is_refused(tensor: dict[str, object], content: bytes) -> None:
    body, headers = _kserve(tensor, content)
    _refusal("kserve_binary", body, headers=headers)


def test_a_tensor_given_twice_is_refused() -> None:
    tensor = {"name": "image", "shape": [1, 2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}
    assert "twice" in _refusal("kserve", json.dumps({"inputs": [tensor, tensor]}).encode())


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [[[1,2,3],[4,5,6]]], "inputs": [[[1,2,3],[4,5,6]]]}',
        b'{"instances": [[[1,2,3],[4,5,6]], {"image": [[1,2,3],[4,5,6]]}]}',
        b'{"instances": [{"image": [[1,2,3],[4,5,6]]}, [[1,2,3],[4,5,6]]]}',
        b'{"signature_name": "other", "instances": [[[1,2,3],[4,5,6]]]}',
        b'{"instances": {"image": [[1,2,3],[4,5,6]]}}',
    ],
)
def test_a_prediction_request_that_mixes_forms_is_refused(body: bytes) -> None:
    _refusal("tfs_row", body)


@pytest.mark.parametrize("name", HTTP)
@_QUICK
@given(st.data())
def test_a_damaged_request_is_understood_or_refused_and_nothing_else(name: str, data: st.DataObject) -> None:
    encoding = wire.encoding(name)
    request = encoding.encode_request("m", _TWO, TWO)
    body = bytearray(request.body)
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(body) - 1))
        body[position] = data.draw(st.integers(0, 255))
    with contextlib.suppress(wire.WireError):
        encoding.decode_request(bytes(body), dict(request.headers), TWO)
    with contextlib.suppress(wire.WireError):
        encoding.decode_response(bytes(body), dict(request.headers), TWO)
