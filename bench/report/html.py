"""The HTML report: one file, every script and style named by its hash, nothing fetched from anywhere."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from bench.core.errors import StoreError
from bench.core.units import format_bytes, format_ms, format_ratio, format_seconds

from . import headline as headlines
from . import words
from .figures import SLOTS, Figure, tails
from .headline import headline
from .inside import read_inside
from .reading import Report, Section
from .row import Row
from .served import ServedRow
from .served import page as served
from .served import words as served_words
from .served.details import LOAD_COLUMNS
from .tails import TailCurve, tail_curve
from .tradeoff import tradeoff

#: Of the interval beside each ratio, in pixels; the template draws it.
_BAR_WIDTH = 64
_BAR_MARGIN = 5
#: plotly.js adds a style sheet of MapLibre, which no figure here needs, unless an element has this id.
_UNNEEDED_STYLE = re.compile(
    r'if\(!document\.getElementById\("([0-9a-f]{64})"\)\)\{var \w+=document\.createElement\("style"\)'
)
_NUMBERS = re.compile(r"(\[[\d.–]+\]|\[[-+±\d.]+, [-+±\d.]+\]|\b[\d.]+e-\d+)")


@dataclass
class _Figures:
    """The figures of a page in order, and why one is missing."""

    shown: list[Figure] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def number(self, figure: Figure) -> int:
        """Take a figure into the page and tell its place."""
        self.shown.append(figure)
        return len(self.shown) - 1


def page(report: Report) -> str:
    """The whole page as text."""
    slots = {row.record.cell_id: place for section in report.sections for place, row in enumerate(section.rows)}
    slots |= {
        row.record.cell_id: section.topologies.index(row.topology) for section in report.served for row in section.rows
    }
    environment = _environment()
    figures = _Figures()
    context = {
        "report": report,
        "words": words,
        "slots": {cell_id: place % SLOTS for cell_id, place in slots.items()},
        "verdicts": [(section, headline(section), _tradeoff(section, figures)) for section in report.sections],
        "headlines": headlines,
        "served": [served.entry(section, slots, figures.number) for section in report.served],
        "served_words": served_words,
        "load_columns": LOAD_COLUMNS,
        "has_labels": any(section.has_labels for section in report.sections),
        "inside": read_inside(report.run, report.sections),
        "tails": list(_tails(report, slots, figures)),
        "figure_problems": figures.problems,
        "bars": _bars(report),
        "bar_width": _BAR_WIDTH,
        "counts": _counts(report),
        "environment_rows": list(_flat(report.run.manifest.environment)),
        "worker_variables": _worker_variables(report),
        "commands": {row.record.cell_id: _commands(report, row) for _, row in report.rows},
    }
    style = _source(environment, "report.css")
    scripts = [*([_plotly_js()] if figures.shown else []), _source(environment, "report.js")]
    rendered: str = environment.get_template("report.html").render(
        context,
        style=style,
        scripts=scripts,
        figures=[
            {key: figure[key] for key in ("kind", "data", "layout", "labels") if key in figure}
            for figure in figures.shown
        ],
        policy=_policy(style, scripts),
        unneeded_style_ids=_UNNEEDED_STYLE.findall(scripts[0]),
    )
    return rendered


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bench.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Every text that is shown goes through here, so that no name can steer or turn a line.
        finalize=lambda value: words.printable(value) if type(value) is str else value,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    filters: dict[str, Callable[..., str]] = {
        "bytes": format_bytes,
        "ms": format_ms,
        "seconds": lambda value: words.NOTHING if value is None else format_seconds(value),
        "ratio": format_ratio,
        "unbroken": _unbroken,
        "lines": lambda text: Markup("\n").join(words.printable_lines(text).split("\n")),
    }
    environment.filters.update(filters)
    return environment


def _unbroken(text: str) -> Markup:
    """A sentence whose numbers and intervals stay on one line."""
    pieces = _NUMBERS.split(words.printable(text))
    return Markup("").join(
        Markup('<span class="unbroken">{}</span>').format(piece) if place % 2 else piece
        for place, piece in enumerate(pieces)
    )


def _source(environment: jinja2.Environment, name: str) -> str:
    assert environment.loader is not None  # noqa: S101  made above
    return environment.loader.get_source(environment, name)[0]


@cache
def _plotly_js() -> str:
    from plotly.offline import get_plotlyjs

    # The browser hashes what its parser made of the text: line ends are one character there.
    source: str = get_plotlyjs().replace("\r\n", "\n").replace("\r", "\n")
    return source.replace("</script", "<\\/script")


def _policy(style: str, scripts: list[str]) -> str:
    """Nothing but these scripts and styles; the empty style is the one that plotly.js fills with rules of its own."""
    script_hashes = " ".join(_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {script_hashes}; style-src {_hash(style)} {_hash('')}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _tradeoff(section: Section, figures: _Figures) -> tuple[Section, Figure, int] | None:
    figure = tradeoff(section)
    if figure is None:
        return None
    return section, figure, figures.number(figure)


def _tails(report: Report, slots: Mapping[str, int], figures: _Figures) -> Iterator[tuple[Section, Figure, int]]:
    for section in report.sections:
        curves: list[tuple[Row, TailCurve]] = []
        for row in section.rows:
            if row.record.samples is None:
                continue
            try:
                curves.append((row, tail_curve(report.run.path, row.record.samples)))
            except (StoreError, ValueError) as error:
                figures.problems.append(f"{section.label} {row.variant}: {error}")
        if curves:
            figure = tails(curves, slots)
            yield section, figure, figures.number(figure)


def _bars(report: Report) -> dict[str, dict[str, float]]:
    """Where each ratio's interval lies, in pixels; a section's rows share one logarithmic scale."""
    bars: dict[str, dict[str, float]] = {}
    for section in report.sections:
        ratios = {row.record.cell_id: row.ratio for row in section.rows}
        bounds = {
            cell_id: (ratio.interval.low, ratio.value, ratio.interval.high)
            for cell_id, ratio in ratios.items()
            if ratio.interval is not None and ratio.value is not None
        }
        ends = [math.log(value) for values in bounds.values() for value in values]
        low, high = max(min(ends, default=0), -5.0) - 0.1, min(max(ends, default=0), 5.0) + 0.1
        low, high = min(low, -0.1), max(high, 0.1)
        for cell_id, values in bounds.items():
            places = [_place(math.log(value), low, high) for value in (1.0, *values)]
            bars[cell_id] = dict(zip(("one", "low", "value", "high"), places, strict=True))
    return bars


def _place(value: float, low: float, high: float) -> float:
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    return round(_BAR_MARGIN + (_BAR_WIDTH - 2 * _BAR_MARGIN) * share, 1)


def _counts(report: Report) -> str:
    statuses = [row.record.outcome.status for _, row in report.rows]
    return ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and values of nested JSON; lists of pairs are walked like objects, lists of objects by place."""
    if isinstance(value, list) and value and all(isinstance(item, list) and len(item) == 2 for item in value):
        value = {str(key): inner for key, inner in value}
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        value = {str(place): item for place, item in enumerate(value, start=1)}
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        yield name, ", ".join(map(str, value)) or words.NOTHING
    elif isinstance(value, bool):
        yield name, "yes" if value else "no"
    else:
        yield name, words.NOTHING if value in {None, ""} else str(value)


def _worker_variables(report: Report) -> list[tuple[str, str]]:
    """The variables that workers were given; several values where cells differ."""
    values: dict[str, list[str]] = {}
    for _, row in report.rows:
        for name, value in row.record.in_force.worker_environment:
            if value not in values.setdefault(name, []):
                values[name].append(value)
    return [(name, " or ".join(found)) for name, found in sorted(values.items())]


def _commands(report: Report, row: Row) -> tuple[str, str]:
    """How to measure the cell again, and how to run its first worker by hand.

    The second is empty where it never had one, and where it is served: its workers need each other.
    """
    cell_id = row.record.cell_id
    job = report.run.jobs_dir / f"{cell_id}.r0.json"
    has_job = job.exists() and not isinstance(row, ServedRow)
    replay = shlex.join(["python", "-m", "bench", "replay", str(report.run.path), cell_id])
    return replay, shlex.join(["python", "-m", "bench.worker", str(job)]) if has_job else ""
