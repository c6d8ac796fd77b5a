"""What the user is told about a wrong matrix: everything at once, each with its place and a way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core import plugins
from bench.core.errors import MatrixError, MissingPackage
from bench.matrix import load

FOUR_MISTAKES = """\
schema: 1
models:
  digits: {variants: [keras, onxx]}
axes:
  batch: [1, 0]
  topologgy: [direct]
measurement:
  rounds: five
"""


def mistakes(text: str | Path, **words: object) -> tuple[str, ...]:
    with pytest.raises(MatrixError) as caught:
        load(text, **words)  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
    return caught.value.problems


def assert_told(text: str, said: str) -> None:
    """One message about `text` starts with `said` and has the place of the mark » (which is taken out)."""
    lines_before = text.split("»", maxsplit=1)[0].split("\n")
    place = f"{len(lines_before)}:{len(lines_before[-1]) + 1}"
    told = [problem.splitlines()[0] for problem in mistakes(text.replace("»", ""))]
    assert any(line.startswith(f"<matrix>:{place}: {said}") for line in told), (place, told)


def test_four_mistakes_give_four_messages_with_line_column_and_suggestion(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(FOUR_MISTAKES)
    assert (
        "\n".join(mistakes(file))
        == f"""\
{file}:3:30: models.digits.variants[1]: 'onxx' is not a known variant (did you mean 'onnx'?)
  3 |   digits: {{variants: [keras, onxx]}}
    |                              ^
{file}:5:14: axes.batch[1]: must be at least 1, not 0
  5 |   batch: [1, 0]
    |              ^
{file}:6:3: axes.topologgy: unknown key (did you mean 'topology'?)
  6 |   topologgy: [direct]
    |   ^
{file}:8:11: measurement.rounds: must be a whole number, not 'five'
  8 |   rounds: five
    |           ^"""
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            "models: {»seed_cn: }",
            "models.seed_cn: 'seed_cn' is not a known model of the zoo, and it has no path (did you ",
        ),
        (
            "models: {a: {null: {»service_mz: 1}}}",
            "models.a.null.service_mz: unknown option (did you mean 'service_ms'?",
        ),
        ("models: {a: {null: {service_ms: »x}}}", "models.a.null.service_ms: must be a number, not 'x'"),
        ("models: {a: {null: {seed: »{}}}}", "models.a.null.seed: must be a number, a word, true or false, or a list"),
        ("models: {a: {path: »x.onnx}}", "models.a.path: 'x.onnx': no such file in /"),
        ("models: {a: {»null: {}, path: x.onnx}}", "models.a.null: a model with a path is not a null model"),
        ("models: {a: {null: {}, »trust: true}}", "models.a.trust: only a model with a path needs trust"),
        ("models: {a: {null: {}, reference: »keras}}", "models.a.reference: 'keras' does not start from a format of"),
        (
            "models: {a: {null: {}, reference: »x, variants: ['null']}}",
            "models.a.reference: 'x' is not among the variant",
        ),
        (
            "models: {a: {null: {}, variants: [»torch]}}",
            "models.a.variants[0]: variant 'torch' starts from torch_module,",
        ),
        (
            "models: {a: {null: {}, variants: {»torch: }}}",
            "models.a.variants.torch: variant 'torch' starts from torch_mo",
        ),
        ("models: {a: {null: {}, variants: »'null'}}", "models.a.variants: must be a list of variants, or a mapping"),
        ("models: {a: {null: {}, variants: {»nul: }}}", "models.a.variants.nul: 'nul' is not a known variant (did you"),
        ("models: »{}", "models: must hold at least 1, not 0"),
        ("»models:", "models: must be a mapping of keys to values, not nothing"),
    ],
)
def test_a_mistake_in_a_model_is_named_with_its_place(wrong: str, said: str) -> None:
    assert_told(f"schema: 1\n{wrong}\n", said)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            "source: »kears, adapter: tensorflow",
            "variants.v.source: 'kears' is not a known format (did you mean 'keras'?)",
        ),
        ("source: {»onxx: []}, adapter: onnxruntime", "variants.v.source.onxx: 'onxx' is not a known format"),
        ("source: onnx, adapter: »onnxrutnime", "variants.v.adapter: 'onnxrutnime' is not a known adapter (did you me"),
        (
            "source: »3, adapter: onnxruntime",
            "variants.v.source: must be a format, or a mapping of formats to the steps",
        ),
        (
            "source: onnx, adapter: onnxruntime, steps: [»quantise_dynamic]",
            "variants.v.steps[0]: 'quantise_dynamic' is ",
        ),
        (
            "source: onnx, adapter: onnxruntime, steps: [{»strp: {}}]",
            "variants.v.steps[0].strp: 'strp' is not a known st",
        ),
        (
            "source: onnx, adapter: onnxruntime, steps: [»{strip: {}, x: {}}]",
            "variants.v.steps[0]: must be a name, or o",
        ),
        (
            "source: onnx, adapter: onnxruntime, steps: [{strip: »3}]",
            "variants.v.steps[0].strip: must be a mapping of ke",
        ),
        ("source: keras, adapter: »onnxruntime", "variants.v.adapter: onnxruntime takes onnx, but keras arrives here"),
        (
            "source: keras, steps: [»freeze], adapter: tensorflow",
            "variants.v.steps[0]: freeze takes saved_model, but ker",
        ),
        (
            "source: {keras: [»strip]}, adapter: tensorflow",
            "variants.v.source.keras[0]: strip takes frozen_graph, but k",
        ),
        (
            "source: 'null', adapter: {'null': {»sed: 1}}",
            "variants.v.adapter.null.sed: unknown option (did you mean 'se",
        ),
        (
            "source: 'null', adapter: {'null': {fault: »segfualt}}",
            "variants.v.adapter.null.fault: 'segfualt' is not a kn",
        ),
        (
            "source: 'null', adapter: 'null', tolerance: {cosine: »1.5}",
            "variants.v.tolerance.cosine: must be at most 1,",
        ),
    ],
)
def test_a_mistake_in_a_variant_is_named_with_its_place(wrong: str, said: str) -> None:
    assert_told(f"schema: 1\nvariants:\n  v: {{{wrong}}}\nmodels: {{a: {{null: {{}}, variants: ['null']}}}}\n", said)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("variants: {»v: {source: onnx}}", "variants.v: adapter is required"),
        ("axes: {threads: »1}", "axes.threads: must be a list, such as [1, 8], not 1"),
        ("axes: {threads: [»true]}", "axes.threads[0]: must be a whole number, not true"),
        ("axes: {threads: [»1.0]}", "axes.threads[0]: must be a whole number, not 1.0"),
        ("axes: {topology: [»dirct]}", "axes.topology[0]: 'dirct' is not a known topology (did you mean 'direct'?)"),
        ("axes: {topology: [direct: {»x: 1}]}", "axes.topology[0].direct.x: unknown option"),
        ("axes: {load: [»opne]}", "axes.load[0]: "),
        ("axes: {load: [»{}]}", "axes.load[0]: needs exactly one of closed, poisson, constant, burst, ramp, trace"),
        ("axes: {load: [poisson: »{}]}", "axes.load[0].poisson: needs one of rate_per_s and load_ratio"),
        ("axes: {load: [poisson: {rate_per_s: »0}]}", "axes.load[0].poisson.rate_per_s: must be greater than 0, not 0"),
        ("axes: {load: [{»poison: {rate_per_s: 1}}]}", "axes.load[0].poison: unknown key (did you mean 'poisson'?)"),
        ("axes: {load: [trace: {path: »no.npy}]}", "axes.load[0].trace.path: 'no.npy' is not a file"),
        ("serving: {»slo: 5}", "serving.slo: unknown key (did you mean 'slo_ms'?)"),
        ("axes: {cpu_ids: [»0]}", "axes.cpu_ids[0]: must be a list, such as [1, 8], not 0"),
        ("axes: {batch: »[]}", "axes.batch: must hold at least 1, not 0"),
        ("»axes: ", "axes: must be a mapping of keys to values, not nothing"),
        ("dimensions: {s: {»unifrm: [1, 2]}}", "dimensions.s.unifrm: unknown key (did you mean 'uniform'?)"),
        ("dimensions: {s: {uniform: »[5, 2]}}", "dimensions.s.uniform: the lower bound comes first, not [5, 2]"),
        ("dimensions: {s: {uniform: »[5]}}", "dimensions.s.uniform: must hold at least 2, not 1"),
        ("dimensions: {s: »long}", "dimensions.s: must be a size, a list of sizes, {uniform: [low, high]} or {choice"),
        ("measurement: {rounds: »9, max_rounds: 5}", "measurement.rounds: 9 is more than max_rounds, 5"),
        ("measurement: {budget_s: »-1}", "measurement.budget_s: must be greater than 0, not -1"),
        ("exclude: [»{}]", "exclude[0]: names nothing: say which cells"),
        ("exclude: [{model: »b}]", "exclude[0].model: 'b' matches no model (known: a)"),
        ("exclude: [»{batch: 7}]", "exclude[0]: matches no cell"),
        ("»exclude: [{model: a}]", "exclude: every cell is left out"),
        ("include: [{variant: »nul}]", "include[0].variant: 'nul' matches no variant (did you mean 'null'?)"),
        ("»schema_version: 1", "schema_version: unknown key (did you mean 'schema'?)"),
    ],
)
def test_a_mistake_elsewhere_is_named_with_its_place(wrong: str, said: str) -> None:
    assert_told(f"schema: 1\nmodels: {{a: {{null: {{}}}}}}\n{wrong}\n", said)


def test_another_schema_version_is_refused() -> None:
    assert_told("schema: »2\nmodels: {'null': }\n", "schema: must be 1, not 2")


def test_an_empty_matrix_and_a_list_say_how_to_begin() -> None:
    for text in ("\n", "- a\n- b\n", "# nothing\n"):
        assert "a matrix is a mapping; begin with: schema: 1" in mistakes(text)[0]


def test_a_model_that_no_variant_of_the_matrix_fits_is_named() -> None:
    text = "schema: 1\nmodels: {a: {null: {}}}\nvariants: {o: {source: onnx, adapter: onnxruntime}}\n"
    assert "models.a: no variant of this matrix starts from a format of this model (null)" in mistakes(text)[0]


def test_options_of_a_step_whose_package_is_missing_are_left_to_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(kind: str, name: str) -> None:
        raise MissingPackage(f"{kind} {name} needs a package")

    monkeypatch.setattr(plugins, "load", missing)
    matrix = load("schema: 1\nmodels: {a: {null: {}}}\nvariants: {v: {source: 'null', adapter: {'null': {x: 1}}}}\n")
    assert [cell.variant.adapter_options for cell in matrix.cells] == [(("x", 1),)]


def test_mistakes_come_in_the_order_of_the_file_and_each_once() -> None:
    problems = mistakes(FOUR_MISTAKES.replace("schema: 1", "schema: 1\nschema: 1"))
    lines = [int(problem.split(":")[1]) for problem in problems]
    assert lines == sorted(lines)
    assert problems[0].startswith("<matrix>:2:1: 'schema' is given twice, first in line 1")
    assert len(set(problems)) == len(problems) == 5


def test_a_hostile_line_is_shown_without_control_characters_and_cut_around_the_caret() -> None:
    line = "axes: {" + " " * 300 + 'bacth: "\x85"' + " " * 300 + "}"
    (problem,) = mistakes(f"schema: 1\nmodels: {{a: {{null: {{}}}}}}\n{line}\n")
    shown = problem.splitlines()
    assert all(part.isprintable() for part in shown)
    assert len(shown[1]) < 140
    assert shown[2].index("^") == shown[1].index("bacth")


def test_samples_that_judge_a_model_are_not_taken_to_learn_from(tmp_path: Path) -> None:
    for name in ("m.onnx", "cases.npz"):
        (tmp_path / name).touch()
    (tmp_path / "same.npz").symlink_to(tmp_path / "cases.npz")
    file = tmp_path / "same.yaml"
    file.write_text("schema: 1\nmodels:\n  m: {path: m.onnx, inputs: cases.npz, examples: same.npz}\n")
    (told,) = mistakes(file)
    assert told.startswith(f"{file}:3:")
    assert "is the file of `inputs`" in told
