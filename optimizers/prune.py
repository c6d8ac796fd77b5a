"""Set the smallest weights of a classifier to zero and let the others learn to do without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact, Change
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.steps import only_step_failures, table_blockers
from bench.formats.torch_module import description_of

from .learning import learn_labels, learned, load_lesson, reproducible, weighted_layers, write_learned

if TYPE_CHECKING:
    import torch

    from bench.core.contracts import Examples

_NAME = "prune"
_HINT = "only torch modules that classify can be pruned here; the log holds torch's own words"
_NOTE = "zeros are multiplied as any other number: a call takes as long as before, only a compressed file is smaller"


@dataclass(frozen=True, kw_only=True, slots=True)
class PruneOptions:
    """`sparsity_ratio` of the weights become zero, or of each hidden layer's output channels with `structured`;
    then the others are trained for `epochs`."""

    sparsity_ratio: float = 0.8
    structured: bool = False
    epochs: int = 20
    learning_rate: float = 2e-3
    seed: int = 0


class Prune:
    """`torch.nn.utils.prune` over all convolutions and linear layers, then training with the zeros held."""

    Options = PruneOptions

    def blockers(self, source_format: str, options: PruneOptions) -> Sequence[str]:
        """What the table line says is missing, and a ratio that is none."""
        reasons = table_blockers(_NAME, source_format)
        if not 0 < options.sparsity_ratio < 1:
            reasons.append(f"{_NAME} cannot make a ratio of {options.sparsity_ratio} zeros: choose between 0 and 1")
        return reasons

    def apply(self, source: Artifact, options: PruneOptions, out_dir: Path, examples: Examples | None) -> StepResult:
        """Write the module with zeros among its weights; its network stays as it was."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _prune(source, options, out_dir, examples)


def _prune(source: Artifact, options: PruneOptions, out_dir: Path, examples: Examples | None) -> StepResult:
    from torch.nn.utils import prune

    lesson = load_lesson(_NAME, source, examples)
    module = lesson.source.module
    layers = weighted_layers(module)
    chosen = layers[:-1] if options.structured else layers  # a last layer without a channel misses a class
    if not chosen:
        raise StepFailed(f"{_NAME}: {source.path} has no layer to prune", hint="leave the variant out")
    before = _weights(layers)
    with reproducible(options.seed):
        _hold_zeros(chosen, options)
        learn_labels(module, lesson, epochs=options.epochs, learning_rate=options.learning_rate)
        for layer in chosen:
            prune.remove(layer, "weight")
    after = _weights(layers)
    if not (after == 0).sum() > (before == 0).sum():
        raise StepFailed(
            f"{_NAME}: a ratio of {options.sparsity_ratio} makes no weight of {source.path} zero",
            hint="choose a larger sparsity_ratio",
        )
    path = write_learned(_NAME, source, module, description_of(Path(source.path)), out_dir, examples)
    changes = (
        Change(what="nonzero weights", before=int((before != 0).sum()), after=int((after != 0).sum())),
        Change(what="sparsity ratio", before=_zero_ratio(before), after=_zero_ratio(after)),
    )
    return learned(source, path, changes, [_NOTE])


def _hold_zeros(layers: Sequence[torch.nn.Module], options: PruneOptions) -> None:
    """Mask the weights of least magnitude: over all layers, or the output channels of least L1 norm of each."""
    from torch.nn.utils import prune

    if options.structured:
        for layer in layers:
            prune.ln_structured(layer, "weight", amount=options.sparsity_ratio, n=1, dim=0)
    else:
        weights = [(layer, "weight") for layer in layers]
        prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=options.sparsity_ratio)


def _weights(layers: Sequence[torch.nn.Module]) -> Any:
    import torch

    return torch.cat([layer.weight.detach().flatten() for layer in layers]).clone()


def _zero_ratio(weights: Any) -> float:
    return float((weights == 0).double().mean())


STEP = Prune()
