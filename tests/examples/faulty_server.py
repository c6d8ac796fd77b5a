"""`python faulty_server.py CONFIG FAULT AT`: a plain server of the standard library that does one thing wrong."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

from bench.core.serving import STAMPS_HEADER, Stamps
from bench.wire import encoding
from servers.config import read_config
from servers.counters import Counters
from servers.model import ServedModel

CONFIG, FAULT, AT = read_config(Path(sys.argv[1])), sys.argv[2], float(sys.argv[3])
CODE = encoding("json")
LOCK = threading.Lock()
MEMORY: dict[bytes, bytes] = {}
NUMBERS = itertools.count(1)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet, or Nagle's algorithm holds the second back

    def do_GET(self) -> None:
        identity = msgspec.to_builtins(MODEL.identity)
        if FAULT == "decoy":
            identity["nonce"] = "of another run"
        if FAULT == "other model":
            identity["artifact_id"] = "another"
        self._answer(200, json.dumps(identity).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        received_ns = time.perf_counter_ns()
        with LOCK:
            number = next(NUMBERS)
            COUNTERS.add("received")
            if self._misbehaves(number):
                return
            batch = CODE.decode_request(body, {}, MODEL.inputs)
            decoded_ns = time.perf_counter_ns()
            outputs = dict(MODEL.run(batch))
            if FAULT == "slow on new inputs" and body not in MEMORY:
                time.sleep(0.02)
                MEMORY[body] = b""
            else:
                time.sleep(0.001)
            if FAULT == "wrong" and number >= AT:
                outputs = {name: values + 1 for name, values in outputs.items()}
            inferred_ns = time.perf_counter_ns()
            answer = CODE.encode_response(CONFIG.service.model, outputs, MODEL.outputs).body
            encoded_ns = time.perf_counter_ns()
            if FAULT != "forgetful" or number % 7:
                COUNTERS.add("answered")
        stamps = Stamps(
            worker=os.getpid(),
            received_ns=received_ns,
            dequeued_ns=received_ns,
            decoded_ns=decoded_ns,
            started_ns=decoded_ns,
            inferred_ns=inferred_ns,
            encoded_ns=encoded_ns,
        )
        self._answer(200, answer, stamps.text())

    def _misbehaves(self, number: int) -> bool:
        """Whether the request was dealt with by a fault."""
        if FAULT == "every 33rd" and number >= AT and number % 33 == 0:
            self._answer(500, b'{"error": "the 33rd"}')
            return True
        if FAULT == "no outputs":
            self._answer(500, b'{"error": "no model"}')
            return True
        if FAULT in {"SIGKILL", "SIGSTOP"} and number == AT:
            os.kill(os.getpid(), signal.Signals[FAULT])
        return False

    def _answer(self, status: int, body: bytes, stamps: str = "") -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if stamps:
            self.send_header(STAMPS_HEADER, stamps)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        pass


if FAULT == "exits":
    sys.exit("no licence")
if FAULT == "never ready":
    time.sleep(60)
MODEL = ServedModel(CONFIG.service, CONFIG.nonce)
COUNTERS = Counters(Path(CONFIG.counters_dir))
ThreadingHTTPServer.daemon_threads = True
ThreadingHTTPServer.request_queue_size = 128
ThreadingHTTPServer((CONFIG.host, CONFIG.port), Handler).serve_forever()
