"""The program between the supervisor and a child: makes its namespaces, starts it under its limits, tends it.

Stands alone with the standard library and is run without site packages, so that it starts in milliseconds. It talks
to the supervisor over a SOCK_SEQPACKET pair:

- the first packet from the supervisor is the request (JSON), each later one a signal number in one byte;
- packets to the supervisor are JSON: `ready` (sent by the payload itself, so that the kernel attaches its process id),
  `running` after exec, `error`, and `exit` with the payload's wait status;
- when the supervisor's end closes, for whatever reason, everything here is killed.

In a process-id namespace the tender is process 1: its end is the end of all others. Otherwise it is their subreaper
and kills its direct children until there are none; orphans become its children, so none escapes.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import time

TYPE_CHECKING = False  # as in typing, whose import would cost every child 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_REQUEST_MAX_BYTES = 1 << 20
_SWEEP_PAUSE_S = 0.002
_OOM_SCORE = "500"  # when memory runs out, the kernel shall end the payload and not the run

# linux/prctl.h, linux/sched.h, linux/mount.h, linux/sockios.h, linux/if.h
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_CLONE_NEWNS, _CLONE_NEWIPC, _CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = (
    0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = 0x2, 0x4, 0x8, 0x4000, 0x40000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1

_libc = ctypes.CDLL(None, use_errno=True)


def main(control_fd: int) -> None:
    """Read the request, build the containment, tend the payload until its tree is gone."""
    control = socket.socket(fileno=control_fd)
    control.set_inheritable(False)
    request = json.loads(control.recv(_REQUEST_MAX_BYTES) or b"null")
    if request is None:  # the supervisor died before it could ask
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the supervisor's packets and its death count
    try:
        if request["isolation"] == "namespace":
            _enter_namespaces(request)
            if (init := os.fork()) != 0:
                control.close()
                os.close(request["result_fd"])  # or the supervisor would never see that the payload closed its own
                os.waitpid(init, 0)  # returns when all of the namespace is gone: that is what the supervisor waits for
                return
            _die_with_parent()
            _furnish_namespaces(own_network=request["network"] == "private")
        else:
            _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")
        _tend(control, request)
    except Exception as error:  # noqa: BLE001  whatever it is, the supervisor must hear of it
        _say(control, error=str(error) or type(error).__name__)


def _check(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def _write(path: str, line: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, line.encode())
    except OSError as error:  # the kernel does not say which file it refused
        raise OSError(error.errno, f"{path}: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _die_with_parent() -> None:
    """SIGKILL when the thread that forked us ends; a change of credentials would forget it, so it comes after one."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def _say(control: socket.socket, **message: Any) -> None:
    try:
        control.send(json.dumps(message).encode())
    except OSError:  # the supervisor is gone; the tender's loop sees it too
        return


# ---------------------------------------------------------------------------------------------------------- namespaces


def _enter_namespaces(request: Mapping[str, Any]) -> None:
    """New mount, process and ipc namespaces, in a user namespace of our own when we may not otherwise; and a network
    namespace, unless the host's is to be used or another child's is joined."""
    kinds = _CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWIPC
    if request["network"] == "private":
        kinds |= _CLONE_NEWNET
    for descriptor, kind in request["joined_fds"]:  # a user namespace comes first: it gives the right to the other
        _check(_libc.setns(descriptor, kind), "setns")
        os.close(descriptor)
    if _libc.unshare(kinds) != 0:
        user, group = os.geteuid(), os.getegid()
        _check(_libc.unshare(kinds | _CLONE_NEWUSER), "unshare")
        for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            _write(f"/proc/self/{name}", line)
    _die_with_parent()


