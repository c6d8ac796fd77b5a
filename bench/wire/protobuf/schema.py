"""Protocol buffer messages from a table in code: no generated module, no compiler, a pool of descriptors of its own.

Generated modules of the same protocols register their files in the process's default pool, where a second definition
of a message is an error; a private pool lets both live in one process, as when a test imports TensorFlow.

A table is text. A line without indentation opens a message (`Name`, `Outer.Inner` for a nested one) or an enum
(`enum Name`); the indented lines below are its fields, `number name type`, or its values, `number NAME`. A type is a
scalar's name, a message or enum of the same package, or one of another package in full; `type*` is repeated,
`map<type>` maps strings to it, and `| name` puts the field into a oneof.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal import enum_type_wrapper

_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    name: getattr(_FIELD, f"TYPE_{name.upper()}")
    for name in ("double", "float", "int64", "uint64", "int32", "uint32", "bool", "string", "bytes")
}


class _Block(NamedTuple):
    is_enum: bool
    name: str
    lines: list[list[str]]  # the words of each


def packages(tables: Mapping[str, str]) -> dict[str, SimpleNamespace]:
    """Package -> namespace of its top-level messages and enums; a table may refer to itself and to those before it."""
    pool = descriptor_pool.DescriptorPool()
    blocks = {package: list(_blocks(table)) for package, table in tables.items()}
    enums = {f"{package}.{block.name}" for package, found in blocks.items() for block in found if block.is_enum}
    files: list[str] = []
    for package, found in blocks.items():
        file = _File(package, enums)
        for block in found:
            file.add(block)
        file.proto.dependency.extend(files)
        pool.Add(file.proto)
        files.append(file.proto.name)
    return {package: _namespace(pool.FindFileByName(name)) for package, name in zip(tables, files, strict=True)}


def _blocks(table: str) -> Iterator[_Block]:
    block: _Block | None = None
    for line in filter(str.strip, table.splitlines()):
        if line.startswith(" ") and block:
            block.lines.append(line.split())
            continue
        if block:
            yield block
        block = _Block(line.startswith("enum "), line.removeprefix("enum "), [])
    if block:
        yield block


class _File:
    """One package's descriptors in the making."""

    def __init__(self, package: str, enums: set[str]) -> None:
        self.proto = descriptor_pb2.FileDescriptorProto(name=f"{package}.table", package=package, syntax="proto3")
        self._package = package
        self._enums = enums
        self._messages: dict[str, Any] = {}

    def add(self, block: _Block) -> None:
        outer, _, name = block.name.rpartition(".")
        if block.is_enum:
            enum = (self._messages[outer] if outer else self.proto).enum_type.add(name=name)
            for number, value in block.lines:
                enum.value.add(name=value, number=int(number))
            return
        messages = self._messages[outer].nested_type if outer else self.proto.message_type
        self._messages[block.name] = messages.add(name=name)
        for words in block.lines:
            self._add_field(block.name, *words)

    def _add_field(self, owner: str, number: str, name: str, type_name: str, *oneof: str) -> None:
        message = self._messages[owner]
        field = message.field.add(name=name, number=int(number), label=_FIELD.LABEL_OPTIONAL)
        if type_name.startswith("map<"):
            entry = _add_entry(message, name)
            self._set_type(entry.field[1], type_name[4:-1])
            type_name = f"{owner}.{entry.name}*"
        if type_name.endswith("*"):
            field.label = _FIELD.LABEL_REPEATED
        self._set_type(field, type_name.rstrip("*"))
        if oneof:
            known = [choice.name for choice in message.oneof_decl]
            if oneof[1] not in known:
                message.oneof_decl.add(name=oneof[1])
                known.append(oneof[1])
            field.oneof_index = known.index(oneof[1])

    def _set_type(self, field: Any, type_name: str) -> None:
        if type_name in _SCALARS:
            field.type = _SCALARS[type_name]
            return
        full_name = type_name if type_name[0].islower() else f"{self._package}.{type_name}"
        field.type = _FIELD.TYPE_ENUM if full_name in self._enums else _FIELD.TYPE_MESSAGE
        field.type_name = f".{full_name}"


def _add_entry(message: Any, name: str) -> Any:
    """What a map is on the wire: a repeated message of key and value, under the name that protoc gives it."""
    entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_STRING)
    entry.field.add(name="value", number=2, label=_FIELD.LABEL_OPTIONAL)
    return entry


def _namespace(file: Any) -> SimpleNamespace:
    messages = {name: message_factory.GetMessageClass(found) for name, found in file.message_types_by_name.items()}
    enums = {name: enum_type_wrapper.EnumTypeWrapper(found) for name, found in file.enum_types_by_name.items()}
    return SimpleNamespace(**messages, **enums)
