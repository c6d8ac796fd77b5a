"""The `torch_module` format: a directory that holds tensors and the name of one of our own factories, no code.

`module.json` is `{"factory": "bench.zoo.<module>:<function>", "options": {...}}`; `weights.safetensors` is the state
dictionary. Loading is `factory(options)`, a module in eval mode without its weights, then a strict `load_state_dict`.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.canonical import canonical_json
from bench.core.errors import PluginError, TargetError

from .messages import in_one_line

if TYPE_CHECKING:
    import torch

DESCRIPTION_NAME = "module.json"
WEIGHTS_NAME = "weights.safetensors"

# Only our own factories: a file must not choose which code runs.
_FACTORY = re.compile(r"bench\.zoo\.[a-z][a-z0-9_]*:[a-z][a-z0-9_]*")


def write_torch_module(module: torch.nn.Module, factory: str, options: Mapping[str, Any], out_dir: Path) -> Path:
    """Write `module` into the directory `out_dir` and return it; equal weights give equal bytes.

    `options` must be JSON and must make `factory` build a module with the same state dictionary.
    """
    from safetensors.torch import save_file

    if not _FACTORY.fullmatch(factory):
        raise PluginError(f"{factory!r} cannot be a torch_module factory: it is not bench.zoo.<module>:<function>")
    out_dir.mkdir(parents=True, exist_ok=True)
    # Views would be refused as shared memory, and non-contiguous tensors too.
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in module.state_dict().items()}
    save_file(state, out_dir / WEIGHTS_NAME)
    description = canonical_json({"factory": factory, "options": dict(options)})
    (out_dir / DESCRIPTION_NAME).write_text(description + "\n", encoding="utf-8")
    return out_dir


def load_torch_module(path: Path) -> torch.nn.Module:
    """The module in eval mode with its weights, without gradients; TargetError says what is wrong with the directory.

    Weights are copied into memory that torch allocated, for tensors mapped from the file are badly aligned.
    """
    factory, options = description_of(path)

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    module_name, _, function_name = factory.partition(":")
    try:
        build = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise TargetError(f"{path}: factory {factory} cannot be imported: {error}", hint="bench doctor") from error
    module: torch.nn.Module = build(options)
    try:
        module.load_state_dict(load_file(path / WEIGHTS_NAME))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise TargetError(
            f"{path / WEIGHTS_NAME} does not fit {factory}: {in_one_line(str(error))}", hint="build the artifact again"
        ) from error
    return module.eval().requires_grad_(False)


def require_description(path: Path) -> None:
    """TargetError when the directory does not name one of our own factories; nothing is imported."""
    description_of(path)


def description_of(directory: Path) -> tuple[str, Mapping[str, Any]]:
    """The factory and its options; TargetError when the directory does not name one of our own; nothing is imported."""
    path = directory / DESCRIPTION_NAME
    hint = 'expected {"factory": "bench.zoo.<module>:<function>", "options": {...}}'
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TargetError(f"{path} cannot be read: {error}", hint=hint) from error
    if not isinstance(description, dict) or not isinstance(description.get("options"), dict):
        raise TargetError(f"{path} is not the description of a torch_module", hint=hint)
    factory = description.get("factory")
    if not isinstance(factory, str) or not _FACTORY.fullmatch(factory):
        raise TargetError(f"{path} names the factory {factory!r}, which is not one of bench.zoo", hint=hint)
    return factory, description["options"]
