"""Axes to groups of cells: products, what is included besides, what is left out.

A point is one value per axis; the cells of a model at one point are a group. Work is done per point and per variant,
not per cell, wherever it can be: ten thousand cells take a fraction of a second.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from bench.core.cell import Cell, Dimension, Group, Limits, LoadPlan, Variant

from .loads import IN_PROCESS, USUAL, load_plan
from .problems import Finding, KeyPath, Problems, show_value
from .resolve import ResolvedModel
from .schema import AxesSection, MatrixFile, RuleSection
from .shapes import dimension_values, several
from .topologies import TopologyChoice, choices

MAX_CELLS = 100_000

_MIB_BYTES = 1024 * 1024
_DIMENSION = "dimensions."

Axes = Mapping[str, tuple[Any, ...]]
Point = tuple[Any, ...]


def expand(
    matrix: MatrixFile, models: Sequence[ResolvedModel], directory: Path, problems: Problems
) -> tuple[Group, ...]:
    """All groups in the order of the file; each holds its model's reference. Nothing is built when `problems` grow:
    too many cells, a rule that matches nothing, a reference that was left out."""
    includes = [_Rule(("include", index), rule, directory) for index, rule in enumerate(matrix.include)]
    excludes = [_Rule(("exclude", index), rule, directory) for index, rule in enumerate(matrix.exclude)]
    axes = _axes_of(matrix.axes, directory)
    parts = [part for model in models for part in _parts(model, axes, includes)]
    _refuse_too_many(parts, problems)
    _refuse_idle(includes, models, problems)
    if problems:
        return ()
    expansion = _Expansion(excludes, problems)
    for part in parts:
        expansion.add(part)
    groups = expansion.groups()
    _refuse_idle(excludes, models, problems)
    if not groups and not problems:
        problems.add(Finding(text="every cell is left out", at=("exclude",), at_key=True))
    return () if problems else groups


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """A product: some variants of a model at every point of some axes."""

    model: ResolvedModel
    variants: tuple[Variant, ...]
    axes: Axes
    place: KeyPath

    @property
    def size(self) -> int:
        return len(self.variants) * math.prod(map(len, self.axes.values()))


class _Rule:
    """One entry of include or exclude; `used` tells whether it ever matched."""

    def __init__(self, place: KeyPath, section: RuleSection, directory: Path) -> None:
        self.place = place
        self.section = section
        self.axes = _axes_of_rule(section, directory)
        self.used = False

    def variants_of(self, model: ResolvedModel) -> tuple[Variant, ...]:
        """The variants of `model` that the patterns on names match."""
        if not _matches(self.section.model, model.ref.name):
            return ()
        return tuple(variant for variant in model.variants if _matches(self.section.variant, variant.name))

    def holds_at(self, point: Mapping[str, Any]) -> bool:
        """Whether every axis of the rule has one of its values at `point`."""
        return all(axis in point and _is_among(point[axis], values) for axis, values in self.axes.items())


def _is_among(value: Any, values: tuple[Any, ...]) -> bool:
    if isinstance(value, TopologyChoice):
        return any(named.covers(value) for named in values)
    return value in values


#: Axes whose values are not what stands in the file.
_TRANSLATED = frozenset({"cpu_ids", "topology", "load"})


def _axes_of(section: AxesSection, directory: Path) -> dict[str, tuple[Any, ...]]:
    axes: dict[str, tuple[Any, ...]] = {name: several(values) for name, values in section if name not in _TRANSLATED}
    axes["topology"] = _topologies(section.topology)
    axes["load"] = (None,) if section.load is None else _loads(section.load, directory)
    axes["cpu_ids"] = tuple(dict.fromkeys(None if ids is None else tuple(sorted(set(ids))) for ids in section.cpu_ids))
    return axes


def _topologies(items: Any) -> tuple[TopologyChoice, ...]:
    listed = items if isinstance(items, tuple) else (items,)
    return tuple(dict.fromkeys(choice for item in listed for choice in choices(item)))


def _loads(items: Any, directory: Path) -> tuple[LoadPlan, ...]:
    listed = items if isinstance(items, tuple) else (items,)
    return tuple(dict.fromkeys(load_plan(item, directory) for item in listed))


def _axes_of_rule(section: RuleSection, directory: Path) -> dict[str, tuple[Any, ...]]:
    given = {name: getattr(section, name) for name in AxesSection.model_fields if name not in _TRANSLATED}
    axes: dict[str, tuple[Any, ...]] = {name: several(value) for name, value in given.items() if value is not None}
    if section.topology is not None:
        axes["topology"] = _topologies(section.topology)
    if section.load is not None:
        axes["load"] = _loads(section.load, directory)
    if section.cpu_ids is not None:
        axes["cpu_ids"] = (tuple(sorted(set(section.cpu_ids))),)
    for name, value in section.dimensions.items():
        axes[_DIMENSION + name] = dimension_values(name, value)
    return axes


def _matches(patterns: str | tuple[str, ...] | None, name: str) -> bool:
    if patterns is None:
        return True
    return any(pattern == name or fnmatchcase(name, pattern) for pattern in several(patterns))


def _parts(model: ResolvedModel, axes: Axes, includes: Sequence[_Rule]) -> Iterator[_Part]:
    """The main product of a model, then what each include adds, with the reference wherever it adds anything."""
    own = {**axes, **{_DIMENSION + name: values for name, values in model.dimensions.items()}}
    yield _Part(model=model, variants=model.variants, axes=own, place=("axes",))
    for rule in includes:
        named = rule.variants_of(model)
        if named:
            rule.used = True
            kept = tuple(variant for variant in model.variants if variant in named or variant.name == model.reference)
            yield _Part(model=model, variants=kept, axes={**own, **rule.axes}, place=rule.place)


def _refuse_too_many(parts: Sequence[_Part], problems: Problems) -> None:
    total = sum(part.size for part in parts)
    if total <= MAX_CELLS:
        return
    largest = max(parts, key=lambda part: part.size)
    factors = {"variants": len(largest.variants), **{name: len(values) for name, values in largest.axes.items()}}
    product = " x ".join(f"{name} {count}" for name, count in factors.items() if count > 1)
    text = (
        f"{total:,} cells, at most {MAX_CELLS:,} are allowed; model {show_value(largest.model.ref.name)} alone has "
        f"{largest.size:,} = {product}"
    )
    problems.add(Finding(text=text, at=largest.place, at_key=True))


def _refuse_idle(rules: Iterable[_Rule], models: Sequence[ResolvedModel], problems: Problems) -> None:
    """A rule that matches nothing is a mistake: most often a wrong name."""
    known = {
        "model": tuple(model.ref.name for model in models),
        "variant": tuple(dict.fromkeys(variant.name for model in models for variant in model.variants)),
    }
    for rule in rules:
        if rule.used:
            continue
        finding = Finding(text="matches no cell", at=rule.place)
        for key, names in known.items():
            patterns = getattr(rule.section, key)
            if patterns is not None and not any(_matches(patterns, name) for name in names):
                text = f"{show_value(patterns)} matches no {key}"
                finding = Finding(text=text, at=(*rule.place, key), wrong=several(patterns)[0], known=names)
        problems.add(finding)


class _Expansion:
    """Collects groups; equal cells from several products are one cell."""

    def __init__(self, excludes: Sequence[_Rule], problems: Problems) -> None:
        self._excludes = excludes
        self._problems = problems
        self._groups: dict[tuple[str, Point], _Draft] = {}

    def add(self, part: _Part) -> None:
        """Every point of a product, without what is excluded."""
        by_rule = [(rule, frozenset(v.name for v in rule.variants_of(part.model))) for rule in self._excludes]
        relevant = [(rule, names) for rule, names in by_rule if names]
        names = tuple(part.axes)
        for values in itertools.product(*part.axes.values()):
            point = _with_its_load(dict(zip(names, values, strict=True)))
            here = [(rule, excluded) for rule, excluded in relevant if rule.holds_at(point)]
            self._add_point(part, point, here)

    def _add_point(self, part: _Part, point: Mapping[str, Any], here: Sequence[tuple[_Rule, frozenset[str]]]) -> None:
        kept = {}
        lost_reference = None
        for variant in part.variants:
            rule = next((rule for rule, excluded in here if variant.name in excluded), None)
            if rule is None:
                kept[variant.name] = variant
                continue
            rule.used = True
            if variant.name == part.model.reference:
                lost_reference = rule
        if not kept:
            return
        if lost_reference is not None:
            text = (
                f"leaves out {part.model.reference!r}, the reference of {show_value(part.model.ref.name)}, but keeps "
                f"variants to compare with it: leave out the whole group, or name another reference"
            )
            self._problems.add(Finding(text=text, at=lost_reference.place))
            return
        key = (part.model.ref.name, tuple(point[name] for name in sorted(point)))
        draft = self._groups.setdefault(key, _Draft(model=part.model, point=point, variants={}))
        draft.variants.update(kept)

    def groups(self) -> tuple[Group, ...]:
        """The cells of all points."""
        return tuple(draft.group() for draft in self._groups.values())


def _with_its_load(point: dict[str, Any]) -> dict[str, Any]:
    """In process there is one kind of load, so that all loads of the matrix are one point there."""
    if point["topology"].is_in_process:
        return {**point, "load": IN_PROCESS}
    return {**point, "load": USUAL} if point["load"] is None else point


@dataclass(frozen=True, kw_only=True, slots=True)
class _Draft:
    """A group whose cells are not built yet."""

    model: ResolvedModel
    point: Mapping[str, Any]
    variants: dict[str, Variant]

    def group(self) -> Group:
        point = self.point
        memory_mib = point["memory_limit_mib"]
        limits = Limits(
            threads=point["threads"],
            cpu_ids=point["cpu_ids"],
            cpu_quota_cores=point["cpu_quota_cores"],
            memory_limit_bytes=None if memory_mib is None else memory_mib * _MIB_BYTES,
        )
        dimensions: tuple[Dimension, ...] = tuple(point[name] for name in sorted(point) if name.startswith(_DIMENSION))
        in_order = (variant for variant in self.model.variants if variant.name in self.variants)
        cells = {
            variant.name: Cell(
                model=self.model.ref,
                variant=variant,
                topology=point["topology"].name,
                topology_options=point["topology"].options,
                load=point["load"],
                limits=limits,
                batch=point["batch"],
                dimensions=dimensions,
            )
            for variant in in_order
        }
        reference = cells[self.model.reference]
        return Group(id=reference.group_id, cells=tuple(cells.values()), reference_id=reference.id)
