"""A classifier of real handwritten digits, trained in seconds: accuracy that a variant can lose.

The data are scikit-learn's 1797 labelled digits of 8x8 pixels (UCI, Alpaydin and Kaynak); 30 % of each class are held
out for labels. The network is trained on the rest, which serves as examples in one part and as inputs in the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.core.artifact import TensorSpec
from bench.core.contracts import Examples, LabelledSet, StepResult
from bench.core.errors import MatrixError
from bench.formats.torch_module import write_torch_module

from .networks import Layers, torch_network, weights_of, write_keras

if TYPE_CHECKING:
    import torch

    from bench.core.cell import Dimension
    from bench.core.contracts import Array, Batch

_SPLIT_SEED = 0
_TRAINING_SEED = 0
_HELD_OUT_RATIO = 0.3
_EXAMPLES = 600  # of the training part; the others are inputs
_EPOCHS = 30
_BATCH = 64
_LEARNING_RATE = 1e-2
_INPUTS = (TensorSpec(name="input", dtype="float32", shape=("batch", 8, 8, 1)),)
_OUTPUTS = (TensorSpec(name="output", dtype="float32", shape=("batch", 10)),)

LAYERS: Layers = (
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


class Digits:
    """The zoo entry."""

    formats: ClassVar[tuple[str, ...]] = ("keras", "torch_module")

    def build(self, format: str, out_dir: Path) -> StepResult:
        """Train, then write the network as `model.keras` or as the directory `module`."""
        if format not in self.formats:
            raise ValueError(f"digits is not offered as {format}")
        module = _trained()
        if format == "keras":
            path = write_keras(LAYERS, (8, 8, 1), weights_of(module), out_dir / "model.keras", "digits")
        else:
            path = write_torch_module(module, "bench.zoo.digits:torch_module", {}, out_dir / "module")
        return StepResult(format=format, path=path, inputs=_INPUTS, outputs=_OUTPUTS)

    def sample_inputs(self, *, count: int, batch: int, dimensions: Sequence[Dimension], seed: int) -> Sequence[Batch]:
        """Training images in a seeded order; MatrixError when there are not enough distinct ones."""
        import numpy as np

        images = _split()[0][0][_EXAMPLES:]
        if count * batch > len(images):
            raise MatrixError(
                f"digits has {len(images)} images for inputs, {count} batches of {batch} need {count * batch}",
                hint=f"batch: {len(images) // count} at most",
            )
        order = np.random.default_rng(seed).permutation(len(images))
        return [{"input": images[order[start : start + batch]]} for start in range(0, count * batch, batch)]

    def examples(self) -> Examples:
        """The training images that are no inputs, with their digits."""
        images, labels = _split()[0]
        return Examples(inputs={"input": images[:_EXAMPLES]}, labels=labels[:_EXAMPLES])

    def labelled(self) -> LabelledSet | None:
        """The held-out images and their digits."""
        images, labels = _split()[1]
        return LabelledSet(inputs={"input": images}, labels=labels)

    def predictions(self, outputs: Mapping[str, Array]) -> Array:
        """The digit with the highest output."""
        digits: Array = outputs["output"].argmax(axis=1)
        return digits


def torch_module(_options: Mapping[str, Any]) -> torch.nn.Module:
    """The network in PyTorch without its weights; it takes no options."""
    return torch_network(LAYERS, channels=1)


@cache
def _split() -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(training, held out) as (images float32 [n, 8, 8, 1] in 0..1, labels int64 [n]), every digit in both."""
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
    return (images[~held_out], labels[~held_out]), (images[held_out], labels[held_out])


def _trained() -> torch.nn.Module:
    """The network trained on the training part; on one thread, so that sums are always taken in the same order."""
    import torch

    (images, labels), _ = _split()
    inputs, targets = torch.from_numpy(images), torch.from_numpy(labels)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_TRAINING_SEED)
            module = torch_module({})
            _train(module, inputs, targets)
    finally:
        torch.set_num_threads(threads)
    return module


def _train(module: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> None:
    import torch

    logits = module[:-1]  # the loss wants what the softmax is given
    optimizer = torch.optim.Adam(module.parameters(), lr=_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=_EPOCHS)
    for _ in range(_EPOCHS):
        for chosen in torch.randperm(len(inputs)).split(_BATCH):
            loss = torch.nn.functional.cross_entropy(logits(inputs[chosen]), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
