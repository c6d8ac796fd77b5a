"""OpenVINO models as the adapter and the steps need them: read, named, written, and run once to see that they work.

OpenVINO's telemetry reports the import itself, and before that writes an id into the home directory, unless its package
cannot be imported; then OpenVINO and NNCF put a stub in its place. So it is hidden here, before either is imported.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact, TensorSpec
from bench.core.errors import TargetError

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: importing it raises ImportError

FILE_NAME = "model.xml"


def weights_file(path: Path) -> Path:
    """Where the weights of the .xml file at `path` lie."""
    return path.with_suffix(".bin")


def require_no_document_type(path: Path) -> None:
    """TargetError for a document type: none that OpenVINO writes has one, and its entities can fill any memory."""
    from xml.parsers import expat

    def refuse(*_: Any) -> None:
        raise TargetError(
            f"{path}: not an OpenVINO IR: it declares a document type of its own",
            hint="entities of a document type can fill any memory; export the model again",
        )

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    try:
        with open(path, "rb") as stream:
            parser.ParseFile(stream)
    except expat.ExpatError as error:
        raise TargetError(
            f"{path}: not a readable openvino_ir model: {error}", hint="check that the file is complete"
        ) from error


def model_size_bytes(path: Path) -> int:
    """Bytes of the .xml file and of its weights."""
    return path.stat().st_size + weights_file(path).stat().st_size


def port_of(ports: Sequence[Any], name: str, *, place: str) -> Any:
    """The input or output that has `name` among its names; TargetError tells the names there are."""
    for port in ports:
        if name in port.get_names():
            return port
    known = sorted(name for port in ports for name in port.get_names())
    raise TargetError(f"{place} has no tensor {name!r} at its border; it has {', '.join(known)}")


def name_border(
    model: Any,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    input_ports: Sequence[Any],
    output_ports: Sequence[Any],
) -> None:
    """Give the ports their canonical names, and let every named dimension be dynamic."""
    for spec, port in zip((*inputs, *outputs), (*input_ports, *output_ports), strict=True):
        port.get_tensor().set_names({spec.name})
    shapes = {spec.name: [-1 if isinstance(size, str) else size for size in spec.shape] for spec in inputs}
    model.reshape(shapes)


def save_ir(model: Any, out_dir: Path, *, compress_to_float16: bool) -> Path:
    """Write `model.xml` and `model.bin`; the library alone would store float weights in half precision."""
    import openvino

    path = out_dir / FILE_NAME
    openvino.save_model(model, path, compress_to_fp16=compress_to_float16)
    return path


def read_ir(source: Artifact) -> Any:
    """The model of an IR artifact, without its weights copied; raises what the library raises."""
    import openvino

    return openvino.Core().read_model(source.path)


def operator_counts(model: Any) -> Counter[str]:
    """How often each operator stands in a model, and how many constants are of 8 bits or fewer (`narrow constants`)."""
    counts = Counter(operator.get_type_name() for operator in model.get_ops())
    narrow = sum(
        operator.get_type_name() == "Constant" and operator.get_element_type().size <= 1 and _is_weight(operator)
        for operator in model.get_ops()
    )
    return counts + Counter({"narrow constants": narrow})


def _is_weight(constant: Any) -> bool:
    """Scales, zero points and axes have one dimension at most."""
    return len(constant.get_output_partial_shape(0)) > 1


def run_openvino(
    path: Path, batches: Sequence[Batch], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> list[Mapping[str, Array]]:
    """Read the file, compile it for the CPU in single precision and run each batch: canonical output name -> array.

    Raises what the library raises.
    """
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    place = str(path)
    output_ports = [port_of(compiled.outputs, spec.native_name, place=place) for spec in outputs]
    answers: list[Mapping[str, Array]] = []
    for batch in batches:
        request = compiled.create_infer_request()
        results = request.infer({port_of(compiled.inputs, s.native_name, place=place): batch[s.name] for s in inputs})
        answers.append({spec.name: results[port] for spec, port in zip(outputs, output_ports, strict=True)})
    return answers
