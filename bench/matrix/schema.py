"""What may stand in a matrix file: its sections, strict, with unknown keys forbidden."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationInfo, model_validator

from bench.core.cell import Measurement, Serving, Tolerance

from .checks import check_chain, check_options
from .loads import LoadRatio, LoadWords
from .locations import absolute, check_inputs, check_model
from .problems import Finding, show_value
from .shapes import (
    AdapterWords,
    Context,
    Count,
    DimensionWords,
    FormatName,
    OneOrMore,
    Section,
    StepWords,
    refuse,
    words,
)
from .topologies import TopologyWords

_USUAL = Measurement()
_USUAL_SERVING = Serving()
_USUAL_TOLERANCE = Tolerance()

Ratio = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Cores = Annotated[float, Field(gt=0)]
Mib = Annotated[int, Field(ge=16)]
CpuIds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
Name = Annotated[str, Field(min_length=1)]


class ToleranceSection(Section):
    """How far outputs may be from the reference's before a variant is invalid; null: not judged."""

    relative_error: Annotated[float, Field(gt=0)] | None = _USUAL_TOLERANCE.relative_error
    """Largest absolute difference over the largest absolute reference value, per output; the worst output counts."""
    cosine: Annotated[float, Field(ge=-1, le=1)] | None = _USUAL_TOLERANCE.cosine
    """Least cosine similarity of an output."""
    top1_agreement_ratio: Ratio | None = _USUAL_TOLERANCE.top1_agreement_ratio
    """Least share of samples whose largest output is the same."""
    accuracy_loss_ratio: Ratio | None = _USUAL_TOLERANCE.accuracy_loss_ratio
    """Largest loss of accuracy on labelled samples."""
    min_size_ratio: Ratio | None = _USUAL_TOLERANCE.min_size_ratio
    """Least size on disk over the reference's: below it, weights are missing."""


class MeasurementSection(Section):
    """How much measuring to buy."""

    rounds: Annotated[int, Field(ge=1, le=1000)] = _USUAL.rounds
    """Fresh processes per cell; more are started until the verdict is decided."""
    max_rounds: Annotated[int, Field(ge=1, le=1000)] = _USUAL.max_rounds
    """Rounds after which an undecided verdict stays undecided."""
    blocks: Annotated[int, Field(ge=1, le=10_000)] = _USUAL.blocks
    """Blocks per round, alternating between the cells of a group."""
    block_min_calls: Count = _USUAL.block_min_calls
    """Least calls of a block."""
    block_min_s: Seconds = _USUAL.block_min_s
    """Least duration of a block."""
    block_max_s: Seconds = _USUAL.block_max_s
    """Duration at which a block ends with fewer calls."""
    warm_up_min_calls: Annotated[int, Field(ge=0)] = _USUAL.warm_up_min_calls
    """Least calls of the warm-up."""
    warm_up_min_s: Seconds = _USUAL.warm_up_min_s
    """Least duration of the warm-up."""
    warm_up_max_s: Seconds = _USUAL.warm_up_max_s
    """Duration at which the warm-up ends, steady or not."""
    min_effect_ratio: Ratio = _USUAL.min_effect_ratio
    """Smallest difference that is called a change."""
    equivalence_ratio: Ratio = _USUAL.equivalence_ratio
    """An interval within this distance of the reference is called the same."""
    budget_s: Annotated[float, Field(gt=0)] | None = _USUAL.budget_s
    """Time for the whole run: no further round is started once it is spent."""
    phase_deadline_s: Annotated[float, Field(gt=0, le=86_400)] = _USUAL.phase_deadline_s
    """Longest a worker may take for one phase: opening, checking, warming up, a block."""
    seed: Annotated[int, Field(ge=0)] = _USUAL.seed
    """Of inputs and schedules."""
    input_pool: Annotated[int, Field(ge=1, le=4096)] = _USUAL.input_pool
    """Distinct batches of inputs."""

    @model_validator(mode="after")
    def _bounds_in_order(self) -> MeasurementSection:
        pairs = (("rounds", "max_rounds"), ("block_min_s", "block_max_s"), ("warm_up_min_s", "warm_up_max_s"))
        refuse(
            [
                Finding(text=f"{getattr(self, low)} is more than {high}, {getattr(self, high)}", at=(low,))
                for low, high in pairs
                if getattr(self, low) > getattr(self, high)
            ]
        )
        return self


