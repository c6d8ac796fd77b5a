"""The shared memory between a front and its workers, with both ends in this process."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bench.core.serving import Identity
from servers.batching import Full
from servers.config import ServerConfig
from servers.front.area import SLOT_BYTES
from servers.front.config import FrontConfig
from servers.front.jobs import Hello, Reply, ReplyHead
from servers.front.memory_consumer import MemoryConsumer
from servers.front.memory_dispatcher import MemoryDispatcher
from servers.front.transport import HeadTooLarge, Taken
from servers.front.waiting import Waiting
from tests.servers.http_servers import null_service

NONCE = "0123456789abcdef"


def config_in(directory: Path, *, workers: int = 1, max_waiting: int = 8, timeout_s: float = 20.0) -> FrontConfig:
    server = ServerConfig(
        service=null_service(directory),
        nonce=NONCE,
        counters_dir=str(directory),
        port=0,
        max_waiting=max_waiting,
        address=f"deploybench-test-{secrets.token_hex(8)}",
    )
    return FrontConfig(server=server, transport="shared_memory", workers=workers, timeout_s=timeout_s)


def hello(worker: int, nonce: str = NONCE) -> Hello:
    return Hello(worker=worker, identity=Identity(nonce=nonce, artifact_id="0" * 64, pid=worker))


def echo(taken: Taken) -> bytes:
    return taken.job.body


class Front:
    """The front's end, in the loop of the test, and workers in threads."""

    def __init__(self, config: FrontConfig) -> None:
        self._config = config
        self.threads: list[threading.Thread] = []
        self.waiting = Waiting(config)
        self.dispatcher = MemoryDispatcher(config, self.waiting)

    async def ask(self, body: bytes) -> Reply:
        request = ("POST", "/v1/predict", (("a", "b"),))
        return await self.waiting.ask(self.dispatcher.dispatch, request, body, time.perf_counter_ns())

    async def work(self, worker: int = 0, answer: Callable[[Taken], bytes] = echo) -> None:
        """Start a worker that leaves when the front has ended, or when `answer` raises StopIteration."""
        self.threads.append(threading.Thread(target=self._serve, args=(worker, answer)))
        self.threads[-1].start()
        async with asyncio.timeout(5):
            while self.waiting.worker(worker) is None:  # noqa: ASYNC110  the front tells nobody
                await asyncio.sleep(0.001)

    def _serve(self, worker: int, answer: Callable[[Taken], bytes]) -> None:
        consumer = MemoryConsumer(self._config)
        consumer.attach(hello(worker))
        with contextlib.suppress(ConnectionError, StopIteration):
            while taken := consumer.take(None):
                head = ReplyHead(number=taken.job.head.number, status=200, headers=(("worker", str(worker)),))
                consumer.answer(taken, Reply(head=head, body=answer(taken)))
        consumer.close()


@contextlib.asynccontextmanager
async def opened(config: FrontConfig) -> AsyncIterator[Front]:
    front = Front(config)
    await front.dispatcher.open()
    sweeper = asyncio.create_task(front.waiting.sweep())
    try:
        yield front
    finally:
        sweeper.cancel()
        await front.dispatcher.close()
        for thread in front.threads:
            thread.join(5)


@pytest.mark.parametrize("length", [0, 1, 49_152, SLOT_BYTES, SLOT_BYTES + 1, 5 * SLOT_BYTES])
def test_a_body_of_any_size_goes_to_a_worker_and_back(tmp_path: Path, length: int) -> None:
    config = config_in(tmp_path)
    body = secrets.token_bytes(length)

    async def scenario() -> Reply:
        async with opened(config) as front:
            await front.work()
            return await front.ask(body)

    reply = asyncio.run(scenario())
    assert reply.body == body
    assert reply.head.status == 200
    assert reply.head.headers == (("worker", "0"),)


