"""Joins cells with what can run here: every cell is runnable, or it has a reason and a way out."""

from __future__ import annotations

from bench.plan.planner import Plan, PlannedCell, make_plan

__all__ = ["Plan", "PlannedCell", "make_plan"]
