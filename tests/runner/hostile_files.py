"""Model files as an attacker or a bad disk would hand them over: damaged, lying about their size, or carrying code."""

from __future__ import annotations

import base64
import itertools
import json
import marshal
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MARK = "code-was-run"
_GRAPH_FLOAT = 1  # DT_FLOAT


class _Evil:
    """What a pickle of this does when it is loaded: make a file called MARK in the working directory."""

    def __reduce__(self) -> tuple[Any, tuple[str, int]]:
        return os.mkdir, (MARK, 0o700)


def evil_pickle() -> bytes:
    return pickle.dumps(_Evil(), protocol=2)


# ------------------------------------------------------------------------------------------------------------- ONNX


def _onnx(nodes: Sequence[Any], constants: Sequence[Any] = (), functions: Sequence[Any] = ()) -> Any:
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in "xy"]
    graph = helper.make_graph(nodes, "graph", value[:1], value[1:], constants)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, functions=functions, opset_imports=opsets, ir_version=9)


def good_onnx(directory: Path) -> Path:
    import onnx

    path = directory / "good.onnx"
    path.write_bytes(_onnx([onnx.helper.make_node("Relu", ["x"], ["y"])]).SerializeToString())
    return path


def truncated_onnx(directory: Path) -> Path:
    whole = good_onnx(directory).read_bytes()
    path = directory / "truncated.onnx"
    path.write_bytes(whole[: len(whole) // 2])
    return path


def empty_onnx(directory: Path) -> Path:
    path = directory / "empty.onnx"
    path.touch()
    return path


def text_onnx(directory: Path) -> Path:
    path = directory / "text.onnx"
    path.write_text("This is a text about a model.\n" * 100)
    return path


def onnx_named_pb(directory: Path) -> Path:
    return good_onnx(directory).rename(directory / "graph.pb")


def _with_data_at(directory: Path, location: str) -> Path:
    from onnx import TensorProto, helper

    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    path = directory / "external.onnx"
    path.write_bytes(_onnx([helper.make_node("Add", ["x", "w"], ["y"])], [tensor]).SerializeToString())
    return path


def onnx_data_above(directory: Path) -> Path:
    (directory / "inner").mkdir()
    (directory / "secret").write_bytes(bytes(16))
    return _with_data_at(directory / "inner", "../secret")


def onnx_data_absolute(directory: Path) -> Path:
    return _with_data_at(directory, "/etc/hostname")


def onnx_data_behind_a_link(directory: Path) -> Path:
    (directory / "data").symlink_to("/etc/hostname")
    return _with_data_at(directory, "data")


def onnx_size_bomb(directory: Path) -> Path:
    """A tensor that declares 100 GB and holds 16 bytes."""
    from onnx import TensorProto, helper

    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[25_000_000_000], raw_data=bytes(16))
    path = directory / "bomb.onnx"
    path.write_bytes(_onnx([helper.make_node("Add", ["x", "w"], ["y"])], [tensor]).SerializeToString())
    return path


def _functions(depth: int, calls: int) -> Any:
    """Each function calls the one before it so many times."""
    from onnx import helper

    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    bodies = [[helper.make_node("Relu", ["x"], ["y"])]]
    for level in range(1, depth):
        names = ["x", *(f"m{number}" for number in range(calls - 1)), "y"]
        pairs = itertools.pairwise(names)
        bodies.append([helper.make_node(f"f{level - 1}", [a], [b], domain="local") for a, b in pairs])
    made = [helper.make_function("local", f"f{n}", ["x"], ["y"], body, opsets) for n, body in enumerate(bodies)]
    return _onnx([helper.make_node(f"f{depth - 1}", ["x"], ["y"], domain="local")], functions=made)


def onnx_nested_functions(directory: Path) -> Path:
    """Three thousand functions, each inside the next: ONNX Runtime alone would die of it."""
    path = directory / "nested.onnx"
    path.write_bytes(_functions(3000, 1).SerializeToString())
    return path


def onnx_doubling_functions(directory: Path) -> Path:
    """Sixty functions that call the one before twice: 2^59 operators in some kilobytes."""
    path = directory / "doubling.onnx"
    path.write_bytes(_functions(60, 2).SerializeToString())
    return path


# ------------------------------------------------------------------------------------------------------- TensorFlow


def recursive_graph(directory: Path) -> Path:
    """A function that calls itself: TensorFlow's importer follows it until its stack is full."""
    from tensorflow.core.framework.graph_pb2 import GraphDef

    graph = GraphDef()
    graph.versions.producer = 1800
    placeholder = graph.node.add(name="x", op="Placeholder")
    placeholder.attr["dtype"].type = _GRAPH_FLOAT
    placeholder.attr["shape"].shape.dim.add(size=4)
    function = graph.library.function.add()
    function.signature.name = "again"
    function.signature.input_arg.add(name="a", type=_GRAPH_FLOAT)
    function.signature.output_arg.add(name="r", type=_GRAPH_FLOAT)
    function.ret["r"] = "call:output:0"
    for node in (
        function.node_def.add(name="call", op="PartitionedCall", input=["a"]),
        graph.node.add(name="y", op="PartitionedCall", input=["x"]),
    ):
        node.attr["f"].func.name = "again"
        node.attr["Tin"].list.type.append(_GRAPH_FLOAT)
        node.attr["Tout"].list.type.append(_GRAPH_FLOAT)
    path = directory / "recursive.pb"
    path.write_bytes(graph.SerializeToString())
    return path


def good_saved_model(directory: Path) -> Path:
    import tensorflow as tf

    module = tf.Module()
    module.w = tf.Variable(tf.ones([4]))

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def serve(x: Any) -> Any:
        return {"y": x * module.w}

    path = directory / "saved"
    tf.saved_model.save(module, str(path), signatures=serve)
    return path


def truncated_saved_model(directory: Path) -> Path:
    path = good_saved_model(directory)
    content = (path / "saved_model.pb").read_bytes()
    (path / "saved_model.pb").write_bytes(content[: len(content) // 2])
    return path


def saved_model_without_variables(directory: Path) -> Path:
    path = good_saved_model(directory)
    for file in (path / "variables").iterdir():
        file.unlink()
    return path


# ------------------------------------------------------------------------------------------------------------ Keras


def _layer(kind: str, module: str = "keras.layers", **config: Any) -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": config, "registered_name": None}


def _keras(path: Path, *layers: dict[str, Any], weights: bytes = b"") -> Path:
    """An archive as Keras writes them, with any layers and any bytes as weights."""
    first = _layer("InputLayer", batch_shape=[None, 4], dtype="float32", name="x")
    model = _layer("Sequential", "keras", name="model", trainable=True, dtype="float32", layers=[first, *layers])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1", "date_saved": "2026-11-01@00:00:00"}))
        archive.writestr("config.json", json.dumps(model))
        archive.writestr("model.weights.h5", weights)
    return path


def keras_lambda(directory: Path) -> Path:
    code = compile(f"lambda x: __import__('os').mkdir({MARK!r}) or x", "lambda", "eval").co_consts[0]
    body = base64.b64encode(marshal.dumps(code)).decode()
    function = {"class_name": "__lambda__", "config": {"code": body, "defaults": None, "closure": None}}
    return _keras(directory / "lambda.keras", _layer("Lambda", name="evil", function=function))


def keras_foreign_class(directory: Path) -> Path:
    """A layer that is a function of the standard library."""
    return _keras(directory / "foreign.keras", _layer("mkdir", "os", path=MARK))


def keras_pickled_weights(directory: Path) -> Path:
    dense = _layer("Dense", name="dense", units=4, activation="linear", use_bias=False)
    return _keras(directory / "pickled.keras", dense, weights=evil_pickle())


def keras_size_bomb(directory: Path) -> Path:
    """One dense layer of 100 GB."""
    dense = _layer("Dense", name="dense", units=6_250_000_000, activation="linear", use_bias=False)
    return _keras(directory / "bomb.keras", dense)


def keras_zip_bomb(directory: Path) -> Path:
    """40 GB of zeros as weights in 40 MB: one deflated piece of 100 MB, repeated."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = deflater.compress(bytes(100_000_000)) + deflater.flush(zlib.Z_FULL_FLUSH)
    packed = piece * 400 + zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    size_bytes = 40_000_000_000
    path = _keras(directory / "zipbomb.keras")
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
        count = len(archive.infolist())
    name = b"bomb.bin"
    # Sizes beyond 4 GB stand in the zip64 extra field.
    extra = struct.pack("<HHQQ", 1, 16, size_bytes, len(packed))
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 8, 0, 33, 0, 0xFFFFFFFF, 0xFFFFFFFF, len(name), len(extra))
    entry = struct.pack(
        "<4s6H3L5H2L",
        b"PK\1\2",
        45,
        45,
        0,
        8,
        0,
        33,
        0,
        0xFFFFFFFF,
        0xFFFFFFFF,
        len(name),
        len(extra),
        0,
        0,
        0,
        0,
        start,
    )
    directory_bytes = content[start : content.rindex(b"PK\5\6")] + entry + name + extra
    body = content[:start] + local + name + extra + packed
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count + 1, count + 1, len(directory_bytes), len(body), 0)
    path.write_bytes(body + directory_bytes + end)
    return path


def truncated_keras(directory: Path) -> Path:
    path = keras_pickled_weights(directory).rename(directory / "truncated.keras")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


# ---------------------------------------------------------------------------------------- TensorFlow Lite, OpenVINO


def corrupt_tflite(directory: Path) -> Path:
    """The offsets of the root table and of all behind it lead out of the file."""
    path = directory / "corrupt.tflite"
    path.write_bytes(struct.pack("<L", 24) + b"TFL3" + struct.pack("<10L", *[0x7FFFFFF0] * 10) + bytes(200))
    return path


def openvino_entities(directory: Path) -> Path:
    """Nine levels of entities, ten of the one below in each."""
    levels = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    path = directory / "laughs.xml"
    path.write_text(
        f'<?xml version="1.0"?><!DOCTYPE net [<!ENTITY a0 "ha">{levels}]>'
        '<net name="&a9;" version="11"><layers></layers><edges></edges></net>'
    )
    path.with_suffix(".bin").write_bytes(b"")
    return path


# ---------------------------------------------------------------------------------------------------------- PyTorch


def pickled_pt(directory: Path) -> Path:
    path = directory / "model.pt"
    path.write_bytes(evil_pickle())
    return path


def evil_pt2(directory: Path) -> Path:
    """The layout of an exported program with a pickle in the place of its sample inputs."""
    path = directory / "evil.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive_format", "pt2")
        archive.writestr("data/sample_inputs/model.pt", evil_pickle())
    return path


def foreign_factory(directory: Path) -> Path:
    path = directory / "module"
    path.mkdir()
    (path / "module.json").write_text(json.dumps({"factory": "os:mkdir", "options": {"path": MARK}}))
    (path / "weights.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    return path


def python_function(directory: Path) -> Path:
    (directory / "mine.py").write_text(f"import os\nos.mkdir({MARK!r})\n")
    return directory / "mine.py:build"


def make_all(*, names: Sequence[str], directory: Path) -> dict[str, str]:
    """Build the files of these names, each in a directory of its own; their paths by name."""
    made = {}
    for name in names:
        (directory / name).mkdir()
        path: Path = globals()[name](directory / name)
        made[name] = str(path)
    return made
