"""How a matrix names loads: `closed`, or one kind of arrivals with its rate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, ValidationInfo, model_validator

from bench.core.cell import LoadPlan

from .locations import absolute
from .problems import Finding
from .shapes import Count, Section, refuse

Rate = Annotated[float, Field(gt=0, le=1e6)]
LoadRatio = Annotated[float, Field(gt=0, le=2)]

IN_PROCESS = LoadPlan()
#: What a served cell gets that names no load: half of what its server can do.
USUAL = LoadPlan(kind="poisson", load_ratio=0.5)


class ClosedWords(Section):
    """So many callers, each waiting for its answer before it asks again: saturation, never an honest latency."""

    concurrency: Count = 1


class RateWords(Section):
    """How often: requests per second, or a share of the most that the server can do."""

    rate_per_s: Rate | None = None
    load_ratio: LoadRatio | None = None

    @model_validator(mode="after")
    def _one_rate(self) -> RateWords:
        if (self.rate_per_s is None) == (self.load_ratio is None):
            refuse([Finding(text="needs one of rate_per_s and load_ratio")])
        return self


class BurstWords(RateWords):
    """Requests that arrive `burst_size` at once, at that rate on average."""

    burst_size: Count


class RampWords(Section):
    """Arrivals whose rate changes steadily from the one to the other, without chance."""

    rate_per_s: Rate
    end_rate_per_s: Rate


class TraceWords(Section):
    """Recorded arrivals: a .npy of seconds, or a text file with one number a line; relative to the matrix file."""

    path: str

    @model_validator(mode="after")
    def _exists(self, info: ValidationInfo) -> TraceWords:
        if info.context is not None and not Path(absolute(self.path, info.context.directory)).is_file():
            refuse([Finding(text=f"{self.path!r} is not a file", at=("path",))])
        return self


class OpenLoad(Section):
    """Arrivals that wait for nobody."""

    closed: ClosedWords | None = None
    poisson: RateWords | None = None
    constant: RateWords | None = None
    burst: BurstWords | None = None
    ramp: RampWords | None = None
    trace: TraceWords | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> OpenLoad:
        if len(self.model_fields_set) != 1:
            kinds = ", ".join(OpenLoad.model_fields)
            refuse([Finding(text=f"needs exactly one of {kinds}")])
        return self


def _tag(value: Any) -> str | None:
    """Asked of what stands in the file, and of what was made of it when that is written down."""
    return "<closed>" if isinstance(value, str) else "<kind>" if isinstance(value, dict | OpenLoad) else None


LoadWords = Annotated[
    Annotated[str, Tag("<closed>"), Field(pattern="^closed$")] | Annotated[OpenLoad, Tag("<kind>")],
    Discriminator(
        _tag,
        custom_error_type="shape",
        custom_error_message="must be closed, or one kind of arrivals: {poisson: {rate_per_s: 50}}",
    ),
]


def load_plan(load: str | OpenLoad, directory: Path) -> LoadPlan:
    """The load that the words mean; paths are seen from `directory`."""
    if isinstance(load, str):
        return IN_PROCESS
    kind = next(iter(load.model_fields_set))
    given: dict[str, Any] = getattr(load, kind).model_dump(exclude_none=True)
    if kind == "trace":
        given = {"trace_path": absolute(given["path"], directory)}
    return LoadPlan(kind=kind, **given)  # type: ignore[arg-type]  # the fields of OpenLoad are the kinds of a load
