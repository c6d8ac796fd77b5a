"""One description of a small convolutional network, built in Keras and in PyTorch from the same arrays.

A network is a tuple of (kind, size) layers. Weights are arrays in Keras's layout under "<layer index>.<part>". Both
builds take [batch, height, width, channels]; convolutions are 3x3, valid, stride 1.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

    from bench.core.contracts import Array

Kind = Literal["convolution", "batch_norm", "relu", "average_pool", "flatten", "dense", "sigmoid", "softmax"]
Layers = Sequence[tuple[Kind, int]]
"""Size is the filters, the units or the pool's edge; 0 where a layer has none."""

Weights = Mapping[str, "Array"]

EPSILON = 1e-3  # Keras's default; PyTorch's is 1e-5
_NORM_PARTS = ("gamma", "beta", "moving_mean", "moving_variance")


def torch_network(layers: Layers, channels: int) -> torch.nn.Module:
    """The network in PyTorch, in eval mode, with weights of no meaning."""
    from torch import nn

    class ChannelsLastInput(nn.Sequential):  # type: ignore[misc]  # torch is untyped here
        def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  # the name becomes the graph's
            return super().forward(input.permute(0, 3, 1, 2))

    modules: list[nn.Module] = []
    for position, (kind, size) in enumerate(layers):
        modules.append(_torch_layer(kind, size, channels, after_dense=_follows_dense(layers, position)))
        channels = size if kind in ("convolution", "dense") else channels
    return ChannelsLastInput(*modules).eval()


def _follows_dense(layers: Layers, position: int) -> bool:
    return any(kind == "dense" for kind, _ in layers[:position])


def _torch_layer(kind: Kind, size: int, channels: int, *, after_dense: bool) -> torch.nn.Module:
    from torch import nn

    match kind:
        case "convolution":
            module = nn.Conv2d(channels, size, kernel_size=3)
        case "batch_norm":
            norm = nn.BatchNorm1d if after_dense else nn.BatchNorm2d
            module = norm(channels, eps=EPSILON)
        case "relu":
            module = nn.ReLU()
        case "average_pool":
            module = nn.AvgPool2d(size)
        case "flatten":  # only of [batch, channels, 1, 1]: the two layouts would order anything larger differently
            module = nn.Flatten()
        case "dense":
            module = nn.Linear(channels, size)
        case "sigmoid":
            module = nn.Sigmoid()
        case "softmax":
            module = nn.Softmax(dim=-1)
    return module


def torch_state(weights: Weights) -> dict[str, torch.Tensor]:
    """The weights as the state dictionary of `torch_network`."""
    import numpy as np
    import torch

    names = {
        "kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias",
        "moving_mean": "running_mean", "moving_variance": "running_var",
    }  # fmt: skip
    state: dict[str, torch.Tensor] = {}
    for key, values in weights.items():
        layer, part = key.split(".")
        ordered = values.transpose(3, 2, 0, 1) if values.ndim == 4 else values.T
        state[f"{layer}.{names[part]}"] = torch.from_numpy(np.ascontiguousarray(ordered))
        if part == "moving_mean":
            state[f"{layer}.num_batches_tracked"] = torch.tensor(0)
    return state


def weights_of(module: torch.nn.Module) -> dict[str, Array]:
    """The arrays of a trained network without batch norm: the inverse of `torch_state`."""
    names = {"weight": "kernel", "bias": "bias"}
    weights: dict[str, Array] = {}
    for key, tensor in module.state_dict().items():
        layer, part = key.split(".")
        values = tensor.detach().numpy()
        weights[f"{layer}.{names[part]}"] = values.transpose(2, 3, 1, 0) if values.ndim == 4 else values.T
    return weights


def write_keras(layers: Layers, input_shape: Sequence[int], weights: Weights, path: Path, name: str) -> Path:
    """Write the network as a .keras archive with input "input" and output "output"; equal weights give equal bytes."""
    import keras

    tensor = start = keras.Input(tuple(input_shape), name="input")
    built: list[Any] = []
    for position, (kind, size) in enumerate(layers):
        last = position == len(layers) - 1
        layer = _keras_layer(keras.layers, kind, size, "output" if last else f"{kind}_{position}")
        tensor = layer(tensor)
        built.append(layer)
    model = keras.Model(start, tensor, name=name)
    for position, layer in enumerate(built):
        parts = ("kernel", "bias") if f"{position}.kernel" in weights else _NORM_PARTS
        layer.set_weights([weights[f"{position}.{part}"] for part in parts if f"{position}.{part}" in weights])
    model.save(path)
    _without_timestamps(path)
    return path


def _keras_layer(kinds: Any, kind: Kind, size: int, name: str) -> Any:
    match kind:
        case "convolution":
            layer = kinds.Conv2D(size, 3, name=name)
        case "batch_norm":
            layer = kinds.BatchNormalization(epsilon=EPSILON, name=name)
        case "average_pool":
            layer = kinds.AveragePooling2D(size, name=name)
        case "flatten":
            layer = kinds.Flatten(name=name)
        case "dense":
            layer = kinds.Dense(size, name=name)
        case "relu" | "sigmoid" | "softmax":
            layer = kinds.Activation(kind, name=name)
    return layer


def _without_timestamps(path: Path) -> None:
    """Rewrite a .keras archive so that the moment of saving leaves no trace: artifacts are named by their content."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in sorted(archive.namelist())}
    metadata = json.loads(members["metadata.json"])
    metadata["date_saved"] = "1980-01-01@00:00:00"
    members["metadata.json"] = json.dumps(metadata, sort_keys=True).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content)
