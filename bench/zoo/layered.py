"""Networks described by their layers: what steps that change a network's layers write, since a module.json holds only
the name of a factory and its options.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.formats.networks import torch_network

if TYPE_CHECKING:
    import torch


def torch_module(options: Mapping[str, Any]) -> torch.nn.Module:
    """The network without its weights; `options` are `layers`, pairs of kind and size, and `input_shape`, as
    `bench.formats.networks.Network` has them."""
    layers = [(kind, size) for kind, size in options["layers"]]
    return torch_network(layers, options["input_shape"])
