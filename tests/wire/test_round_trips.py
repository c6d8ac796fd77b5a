"""What goes into a message comes out of it again: names, shapes, element types and every value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from bench import wire
from bench.core.artifact import TensorSpec
from tests.wire.signatures import HTTP, IMAGE, TEXT, TWO, signed_batches

if TYPE_CHECKING:
    from bench.core.contracts import Array

_QUICK = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _require_equal(found: Mapping[str, Array], wanted: Mapping[str, Array]) -> None:
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, strict=True)


def _there_and_back(name: str, specs: tuple[TensorSpec, ...], tensors: Mapping[str, Array]) -> None:
    encoding = wire.encoding(name)
    request = encoding.encode_request("m", tensors, specs)
    _require_equal(encoding.decode_request(request.body, dict(request.headers), specs), tensors)
    answer = encoding.encode_response("m", tensors, specs)
    _require_equal(encoding.decode_response(answer.body, dict(answer.headers), specs), tensors)


@pytest.mark.parametrize("name", [name for name in HTTP if name != "json"])
@_QUICK
@given(signed_batches(finite=False))
def test_requests_and_answers_survive_an_encoding(
    name: str, signed: tuple[tuple[TensorSpec, ...], dict[str, Array]]
) -> None:
    _there_and_back(name, *signed)


@_QUICK
@given(signed_batches(finite=True))
def test_requests_and_answers_survive_plain_json(signed: tuple[tuple[TensorSpec, ...], dict[str, Array]]) -> None:
    _there_and_back("json", *signed)


@pytest.mark.parametrize("name", [name for name in HTTP if name != "tfs_row"])
def test_an_empty_batch_survives(name: str) -> None:
    _there_and_back(name, IMAGE, {"image": np.zeros((0, 2, 3), np.float32)})


def test_rows_without_a_sample_are_refused_as_the_reference_does() -> None:
    with pytest.raises(wire.WireError, match="no values in 'instances'"):
        wire.encoding("tfs_row").decode_request(b'{"instances": []}', {}, IMAGE)


@pytest.mark.parametrize("name", [name for name in HTTP if name != "tfs_row"])
def test_a_single_number_survives(name: str) -> None:
    specs = (TensorSpec(name="x", dtype="float32", shape=()),)
    _there_and_back(name, specs, {"x": np.array(1.5, np.float32)})


@pytest.mark.parametrize("name", HTTP)
@pytest.mark.parametrize("change", ["transposed", "strided", "big-endian"])
def test_how_an_array_lies_in_memory_changes_nothing(name: str, change: str) -> None:
    array = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    laid = {
        "transposed": np.ascontiguousarray(array.transpose()).transpose(),
        "strided": np.repeat(array, 2, axis=2)[:, :, ::2],
        "big-endian": array.astype(">f4"),
    }[change]
    encoding = wire.encoding(name)
    request = encoding.encode_request("m", {"image": laid}, IMAGE)
    _require_equal(encoding.decode_request(request.body, dict(request.headers), IMAGE), {"image": array})


@pytest.mark.parametrize("name", HTTP)
def test_texts_may_have_a_fixed_width_or_be_utf8_bytes(name: str) -> None:
    encoding = wire.encoding(name)
    ids = np.zeros((2, 1), np.int64)
    for said in (np.array(["grün", "x"]), np.array(["grün".encode(), b"x"]), np.array(["grün".encode(), "x"], object)):
        request = encoding.encode_request("m", {"ids:0": ids, "said": said}, TWO)
        found = encoding.decode_request(request.body, dict(request.headers), TWO)
        assert found["said"].tolist() == ["grün", "x"]


@pytest.mark.parametrize("name", TEXT[1:])
def test_numbers_that_are_not_finite_are_bare_words(name: str) -> None:
    array = np.array([[[np.nan, np.inf, -np.inf], [1, 2, 3]]], np.float32)
    request = wire.encoding(name).encode_request("m", {"image": array}, IMAGE)
    answer = wire.encoding(name).encode_response("m", {"image": array}, IMAGE)
    for body in (request.body, answer.body):
        assert b"NaN,Infinity,-Infinity" in body.replace(b" ", b"")


def test_plain_json_refuses_numbers_that_it_cannot_say() -> None:
    encoding = wire.encoding("json")
    array = np.array([[[np.nan, 1, 2], [1, 2, 3]]], np.float32)
    with pytest.raises(wire.WireError, match="'image' holds numbers that are not finite"):
        encoding.encode_response("m", {"image": array}, IMAGE)
    with pytest.raises(wire.WireError, match="JSON"):
        encoding.decode_request(b'{"inputs": {"image": [[[NaN, 1, 2], [1, 2, 3]]]}}', {}, IMAGE)


@pytest.mark.parametrize("name", ["binary", "kserve_binary", "npy"])
def test_bytes_are_read_in_place_and_lie_where_runtimes_want_them(name: str) -> None:
    encoding = wire.encoding(name)
    for model in ("m", "longer"):
        request = encoding.encode_request(model, {"image": np.zeros((1, 2, 3), np.float32)}, IMAGE)
        array = encoding.decode_request(request.body, dict(request.headers), IMAGE)["image"]
        assert not array.flags.owndata
        assert array.ctypes.data % 16 == 0


def test_bytes_that_lie_badly_are_copied() -> None:
    specs = (
        TensorSpec(name="a", dtype="uint8", shape=("batch",)),
        TensorSpec(name="b", dtype="float64", shape=("batch",)),
    )
    tensors = {"a": np.arange(3, dtype=np.uint8), "b": np.arange(3, dtype=np.float64)}
    encoding = wire.encoding("binary")
    found = encoding.decode_request(encoding.encode_request("m", tensors, specs).body, {}, specs)
    assert found["b"].flags.aligned
    _require_equal(found, tensors)
