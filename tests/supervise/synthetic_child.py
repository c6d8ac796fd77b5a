"""A child without any framework that speaks the protocol and has one fault per verb."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

faulthandler.enable()
faulthandler.register(signal.SIGUSR1, all_threads=True, chain=False)
pair = socket.socket(fileno=int(sys.argv[-1]))
pair.set_inheritable(False)


def say(**message):
    pair.sendall(json.dumps(message).encode() + b"\n")


class TwoArguments(Exception):
    def __init__(self, one, two):
        super().__init__(one, two)


def unpicklable(request):
    raise TwoArguments("left", lambda: "right")


def allocate(request):
    kept = [bytearray(50_000_000) for _ in range(request["count"])]
    return {"kept": len(kept)}


def allocate_in_native_code(request):
    sys.stderr.write("terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def chatty(request):
    while True:
        os.write(1, b"still here\n")


def keep_stdout(request):
    subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    os._exit(0)


def junk(request):
    block = b"\xff\x00A" * 100_000
    for _ in range(request["blocks"]):
        os.write(1, block)
    os.write(1, b"\x1b]0;stolen title\x07\x1b[31mlast\x1b[0m \xff words\n")
    return {}


DAEMON = """
import os, time
if os.fork(): os._exit(0)
os.setsid()
middle = os.getpid()
if os.fork(): os._exit(0)
while os.getppid() == middle: time.sleep(0.001)
os.write(1, b"loose")
time.sleep(60)
"""


def daemonise(request):
    with subprocess.Popen([sys.executable, "-S", "-c", DAEMON], stdout=subprocess.PIPE) as process:
        process.stdout.read(5)
    return {}


def zombies(request):
    for _ in range(request["count"]):
        subprocess.run(["/bin/sh", "-c", "true & exit 0"], check=True)
    time.sleep(0.3)
    states = [
        Path(f"/proc/{name}/stat").read_text(errors="replace").rpartition(")")[2].split()
        for name in os.listdir("/proc")
        if name.isdigit() and Path(f"/proc/{name}/stat").exists()
    ]
    return {"zombies": sum(fields[0] == "Z" and fields[1] == str(os.getppid()) for fields in states)}


def connect(request):
    try:
        socket.create_connection((request["host"], request["port"]), timeout=2).close()
    except OSError as error:
        return {"connected": False, "error": str(error)}
    return {"connected": True}


def loopback(request):
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=2).close()
    return {}


def deadlock(request):
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def ignore_sigterm(request):
    signal.signal(signal.SIGTERM, lambda *_: None)
    ctypes.PyDLL(None).sleep(60)


def look(request):
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "cpu_ids": sorted(os.sched_getaffinity(0)),
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd")),
        "schedstat": [Path(f"/proc/self/task/{task}/schedstat").read_text() for task in os.listdir("/proc/self/task")],
        "shared_memory": os.listdir("/dev/shm"),
        "environment": dict(os.environ),
        "sigpipe": str(signal.getsignal(signal.SIGPIPE)),
    }


def garbage(request):
    pair.sendall(request["text"].encode() + b"\n")
    time.sleep(60)


def endless_line(request):
    while True:
        pair.sendall(b"x" * 1_000_000)


def hang_up(request):
    os.close(pair.fileno())
    time.sleep(60)


def late(request):
    time.sleep(request["seconds"])
    return {"late": True}


def phases(request):
    say(phase="import")
    say(phase="load")
    os.kill(os.getpid(), signal.SIGSEGV)


def forget_shared_memory(request):
    path = Path("/dev/shm/deploybench-test")
    path.write_text("forgotten")
    return {"exists": path.exists()}


def read_null_pointer(request):
    ctypes.string_at(0)


def leave_temporary_file(request):
    Path(os.environ["TMPDIR"], "left").write_text("behind")
    return {"directory": os.environ["TMPDIR"]}


VERBS = {
    "echo": lambda request: {"echo": request["text"]},
    "unpicklable": unpicklable,
    "read_null_pointer": read_null_pointer,
    "abort": lambda request: os.abort(),
    "signal": lambda request: os.kill(os.getpid(), request["number"]),
    "exit": lambda request: (
        sys.stderr.write("ValueError: no such thing\n"),
        sys.stderr.flush(),
        os._exit(request["code"]),
    ),
    "sleep": lambda request: time.sleep(60),
    "deadlock": deadlock,
    "ignore_sigterm": ignore_sigterm,
    "chatty": chatty,
    "allocate": allocate,
    "allocate_in_native_code": allocate_in_native_code,
    "keep_stdout": keep_stdout,
    "junk": junk,
    "daemonise": daemonise,
    "zombies": zombies,
    "connect": connect,
    "loopback": loopback,
    "look": look,
    "garbage": garbage,
    "endless_line": endless_line,
    "hang_up": hang_up,
    "late": late,
    "phases": phases,
    "forget_shared_memory": forget_shared_memory,
    "leave_temporary_file": leave_temporary_file,
}

if "--no-hello" not in sys.argv:
    say(hello=os.environ["DEPLOYBENCH_NONCE"], pid=os.getpid())
for line in pair.makefile("rb"):
    question = json.loads(line)
    try:
        answer = VERBS[question["ask"]](question)
        say(seq=question["seq"], ok=answer)
    except Exception as error:  # noqa: BLE001
        name = type(error).__name__
        say(seq=question["seq"], error={"type": name, "message": f"{name}: {error}", "hint": "", "culprit": "target"})
if "--stay" in sys.argv:
    time.sleep(60)
