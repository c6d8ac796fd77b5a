"""The rules for a served cell as a whole: what server and client counted must agree, and nothing may be remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.core.results import Flag
from bench.core.served import Served

from .validity import ALL, in_order

_CACHING_RATIO = 1.10
_UNBALANCED_RATIO = 1.5
_REQUESTS_PER_WORKER = 20  # fewer say nothing about how requests are shared out
AGREEMENTS = ("bitwise", "within tolerance")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientCounts:
    """What the client counted over all its requests to the servers, warm-up and checks included.

    `unanswered` were sent and brought no answer of any status: timed out, disconnected, or cut short.
    """

    sent: int
    answered: int  # with a good status
    unanswered: int = 0


def judge_server(served: Served, counts: ClientCounts | None = None) -> tuple[Flag, ...]:
    """All flags that the cell earns beside those of its loads, in the order of `SERVED_FLAGS`.

    Without `counts`, or without the server's own, the counts are not compared.
    """
    return in_order([*(flag for rule in _RULES for flag in rule(served)), *_counts(served, counts)])


def _restarted(served: Served) -> list[Flag]:
    text = (
        f"{served.restarts} server processes were started again while the cell was measured: some requests met a cold"
        " model; read the servers' logs, and look for a memory limit"
    )
    return [Flag(name="invalid-server-restarted", text=text, affects=ALL)] if served.restarts else []


def _agreement(served: Served) -> list[Flag]:
    if not served.agreement or served.agreement in AGREEMENTS:
        return []
    text = (
        f"served outputs differ from the variant's in process: {served.agreement}; check encoding, names and order of"
        " the tensors"
    )
    return [Flag(name="invalid-agreement", text=text, affects=ALL)]


def _caching(served: Served) -> list[Flag]:
    ratio = served.caching_ratio
    if ratio.interval is None or ratio.interval.low <= _CACHING_RATIO:
        return []
    text = (
        f"{ratio.value:.2f} times as slow on an input that is new to the server: answers are remembered by input; turn"
        " the cache of the server or of a proxy off"
    )
    return [Flag(name="invalid-caching", text=text, affects=ALL)]


def _unbalanced(served: Served) -> list[Flag]:
    answered = [count for _, count in served.worker_counts]
    if len(answered) < 2 or sum(answered) < _REQUESTS_PER_WORKER * len(answered):
        return []
    share = sum(answered) / len(answered)
    text = (
        f"one of {len(answered)} workers answered {max(answered) / share:.1f} times its share: connections were not"
        " spread over them; use more connections, or a balancer"
    )
    affects = ("p90_ms", "p95_ms", "p99_ms", "achieved_per_s")
    if max(answered) <= _UNBALANCED_RATIO * share:
        return []
    return [Flag(name="noisy-unbalanced-workers", text=text, affects=affects)]


def _co_located(served: Served) -> list[Flag]:
    text = (
        "client and server share processors, so each slows the other: compare with cells measured the same way only, or"
        " give both processors of their own on a machine that has four"
    )
    return [Flag(name="noisy-co-located", text=text, affects=ALL)] if served.co_located else []


def _counts(served: Served, counts: ClientCounts | None) -> list[Flag]:
    if counts is None:
        return []
    flags, received, answered = [], served.server_received, served.server_answered
    if received is not None and not counts.sent - counts.unanswered <= received <= counts.sent:
        text = (
            f"the client sent {counts.sent} requests ({counts.unanswered} without an answer), the servers received"
            f" {received}: somebody else asks them, or something in front of them answers or repeats requests"
        )
        flags.append(Flag(name="invalid-counts-mismatch", text=text, affects=ALL))
    if answered is not None and answered > counts.answered + counts.unanswered:
        text = (
            f"the servers gave {answered} answers, the client got {counts.answered} and misses {counts.unanswered}:"
            " answers get lost between them; look at the front"
        )
        flags.append(Flag(name="invalid-missing-answers", text=text, affects=ALL))
    if answered is not None and answered < counts.answered:
        text = (
            f"the client got {counts.answered} answers, the servers gave {answered}: answers come twice, or from others"
        )
        flags.append(Flag(name="invalid-duplicate-answers", text=text, affects=ALL))
    return flags


_RULES: tuple[Callable[[Served], list[Flag]], ...] = (_restarted, _agreement, _caching, _unbalanced, _co_located)
