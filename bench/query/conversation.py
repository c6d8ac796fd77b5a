"""From addresses, protocols and perhaps a model's name to servers that can be asked."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from bench.core.errors import MatrixError, TargetError

from .address import Address, with_transport
from .dialect import Dialect, NotSpoken
from .signature import Signature

#: Name of a protocol on the command line -> (transport, its class), in the order in which they are tried.
PROTOCOLS: Mapping[str, tuple[str, str]] = {
    "rest": ("http", "bench.query.http_dialects:TfsRest"),
    "kserve": ("http", "bench.query.http_dialects:KServe"),
    "kserve-binary": ("http", "bench.query.http_dialects:KServeBinary"),
    "json": ("http", "bench.query.http_dialects:PlainJson"),
    "grpc": ("grpc", "bench.query.grpc_dialects:TfsGrpc"),
    "kserve-grpc": ("grpc", "bench.query.grpc_dialects:KServeGrpc"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Partner:
    """A model on a server, and the protocol in which it is asked."""

    address: Address
    dialect: Dialect
    model: str
    signature: Signature


@contextmanager
def partners(
    addresses: Sequence[Address], protocols: Sequence[str], model: str, timeout_s: float
) -> Iterator[list[Partner]]:
    """One partner for each address and protocol that fit each other; of protocols that nobody named, the first that is
    spoken at each address.

    TargetError when a server cannot be reached, speaks none of the protocols or has no such model; MatrixError when no
    address can speak one of them, or the name of the model must be told.
    """
    opened: list[Dialect] = []
    try:
        places = [with_transport(address, timeout_s) for address in addresses]
        groups = [_dialects(address, protocols, timeout_s, opened) for address in places]
        if not any(groups):
            spoken = ", ".join(f"{address} speaks {address.transport}" for address in places)
            raise MatrixError(f"none of {', '.join(protocols)} can be spoken: {spoken}", hint="name the other port too")
        name = model or _only_model(places, opened)
        found: list[Partner] = []
        for address, dialects in zip(places, groups, strict=True):
            if dialects:
                found += _partners_at(address, dialects, name, all_of_them=bool(protocols))
        yield found
    finally:
        for dialect in opened:
            dialect.close()


def spoken(addresses: Sequence[Address], model: str, timeout_s: float) -> tuple[tuple[str, Address], ...]:
    """Every protocol by which each address can be asked for the model; TargetError when one cannot be reached."""
    opened: list[Dialect] = []
    found: list[tuple[str, Address]] = []
    try:
        for address in addresses:
            for dialect in _dialects(with_transport(address, timeout_s), (), timeout_s, opened):
                with suppress(NotSpoken):
                    dialect.signature(model)
                    found.append((dialect.name, address))
    finally:
        for dialect in opened:
            dialect.close()
    return tuple(found)


def _dialects(address: Address, protocols: Sequence[str], timeout_s: float, opened: list[Dialect]) -> list[Dialect]:
    found: list[Dialect] = []
    for name in protocols or PROTOCOLS:
        transport, target = PROTOCOLS[name]
        if transport == address.transport:
            module, _, attribute = target.partition(":")
            made: Any = getattr(importlib.import_module(module), attribute)(address, timeout_s)
            found.append(made)
    opened += found
    return found


def _only_model(addresses: Sequence[Address], dialects: Sequence[Dialect]) -> str:
    """The model of a server that has one; MatrixError when it has several, or does not tell."""
    names = _models(dialects)
    if len(names) == 1:
        return names[0]
    place = ", ".join(map(str, addresses))
    if names:
        raise MatrixError(f"{place} serves {len(names)} models", hint=f"--model with one of {', '.join(names)}")
    raise MatrixError(f"{place} does not tell which models it serves", hint="name one: --model NAME")


def _models(dialects: Sequence[Dialect]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for dialect in dialects for name in dialect.models()))


def _partners_at(address: Address, dialects: Sequence[Dialect], model: str, *, all_of_them: bool) -> list[Partner]:
    found: list[Partner] = []
    refusals: list[str] = []
    for dialect in dialects:
        try:
            signature = dialect.signature(model)
        except NotSpoken as refusal:
            refusals.append(str(refusal))
            continue
        found.append(Partner(address=address, dialect=dialect, model=model, signature=signature))
        if not all_of_them:
            return found
    if not found or (all_of_them and refusals):
        raise _unknown(address, dialects, model, refusals)
    return found


def _unknown(address: Address, dialects: Sequence[Dialect], model: str, refusals: Sequence[str]) -> TargetError:
    """Why nobody answers for the model, with those that the server has as far as it tells."""
    names = _models(dialects)
    if model in names:
        return TargetError(f"{address} does not speak the protocol: {refusals[-1]}", hint="leave --protocol out")
    if names:
        return TargetError(f"{address} serves no model {model!r}", hint=f"it serves {', '.join(names)}")
    return TargetError(
        f"{address} serves no model {model!r}, or speaks another protocol: {refusals[-1]}",
        hint=f"--model as the server was started with, or --protocol with one of {', '.join(PROTOCOLS)}",
    )
