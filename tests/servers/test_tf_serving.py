"""The topology `tf_serving`: command lines and files for the real program, and what is said where it is not here.

The program itself is never run: a script in its place shows that its arguments arrive, and is no TensorFlow Serving.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.core.artifact import Artifact, TensorSpec
from bench.core.errors import TargetError
from bench.core.serving import Description, Service
from servers import tf_serving
from servers.tf_serving import Options, TfServing
from servers.tfs.text_files import read_batching_parameters, read_models, read_monitoring_path
from tests.servers.tfs_cases import site

SPEC = TensorSpec(name="x", dtype="float32", shape=("batch", 2))


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script that tells its arguments; named in the environment as people name the real program."""
    script = tmp_path / "bin" / "tensorflow_model_server"
    script.parent.mkdir()
    script.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("TF_MODEL_SERVER", str(script))
    return script


def service(directory: Path, **changes: Any) -> Service:
    saved = directory / "saved model"
    saved.mkdir(exist_ok=True)
    artifact = Artifact(id="a", format="saved_model", path=str(saved), size_bytes=1, inputs=(SPEC,), outputs=(SPEC,))
    return replace(Service(model="digits", artifact=artifact, adapter="tensorflow", threads=3), **changes)


def described(directory: Path, **options: Any) -> Description:
    return TfServing().describe(service(directory), Options(**options), site(directory))


def words(description: Description) -> dict[str, str]:
    (process,) = description.processes
    return dict(word.removeprefix("--").split("=", 1) for word in process.argv if word.startswith("--") and "=" in word)


def test_only_saved_models_are_served(program: Path) -> None:
    assert TfServing().blockers("saved_model", Options()) == ()
    assert TfServing().blockers("onnx", Options()) == (
        "tf_serving serves SavedModels only: choose a saved_model variant",
    )


def test_where_the_program_is_not_here_the_ways_to_it_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TF_MODEL_SERVER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    (reason,) = TfServing().blockers("saved_model", Options())
    assert reason.startswith("tensorflow_model_server is not here")
    for way in ("apt repository", "$TF_MODEL_SERVER", "image: tensorflow/serving"):
        assert way in reason
    (reason,) = TfServing().blockers("saved_model", Options(image="tensorflow/serving"))
    assert reason == "no docker and no podman here to run tensorflow/serving: install one"
    with pytest.raises(TargetError):
        described(tmp_path)


def test_the_command_line_and_its_files_name_the_model_with_the_nonce(program: Path, tmp_path: Path) -> None:
    description = described(tmp_path)
    (process,) = description.processes
    given = words(description)
    assert process.argv[0] == str(program)
    (entry,) = read_models(Path(given["model_config_file"]))
    assert (entry.name, entry.policy.kind) == ("digits-01234567", "all")
    assert (entry.base_path / "1").resolve() == tmp_path / "saved model"
    assert read_monitoring_path(Path(given["monitoring_config_file"])) == "/monitoring/prometheus/metrics"
    assert (given["tensorflow_intra_op_parallelism"], given["tensorflow_inter_op_parallelism"]) == ("3", "1")
    endpoint = description.endpoint
    assert (endpoint.protocol, endpoint.port, endpoint.model) == ("grpc", int(given["port"]), "digits-01234567")
    assert (endpoint.tells_stamps, endpoint.identity_port) == (False, None)
    assert (process.ready.path, process.ready.port) == ("/v1/models/digits-01234567", int(given["rest_api_port"]))
    assert process.ready.expects == '"AVAILABLE"'
    assert any("every interface" in note for note in description.notes)


def test_arguments_arrive_as_they_were_written(program: Path, tmp_path: Path) -> None:
    description = described(tmp_path, encoding="tfs_row", max_batch=16, batch_delay_ms=1.5)
    (process,) = description.processes
    finished = subprocess.run(process.argv, capture_output=True, text=True, check=True)
    assert tuple(finished.stdout.splitlines()) == process.argv[1:]
    given = words(description)
    parameters = read_batching_parameters(Path(given["batching_parameters_file"]))
    assert (given["enable_batching"], parameters.max_batch_size, parameters.batch_timeout_us) == ("true", 16, 1500)
    assert description.endpoint.port == int(given["rest_api_port"])


def test_xla_is_passed_on(program: Path, tmp_path: Path) -> None:
    compiled = service(tmp_path, adapter_options=(("xla", True),))
    description = TfServing().describe(compiled, Options(), site(tmp_path))
    assert words(description)["xla_cpu_compilation_enabled"] == "true"


def test_what_the_program_would_serve_otherwise_is_refused(program: Path, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="not onnxruntime"):
        TfServing().describe(service(tmp_path, adapter="onnxruntime"), Options(), site(tmp_path))
    artifact = replace(service(tmp_path).artifact, inputs=(replace(SPEC, native="x_1"),))
    with pytest.raises(TargetError, match="'x_1' what is called 'x' here"):
        TfServing().describe(service(tmp_path, artifact=artifact), Options(), site(tmp_path))


def test_a_container_publishes_its_ports_on_loopback_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tmp_path / "podman"
    engine.write_text("#!/bin/sh\n")
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    description = described(tmp_path, image="tensorflow/serving:2.19.1")
    (process,) = description.processes
    assert process.argv[:4] == (str(engine), "run", "--rm", "--init")
    published = [word.removeprefix("--publish=") for word in process.argv if word.startswith("--publish=")]
    assert published == [f"127.0.0.1:{description.endpoint.port}:8500", f"127.0.0.1:{process.ready.port}:8501"]
    mounts = [word for word in process.argv if word.startswith("--mount=")]
    assert f"source={tmp_path / 'saved model'},target=/models/digits-01234567/1,readonly" in mounts[0]
    image = process.argv.index("tensorflow/serving:2.19.1")
    assert "--model_config_file=/deploybench/models.config" in process.argv[image:]
    (entry,) = read_models(tmp_path / "tf_serving" / "models.config")
    assert str(entry.base_path) == "/models/digits-01234567"
    assert not any(os.path.exists(path) for path in (tmp_path / "tf_serving" / "models",))


def test_an_image_that_is_a_flag_is_refused() -> None:
    with pytest.raises(ValueError, match="image"):
        Options(image="--privileged")
    assert tf_serving.PROGRAM == "tensorflow_model_server"
