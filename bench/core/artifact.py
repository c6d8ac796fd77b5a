"""What a model on disk is: tensors in and out, bytes, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass

#: Formats an artifact can have. Program and code formats can act when loaded (see `bench.core.trust`).
FORMATS = (
    "keras",  # .keras archive
    "saved_model",  # directory
    "frozen_graph",  # .pb GraphDef without variables
    "onnx",  # .onnx file, external data beside it inside one directory
    "torch_module",  # directory: module.json names a zoo factory, weights.safetensors holds the tensors
    "exported_program",  # .pt2
    "torchscript",  # .ts archive of TorchScript
    "aot_inductor",  # .pt2 package of native code made by AOTInductor, for one kind of CPU
    "tflite",  # .tflite flatbuffer
    "openvino_ir",  # .xml with the weights in a .bin beside it
    "tensorrt_engine",  # .engine, for the GPU architectures it was built for
    "python_callable",  # path.py:function
    "null",  # a JSON file that tells the null adapter what to imitate
)

Scalar = bool | int | float | str
Options = tuple[tuple[str, Scalar | tuple[Scalar, ...]], ...]
"""Options of a step or adapter as sorted (name, value) pairs: hashable and canonical."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorSpec:
    """One input or output: `name` is the same in every format of a model, `native` is what the file calls it.

    `shape` holds sizes, or the name of a dynamic dimension ("batch", "sequence"). `dtype` is numpy's name.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    native: str = ""

    @property
    def native_name(self) -> str:
        """The name inside the file."""
        return self.native or self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A property that a step changed, before and after (nodes, bytes, operators ...)."""

    what: str
    before: float
    after: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LineageStep:
    """One link of the chain that made an artifact."""

    step: str
    options: Options
    source_id: str
    versions: tuple[tuple[str, str], ...]
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    duration_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """An immutable model on disk; `id` is the sha256 of its content, `lineage` runs from the source to here."""

    id: str
    format: str
    path: str
    size_bytes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    lineage: tuple[LineageStep, ...] = ()
