"""tensorflow.serving.PredictionService and ModelService: messages in, messages out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.wire.protobuf import serving, tensorflow_error
from bench.wire.protobuf.tensors import fill_tensor
from bench.wire.tfs_grpc import inputs_in

from .inference import Call, Inference, Target
from .loaded import Loaded
from .signatures import CLASSIFY_METHOD, REGRESS_METHOD
from .status import StatusError

SIGNATURE_DEF = "signature_def"


class Prediction:
    """The five methods of PredictionService; `as_content` writes outputs as bytes, else value by value."""

    def __init__(self, inference: Inference, *, as_content: bool) -> None:
        self._inference = inference
        self._as_content = as_content

    def predict(self, request: Any, call: Call) -> Any:
        """A PredictResponse."""
        target = Target.of(request.model_spec)
        with self._inference.using(target, call) as loaded:
            signature = self._inference.require_predict(loaded, target.signature)
            wanted = _wanted_outputs(loaded, request.output_filter)
            outputs = self._inference.run(loaded, inputs_in(request.inputs, loaded.model.inputs), call)
        response = serving.PredictResponse()
        _fill_spec(response.model_spec, loaded, signature)
        for spec in wanted:
            fill_tensor(response.outputs[spec.name], outputs[spec.name], spec.dtype, as_content=self._as_content)
        return response

    def classify(self, request: Any, call: Call) -> Any:
        """A ClassificationResponse."""
        target = Target.of(request.model_spec)
        with self._inference.using(target, call) as loaded:
            result = self._inference.classify(loaded, target.signature, request.input, call)
        response = serving.ClassificationResponse(result=result)
        _fill_spec(response.model_spec, loaded, target.signature)
        return response

    def regress(self, request: Any, call: Call) -> Any:
        """A RegressionResponse."""
        target = Target.of(request.model_spec)
        with self._inference.using(target, call) as loaded:
            result = self._inference.regress(loaded, target.signature, request.input, call)
        response = serving.RegressionResponse(result=result)
        _fill_spec(response.model_spec, loaded, target.signature)
        return response

    def multi_inference(self, request: Any, call: Call) -> Any:
        """A MultiInferenceResponse: several signatures of one model on the same examples."""
        _check_tasks(request.tasks)
        tasks = [(task.model_spec.signature_name, task.method_name) for task in request.tasks]
        with self._inference.using(Target.of(request.tasks[0].model_spec), call) as loaded:
            results = self._inference.infer(loaded, tasks, request.input, call)
        response = serving.MultiInferenceResponse()
        for (signature, method), result in zip(tasks, results, strict=True):
            entry = response.results.add()
            _fill_spec(entry.model_spec, loaded, signature)
            field = entry.classification_result if method == CLASSIFY_METHOD else entry.regression_result
            field.CopyFrom(result)
        return response

    def get_model_metadata(self, request: Any, call: Call) -> Any:
        """A GetModelMetadataResponse with the signatures, the only field there is."""
        _require_spec(request)
        if not request.metadata_field:
            raise StatusError("INVALID_ARGUMENT", "GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != SIGNATURE_DEF:
                raise StatusError("INVALID_ARGUMENT", f"Metadata field {name} is not supported")
        with self._inference.using(Target.of(request.model_spec), call) as loaded:
            return metadata_of(loaded)


class Models:
    """The two methods of ModelService. `reload` is given a ModelServerConfig."""

    def __init__(self, inference: Inference, reload: Callable[[Any], None]) -> None:
        self._inference = inference
        self._reload = reload

    def get_model_status(self, request: Any, call: Call) -> Any:
        """A GetModelStatusResponse."""
        _require_spec(request)
        return status_of(self._inference, Target.of(request.model_spec))

    def handle_reload_config_request(self, request: Any, call: Call) -> Any:
        """A ReloadConfigResponse, once the models of the new configuration are available."""
        self._reload(request.config)
        return serving.ReloadConfigResponse(status={})


def status_of(inference: Inference, target: Target) -> Any:
    """A GetModelStatusResponse."""
    response = serving.GetModelStatusResponse()
    states = serving.ModelVersionStatus.State
    for status in inference.manager.statuses(target.model, target.version, target.label):
        entry = response.model_version_status.add(version=status.version, state=states.Value(status.state))
        entry.status.error_code = tensorflow_error.Code.Value(status.code)
        entry.status.error_message = status.message
    return response


def metadata_of(loaded: Loaded) -> Any:
    """A GetModelMetadataResponse with the signatures of a version."""
    response = serving.GetModelMetadataResponse()
    response.model_spec.name = loaded.name
    response.model_spec.version.value = loaded.version
    response.metadata[SIGNATURE_DEF].Pack(signatures_message(loaded))
    return response


def signatures_message(loaded: Loaded) -> Any:
    """A SignatureDefMap."""
    signatures = serving.SignatureDefMap()
    for name, definition in loaded.signatures.definitions.items():
        signatures.signature_def[name].CopyFrom(definition)
    return signatures


def _require_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise StatusError("INVALID_ARGUMENT", "Missing ModelSpec")


def _fill_spec(spec: Any, loaded: Loaded, signature: str) -> None:
    spec.name = loaded.name
    spec.signature_name = signature or "serving_default"
    spec.version.value = loaded.version


def _wanted_outputs(loaded: Loaded, names: Any) -> list[Any]:
    """The outputs that a filter names, in its order; all of them where it names none."""
    specs = {spec.name: spec for spec in loaded.model.outputs}
    for name in names:
        if name not in specs:
            raise StatusError(
                "INVALID_ARGUMENT",
                f"output tensor alias not found in signature: {name} "
                f"Outputs expected to be in the set {{{','.join(sorted(specs))}}}.",
            )
    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise StatusError("INVALID_ARGUMENT", f"duplicate output tensor alias: {twice}")
    return [specs[name] for name in names] if names else list(specs.values())


def _check_tasks(tasks: Any) -> None:
    if not tasks:
        raise StatusError("INVALID_ARGUMENT", "Inference request for at least one task expected.")
    names = {task.model_spec.name for task in tasks}
    if "" in names:
        raise StatusError("INVALID_ARGUMENT", "Found ModelSpec with an empty model name.")
    if len(names) > 1:
        raise StatusError(
            "INVALID_ARGUMENT", "All ModelSpecs in a MultiInferenceRequest must access the same model name."
        )
    signatures = [task.model_spec.signature_name for task in tasks]
    if len(set(signatures)) < len(signatures):
        twice = next(name for name in signatures if signatures.count(name) > 1)
        raise StatusError("INVALID_ARGUMENT", f"Duplicate evaluation of signature: {twice}")
    for task in tasks:
        if task.method_name not in (CLASSIFY_METHOD, REGRESS_METHOD):
            raise StatusError("UNIMPLEMENTED", f"Unsupported signature method_name: {task.method_name}")
