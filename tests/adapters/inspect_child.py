"""What the inspection sees; every function runs in a process of its own and answers in plain JSON."""

from __future__ import annotations

import json
import random
import resource
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.adapters.inspect import signature, vocabulary
from bench.core import plugins
from bench.core.artifact import Artifact, TensorSpec
from bench.core.errors import TargetError
from tests.conformance.adapter_cases import CASES

CUTS = 6


def signatures(*, directory: Path, names: Sequence[str]) -> dict[str, Any]:
    """Case name -> [[name, dtype, shape, native name] of every input and output]."""
    found = {}
    for name in names:
        specs = signature(CASES[name].format, CASES[name].build(_made(directory / name)))
        found[name] = [[_spec(spec) for spec in side] for side in specs]
    return found


def tflite_with_a_signature(*, directory: Path) -> dict[str, Any]:
    """[[name, dtype, shape, native name] of every input and output] of a file that was made of a SavedModel."""
    import tensorflow as tf

    saved = CASES["saved_model"].build(directory)
    path = directory / "named.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(saved).convert())
    return {"found": [sorted(_spec(spec) for spec in side) for side in signature("tflite", path)]}


def _spec(spec: TensorSpec) -> list[Any]:
    return [spec.name, spec.dtype, list(spec.shape), spec.native_name]


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def tables(*, directory: Path) -> dict[str, dict[str, int]]:
    """Vocabulary of one network with two tables, in each of TensorFlow's formats, and of one without."""
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    words, kinds = (keras.Input((None,), dtype="int32", name=name) for name in ("words", "kinds"))
    embedded = keras.layers.Embedding(40, 4)(words) + keras.layers.Embedding(3, 4)(kinds)
    model = keras.Model([words, kinds], keras.layers.Dense(2)(embedded))
    model.save(directory / "net.keras")
    model.export(str(directory / "saved"), verbose=False)
    spec = tf.TensorSpec([None, None], tf.int32)
    function = tf.function(lambda words, kinds: model([words, kinds])).get_concrete_function(
        words=tf.TensorSpec(spec.shape, spec.dtype, "words"), kinds=tf.TensorSpec(spec.shape, spec.dtype, "kinds")
    )
    graph = convert_variables_to_constants_v2(function).graph.as_graph_def()
    (directory / "net.pb").write_bytes(graph.SerializeToString())
    plain = CASES["saved_model"].build(_made(directory / "plain"))
    return {
        "keras": vocabulary("keras", directory / "net.keras"),
        "saved_model": vocabulary("saved_model", directory / "saved"),
        "frozen_graph": vocabulary("frozen_graph", directory / "net.pb"),
        "without": vocabulary("saved_model", plain),
    }


