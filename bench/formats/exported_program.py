"""The `exported_program` format: a .pt2 file of `torch.export`. Loading one runs code that the file may hold."""

from __future__ import annotations

import importlib
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import TargetError

if TYPE_CHECKING:
    from .torch_source import TorchSource

#: Namespaces of operators that torch does not know by itself -> the module whose import makes them known.
_OPERATORS: Mapping[bytes, str] = {
    b"torch.ops.quantized_decomposed.": "torch.ao.quantization.fx._decomposed",
    b"torch.ops.torchao.": "torchao.quantization",
}
_NATIVE_CODE = "/data/aotinductor/"


def load_exported(path: Path) -> Any:
    """The exported program at `path`, with the operators of quantized programs made known before.

    Raises whatever torch does of a file that is none; TargetError for a package of AOTInductor, which has the same
    suffix.
    """
    import torch

    for module in _operator_modules(path):
        importlib.import_module(module)
    return torch.export.load(path)


def _operator_modules(path: Path) -> Iterator[str]:
    """Looked up in the text of the graph: torch finds out half way through, prints pages, and tells no reason."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if any(_NATIVE_CODE in name for name in names):
            raise TargetError(
                f"{path}: a package of AOTInductor, which does not say what it takes",
                hint="name the exported program that it was made of, and let exported_program_to_aot_inductor make it",
            )
        graphs = [archive.read(name) for name in names if "/models/" in name and name.endswith(".json")]
    for namespace, module in _OPERATORS.items():
        if any(namespace in graph for graph in graphs):
            yield module


def export(module: Any, source: TorchSource) -> Any:
    """The exported program of a module that is called like `source`, every named dimension dynamic."""
    import torch

    # DYNAMIC lets torch find the range, and fails where the network fixes the size; a Dim with a range of ours is
    # refused as soon as the network has a limit of its own, such as a table of positions.
    shapes = tuple(dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for axes in source.dimensions)
    program = torch.export.export(module, source.example, dynamic_shapes=shapes)
    # The example would be stored beside the weights: for images it doubles the file. There is no public switch.
    program._example_inputs = None  # noqa: SLF001
    return program


def operator_counts(program: Any) -> Counter[str]:
    """How often each operator stands in the program's graph."""
    return Counter(str(node.target) for node in program.graph.nodes if node.op == "call_function")
