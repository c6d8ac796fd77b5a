"""Which versions are served: what lies below the base path, what the policy wants, and nothing lost in between."""

from __future__ import annotations

import itertools
import shutil
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest

from bench.core.errors import MatrixError, TargetError
from bench.wire.protobuf import serving
from servers.tfs.manager import Manager, Retries
from servers.tfs.repository import ModelEntry, VersionPolicy, versions_found, versions_wanted
from tests.servers.tfs_cases import SAMPLE, Running, add_version, running, wait_until

STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"


def states(server: Running, model: str = "m") -> dict[int, str]:
    request = serving.GetModelStatusRequest()
    request.model_spec.name = model
    response = server.call(STATUS, request, serving.GetModelStatusResponse)
    name = serving.ModelVersionStatus.State.Name
    return {each.version: name(each.state) for each in response.model_version_status}


def config_text(base_path: Path, policy: str = "", labels: dict[str, int] | None = None) -> str:
    labelled = "".join(f" version_labels {{ key: '{key}' value: {value} }}" for key, value in (labels or {}).items())
    return f"model_config_list {{ config {{ name: 'm' base_path: '{base_path}' {policy}{labelled} }} }}"


def refusal(call: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code().name, caught.value.details()


def test_versions_are_directories_with_numbers_for_names(tmp_path: Path) -> None:
    for name in ("1", "20", "007", "x", "-3", "1.5", ".4"):
        (tmp_path / name).mkdir()
    (tmp_path / "9").write_text("no directory")
    (tmp_path / "30").symlink_to(tmp_path / "1")
    assert sorted(versions_found(tmp_path)) == [1, 7, 20, 30]
    assert versions_found(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        (VersionPolicy(), {20}),
        (VersionPolicy(count=2), {7, 20}),
        (VersionPolicy(kind="all"), {1, 7, 20}),
        (VersionPolicy(kind="specific", versions=(1, 5)), {1}),
    ],
)
def test_a_policy_chooses_versions(policy: VersionPolicy, wanted: set[int]) -> None:
    assert versions_wanted(policy, [7, 20, 1]) == wanted


def test_a_new_version_under_load_costs_no_request_and_replaces_the_old_one(tmp_path: Path) -> None:
    base_path = tmp_path / "m"
    add_version(base_path, 1)
    answers: list[int] = []
    failures: list[Exception] = []
    stopped = threading.Event()

    def ask() -> None:
        while not stopped.is_set():
            try:
                answers.append(server.predict(SAMPLE).model_spec.version.value)
            except grpc.RpcError as error:
                failures.append(error)

    with running("--model_name=m", f"--model_base_path={base_path}", "--file_system_poll_wait_seconds=0") as server:
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: answers.count(1) > 20)
        for version in (2, 3):
            add_version(base_path, version, load_ms=30.0)
            server.server._manager.refresh()
            wait_until(lambda version=version: answers.count(version) > 20)
        stopped.set()
        for thread in threads:
            thread.join()
        assert states(server) == {3: "AVAILABLE", 2: "END", 1: "END"}
    assert not failures
    changes = [version for version, _ in itertools.groupby(sorted(answers))]
    assert changes == [1, 2, 3]


def test_the_file_system_is_looked_at_again_and_again(tmp_path: Path) -> None:
    add_version(tmp_path / "m", 1)
    with running("--model_name=m", f"--model_base_path={tmp_path / 'm'}") as server:
        add_version(tmp_path / "m", 2)
        wait_until(lambda: states(server) == {2: "AVAILABLE", 1: "END"})
        shutil.rmtree(tmp_path / "m" / "2")
        server.server._manager.refresh()
        assert states(server) == {2: "END", 1: "AVAILABLE"}


def test_while_a_new_version_cannot_be_opened_the_old_one_stays(tmp_path: Path) -> None:
    add_version(tmp_path / "m", 1)
    words = ("--file_system_poll_wait_seconds=0", "--load_retry_interval_micros=0", "--max_num_load_retries=1")
    with running("--model_name=m", f"--model_base_path={tmp_path / 'm'}", *words) as server:
        (tmp_path / "m" / "2").mkdir()
        for _ in range(3):
            server.server._manager.refresh()
        assert states(server) == {2: "END", 1: "AVAILABLE"}
        tried = [line for line in server.said if line.startswith("m, version 2 cannot be opened: ")]
        assert len(tried) == 2, "once, and one more time"
        _, _, body = server.http("/v1/models/m/versions/2")
        assert b"holds neither saved_model.pb nor deploybench_model.json" in body
        assert server.predict().model_spec.version.value == 1


def test_a_version_in_use_stays_until_its_last_call_is_answered(tmp_path: Path) -> None:
    base_path = tmp_path / "m"
    add_version(base_path, 1, service_ms=300.0)
    words = ("--file_system_poll_wait_seconds=0", "--enable_model_warmup=false")
    with running("--model_name=m", f"--model_base_path={base_path}", *words) as server:
        manager, answers = server.server._manager, []
        asking = threading.Thread(target=lambda: answers.append(server.predict().model_spec.version.value))
        asking.start()
        wait_until(lambda: manager._versions["m"][1].calls == 1)
        add_version(base_path, 2)
        refreshing = threading.Thread(target=manager.refresh)
        refreshing.start()
        wait_until(lambda: states(server) == {2: "AVAILABLE", 1: "UNLOADING"})
        assert server.predict().model_spec.version.value == 2
        asking.join()
        refreshing.join()
        assert answers == [1]
        assert states(server) == {2: "AVAILABLE", 1: "END"}


