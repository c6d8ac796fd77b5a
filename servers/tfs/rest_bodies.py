"""Bodies of TensorFlow Serving's REST API: JSON in, JSON out (https://www.tensorflow.org/tfx/serving/api_rest).

The formats of Predict are `bench.wire.tfs_messages`; those of Classify, Regress, status and metadata are here.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from google.protobuf import json_format

from bench.wire import WireError
from bench.wire.protobuf import serving
from bench.wire.tfs_messages import decode_predict, encode_predictions

from .grpc_prediction import signatures_message, status_of
from .inference import Call, Inference, Target


def predict(inference: Inference, target: Target, body: bytes, call: Call) -> bytes:
    """Predictions in the format of the request."""
    with inference.using(target, call) as loaded:
        inference.require_predict(loaded, "")
        batch, rows = decode_predict(body, loaded.model.inputs)
        outputs = inference.run(loaded, batch, call)
        return encode_predictions(outputs, loaded.model.outputs, rows=rows).body


def classify(inference: Inference, target: Target, body: bytes, call: Call) -> bytes:
    """{"result": one list of [label, score] for each example}."""
    signature, message = _examples(body)
    with inference.using(target, call) as loaded:
        result = inference.classify(loaded, signature, message, call)
    rows = [[[each.label, each.score] for each in row.classes] for row in result.classifications]
    return json.dumps({"result": rows}).encode()


def regress(inference: Inference, target: Target, body: bytes, call: Call) -> bytes:
    """{"result": one number for each example}."""
    signature, message = _examples(body)
    with inference.using(target, call) as loaded:
        result = inference.regress(loaded, signature, message, call)
    return json.dumps({"result": [each.value for each in result.regressions]}).encode()


def status(inference: Inference, target: Target) -> bytes:
    """The states of a model's versions."""
    return _as_json(status_of(inference, target)).encode()


def metadata(inference: Inference, target: Target) -> bytes:
    """The signatures of a version, beside each other as TensorFlow Serving writes them: the JSON of an Any differs."""
    with inference.manager.use(target.model, target.version, target.label) as loaded:
        spec = json.dumps({"name": loaded.name, "signature_name": "", "version": str(loaded.version)})
        signatures = _as_json(signatures_message(loaded))
    return f'{{\n"model_spec": {spec},\n"metadata": {{"signature_def": {signatures}}}\n}}\n'.encode()


def _as_json(message: Any) -> str:
    text: str = json_format.MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=1
    )
    return text


def _examples(body: bytes) -> tuple[str, Any]:
    """Signature and tensorflow.serving.Input of a body with examples."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WireError(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("examples"), list):
        raise WireError("an object with a list of 'examples' is expected")
    message = serving.Input()
    context = document.get("context")
    if context is None:
        examples = message.example_list.examples
    else:
        _fill_example(message.example_list_with_context.context, context)
        examples = message.example_list_with_context.examples
    for example in document["examples"]:
        _fill_example(examples.add(), example)
    return str(document.get("signature_name", "")), message


def _fill_example(example: Any, features: Any) -> None:
    if not isinstance(features, dict):
        raise WireError("an example is an object of features")
    for name, value in features.items():
        _fill_feature(example.features.feature[name], name, value if isinstance(value, list) else [value])


def _fill_feature(feature: Any, name: str, values: list[Any]) -> None:
    """Text and {"b64": ...} are bytes; whole numbers and truth values int64, unless a fraction is among them."""
    try:
        if all(isinstance(value, int) for value in values):
            feature.int64_list.value.extend(map(int, values))
        elif all(isinstance(value, int | float) for value in values):
            feature.float_list.value.extend(map(float, values))
        else:
            feature.bytes_list.value.extend(map(_bytes_of, values))
    except (ValueError, TypeError, KeyError, binascii.Error) as error:
        raise WireError(f"feature {name[:100]!r} is none: numbers, or texts, or a list of one kind") from error


def _bytes_of(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return base64.b64decode(value["b64"], validate=True)
