"""Served cells of null models, for tests of the whole way from a matrix to a record."""

from __future__ import annotations

SERVING = """
serving:
  requests: 200
  curve_ratios: []
  point_max_s: 2
  warm_up_s: 0.05
  zero_load_s: 0.2
  saturation_step_s: 0.1
  max_concurrency: 4
  timeout_s: 0.5
  start_deadline_s: 4
"""


def served_matrix(topology: str, *, model: str = "service_ms: 0.05", load: str = "poisson: {rate_per_s: 150}") -> str:
    """A matrix of one null model behind one topology, in words of the matrix."""
    return f"""
schema: 1
name: served
models:
  m: {{null: {{{model}}}, variants: [plain]}}
variants:
  plain: {{source: "null", adapter: "null"}}
axes:
  topology: [{topology}]
  load: [{{{load}}}]
measurement:
  rounds: 2
  max_rounds: 2
  blocks: 3
  block_min_calls: 3
  block_min_s: 0.002
  warm_up_min_calls: 2
  warm_up_min_s: 0.005
  warm_up_max_s: 0.1
  input_pool: 6
  phase_deadline_s: 20
{SERVING}"""