class ServingSection(Section):
    """How cells behind a server are measured."""

    slo_ms: Annotated[float, Field(gt=0)] | None = _USUAL_SERVING.slo_ms
    """Goal for the p99 of latency, from the planned time."""
    error_budget_ratio: Ratio = _USUAL_SERVING.error_budget_ratio
    """Share of requests that may fail."""
    requests: Count = _USUAL_SERVING.requests
    """Requests at the cell's own load; p99 needs thousands."""
    curve_ratios: tuple[LoadRatio, ...] = _USUAL_SERVING.curve_ratios
    """Further loads for the curve of latency over rate, as shares of the most that the server can do."""
    curve_requests: Count = _USUAL_SERVING.curve_requests
    """Requests at each of them."""
    point_max_s: Annotated[float, Field(gt=0, le=86_400)] = _USUAL_SERVING.point_max_s
    """Longest that one load is kept up, however few requests that are."""
    warm_up_s: Seconds = _USUAL_SERVING.warm_up_s
    """Closed loop before anything is measured."""
    zero_load_s: Annotated[float, Field(gt=0, le=3600)] = _USUAL_SERVING.zero_load_s
    """One caller alone: the latency without any queue."""
    saturation_step_s: Annotated[float, Field(gt=0, le=3600)] = _USUAL_SERVING.saturation_step_s
    """Closed loop at 2, 4, 8 ... callers: the most that the server can do."""
    max_concurrency: Count = _USUAL_SERVING.max_concurrency
    """Most callers of that closed loop."""
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = _USUAL_SERVING.timeout_s
    """A request that takes longer has failed."""
    start_deadline_s: Annotated[float, Field(gt=0, le=86_400)] = _USUAL_SERVING.start_deadline_s
    """Longest that a server may take to be ready."""


def _tag_of_source(value: Any) -> str | None:
    return "<format>" if isinstance(value, str) else "<ways>" if isinstance(value, dict) else None


class VariantSection(Section):
    """A chain of steps and the adapter that runs the result."""

    source: Annotated[
        Annotated[FormatName, Tag("<format>")]
        | Annotated[dict[FormatName, tuple[StepWords, ...]], Tag("<ways>"), Field(min_length=1)],
        Discriminator(
            _tag_of_source,
            custom_error_type="shape",
            custom_error_message="must be a format, or a mapping of formats to the steps that each needs first",
        ),
    ]
    """The format to start from; or several, each with the steps it needs first: the first one the model offers is
    taken."""
    steps: tuple[StepWords, ...] = ()
    """Optimizers and converters, in order."""
    adapter: AdapterWords
    """The runtime that runs the result."""
    tolerance: ToleranceSection | None = None
    """Overrides the model's tolerance."""

    @property
    def ways(self) -> dict[str, tuple[Any, ...]]:
        """Source format -> the whole chain of steps from it."""
        sources: dict[str, tuple[Any, ...]] = {self.source: ()} if isinstance(self.source, str) else dict(self.source)
        return {format: (*first, *self.steps) for format, first in sources.items()}

    @model_validator(mode="after")
    def _formats_fit(self, info: ValidationInfo) -> VariantSection:
        if info.context is not None:
            refuse([finding for format in self.ways if (finding := self._misfit(format)) is not None])
        return self

    def _misfit(self, format: str) -> Finding | None:
        chain = [words(item)[0] for item in self.ways[format]]
        misfit = check_chain(format, chain, words(self.adapter)[0])
        if misfit is None:
            return None
        index, text = misfit
        first = len(chain) - len(self.steps)
        if index == len(chain):
            return Finding(text=text, at=("adapter",))
        return Finding(text=text, at=("source", format, index) if index < first else ("steps", index - first))


class ModelVariantSection(Section):
    """What is special to a variant of this model."""

    tolerance: ToleranceSection | None = None
    """Overrides the model's and the variant's tolerance."""


def _tag_of_variants(value: Any) -> str | None:
    return "<names>" if isinstance(value, list) else "<mapping>" if isinstance(value, dict) else None


class ModelSection(Section):
    """A model: empty for one of the zoo."""

    path: str | None = None
    """Any model file or directory, or file.py:function; relative to the matrix file."""
    inputs: str | None = None
    """Your own samples: .npz, .npy or .jsonl, relative to the matrix file."""
    examples: str | None = None
    """Samples that steps may learn from (calibration, pruning), in the same form; none may be among `inputs`."""
    trust: bool = False
    """You vouch for a format that runs code when it is loaded."""
    null: dict[str, Any] | None = None
    """No model: what the null adapter imitates."""
    reference: str | None = None
    """The variant that ratios are taken against; the first one when absent."""
    variants: (
        Annotated[
            Annotated[tuple[str, ...], Tag("<names>"), Field(min_length=1)]
            | Annotated[dict[str, ModelVariantSection | None], Tag("<mapping>"), Field(min_length=1)],
            Discriminator(
                _tag_of_variants,
                custom_error_type="shape",
                custom_error_message="must be a list of variants, or a mapping of variants to what is special to them",
            ),
        ]
        | None
    ) = None
    """Which variants; every one that starts from a format of this model when absent."""
    tolerance: ToleranceSection | None = None
    """How far this model's variants may be from its reference."""
    dimensions: dict[Name, DimensionWords] = Field(default={})
    """Sizes of named dynamic dimensions; they replace those of the whole matrix."""

    @model_validator(mode="after")
    def _is_one_model(self, info: ValidationInfo) -> ModelSection:
        findings = []
        if self.path is not None and self.null is not None:
            findings.append(Finding(text="a model with a path is not a null model", at=("null",), at_key=True))
        if self.trust and self.path is None:
            findings.append(Finding(text="only a model with a path needs trust", at=("trust",), at_key=True))
        if info.context is not None:
            findings += self._findings_in(info.context)
        refuse(findings)
        return self

    def _findings_in(self, context: Context) -> list[Finding]:
        findings = [
            Finding(
                text=f"{show_value(name)} is not a known variant",
                at=at,
                at_key=True,
                wrong=name,
                known=context.variants,
            )
            for at, name in self._named_variants()
            if name not in context.variants
        ]
        chosen = tuple(self.variants or ())
        if self.reference is not None and chosen and self.reference not in chosen:
            text = f"{show_value(self.reference)} is not among the variants of this model"
            findings.append(Finding(text=text, at=("reference",), wrong=self.reference, known=chosen))
        for key, check in (("path", check_model), ("inputs", check_inputs), ("examples", check_inputs)):
            written = getattr(self, key)
            if written is not None:
                findings += [Finding(text=f.text, at=(key,)) for f in check(written, context.directory)]
        if self.examples is not None and self.inputs is not None and _same_file(self, context):
            text = "is the file of `inputs`: what a step learned from must not judge its result"
            findings.append(Finding(text=text, at=("examples",)))
        if self.null is not None:
            findings += [replace(f, at=("null", *f.at)) for f in check_options("adapters", "null", self.null)]
        return findings

    def _named_variants(self) -> list[tuple[tuple[str | int, ...], str]]:
        listed = isinstance(self.variants, tuple)
        return [(("variants", i if listed else name), name) for i, name in enumerate(self.variants or ())]


