"""`bench query`: one answer of a server, as people read it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.cli.one_cell import count
from bench.cli.streams import printable
from bench.core.errors import MatrixError
from bench.core.units import format_bytes, format_ms

if TYPE_CHECKING:
    from bench.core.contracts import Batch
    from bench.query import Address, Partner, Reading, Reply, ServedNow

_PROTOCOLS = ("rest", "grpc", "kserve", "kserve-binary", "kserve-grpc", "json")
_SCALES = ("1", "255", "symmetric", "imagenet")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Whom to ask, what, and how the answer is read."""
    parser.add_argument(
        "address",
        nargs="*",
        metavar="ADDRESS",
        help="port, HOST:PORT, http://HOST:PORT or grpc://HOST:PORT; several are asked one after the other (what "
        "`bench serve` keeps up on this machine)",
    )
    parser.add_argument("--model", default="", metavar="NAME", help="name on the server (the only one it has)")
    parser.add_argument(
        "--protocol", action="append", default=[], choices=_PROTOCOLS, help="repeatable (the first that is spoken)"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--image", type=Path, metavar="FILE", help="an image, resized to what the model takes")
    what.add_argument("--text", nargs="+", metavar="TEXT", help="texts for an encoder")
    what.add_argument("--inputs", type=Path, metavar="FILE", help=".npz with one array per input")
    parser.add_argument("--scale", default="", choices=_SCALES, help="what pixels become (1: floats of 0 to 1)")
    parser.add_argument("--invert", action="store_true", help="white for black, as for a digit on white paper")
    parser.add_argument("--tokenizer", type=Path, metavar="FILE", help="tokenizer.json (that of a zoo model so called)")
    parser.add_argument(
        "--as",
        dest="kind",
        default="auto",
        choices=("auto", "classes", "embedding", "tensors"),
        help="how outputs are read (as what they look like)",
    )
    parser.add_argument("--labels", type=Path, metavar="FILE", help="names of the classes: one a line, or a JSON list")
    parser.add_argument("--top", type=count, default=10, metavar="N", help="classes to show (10)")
    parser.add_argument("--repeat", type=count, default=1, metavar="N", help="ask N times, one after the other (1)")
    parser.add_argument("--timeout", type=_seconds, default=10.0, metavar="S", help="patience for an answer, in s (10)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError("more than 0, at most 3600")
    return seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answer:
    """What one partner said; without a question there are no replies and no readings."""

    partner: Partner
    replies: tuple[Reply, ...] = ()
    readings: tuple[Reading, ...] = ()


def execute(words: argparse.Namespace) -> int:
    """Ask, print the answers."""
    from bench import query

    labels = query.read_labels(words.labels) if words.labels is not None else ()
    addresses, model = _whom(words)
    protocols = list(dict.fromkeys(words.protocol))
    with query.partners(addresses, protocols, model, words.timeout) as partners:
        answers = [_ask(partner, words, labels) for partner in partners]
    if words.json:
        print(json.dumps({"answers": list(map(_plain, answers))}, indent=2))
    else:
        for answer in answers:
            for line in _report(answer, words):
                print(printable(line))
    return 0


def _whom(words: argparse.Namespace) -> tuple[list[Address], str]:
    """Addresses, and the model's name where it is known; MatrixError when neither words nor servers here say whom."""
    from bench import query

    here = query.served_now()
    if words.address:
        addresses = [query.parse_address(text) for text in words.address]
        return addresses, words.model or _model_at(addresses, here)
    here = tuple(served for served in here if words.model in {"", served.model})
    if len(here) != 1:
        listed = ", ".join(f"{served.model} at {', '.join(map(str, served.addresses))}" for served in here)
        raise MatrixError(
            f"{len(here)} servers are kept up here: {listed}" if here else "no server is kept up here by `bench serve`",
            hint="name one: bench query PORT, or --model NAME" if here else "name an address: bench query PORT",
        )
    return list(here[0].addresses), here[0].model


def _model_at(addresses: Sequence[Address], here: Sequence[ServedNow]) -> str:
    """The model that `bench serve` keeps up at one of the addresses, empty where it is somebody else's server."""
    places = {(address.host, address.port) for address in addresses}
    found = [served for served in here if places & {(each.host, each.port) for each in served.addresses}]
    return found[0].model if len(found) == 1 else ""


def _ask(partner: Partner, words: argparse.Namespace, labels: Sequence[str]) -> _Answer:
    from bench import query

    batch = _batch(partner, words)
    if batch is None:
        return _Answer(partner=partner)
    replies = [partner.dialect.ask(partner.model, batch, partner.signature) for _ in range(words.repeat)]
    readings = query.read(replies[-1].outputs, kind=words.kind, labels=labels, top=words.top)
    return _Answer(partner=partner, replies=tuple(replies), readings=readings)


def _batch(partner: Partner, words: argparse.Namespace) -> Batch | None:
    """What is sent, None where nothing is asked but what the model takes."""
    from bench import query

    inputs = partner.signature.inputs
    if words.image is not None:
        return query.image_batch(words.image, inputs, scale=words.scale, invert=words.invert)
    if words.text is not None:
        from bench.zoo.texts import zoo_tokenizer

        return query.text_batch(words.text, inputs, words.tokenizer or zoo_tokenizer(partner.model))
    if words.inputs is not None:
        return query.array_batch(words.inputs, inputs)
    return None


def _report(answer: _Answer, words: argparse.Namespace) -> Iterator[str]:
    from bench import query

    partner = answer.partner
    version = f", version {partner.signature.version}" if partner.signature.version else ""
    yield f"{partner.model} at {partner.address} by {partner.dialect.name}{version}"
    if not answer.replies:
        yield from (f"  takes {spec.name}: {query.shape_text(spec)}" for spec in partner.signature.inputs)
        yield from (f"  gives {spec.name}: {query.shape_text(spec)}" for spec in partner.signature.outputs)
        yield "  ask it with --image, --text or --inputs"
        return
    for reading in answer.readings:
        yield from (f"  {line}" for line in query.lines_of(reading, words.text or ()))
    yield f"  {_latency_words(answer.replies)}"


def _latency_words(replies: Sequence[Reply]) -> str:
    last = replies[-1]
    sizes = f"{format_bytes(last.sent_bytes)} sent, {format_bytes(last.received_bytes)} received"
    times_ms = [reply.latency_s * 1e3 for reply in replies]
    if len(times_ms) == 1:
        return f"latency {format_ms(times_ms[0])}, {sizes}"
    return (
        f"latency p50 {format_ms(median(times_ms))}, {format_ms(min(times_ms))} to {format_ms(max(times_ms))} in "
        f"{len(times_ms)} requests, the first {format_ms(times_ms[0])}; {sizes}"
    )


def _plain(answer: _Answer) -> dict[str, Any]:
    import msgspec

    partner = answer.partner
    return {
        "model": partner.model,
        "address": str(partner.address),
        "protocol": partner.dialect.name,
        "version": partner.signature.version,
        "inputs": msgspec.to_builtins(partner.signature.inputs),
        "outputs": msgspec.to_builtins(partner.signature.outputs),
        "latency_ms": [reply.latency_s * 1e3 for reply in answer.replies],
        "sent_bytes": answer.replies[-1].sent_bytes if answer.replies else None,
        "received_bytes": answer.replies[-1].received_bytes if answer.replies else None,
        "readings": [
            {"kind": type(reading).__name__.lower(), **msgspec.to_builtins(reading)} for reading in answer.readings
        ],
    }
