"""What lies in a version's directory, what it offers to the protocol, and examples as its inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.artifact import TensorSpec
from bench.core.errors import TargetError
from bench.wire.protobuf import serving, tensorflow
from servers.tfs.examples import batch_of, examples_in
from servers.tfs.service_file import SERVICE_FILE, write_service
from servers.tfs.signatures import signatures_of
from servers.tfs.sources import read_source
from servers.tfs.status import StatusError
from tests.servers.tfs_cases import INPUTS, null_service

FLOAT, VARIANT = 1, 21


def saved_model(directory: Path, change: Callable[[Any], None] = lambda graph: None) -> Path:
    """A SavedModel of which only the signatures are there, as far as a signature's reader can see."""
    stored = tensorflow.SavedModel(saved_model_schema_version=1)
    graph = stored.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    signature = graph.signature_def["serving_default"]
    signature.method_name = "tensorflow/serving/predict"
    for infos, name, shape in ((signature.inputs, "ids", (-1, -1)), (signature.outputs, "probabilities", (-1, 3))):
        infos[name].name, infos[name].dtype = f"{name}:0", FLOAT
        for size in shape:
            infos[name].tensor_shape.dim.add(size=size)
    graph.signature_def["__saved_model_init_op"].method_name = ""
    change(graph)
    directory.mkdir(exist_ok=True)
    (directory / "saved_model.pb").write_bytes(stored.SerializeToString())
    return directory


def test_a_saved_model_is_served_with_the_signature_in_its_file(tmp_path: Path) -> None:
    options = (("xla", True),)
    source = read_source("m", saved_model(tmp_path / "1"), threads=3, adapter_options=options)
    service = source.service
    assert (service.adapter, service.threads, service.adapter_options) == ("tensorflow", 3, options)
    assert service.artifact.inputs == (TensorSpec(name="ids", dtype="float32", shape=("batch", "ids_dim1")),)
    assert service.artifact.outputs == (TensorSpec(name="probabilities", dtype="float32", shape=("batch", 3)),)
    assert sorted(source.signatures.definitions) == ["classification", "serving_default"]
    assert source.signatures.definitions["serving_default"].inputs["ids"].name == "ids:0"


def untagged(graph: Any) -> None:
    del graph.meta_info_def.tags[:]


def two_signatures(graph: Any) -> None:
    for name in ("a", "b"):
        graph.signature_def[name].CopyFrom(graph.signature_def["serving_default"])
    del graph.signature_def["serving_default"]


def variant(graph: Any) -> None:
    graph.signature_def["serving_default"].inputs["ids"].dtype = VARIANT


def without_rank(graph: Any) -> None:
    graph.signature_def["serving_default"].inputs["ids"].tensor_shape.unknown_rank = True


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (untagged, "no graph tagged 'serve'"),
        (two_signatures, "has the signatures a, b"),
        (variant, "'ids' cannot be served: a name DT_VARIANT"),
        (without_rank, "'ids' cannot be served"),
    ],
)
def test_a_saved_model_that_cannot_be_served_is_refused(tmp_path: Path, change: Any, reason: str) -> None:
    with pytest.raises(TargetError, match=reason):
        read_source("m", saved_model(tmp_path / "1", change), threads=1)


def test_a_directory_without_a_model_or_with_a_broken_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=f"holds neither saved_model.pb nor {SERVICE_FILE}"):
        read_source("m", tmp_path, threads=1)
    (tmp_path / "saved_model.pb").write_bytes(b"\xff")
    with pytest.raises(TargetError, match="not a readable SavedModel"):
        read_source("m", tmp_path, threads=1)
    (tmp_path / SERVICE_FILE).write_text("{}")
    with pytest.raises(TargetError, match="not a model to be served"):
        read_source("m", tmp_path, threads=1)


def test_any_artifact_is_served_from_the_file_that_names_it(tmp_path: Path) -> None:
    service = null_service(tmp_path)
    write_service(tmp_path, service)
    source = read_source("other name", tmp_path, threads=7)
    assert source.service == service
    assert [spec.name for spec in (source.signatures.scores, source.signatures.regressed) if spec] == [
        "output",
        "value",
    ]


