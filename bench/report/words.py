"""Each fact of a cell as a short text, the same in every view; and foreign text made safe to show."""

from __future__ import annotations

import re
import unicodedata

from bench.core.artifact import Options
from bench.core.results import Accuracy, Estimate, Fidelity, Outcome, OutputFidelity
from bench.core.units import (
    format_bytes,
    format_ms,
    format_ms_between,
    format_percent,
    format_percent_between,
    format_points,
    format_ratio,
    format_ratio_between,
    format_seconds,
)

from .reading import FlagNote, Footnote, Report, Section
from .row import Row, speed_up, worst
from .served import ServedSection

NOTHING = "–"
#: Statuses with a next step that is not a repair: nothing broke.
NOT_RUN = ("skipped", "refused", "cancelled")

#: What a status says of a cell, as the end of a sentence.
_ENDED = {
    "invalid": "is invalid",
    "oom": "ran out of memory",
    "timeout": "timed out",
    **{status: f"was {status}" for status in NOT_RUN},
}
_BROKE_IN = ("failed", "crashed", "oom", "timeout")
#: More statistics than a cell in process has: a flag that taints so many taints all of a load.
_MOST_NAMED = 8
_CALLS_NEEDED = re.compile(r"needs (?:about )?(\d+) calls")
#: Control, surrogate and unassigned characters, and format characters, among them those that turn the direction.
_UNSAFE = {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}


def printable(text: str, *, most_chars: int = 4000) -> str:
    """`text` without characters that steer a terminal or turn the line around: blanks for white space, else `\ufffd`.

    Cut to `most_chars`, with an ellipsis.
    """
    shown = text if len(text) <= most_chars else text[: most_chars - 1] + "…"
    return "".join(_printable_character(character) for character in shown)


def printable_lines(text: str) -> str:
    """Several lines, each printable."""
    return "\n".join(printable(line) for line in text.splitlines())


def _printable_character(character: str) -> str:
    if character in "\t\n\r\v\f":
        return " "
    return "\ufffd" if unicodedata.category(character) in _UNSAFE else character


def p50_text(row: Row) -> str:
    """Median latency with its interval."""
    statistics = row.record.statistics
    return latency_text(statistics.p50_ms) if statistics is not None else NOTHING


def latency_text(estimate: Estimate) -> str:
    """A latency with its interval where it has one."""
    if estimate.value is None or estimate.interval is None:
        return format_ms(estimate.value)
    return format_ms_between(estimate.value, estimate.interval.low, estimate.interval.high)


def ratio_text(row: Row) -> str:
    """The time over the reference's, with its interval."""
    if row.record.is_reference and row.record.statistics is not None:
        return "1x"
    return _ratio_text(row.ratio)


def _ratio_text(estimate: Estimate, meaning: str = "") -> str:
    """The ratio, what it means, its interval."""
    meaning = f" {meaning}" if meaning else ""
    if estimate.value is None or estimate.interval is None:
        return format_ratio(estimate.value) + meaning
    ratio, interval = format_ratio_between(estimate.value, estimate.interval.low, estimate.interval.high).split(" ")
    return f"{ratio}{meaning} {interval}"


def turned_ratio_text(row: Row, meaning: str) -> str:
    """How many times as fast it is as its reference, what that means, and the interval."""
    return _ratio_text(speed_up(row), meaning)


def p99_text(row: Row) -> str:
    """The 99th percentile where there is evidence for it, else how many calls it would take, or that it is void."""
    statistics = row.record.statistics
    if statistics is None:
        return NOTHING
    if statistics.p99_ms.value is not None:
        return format_ms(statistics.p99_ms.value)
    if statistics.p99_ms.reason.startswith("not valid"):
        return "not valid"
    needed = _CALLS_NEEDED.search(statistics.p99_ms.reason)
    return f"needs ~{needed[1]} calls" if needed else "no evidence"


def fidelity_text(row: Row) -> str:
    """How close its outputs are to the reference's, by the measure that its tolerance judges."""
    fidelity = row.record.fidelity
    if fidelity is None:
        return NOTHING
    if row.record.is_reference and fidelity.passed:
        return "reference"
    if not fidelity.outputs:
        return "not comparable"
    not_finite = sum(output.not_finite for output in fidelity.outputs)
    if not_finite and not fidelity.passed:
        return f"{not_finite} not finite"
    for measure in _measures(row):
        text = _fidelity_by(measure, fidelity)
        if text:
            return text
    return "not comparable"


def closeness_text(row: Row) -> str:
    """The cosine of its worst output with the reference's; the judged measure where there is no cosine."""
    return (_fidelity_by("cosine", row.record.fidelity) if row.record.fidelity else "") or fidelity_text(row)


def output_text(output: OutputFidelity) -> str:
    """All measures of one output."""
    measures = (
        ("relative error", output.relative_error, "{:.2g}"),
        ("largest error", output.max_abs_error, "{:.2g}"),
        ("mean error", output.mean_abs_error, "{:.2g}"),
        ("cosine", output.cosine, "{:.6f}"),
        ("top-1 agreement", output.top1_agreement_ratio, "{:.2%}"),
    )
    told = [f"{name} {form.format(value)}" for name, value, form in measures if value is not None]
    not_finite = [f"{output.not_finite} of {output.values} values not finite"] if output.not_finite else []
    return ", ".join([*told, *not_finite]) or "not comparable"


def _measures(row: Row) -> tuple[str, ...]:
    """Names of fields of OutputFidelity, the one to show first; those that the tolerance judges before the others."""
    tolerance = row.tolerance
    if tolerance is None or tolerance.relative_error is not None:
        return ("relative_error", "top1_agreement_ratio", "cosine")
    if tolerance.cosine is not None:
        return ("cosine", "top1_agreement_ratio", "relative_error")
    return ("top1_agreement_ratio", "cosine", "relative_error")


