"""A 224x224 image classifier of convolution blocks: seeded weights, no labels, the same in Keras and in PyTorch.

Eight 3x3 convolutions, each with batch norm and ReLU, average pooling between the pairs, two dense layers and 100
sigmoid outputs: 0.58 million parameters and 0.55 GFLOP per image, the network of the deployment workshop by
I. Khlestov (github.com/ikhlestov/deployml) that this program grew from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.core.artifact import TensorSpec
from bench.core.contracts import Examples, StepResult
from bench.formats.networks import EPSILON, Layers, torch_network, torch_state, write_keras
from bench.formats.torch_module import write_torch_module

if TYPE_CHECKING:
    import numpy as np
    import torch

    from bench.core.cell import Dimension
    from bench.core.contracts import Array, Batch, LabelledSet

_EDGE = 224
_CHANNELS = 3
_WEIGHTS_SEED = 20180319
_STATISTICS_IMAGES = 8
_STATISTICS_DECIMALS = 4
_EXAMPLES = 64
_INPUTS = (TensorSpec(name="input", dtype="float32", shape=("batch", _EDGE, _EDGE, _CHANNELS)),)
_OUTPUTS = (TensorSpec(name="output", dtype="float32", shape=("batch", 100)),)


def _block(filters: Sequence[int], pool: int) -> Layers:
    convolutions: list[Any] = []
    for count in filters:
        convolutions += [("convolution", count), ("batch_norm", 0), ("relu", 0)]
    return [*convolutions, ("average_pool", pool)]


LAYERS: Layers = (
    *_block((6, 9), 2),
    *_block((12, 16), 2),
    *_block((32, 64), 2),
    *_block((128, 256), 20),
    ("flatten", 0),
    ("dense", 512),
    ("batch_norm", 0),
    ("relu", 0),
    ("dense", 100),
    ("sigmoid", 0),
)


class SeedCnn:
    """The zoo entry."""

    formats: ClassVar[tuple[str, ...]] = ("keras", "torch_module")

    def build(self, format: str, out_dir: Path) -> StepResult:
        """Write the network as `model.keras` or as the directory `module`."""
        weights = _weights()
        if format == "keras":
            path = write_keras(LAYERS, (_EDGE, _EDGE, _CHANNELS), weights, out_dir / "model.keras", "seed_cnn")
        elif format == "torch_module":
            module = torch_module({})
            module.load_state_dict(torch_state(weights))
            path = write_torch_module(module, "bench.zoo.seed_cnn:torch_module", {}, out_dir / "module")
        else:
            raise ValueError(f"seed_cnn is not offered as {format}")
        return StepResult(format=format, path=path, inputs=_INPUTS, outputs=_OUTPUTS)

    def sample_inputs(self, *, count: int, batch: int, dimensions: Sequence[Dimension], seed: int) -> Sequence[Batch]:
        """Noise with the statistics of photographs, 0..1."""
        from .inputs import synthetic_inputs

        return synthetic_inputs(_INPUTS, count=count, batch=batch, dimensions=dimensions, seed=seed)

    def examples(self) -> Examples:
        """The same kind of pictures from another stream."""
        from .images import natural_images
        from .inputs import examples_generator

        return Examples(inputs={"input": natural_images(examples_generator(), _EXAMPLES, _EDGE, _EDGE, _CHANNELS)})

    def labelled(self) -> LabelledSet | None:
        """None: weights that were never trained recognise nothing."""
        return None

    def predictions(self, outputs: Mapping[str, Array]) -> Array:
        """The class with the highest output."""
        classes: Array = outputs["output"].argmax(axis=1)
        return classes


def torch_module(_options: Mapping[str, Any]) -> torch.nn.Module:
    """The network in PyTorch without its weights; it takes no options."""
    return torch_network(LAYERS, (_EDGE, _EDGE, _CHANNELS))


def _weights() -> dict[str, Array]:
    """He-initialised kernels, and batch norms holding the statistics of pictures, as training leaves them.

    Without true statistics every picture would get the same class. They are computed in float64 and rounded, so that
    the order in which a processor adds numbers does not reach the bytes: every machine makes the same weights.
    """
    import numpy as np

    from .images import natural_images

    rng = np.random.default_rng(_WEIGHTS_SEED)
    values = natural_images(rng, _STATISTICS_IMAGES, _EDGE, _EDGE, _CHANNELS).astype(np.float64)
    weights: dict[str, Array] = {}
    for index, (kind, size) in enumerate(LAYERS):
        made = _layer_weights(kind, size, values, rng)
        weights |= {f"{index}.{part}": array for part, array in made.items()}
        values = _forward(kind, size, values, made)
    return weights


def _layer_weights(kind: str, size: int, values: Array, rng: np.random.Generator) -> dict[str, Array]:
    """The weights of a layer that is fed `values`, float32."""
    import numpy as np

    made: dict[str, Array] = {}
    channels = values.shape[-1]
    if kind in ("convolution", "dense"):
        shape = (3, 3, channels, size) if kind == "convolution" else (channels, size)
        fan_in = int(np.prod(shape[:-1]))
        made = {"kernel": rng.normal(0.0, (2.0 / fan_in) ** 0.5, shape), "bias": rng.normal(0.0, 0.05, size)}
    elif kind == "batch_norm":
        axes = tuple(range(values.ndim - 1))
        made = {
            "gamma": rng.uniform(0.8, 1.2, channels),
            "beta": rng.normal(0.0, 0.1, channels),
            "moving_mean": values.mean(axes).round(_STATISTICS_DECIMALS),
            "moving_variance": values.var(axes).round(_STATISTICS_DECIMALS),
        }
    return {part: array.astype(np.float32) for part, array in made.items()}


def _forward(kind: str, size: int, values: Array, weights: Mapping[str, Array]) -> Array:
    """One layer in numpy and float64, [batch, height, width, channels]."""
    import numpy as np

    if kind == "convolution":
        height, width = values.shape[1] - 2, values.shape[2] - 2
        shifted = [
            values[:, y : y + height, x : x + width] @ weights["kernel"][y, x] for y in range(3) for x in range(3)
        ]
        values = np.add.reduce(shifted) + weights["bias"]
    elif kind == "batch_norm":
        scale = weights["gamma"] / np.sqrt(weights["moving_variance"] + EPSILON)
        values = (values - weights["moving_mean"]) * scale + weights["beta"]
    elif kind == "relu":
        values = np.maximum(values, 0)
    elif kind == "average_pool":
        count, height, width, channels = values.shape
        rows, columns = height // size, width // size
        cut = values[:, : rows * size, : columns * size]
        values = cut.reshape(count, rows, size, columns, size, channels).mean((2, 4))
    elif kind == "flatten":
        values = values.reshape(len(values), -1)
    elif kind == "dense":
        values = values @ weights["kernel"] + weights["bias"]
    return values
