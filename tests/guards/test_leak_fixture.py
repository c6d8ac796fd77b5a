"""The fixture that watches all tests is shown to see each kind of thing that a test can leave behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_LEAKING_TESTS = """
import os, socket, subprocess, tempfile
import pytest

kept = []

def test_child():
    kept.append(subprocess.Popen(["sleep", "300"]))

def test_orphan():
    subprocess.run(["sh", "-c", "sleep 301 & "], check=True)

def test_listener():
    listener = socket.create_server(("127.0.0.1", 0))
    kept.append(listener)

def test_shared_memory():
    open(f"/dev/shm/deploybench-leak-{os.getppid()}", "x").close()

def test_temporary_file():
    open(os.path.join(tempfile.gettempdir(), "deploybench-leak"), "x").close()

def test_tidy(tmp_path):
    process = subprocess.Popen(["sleep", "302"])
    with socket.create_server(("127.0.0.1", 0)):
        (tmp_path / "deploybench").touch()
    process.kill()
    process.wait()

@pytest.mark.parametrize("again", range(2))
def test_a_leak_is_told_once_only(again):
    pass
"""


def _report_of(leaking_tests: str, directory: Path) -> str:
    """What an inner pytest says that runs `leaking_tests` under the same fixture, with little patience."""
    conftest = (Path(__file__).parents[1] / "conftest.py").read_text()
    assert "_GRACE_S = 2.0" in conftest
    (directory / "conftest.py").write_text(conftest.replace("_GRACE_S = 2.0", "_GRACE_S = 0.2"))
    (directory / "test_leaking.py").write_text(leaking_tests)
    (directory / "tmp").mkdir()
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(directory)],
        env={**os.environ, "TMPDIR": str(directory / "tmp")},
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def test_each_kind_of_leak_fails_its_test_and_is_named(tmp_path: Path) -> None:
    shared_memory = Path(f"/dev/shm/deploybench-leak-{os.getpid()}")
    try:
        report = _report_of(_LEAKING_TESTS, tmp_path)
    finally:
        shared_memory.unlink(missing_ok=True)
    told = dict(re.findall(r"ERROR at teardown of (\w+) _+\nthe test left behind: (.*)", report))
    assert told["test_child"].endswith("(sleep 300)")
    assert told["test_orphan"].endswith("(sleep 301)")
    assert told["test_listener"].startswith("listener on ('127.0.0.1', ")
    assert told["test_shared_memory"] == f"shared memory {shared_memory}"
    assert told["test_temporary_file"] == f"temporary file {tmp_path}/tmp/deploybench-leak"
    assert "8 passed, 5 errors" in report


@pytest.mark.skipif(not os.access("/sys/fs/cgroup/memory", os.W_OK), reason="no writable memory control group here")
def test_a_control_group_left_behind_is_named(tmp_path: Path) -> None:
    group = Path(f"/sys/fs/cgroup/memory/deploybench-leak-{os.getpid()}")
    try:
        report = _report_of(f"import os\n\ndef test_group():\n    os.mkdir({str(group)!r})\n", tmp_path)
    finally:
        group.rmdir()
    assert f"the test left behind: control group {group}" in report
