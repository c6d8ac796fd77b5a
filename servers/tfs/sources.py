"""What lies in a version's directory: a SavedModel, or a file that names any artifact and the adapter to open it.

The signature of a SavedModel is read from its protocol buffer, without loading the program in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from bench.core.artifact import Artifact, Options, TensorSpec
from bench.core.errors import TargetError
from bench.core.files import sha256_tree, tree_size_bytes
from bench.core.serving import Service
from bench.wire.protobuf import tensorflow
from bench.wire.protobuf.tensors import NUMPY_NAMES, type_name

from .service_file import SERVICE_FILE, read_service
from .signatures import DEFAULT_SIGNATURE, Signatures, signatures_of

_SAVED_MODEL_FILE = "saved_model.pb"
_TAG = "serve"


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A model that can be opened, and what it offers."""

    service: Service
    signatures: Signatures


def read_source(model: str, directory: Path, *, threads: int, adapter_options: Options = ()) -> Source:
    """The model in a version's directory; TargetError when there is none.

    `threads` and `adapter_options` are for SavedModels; the file of ours brings its own.
    """
    if (directory / SERVICE_FILE).is_file():
        service = read_service(directory)
        return Source(service=service, signatures=signatures_of(service.artifact.inputs, service.artifact.outputs))
    if not (directory / _SAVED_MODEL_FILE).is_file():
        raise TargetError(
            f"{directory} holds neither {_SAVED_MODEL_FILE} nor {SERVICE_FILE}", hint="copy the whole version there"
        )
    definitions = _stored_signatures(directory / _SAVED_MODEL_FILE)
    served = _served(directory, definitions)
    inputs = tuple(_spec(name, definitions[served].inputs[name]) for name in sorted(definitions[served].inputs))
    outputs = tuple(_spec(name, definitions[served].outputs[name]) for name in sorted(definitions[served].outputs))
    artifact = Artifact(
        id=sha256_tree(directory.resolve()),
        format="saved_model",
        path=str(directory.resolve()),
        size_bytes=tree_size_bytes(directory.resolve()),
        inputs=inputs,
        outputs=outputs,
    )
    service = Service(
        model=model, artifact=artifact, adapter="tensorflow", adapter_options=adapter_options, threads=threads
    )
    return Source(service=service, signatures=signatures_of(inputs, outputs, {served: definitions[served]}))


def _stored_signatures(path: Path) -> Mapping[str, Any]:
    try:
        stored = tensorflow.SavedModel.FromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise TargetError(f"{path}: not a readable SavedModel: {error}") from error
    graphs = [graph for graph in stored.meta_graphs if _TAG in graph.meta_info_def.tags]
    if not graphs:
        raise TargetError(f"{path}: it has no graph tagged {_TAG!r}", hint="export it with tf.saved_model.save")
    return {name: found for name, found in graphs[0].signature_def.items() if not name.startswith("__")}


def _served(directory: Path, definitions: Mapping[str, Any]) -> str:
    """The adapter opens one signature: the default one, or the only one there is."""
    if DEFAULT_SIGNATURE in definitions:
        return DEFAULT_SIGNATURE
    if len(definitions) == 1:
        return next(iter(definitions))
    raise TargetError(
        f"{directory} has the signatures {', '.join(sorted(definitions)) or 'none'}",
        hint=f"export it with one signature called {DEFAULT_SIGNATURE}",
    )


def _spec(name: str, info: Any) -> TensorSpec:
    if info.WhichOneof("encoding") != "name" or info.tensor_shape.unknown_rank or info.dtype not in NUMPY_NAMES:
        kind = f"{info.WhichOneof('encoding')} {type_name(info.dtype)}"
        raise TargetError(f"{name!r} cannot be served: a {kind}, or one without a number of dimensions")
    sizes = [dim.size for dim in info.tensor_shape.dim]
    return TensorSpec(
        name=name,
        dtype=NUMPY_NAMES[info.dtype],
        shape=tuple(size if size >= 0 else _dimension(name, axis) for axis, size in enumerate(sizes)),
    )


def _dimension(tensor: str, axis: int) -> str:
    return "batch" if axis == 0 else f"{tensor}_dim{axis}"
