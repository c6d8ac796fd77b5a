"""The doctor: a quiet machine is well, each thing that spoils numbers is found, and nothing is claimed unseen."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from bench.core import plugins
from bench.core.errors import PluginError
from bench.core.plugins import PluginSpec
from bench.environment import Finding, doctor, plugin_checks
from bench.environment.facts import Gpu
from bench.environment.gpu import Answer, gpus
from bench.environment.host_checks import host_findings, timer_finding
from bench.environment.permission_checks import permission_findings
from bench.environment.plugin_checks import import_finding, import_findings, plugin_findings

Machine = Callable[[Mapping[str, str]], Path]


def _of(findings: Iterator[Finding], subject: str) -> Finding:
    return next(finding for finding in findings if finding.subject == subject)


def test_on_a_quiet_machine_nothing_is_warned_of(machine: Machine) -> None:
    # The timer is this machine's own, and so is the GPU.
    seen = [finding for finding in host_findings(machine({})) if finding.subject not in {"timer", "gpu"}]
    assert {finding.kind for finding in seen} == {"ok"}, seen


@pytest.mark.parametrize(
    ("file", "content", "subject"),
    [
        ("proc/self/status", "Cpus_allowed_list:\t3\n", "cpus"),
        ("proc/cpuinfo", "processor: 0\nflags: fpu hypervisor\n", "virtual machine"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n", "frequency governor"),
        ("sys/devices/system/cpu/cpufreq/boost", "1\n", "turbo"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n", "transparent huge pages"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n", "transparent huge pages"),
        ("proc/stat", "cpu  1000 0 500 90000 10 0 5 900 0 0\n", "stolen time"),
        ("proc/loadavg", "3.10 0.20 0.30 1/100 4242\n", "load"),
        ("proc/pressure/cpu", "some avg10=40.00 avg60=0 avg300=0 total=1\n", "cpu pressure"),
        ("proc/meminfo", "MemTotal: 16384000 kB\nMemAvailable:    100000 kB\n", "memory"),
        ("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/swapfile file 1 0 -2\n", "swap"),
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n", "clock source"),
    ],
)
def test_what_spoils_numbers_is_warned_of_with_a_way_out(
    machine: Machine, file: str, content: str, subject: str
) -> None:
    finding = _of(host_findings(machine({file: content})), subject)
    assert finding.kind == "warning"
    assert finding.hint


@pytest.mark.parametrize(
    ("file", "subject"),
    [
        ("proc/pressure/cpu", "cpu pressure"),
        ("proc/stat", "stolen time"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "transparent huge pages"),
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "clock source"),
    ],
)
def test_what_the_kernel_does_not_show_is_unavailable_and_not_ok(machine: Machine, file: str, subject: str) -> None:
    assert _of(host_findings(machine({file: ""})), subject).kind == "unavailable"


def test_a_slow_clock_says_which_calls_it_cannot_resolve() -> None:
    assert timer_finding(60).kind == "ok"
    assert timer_finding(2000).kind == "warning"
    assert "shorter than 200 us" in timer_finding(2000).text


def test_results_in_a_directory_yet_to_be_made_are_fine_and_it_is_not_made(tmp_path: Path, machine: Machine) -> None:
    wanted = tmp_path / "a" / "results"
    assert _of(permission_findings(wanted, machine({})), "results").kind in {"ok", "warning"}
    assert list(tmp_path.iterdir()) == []


def test_results_below_a_file_are_a_problem(tmp_path: Path, machine: Machine) -> None:
    (tmp_path / "results").write_text("not a directory")
    finding = _of(permission_findings(tmp_path / "results", machine({})), "results")
    assert (finding.kind, bool(finding.hint)) == ("problem", True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_results_that_cannot_be_written_are_a_problem(tmp_path: Path, machine: Machine) -> None:
    tmp_path.chmod(0o500)
    assert _of(permission_findings(tmp_path / "results", machine({})), "results").kind == "problem"


def test_each_controller_is_told_where_a_group_can_be_made(tmp_path: Path, machine: Machine) -> None:
    root = machine({})
    finding = _of(permission_findings(tmp_path, root), "memory control group")
    assert finding.kind == "ok"
    assert str(root / "sys/fs/cgroup/user/session-1") in finding.text
    nowhere = machine({"proc/self/cgroup": ""})
    assert _of(permission_findings(tmp_path, nowhere), "memory control group").kind == "unavailable"


def test_namespaces_are_tried_for_real_and_unshare_may_be_absent(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _of(permission_findings(tmp_path, machine({})), "namespaces").text
    monkeypatch.setenv("PATH", str(tmp_path))
    absent = _of(permission_findings(tmp_path, machine({})), "namespaces")
    assert (absent.kind, absent.text) == ("unavailable", "unshare is not installed")
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2\nexit 1\n")
    refusing.chmod(0o755)
    refused = _of(permission_findings(tmp_path, machine({})), "namespaces")
    assert refused.kind == "unavailable"
    assert refused.text.endswith("Operation not permitted")


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, dict[str, PluginSpec]]], None]:
    """Replace the plug-in tables."""

    def replace(by_kind: dict[str, dict[str, PluginSpec]]) -> None:
        monkeypatch.setattr(plugin_checks, "TABLES", by_kind)
        monkeypatch.setattr(plugin_checks, "table", by_kind.__getitem__)
        monkeypatch.setattr(plugins, "table", by_kind.__getitem__)

    return replace


def _spec(name: str, **facts: object) -> PluginSpec:
    return PluginSpec(**{"name": name, "target": "pathlib:Path", "summary": f"makes {name}", **facts})  # type: ignore[arg-type]


def test_every_plug_in_is_told_with_the_reason_why_it_cannot_run(
    tables: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables(
        {
            "adapters": {
                spec.name: spec
                for spec in (
                    _spec("good", needs=("json",)),
                    _spec("bare", needs=("json", "no_such_package")),
                    _spec("gone", target="pathlib:NoSuchThing"),
                    _spec("third", target="", summary="disabled: x raised E"),
                    _spec("fast", devices=("gpu",)),
                )
            }
        }
    )
    monkeypatch.setattr(plugin_checks, "gpus", Answer)
    found = {finding.subject: finding for finding in plugin_findings()}
    assert {subject: finding.kind for subject, finding in found.items()} == {
        "adapters good": "ok",
        "adapters bare": "unavailable",
        "adapters gone": "problem",
        "adapters third": "problem",
        "adapters fast": "unavailable",
    }
    assert found["adapters bare"].hint == "pip install no_such_package"
    assert "no_such_package" in found["adapters bare"].text
    gpu = Gpu(name="Example GPU", driver="1", memory_bytes=1, mig=False)
    monkeypatch.setattr(plugin_checks, "gpus", lambda: Answer(found=(gpu,)))
    assert _of(plugin_findings(), "adapters fast").kind == "ok"


class _BlockedStep:
    """A step that this host cannot apply."""

    class Options:
        """None."""

    def blockers(self, source_format: str, options: Options) -> list[str]:
        return [f"no compiler for {source_format}: apt install gcc"]


def test_a_step_and_a_model_say_themselves_what_they_lack(
    tables: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables({"steps": {"compile": _spec("compile", accepts=("onnx",))}, "models": {"big": _spec("big")}})
    monkeypatch.setattr(plugin_checks, "load", lambda kind, name: _BlockedStep())
    monkeypatch.setattr("bench.zoo.fetch.missing_data", lambda name: f"{name} is not fetched")
    found = {finding.subject: (finding.kind, finding.text) for finding in plugin_findings()}
    assert found == {
        "steps compile": ("unavailable", "no compiler for onnx: apt install gcc"),
        "models big": ("unavailable", "big is not fetched: python -m bench.zoo.fetch"),
    }


def test_a_table_that_cannot_be_read_is_a_problem_and_the_others_are_still_told(
    tables: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables({"steps": {}, "adapters": {"a": _spec("a", needs=("json",))}})

    def broken(kind: str) -> dict[str, PluginSpec]:
        if kind == "steps":
            raise PluginError("two plug-ins are called x", hint="rename one")
        return {"a": _spec("a", needs=("json",))}

    monkeypatch.setattr(plugin_checks, "table", broken)
    assert [(finding.kind, finding.subject) for finding in plugin_findings()] == [
        ("problem", "steps"),
        ("ok", "adapters a"),
    ]
    assert [finding.subject for finding in import_findings()] == ["package json"]


def test_a_package_that_is_installed_and_broken_is_found_by_importing_it_in_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_on_import.py").write_text("print('noise')\nraise RuntimeError('built for another CPU')\n")
    (tmp_path / "dies_on_import.py").write_text("import os\nos.abort()\n")
    (tmp_path / "hangs_on_import.py").write_text(
        "import subprocess, time\nsubprocess.Popen(['sleep', '59'])\ntime.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert import_finding("json") == Finding(kind="ok", subject="package json", text="can be imported")
    broken = import_finding("broken_on_import")
    assert broken.kind == "problem"
    assert broken.text.endswith("RuntimeError: built for another CPU")
    assert "SIGABRT" in import_finding("dies_on_import").text
    monkeypatch.setattr(plugin_checks, "_IMPORT_TIMEOUT_S", 1)
    assert "did not end within 1 s" in import_finding("hangs_on_import").text
    assert "broken_on_import" not in sys.modules


def test_the_gravest_findings_come_first(tables: Callable[..., None], machine: Machine, tmp_path: Path) -> None:
    tables({"adapters": {"gone": _spec("gone", target="pathlib:NoSuchThing")}})
    kinds = [finding.kind for finding in doctor(tmp_path, root=machine({"proc/loadavg": "9 9 9 1/1 1\n"}))]
    order = ["problem", "warning", "unavailable", "ok"]
    assert kinds[0] == "problem"
    assert kinds == sorted(kinds, key=order.index)


def test_a_machine_names_its_gpus_or_says_why_not() -> None:
    answer = gpus()
    assert bool(answer.found) != bool(answer.reason)