def test_a_model_without_a_version_is_waited_for(tmp_path: Path) -> None:
    with running(
        "--model_name=m", f"--model_base_path={tmp_path / 'm'}", "--file_system_poll_wait_seconds=0"
    ) as server:
        assert "waiting for one" in server.said[0]
        assert server.http("/bench/identity")[0] == 503
        add_version(tmp_path / "m", 1)
        server.server._manager.refresh()
        assert server.http("/bench/identity")[0] == 200


def test_a_model_that_cannot_be_opened_at_the_start_ends_the_server(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    with pytest.raises(TargetError, match=r"model 'm' is not available: version 1: .* holds neither"):
        Running("--model_name=m", f"--model_base_path={tmp_path / 'm'}").close()


def test_labels_stand_for_versions(tmp_path: Path) -> None:
    for version in (1, 2):
        add_version(tmp_path / "m", version)
    config = tmp_path / "config"
    config.write_text(config_text(tmp_path / "m", "model_version_policy { all {} }", {"stable": 1, "canary": 2}))
    with running(f"--model_config_file={config}") as server:
        assert server.predict().model_spec.version.value == 2
        assert server.predict(version_label="stable").model_spec.version.value == 1
        assert server.predict(version_label="canary").model_spec.version.value == 2
        body = b'{"instances": [[1, 1, 1, 1]]}'
        assert server.http("/v1/models/m/labels/stable:predict", body)[0] == 200
        assert b'"version": "1"' in server.http("/v1/models/m/labels/stable")[2]


def test_a_label_of_a_version_that_is_not_there_is_refused_unless_allowed(tmp_path: Path) -> None:
    add_version(tmp_path / "m", 1)
    config = tmp_path / "config"
    config.write_text(config_text(tmp_path / "m", labels={"next": 2}))
    with pytest.raises(MatrixError, match="assign label to version 2 of model m, which is not currently available"):
        Running(f"--model_config_file={config}").close()
    with running(f"--model_config_file={config}", "--allow_version_labels_for_unavailable_models") as server:
        asked = refusal(lambda: server.predict(version_label="next"))
        assert asked == ("NOT_FOUND", "Servable not found for request: Specific(m, 2)")


def test_a_configuration_can_be_replaced_while_serving(tmp_path: Path) -> None:
    for model in ("m", "n"):
        add_version(tmp_path / model, 1)
    with running("--model_name=m", f"--model_base_path={tmp_path / 'm'}") as server:
        request = serving.ReloadConfigRequest()
        request.config.model_config_list.config.add(name="n", base_path=str(tmp_path / "n")).version_labels["a"] = 1
        response = server.call(RELOAD, request, serving.ReloadConfigResponse)
        assert response.status.error_code == 0
        assert server.predict(model="n", version_label="a").model_spec.version.value == 1
        assert refusal(server.predict)[0] == "NOT_FOUND"
        assert states(server) == {1: "END"}
        request.config.model_config_list.config.add(name="o", base_path=str(tmp_path / "o"))
        code, details = refusal(lambda: server.call(RELOAD, request))
        assert (code, "Some models did not become available: {o: no version below" in details) == ("UNKNOWN", True)
        for wrong in (serving.ReloadConfigRequest(), serving.ReloadConfigRequest(config={"custom_model_config": {}})):
            assert refusal(lambda wrong=wrong: server.call(RELOAD, wrong))[0] == "INVALID_ARGUMENT"


def test_the_configuration_file_is_read_again_where_that_is_asked_for(tmp_path: Path) -> None:
    for model in ("m", "n"):
        add_version(tmp_path / model, 1)
    config = tmp_path / "config"
    config.write_text(config_text(tmp_path / "m"))
    with running(f"--model_config_file={config}", "--model_config_file_poll_wait_seconds=1") as server:
        config.write_text("model_config_list {")
        server.server._look_at_config()
        assert "kept what was served before" in server.said[-1]
        assert server.predict().model_spec.version.value == 1
        config.write_text(config_text(tmp_path / "n").replace("'m'", "'n'"))
        wait_until(lambda: "m, version 1 has been unloaded" in server.said)
        assert server.predict(model="n").model_spec.version.value == 1


def test_a_version_that_begins_to_leave_leaves_before_it_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("servers.tfs.manager._UNLOAD_WAIT_S", 0.01)
    for version in (1, 2):
        (tmp_path / str(version)).mkdir()
    opened: list[int] = []
    manager = Manager(lambda name, version, path: opened.append(version) or Closing(), Retries(), lambda line: None)
    all_versions = ModelEntry(name="m", base_path=tmp_path, policy=VersionPolicy(kind="all"))
    manager.configure([all_versions])
    with manager.use("m", 1):
        manager.configure([ModelEntry(name="m", base_path=tmp_path)])
        assert [status.state for status in manager.statuses("m")] == ["AVAILABLE", "UNLOADING"]
        manager.configure([all_versions])
        assert [status.state for status in manager.statuses("m")] == ["AVAILABLE", "UNLOADING"]
    for _ in range(2):
        manager.refresh()
    assert [status.state for status in manager.statuses("m")] == ["AVAILABLE", "AVAILABLE"]
    assert opened == [1, 2, 1]


class Closing:
    def close(self) -> None:
        """Nothing to give back."""


def test_whatever_opening_raises_is_told_and_ends_that_version_alone(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()

    def fail(name: str, version: int, path: Path) -> Any:
        raise ValueError("a link")

    manager = Manager(fail, Retries(), lambda line: None)
    assert manager.configure([ModelEntry(name="m", base_path=tmp_path)]) == {"m": "version 1: ValueError: a link"}
    (status,) = manager.statuses("m")
    assert (status.state, status.code, status.message) == ("END", "UNKNOWN", "ValueError: a link")
