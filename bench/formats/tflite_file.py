"""TensorFlow Lite files: opened on LiteRT, counted, and run once to see that they work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.core.artifact import TensorSpec
from bench.core.errors import TargetError

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

_DELEGATE = "DELEGATE"


def open_interpreter(path: Path, *, threads: int) -> Any:
    """A LiteRT interpreter with its default CPU delegate (XNNPACK); raises what the library raises."""
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_path=str(path), num_threads=threads)


class Delegated(NamedTuple):
    """How many of the main graph's operators a delegate computes, and in how many pieces."""

    operators: int
    of_operators: int
    delegates: int


def delegated_operators(interpreter: Any) -> Delegated:
    """What the default delegate (XNNPACK) took of an interpreter whose tensors are allocated.

    Delegates stand behind the file's own operators in the interpreter's list. What one computes is what leads from its
    inputs to its outputs.
    """
    details = interpreter._get_ops_details()  # noqa: SLF001  the only way from Python to ask
    own = [operator for operator in details if operator["op_name"] != _DELEGATE]
    delegates = [operator for operator in details if operator["op_name"] == _DELEGATE]
    makers = {int(tensor): place for place, operator in enumerate(own) for tensor in operator["outputs"]}
    taken: set[int] = set()
    for delegate in delegates:
        given = set(map(int, delegate["inputs"]))
        wanted = [int(tensor) for tensor in delegate["outputs"]]
        while wanted:
            place = makers.get(wanted.pop())
            if place is not None and place not in taken:
                taken.add(place)
                wanted += [int(tensor) for tensor in own[place]["inputs"] if int(tensor) not in given]
    return Delegated(operators=len(taken), of_operators=len(own), delegates=len(delegates))


def tensor_indices(interpreter: Any, specs: Sequence[TensorSpec], *, kind: str) -> list[int]:
    """The interpreter's index of each input or output (`kind`); TargetError names one that the file lacks."""
    details = interpreter.get_input_details() if kind == "input" else interpreter.get_output_details()
    by_name = {detail["name"]: detail["index"] for detail in details}
    for spec in specs:
        if spec.native_name not in by_name:
            raise TargetError(
                f"the file has no {kind} {spec.native_name!r}; it has {', '.join(sorted(by_name))}",
                hint="build the artifact again, or correct the names of the model's tensors",
            )
    return [by_name[spec.native_name] for spec in specs]


def by_position(interpreter: Any, specs: Sequence[TensorSpec], *, kind: str) -> tuple[TensorSpec, ...]:
    """The specs with the names that the file gives to its inputs or outputs (`kind`), which stand in the same order.

    TargetError when there are more or fewer of them.
    """
    details = interpreter.get_input_details() if kind == "input" else interpreter.get_output_details()
    if len(details) != len(specs):
        raise TargetError(
            f"the file has {len(details)} {kind}s where the source has {len(specs)}",
            hint=f"{kind}s that the network does not use may vanish: leave them out of the model",
        )
    return tuple(replace(spec, native=detail["name"]) for spec, detail in zip(specs, details, strict=True))


def run_tflite(
    path: Path, batches: Sequence[Batch], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> list[Mapping[str, Array]]:
    """Open the file on one thread and run each batch, resized to its shape: canonical output name -> array."""
    interpreter = open_interpreter(path, threads=1)
    feeds = tensor_indices(interpreter, inputs, kind="input")
    fetches = tensor_indices(interpreter, outputs, kind="output")
    answers: list[Mapping[str, Array]] = []
    for batch in batches:
        for index, spec in zip(feeds, inputs, strict=True):
            interpreter.resize_tensor_input(index, batch[spec.name].shape)
        interpreter.allocate_tensors()
        for index, spec in zip(feeds, inputs, strict=True):
            interpreter.set_tensor(index, batch[spec.name])
        interpreter.invoke()
        values = (interpreter.get_tensor(index) for index in fetches)
        answers.append({spec.name: value for spec, value in zip(outputs, values, strict=True)})
    return answers


def operator_counts(path: Path) -> Counter[str]:
    """How often each operator stands in the file, in all of its subgraphs."""
    from ai_edge_litert import schema_py_generated as schema

    model = _parsed(path)
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    kinds = [names.get(code.builtinCode, str(code.builtinCode)) for code in model.operatorCodes]
    return Counter(kinds[node.opcodeIndex] for graph in model.subgraphs for node in graph.operators or ())


def constant_bytes_by_type(path: Path) -> Counter[str]:
    """Bytes of the constants in the file by their type (FLOAT32, FLOAT16, INT8 ...), each constant once."""
    from ai_edge_litert import schema_py_generated as schema

    model = _parsed(path)
    names = {code: name for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
    types = {tensor.buffer: names[tensor.type] for graph in model.subgraphs for tensor in graph.tensors}
    counts: Counter[str] = Counter()
    for index, buffer in enumerate(model.buffers):
        if buffer.data is not None and index in types:
            counts[types[index]] += len(buffer.data)
    return counts


def _parsed(path: Path) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
