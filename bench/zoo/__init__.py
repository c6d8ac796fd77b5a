"""Models that a fresh machine has: built from a seed, trained in seconds, or read from packages fetched once."""

from __future__ import annotations

from bench.core.plugins import PluginSpec

#: `accepts` are the formats offered; all formats of a model hold the same weights.
MODELS: tuple[PluginSpec, ...] = (
    PluginSpec(
        name="basic_pitch",
        target="bench.zoo.basic_pitch:BasicPitch",
        summary="pretrained music transcription network (audio to notes), labelled by synthesised tones",
        accepts=("saved_model", "onnx"),
    ),
    PluginSpec(
        name="digits",
        target="bench.zoo.digits:Digits",
        summary="small classifier of real handwritten digits, trained in seconds, labelled",
        needs=("torch", "sklearn", "safetensors"),
        accepts=("keras", "torch_module"),
    ),
    PluginSpec(
        name="minilm",
        target="bench.zoo.minilm:MiniLm",
        summary="pretrained sentence encoder (MiniLM-L6-v2) with its tokenizer, dynamic sequence length",
        needs=("torch", "tokenizers", "safetensors"),
        accepts=("torch_module",),
    ),
    PluginSpec(
        name="mnist",
        target="bench.zoo.mnist:Mnist",
        summary="small classifier of real MNIST digits with a hidden dense layer, trained in seconds, labelled",
        needs=("torch", "safetensors"),
        accepts=("keras", "torch_module"),
    ),
    PluginSpec(
        name="null",
        target="bench.zoo.null:Null",
        summary="no model: the null adapter imitates one with known times",
        accepts=("null",),
    ),
    PluginSpec(
        name="seed_cnn",
        target="bench.zoo.seed_cnn:SeedCnn",
        summary="224x224 image classifier of convolution blocks with seeded weights",
        needs=("torch", "safetensors"),
        accepts=("keras", "torch_module"),
    ),
)
