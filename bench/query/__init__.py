"""A client for people: one image, text or file of arrays to a server, by the protocols that it speaks, and an answer
that can be read.

It asks our servers, TensorFlow Serving and every server of KServe v2, in process and without a framework.
"""

from __future__ import annotations

from .address import Address, parse_address
from .batches import array_batch, text_batch
from .conversation import PROTOCOLS, Partner, partners, spoken
from .dialect import Reply
from .http_dialects import has_page
from .images import SCALES, image_batch, picture_of
from .reading import Classes, Embeddings, Reading, Tensor, read, read_labels
from .serving_now import ServedNow, announced, served_now
from .signature import Signature, shape_text
from .wording import lines_of

__all__ = [
    "PROTOCOLS",
    "SCALES",
    "Address",
    "Classes",
    "Embeddings",
    "Partner",
    "Reading",
    "Reply",
    "ServedNow",
    "Signature",
    "Tensor",
    "announced",
    "array_batch",
    "has_page",
    "image_batch",
    "lines_of",
    "parse_address",
    "partners",
    "picture_of",
    "read",
    "read_labels",
    "served_now",
    "shape_text",
    "spoken",
    "text_batch",
]
