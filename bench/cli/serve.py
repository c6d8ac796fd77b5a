"""`bench serve`: a build of a model, kept up for people until they end it."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.one_cell import add_one_cell_arguments, chosen_cell
from bench.cli.streams import printable
from bench.core.units import format_seconds

if TYPE_CHECKING:
    from bench.core.contracts import Batch
    from bench.core.serving import Endpoint
    from bench.query import Address
    from bench.runner.serve_up import Up

_PORT = 8000
_LAST_PORT = 65_535
_TIMEOUT_S = 10.0
_DOCS = "/docs"
#: Protocols whose requests curl can send: the name on the command line -> the encoding.
_IN_JSON = {"rest": "tfs_row", "kserve": "kserve", "json": "json"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, how it is served, and where."""
    add_one_cell_arguments(parser)
    parser.add_argument(
        "--port", type=_port, default=_PORT, metavar="N", help=f"where it listens; 0 takes any that is free ({_PORT})"
    )
    parser.add_argument(
        "--tokenizer", type=Path, metavar="FILE", help="tokenizer.json of a text encoder (the model's own)"
    )


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= _LAST_PORT:
        raise argparse.ArgumentTypeError(f"from 0 to {_LAST_PORT}")
    return port


def execute(words: argparse.Namespace) -> int:
    """Serve until a signal ends it: 0; 3 when the server ends by itself."""
    from bench import query
    from bench.cli.progress import Progress
    from bench.runner.serve_up import served_up

    chosen = chosen_cell(words, quick=True)
    with ExitStack() as stack:
        with Progress(sys.stderr) as progress:
            serving = served_up(
                chosen.matrix, chosen.cell, chosen.reference, progress, port=words.port, tokenizer=words.tokenizer
            )
            up = stack.enter_context(serving)
        endpoint = up.description.endpoint
        addresses = _addresses(endpoint)
        spoken = query.spoken(addresses, endpoint.model, _TIMEOUT_S)
        problem = stack.enter_context(query.announced(endpoint.model, addresses))
        for line in (*_headline(up), *_ways(up, spoken), *_notes(up, problem)):
            print(printable(line))
        sys.stdout.flush()
        up.wait()
    print("ended")
    return 0


def _addresses(endpoint: Endpoint) -> list[Address]:
    """Where it is asked: its port, and that of its HTTP side where this is another."""
    from bench.query import Address

    found = [Address(host=endpoint.host, port=endpoint.port, transport=endpoint.protocol)]
    if endpoint.identity_port not in {None, endpoint.port}:
        found.append(Address(host=endpoint.host, port=endpoint.identity_port or 0, transport="http"))
    return found


def _headline(up: Up) -> Iterator[str]:
    from bench.query import has_page

    cell = up.prepared.cell
    processes = ", ".join(f"{name} (pid {pid})" for name, pid in up.pids.items())
    name = f"{cell.model.name}.{cell.variant.name}"
    yield f"{name} behind {cell.topology}, up in {format_seconds(up.start_s)}: {processes}"
    for address in _addresses(up.description.endpoint):
        if address.transport == "http" and has_page(address, _DOCS, _TIMEOUT_S):
            yield f"API page: http://{address}{_DOCS}"


def _ways(up: Up, spoken: Sequence[tuple[str, Address]]) -> Iterator[str]:
    """For each protocol where it is spoken, with words that can be pasted; the request in them is a real sample."""
    from bench.wire import encoding
    from bench.zoo.inputs import read_pool

    model = up.description.endpoint.model
    sample = read_pool(Path(up.prepared.pool.path))[0]
    given = _input_words(up, sample)
    for name, address in spoken:
        scheme = address.transport
        yield f"{name}: {scheme}://{address}"
        yield f"  bench query {scheme}://{address} --protocol {name} --model {model} {given}"
        if name in _IN_JSON:
            message = encoding(_IN_JSON[name]).encode_request(model, sample, up.prepared.artifact.outputs)
            path = up.directory / f"{name}.json"
            path.write_bytes(message.body)
            url = shlex.quote(f"http://{address}{message.path}")
            yield f"  curl -s -H 'content-type: application/json' -d @{shlex.quote(str(path))} {url}"
        if name == "json" and up.tokenizer is not None:
            yield f"""  curl -s -d '{{"sentences": ["one text", "and another"]}}' http://{address}/"""


def _input_words(up: Up, sample: Batch) -> str:
    """How `bench query` is given an input of this model."""
    import numpy as np

    from bench import query
    from bench.core.errors import MatrixError

    if up.tokenizer is not None:
        return '--text "one text" "and another"'
    try:
        query.picture_of(up.prepared.artifact.inputs)
    except MatrixError:
        path = up.directory / "sample.npz"
        np.savez(path, **sample)  # type: ignore[arg-type]  # the stub takes one of our keys for allow_pickle
        return f"--inputs {shlex.quote(str(path))}"
    return "--image FILE.png"


def _notes(up: Up, problem: str) -> Iterator[str]:
    if problem:
        yield f"note: bench query will not find it by itself: {problem}"
    yield from (f"note: {note}" for note in up.description.notes)
    if up.repository is not None:
        yield f"new versions: directories 2, 3 ... in {up.repository} are served as soon as they are there"
    yield "Ctrl-C ends it"
