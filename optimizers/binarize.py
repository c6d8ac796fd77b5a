"""Leave one bit of each hidden weight: its sign, times one scale for each output channel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact, Change
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.networks import Kind, Layers, network_of, torch_network
from bench.formats.steps import only_step_failures, table_blockers
from bench.formats.torch_module import description_of

from .learning import Lesson, learn_labels, learned, load_lesson, reproducible, weighted_layers, write_learned

if TYPE_CHECKING:
    import torch

    from bench.core.contracts import Examples

_NAME = "binarize"
_HINT = "only torch modules that classify can be binarized; the log holds torch's own words"
_NOTE = "no kernel for bits is used: weights of one bit are stored and multiplied as floats, at the speed of floats"
_BITS_PER_BYTE = 8
_FLOAT_BYTES = 4
_MOVABLE: tuple[Kind, ...] = ("relu", "average_pool", "flatten")  # what may stand between two weighted layers


@dataclass(frozen=True, kw_only=True, slots=True)
class BinarizeOptions:
    """`activations`: what goes into a binary layer becomes one bit, too. Then all weights are trained for `epochs`."""

    activations: bool = False
    epochs: int = 60
    learning_rate: float = 3e-3
    seed: int = 0


class Binarize:
    """Weights, and with `activations` their inputs, as in XNOR-Net (Rastegari et al., arXiv 1603.05279): the sign
    times the mean magnitude of the output channel, trained through a straight-through estimator."""

    Options = BinarizeOptions

    def blockers(self, source_format: str, options: BinarizeOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(self, source: Artifact, options: BinarizeOptions, out_dir: Path, examples: Examples | None) -> StepResult:
        """Write the module; its first and its last layer keep their floats."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _binarize(source, options, out_dir, examples)


def _binarize(source: Artifact, options: BinarizeOptions, out_dir: Path, examples: Examples | None) -> StepResult:
    lesson = load_lesson(_NAME, source, examples)
    module, factory = lesson.source.module, description_of(Path(source.path))
    if len(weighted_layers(module)) <= 2:
        raise StepFailed(
            f"{_NAME}: {source.path} has no layer with weights between its first and its last, which keep their floats",
            hint="leave the variant out",
        )
    with reproducible(options.seed):
        if options.activations:
            module, factory = _with_signs(module, source)
        layers = weighted_layers(module)[1:-1]
        _learn(module, layers, lesson, options)
    path = write_learned(_NAME, source, module, factory, out_dir, examples)
    weights = [layer.weight.numel() for layer in layers]
    packed = sum(-(-count // _BITS_PER_BYTE) for count in weights)
    changes = (
        Change(what="bits of binary weights", before=32 * sum(weights), after=sum(weights)),
        Change(what="bytes of binary weights, packed", before=_FLOAT_BYTES * sum(weights), after=packed),
        Change(what="bytes of their scales", before=0, after=_FLOAT_BYTES * _channels(layers)),
    )
    return learned(source, path, changes, [_NOTE])


def _channels(layers: Sequence[torch.nn.Module]) -> int:
    return sum(layer.weight.shape[0] for layer in layers)


def _learn(
    module: torch.nn.Module, layers: Sequence[torch.nn.Module], lesson: Lesson, options: BinarizeOptions
) -> None:
    """Train floats whose signs and scales are what the module computes with, then leave it these alone."""
    import torch
    from torch.nn.utils import parametrize

    class Binary(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return _scale(weight) * _straight_through(_sign(weight), weight)

    for layer in layers:
        parametrize.register_parametrization(layer, "weight", Binary())
    with _signs_let_gradients_through(module):
        learn_labels(module, lesson, epochs=options.epochs, learning_rate=options.learning_rate)
    for layer in layers:
        weight = layer.parametrizations.weight.original.detach()
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
        layer.weight.copy_(_scale(weight) * _sign(weight))  # without the rounding of the estimator
    module.requires_grad_(False)


def _scale(weight: torch.Tensor) -> torch.Tensor:
    """Mean magnitude of each output channel: the scale of signs that is nearest to the weights."""
    return weight.abs().mean(dim=tuple(range(1, weight.ndim)), keepdim=True)


def _sign(values: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.where(values >= 0, 1.0, -1.0)


def _straight_through(signs: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """`signs` with the gradient of `values`, as long as these lie in -1..1."""
    clamped = values.clamp(-1, 1)
    return clamped + (signs - clamped).detach()


@contextmanager
def _signs_let_gradients_through(module: torch.nn.Module) -> Iterator[None]:
    network = network_of(module)
    kinds = [kind for kind, _ in network.layers] if network else []
    hooks = [
        layer.register_forward_hook(lambda _, arguments, signs: _straight_through(signs, arguments[0]))
        for kind, layer in zip(kinds, module.children(), strict=False)
        if kind == "sign"
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _with_signs(module: torch.nn.Module, source: Artifact) -> tuple[torch.nn.Module, tuple[str, Mapping[str, Any]]]:
    """The same network with a sign before each hidden layer with weights in place of the relu, and its factory."""
    network = network_of(module)
    if network is None:
        raise StepFailed(
            f"{_NAME}: {source.path} is not a network of plain layers in a row, so its activations stay floats",
            hint="leave out the option activations",
        )
    kept, layers = _signed(network.layers)
    signed = torch_network(layers, network.input_shape)
    state = {}
    for name, tensor in module.state_dict().items():
        position, _, part = name.partition(".")
        state[f"{kept.index(int(position))}.{part}"] = tensor
    signed.load_state_dict(state)
    return signed, ("bench.zoo.layered:torch_module", {"layers": layers, "input_shape": network.input_shape})


def _signed(layers: Layers) -> tuple[list[int | None], Layers]:
    """(for each new layer its old position, None for a sign; the new layers)."""
    weighted = [position for position, (kind, _) in enumerate(layers) if kind in ("convolution", "dense")]
    made: list[tuple[int | None, tuple[Kind, int]]] = []
    for position, layer in enumerate(layers):
        if position in weighted[1:-1]:
            start = len(made)
            while start and made[start - 1][1][0] in _MOVABLE:
                start -= 1
            made[start:] = [item for item in made[start:] if item[1][0] != "relu"]
            made.append((None, ("sign", 0)))
        made.append((position, layer))
    return [position for position, _ in made], [layer for _, layer in made]


STEP = Binarize()
