"""`bench plan` on ten thousand cells: little memory, nothing heavy imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FRAMEWORKS = {"tensorflow", "keras", "torch", "onnx", "onnxruntime", "openvino", "transformers", "jax", "numpy"}
MEMORY_BYTES = 200_000_000
_PLAN = """
import json, re, sys, time
started = time.perf_counter()
from bench.cli.main import main
code = main(["plan", sys.argv[1], "--json"])
print(json.dumps({
    "code": code,
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
    # Not ru_maxrss, in which the peak of the process that started this one lives on.
    "peak_bytes": 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]),
    "elapsed_s": time.perf_counter() - started,
}), file=sys.stderr)
"""


def test_ten_thousand_cells_are_planned_in_little_memory_without_a_framework(tmp_path: Path) -> None:
    matrix = tmp_path / "many.yaml"
    matrix.write_text(
        "schema: 1\nname: many\n"
        "models: {digits: {variants: [keras, torch, frozen, onnx, onnx-int8]}}\n"
        f"axes: {{threads: [1, 2, 3, 4], batch: [{', '.join(map(str, range(1, 501)))}]}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", _PLAN, str(matrix)],
        cwd=ROOT,
        env={**os.environ, "DEPLOYBENCH_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    seen = json.loads(done.stderr.splitlines()[-1])
    print(f"10 000 cells: {seen['elapsed_s']:.2f} s, {seen['peak_bytes'] / 1e6:.0f} MB")  # noqa: T201  what it is run for
    assert seen["code"] == 0
    cells = json.loads(done.stdout)["cells"]
    assert len({cell["id"] for cell in cells}) == 10_000
    assert {cell["status"] for cell in cells} <= {"planned", "skipped"}
    assert all(cell["reason"] and cell["hint"] for cell in cells if cell["status"] == "skipped")
    assert FRAMEWORKS.isdisjoint(seen["modules"])
    assert seen["peak_bytes"] < MEMORY_BYTES