def _fidelity_by(measure: str, fidelity: Fidelity) -> str:
    value = worst(fidelity.outputs, measure)
    if value is None:
        return ""
    if measure == "relative_error":
        return "identical" if value == 0 else f"error {value:.2g}"
    if measure == "cosine":
        return "cosine >0.9999" if 0.99995 <= value < 1 else f"cosine {value:.4f}"
    return f"top-1 {format_percent(value)}"


def accuracy_text(accuracy: Accuracy | None) -> str:
    """The share of labelled samples that came out right, with its interval."""
    if accuracy is None or accuracy.ratio.value is None:
        return NOTHING
    interval = accuracy.ratio.interval
    if interval is None:
        return format_percent(accuracy.ratio.value)
    return format_percent_between(accuracy.ratio.value, interval.low, interval.high)


def accuracy_change_text(accuracy: Accuracy) -> str:
    """How many points more or fewer than the reference, on the same samples."""
    change = (accuracy.variant_only_right - accuracy.reference_only_right) / accuracy.total
    return f"{format_points(change)} points of {accuracy.metric}"


def how_it_ended(outcome: Outcome) -> str:
    """What became of a cell that is not ok, where and why, in one line."""
    return f"{ending(outcome)}: {outcome.reason}" if outcome.reason else ending(outcome)


def ending(outcome: Outcome) -> str:
    """What became of a cell that is not ok, as the end of a sentence."""
    where = f" in {outcome.phase}" if outcome.phase and outcome.status in _BROKE_IN else ""
    return _ENDED.get(outcome.status, outcome.status) + where


def row_verdict(section: Section, row: Row) -> str:
    """What was found about a variant, in one sentence that begins after its name."""
    reference = section.reference.variant if section.reference is not None else "its reference"
    match row.standing:
        case "reference":
            return f"is the reference: {p50_text(row)}"
        case "faster":
            found = f"is {turned_ratio_text(row, f'as fast as {reference}')}"
        case "slower":
            found = f"takes {_ratio_text(row.ratio, f'the time of {reference}')}"
        case "same":
            found = f"is as fast as {reference}: {ratio_text(row)} its time"
        case "inconclusive":
            found = f"is too close to {reference} to call: {ratio_text(row)} its time"
        case "not compared":
            found = f"was not compared with {reference}: {p50_text(row)}"
        case _:
            return how_it_ended(row.record.outcome)
    return ", ".join([found, *_judgements(row)])


def _judgements(row: Row) -> list[str]:
    """Fidelity and accuracy as far as they were judged."""
    record = row.record
    parts = []
    if record.fidelity is not None:
        closeness = fidelity_text(row).replace("error", "relative error").replace("identical", "identical outputs")
        parts += [closeness, "passes" if record.fidelity.passed else "fails"]
    if record.accuracy is not None:
        parts.insert(0, accuracy_change_text(record.accuracy))
    return parts


def cells_text(note: FlagNote | Footnote) -> str:
    """The cells of a note as `model: variants`, or a whole section by its name alone."""
    names: dict[int, list[str]] = {}
    sections: dict[int, Section | ServedSection] = {}
    for section, row in note.cells:
        sections[id(section)] = section
        names.setdefault(id(section), []).append(row.name)
    return "; ".join(_section_cells_text(sections[key], found) for key, found in names.items())


def _section_cells_text(section: Section | ServedSection, names: list[str]) -> str:
    if not len(names) == len(section.rows) > 1:
        return f"{section.label}: {', '.join(names)}"
    served = " behind a server" if isinstance(section, ServedSection) else ""
    return f"{section.label}: all {len(names)}{served}"


def affects_text(note: FlagNote) -> str:
    """The statistics that a flag taints, without their units."""
    if len(note.affects) > _MOST_NAMED:
        return "all numbers of the load"
    names = (name.removesuffix("_ms").removesuffix("_per_s") for name in note.affects)
    return ", ".join(name.replace("_", " ") for name in names)


def recipe_text(row: Row) -> str:
    """How the variant is made and run: source, steps with options, adapter."""
    variant = row.record.cell.variant
    chain = [variant.source, *(step.name + _options_text(step.options) for step in variant.steps)]
    return f"{' → '.join(chain)}, run by {variant.adapter}{_options_text(variant.adapter_options)}"


def _options_text(options: Options) -> str:
    return f" ({', '.join(f'{name}={value}' for name, value in options)})" if options else ""


def made_text(row: Row) -> str:
    """What its artifact cost, which is known even where it did not run."""
    built = "" if row.build_s is None else f", built in {format_seconds(row.build_s)}"
    return f"{format_bytes(row.size_bytes)}{built}"


def unfinished_text(report: Report) -> str:
    """How much of the plan has no record yet; empty when all of it has."""
    missing, planned = len(report.missing_cell_ids), len(report.run.manifest.planned_cell_ids)
    if not missing:
        return ""
    return f"unfinished: {missing} of {planned} cells are not measured yet; the same command measures only these"


def method_text(report: Report) -> str:
    """What the intervals and ratios of this run are."""
    confidences = sorted({row.ratio.interval.confidence for _, row in report.rows if row.ratio.interval is not None})
    levels = " or ".join(format_percent(confidence).replace(".0 ", " ") for confidence in confidences) or "95 %"
    return (
        "p50 with its 95 % interval over fresh processes; time ratio to the reference of the same model: below 1 is "
        f"faster, from the quarter points (p25) of blocks run in turn, interval at {levels}, which leaves room for "
        "every look at the data"
    )
