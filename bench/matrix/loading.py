"""From a file, a text or a model's path to a Matrix."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import msgspec

from bench.core import plugins
from bench.core.canonical import digest
from bench.core.cell import Group, Measurement, Serving, Tolerance
from bench.core.errors import MatrixError
from bench.formats.detect import detect_format, split_callable

from .document import parse, read_text
from .expand import expand
from .locations import absolute, require_utf8
from .matrix import Matrix
from .overrides import apply_sets
from .problems import Problems, Source, printable, suggestion
from .resolve import ResolvedModel, resolve_models
from .schema import MatrixFile
from .selection import select
from .validation import validate

#: What `--quick` buys at most: enough to see that everything runs and which variants are far apart, no more.
QUICK: Mapping[str, float] = {
    "rounds": 2,
    "max_rounds": 2,
    "blocks": 5,
    "block_min_calls": 5,
    "block_min_s": 0.02,
    "block_max_s": 0.5,
    "warm_up_min_calls": 3,
    "warm_up_min_s": 0.1,
    "warm_up_max_s": 2.0,
    "budget_s": 60.0,
    "input_pool": 4,
}
#: The same for cells behind a server.
QUICK_SERVING: Mapping[str, float] = {
    "requests": 300,
    "curve_requests": 100,
    "point_max_s": 5.0,
    "warm_up_s": 0.3,
    "zero_load_s": 0.5,
    "saturation_step_s": 0.3,
    "max_concurrency": 8,
}
_FROM_TEXT = "<matrix>"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Words:
    """What the command line adds to a matrix."""

    sets: Sequence[str]
    only: Sequence[str]
    quick: bool
    trusted: Sequence[str]


def load(
    path_or_text: Path | str,
    *,
    sets: Sequence[str] = (),
    only: Sequence[str] = (),
    quick: bool = False,
    trusted: Sequence[str] = (),
) -> Matrix:
    """Read, check and expand a matrix; a string with a line break is the matrix itself, anything else is a path.

    `sets` are `a.b=c` overrides, `only` are patterns on cell ids, `model.variant` or models (the reference of every
    selected group stays), `quick` buys less measuring, `trusted` are paths of models that the user vouches for.
    MatrixError.problems holds one message per mistake, each with its place.
    """
    is_text = isinstance(path_or_text, str) and "\n" in path_or_text
    path = None if is_text else Path(path_or_text)
    text = str(path_or_text) if path is None else read_text(path)
    source = Source(name=_FROM_TEXT if path is None else printable(str(path)))
    data, problems = parse(text, source)
    directory = Path.cwd() if path is None else path.absolute().parent
    given = _Words(sets=sets, only=only, quick=quick, trusted=trusted)
    return _Loader(data, source, problems, directory, given).matrix(path, text)


def matrix_for_model(
    model: str,
    *,
    inputs: str = "",
    sets: Sequence[str] = (),
    only: Sequence[str] = (),
    quick: bool = False,
    trusted: Sequence[str] = (),
) -> Matrix:
    """The matrix of one model, a path or a zoo name: its unmodified form as reference, and what can be made of it.

    `inputs` is the user's own .npz, .npy or .jsonl; `inputs` and a path are relative to the working directory.
    """
    here = Path.cwd()
    location = absolute(model, here)
    for path in (location, inputs):
        require_utf8(path)
    body: dict[str, Any] = {"inputs": absolute(inputs, here)} if inputs else {}
    if _is_zoo_name(model, location):
        name = model
    else:
        detect_format(location)
        callable_parts = split_callable(location)
        name = callable_parts[1] if callable_parts else Path(location).stem or "model"
        body["path"] = location
    data = {"schema": 1, "name": name, "models": {name: body}}
    source = Source(name=printable(model))
    given = _Words(sets=sets, only=only, quick=quick, trusted=trusted)
    text = json.dumps(data, ensure_ascii=False, indent=2)
    return _Loader(data, source, Problems(source), here, given).matrix(None, text)


def _is_zoo_name(model: str, location: str) -> bool:
    """A file of that name goes before the zoo; what is neither gets a suggestion where it looks like a name."""
    known = plugins.table("models")
    looks_like_a_name = model.replace("_", "").replace("-", "").isalnum()
    if not looks_like_a_name or Path(location).exists():
        return False
    if model not in known:
        raise MatrixError(
            f"{model} is neither a file nor a model of the zoo{suggestion(model, known)}", hint="bench list models"
        )
    return True


class _Loader:
    def __init__(self, data: Any, source: Source, problems: Problems, directory: Path, words: _Words) -> None:
        self._data = data
        self._source = source
        self._problems = problems
        self._directory = directory
        self._words = words

    def matrix(self, path: Path | None, text: str) -> Matrix:
        if isinstance(self._data, dict):
            apply_sets(self._data, self._words.sets, self._source, self._problems)
        checked = validate(self._data, self._directory, self._problems)
        trusted = frozenset(absolute(location, Path.cwd()) for location in self._words.trusted)
        models = resolve_models(checked, self._directory, trusted, self._problems)
        self._problems.raise_if_any()
        groups = expand(checked, models, self._directory, self._problems)
        self._problems.raise_if_any()
        groups = select(groups, self._words.only)
        measurement, serving = self._measurement(checked), self._serving(checked)
        tolerances = _tolerances(groups, models)
        name = checked.name or (path.stem if path is not None else "matrix")
        return Matrix(
            name=name,
            path=path,
            text=text,
            groups=groups,
            measurement=measurement,
            serving=serving,
            tolerances=tolerances,
            resolved=_resolved(name, self._data, checked, models, (measurement, serving), self._words),
            digest=_digest(groups, measurement, serving, tolerances),
        )

    def _measurement(self, checked: MatrixFile) -> Measurement:
        return Measurement(**self._bought("measurement", checked.measurement.model_dump(), QUICK))

    def _serving(self, checked: MatrixFile) -> Serving:
        return Serving(**self._bought("serving", checked.serving.model_dump(), QUICK_SERVING))

    def _bought(self, section: str, wanted: dict[str, Any], quick: Mapping[str, float]) -> dict[str, Any]:
        """The settings of a section; with `--quick` at most so much, unless `--set` says otherwise."""
        for name, most in quick.items() if self._words.quick else ():
            if self._source.override_around((section, name)) != (section, name):
                wanted[name] = most if wanted[name] is None else min(wanted[name], most)
        return wanted


def _tolerances(groups: Sequence[Group], models: Sequence[ResolvedModel]) -> dict[tuple[str, str], Tolerance]:
    by_model = {model.ref.name: model.tolerances for model in models}
    pairs = dict.fromkeys((cell.model.name, cell.variant.name) for group in groups for cell in group.cells)
    return {(model, variant): by_model[model][variant] for model, variant in pairs}


def _resolved(
    name: str,
    data: Mapping[str, Any],
    checked: MatrixFile,
    models: Sequence[ResolvedModel],
    bought: tuple[Measurement, Serving],
    words: _Words,
) -> dict[str, Any]:
    """The whole matrix as JSON data, with every default spelled out."""
    measurement, serving = bought
    parts = {
        "schema": checked.schema_version,
        "name": name,
        "models": {model.ref.name: _resolved_model(model) for model in models},
        "axes": checked.axes.model_dump(),
        "include": data.get("include", []),
        "exclude": data.get("exclude", []),
        "only": words.only,
        "quick": words.quick,
        "measurement": measurement,
        "serving": serving,
    }
    resolved: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(parts))
    return resolved


def _resolved_model(model: ResolvedModel) -> dict[str, Any]:
    return {
        "model": model.ref,
        "reference": model.reference,
        "variants": {
            variant.name: {"variant": variant, "tolerance": model.tolerances[variant.name]}
            for variant in model.variants
        },
        "dimensions": model.dimensions,
    }


def _digest(
    groups: Sequence[Group],
    measurement: Measurement,
    serving: Serving,
    tolerances: Mapping[tuple[str, str], Tolerance],
) -> str:
    return digest(
        {
            "cells": sorted([cell.id, group.reference_id] for group in groups for cell in group.cells),
            "measurement": asdict(measurement),
            "serving": asdict(serving),
            "tolerances": sorted(
                [*pair, *(getattr(tolerance, each.name) for each in fields(tolerance))]
                for pair, tolerance in tolerances.items()
            ),
        }
    )