def _same_file(section: ModelSection, context: Context) -> bool:
    paths = (Path(absolute(str(path), context.directory)) for path in (section.inputs, section.examples))
    try:
        inputs, examples = (path.resolve() for path in paths)
    except (OSError, ValueError):
        return False  # told by the check of each file
    return inputs == examples


class AxesSection(Section):
    """Axes of the whole matrix: every value with every other. null: not limited."""

    batch: Annotated[tuple[Count, ...], Field(min_length=1)] = (1,)
    """Samples per call."""
    threads: Annotated[tuple[Count, ...], Field(min_length=1)] = (1,)
    """Size of every thread pool of the runtime."""
    topology: Annotated[tuple[TopologyWords, ...], Field(min_length=1)] = ("direct",)
    """How the model is reached: a name, or a name with options, of which each may be a list of alternatives."""
    load: Annotated[tuple[LoadWords, ...], Field(min_length=1)] | None = None
    """How requests arrive at servers; Poisson at half of what each can do when absent. In process: one caller."""
    cpu_ids: Annotated[tuple[CpuIds | None, ...], Field(min_length=1)] = (None,)
    """Sets of cores the model may use, such as [[0], [0, 1]]."""
    cpu_quota_cores: Annotated[tuple[Cores | None, ...], Field(min_length=1)] = (None,)
    """CPU time per wall time."""
    memory_limit_mib: Annotated[tuple[Mib | None, ...], Field(min_length=1)] = (None,)
    """Memory of the model's processes."""


class RuleSection(Section):
    """Which cells: patterns on names, values of axes; every key must agree, and of a list any one."""

    model: OneOrMore[str] | None = None
    """Pattern on the model's name, such as mini*."""
    variant: OneOrMore[str] | None = None
    """Pattern on the variant's name, such as onnx*."""
    batch: OneOrMore[Count] | None = None
    threads: OneOrMore[Count] | None = None
    topology: OneOrMore[TopologyWords] | None = None
    """A topology; with options, only where they are the same."""
    load: OneOrMore[LoadWords] | None = None
    cpu_ids: CpuIds | None = None
    cpu_quota_cores: OneOrMore[Cores] | None = None
    memory_limit_mib: OneOrMore[Mib] | None = None
    dimensions: dict[Name, DimensionWords] = Field(default={})

    @model_validator(mode="after")
    def _says_something(self) -> RuleSection:
        if not self.model_fields_set:
            refuse([Finding(text="names nothing: say which cells")])
        return self


class MatrixFile(Section):
    """A deploybench matrix: which models, in which variants, under which conditions, measured how long."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    """Version of this format."""
    name: Name | None = None
    """Shown in reports; the file's name when absent."""
    models: Annotated[dict[Name, ModelSection | None], Field(min_length=1)]
    """What is measured, by name: a name of the zoo, or any name for a model with a path."""
    variants: dict[Name, VariantSection] = Field(default={})
    """Variants by name; they come before the standard ones of the same name."""
    axes: AxesSection = AxesSection()
    """Every value is combined with every other."""
    dimensions: dict[Name, DimensionWords] = Field(default={})
    """Sizes of named dynamic dimensions, for all models; a list is an axis."""
    include: tuple[RuleSection, ...] = ()
    """Further cells: the product again, with the axes given here instead, for the models and variants that match."""
    exclude: tuple[RuleSection, ...] = ()
    """Cells to leave out."""
    measurement: MeasurementSection = MeasurementSection()
    """How much measuring to buy."""
    serving: ServingSection = ServingSection()
    """How cells behind a server are measured."""


def schema() -> dict[str, Any]:
    """JSON schema of a matrix file, for editors."""
    made = MatrixFile.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}
