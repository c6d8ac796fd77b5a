"""The text of a matrix: plain YAML 1.2, without what makes YAML dangerous or surprising."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.core.errors import MatrixError
from bench.matrix import load

NULL = "schema: 1\nmodels: {a: {null: {}}}\n"
BOMB = "".join(
    f"x{level}: &x{level} [{', '.join([f'*x{level - 1}'] * 9 if level else ['1'] * 9)}]\n" for level in range(9)
)


def problems(text: str | Path) -> tuple[str, ...]:
    with pytest.raises(MatrixError) as caught:
        load(text)
    return caught.value.problems or (caught.value.message,)


@pytest.mark.parametrize("word", ["no", "on", "off", "yes", "12:30", "2001-01-01", "=", "1.2.3"])
def test_words_that_older_yaml_turns_into_something_else_stay_words(word: str) -> None:
    matrix = load(f"schema: 1\nname: {word}\nmodels: {{{word}: {{null: {{}}}}}}\n")
    assert matrix.name == word
    assert [cell.model.name for cell in matrix.cells] == [word]


def test_numbers_are_read_as_yaml_1_2_reads_them() -> None:
    matrix = load(NULL + "axes: {batch: [0o17, 010, 0x10]}\nmeasurement: {min_effect_ratio: 1e-3}\n")
    assert [cell.batch for cell in matrix.cells] == [15, 10, 16]
    assert matrix.measurement.min_effect_ratio == 0.001


def test_a_quoted_number_is_not_a_number_and_yes_is_not_true() -> None:
    assert "must be a whole number, not '8'" in problems(NULL + 'axes: {batch: ["8"]}\n')[0]
    assert (
        "must be true or false, not 'yes'"
        in problems(f"schema: 1\nmodels: {{a: {{path: {__file__}, trust: yes}}}}\n")[0]
    )


def test_an_alias_bomb_is_refused_at_once_and_each_alias_has_its_place() -> None:
    started = time.monotonic()
    told = problems(BOMB + NULL)
    assert time.monotonic() - started < 5
    assert told[0].startswith("<matrix>:1:5: anchors such as &x0 are refused")
    assert any(line.startswith("<matrix>:2:10: aliases such as *x0 are refused") for line in told)


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system [echo]", "!!str x", "!own {}", "!!timestamp x"])
def test_tags_are_refused_with_their_place(tag: str) -> None:
    (told,) = problems(f"schema: 1\nname: {tag}\n")
    assert told.startswith("<matrix>:2:7: tags such as ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("%YAML 1.1\n---\nschema: 1\n", "<matrix>:1:1: directives are refused"),
        ("schema: 1\n--- \nschema: 1\n", "<matrix>:2:1: not YAML: expected a single document"),
        ("schema: [1,\nmodels: 2\n", "<matrix>:3:1: not YAML: while parsing a flow sequence"),
        ("schema: 1\n\tmodels: 2\n", "<matrix>:2:1: not YAML: "),
        ("schema: 1\nname: a\x07b\n", "<matrix>:2:8: the character '\\x07' may not stand in YAML"),
        ("? [a, b]\n: 1\n", "<matrix>:1:3: a key must be a plain word"),
        (NULL + "axes: {batch: [.inf]}\n", "<matrix>:3:16: axes.batch[0]: '.inf' is not a finite number"),
        (NULL + f"axes: {{batch: [{'9' * 5000}]}}\n", "<matrix>:3:16: axes.batch[0]: "),
        (NULL + 'name: "\\ud800"\n', "<matrix>:3:7: name: '\\ud800' is not valid Unicode"),
        (NULL + "<<: {a: 1}\n", "<matrix>:3:1: '<<': unknown key"),
        ("a: " + "[" * 200 + "]" * 200 + "\n", "<matrix>:1:35: nested more than 32 deep"),
        ("a: " + "{a: " * 50 + "}" * 50 + "\n", "nested more than 32 deep"),
    ],
)
def test_what_cannot_be_read_or_is_refused_has_a_place(text: str, said: str) -> None:
    assert any(said in problem for problem in problems(text))


def test_a_key_given_twice_is_refused_and_the_rest_is_still_checked() -> None:
    told = problems("schema: 1\nmodels:\n  a: {null: {}}\n  a: {null: {}}\naxes: {bacth: [1]}\n")
    assert [line.splitlines()[0] for line in told] == [
        "<matrix>:4:3: 'a' is given twice, first in line 3",
        "<matrix>:5:8: axes.bacth: unknown key (did you mean 'batch'?)",
    ]


def test_bytes_that_are_not_utf_8_are_named_with_line_and_offset(tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"schema: 1\nname: caf\xe9\n")
    assert problems(file) == (f"{file}:2: byte 0xe9 at offset 19 is not valid UTF-8",)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "bom.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + NULL.encode())
    assert load(file).name == "bom"


def test_a_file_that_is_too_large_absent_or_a_directory_is_named(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    file.write_text("#" * 300_000)
    assert problems(file) == (f"{file}: larger than 256 KiB",)
    assert problems(tmp_path / "none.yaml") == (f"{tmp_path}/none.yaml: No such file or directory",)
    assert problems(tmp_path) == (f"{tmp_path}: Is a directory",)
    assert problems("#" * 300_000 + "\n") == ("<matrix>: larger than 256 KiB",)


@pytest.mark.parametrize("name", ["a b", "it's", 'quo"te', "$HOME", "模型", "new\nline", "x" * 250])
def test_odd_names_of_matrix_files_work(tmp_path: Path, name: str) -> None:
    file = tmp_path / f"{name}.yaml"
    file.write_text(NULL)
    assert load(file).name == name
    file.write_text(NULL + "bacth: 1\n")
    assert problems(file)[0].splitlines()[0].isprintable()
