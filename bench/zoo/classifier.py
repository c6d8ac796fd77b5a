"""What small classifiers of pictures have in common: trained on the spot, class probabilities as output, labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bench.core.artifact import TensorSpec
from bench.core.contracts import Examples, LabelledSet, StepResult
from bench.core.errors import MatrixError
from bench.formats.networks import Layers, torch_network, weights_of, write_keras
from bench.formats.torch_module import write_torch_module

if TYPE_CHECKING:
    import torch

    from bench.core.cell import Dimension
    from bench.core.contracts import Array, Batch

_BATCH = 64
_SEED = 0
_CLASSES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """Images float32 [n, height, width, channels] in 0..1 and their labels int64 [n]."""

    images: Array
    labels: Array


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """How a network is trained: Adam, whose rate falls to zero along half a cosine."""

    epochs: int
    learning_rate: float


class Classifier:
    """A zoo model with the formats keras and torch_module; a subclass says what it is made of.

    The network learns from all training pictures. The first `examples_count` of these are the examples, the others are
    inputs; the held-out pictures serve for nothing but labels.
    """

    formats: ClassVar[tuple[str, ...]] = ("keras", "torch_module")
    name: ClassVar[str]  # of the module in bench.zoo, which has the factory `torch_module`
    layers: ClassVar[Layers]
    input_shape: ClassVar[tuple[int, int, int]]
    training: ClassVar[Training]
    examples_count: ClassVar[int]

    def pictures(self) -> tuple[Pictures, Pictures]:
        """(for training, held out), every class in both."""
        raise NotImplementedError

    def build(self, format: str, out_dir: Path) -> StepResult:
        """Train, then write the network as `model.keras` or as the directory `module`."""
        if format not in self.formats:
            raise ValueError(f"{self.name} is not offered as {format}")
        module = _trained(self.pictures()[0], self.layers, self.input_shape, self.training)
        if format == "keras":
            path = write_keras(self.layers, self.input_shape, weights_of(module), out_dir / "model.keras", self.name)
        else:
            path = write_torch_module(module, f"bench.zoo.{self.name}:torch_module", {}, out_dir / "module")
        inputs = (TensorSpec(name="input", dtype="float32", shape=("batch", *self.input_shape)),)
        outputs = (TensorSpec(name="output", dtype="float32", shape=("batch", _CLASSES)),)
        return StepResult(format=format, path=path, inputs=inputs, outputs=outputs)

    def sample_inputs(self, *, count: int, batch: int, dimensions: Sequence[Dimension], seed: int) -> Sequence[Batch]:
        """Training pictures in a seeded order; MatrixError when there are not enough distinct ones."""
        import numpy as np

        images = self.pictures()[0].images[self.examples_count :]
        if count * batch > len(images):
            raise MatrixError(
                f"{self.name} has {len(images)} images for inputs, {count} batches of {batch} need {count * batch}",
                hint=f"batch: {len(images) // count} at most",
            )
        order = np.random.default_rng(seed).permutation(len(images))
        return [{"input": images[order[start : start + batch]]} for start in range(0, count * batch, batch)]

    def examples(self) -> Examples:
        """The training pictures that are no inputs, with their labels."""
        training, _ = self.pictures()
        return Examples(
            inputs={"input": training.images[: self.examples_count]}, labels=training.labels[: self.examples_count]
        )

    def labelled(self) -> LabelledSet | None:
        """The held-out pictures and their labels."""
        _, held_out = self.pictures()
        return LabelledSet(inputs={"input": held_out.images}, labels=held_out.labels)

    def predictions(self, outputs: Mapping[str, Array]) -> Array:
        """The class with the highest output."""
        classes: Array = outputs["output"].argmax(axis=1)
        return classes


def _trained(pictures: Pictures, layers: Layers, input_shape: Sequence[int], training: Training) -> torch.nn.Module:
    """Trained on one thread, so that sums are always taken in the same order."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            module = torch_network(layers, input_shape)
            _train(module, torch.from_numpy(pictures.images), torch.from_numpy(pictures.labels), training)
    finally:
        torch.set_num_threads(threads)
    return module


def _train(module: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor, training: Training) -> None:
    import torch

    logits = module[:-1]  # the loss wants what the softmax is given
    optimizer = torch.optim.Adam(module.parameters(), lr=training.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=training.epochs)
    for _ in range(training.epochs):
        for chosen in torch.randperm(len(inputs)).split(_BATCH):
            loss = torch.nn.functional.cross_entropy(logits(inputs[chosen]), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
