from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.records import RunDirectory
from bench.report import write_html
from tests.report.quantized import write_quantized_run
from tests.report.served_runs import write_served_run
from tests.report.synthetic import HOSTILE_NAMES, write_named_run

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(_CHROMIUM is None, reason="no chromium here: apt-get install chromium"),
]


@dataclass(frozen=True)
class Visit:
    """What the browser said, fetched and made of a page."""

    console: list[str]
    requests: list[str]
    dom: str


def visit(page: Path) -> Visit:
    # Not in pytest's directory: the path of a socket in there would be too long for the kernel.
    with tempfile.TemporaryDirectory(prefix="report-") as name:
        return _visit(page, Path(name))


def _visit(page: Path, scratch: Path) -> Visit:
    assert _CHROMIUM is not None
    net_log = scratch / "net.json"
    process = subprocess.Popen(
        [
            _CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-dev-shm-usage",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={scratch / 'profile'}",
            f"--log-net-log={net_log}", "--window-size=1300,6000", "--enable-logging=stderr", "--v=0",
            "--virtual-time-budget=10000", "--dump-dom", page.as_uri(),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(scratch), "HOME": str(scratch)},
    )  # fmt: skip
    try:
        dom, said = process.communicate(timeout=50)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    events = [event.get("params", {}) for event in json.loads(net_log.read_text())["events"]]
    # The browser asks for things of its own, too (the time, updates); those come from no page.
    fetched = {event["url"] for event in events if event.get("initiator", "not an origin") != "not an origin"}
    return Visit(
        console=[line for line in said.splitlines() if ":CONSOLE" in line],
        requests=sorted(url for url in fetched if not url.startswith(("file:", "data:"))),
        dom=dom,
    )


def test_the_page_draws_all_figures_without_an_error_and_without_the_network(synthetic: RunDirectory) -> None:
    seen = visit(write_html(synthetic.path))

    assert seen.console == []
    assert seen.requests == []
    assert seen.dom.count('data-drawn="yes"') == 8
    assert seen.dom.count('class="main-svg"') >= 8


def test_every_marker_of_a_trade_off_has_its_label_beside_it(tmp_path: Path) -> None:
    run = write_quantized_run(tmp_path)

    seen = visit(write_html(run.path))

    assert seen.console == []
    assert seen.requests == []
    drawn = seen.dom.split("<script")[0]
    labels = re.findall(r'<text class="annotation-text"[^>]*>([^<]*)</text>', drawn)
    assert len(labels) == drawn.count('class="annotation"') == 34, "all but what has no time"
    assert "openvino-bf16: ship" in labels
    assert "binarized (invalid, -46.9 points)" in labels


def test_curves_and_bars_of_servers_are_drawn_with_the_objective(tmp_path: Path) -> None:
    seen = visit(write_html(write_served_run(tmp_path).path))

    assert seen.console == []
    assert seen.requests == []
    drawn = seen.dom.split("<script")[0]
    assert drawn.count('data-drawn="yes"') == 5, "slow calls, and curves and bars of two models"
    assert drawn.count(">objective 50 ms<") == 2
    assert "2 workers)" in drawn


def test_hostile_names_run_nothing(tmp_path: Path) -> None:
    run = write_named_run(tmp_path, HOSTILE_NAMES)

    seen = visit(write_html(run.path))

    assert seen.console == []
    assert seen.requests == []
    assert "<img" not in seen.dom.split("<script")[0]


def test_what_a_page_does_wrong_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><img src=http://127.0.0.1:9/x.png><script>nothing.there</script>")

    seen = visit(page)

    assert seen.requests == ["http://127.0.0.1:9/x.png"]
    assert any("ReferenceError" in line for line in seen.console)