def _furnish_namespaces(*, own_network: bool) -> None:
    """A /proc of this process namespace, an empty /dev/shm that vanishes with it, and a loopback that is up."""
    _mount(b"none", b"/", b"none", _MS_REC | _MS_PRIVATE, b"")  # or the next mounts would show outside
    _mount(b"proc", b"/proc", b"proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, b"")
    if os.path.isdir("/dev/shm"):  # noqa: S108  the real one is what must be hidden
        _mount(b"tmpfs", b"/dev/shm", b"tmpfs", _MS_NOSUID | _MS_NODEV, b"mode=1777")
    if not own_network:
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        fcntl.ioctl(probe, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def _mount(source: bytes, target: bytes, kind: bytes, flags: int, options: bytes) -> None:
    _check(_libc.mount(source, target, kind, ctypes.c_ulong(flags), options), f"mount {target.decode()}")


# -------------------------------------------------------------------------------------------------------------- payload


def _start_payload(control: socket.socket, request: Mapping[str, Any]) -> int:
    """Fork and exec; returns the process id once the program really runs, OSError says what failed before."""
    tender = os.getpid()
    failure_reader, failure_writer = os.pipe()
    payload = os.fork()
    if payload == 0:
        try:
            _become(request, tender, control)
        except BaseException as error:  # noqa: BLE001  a forked copy must never return into the tender's code
            os.write(failure_writer, f"{type(error).__name__}: {error}".encode()[:4000])
        finally:
            os._exit(127)
    os.close(failure_writer)
    with open(failure_reader, "rb") as stream:
        failure = stream.read()  # ends at exec, because the writer is closed by it
    if failure:
        os.waitpid(payload, 0)
        raise OSError(failure.decode(errors="replace"))
    os.close(request["result_fd"])
    _say(control, running=True)
    return payload


def _become(request: Mapping[str, Any], tender: int, control: socket.socket) -> None:
    """Turn this forked copy into the payload: own session, limits, then exec."""
    os.setsid()
    _die_with_parent()
    if os.getppid() != tender:  # it died before the line above could take effect
        os._exit(127)
    # Nothing inside may gain rights by a set-user-id program: the tender could not kill it any more.
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _write("/proc/self/oom_score_adj", _OOM_SCORE)
    for number in signal.valid_signals():  # what a shell's background job or nohup ignores is inherited too
        if signal.getsignal(number) not in {signal.SIG_DFL, None}:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.chdir(request["working_dir"])
    os.set_inheritable(request["result_fd"], request["speaks"])
    _say(control, ready=True)
    arguments = list(request["argv"])
    if request["speaks"]:
        arguments += ["--fd", str(request["result_fd"])]
    for name, value in request["orders"].items():  # last, since a tight limit may not even leave room for this program
        _ORDERS[name](value)
    os.execvpe(arguments[0], arguments, request["environment"])  # noqa: S606


def _cap_address_space(limit_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


def _set_cpu_ids(cpu_ids: list[int]) -> None:
    os.sched_setaffinity(0, cpu_ids)


_ORDERS: Mapping[str, Callable[[Any], None]] = {"cpu_ids": _set_cpu_ids, "address_space_bytes": _cap_address_space}


# -------------------------------------------------------------------------------------------------------------- tending


def _tend(control: socket.socket, request: Mapping[str, Any]) -> None:
    """Reap whatever ends, pass signals on, and when the payload ends or the supervisor is gone, kill the rest."""
    wake_reader, wake_writer = os.pipe()
    os.set_blocking(wake_reader, False)
    os.set_blocking(wake_writer, False)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # only its wake-up byte matters
    try:
        payload = _start_payload(control, request)
        poller = select.poll()
        poller.register(control, select.POLLIN)
        poller.register(wake_reader, select.POLLIN)
        while not _payload_ended(payload, control):
            ready = {descriptor for descriptor, _ in poller.poll()}
            if wake_reader in ready:
                os.read(wake_reader, 4096)
            if control.fileno() in ready and not _obey(control, payload):
                break
    finally:
        if request["isolation"] == "group":
            _sweep()


def _obey(control: socket.socket, payload: int) -> bool:
    """Pass one signal on to the payload's process group (a stack dump to the payload alone); False: no supervisor."""
    try:
        packet = control.recv(1)
    except ConnectionError:
        return False
    if not packet:
        return False
    # The payload is not reaped yet, so its number cannot belong to anybody else.
    if packet[0] == signal.SIGUSR1:
        os.kill(payload, signal.SIGUSR1)
    else:
        os.killpg(payload, packet[0])
    return True


def _payload_ended(payload: int, control: socket.socket) -> bool:
    """Reap all that has ended; tell the supervisor when the payload is among them."""
    while True:
        pid, status, usage = os.wait4(-1, os.WNOHANG)
        if pid == 0:
            return False
        if pid == payload:
            _say(control, exit=status, peak_bytes=usage.ru_maxrss * 1024)
            return True


def _sweep() -> None:
    """Kill direct children until there are none: the children of a killed one become ours, so the loop ends."""
    while True:
        for pid in _direct_children():
            os.kill(pid, signal.SIGKILL)  # ours and not reaped yet, so the number is still its own
        try:
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        except ChildProcessError:
            return
        time.sleep(_SWEEP_PAUSE_S)


def _direct_children() -> list[int]:
    own, found = str(os.getpid()), []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", errors="replace") as stream:
                    parent = stream.read().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if parent == own:
                found.append(int(name))
    return found
