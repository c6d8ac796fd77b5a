"""What the command line adds to a matrix: --set, --only, --quick, --trust, and a model instead of a matrix."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bench.core.errors import MatrixError
from bench.matrix import load, matrix_for_model

TEXT = """\
schema: 1
models:
  a: {null: {}}
  b: {null: {}, reference: slow}
variants:
  plain: {source: "null", adapter: "null"}
  slow: {source: "null", adapter: {"null": {service_ms: 2.0}}}
  slower: {source: "null", adapter: {"null": {service_ms: 4.0}}}
axes: {batch: [1, 8]}
measurement: {rounds: 3}
"""


def refused(**words: list[str]) -> str:
    with pytest.raises(MatrixError) as caught:
        load(TEXT, **words)  # type: ignore[arg-type]
    return "\n".join(caught.value.problems) or caught.value.message


def test_set_replaces_scalars_and_lists_and_adds_what_is_absent() -> None:
    matrix = load(
        TEXT,
        sets=["axes.batch=[4]", "measurement.rounds=7", "name=1 two", "models.b.null.service_ms=1e-1", "models.null="],
    )
    assert {cell.batch for cell in matrix.cells} == {4}
    assert (matrix.measurement.rounds, matrix.name) == (7, "1 two")
    assert {cell.model.options for cell in matrix.cells if cell.model.name == "b"} == {(("service_ms", 0.1),)}
    assert {cell.model.kind for cell in matrix.cells if cell.model.name == "null"} == {"zoo"}


def test_set_goes_into_a_zoo_model_that_has_no_body() -> None:
    matrix = load("schema: 1\nmodels:\n  digits:\n", sets=["models.digits.variants=[torch]"])
    assert [cell.variant.name for cell in matrix.cells] == ["torch"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("axes.bacth=[1]", "--set axes.bacth: unknown key (did you mean 'batch'?)"),
        ("axes.batch=[0]", "--set axes.batch: axes.batch[0]: must be at least 1, not 0"),
        ("axes.batch=many", "--set axes.batch: must be a list, such as [1, 8], not 'many'"),
        ("axes.batch.0=1", "--set axes.batch.0: axes.batch is no mapping: set it whole"),
        ("axs.batch=[1]", "--set axs.batch: axs: unknown key (did you mean 'axes'?)"),
        ("axes.batch", "--set axes.batch: write it as key.key=value"),
        ("axes..batch=1", "--set axes..batch=1: write it as key.key=value"),
        ("name=*x", "--set name:1:1: aliases such as *x are refused: write the value out"),
        ("name=[1", "--set name:1:3: not YAML: while parsing a flow sequence"),
    ],
)
def test_a_wrong_set_is_named_by_its_own_words(word: str, said: str) -> None:
    assert refused(sets=[word]).startswith(said)


def test_only_keeps_what_matches_and_the_reference_of_its_group() -> None:
    matrix = load(TEXT, only=["b.slower"])
    assert [(group.reference.variant.name, [c.variant.name for c in group.cells]) for group in matrix.groups] == [
        ("slow", ["slow", "slower"]),
        ("slow", ["slow", "slower"]),
    ]
    assert set(matrix.tolerances) == {("b", "slow"), ("b", "slower")}


def test_only_takes_models_globs_and_whole_ids() -> None:
    everything = load(TEXT)
    one = next(cell.id for cell in everything.cells)
    assert [cell.id for cell in load(TEXT, only=[one]).cells] == [one]
    assert len(load(TEXT, only=["a"]).groups) == 2
    assert len(list(load(TEXT, only=["*.plain", "a.slow*"]).cells)) == 10
    assert load(TEXT, only=["a"]).digest != everything.digest
    assert [group.id for group in load(TEXT, only=["a"]).groups] == [g.id for g in everything.groups[:2]]


def test_only_that_matches_nothing_is_told_with_a_suggestion() -> None:
    assert refused(only=["a.plane"]) == "--only 'a.plane' matches no cell (did you mean 'a.plain'?)"


def test_quick_buys_less_but_never_more_and_an_explicit_set_wins() -> None:
    quick = load(TEXT, quick=True).measurement
    assert quick.rounds < 3
    assert quick.budget_s is not None
    assert load(TEXT, quick=True, sets=["measurement.rounds=1"]).measurement.rounds == 1
    explicit = load(TEXT, quick=True, sets=["measurement.rounds=9", "measurement.max_rounds=9"]).measurement
    assert (explicit.rounds, explicit.max_rounds) == (9, 9)
    thrifty = TEXT.replace("rounds: 3", "rounds: 1, block_min_calls: 2, budget_s: 3")
    assert (load(thrifty, quick=True).measurement.block_min_calls, load(thrifty, quick=True).measurement.budget_s) == (
        2,
        3,
    )


def test_paths_start_at_the_matrix_file_and_formats_are_told_from_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    for name in ("m.onnx", "x.npz"):
        (tmp_path / "models" / name).touch()
    file = tmp_path / "models" / "m.yaml"
    file.write_text("schema: 1\nmodels: {mine: {path: ./m.onnx, inputs: x.npz}}\n")
    monkeypatch.chdir("/")
    matrix = load(file)
    model = matrix.groups[0].reference.model
    assert (model.kind, model.format) == ("path", "onnx")
    assert model.location == str(tmp_path / "models" / "m.onnx")
    assert model.inputs_path == str(tmp_path / "models" / "x.npz")
    assert [cell.variant.name for cell in matrix.cells] == ["onnx", "onnx-int8", "openvino"]


def test_a_wrong_path_is_told_with_the_file_that_was_meant(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    file = tmp_path / "m.yaml"
    for path, said in [
        ("modell.onnx", "'modell.onnx': no such file in"),
        ('"a\\0b"', "'a\\x00b' is not a path"),
        ("x" * 300, "File name too long"),
        ('"\\udcff"', "is not valid Unicode"),
        (".", "a directory that holds neither"),
    ]:
        file.write_text(f"schema: 1\nmodels: {{mine: {{path: {path}}}}}\n")
        with pytest.raises(MatrixError) as caught:
            load(file)
        assert said in caught.value.problems[0]
        assert caught.value.problems[0].startswith(f"{file}:2:23: models.mine.path: ")


def test_inputs_must_be_a_file_of_samples(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").touch()
    with pytest.raises(MatrixError) as caught:
        load(TEXT, sets=[f"models.a.inputs={tmp_path}/x.pkl"])
    assert "is none of .npz, .npy, .jsonl" in caught.value.problems[0]


@pytest.mark.parametrize(
    "name", ["a b.onnx", "it's.onnx", 'quo"te.onnx', "$HOME.onnx", "模型.onnx", "n\nl.onnx", "x" * 250 + ".onnx"]
)
def test_models_with_odd_names_are_found(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    by_word = matrix_for_model(str(tmp_path / name))
    assert by_word.groups[0].reference.model.location == str(tmp_path / name)
    file = tmp_path / "m.yaml"
    file.write_text(f"schema: 1\nmodels: {{mine: {{path: {json.dumps(name, ensure_ascii=False)}}}}}\n")
    assert load(file).groups[0].reference.model.location == str(tmp_path / name)


def test_a_path_that_is_not_utf_8_is_refused_up_front(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"\xff.onnx")
    file.touch()
    with pytest.raises(MatrixError) as caught:
        matrix_for_model(str(file))
    assert "is not valid UTF-8" in "\n".join((*caught.value.problems, caught.value.message))


@pytest.mark.parametrize(
    ("name", "variants"),
    [
        ("m.onnx", ["onnx", "onnx-int8", "openvino"]),
        ("m.keras", ["keras", "saved_model", "frozen", "frozen-int8", "tflite", "onnx", "onnx-int8", "openvino"]),
        ("m.tflite", ["tflite"]),
        ("m.pb", ["frozen", "frozen-int8"]),
        ("m.pt2", ["exported"]),
        ("m.py:build", ["callable"]),
        ("m/saved_model.pb", ["saved_model", "frozen", "frozen-int8", "tflite", "onnx", "onnx-int8", "openvino"]),
    ],
)
def test_a_model_by_path_gets_the_variants_that_fit_its_format(tmp_path: Path, name: str, variants: list[str]) -> None:
    file = tmp_path / name.removesuffix(":build")
    file.parent.mkdir(exist_ok=True)
    file.touch()
    matrix = matrix_for_model(str(file.parent if "/" in name else tmp_path / name))
    (group,) = matrix.groups
    assert [cell.variant.name for cell in group.cells] == variants
    assert group.reference.variant.name == variants[0]
    assert matrix.path is None
    assert load(matrix.text).digest == matrix.digest


def test_trust_is_the_users_word_about_one_location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("m.pt2", "n.pt2", "f.py"):
        Path(name).touch()

    def trusted(model: str, *words: str) -> bool:
        return matrix_for_model(model, trusted=words).groups[0].reference.model.trusted

    assert not trusted("m.pt2")
    assert trusted("m.pt2", "./m.pt2")
    assert trusted("m.pt2", str(tmp_path / "m.pt2"))
    assert not trusted("m.pt2", "n.pt2", ".", str(tmp_path))
    assert trusted("f.py:build", "f.py")
    assert trusted("f.py:build", "f.py:build")
    assert not trusted("f.py:build", "f.py:other")


def test_a_zoo_name_is_a_model_and_a_wrong_one_gets_a_suggestion() -> None:
    assert matrix_for_model("digits", only=["digits.torch"]).groups[0].reference.model.kind == "zoo"
    with pytest.raises(
        MatrixError, match=r"digit is neither a file nor a model of the zoo \(did you mean 'digits'\?\)"
    ):
        matrix_for_model("digit")


def test_a_wrong_model_on_the_command_line_is_told_plainly(tmp_path: Path) -> None:
    with pytest.raises(MatrixError, match=r"none\.onnx: no such file"):
        matrix_for_model(str(tmp_path / "none.onnx"))
