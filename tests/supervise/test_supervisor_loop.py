"""Starting, asking, stopping: what the loop promises of living children."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from bench.core.errors import HostError
from bench.supervise import Answer, Supervisor

from .conftest import living_descendants, spec_in


def test_children_work_at_the_same_time(start, supervisor):
    children = [start(name=f"cell{number}") for number in range(3)]
    started = time.monotonic()
    tickets = [supervisor.ask(child, "late", {"seconds": 0.7}, deadline_s=10) for child in children]
    outcomes = supervisor.gather(tickets)
    assert [outcomes[ticket] for ticket in tickets] == [Answer(body={"late": True})] * 3
    assert time.monotonic() - started < 1.8


def test_the_loop_sleeps_while_children_work(start, ask):
    child = start()
    ask(child, "echo", text="warm")
    before = time.process_time()
    ask(child, "late", seconds=1.0)
    assert time.process_time() - before < 0.02


def test_the_death_of_one_child_is_no_matter_to_the_others(start, supervisor):
    one, other = start(name="one"), start(name="other")
    dying = supervisor.ask(one, "abort", {}, deadline_s=10)
    living = supervisor.ask(other, "late", {"seconds": 0.3}, deadline_s=10)
    outcomes = supervisor.gather([dying, living])
    assert outcomes[dying].status == "crashed"
    assert outcomes[living] == Answer(body={"late": True})


def test_questions_to_a_dead_child_are_answered_by_its_death(start, ask, supervisor):
    child = start()
    death = ask(child, "abort")
    assert ask(child, "echo", text="") == death
    assert supervisor.stop(child) == death


def test_a_ticket_is_exchanged_once(start, supervisor):
    ticket = supervisor.ask(start(), "echo", {"text": ""}, deadline_s=10)
    supervisor.gather([ticket])
    with pytest.raises(ValueError, match="exchanged already"):
        supervisor.gather([ticket])


def test_a_large_question_and_a_large_answer_pass(start, ask):
    text = "x" * 3_000_000
    assert ask(start(), "echo", text=text) == Answer(body={"echo": text})


def test_nan_in_a_question_is_refused_and_costs_the_child_nothing(start, ask):
    child = start()
    with pytest.raises(ValueError, match="JSON"):
        ask(child, "echo", text=float("nan"), deadline_s=0.2)
    assert ask(child, "late", seconds=0.4) == Answer(body={"late": True})


def test_a_polite_end_is_ok(start, ask, supervisor):
    child = start()
    ask(child, "echo", text="")
    death = supervisor.stop(child)
    assert (death.status, death.exit_code, death.reason) == ("ok", 0, "")
    assert living_descendants() == []


def test_a_child_that_does_not_leave_is_made_to(start, supervisor):
    child = start("--stay")
    started = time.monotonic()
    death = supervisor.stop(child, grace_s=0.3)
    assert death.status == "timeout"
    assert time.monotonic() - started < 4


def test_a_child_lives_in_a_session_of_its_own_with_no_descriptor_of_ours(start, ask, tmp_path):
    with open(tmp_path / "open", "w") as stream:
        os.set_inheritable(stream.fileno(), True)
        answer = ask(start(), "look").body
    assert answer["session"] == answer["pid"]
    assert len(answer["descriptors"]) <= 5  # three standard ones, the channel, and the one that lists them


def test_no_signal_is_ignored_or_blocked_in_the_program_that_is_started(supervisor, ask, tmp_path):
    words = ("/bin/sh", "-c", "exec grep -E 'Sig(Ign|Blk)' /proc/self/status")
    quit_before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)  # as in a background job of a shell
    try:
        death = ask(supervisor.start(replace(spec_in(tmp_path), argv=words)), "echo", text="")
    finally:
        signal.signal(signal.SIGQUIT, quit_before)
    c_library_own = 0b11 << 31  # signals 32 and 33: glibc lets nobody set them
    found = {line.split(":")[0]: int(line.split(":")[1], 16) & ~c_library_own for line in death.log_tail.splitlines()}
    assert found == {"SigBlk": 0, "SigIgn": 0}


def test_scheduler_statistics_can_be_read_inside(start, ask):
    answer = ask(start(), "look").body
    assert all(int(line.split()[0]) > 0 for line in answer["schedstat"])


def test_the_process_id_is_the_one_seen_from_here(start, ask, isolation):
    child = start()
    inside = ask(child, "look").body["pid"]
    assert "synthetic_child.py" in " ".join(psutil.Process(child.pid).cmdline())
    assert (inside == child.pid) is (isolation == "group")


def test_the_environment_is_complete_and_nothing_leaks_in(start, ask, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for children")
    environment = ask(start(), "look").body["environment"]
    assert "AWS_SECRET_ACCESS_KEY" not in environment
    assert environment["OMP_NUM_THREADS"] == "1"


def test_limits_are_granted_before_exec_and_seen_from_outside(start, ask):
    child = start(cpu_ids=(0,), memory_limit_bytes=500_000_000)
    assert ask(child, "look").body["cpu_ids"] == [0]
    assert resource.prlimit(child.pid, resource.RLIMIT_AS) == (500_000_000, 500_000_000)


def test_a_limit_that_is_granted_in_part_only_is_an_error_and_nothing_stays(start):
    with pytest.raises(HostError, match="cpu_ids 0,1023 were asked for, the kernel grants 0"):
        start(cpu_ids=(0, 1023))
    assert living_descendants() == []


def test_a_limit_that_is_refused_is_an_error_and_nothing_stays(start):
    with pytest.raises(HostError, match=r"cannot be started.*Invalid argument"):
        start(cpu_ids=(1023,))
    assert living_descendants() == []


def test_a_program_that_does_not_exist_is_named(supervisor, tmp_path):
    spec = replace(spec_in(tmp_path), argv=("/no/such/program",))
    with pytest.raises(HostError, match=r"cell cannot be started: FileNotFoundError.*No such file"):
        supervisor.start(spec)


def test_a_request_too_large_for_the_kernel_is_said(supervisor, tmp_path):
    spec = replace(spec_in(tmp_path), environment={"A": "x" * 2_000_000})
    with pytest.raises(HostError, match="Message too long"):
        supervisor.start(spec)


def test_a_memory_limit_too_small_to_load_python_is_a_death_and_not_a_hang(start, ask):
    death = ask(start(memory_limit_bytes=4_000_000), "echo", text="")
    assert death.status in {"failed", "oom", "crashed"}


def test_leaving_the_block_ends_everything_and_gives_everything_back(isolation, tmp_path):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    descriptors = len(os.listdir("/proc/self/fd"))
    with Supervisor(tmp_path / "run", isolation=isolation) as supervisor:
        busy = supervisor.start(spec_in(tmp_path, name="busy"))
        supervisor.start(spec_in(tmp_path, "--stay", name="stays"))
        supervisor.ask(busy, "sleep", {}, deadline_s=60)
        assert supervisor.isolation == isolation
    assert living_descendants() == []
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers
    assert signal.set_wakeup_fd(-1) == -1
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert list((tmp_path / "run").iterdir()) == []


def test_an_exception_in_the_block_ends_everything_too(isolation, tmp_path):
    with pytest.raises(KeyError), Supervisor(tmp_path / "run", isolation=isolation) as supervisor:  # noqa: PT012
        supervisor.start(spec_in(tmp_path, "--stay"))
        raise KeyError
    assert living_descendants() == []


def test_ended_children_leave_no_descriptor_open(start, ask, supervisor):
    supervisor.stop(start())
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        child = start()
        ask(child, "echo", text="")
        supervisor.stop(child)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_handler_that_ignored_a_signal_is_left_alone(tmp_path):
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Supervisor(tmp_path / "run", isolation="group"):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, previous)


def test_namespaces_that_do_not_work_are_replaced_by_a_group_and_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.supervise.supervisor.namespace_blocker", lambda: "unshare: Operation not permitted")
    with Supervisor(tmp_path / "run") as supervisor:
        assert supervisor.isolation == "group"
        assert "unshare: Operation not permitted" in supervisor.isolation_reason
        ticket = supervisor.ask(supervisor.start(spec_in(tmp_path)), "echo", {"text": ""}, deadline_s=10)
        assert supervisor.gather([ticket])[ticket] == Answer(body={"echo": ""})
    with pytest.raises(HostError, match="namespaces cannot be used here"):
        Supervisor(tmp_path / "run", isolation="namespace")


def test_a_host_that_forbids_process_namespaces_gets_a_group(tmp_path):
    code = "import sys, pathlib, bench.supervise as s; print(s.Supervisor(pathlib.Path(sys.argv[1])).isolation)"
    forbid = 'echo 0 > /proc/sys/user/max_pid_namespaces && exec "$@"'
    words = ["unshare", "--user", "--map-root-user", "/bin/sh", "-c", forbid, "-", sys.executable, "-c", code]
    done = subprocess.run([*words, str(tmp_path)], capture_output=True, text=True, check=False)
    if not done.stdout:
        pytest.skip(f"cannot be forbidden here: {done.stderr}")
    assert done.stdout == "group\n"


def test_importing_the_room_loads_no_numpy_and_no_framework():
    code = "import sys, bench.supervise; print(sorted({'numpy', 'torch', 'tensorflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
