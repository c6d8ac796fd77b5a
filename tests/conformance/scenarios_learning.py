"""What steps that train, and the copy of a network layer by layer, must do beyond the checks that all share."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core import plugins
from bench.core.artifact import Artifact
from bench.core.contracts import Examples, StepResult
from bench.core.errors import StepFailed
from bench.core.files import sha256_tree
from tests.conformance import step_sources
from tests.conformance.step_sources import artifact

_STEPS = ("binarize", "distill", "prune")


def digits(directory: Path) -> tuple[Artifact, Examples]:
    """The zoo's digits and their examples; trained once for all scenarios, beside their directories."""
    return _digits_in(directory.parent), plugins.load("models", "digits")().examples()


@cache
def _digits_in(root: Path) -> Artifact:
    (root / "digits").mkdir()
    return as_artifact(plugins.load("models", "digits")().build("torch_module", root / "digits"))


def as_artifact(result: StepResult) -> Artifact:
    return artifact(result.format, result.path, result.inputs, result.outputs)


def apply(name: str, source: Artifact, directory: Path, examples: Any = None, **options: Any) -> StepResult:
    out_dir = directory / f"out_{name}_{len(list(directory.glob('out_*')))}"
    out_dir.mkdir()
    step = plugins.load("steps", name)
    result: StepResult = step.apply(source, step.Options(**options), out_dir, examples)
    return result


def failure(name: str, source: Artifact, directory: Path, examples: Any = None, **options: Any) -> StepFailed:
    with pytest.raises(StepFailed) as caught:
        apply(name, source, directory, examples, **options)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


def accuracy(source: Artifact) -> float:
    """Of the held-out digits."""
    model = plugins.load("models", "digits")()
    labelled = model.labelled()
    outputs = step_sources.run(source.format, Path(source.path), labelled.inputs, source.inputs, source.outputs)
    return float((model.predictions(outputs) == labelled.labels).mean())


def state(source: Artifact) -> Mapping[str, Any]:
    from safetensors.numpy import load_file

    tensors: dict[str, Any] = load_file(Path(source.path) / "weights.safetensors")
    return tensors


def kernels(source: Artifact) -> list[Any]:
    """Weights of convolutions and dense layers, in order of layers."""
    tensors = state(source)
    return [tensors[name] for name in sorted(tensors, key=lambda name: int(name.split(".")[0])) if "weight" in name]


def changed(result: StepResult) -> dict[str, Any]:
    return {change.what: (change.before, change.after) for change in result.changes}


def pruned_weights_are_zero_in_the_file_which_compresses_better(directory: Path) -> None:
    source, examples = digits(directory)
    result = apply("prune", source, directory, examples, sparsity_ratio=0.8)
    weights = np.concatenate([kernel.ravel() for kernel in kernels(as_artifact(result))])
    assert abs((weights == 0).mean() - 0.8) < 1e-3
    found = changed(result)
    assert found["nonzero weights"] == (weights.size, np.count_nonzero(weights))
    assert found["sparsity ratio"] == (0, pytest.approx(0.8, abs=1e-3))
    assert found["bytes"][0] == found["bytes"][1]
    stored = (result.path / "weights.safetensors").read_bytes()
    assert found["gzip bytes"][1] == len(gzip.compress(stored, compresslevel=6))
    assert found["gzip bytes"][1] < 0.4 * found["gzip bytes"][0]
    assert "as long as before" in result.notes[0]
    assert accuracy(as_artifact(result)) > accuracy(source) - 0.03


def whole_channels_are_pruned_and_no_class_among_them(directory: Path) -> None:
    source, examples = digits(directory)
    result = apply("prune", source, directory, examples, structured=True, sparsity_ratio=0.5)
    *hidden, last = kernels(as_artifact(result))
    for kernel in hidden:
        dead = (kernel.reshape(len(kernel), -1) == 0).all(axis=1)
        assert dead.mean() == 0.5
        assert np.count_nonzero(kernel[~dead]) == kernel[~dead].size
    assert np.count_nonzero(last) == last.size
    assert accuracy(as_artifact(result)) > accuracy(source) - 0.03


def a_student_is_smaller_and_nearly_as_good(directory: Path) -> None:
    source, examples = digits(directory)
    result = apply("distill", source, directory, examples, width_ratio=0.5)
    assert [len(kernel) for kernel in kernels(as_artifact(result))] == [16, 32, 32, 10]
    before, after = changed(result)["weights"]
    assert after < before / 3
    assert after == sum(values.size for values in state(as_artifact(result)).values())
    assert accuracy(as_artifact(result)) > accuracy(source) - 0.03


