"""Flags and configuration files are those of `tensorflow_model_server`, and what is wrong in them is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.errors import MatrixError
from servers.tfs import model_config, server
from servers.tfs.flags import parse_flags
from servers.tfs.text_files import read_batching_parameters, read_models, read_monitoring_path


def test_flags_are_read_as_the_real_program_reads_them() -> None:
    flags = parse_flags(["--port=9000", "--enable_batching", "--model_name=", "--enable_model_warmup=false"])
    assert (flags.port, flags.enable_batching, flags.model_name, flags.enable_model_warmup) == (9000, True, "", False)
    assert (flags.rest_api_port, flags.file_system_poll_wait_seconds) == (0, 1)


def test_flags_that_cannot_mean_anything_here_are_accepted_and_named() -> None:
    flags = parse_flags(["--saved_model_tags=serve", "--num_load_threads=2", "--saved_model_tags=x"])
    assert flags.ignored == ("saved_model_tags", "num_load_threads")


@pytest.mark.parametrize(
    ("word", "message", "hint"),
    [
        ("--prot=1", "--prot is not a known flag", "did you mean --port?"),
        ("--rest-api-port=1", "--rest-api-port is not a known flag", "did you mean --rest_api_port?"),
        ("--port=x", "--port needs a whole number, not 'x'", None),
        ("--port", "--port needs a whole number, not ''", None),
        ("--enable_batching=maybe", "--enable_batching needs true or false, not 'maybe'", None),
        ("--model_name", "--model_name needs a value, not ''", None),
        ("port=1", "'port=1' is not a flag", "flags are written --name=value"),
        ("--ignored=a", "'--ignored=a' is not a flag", None),
        ("--ssl_config_file=f", "--ssl_config_file cannot be had: this server speaks plain text", None),
    ],
)
def test_a_wrong_flag_is_refused(word: str, message: str, hint: str | None) -> None:
    with pytest.raises(MatrixError, match=message.replace("?", r"\?")) as caught:
        parse_flags([word])
    if hint is not None:
        assert caught.value.hint == hint


def test_a_mistake_on_the_command_line_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert server.main(["--prot=1"]) == 2
    assert server.main([]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "--prot is not a known flag (did you mean --port?)",
        "no model is named (--model_base_path=DIRECTORY or --model_config_file=FILE)",
    ]


def written(directory: Path, text: str) -> Path:
    path = directory / "file"
    path.write_text(text)
    return path


def test_a_model_config_file_names_models_policies_and_labels(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """model_config_list: {
             config: { name: 'a', base_path: '/models/a', model_platform: 'tensorflow' },
             config: { name: 'b', base_path: '/models/b'
                       model_version_policy { specific { versions: 3 versions: 2 } }
                       version_labels { key: 'stable' value: 2 } },
             config: { name: 'c', base_path: '/models/c' model_version_policy { latest { num_versions: 2 } } },
           }""",
    )
    first, second, third = read_models(path)
    assert (first.name, first.base_path, first.policy.kind, first.policy.count) == ("a", Path("/models/a"), "latest", 1)
    assert (second.policy.kind, second.policy.versions, second.labels) == ("specific", (2, 3), (("stable", 2),))
    assert (third.policy.kind, third.policy.count) == ("latest", 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list {", "Expected"),
        ("models {}", 'has no field named "models"'),
        ("model_config_list { config { name: 'a' } }", "a model has no base_path"),
        ("model_config_list { config { base_path: '/a' } }", "a model has no name"),
        (
            "model_config_list { config { name: 'a' base_path: '/a' } config { name: 'a' base_path: '/b' } }",
            "two models",
        ),
        ("model_config_list { config { name: 'a' base_path: '/a' model_platform: 'caffe' } }", "platform 'caffe'"),
    ],
)
def test_a_wrong_model_config_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(MatrixError, match=message):
        read_models(written(tmp_path, text))


def test_batching_parameters_are_read_and_checked(tmp_path: Path) -> None:
    text = (
        "max_batch_size { value: 8 } batch_timeout_micros { value: 500 } allowed_batch_sizes: 4 allowed_batch_sizes: 8"
    )
    parameters = read_batching_parameters(written(tmp_path, text))
    assert (parameters.max_batch_size, parameters.batch_timeout_us, parameters.allowed_batch_sizes) == (8, 500, (4, 8))
    for wrong in ("max_batch_size { value: 0 }", "allowed_batch_sizes: 4", "pad_variable_length_inputs: true"):
        with pytest.raises(MatrixError):
            read_batching_parameters(written(tmp_path, wrong))


def test_monitoring_has_the_usual_path(tmp_path: Path) -> None:
    assert read_monitoring_path(None) == ""
    assert read_monitoring_path(written(tmp_path, "prometheus_config { path: '/m' }")) == ""
    assert read_monitoring_path(written(tmp_path, "prometheus_config { enable: true path: '/m' }")) == "/m"
    default = read_monitoring_path(written(tmp_path, "prometheus_config { enable: true }"))
    assert default == "/monitoring/prometheus/metrics"


def test_a_model_config_file_is_generated_for_every_model_and_version_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("b/1", "a/1", "a/20", "notes/draft"):
        (tmp_path / name).mkdir(parents=True)
    assert model_config.main([str(tmp_path), "/models"]) == 0
    path = written(tmp_path, capsys.readouterr().out)
    assert [(entry.name, str(entry.base_path), entry.policy.kind) for entry in read_models(path)] == [
        ("a", "/models/a", "all"),
        ("b", "/models/b", "all"),
    ]
    assert [entry.base_path for entry in read_models(written(tmp_path, model_config.model_config(tmp_path)))] == [
        tmp_path / "a",
        tmp_path / "b",
    ]
    assert model_config.main([str(tmp_path / "notes")]) == 2
    assert model_config.main([]) == 2
