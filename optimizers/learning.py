"""What steps that train a torch module share: samples with labels, a loop that repeats itself, a file that is sound."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact, Change
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.core.files import tree_size_bytes
from bench.formats.examples import check_batches, require_sound
from bench.formats.torch_module import WEIGHTS_NAME, load_torch_module, write_torch_module
from bench.formats.torch_source import TorchSource, flattened, load_source, run_module, tensors

if TYPE_CHECKING:
    import torch

    from bench.core.contracts import Examples

_BATCH = 64
_SMALLEST_PROBABILITY = 1e-30  # against the logarithm of zero; its inverse is still a float32
_SUM_TOLERANCE = 1e-3
_GZIP_LEVEL = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    """A classifier and what it may learn from; `inputs` in the order in which the module takes them."""

    source: TorchSource
    inputs: tuple[torch.Tensor, ...]
    labels: torch.Tensor
    gives_probabilities: bool

    def logits(self, module: torch.nn.Module, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """What a softmax turns into the class probabilities of `module`, which answers as the source does."""
        (scores,) = flattened(module(*inputs))
        logits: torch.Tensor = scores.clamp_min(_SMALLEST_PROBABILITY).log() if self.gives_probabilities else scores
        return logits


def load_lesson(step: str, source: Artifact, examples: Examples | None) -> Lesson:
    """The loaded module with its examples; StepFailed where these do not teach it classes."""
    import torch

    if examples is None or examples.labels is None:
        raise StepFailed(f"{step}: {source.path} comes without labelled examples", hint="give examples with `labels`")
    torch_source = load_source(source, examples)
    inputs = tensors(source.inputs, examples.inputs)
    labels = torch.from_numpy(examples.labels)
    answers = torch_source.answers([{name: rows[:_BATCH] for name, rows in examples.inputs.items()}], source.inputs)
    scores = list(answers[0].values())
    if len(scores) != 1 or scores[0].ndim != 2 or scores[0].dtype.kind != "f":
        found = ", ".join(f"{name} {values.dtype}{list(values.shape)}" for name, values in answers[0].items())
        raise StepFailed(
            f"{step}: {source.path} gives {found}, not one row of class scores for each sample", hint=_ONLY_CLASSIFIERS
        )
    _require_labels(step, source, labels, samples=len(inputs[0]), classes=scores[0].shape[1])
    lowest, highest = float(scores[0].min()), float(scores[0].max())
    sums_to_one = bool((abs(scores[0].sum(axis=1) - 1) < _SUM_TOLERANCE).all())
    if lowest >= 0 and highest <= 1 and not sums_to_one:
        raise StepFailed(
            f"{step}: the scores of {source.path} are neither logits nor probabilities of classes that exclude "
            "each other",
            hint=_ONLY_CLASSIFIERS,
        )
    return Lesson(
        source=torch_source,
        inputs=inputs,
        labels=labels.long(),
        gives_probabilities=sums_to_one and lowest >= 0,
    )


_ONLY_CLASSIFIERS = "only classifiers with one label for each sample can be trained here; leave the variant out"


def _require_labels(step: str, source: Artifact, labels: torch.Tensor, *, samples: int, classes: int) -> None:
    if labels.is_floating_point() or labels.shape != (samples,):
        raise StepFailed(
            f"{step}: {samples} samples need as many integer labels, not {labels.dtype}{list(labels.shape)}",
            hint="give one label for each example",
        )
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= classes:
        raise StepFailed(
            f"{step}: {source.path} knows the classes 0 to {classes - 1}, the labels run from {lowest} to {highest}",
            hint="label samples with the index of their class",
        )


def weighted_layers(module: torch.nn.Module) -> list[torch.nn.Module]:
    """Convolutions and linear layers in the order in which the module holds them."""
    from torch import nn

    return [layer for layer in module.modules() if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear)]


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """The same random numbers, and sums in the same order, every time; the caller's own are given back."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def train(
    module: torch.nn.Module,
    loss_of: Callable[[torch.Tensor], torch.Tensor],
    *,
    samples: int,
    epochs: int,
    learning_rate: float,
) -> None:
    """Adam along half a cosine; `loss_of` is given the indices of a batch. The module ends in eval mode, frozen."""
    import torch

    module.requires_grad_(True).train()
    optimizer = torch.optim.Adam(module.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(1, epochs))
    for _ in range(epochs):
        for chosen in torch.randperm(samples).split(_BATCH):
            if len(chosen) == 1 < samples:  # batch norm has no variance of one
                continue
            loss = loss_of(chosen)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    module.eval().requires_grad_(False)


def learn_labels(module: torch.nn.Module, lesson: Lesson, *, epochs: int, learning_rate: float) -> None:
    """Train towards the labels of the lesson by cross entropy."""
    import torch

    def loss_of(chosen: torch.Tensor) -> torch.Tensor:
        logits = lesson.logits(module, [tensor[chosen] for tensor in lesson.inputs])
        return torch.nn.functional.cross_entropy(logits, lesson.labels[chosen])

    train(module, loss_of, samples=len(lesson.labels), epochs=epochs, learning_rate=learning_rate)


def write_learned(
    step: str,
    source: Artifact,
    module: torch.nn.Module,
    factory: tuple[str, Mapping[str, Any]],
    out_dir: Path,
    examples: Examples | None,
) -> Path:
    """Write the directory `module`, load it again as every reader does, and run it beside the source."""
    path = write_torch_module(module, *factory, out_dir / "module")
    reloaded = load_torch_module(path)
    original = load_source(source, examples)
    batches = check_batches(source.inputs, examples)
    for batch, expected in zip(batches, original.answers(batches, source.inputs), strict=True):
        require_sound(step, expected, run_module(reloaded, batch, source.inputs, original.outputs))
    return path


def size_changes(source: Artifact, path: Path) -> tuple[Change, ...]:
    """Bytes on disk, and bytes of the weights when compressed by gzip."""
    return (
        Change(what="bytes", before=source.size_bytes, after=tree_size_bytes(path)),
        Change(what="gzip bytes", before=_gzip_bytes(Path(source.path)), after=_gzip_bytes(path)),
    )


def _gzip_bytes(directory: Path) -> int:
    return len(gzip.compress((directory / WEIGHTS_NAME).read_bytes(), compresslevel=_GZIP_LEVEL, mtime=0))


def learned(source: Artifact, path: Path, changes: Sequence[Change], notes: Sequence[str]) -> StepResult:
    """The result of a step that keeps format and signature."""
    return StepResult(
        format=source.format,
        path=path,
        inputs=source.inputs,
        outputs=source.outputs,
        changes=(*size_changes(source, path), *changes),
        notes=tuple(notes),
    )
