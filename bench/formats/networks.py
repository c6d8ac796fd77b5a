"""One description of a small convolutional network, built in Keras and in PyTorch from the same arrays.

A network is a sequence of (kind, size) layers. Weights are arrays in Keras's layout under "<layer index>.<part>". Both
builds take [batch, height, width, channels]; convolutions are 3x3, valid, stride 1.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

    from bench.core.contracts import Array

Kind = Literal["convolution", "batch_norm", "relu", "sign", "average_pool", "flatten", "dense", "sigmoid", "softmax"]
Layers = Sequence[tuple[Kind, int]]
"""Size is the filters, the units or the pool's edge; 0 where a layer has none."""

Weights = Mapping[str, "Array"]

EPSILON = 1e-3  # Keras's default; PyTorch's is 1e-5
_NORM_PARTS = ("gamma", "beta", "moving_mean", "moving_variance")
_KERNEL_PARTS = {"kernel": "weight", "bias": "bias"}
_TORCH_NORM_PARTS = dict(zip(_NORM_PARTS, ("weight", "bias", "running_mean", "running_var"), strict=True))
_KERNEL_EDGE = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """What a torch network made here carries as its attribute `network`: enough to build it again anywhere."""

    layers: Layers
    input_shape: tuple[int, int, int]  # height, width, channels


def torch_network(layers: Layers, input_shape: Sequence[int]) -> torch.nn.Module:
    """The network in PyTorch, in eval mode, with weights of no meaning."""
    from torch import nn

    class ChannelsLastInput(nn.Sequential):  # type: ignore[misc]  # torch is untyped here
        def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  # the name becomes the graph's
            return super().forward(input.permute(0, 3, 1, 2))

    height, width, channels = input_shape
    shape = (height, width, channels)
    modules: list[nn.Module] = []
    for position, (kind, size) in enumerate(layers):
        is_flat = any(earlier == "flatten" for earlier, _ in layers[:position])
        modules.append(_torch_layer(kind, size, shape, is_flat=is_flat))
        shape = _shape_after(kind, size, shape)
    made = ChannelsLastInput(*modules).eval()
    made.network = Network(layers=tuple(layers), input_shape=(height, width, channels))
    return made


def network_of(module: torch.nn.Module) -> Network | None:
    """The description of a module made by `torch_network`, None for any other."""
    found = getattr(module, "network", None)
    return found if isinstance(found, Network) else None


def _shape_after(kind: Kind, size: int, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """(height, width, channels) that a layer gives; a flat tensor is one of height and width 1."""
    height, width, channels = shape
    match kind:
        case "convolution":
            return height - _KERNEL_EDGE + 1, width - _KERNEL_EDGE + 1, size
        case "average_pool":
            return height // size, width // size, channels
        case "flatten":
            return 1, 1, height * width * channels
        case "dense":
            return 1, 1, size
    return shape


def _torch_layer(kind: Kind, size: int, shape: tuple[int, int, int], *, is_flat: bool) -> torch.nn.Module:
    from torch import nn

    height, width, channels = shape
    match kind:
        case "convolution":
            module = nn.Conv2d(channels, size, kernel_size=_KERNEL_EDGE)
        case "batch_norm":
            module = (nn.BatchNorm1d if is_flat else nn.BatchNorm2d)(channels, eps=EPSILON)
        case "relu":
            module = nn.ReLU()
        case "sign":
            module = _sign()
        case "average_pool":
            module = nn.AvgPool2d(size)
        case "flatten":
            module = nn.Flatten() if height == width == 1 else _flatten_channels_last()
        case "dense":
            module = nn.Linear(channels, size)
        case "sigmoid":
            module = nn.Sigmoid()
        case "softmax":
            module = nn.Softmax(dim=-1)
    return module


def _flatten_channels_last() -> torch.nn.Module:
    """Flatten in the order of Keras, whose pictures have their channels last."""
    from torch import nn

    class FlattenChannelsLast(nn.Module):  # type: ignore[misc]  # torch is untyped here
        def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002
            return input.permute(0, 2, 3, 1).flatten(1)

    return FlattenChannelsLast()


def _sign() -> torch.nn.Module:
    """-1 below zero and 1 from there on."""
    import torch

    class Sign(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
        def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002
            return torch.where(input >= 0, 1.0, -1.0)

    return Sign()


def torch_state(weights: Weights) -> dict[str, torch.Tensor]:
    """The weights as the state dictionary of `torch_network`."""
    import numpy as np
    import torch

    names = {**_KERNEL_PARTS, **_TORCH_NORM_PARTS}
    state: dict[str, torch.Tensor] = {}
    for key, values in weights.items():
        layer, part = key.split(".")
        ordered = values.transpose(3, 2, 0, 1) if values.ndim == 4 else values.T
        state[f"{layer}.{names[part]}"] = torch.from_numpy(np.ascontiguousarray(ordered))
        if part == "moving_mean":
            state[f"{layer}.num_batches_tracked"] = torch.tensor(0)
    return state


def weights_of(module: torch.nn.Module) -> dict[str, Array]:
    """The arrays of a network made by `torch_network`: the inverse of `torch_state`."""
    layers, state = module.network.layers, module.state_dict()
    weights: dict[str, Array] = {}
    for position, (kind, _) in enumerate(layers):
        parts = _TORCH_NORM_PARTS if kind == "batch_norm" else _KERNEL_PARTS
        for part, name in parts.items():
            if f"{position}.{name}" in state:
                values = state[f"{position}.{name}"].detach().numpy()
                weights[f"{position}.{part}"] = values.transpose(2, 3, 1, 0) if values.ndim == 4 else values.T
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
    _without_traces_of_the_process(path)
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
        case "sign":
            raise ValueError("Keras has no sign that can be loaded without code of ours")
    return layer


def _without_traces_of_the_process(path: Path) -> None:
    """Rewrite a .keras archive so that neither the moment of saving nor addresses in memory, by which Keras tells
    shared objects, leave a trace: artifacts are named by their content."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in sorted(archive.namelist())}
    metadata = json.loads(members["metadata.json"])
    metadata["date_saved"] = "1980-01-01@00:00:00"
    members["metadata.json"] = json.dumps(metadata, sort_keys=True).encode()
    numbers: dict[int, int] = {}
    config = json.loads(members["config.json"], object_hook=lambda item: _numbered(item, numbers))
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content)


def _numbered(item: dict[str, Any], numbers: dict[int, int]) -> dict[str, Any]:
    """A JSON object with its shared object's address replaced by a number in the order of appearance."""
    if "shared_object_id" in item:
        item["shared_object_id"] = numbers.setdefault(item["shared_object_id"], len(numbers))
    return item