def binary_weights_have_two_values_in_each_channel_and_are_counted_in_bits(directory: Path) -> None:
    source, examples = digits(directory)
    for activations, lost in ((False, 0.03), (True, 0.06)):
        result = apply("binarize", source, directory, examples, activations=activations)
        first, *hidden, last = kernels(as_artifact(result))
        for kernel in hidden:
            for channel in kernel:
                assert len(np.unique(np.abs(channel))) == 1
                assert len(np.unique(channel)) == 2
        assert len(np.unique(np.abs(first))) > 2
        assert len(np.unique(np.abs(last))) > 2
        bits = sum(kernel.size for kernel in hidden)
        found = changed(result)
        assert found["bits of binary weights"] == (32 * bits, bits)
        assert found["bytes of binary weights, packed"] == (4 * bits, bits / 8)
        assert found["bytes of their scales"] == (0, 4 * sum(len(kernel) for kernel in hidden))
        assert "no kernel for bits" in result.notes[0]
        assert accuracy(as_artifact(result)) > accuracy(source) - lost


def binary_activations_reach_other_runtimes(directory: Path) -> None:
    source = step_sources.layered_classifier(directory)
    examples = step_sources.examples_for(source)
    signed = as_artifact(apply("binarize", source, directory, examples, activations=True, epochs=2))
    exported = as_artifact(apply("torch_to_onnx", signed, directory))
    batch = {"image": examples.inputs["image"][:8]}
    expected, found = (
        step_sources.run(each.format, Path(each.path), batch, each.inputs, each.outputs)["scores"]
        for each in (signed, exported)
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert "signs" in failure("torch_to_keras", signed, directory).message


def learning_twice_gives_the_same_bytes(directory: Path) -> None:
    import torch

    source = step_sources.layered_classifier(directory)
    examples = step_sources.examples_for(source)
    for name in _STEPS:
        results = []
        for noise in (1, 2):
            torch.manual_seed(noise)
            results.append(sha256_tree(apply(name, source, directory, examples, epochs=3).path))
        assert results[0] == results[1], name
        assert apply(name, source, directory, examples, epochs=3, seed=1) is not None


def what_is_no_classifier_or_has_no_fitting_labels_is_told(directory: Path) -> None:
    (directory / "encoder").mkdir()
    encoder = step_sources.torch_encoder(directory / "encoder")
    source = step_sources.layered_classifier(directory)
    examples = step_sources.examples_for(source)
    high = replace(examples, labels=np.arange(64))
    few = replace(examples, labels=np.arange(10))
    fractions = replace(examples, labels=np.zeros(64))
    for name in _STEPS:
        message = failure(name, encoder, directory, step_sources.examples_for(encoder)).message
        assert "not one row of class scores" in message
        assert "labels run from 0 to 63" in failure(name, source, directory, high).message
        assert "as many integer labels" in failure(name, source, directory, few).message
        assert "as many integer labels" in failure(name, source, directory, fractions).message
        assert "without labelled" in failure(name, source, directory, replace(examples, labels=None)).message


def classes_that_do_not_exclude_each_other_are_not_learned(directory: Path) -> None:
    model = plugins.load("models", "seed_cnn")()
    source = as_artifact(model.build("torch_module", directory))
    examples = Examples(inputs={"input": model.examples().inputs["input"][:8]}, labels=np.arange(8))
    assert "neither logits nor probabilities" in failure("prune", source, directory, examples).message


def networks_of_another_kind_are_refused(directory: Path) -> None:
    source = step_sources.torch_classifier(directory)
    examples = step_sources.examples_for(source)
    assert "plain layers in a row" in failure("distill", source, directory, examples).message
    assert "plain layers in a row" in failure("torch_to_keras", source, directory).message
    layered = step_sources.layered_classifier(directory / "layered")
    message = failure("distill", layered, directory, step_sources.examples_for(layered), width_ratio=0.99).message
    assert "as it is" in message
    assert "makes no weight" in failure("prune", source, directory, examples, sparsity_ratio=1e-9).message


def ratios_that_are_none_are_blockers(directory: Path) -> None:
    for name, options in (
        ("prune", {"sparsity_ratio": 1.0}),
        ("prune", {"sparsity_ratio": 0.0}),
        ("distill", {"width_ratio": 1.5}),
        ("distill", {"temperature": 0.0}),
        ("distill", {"label_weight_ratio": 2.0}),
    ):
        step = plugins.load("steps", name)
        assert len(step.blockers("torch_module", step.Options(**options))) == 1, (name, options)


SCENARIOS: tuple[Callable[[Path], None], ...] = (
    pruned_weights_are_zero_in_the_file_which_compresses_better,
    whole_channels_are_pruned_and_no_class_among_them,
    a_student_is_smaller_and_nearly_as_good,
    binary_weights_have_two_values_in_each_channel_and_are_counted_in_bits,
    binary_activations_reach_other_runtimes,
    learning_twice_gives_the_same_bytes,
    what_is_no_classifier_or_has_no_fitting_labels_is_told,
    classes_that_do_not_exclude_each_other_are_not_learned,
    networks_of_another_kind_are_refused,
    ratios_that_are_none_are_blockers,
)
