"""A BERT encoder that gives one embedding per text: the network alone, in plain PyTorch.

Equal to the encoder of `transformers` with mean pooling and normalisation, without the seconds that importing
`transformers` costs every measured process (docs/decisions/0004-own-text-encoder.md). Dropout has no part in inference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# From the names that BERT checkpoints use to ours; whatever matches none (the pooler, the row of positions) is unused.
_LAYER_NAMES = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "attended",
    "attention.output.LayerNorm": "attended_norm",
    "intermediate.dense": "widened",
    "output.dense": "narrowed",
    "output.LayerNorm": "narrowed_norm",
}
_OTHER_NAMES = {
    "embeddings.word_embeddings.weight": "word.weight",
    "embeddings.position_embeddings.weight": "position",
    "embeddings.LayerNorm.weight": "norm.weight",
    "embeddings.LayerNorm.bias": "norm.bias",
}
_LAYER_KEY = re.compile(r"encoder\.layer\.(\d+)\.(.+)\.(weight|bias)")
_TYPE_ROWS = "embeddings.token_type_embeddings.weight"
_SMALLEST_COUNT = 1e-9  # of tokens, against division by zero where a text is masked whole


def sentence_encoder(options: Mapping[str, Any]) -> torch.nn.Module:
    """input_ids, attention_mask int64 [batch, sequence] -> float32 [batch, hidden] of length one; weights are garbage.

    `options` are the fields of a BERT config.json: vocab_size, hidden_size, num_hidden_layers, num_attention_heads,
    intermediate_size, max_position_embeddings, layer_norm_eps.
    """
    import torch
    from torch import nn

    hidden, epsilon = options["hidden_size"], options["layer_norm_eps"]

    class SentenceEncoder(nn.Module):  # type: ignore[misc]  # torch is untyped here
        def __init__(self) -> None:
            super().__init__()
            self.word = nn.Embedding(options["vocab_size"], hidden)
            self.token_type = nn.Parameter(torch.empty(hidden))  # every token is of the first type
            self.position = nn.Parameter(torch.empty(options["max_position_embeddings"], hidden))
            self.norm = nn.LayerNorm(hidden, eps=epsilon)
            self.layers = nn.ModuleList(_encoder_layer(options) for _ in range(options["num_hidden_layers"]))

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            values = self.word(input_ids) + self.token_type + self.position[: input_ids.shape[1]]
            values = self.norm(values)
            mask = attention_mask.to(values.dtype)
            # Finite, unlike -inf: a text that is masked whole gives some number and no NaN.
            blocked = (1.0 - mask)[:, None, None, :] * torch.finfo(values.dtype).min
            for layer in self.layers:
                values = layer(values, blocked)
            total = (values * mask[:, :, None]).sum(dim=1)
            mean = total / mask.sum(dim=1, keepdim=True).clamp(min=_SMALLEST_COUNT)
            return nn.functional.normalize(mean, dim=1)

    with torch.device("meta"):  # random values for 22 million weights would only be overwritten
        encoder = SentenceEncoder()
    return encoder.to_empty(device="cpu").eval()


def _encoder_layer(options: Mapping[str, Any]) -> torch.nn.Module:
    """One transformer layer with the norms after the residuals."""
    from torch import nn

    hidden, wide = options["hidden_size"], options["intermediate_size"]
    heads, epsilon = options["num_attention_heads"], options["layer_norm_eps"]

    class EncoderLayer(nn.Module):  # type: ignore[misc]  # torch is untyped here
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(hidden, hidden) for _ in range(3))
            self.attended = nn.Linear(hidden, hidden)
            self.attended_norm = nn.LayerNorm(hidden, eps=epsilon)
            self.widened = nn.Linear(hidden, wide)
            self.narrowed = nn.Linear(wide, hidden)
            self.narrowed_norm = nn.LayerNorm(hidden, eps=epsilon)

        def forward(self, values: torch.Tensor, blocked: torch.Tensor) -> torch.Tensor:
            # [batch, sequence, hidden] -> [batch, heads, sequence, hidden / heads]
            query, key, value = (
                project(values).unflatten(-1, (heads, hidden // heads)).transpose(1, 2)
                for project in (self.query, self.key, self.value)
            )
            attended = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=blocked)
            values = self.attended_norm(self.attended(attended.transpose(1, 2).flatten(2)) + values)
            widened = nn.functional.gelu(self.widened(values))
            return self.narrowed_norm(self.narrowed(widened) + values)

    return EncoderLayer()


def state_from_bert(checkpoint: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a BERT checkpoint under the names of `sentence_encoder`."""
    state = {ours: checkpoint[theirs] for theirs, ours in _OTHER_NAMES.items()}
    state["token_type"] = checkpoint[_TYPE_ROWS][0]
    for key, tensor in checkpoint.items():
        found = _LAYER_KEY.fullmatch(key)
        if found:
            index, name, part = found.groups()
            state[f"layers.{index}.{_LAYER_NAMES[name]}.{part}"] = tensor
    return state