def damaged(*, directory: Path, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Case -> damage -> what the inspection said; empty when it took the file, the type of any other exception."""
    return {name: _damages(CASES[name].format, Path(CASES[name].build(_made(directory / name)))) for name in names}


def _damages(format: str, path: Path) -> dict[str, str]:
    file = path / "saved_model.pb" if path.is_dir() else path
    whole = file.read_bytes()
    rng = random.Random(format)
    contents = {f"cut at {at}": whole[:at] for at in sorted(rng.sample(range(1, len(whole)), CUTS))}
    contents |= {"empty": b"", "garbage": rng.randbytes(5000), "text": b"<html>404 Not Found</html>"}
    said = {}
    for what, content in contents.items():
        file.write_bytes(content)
        said[what] = _said(lambda: signature(format, path))
    file.unlink()
    return said | {"missing": _said(lambda: signature(format, path))}


def _said(look: Callable[[], Any]) -> str:
    try:
        look()
    except TargetError as error:
        return error.message
    except Exception as error:  # noqa: BLE001  what must not happen is told to the test, not raised here
        return f"LEAKED {type(error).__name__}: {error}"
    return ""


def opened(*, directory: Path, paths: Mapping[str, str]) -> dict[str, str]:
    """Case -> what its adapter says when it opens the file at the path."""
    said = {}
    for name, path in paths.items():
        case = CASES[name]
        case.prepare()
        adapter = plugins.load("adapters", case.adapter)
        said[name] = _said(lambda: adapter.open(case.artifact(path), threads=1, options=adapter.Options()))  # noqa: B023
    return said


def hard_onnx(*, directory: Path) -> dict[str, Any]:
    """Models that load and then misbehave: not finite, never twice the same, larger than any memory."""
    import numpy as np

    batch = {"x": np.array([-1.0, 1.0, 0.0], np.float32)}
    logarithm = _run(directory, "Log", {}, batch)
    first, second = (_run(directory, "RandomNormalLike", {}, batch, again=again) for again in (False, True))
    return {
        "logarithm": [repr(float(number)) for number in logarithm],
        "random_differs": bool((first != second).any()),
        "bomb": _bomb(directory),
    }


def _net(directory: Path, nodes: Sequence[Any], constants: Sequence[Any] = ()) -> Artifact:
    import onnx
    from onnx import helper

    dims: list[str] = ["n"]
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, dims)]
    outputs = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "net", inputs, outputs, constants)
    path = directory / "hard.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    taken, given = signature("onnx", path)
    return Artifact(id="0", format="onnx", path=str(path), size_bytes=1, inputs=taken, outputs=given)


def _open(artifact: Artifact) -> Any:
    adapter = plugins.load("adapters", "onnxruntime")
    return adapter.open(artifact, threads=1, options=adapter.Options())


def _run(directory: Path, operator: str, attributes: Mapping[str, Any], batch: Any, *, again: bool = False) -> Any:
    from onnx import helper

    session = _open(_net(directory, [helper.make_node(operator, ["x"], ["y"], **attributes)]))
    if again:
        session.run(batch)
    return session.run(batch)["y"]


def _bomb(directory: Path) -> dict[str, str]:
    """76 bytes that ask for 256 GiB, under an address-space limit: while opening, and while running."""
    import numpy as np
    from onnx import helper

    shape = helper.make_tensor("shape", 7, [1], [1 << 36])
    folded = _net(directory, [helper.make_node("ConstantOfShape", ["shape"], ["y"])], [shape])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, hard))
    try:
        return {"memory": _memory_error(lambda: _open(folded).run({"x": np.zeros(1, np.float32)}))}
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _memory_error(act: Callable[[], Any]) -> str:
    try:
        act()
    except MemoryError as error:
        return str(error)
    return ""


def user_code(*, directory: Path) -> dict[str, Any]:
    """Signatures of the user's own functions, and what is said of wrong ones."""
    sources = {
        "dynamic": (
            "import torch\ndef build():\n    return lambda a, b: (a.sum(2), torch.cat([b, b], 1).float())\n"
            "build.inputs = {'a': ('float32', ('batch', 'time', 4)), 'b': ('int64', ('batch', 'time'))}\n"
        ),
        "keyed": (
            "def build():\n    return lambda x: {'scores': x * 2}\nbuild.inputs = {'x': ('float32', ('batch', 2))}\n"
        ),
        "undeclared": "def build():\n    return lambda x: x\n",
        "syntax": "def build(:\n",
        "other_name": "def make():\n    pass\n",
        "raises": "raise OSError('no such disk')\n",
        "no_model": "def build():\n    return 3\nbuild.inputs = {'x': ('float32', ('batch', 2))}\n",
    }
    found: dict[str, Any] = {}
    for name, source in sources.items():
        (directory / f"{name}.py").write_text(source)
        location = f"{directory}/{name}.py:build"
        try:
            found[name] = [[_spec(spec) for spec in side] for side in signature("python_callable", location)]
        except TargetError as error:
            found[name] = error.message
    json.dumps(found)
    return found
