"""One cell behind a server as all views see it."""

from __future__ import annotations

from dataclasses import dataclass

from bench.core.served import LoadPoint, Served
from bench.report.row import Row
from bench.report.settings import load_text, topology_text

#: A p99 within the objective is the same as this share of all requests within it.
_P99_SHARE = 0.99
_NOT_SERVED = Served()


@dataclass(frozen=True, kw_only=True)
class ServedRow(Row):
    """A served cell; `in_process` is the same variant without a server, None where the run has not measured it."""

    in_process: Row | None
    has_several_loads: bool

    @property
    def name(self) -> str:
        """The variant, what it is behind, and the load where the model has several."""
        load = f", {self.load}" if self.has_several_loads else ""
        return f"{self.variant} behind {self.topology}{load}"

    @property
    def topology(self) -> str:
        """The topology with the options that are given."""
        return topology_text(self.record.cell)

    @property
    def load(self) -> str:
        """How requests arrive, as the matrix says it."""
        return load_text(self.record.cell.load)

    @property
    def served(self) -> Served:
        """What is known of the deployment; nothing where there never was one."""
        return self.record.served or _NOT_SERVED

    @property
    def headline(self) -> LoadPoint | None:
        """The cell's own load, where it came so far."""
        return self.served.headline

    @property
    def ranked(self) -> LoadPoint | None:
        """The cell's own load where its numbers may be told as the server's; None otherwise."""
        return self.headline if self.is_ok and self.headline is not None and self.headline.is_valid else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What its topology says of itself, and its steps where no row in process says the same."""
        return (*self.served.notes, *(super().notes if self.in_process is None else ()))

    @property
    def standing(self) -> str:
        """In words: ok, CLIENT-LIMITED, saturated, errors, "wrong answers", "invalid: why", or the status."""
        status = self.record.outcome.status
        verdict = self.headline.verdict if self.headline is not None else "ok"
        if status == "failed" and verdict == "errors":
            return verdict
        if status != "invalid":
            return status
        if verdict not in {"ok", "invalid"}:
            return "CLIENT-LIMITED" if verdict == "client-limited" else verdict
        names = [flag.name for flag in self.record.flags if flag.name.startswith("invalid-")]
        return f"invalid: {names[0].removeprefix('invalid-').replace('-', ' ')}" if names else "invalid"

    @property
    def keeps_objective(self) -> bool | None:
        """Whether p99 is within the objective; by the share of requests in time where there is no p99 to believe.

        None: there is no objective, the numbers are not the server's, or the interval of that share holds 99 %.
        """
        point, slo_ms = self.ranked, self.served.slo_ms
        if point is None or slo_ms is None:
            return None
        if point.p99_ms.value is not None:
            return point.p99_ms.value <= slo_ms
        interval = point.goodput_ratio.interval
        if interval is None or interval.low < _P99_SHARE <= interval.high:
            return None
        return interval.low >= _P99_SHARE
