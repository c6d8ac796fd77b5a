"""Is a server there, and is it the one that was started: single questions with short patience, never a load."""

from __future__ import annotations

import http.client
import json
import socket
import time

from bench.core.errors import TargetError
from bench.core.serving import IDENTITY_PATH, LOOPBACK, Endpoint, Probe

_PATIENCE_S = 1.0
_PAUSE_S = 0.01
_ANSWER_BYTES = 64 << 10
_SHOWN_CHARS = 120


def probe_for(probe: Probe, seconds: float) -> str:
    """Repeat the probe until it holds or the time is up; empty when it holds, else what was seen last."""
    give_up_at = time.monotonic() + seconds
    while seen := _seen(probe):
        if time.monotonic() >= give_up_at:
            return seen
        time.sleep(_PAUSE_S)
    return ""


def _seen(probe: Probe) -> str:
    try:
        if probe.kind == "tcp":
            socket.create_connection((LOOPBACK, probe.port), timeout=_PATIENCE_S).close()
            return ""
        status, body = _get(LOOPBACK, probe.port, probe.path)
    except (OSError, http.client.HTTPException) as error:
        return f"port {probe.port}: {error}"
    if status != http.client.OK or probe.expects not in body:
        return f"port {probe.port}{probe.path} answered {status}: {body[:_SHOWN_CHARS]!r}"
    return ""


def identity(endpoint: Endpoint) -> dict[str, object]:
    """What the server says of itself; TargetError when it says nothing that is an identity."""
    port = endpoint.identity_port
    if port is None:
        raise TargetError(f"port {endpoint.port}: a server that is not ours cannot prove who it is")
    try:
        status, body = _get(endpoint.host, port, IDENTITY_PATH)
        told = json.loads(body)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise TargetError(f"port {port}: it does not say who it is: {error}", hint=_DECOY) from error
    if status != http.client.OK or not isinstance(told, dict):
        raise TargetError(f"port {port}: it does not say who it is: status {status}", hint=_DECOY)
    return told


_DECOY = "another program answers on this port: end it, or let the run choose ports by leaving it to itself"


def _get(host: str, port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE_S)
    try:
        connection.request("GET", path, headers={"connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read(_ANSWER_BYTES).decode(errors="replace")
    finally:
        connection.close()
