"""Answer the parent's requests one by one until it hangs up."""

from __future__ import annotations

import os
import traceback
from typing import Any

from bench.core.errors import BenchError
from bench.core.job import Job

from .channel import Channel
from .jobs import performer

_MESSAGE_CHARS = 2000
_TRACEBACK_CHARS = 20_000


def describe_error(error: BaseException) -> dict[str, Any]:
    """An exception as plain words; foreign ones carry their type, ours their culprit and hint."""
    described = {
        "type": type(error).__name__,
        "message": f"{type(error).__name__}: {error}"[:_MESSAGE_CHARS],
        "hint": "",
        "culprit": "target",
        "traceback": "".join(traceback.format_exception(error))[-_TRACEBACK_CHARS:],
    }
    if isinstance(error, BenchError):
        described |= {"message": error.message[:_MESSAGE_CHARS], "hint": error.hint or "", "culprit": error.culprit}
    return described


def serve(job: Job, channel: Channel) -> int:
    """Say hello, then answer until the parent closes its end."""
    channel.hello(os.environ.get("DEPLOYBENCH_NONCE", ""))
    worker = performer(job)
    for request in channel.requests():
        try:
            answer = worker.ask(request["ask"], request, channel.phase)
        except Exception as error:  # noqa: BLE001  whatever a plug-in raises becomes an answer, never a lost worker
            channel.send({"seq": request["seq"], "error": describe_error(error)})
        else:
            channel.send({"seq": request["seq"], "ok": answer})
    return 0