def test_a_worker_gets_path_and_headers_and_knows_when_it_got_them(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    seen: list[Taken] = []

    async def scenario() -> None:
        async with opened(config) as front:
            await front.work(0, lambda taken: (seen.append(taken), b"")[1])
            await front.ask(b"x")

    before_ns = time.perf_counter_ns()
    asyncio.run(scenario())
    (taken,) = seen
    head = taken.job.head
    assert (head.method, head.path, head.headers) == ("POST", "/v1/predict", (("a", "b"),))
    assert before_ns < taken.job.head.received_ns < taken.dequeued_ns < time.perf_counter_ns()


def test_a_small_body_can_be_answered_with_a_large_one_and_the_slot_is_used_again(tmp_path: Path) -> None:
    config = config_in(tmp_path, max_waiting=0)  # one slot in all
    large = secrets.token_bytes(3 * SLOT_BYTES)

    async def scenario() -> list[Reply]:
        async with opened(config) as front:
            await front.work(0, lambda taken: large if taken.job.body == b"large" else b"small")
            return [await front.ask(body) for body in (b"large", b"other", b"large", b"other")]

    assert [reply.body for reply in asyncio.run(scenario())] == [large, b"small", large, b"small"]


def test_idle_workers_pull_so_the_load_is_even(tmp_path: Path) -> None:
    config = config_in(tmp_path, workers=3, max_waiting=64)

    async def scenario() -> list[Reply]:
        async with opened(config) as front:
            for worker in range(3):
                await front.work(worker, lambda taken: (time.sleep(0.001), b"")[1])

            async def client() -> list[Reply]:
                return [await front.ask(b"x") for _ in range(50)]

            return [reply for replies in await asyncio.gather(*(client() for _ in range(6))) for reply in replies]

    counts = Counter(reply.head.headers for reply in asyncio.run(scenario()))
    assert sum(counts.values()) == 300
    assert all(abs(count - 100) <= 10 for count in counts.values()), counts


def test_one_slow_answer_holds_up_nobody_who_can_go_to_another_worker(tmp_path: Path) -> None:
    config = config_in(tmp_path, workers=2)
    release = threading.Event()

    async def scenario() -> None:
        async with opened(config) as front:
            for worker in range(2):
                await front.work(
                    worker, lambda taken: b"slow" if taken.job.body == b"slow" and release.wait(20) else b""
                )
            slow = asyncio.create_task(front.ask(b"slow"))
            for _ in range(20):
                await asyncio.wait_for(front.ask(b"fast"), 5)
            assert not slow.done()
            release.set()
            assert (await slow).body == b"slow"

    asyncio.run(scenario())


def test_more_than_may_wait_is_refused_at_once(tmp_path: Path) -> None:
    config = config_in(tmp_path, max_waiting=2)
    release = threading.Event()

    async def scenario() -> None:
        async with opened(config) as front:
            await front.work(0, lambda taken: b"answered" if release.wait(20) else b"")
            asked = [asyncio.create_task(front.ask(b"x")) for _ in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(Full):
                await front.ask(b"x")
            release.set()
            assert [reply.body for reply in await asyncio.gather(*asked)] == [b"answered"] * 3

    asyncio.run(scenario())


def test_a_head_that_workers_would_not_read_is_refused_and_takes_no_slot(tmp_path: Path) -> None:
    config = config_in(tmp_path, max_waiting=0)
    request = ("POST", "/v1/predict", (("a", "\xe4" * 50_000),))

    async def scenario() -> Reply:
        async with opened(config) as front:
            await front.work()
            with pytest.raises(HeadTooLarge):
                await front.waiting.ask(front.dispatcher.dispatch, request, b"", time.perf_counter_ns())
            return await front.ask(b"x")

    assert asyncio.run(scenario()).head.status == 200


def test_what_a_worker_had_when_it_ended_is_answered_with_503_and_it_is_no_longer_counted(tmp_path: Path) -> None:
    config = config_in(tmp_path, workers=2)

    def die(taken: Taken) -> bytes:
        raise StopIteration

    async def scenario() -> tuple[Reply, Reply]:
        async with opened(config) as front:
            await front.work(0, die)
            lost = await front.ask(b"x")
            assert front.waiting.workers == ()
            await front.work(1)
            return lost, await front.ask(b"y")

    lost, answered = asyncio.run(scenario())
    assert (lost.head.status, lost.body) == (503, b'{"error":"the worker that had the request has ended"}')
    assert (answered.head.status, answered.body) == (200, b"y")


def test_what_no_worker_answers_in_time_is_answered_with_504(tmp_path: Path) -> None:
    config = config_in(tmp_path, timeout_s=0.05)
    release = threading.Event()

    async def scenario() -> Reply:
        async with opened(config) as front:
            await front.work(0, lambda taken: b"late" if release.wait(20) else b"")
            reply = await front.ask(b"x")
            release.set()
            return reply

    reply = asyncio.run(scenario())
    assert (reply.head.status, reply.body) == (504, b'{"error":"no worker answered within 0.05 s"}')


def test_a_worker_of_another_start_is_not_let_in(tmp_path: Path) -> None:
    config = config_in(tmp_path)

    async def scenario() -> None:
        async with opened(config) as front:
            consumer = await asyncio.to_thread(MemoryConsumer, config)
            consumer.attach(hello(0, nonce="another"))
            await asyncio.sleep(0.05)
            assert front.waiting.workers == ()
            consumer.close()

    asyncio.run(scenario())


def test_workers_see_at_once_that_the_front_has_ended(tmp_path: Path) -> None:
    config = config_in(tmp_path, workers=2)

    async def scenario() -> Front:
        async with opened(config) as front:
            for worker in range(2):
                await front.work(worker)
        return front

    front = asyncio.run(scenario())
    assert len(front.threads) == 2
    assert not any(thread.is_alive() for thread in front.threads)