def output(name: str, *shape: int | str, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


@pytest.mark.parametrize(
    ("outputs", "scores", "classes", "regressed"),
    [
        ([output("a", "batch", 3)], "a", None, None),
        ([output("a", "batch", 3), output("b", "batch", 3)], None, None, None),
        ([output("scores", "batch", 3), output("b", "batch", 3)], "scores", None, None),
        ([output("c", "batch", 3, dtype="str"), output("s", "batch", 3)], "s", "c", None),
        ([output("a", "batch", 1)], "a", None, "a"),
        ([output("outputs", "batch"), output("b", "batch")], None, None, "outputs"),
        ([output("a", "batch", 3, 3), output("b", 3, 3), output("c", "batch", dtype="int64")], None, None, None),
    ],
)
def test_outputs_that_fit_answer_classify_and_regress(
    outputs: list[TensorSpec], scores: str | None, classes: str | None, regressed: str | None
) -> None:
    found = signatures_of(INPUTS, outputs)
    assert [spec and spec.name for spec in (found.scores, found.classes, found.regressed)] == [
        scores,
        classes,
        regressed,
    ]
    assert ("classification" in found.definitions) == bool(scores or classes)
    assert ("regression" in found.definitions) == bool(regressed)


def examples(*features: dict[str, Any]) -> list[Any]:
    message = serving.Input()
    for each in features:
        example = message.example_list.examples.add()
        for name, (field, values) in each.items():
            getattr(example.features.feature[name], field).value.extend(values)
    return examples_in(message)


def test_features_become_inputs_by_name_with_one_size_left_open() -> None:
    specs = (
        TensorSpec(name="pixels", dtype="float32", shape=("batch", "side", 2)),
        TensorSpec(name="on", dtype="bool", shape=("batch",)),
        TensorSpec(name="word", dtype="str", shape=("batch", 1)),
    )
    feature = {"pixels": ("float_list", [1.0, 2, 3, 4]), "on": ("int64_list", [1]), "word": ("bytes_list", [b"a"])}
    batch = batch_of(examples(feature, feature), specs)
    assert batch["pixels"].tolist() == [[[1, 2], [3, 4]]] * 2
    assert (batch["on"].tolist(), batch["word"].tolist()) == ([True, True], [["a"], ["a"]])
    assert [batch[spec.name].dtype for spec in specs] == [np.float32, np.bool_, object]


def test_a_model_that_parses_examples_itself_gets_them_as_they_came() -> None:
    (example,) = examples({"a": ("int64_list", [1])})
    batch = batch_of([example], (TensorSpec(name="serialized", dtype="str", shape=("batch",)),))
    assert batch["serialized"].tolist() == [example.SerializeToString()]


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        ([{}], r"Feature: x \(data type: int8\) is required"),
        ([{"x": ("float_list", [1.0, 2])}], "a float_list, the model takes int8"),
        ([{"x": ("int64_list", [1, 300])}], "int8 cannot hold"),
        ([{"x": ("int64_list", [1])}], r"1 values, which do not make \[2\]"),
        ([{"x": ("int64_list", [1, 2])}, {"x": ("int64_list", [1])}], "in different lengths"),
    ],
)
def test_examples_that_do_not_fit_the_model_are_refused(features: list[Any], reason: str) -> None:
    with pytest.raises(StatusError, match=reason):
        batch_of(examples(*features), (TensorSpec(name="x", dtype="int8", shape=("batch", 2)),))


def test_an_input_with_a_fixed_number_of_samples_takes_so_many_examples() -> None:
    spec = TensorSpec(name="x", dtype="int8", shape=(1, 2))
    feature = {"x": ("int64_list", [1, 2])}
    assert batch_of(examples(feature), (spec,))["x"].tolist() == [[1, 2]]
    with pytest.raises(StatusError, match="2 examples cannot fill"):
        batch_of(examples(feature, feature), (spec,))
