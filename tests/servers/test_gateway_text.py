"""Sentences are requests where the model has a tokenizer, and nowhere else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.wire import WireError
from servers.exchange import JSON_TYPE, PREDICT_PATH, Exchange
from servers.gateway_text import SENTENCES_PATH
from servers.model import ServedModel
from servers.pages import pages
from tests.query.words import INPUTS, OUTPUTS, write_tokenizer
from tests.servers.http_servers import null_service

pytest.importorskip("tokenizers", reason="tokenizers is not installed: pip install tokenizers")


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    return Exchange("encoder", INPUTS, OUTPUTS, tokenizer=str(write_tokenizer(tmp_path)))


@pytest.mark.parametrize(
    ("path", "content_type"),
    [(SENTENCES_PATH, "application/x-www-form-urlencoded"), (PREDICT_PATH, "application/json; charset=utf-8")],
)
def test_sentences_become_ids_and_are_answered_in_json(exchange: Exchange, path: str, content_type: str) -> None:
    assert path in exchange.paths
    decode = exchange.decoder(path, content_type)
    assert decode is not None
    batch, answer = decode(b'{"sentences": ["good day", "night"]}', {})
    assert np.asarray(batch["input_ids"]).tolist() == [[2, 3], [4, 7]]
    message = answer({"sentence_embedding": np.eye(2, 4, dtype=np.float32)})
    assert json.loads(message.body) == {"outputs": {"sentence_embedding": [[1, 0, 0, 0], [0, 1, 0, 0]]}}


def test_token_ids_are_still_taken(exchange: Exchange) -> None:
    decode = exchange.decoder(PREDICT_PATH, JSON_TYPE)
    assert decode is not None
    batch, _ = decode(b'{"inputs": {"input_ids": [[5, 6]], "attention_mask": [[1, 1]]}}', {})
    assert np.asarray(batch["input_ids"]).tolist() == [[5, 6]]


@pytest.mark.parametrize(
    "body",
    [
        b'{"sentences": []}',
        b'{"sentences": "good day"}',
        b'{"sentences": [1]}',
        b'{"sentences": ["good"], "model": "x"}',
        b'{"sentences": ["good"',
        b'{"sentences": ["%s"]}' % (b"x" * 10_001),
    ],
)
def test_what_is_no_list_of_texts_is_the_senders_mistake(exchange: Exchange, body: bytes) -> None:
    decode = exchange.decoder(SENTENCES_PATH, "")
    assert decode is not None
    with pytest.raises(WireError, match="sentences"):
        decode(body, {})


def test_without_a_tokenizer_sentences_are_not_understood() -> None:
    plain = Exchange("encoder", INPUTS, OUTPUTS)
    assert SENTENCES_PATH not in plain.paths
    decode = plain.decoder(PREDICT_PATH, JSON_TYPE)
    assert decode is not None
    with pytest.raises(WireError, match="inputs"):
        decode(b'{"sentences": ["good"]}', {})


def test_a_server_lists_its_only_model_and_shows_how_texts_are_sent(tmp_path: Path) -> None:
    service = null_service(tmp_path)
    for tokenizer, shown in (("", False), (str(write_tokenizer(tmp_path)), True)):
        model = ServedModel(replace(service, tokenizer=tokenizer), "nonce")
        found = pages(model, tmp_path)
        assert (
            json.loads(found["/v1/models"]().body)
            == json.loads(found["/v2/models"]().body)
            == {"models": [service.model]}
        )
        document = json.loads(found["/openapi.json"]().body)
        assert (SENTENCES_PATH in document["paths"]) is shown
        model.close()
