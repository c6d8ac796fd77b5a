"""Compares our messages with the generated modules of TensorFlow Serving, all in this one process; says "same"."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)

from bench.core.artifact import TensorSpec
from bench.wire import encoding
from bench.wire.protobuf import serving, tensorflow
from bench.wire.protobuf.tensors import fill_tensor

VALUES = (
    np.arange(6, dtype=np.float32).reshape(3, 2),
    np.array([["a", "b"]], object),
    np.array([1.5, -2.0], np.float16),
    np.array([True, False]),
    np.array([-1, 2], np.int8),
)


def compare_tensors(values: Any) -> None:
    import tensorflow as tf

    dtype = "str" if values.dtype == object else values.dtype.name
    spec = TensorSpec(name="x", dtype=dtype, shape=values.shape)
    theirs = predict_pb2.PredictRequest()
    theirs.model_spec.name = "m"
    theirs.inputs["x"].CopyFrom(tf.make_tensor_proto(values))
    ours = encoding("tfs_grpc").encode_request("m", {"x": values}, (spec,)).body
    if dtype != "bool":  # theirs writes truth values one by one
        assert ours == theirs.SerializeToString(), (ours, theirs)
    read = encoding("tfs_grpc").decode_request(theirs.SerializeToString(), {}, (spec,))["x"]
    np.testing.assert_array_equal(read, values)
    for as_content in (True, False):
        tensor = tensorflow.TensorProto()
        fill_tensor(tensor, values, dtype, as_content=as_content)
        seen = tf.make_ndarray(type(theirs.inputs["x"]).FromString(tensor.SerializeToString()))
        np.testing.assert_array_equal(np.vectorize(bytes.decode)(seen) if dtype == "str" else seen, values)


def compare_message(ours: Any, theirs: Any) -> None:
    content = theirs.SerializeToString(deterministic=True)
    read = ours.FromString(content)
    assert read.SerializeToString(deterministic=True) == content
    assert str(read) == str(theirs)


def main() -> None:
    for values in VALUES:
        compare_tensors(values)
    classification = classification_pb2.ClassificationRequest()
    classification.model_spec.version.value = 7
    example = classification.input.example_list.examples.add()
    example.features.feature["f"].float_list.value.extend([1.0, 2.0])
    compare_message(serving.ClassificationRequest, classification)

    reload = model_management_pb2.ReloadConfigRequest()
    config = reload.config.model_config_list.config.add(name="m", base_path="/b", model_platform="tensorflow")
    config.model_version_policy.specific.versions.extend([3, 4])
    config.version_labels["stable"] = 3
    compare_message(serving.ReloadConfigRequest, reload)

    status = get_model_status_pb2.GetModelStatusResponse()
    status.model_version_status.add(version=1, state=30).status.error_code = 5
    compare_message(serving.GetModelStatusResponse, status)

    signatures = get_model_metadata_pb2.SignatureDefMap()
    signature = signatures.signature_def["serving_default"]
    signature.inputs["x"].name = "x:0"
    signature.inputs["x"].tensor_shape.dim.add(size=-1)
    signature.method_name = "tensorflow/serving/predict"
    compare_message(serving.SignatureDefMap, signatures)
    metadata = get_model_metadata_pb2.GetModelMetadataResponse()
    metadata.metadata["signature_def"].Pack(signatures)
    ours = serving.GetModelMetadataResponse.FromString(metadata.SerializeToString())
    unpacked = serving.SignatureDefMap()
    assert ours.metadata["signature_def"].Unpack(unpacked)
    assert str(unpacked) == str(signatures)
    sys.stdout.write("same\n")


main()
