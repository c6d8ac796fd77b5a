"""A classifier of real handwritten digits, trained in seconds: accuracy that a variant can lose.

The data are scikit-learn's 1797 labelled digits of 8x8 pixels (UCI, Alpaydin and Kaynak); 30 % of each class are held
out for labels. The network is trained on the rest, which serves as examples in one part and as inputs in the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from bench.formats.networks import torch_network

from .classifier import Classifier, Pictures, Training

if TYPE_CHECKING:
    import torch

_SPLIT_SEED = 0
_HELD_OUT_RATIO = 0.3


class Digits(Classifier):
    """The zoo entry."""

    name = "digits"
    layers = (
        ("convolution", 32),
        ("relu", 0),
        ("convolution", 64),
        ("relu", 0),
        ("convolution", 64),
        ("relu", 0),
        ("average_pool", 2),
        ("flatten", 0),
        ("dense", 10),
        ("softmax", 0),
    )
    input_shape = (8, 8, 1)
    training = Training(epochs=30, learning_rate=1e-2)
    examples_count = 600

    def pictures(self) -> tuple[Pictures, Pictures]:
        """Every digit in both parts."""
        return _split()


def torch_module(_options: Mapping[str, Any]) -> torch.nn.Module:
    """The network in PyTorch without its weights; it takes no options."""
    return torch_network(Digits.layers, Digits.input_shape)


@cache
def _split() -> tuple[Pictures, Pictures]:
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images / 16.0).astype(np.float32)[..., None]
    labels = digits.target.astype(np.int64)
    rng = np.random.default_rng(_SPLIT_SEED)
    held_out = np.zeros(len(labels), bool)
    for digit in range(10):
        members = rng.permutation(np.flatnonzero(labels == digit))
        held_out[members[: round(len(members) * _HELD_OUT_RATIO)]] = True
    return (
        Pictures(images=images[~held_out], labels=labels[~held_out]),
        Pictures(images=images[held_out], labels=labels[held_out]),
    )
