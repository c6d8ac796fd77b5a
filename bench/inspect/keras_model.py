"""Reads Keras archives through Keras in its safe mode: layers are built, no code out of the file is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from .arithmetic import sizes_of, static_shape
from .drawing import without_large_constants
from .inspection import Structure, Subject, Work, counted, summed
from .tensorflow_graph import profiled

_PRODUCTS = ("Dense", "Conv", "DepthwiseConv", "SeparableConv", "EinsumDense")
_KERAS_QUANTIZED = ("int8", "int4")


def read(subject: Subject) -> Structure:
    """Layers by class, nested models opened, and their variables by element type."""
    import keras

    model = subject.load()
    layers = list(_layers(model))
    products = [layer for layer in layers if _is_product(type(layer).__name__)]
    on_8_bit = [layer for layer in products if getattr(layer, "quantization_mode", None) in _KERAS_QUANTIZED]
    return Structure(
        unit="layers",
        operators=counted(Counter(type(layer).__name__ for layer in layers)),
        weights=summed((variable.dtype, int(variable.value.shape.num_elements())) for variable in model.variables),
        work=_work(subject, model),
        products=len(products),
        products_on_8_bit=len(on_8_bit),
        nodes_on_8_bit=len(on_8_bit),
        facts=(("model", type(model).__name__), ("keras", f"{keras.__version__} (that read it)")),
    )


def draw(subject: Subject) -> bytes:
    """The graph that TensorFlow traces for one sample."""
    return without_large_constants(_graph(subject, subject.load()).as_graph_def())


def _is_product(layer: str) -> bool:
    """Whether layers of this class multiply matrices; one of attention does so several times and counts once."""
    return layer.startswith(_PRODUCTS) or layer.endswith("Attention")


def _layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        if getattr(layer, "layers", None):
            yield from _layers(layer)
        else:
            yield layer


def _work(subject: Subject, model: Any) -> Work:
    return profiled(_graph(subject, model), sizes_of(subject.inputs))


def _graph(subject: Subject, model: Any) -> Any:
    import keras
    import tensorflow as tf

    sizes = sizes_of(subject.inputs)
    specs = [tf.TensorSpec(static_shape(spec, sizes), spec.dtype, name=spec.name) for spec in subject.inputs]

    def inference(*tensors: Any) -> Any:
        structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        return model(keras.tree.pack_sequence_as(structure, list(tensors)), training=False)

    return tf.function(inference, input_signature=specs, autograph=False).get_concrete_function().graph
