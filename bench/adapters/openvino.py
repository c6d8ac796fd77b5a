"""OpenVINO on the CPU: one stream of the declared number of threads, in the precision that was asked for.

On processors that can, OpenVINO computes in bfloat16 unless it is told otherwise; here single precision is the default,
and what is in force is read back from the compiled model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from bench.core.artifact import Artifact
from bench.core.errors import TargetError
from bench.formats.openvino_ir import port_of

from .boundary import Call, ModelSession, as_target_error

if TYPE_CHECKING:
    from bench.core.contracts import Array

_QUANTIZATION_GROUP = 32  # activations that share a scale: OpenVINO's own choice


@dataclass(frozen=True, kw_only=True)
class Options:
    """`precision` is what floats are computed in; 8-bit operators of a quantized model stay as they are.
    `dynamic_quantization` lets products with compressed weights quantize their activations call by call, as OpenVINO
    does of its own accord."""

    precision: Literal["f32", "bf16", "f16"] = "f32"
    dynamic_quantization: bool = False


class OpenVino:
    """Adapter of OpenVINO IR, and of the .onnx and .tflite files that OpenVINO reads by itself."""

    Options: ClassVar[type[Any]] = Options

    def open(self, artifact: Artifact, *, threads: int, options: Any) -> ModelSession:
        """Compile the model for the CPU; TargetError when it cannot be, or not in the precision asked for."""
        import openvino

        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": options.precision,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": _QUANTIZATION_GROUP if options.dynamic_quantization else 0,
            # Which cores the process may use is decided around it.
            "ENABLE_CPU_PINNING": False,
        }
        with as_target_error(f"{artifact.path}: OpenVINO cannot open it"):
            # Compiled from the model, not from the path: nothing is looked up in or written to a cache.
            compiled = core.compile_model(core.read_model(artifact.path), "CPU", settings)
            provider = _provider(compiled, threads)
        if options.precision not in provider.split(",")[0].split():
            raise TargetError(
                f"{artifact.path}: OpenVINO computes on {provider}, {options.precision} was asked for",
                hint="this processor has no such arithmetic: choose another precision",
            )
        return ModelSession(
            artifact,
            versions={"openvino": openvino.__version__.partition("-")[0]},
            provider=provider,
            bind=partial(_bind, compiled, artifact),
        )


def _provider(compiled: Any, threads: int) -> str:
    """Device and precision in force, then what else differs from computing as the file says on all threads."""
    precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    said = [f"{'+'.join(compiled.get_property('EXECUTION_DEVICES'))} {precision}"]
    if compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE"):
        said.append("dynamic quantization")
    granted = compiled.get_property("INFERENCE_NUM_THREADS")
    if granted != threads:
        said.append(f"{granted} of {threads} threads")
    return ", ".join(said)


def _bind(compiled: Any, artifact: Artifact, arrays: list[Array]) -> Call:
    """A request of its own, whose input tensors are the arrays themselves; `infer` copies every output out of it."""
    import openvino

    request = compiled.create_infer_request()
    for spec, array in zip(artifact.inputs, arrays, strict=True):
        port = port_of(compiled.inputs, spec.native_name, place=artifact.path)
        request.set_tensor(port, openvino.Tensor(array, shared_memory=True))
    ports = [port_of(compiled.outputs, spec.native_name, place=artifact.path) for spec in artifact.outputs]
    if ports == list(compiled.outputs):
        return lambda: request.infer().to_tuple()

    def call() -> list[Array]:
        results = request.infer()
        return [results[port] for port in ports]

    return call


ADAPTER = OpenVino()
