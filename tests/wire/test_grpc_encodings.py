"""The two gRPC encodings: what is sent arrives, and what does not fit the model is refused before memory is taken."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.artifact import TensorSpec
from bench.wire import WireError, encoding
from bench.wire.protobuf import inference, serving, tensorflow
from bench.wire.protobuf.tensors import fill_tensor

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).with_name("generated_messages_child.py")
DTYPES = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
SPEC = TensorSpec(name="x", dtype="float32", shape=("batch", 2))


def values_of(dtype: str) -> np.ndarray[Any, Any]:
    if dtype == "bool":
        return np.array([[True, False], [False, True], [True, True]])
    if dtype == "str":
        return np.array([["", "a"], ["ä\0ö", "b"], ["長", "c"]], object)
    low = 0 if dtype.startswith(("u", "f")) else -3
    return np.arange(low, low + 6).reshape(3, 2).astype(dtype)


@pytest.mark.parametrize("dtype", [*DTYPES, "bool", "str"])
@pytest.mark.parametrize("name", ["tfs_grpc", "kserve_grpc"])
def test_a_request_and_an_answer_survive_the_wire(name: str, dtype: str) -> None:
    wire, values = encoding(name), values_of(dtype)
    specs = (TensorSpec(name="x", dtype=dtype, shape=("batch", 2)), TensorSpec(name="y", dtype="float32", shape=(1,)))
    batch = {"x": values, "y": np.ones(1, np.float32)}
    for body, decode in (
        (wire.encode_request("m", batch, specs).body, wire.decode_request),
        (wire.encode_response("m", batch, specs).body, wire.decode_response),
    ):
        decoded = decode(body, {}, specs)
        assert decoded.keys() == batch.keys()
        assert decoded["x"].dtype == values.dtype
        np.testing.assert_array_equal(decoded["x"], values)


def test_the_paths_are_the_methods_of_the_protocols() -> None:
    batch = {"x": np.ones((1, 2), np.float32)}
    assert encoding("tfs_grpc").encode_request("m", batch, ()).path == "/tensorflow.serving.PredictionService/Predict"
    assert encoding("kserve_grpc").encode_request("m", batch, ()).path == "/inference.GRPCInferenceService/ModelInfer"


def test_text_that_is_not_utf8_stays_bytes() -> None:
    wire, spec = encoding("tfs_grpc"), TensorSpec(name="x", dtype="str", shape=("batch",))
    body = wire.encode_request("m", {"x": np.array([b"\xff\xfe", b"a"], object)}, ()).body
    assert wire.decode_request(body, {}, (spec,))["x"].tolist() == [b"\xff\xfe", "a"]


def predict_request(fill: Callable[[Any], object], dtype: str = "DT_FLOAT", shape: tuple[int, ...] = (3, 2)) -> bytes:
    request = serving.PredictRequest()
    tensor = request.inputs["x"]
    tensor.dtype = tensorflow.DataType.Value(dtype)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    fill(tensor)
    body: bytes = request.SerializeToString()
    return body


@pytest.mark.parametrize(
    ("given", "expected"),
    [([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]), ([7], [7] * 6), ([1, 2], [1, 2, 2, 2, 2, 2]), ([], [0] * 6)],
)
def test_fewer_values_than_elements_repeat_the_last_one_as_in_tensorflow(given: list[int], expected: list[int]) -> None:
    body = predict_request(lambda tensor: tensor.float_val.extend(given))
    decoded = encoding("tfs_grpc").decode_request(body, {}, (SPEC,))
    assert decoded["x"].ravel().tolist() == expected


@pytest.mark.parametrize(
    ("dtype", "data_type", "field", "value", "expected"),
    [
        ("float16", "DT_HALF", "half_val", 0x3C00, 1.0),
        ("int8", "DT_INT8", "int_val", -5, -5),
        ("uint16", "DT_UINT16", "int_val", 65535, 65535),
        ("int64", "DT_INT64", "int64_val", -(2**60), -(2**60)),
        ("uint64", "DT_UINT64", "uint64_val", 2**63, 2**63),
        ("bool", "DT_BOOL", "bool_val", True, True),
        ("str", "DT_STRING", "string_val", b"ab", "ab"),
    ],
)
def test_values_written_one_by_one_are_read(dtype: str, data_type: str, field: str, value: Any, expected: Any) -> None:
    body = predict_request(lambda tensor: getattr(tensor, field).append(value), data_type, (1,))
    spec = TensorSpec(name="x", dtype=dtype, shape=("batch",))
    assert encoding("tfs_grpc").decode_request(body, {}, (spec,))["x"].tolist() == [expected]


def content(tensor: Any) -> None:
    tensor.tensor_content = bytes(24)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xff\xff", "not a tensorflow.serving.PredictRequest"),
        (b"", "input 'x' is missing"),
        (predict_request(content, "DT_INT32"), "DT_INT32, the model has float32"),
        (predict_request(content, shape=(6,)), r"shape \[6\]"),
        (predict_request(content, shape=(2, 3)), r"shape \[2, 3\]"),
        (predict_request(content, shape=(-3, 2)), r"cannot have the shape \[-3, 2\]"),
        (predict_request(content, shape=(4, 2)), "needs 32 bytes, 24 are left"),
        (predict_request(lambda t: t.float_val.append(1), shape=(1 << 40, 2)), "cannot have the shape"),
        (predict_request(lambda t: t.float_val.extend([1] * 7)), "7 values, its shape only 6"),
    ],
)
def test_a_predict_request_that_does_not_fit_the_model_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        encoding("tfs_grpc").decode_request(body, {}, (SPEC,))


def test_numbers_that_the_type_cannot_hold_are_refused_not_wrapped() -> None:
    body = predict_request(lambda tensor: tensor.int_val.append(300), "DT_UINT8", (1,))
    with pytest.raises(WireError, match="uint8 cannot hold"):
        encoding("tfs_grpc").decode_request(body, {}, (TensorSpec(name="x", dtype="uint8", shape=(1,)),))


def test_one_dimension_has_one_size_in_all_inputs() -> None:
    specs = tuple(TensorSpec(name=name, dtype="float32", shape=("batch",)) for name in "xy")
    batch = {"x": np.ones(2, np.float32), "y": np.ones(3, np.float32)}
    for wire in map(encoding, ("tfs_grpc", "kserve_grpc")):
        with pytest.raises(WireError, match="where batch is 2"):
            wire.decode_request(wire.encode_request("m", batch, ()).body, {}, specs)


def infer_request(**changes: Any) -> bytes:
    tensor = {"name": "x", "datatype": "FP32", "shape": [3, 2]} | changes
    raw = tensor.pop("raw", [bytes(24)])
    request = inference.ModelInferRequest(model_name="m", inputs=[tensor], raw_input_contents=raw)
    body: bytes = request.SerializeToString()
    return body


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (infer_request(name="z"), "'z' is no input of the model"),
        (infer_request(datatype="FP64"), "'FP64', the model has float32"),
        (infer_request(shape=[2, 3]), r"shape \[2, 3\]"),
        (infer_request(raw=[bytes(20)]), "needs 24 bytes, 20 are left"),
        (infer_request(raw=[bytes(24), b""]), "1 tensors came with 2 raw contents"),
        (infer_request(raw=[], contents={"fp32_contents": [1.0] * 5}), "5 elements, the shape .* needs 6"),
    ],
)
def test_an_infer_request_that_does_not_fit_the_model_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        encoding("kserve_grpc").decode_request(body, {}, (SPEC,))


@pytest.mark.parametrize("raw", [b"\x05\0\0\0ab", b"\x01\0\0\0a\x01", b"\x01\0\0\0a"])
def test_text_cut_short_is_refused(raw: bytes) -> None:
    spec = TensorSpec(name="x", dtype="str", shape=(2,))
    with pytest.raises(WireError):
        encoding("kserve_grpc").decode_request(infer_request(datatype="BYTES", shape=[2], raw=[raw]), {}, (spec,))


def test_contents_written_one_by_one_are_read_and_not_wrapped() -> None:
    spec = TensorSpec(name="x", dtype="int8", shape=(2,))
    body = infer_request(datatype="INT8", shape=[2], raw=[], contents={"int_contents": [-128, 127]})
    assert encoding("kserve_grpc").decode_request(body, {}, (spec,))["x"].tolist() == [-128, 127]
    body = infer_request(datatype="INT8", shape=[2], raw=[], contents={"int_contents": [-129, 127]})
    with pytest.raises(WireError, match="int8 cannot hold"):
        encoding("kserve_grpc").decode_request(body, {}, (spec,))


@pytest.mark.parametrize("as_content", [True, False])
@pytest.mark.parametrize("name", ["tfs_grpc", "kserve_grpc"])
def test_bytes_changed_at_random_are_read_or_refused_and_nothing_else(name: str, as_content: bool) -> None:
    dtypes = ("float32", "str", "float16", "bool", "uint8")
    batch = {dtype: values_of(dtype) for dtype in dtypes}
    specs = tuple(TensorSpec(name=dtype, dtype=dtype, shape=("batch", 2)) for dtype in dtypes)
    wire, draw = encoding(name), random.Random(0)
    body = wire.encode_request("m", batch, specs).body
    if name == "tfs_grpc" and not as_content:
        request = serving.PredictRequest()
        for dtype, values in batch.items():
            fill_tensor(request.inputs[dtype], values, dtype, as_content=False)
        body = request.SerializeToString()
    refused = 0
    for _ in range(400):
        changed = bytearray(body)
        for _ in range(draw.randint(1, 3)):
            place = draw.randrange(len(changed))
            changed[place : place + draw.randint(0, 1)] = draw.randbytes(draw.randint(0, 1))
        try:
            wire.decode_request(bytes(changed), {}, specs)
        except WireError:
            refused += 1
    assert refused > 100


@pytest.mark.slow
def test_messages_are_byte_for_byte_those_of_the_generated_modules_in_one_process() -> None:
    pytest.importorskip("tensorflow_serving", reason="pip install tensorflow-serving-api")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    finished = subprocess.run(
        [sys.executable, CHILD], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.stdout.strip() == "same", finished.stderr[-2000:]


def test_the_messages_are_imported_in_less_than_150_ms() -> None:
    code = "import time; t = time.process_time(); import bench.wire.protobuf; print(time.process_time() - t)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(finished.stdout) < 0.15
