"""Small shapes that several sections share: a plug-in with options, one value or several, a named dimension.

A validator that needs tables or files looks for `Context` in the validation's context; without one (the standard
variants, the JSON schema) only shapes are judged. Tags of alternatives stand in <>: they are parts of pydantic's
locations and must not be taken for keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from bench.core.artifact import FORMATS
from bench.core.cell import Dimension

from .checks import check_name, check_options
from .problems import Finding, show_value

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What the validators need to know besides the value: where paths start, and which variants there are."""

    directory: Path
    variants: tuple[str, ...]


class Section(BaseModel):
    """A mapping with known keys only; values are taken as they are written, never converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


def refuse(findings: list[Finding]) -> None:
    """Raise the findings as one pydantic error, if there are any."""
    if findings:
        raise PydanticCustomError("findings", "see ctx", {"findings": findings})


def _one_of(tag_of: Callable[[Any], str | None], expected: str) -> Discriminator:
    return Discriminator(tag_of, custom_error_type="shape", custom_error_message=f"must be {expected}")


# ---------------------------------------------------------------------------------------------- plug-ins with options
def words(item: str | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Name and options of `name` or `{name: {option: value}}`."""
    return (item, {}) if isinstance(item, str) else next(iter(item.items()))


def _check_words(kind: str) -> Callable[[Any, ValidationInfo], Any]:
    def check(item: Any, info: ValidationInfo) -> Any:
        if info.context is not None:
            name, options = words(item)
            refuse(prefixed(item, check_name(kind, name) or check_options(kind, name, options)))
        return item

    return check


def prefixed(item: str | Mapping[str, Any], findings: list[Finding]) -> list[Finding]:
    """Findings about a plug-in's name or options, seen from the item that names it."""
    if isinstance(item, str):
        return findings
    name, _ = words(item)
    return [replace(f, at=(name, *f.at), at_key=f.at_key or not f.at) for f in findings]


def _tag_of_words(value: Any) -> str | None:
    return "<name>" if isinstance(value, str) else "<options>" if isinstance(value, dict) and len(value) == 1 else None


PluginWords = Annotated[
    Annotated[str, Tag("<name>")]
    | Annotated[dict[str, dict[str, Any]], Tag("<options>"), Field(min_length=1, max_length=1)],
    _one_of(_tag_of_words, "a name, or one name with its options: {name: {option: value}}"),
]
StepWords = Annotated[PluginWords, AfterValidator(_check_words("steps"))]
AdapterWords = Annotated[PluginWords, AfterValidator(_check_words("adapters"))]


def _check_format(name: str) -> str:
    if name not in FORMATS:
        refuse([Finding(text=f"{show_value(name)} is not a known format", wrong=name, known=FORMATS)])
    return name


FormatName = Annotated[str, AfterValidator(_check_format), WithJsonSchema({"type": "string", "enum": list(FORMATS)})]


# ------------------------------------------------------------------------------------------------- one value or several
def _tag_of_number_of_values(value: Any) -> str:
    return "<several>" if isinstance(value, list) else "<one>"


OneOrMore = Annotated[
    Annotated[T, Tag("<one>")] | Annotated[tuple[T, ...], Tag("<several>"), Field(min_length=1)],
    _one_of(_tag_of_number_of_values, "a value or a list of values"),
]
Count = Annotated[int, Field(ge=1)]


def several(value: T | tuple[T, ...]) -> tuple[T, ...]:
    """One value or a list of them, as a tuple without repetitions."""
    return tuple(dict.fromkeys(value)) if isinstance(value, tuple) else (value,)


# ----------------------------------------------------------------------------------------------------- named dimensions
class Uniform(Section):
    """Whole numbers between two bounds, both included, drawn once per sample."""

    uniform: Annotated[tuple[Count, ...], Field(min_length=2, max_length=2)]

    @model_validator(mode="after")
    def _in_order(self) -> Uniform:
        if self.uniform[0] > self.uniform[1]:
            refuse([Finding(text=f"the lower bound comes first, not {list(self.uniform)}", at=("uniform",))])
        return self


class Choice(Section):
    """One of the sizes listed, drawn once per sample."""

    choice: Annotated[tuple[Count, ...], Field(min_length=1)]


def _tag_of_dimension(value: Any) -> str | None:
    if isinstance(value, dict):
        return "<choice>" if "choice" in value else "<uniform>"
    return "<sizes>" if isinstance(value, list) else "<size>" if isinstance(value, int) else None


DimensionWords = Annotated[
    Annotated[Count, Tag("<size>")]
    | Annotated[tuple[Count, ...], Tag("<sizes>"), Field(min_length=1)]
    | Annotated[Uniform, Tag("<uniform>")]
    | Annotated[Choice, Tag("<choice>")],
    _one_of(_tag_of_dimension, "a size, a list of sizes, {uniform: [low, high]} or {choice: [sizes]}"),
]


def dimension_values(name: str, value: int | tuple[int, ...] | Uniform | Choice) -> tuple[Dimension, ...]:
    """The values of the axis that a dimension is: several for a list of sizes, else one."""
    if isinstance(value, Uniform):
        return (Dimension(name=name, kind="uniform", values=value.uniform),)
    if isinstance(value, Choice):
        return (Dimension(name=name, kind="choice", values=tuple(sorted(set(value.choice)))),)
    return tuple(Dimension(name=name, kind="fixed", values=(size,)) for size in several(value))
