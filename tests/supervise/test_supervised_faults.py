"""What can go wrong inside a child, and how its death is told; each in both containments."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import time
from pathlib import Path

import pytest

from bench.supervise import Answer, ChildError, Death

from .conftest import living_descendants

#: Real process trees through the whole harness: seconds each.
pytestmark = pytest.mark.slow


def test_a_question_is_answered(start, ask):
    assert ask(start(), "echo", text="é\n") == Answer(body={"echo": "é\n"})


def test_a_segmentation_fault_is_told_with_its_stack(start, ask):
    death = ask(start(), "read_null_pointer")
    assert (death.status, death.signal_name, death.exit_code) == ("crashed", "SIGSEGV", None)
    assert death.reason == "SIGSEGV in read_null_pointer"
    assert "Segmentation fault" in death.log_tail
    assert "string_at" in death.log_tail


def test_abort_shows_as_what_it_is_even_in_a_process_namespace(start, ask):
    assert ask(start(), "abort").reason == "SIGABRT in abort"


@pytest.mark.parametrize("number", [signal.SIGILL, signal.SIGFPE, signal.SIGKILL, signal.SIGTERM])
def test_a_fatal_signal_is_named(start, ask, number):
    death = ask(start(), "signal", number=int(number))
    assert (death.status, death.signal_name) == ("crashed", number.name)


def test_a_death_is_placed_in_the_phase_that_was_said_last(start, ask):
    death = ask(start(), "phases")
    assert (death.phase, death.reason) == ("load", "SIGSEGV in load")


def test_an_exception_that_cannot_be_pickled_arrives_in_words_and_the_child_lives(start, ask):
    child = start()
    error = ask(child, "unpicklable")
    assert isinstance(error, ChildError)
    assert (error.type, error.status, error.culprit) == ("TwoArguments", "failed", "target")
    assert ask(child, "echo", text="alive") == Answer(body={"echo": "alive"})


def test_leaving_with_zero_but_without_a_result_is_a_failure(start, ask):
    death = ask(start(), "exit", code=0)
    assert (death.status, death.exit_code, death.reason) == ("failed", 0, "ended without a result in exit")


def test_an_exit_code_is_told_with_the_last_words(start, ask):
    death = ask(start(), "exit", code=3)
    assert (death.status, death.exit_code, death.reason) == (
        "failed",
        3,
        "exit code 3 in exit: ValueError: no such thing",
    )


@pytest.mark.parametrize("verb", ["sleep", "deadlock"])
def test_a_hang_ends_at_its_deadline_with_its_stacks_in_the_log(start, ask, verb):
    started = time.monotonic()
    death = ask(start(), verb, deadline_s=0.5)
    assert time.monotonic() - started < 4
    assert death.status == "timeout"
    assert death.reason == f"{verb} did not end within 0.5 s"
    assert "most recent call first" in death.log_tail
    assert "synthetic_child.py" in death.log_tail


def test_a_hang_in_native_code_that_ignores_sigterm_is_killed(start, ask):
    started = time.monotonic()
    death = ask(start(), "ignore_sigterm", deadline_s=0.5)
    assert (death.status, death.signal_name) == ("timeout", "SIGKILL")
    assert 2.5 < time.monotonic() - started < 8


def test_a_hang_that_keeps_talking_has_the_same_deadline(start, ask):
    started = time.monotonic()
    death = ask(start(), "chatty", deadline_s=0.5)
    assert death.status == "timeout"
    assert time.monotonic() - started < 6


def test_an_answer_after_its_deadline_does_not_count(start, ask):
    death = ask(start(), "late", seconds=0.7, deadline_s=0.4)
    assert (death.status, death.reason) == ("timeout", "late did not end within 0.4 s")


def test_the_deadline_is_told_with_the_phase(start, supervisor):
    child = start()
    first = supervisor.ask(child, "echo", {"text": ""}, deadline_s=10)
    child_phase = supervisor.ask(child, "sleep", {}, deadline_s=0.5)
    outcomes = supervisor.gather([first, child_phase])
    assert outcomes[first] == Answer(body={"echo": ""})
    assert outcomes[child_phase].status == "timeout"


def test_memory_over_the_limit_is_told_as_out_of_memory(start, ask):
    error = ask(start(memory_limit_bytes=300_000_000), "allocate", count=20)
    assert isinstance(error, ChildError)
    assert error.status == "oom"
    assert error.message.startswith("out of memory in allocate: limit 300 MB of address space")


def test_below_the_limit_nothing_is_said_of_memory(start, ask):
    assert ask(start(memory_limit_bytes=600_000_000), "allocate", count=2) == Answer(body={"kept": 2})


def test_a_native_library_that_aborts_for_lack_of_memory_is_out_of_memory(start, ask):
    death = ask(start(memory_limit_bytes=300_000_000), "allocate_in_native_code")
    assert (death.status, death.signal_name) == ("oom", "SIGABRT")
    assert "limit 300 MB of address space, peak" in death.reason
    assert death.peak_memory_bytes > 1_000_000


def test_the_same_words_without_a_limit_are_a_crash(start, ask):
    assert ask(start(), "allocate_in_native_code").status == "crashed"


def test_a_grandchild_that_keeps_stdout_open_delays_nothing(start, ask):
    started = time.monotonic()
    death = ask(start(), "keep_stdout")
    assert death.status == "failed"
    assert time.monotonic() - started < 4


def test_ten_megabytes_of_junk_are_drained_capped_and_shown_safely(start, ask, supervisor, tmp_path):
    child = start()
    assert ask(child, "junk", blocks=35) == Answer(body={})
    death = supervisor.stop(child)
    log = (tmp_path / "cell.log").read_bytes()
    assert 1_000_000 < len(log) < 1_500_000
    assert log.startswith(b"\xff\x00A")
    assert b" bytes left out ...]" in log
    assert death.log_tail.endswith("Alast � words")
    assert death.log_tail.isprintable()


def test_a_small_log_is_kept_whole(start, ask, supervisor, tmp_path):
    child = start()
    ask(child, "junk", blocks=0)
    supervisor.stop(child)
    assert (tmp_path / "cell.log").read_bytes() == b"\x1b]0;stolen title\x07\x1b[31mlast\x1b[0m \xff words\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("hello", "not JSON"),
        ('{"seq": 1, "ok": {"x": NaN}}', "not JSON"),
        ('{"seq": 1, "ok": {"x": 1e999}}', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1, 2]", "a list instead of an object"),
        ('{"seq": 7, "ok": {}}', "a question that was not asked (seq 7)"),
        ('{"seq": 1, "ok": 5}', "neither ok nor error"),
    ],
)
def test_garbage_instead_of_an_answer_is_a_failure_that_shows_it(start, ask, text, named):
    death = ask(start(), "garbage", text=text)
    assert death.status == "failed"
    assert named in death.reason
    assert len(death.reason) < 300


def test_a_line_without_end_is_cut_off(start, ask):
    death = ask(start(), "endless_line")
    assert death.status == "failed"
    assert "sent a line of more than 64 MiB" in death.reason


def test_a_child_must_say_hello_with_its_own_nonce(start, ask):
    death = ask(start("--no-hello"), "echo", text="")
    assert (death.status, death.reason) == ("failed", "in echo: spoke before it said hello with its nonce")


def test_a_child_that_hangs_up_but_stays_is_ended(start, ask):
    death = ask(start(), "hang_up")
    assert death.status == "timeout"
    assert "did not leave when its channel was closed" in death.reason


def test_a_daemon_dies_with_its_child(start, ask, supervisor):
    child = start()
    assert ask(child, "daemonise") == Answer(body={})
    (daemon,) = (process for process in living_descendants() if "time.sleep(60)" in " ".join(process.cmdline()))
    assert supervisor.stop(child).status == "ok"
    assert not daemon.is_running()


def test_a_hundred_orphans_are_reaped(start, ask):
    assert ask(start(), "zombies", count=100) == Answer(body={"zombies": 0})


def test_no_connection_leaves_a_namespace_and_loopback_works_inside(start, ask, isolation):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        child = start()
        answer = ask(child, "connect", host="127.0.0.1", port=port)
    assert answer.body["connected"] is (isolation == "group")
    assert ask(child, "loopback") == Answer(body={})


def test_no_address_outside_can_be_reached_from_a_namespace(start, ask, isolation):
    if isolation == "group":
        pytest.skip("a process group does not hide the network")
    answer = ask(start(), "connect", host="1.1.1.1", port=53)
    assert not answer.body["connected"]
    assert "unreachable" in answer.body["error"]


def test_shared_memory_is_private_in_a_namespace(start, ask, isolation):
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as ours:
        seen = ask(start(), "look").body["shared_memory"]
    assert seen == [] if isolation == "namespace" else Path(ours.name).name in seen


def test_shared_memory_that_a_child_forgets_is_gone_with_its_namespace(start, ask, isolation):
    if isolation == "group":
        pytest.skip("a process group shares /dev/shm with the machine")
    before = os.listdir("/dev/shm")
    assert ask(start(), "forget_shared_memory") == Answer(body={"exists": True})
    assert os.listdir("/dev/shm") == before


def test_a_temporary_file_is_gone_with_the_child(start, ask, supervisor, tmp_path):
    child = start()
    directory = Path(ask(child, "leave_temporary_file").body["directory"])
    assert directory.is_relative_to(tmp_path)
    supervisor.stop(child)
    assert not directory.exists()


def test_the_launcher_being_killed_from_outside_takes_all_with_it(start, ask, supervisor):
    child = start()
    ask(child, "daemonise")
    ticket = supervisor.ask(child, "sleep", {}, deadline_s=20)
    launcher = next(process for process in living_descendants() if process.ppid() == os.getpid())
    launcher.kill()
    death = supervisor.gather([ticket])[ticket]
    assert isinstance(death, Death)
    assert death.status == "crashed"
    assert living_descendants() == []
