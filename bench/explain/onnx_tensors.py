"""The tensors inside an ONNX file: a copy in memory hands some of them out as outputs beside its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact

from .graph import Graph, Node

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

_QUANTIZED, _SCALE, _ZERO_POINT = "_quantized", "_scale", "_zero_point"


class OnnxTensors:
    """An opened ONNX file; `level` is how far the runtime may rewrite it, as in the adapter's options.

    A tensor that is handed out cannot be fused away, so a few at a time are asked for: the graph that runs stays close
    to the one that is measured.
    """

    def __init__(self, artifact: Artifact, *, threads: int, level: str) -> None:
        import onnx

        self._artifact = artifact
        self._threads = threads
        self._level = level
        self._directory = Path(artifact.path).resolve().parent
        self._model = onnx.load(artifact.path, load_external_data=False)

    @cached_property
    def graph(self) -> Graph:
        """The nodes of the main graph; those of branches and loop bodies stay inside their node."""
        nodes = tuple(
            Node(
                name=node.name or (node.output[0] if node.output else ""),
                operator=node.op_type,
                inputs=tuple(name for name in node.input if name),
                outputs=tuple(name for name in node.output if name),
            )
            for node in self._model.graph.node
        )
        return Graph(nodes=nodes, constants=frozenset(self._initializers))

    @property
    def outputs(self) -> tuple[str, ...]:
        """The outputs of the model, by their names inside."""
        return tuple(spec.native_name for spec in self._artifact.outputs)

    @cached_property
    def _initializers(self) -> Mapping[str, Any]:
        return {tensor.name: tensor for tensor in self._model.graph.initializer}

    def fetch(self, names: Sequence[str], batches: Sequence[Batch]) -> dict[str, list[Array]]:
        """The values of tensors on each batch; a constant has one, what is no tensor of numbers none."""
        values = {name: [self._constant(name)] for name in names if name in self._initializers}
        inside = [name for name in dict.fromkeys(names) if name not in values]
        if inside:
            session = self._session(inside)
            for batch in batches:
                feeds = {spec.native_name: batch[spec.name] for spec in self._artifact.inputs}
                for name, value in zip(inside, session.run(inside, feeds), strict=True):
                    values.setdefault(name, []).append(value)
        return values

    def _session(self, names: Sequence[str]) -> Any:
        import onnx
        import onnxruntime

        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        own = {value.name for value in model.graph.output}
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in own)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = self._threads
        settings.graph_optimization_level = getattr(
            onnxruntime.GraphOptimizationLevel, f"ORT_{_LEVELS.get(self._level, 'ENABLE_ALL')}"
        )
        settings.log_severity_level = 3  # that an output has no declared shape is what we want
        settings.add_session_config_entry("session.model_external_initializers_file_folder_path", str(self._directory))
        return onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])

    def _constant(self, name: str) -> Array:
        """The values of a constant; those of a quantized weight as the real numbers that they stand for."""
        from onnx import numpy_helper

        def read(tensor: str) -> Array:
            values: Array = numpy_helper.to_array(self._initializers[tensor], base_dir=str(self._directory))
            return values

        stem = name.removesuffix(_QUANTIZED)
        companions = (stem + _SCALE, stem + _ZERO_POINT)
        if stem == name or not all(companion in self._initializers for companion in companions):
            return read(name)
        return _dequantized(read(name), read(companions[0]), read(companions[1]))


_LEVELS = {"disabled": "DISABLE_ALL", "basic": "ENABLE_BASIC", "extended": "ENABLE_EXTENDED", "all": "ENABLE_ALL"}


def _dequantized(quantized: Array, scale: Array, zero_point: Array) -> Array:
    """(quantized - zero point) * scale, with one scale for all or one for each index of the axis of that length."""
    import numpy as np

    if scale.size > 1:
        axes = [axis for axis, size in enumerate(quantized.shape) if size == scale.size]
        axis = axes[0] if quantized.ndim > 2 else axes[-1]  # kernels have their output channels first, matrices last
        shape = [1] * quantized.ndim
        shape[axis] = scale.size
        scale, zero_point = scale.reshape(shape), zero_point.reshape(shape)
    real: Array = (quantized.astype(np.float32) - zero_point.astype(np.float32)) * scale
    return real
