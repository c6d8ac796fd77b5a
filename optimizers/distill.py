"""Teach a narrower network of the same layers to answer as the source does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.artifact import Artifact, Change
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.networks import Layers, network_of, torch_network
from bench.formats.steps import only_step_failures, table_blockers

from .learning import Lesson, learned, load_lesson, reproducible, train, write_learned

if TYPE_CHECKING:
    import torch

    from bench.core.contracts import Examples

_NAME = "distill"
_HINT = "only classifiers made of the zoo's layers can be distilled; the log holds torch's own words"
_WEIGHTED = ("convolution", "dense")


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillOptions:
    """`width_ratio` of the source's channels and units are left in each hidden layer; answers are softened by
    `temperature`, and labels have `label_weight_ratio` of the loss."""

    width_ratio: float = 0.5
    temperature: float = 4.0
    label_weight_ratio: float = 0.1
    epochs: int = 150
    learning_rate: float = 1e-2
    seed: int = 0


class Distill:
    """Knowledge distillation (Hinton, Vinyals and Dean, arXiv 1503.02531) on mixed samples, which the source answers,
    too (Beyer et al., arXiv 2106.05237)."""

    Options = DistillOptions

    def blockers(self, source_format: str, options: DistillOptions) -> Sequence[str]:
        """What the table line says is missing, and ratios that are none."""
        reasons = table_blockers(_NAME, source_format)
        if not 0 < options.width_ratio < 1:
            reasons.append(f"{_NAME} makes a narrower network: choose a width_ratio between 0 and 1")
        if not 0 <= options.label_weight_ratio <= 1:
            reasons.append(f"{_NAME} cannot weigh labels by {options.label_weight_ratio}: choose 0 to 1")
        if options.temperature <= 0:
            reasons.append(f"{_NAME} cannot soften by {options.temperature}: choose a temperature above 0")
        return reasons

    def apply(self, source: Artifact, options: DistillOptions, out_dir: Path, examples: Examples | None) -> StepResult:
        """Write the student as a module of the factory `bench.zoo.layered`."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _distill(source, options, out_dir, examples)


def _distill(source: Artifact, options: DistillOptions, out_dir: Path, examples: Examples | None) -> StepResult:
    lesson = load_lesson(_NAME, source, examples)
    teacher = lesson.source.module
    network = network_of(teacher)
    if network is None:
        raise StepFailed(f"{_NAME}: {source.path} is not a network of plain layers in a row", hint=_HINT)
    layers = _narrower(network.layers, options.width_ratio)
    if layers == list(network.layers):
        raise StepFailed(
            f"{_NAME}: a width_ratio of {options.width_ratio} leaves {source.path} as it is",
            hint="choose a smaller width_ratio",
        )
    with reproducible(options.seed):
        student = torch_network(layers, network.input_shape)
        _teach(student, lesson, options)
    factory = ("bench.zoo.layered:torch_module", {"layers": layers, "input_shape": network.input_shape})
    path = write_learned(_NAME, source, student, factory, out_dir, examples)
    changes = [Change(what="weights", before=_weights(teacher), after=_weights(student))]
    return learned(source, path, changes, ["another network than its source, which it was trained to imitate"])


def _narrower(layers: Layers, width_ratio: float) -> Layers:
    """The same layers with fewer channels and units, but for the last, whose units are the classes."""
    last = max(position for position, (kind, _) in enumerate(layers) if kind in _WEIGHTED)
    return [
        (kind, max(1, round(size * width_ratio)) if kind in _WEIGHTED and position != last else size)
        for position, (kind, size) in enumerate(layers)
    ]


def _teach(student: torch.nn.Module, lesson: Lesson, options: DistillOptions) -> None:
    import torch
    from torch.nn import functional

    (samples,), teacher, temperature = lesson.inputs, lesson.source.module, options.temperature

    def loss_of(chosen: torch.Tensor) -> torch.Tensor:
        share = torch.rand([len(chosen), *[1] * (samples.ndim - 1)])
        mixed = share * samples[chosen] + (1 - share) * samples[torch.randint(len(samples), (len(chosen),))]
        with torch.no_grad():
            wanted = functional.softmax(lesson.logits(teacher, [mixed]) / temperature, dim=1)
        answered = functional.log_softmax(lesson.logits(student, [mixed]) / temperature, dim=1)
        # Gradients of softened answers shrink with the square of the temperature.
        imitation = functional.kl_div(answered, wanted, reduction="batchmean") * temperature**2
        labelling = functional.cross_entropy(lesson.logits(student, [samples[chosen]]), lesson.labels[chosen])
        return (1 - options.label_weight_ratio) * imitation + options.label_weight_ratio * labelling

    train(student, loss_of, samples=len(samples), epochs=options.epochs, learning_rate=options.learning_rate)


def _weights(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


STEP = Distill()
