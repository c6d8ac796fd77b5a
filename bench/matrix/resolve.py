"""Each model with the variants it gets, its reference and its tolerances: names become the types of bench.core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core import plugins
from bench.core.artifact import Options
from bench.core.cell import Dimension, ModelRef, StepCall, Tolerance, Variant
from bench.formats.detect import detect_format

from .locations import absolute, is_trusted
from .problems import Finding, KeyPath, Problems
from .schema import MatrixFile, ModelSection, ToleranceSection, VariantSection
from .shapes import dimension_values, words
from .standard import standard_variants, usual_variants


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedModel:
    """A model with its variants in order; `dimensions` are axes: name -> values."""

    ref: ModelRef
    formats: tuple[str, ...]
    variants: tuple[Variant, ...]
    reference: str
    tolerances: Mapping[str, Tolerance]  # by variant
    dimensions: Mapping[str, tuple[Dimension, ...]]


def resolve_models(
    matrix: MatrixFile, directory: Path, trusted: frozenset[str], problems: Problems
) -> tuple[ResolvedModel, ...]:
    """Every model of the matrix; what does not fit is noted in `problems` and left out."""
    resolver = _Resolver(matrix, directory, trusted, problems)
    found = (resolver.model(name, section or ModelSection()) for name, section in matrix.models.items())
    return tuple(model for model in found if model is not None)


class _Resolver:
    def __init__(self, matrix: MatrixFile, directory: Path, trusted: frozenset[str], problems: Problems) -> None:
        self._matrix = matrix
        self._directory = directory
        self._trusted = trusted
        self._problems = problems
        self._variants = {**standard_variants(), **matrix.variants}

    def model(self, name: str, section: ModelSection) -> ResolvedModel | None:
        at: KeyPath = ("models", name)
        ref = self._reference_to(name, section)
        formats = (ref.format,) if ref.format else plugins.table("models")[_zoo_name(ref)].accepts
        variants = self._chosen(section, formats, at)
        if not variants:
            return None
        names = tuple(variant.name for variant in variants)
        reference = section.reference or names[0]
        if reference not in names:
            self._problems.add(
                Finding(
                    text=f"{reference!r} does not start from a format of this model ({', '.join(formats)})",
                    at=(*at, "reference"),
                    known=names,
                )
            )
            return None
        return ResolvedModel(
            ref=ref,
            formats=formats,
            variants=variants,
            reference=reference,
            tolerances={variant: self._tolerance(section, variant) for variant in names},
            dimensions=self._dimensions(section),
        )

    def _reference_to(self, name: str, section: ModelSection) -> ModelRef:
        inputs = absolute(section.inputs, self._directory) if section.inputs is not None else ""
        examples = absolute(section.examples, self._directory) if section.examples is not None else ""
        if section.path is not None:
            location = absolute(section.path, self._directory)
            format = detect_format(location)
            trusted = section.trust or is_trusted(location, format, self._trusted)
            return ModelRef(
                name=name,
                kind="path",
                location=location,
                format=format,
                inputs_path=inputs,
                examples_path=examples,
                trusted=trusted,
            )
        if section.null is not None:
            return ModelRef(name=name, kind="null", location="null", inputs_path=inputs, options=_options(section.null))
        return ModelRef(name=name, kind="zoo", location=name, inputs_path=inputs, examples_path=examples)

    def _chosen(self, section: ModelSection, formats: tuple[str, ...], at: KeyPath) -> tuple[Variant, ...]:
        """The listed variants, or all of the matrix (or, where it defines none, of the standard ones) that fit."""
        if section.variants is None:
            candidates = self._matrix.variants or usual_variants(formats)
            made = [self._variant(name, candidates[name], formats) for name in candidates]
            fitting = tuple(variant for variant in made if variant is not None)
            if not fitting:
                text = f"no variant of this matrix starts from a format of this model ({', '.join(formats)})"
                self._problems.add(Finding(text=text, at=at, at_key=True))
            return fitting
        chosen = []
        for name in dict.fromkeys(section.variants):
            variant = self._variant(name, self._variants[name], formats)
            if variant is not None:
                chosen.append(variant)
                continue
            place = section.variants.index(name) if isinstance(section.variants, tuple) else name
            starts = " or ".join(self._variants[name].ways)
            self._problems.add(
                Finding(
                    text=f"variant {name!r} starts from {starts}, this model offers {', '.join(formats)}",
                    at=(*at, "variants", place),
                    at_key=True,
                )
            )
        return tuple(chosen)

    def _variant(self, name: str, section: VariantSection, formats: tuple[str, ...]) -> Variant | None:
        source = next((format for format in section.ways if format in formats), None)
        if source is None:
            return None
        adapter, options = words(section.adapter)
        calls = (words(item) for item in section.ways[source])
        return Variant(
            name=name,
            source=source,
            steps=tuple(StepCall(name=step, options=_options(given)) for step, given in calls),
            adapter=adapter,
            adapter_options=_options(options),
        )

    def _tolerance(self, section: ModelSection, variant: str) -> Tolerance:
        """The more special word wins: the model's, the variant's, the one on this variant of this model."""
        special = section.variants.get(variant) if isinstance(section.variants, dict) else None
        layers = (section.tolerance, self._variants[variant].tolerance, special.tolerance if special else None)
        return Tolerance(**{name: value for layer in layers for name, value in _given(layer).items()})

    def _dimensions(self, section: ModelSection) -> Mapping[str, tuple[Dimension, ...]]:
        together = {**self._matrix.dimensions, **section.dimensions}
        return {name: dimension_values(name, together[name]) for name in sorted(together)}


def _zoo_name(ref: ModelRef) -> str:
    return "null" if ref.kind == "null" else ref.location


def _given(section: ToleranceSection | None) -> Mapping[str, float | None]:
    return {} if section is None else section.model_dump(exclude_unset=True)


def _options(given: Mapping[str, Any]) -> Options:
    return tuple(sorted((name, tuple(value) if isinstance(value, list) else value) for name, value in given.items()))
