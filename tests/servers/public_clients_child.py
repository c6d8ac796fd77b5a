"""Talks to a TFS-protocol server with the clients that everybody has; answers in JSON.

    python public_clients_child.py DIRECTORY

It saves a model that doubles `x` as `DIRECTORY/saved/5`, and starts a server with it and with the null model that is
there as `DIRECTORY/m`. One process for all, for each that imports TensorFlow costs seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from servers.tfs.model_config import config_text
from tests.servers.tfs_cases import free_port


def save(directory: Path) -> None:
    """A SavedModel."""
    import tensorflow as tf

    double = tf.Module()
    double.call = tf.function(
        lambda x: {"y": x * 2}, input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")], autograph=False
    )
    tf.saved_model.save(double, str(directory), signatures={"serving_default": double.call})


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Until the server has opened its models and its ports."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ready = grpc.channel_ready_future(channel)
        deadline = time.monotonic() + 40.0
        while time.monotonic() < deadline:
            if server.poll() is not None:
                raise SystemExit(f"the server ended with {server.returncode}")
            try:
                ready.result(0.2)
                return
            except grpc.FutureTimeoutError:
                continue
    raise SystemExit("the server did not come up")


def tensorflow_serving(port: int, directory: Path) -> dict[str, Any]:
    """What the generated stubs of tensorflow-serving-api are answered."""
    import tensorflow as tf
    from tensorflow_serving.apis import (
        classification_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        inference_pb2,
        model_management_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
        regression_pb2,
    )

    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    models = model_service_pb2_grpc.ModelServiceStub(channel)
    found: dict[str, Any] = {}

    predict = predict_pb2.PredictRequest()
    predict.model_spec.name = "saved"
    predict.inputs["x"].CopyFrom(tf.make_tensor_proto([[1.0, 2.0, 3.0]]))
    answer = stub.Predict(predict, 20)
    found["predict"] = tf.make_ndarray(answer.outputs["y"]).tolist()
    found["version"] = answer.model_spec.version.value

    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "saved"
    signatures = get_model_metadata_pb2.SignatureDefMap()
    stub.GetModelMetadata(metadata, 20).metadata["signature_def"].Unpack(signatures)
    signature = signatures.signature_def["serving_default"]
    found["signature"] = [signature.method_name, signature.inputs["x"].name.split("_x")[0], sorted(signature.outputs)]

    regression = regression_pb2.RegressionRequest()
    classification = classification_pb2.ClassificationRequest()
    for request in (regression, classification):
        request.model_spec.name = "m"
        example = request.input.example_list.examples.add()
        example.features.feature["input"].float_list.value.extend([1.0, 1.0, 1.0, 1.0])
    found["regress"] = [each.value for each in stub.Regress(regression, 20).result.regressions]
    classes = stub.Classify(classification, 20).result.classifications[0].classes
    found["classify"] = [each.score for each in classes]

    several = inference_pb2.MultiInferenceRequest()
    several.input.CopyFrom(regression.input)
    for signature_name, method in (("regression", "regress"), ("classification", "classify")):
        task = several.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = "m", signature_name
    results = stub.MultiInference(several, 20).results
    found["multi"] = [results[0].regression_result.regressions[0].value, len(results)]

    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "saved"
    (state,) = models.GetModelStatus(status, 20).model_version_status
    found["status"] = [state.version, state.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE]

    reload = model_management_pb2.ReloadConfigRequest()
    reload.config.model_config_list.config.add(
        name="again", base_path=str(directory / "saved"), model_platform="tensorflow"
    )
    found["reload"] = models.HandleReloadConfigRequest(reload, 20).status.error_code
    predict.model_spec.name = "again"
    found["reloaded"] = tf.make_ndarray(stub.Predict(predict, 20).outputs["y"]).tolist()
    predict.model_spec.name = "saved"
    try:
        stub.Predict(predict, 20)
    except grpc.RpcError as error:
        found["unloaded"] = [error.code().name, error.details()]
    channel.close()
    return found


def triton(port: int) -> dict[str, Any]:
    """What tritonclient's gRPC client is answered."""
    from tritonclient import grpc as client

    found: dict[str, Any] = {}
    with client.InferenceServerClient(f"127.0.0.1:{port}") as server:
        found["live"] = [server.is_server_live(), server.is_server_ready(), server.is_model_ready("m")]
        found["server"] = server.get_server_metadata().name
        found["metadata"] = [list(each.shape) for each in server.get_model_metadata("m").inputs]
        tensor = client.InferInput("input", [1, 4], "FP32")
        tensor.set_data_from_numpy(np.ones((1, 4), np.float32))
        wanted = [client.InferRequestedOutput("output")]
        answer = server.infer("m", [tensor], outputs=wanted, request_id="7")
        found["infer"] = answer.as_numpy("output").tolist()
        found["id"] = answer.get_response().id
        try:
            server.infer("other", [tensor])
        except client.InferenceServerException as error:
            found["unknown"] = [error.status(), error.message()]
    return found


def main(directory: Path) -> None:
    """What both clients were told, and whether the server left as it was asked to."""
    save(directory / "saved" / "5")
    config = directory / "models.config"
    config.write_text(config_text([("saved", directory / "saved"), ("m", directory / "m")]))
    port = free_port()
    flags = [f"--port={port}", f"--model_config_file={config}", "--tensorflow_intra_op_parallelism=1"]
    server = subprocess.Popen([sys.executable, "-m", "servers.tfs.server", *flags])
    try:
        wait_for(port, server)
        found = {"triton": triton(port), "tensorflow_serving": tensorflow_serving(port, directory)}
        server.terminate()
        json.dump(found | {"left_with": server.wait(2.0)}, sys.stdout)
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
