"""inference.GRPCInferenceService, the KServe v2 protocol: messages in, messages out.

Versions are numbers as text; an empty one is the latest.
"""

from __future__ import annotations

from typing import Any

from bench.core.serving import Service
from bench.wire.dtypes import KSERVE_NAMES
from bench.wire.kserve_grpc import add_tensor, inputs_in
from bench.wire.protobuf import inference as messages

from .inference import Call, Inference, Target
from .status import StatusError

SERVER_NAME = "deploybench TFS-protocol server"
#: Parameters of tensors that ask for another way to bring them.
_SHARED_MEMORY = "shared_memory_region"


class Kserve:
    """The methods that public clients of the protocol need; `server_version` is told to them."""

    def __init__(self, inference: Inference, server_version: str) -> None:
        self._inference = inference
        self._server_version = server_version

    def server_live(self, request: Any, call: Call) -> Any:
        """Always."""
        return messages.ServerLiveResponse(live=True)

    def server_ready(self, request: Any, call: Call) -> Any:
        """Whether every model of the configuration can be asked."""
        return messages.ServerReadyResponse(ready=all(map(self._is_ready, self._inference.manager.model_names)))

    def model_ready(self, request: Any, call: Call) -> Any:
        """Whether the model can be asked; one that nobody knows is not ready."""
        return messages.ModelReadyResponse(ready=self._is_ready(request.name, request.version))

    def server_metadata(self, request: Any, call: Call) -> Any:
        """Name and version of this server."""
        return messages.ServerMetadataResponse(name=SERVER_NAME, version=self._server_version)

    def model_metadata(self, request: Any, call: Call) -> Any:
        """Inputs and outputs; sizes that are not fixed are -1."""
        with self._inference.using(_target(request.name, request.version), call) as loaded:
            response = messages.ModelMetadataResponse(
                name=loaded.name, versions=[str(loaded.version)], platform=_platform(loaded.model.service)
            )
            for tensors, specs in (
                (response.inputs, loaded.model.inputs),
                (response.outputs, loaded.model.outputs),
            ):
                for spec in specs:
                    shape = [-1 if isinstance(dim, str) else dim for dim in spec.shape]
                    tensors.add(name=spec.name, datatype=KSERVE_NAMES.get(spec.dtype, spec.dtype), shape=shape)
        return response

    def model_infer(self, request: Any, call: Call) -> Any:
        """A ModelInferResponse with raw contents."""
        for tensor in (*request.inputs, *request.outputs):
            if _SHARED_MEMORY in tensor.parameters:
                raise StatusError("INVALID_ARGUMENT", f"{tensor.name!r}: shared memory is not supported")
        with self._inference.using(_target(request.model_name, request.model_version), call) as loaded:
            wanted = _wanted([each.name for each in request.outputs], loaded.model.outputs)
            batch = inputs_in(request, loaded.model.inputs)
            outputs = self._inference.run(loaded, batch, call)
        response = messages.ModelInferResponse(model_name=loaded.name, model_version=str(loaded.version), id=request.id)
        for spec in wanted:
            content = add_tensor(response.outputs, spec.name, outputs[spec.name], spec.dtype)
            response.raw_output_contents.append(content)
        return response

    def _is_ready(self, name: str, version: str = "") -> bool:
        try:
            target = _target(name, version)
            with self._inference.manager.use(target.model, target.version):
                return True
        except StatusError:
            return False


def _platform(service: Service) -> str:
    return f"{service.adapter}_{service.artifact.format}"


def _target(name: str, version: str) -> Target:
    if version and not (version.isascii() and version.isdecimal()):
        raise StatusError("INVALID_ARGUMENT", f"the version {version[:100]!r} is not a number")
    return Target(model=name, version=int(version) if version else None)


def _wanted(names: list[str], outputs: Any) -> list[Any]:
    specs = {spec.name: spec for spec in outputs}
    unknown = next((name for name in names if name not in specs), None)
    if unknown is not None:
        raise StatusError("INVALID_ARGUMENT", f"unexpected inference output {unknown[:100]!r}; there are {list(specs)}")
    return [specs[name] for name in names] if names else list(specs.values())
