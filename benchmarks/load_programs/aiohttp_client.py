"""An open loop as one writes it with aiohttp: a task for each request, started when it is due, timed from there."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import Any

import aiohttp


def percentiles(values: list[float]) -> list[float]:
    """The 50th and the 99th, by rank."""
    ordered = sorted(values)
    return [ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99)]


async def drive(words: dict[str, Any]) -> dict[str, Any]:
    """Send the plan; the lag is how much later than planned a task begins to send."""
    rate, duration_s = words["rate"], words["duration_s"]
    rng = random.Random(1)
    plan, at = [], 0.0
    while at < duration_s:
        plan.append(at)
        at += rng.expovariate(rate) if words["arrivals"] == "poisson" else 1 / rate
    url = f"http://127.0.0.1:{words['port']}/"
    lag_us, latency_ms, failed = [], [], 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=512)) as session:

        async def call(due: float) -> None:
            nonlocal failed
            lag_us.append((time.perf_counter() - due) * 1e6)
            try:
                async with session.post(url) as response:
                    await response.read()
                    failed += response.status != 200
            except aiohttp.ClientError:
                failed += 1
            latency_ms.append((time.perf_counter() - due) * 1e3)

        await call(time.perf_counter())
        lag_us.clear()
        latency_ms.clear()
        cpu_s, start, tasks = time.process_time(), time.perf_counter() + 0.05, []
        for offset in plan:
            pause = start + offset - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            tasks.append(asyncio.create_task(call(start + offset)))
        sending_s = time.perf_counter() - start
        await asyncio.gather(*tasks)
    return {
        "requests": len(plan),
        "failed": failed,
        "achieved_ratio": min(1.0, duration_s / sending_s),
        "lag_us": percentiles(lag_us),
        "latency_ms": percentiles(latency_ms),
        "cpu_us": (time.process_time() - cpu_s) / len(plan) * 1e6,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(drive(json.loads(sys.argv[1])))))
