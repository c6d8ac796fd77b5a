"""Reads the .xml of an OpenVINO IR by itself: OpenVINO is not needed, and no entity of the file is expanded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from bench.core.errors import TargetError
from bench.formats.openvino_ir import require_no_document_type

from .arithmetic import Product, known_product, own_work
from .drawing import Node
from .inspection import Structure, Subject, counted, summed

_PRODUCTS = {"Convolution", "GroupConvolution", "MatMul"}
_NOT_COUNTED = {"ConvolutionBackpropData", "GroupConvolutionBackpropData", "LSTMSequence", "GRUSequence", "Loop"}
_NAMES = {"f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "boolean": "bool", "string": "str"}
_FACTS = ("Runtime_version", "framework", "conversion_parameters", "optimum_version", "nncf")


@dataclass(kw_only=True, slots=True)
class _Layer:
    id: str
    name: str
    kind: str
    data: Mapping[str, str] = field(default_factory=dict)
    inputs: list[list[int]] = field(default_factory=list)
    outputs: list[list[int]] = field(default_factory=list)


@dataclass(kw_only=True, slots=True)
class _Document:
    """What is kept of the file while it is read from its beginning to its end."""

    version: str = ""
    layers: list[_Layer] = field(default_factory=list)
    edges: list[tuple[str, str]] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    place: list[str] = field(default_factory=list)
    text: str = ""

    def begin(self, tag: str, attributes: dict[str, str]) -> None:
        """An element opens."""
        self.place.append(tag)
        self.text = ""
        if tag == "net":
            self.version = attributes.get("version", "")
        elif tag == "layer":
            self.layers.append(_Layer(id=attributes["id"], name=attributes["name"], kind=attributes["type"]))
        elif tag == "data" and self.layers:
            self.layers[-1].data = attributes
        elif tag == "port":
            self._ports().append([])
        elif tag == "edge":
            self.edges.append((attributes["from-layer"], attributes["to-layer"]))
        elif "rt_info" in self.place and tag in _FACTS and "value" in attributes:
            self.facts[tag] = attributes["value"]

    def end(self, tag: str) -> None:
        """An element closes."""
        if tag == "dim" and self.text.strip():
            self._ports()[-1].append(int(self.text))
        self.place.pop()
        self.text = ""

    def characters(self, text: str) -> None:
        """Text inside an element."""
        self.text += text

    def _ports(self) -> list[list[int]]:
        return self.layers[-1].inputs if "input" in self.place else self.layers[-1].outputs


def read(subject: Subject) -> Structure:
    """Layers by type, constants by element type, and a count of multiply-adds at the sizes in the file."""
    document = _parse(subject)
    by_id = {layer.id: layer for layer in document.layers}
    feeds: dict[str, list[_Layer]] = {}
    for source, target in document.edges:
        if source in by_id:
            feeds.setdefault(target, []).append(by_id[source])
    products = [_product(layer, feeds) for layer in document.layers if layer.kind in _PRODUCTS]
    kinds = Counter(layer.kind for layer in document.layers)
    constants = [layer.data for layer in document.layers if layer.kind == "Const"]
    return Structure(
        operators=counted(kinds),
        weights=summed((_dtype(data.get("element_type", "")), _values(data.get("shape", ""))) for data in constants),
        work=own_work(products, {}, not_counted=_NOT_COUNTED & kinds.keys()),
        products=len(products),
        products_on_8_bit=sum(product.is_on_8_bit for product in products),
        nodes_on_8_bit=sum(_is_on_8_bit(layer, feeds) for layer in document.layers),
        facts=tuple({"IR version": document.version, **document.facts}.items()),
    )


def draw(subject: Subject) -> list[Node]:
    """All layers but constants."""
    document = _parse(subject)
    shown = {layer.id: layer.name for layer in document.layers if layer.kind != "Const"}
    return [
        Node(
            name=layer.name,
            operator=layer.kind,
            inputs=tuple(shown[source] for source, target in document.edges if target == layer.id and source in shown),
        )
        for layer in document.layers
        if layer.id in shown
    ]


def _parse(subject: Subject) -> _Document:
    require_no_document_type(subject.path)
    document = _Document()
    parser = expat.ParserCreate()
    parser.StartElementHandler = document.begin
    parser.EndElementHandler = document.end
    parser.CharacterDataHandler = document.characters
    try:
        parser.Parse(subject.path.read_bytes(), True)
    except (expat.ExpatError, KeyError, ValueError, IndexError) as error:
        raise TargetError(
            f"{subject.path}: not a readable openvino_ir model: {error}", hint="check that the file is complete"
        ) from error
    return document


def _dtype(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    signless = {"i": "int", "u": "uint"}
    return f"{signless[name[0]]}{name[1:]}" if name[:1] in signless and name[1:].isdigit() else name or "unknown"


def _values(shape: str) -> int:
    return known_product([int(size) for size in shape.split(",") if size.strip()]) or 0


def _product(layer: _Layer, feeds: Mapping[str, list[_Layer]]) -> Product:
    """A first axis of -1 is the batch, taken as one sample; any other unknown size leaves the amount unknown."""
    output = _one_sample(layer.outputs[0]) if layer.outputs else None
    left, right = [*layer.inputs, [], []][:2]
    if layer.kind == "Convolution":
        amount = known_product(output, right[1:])
    elif layer.kind == "GroupConvolution":
        amount = known_product(output, right[2:])
    else:
        is_transposed = layer.data.get("transpose_a") == "true"
        amount = known_product(output, left[-2:-1] if is_transposed else left[-1:])
    return Product(operator=layer.kind, multiply_adds=amount, is_on_8_bit=_is_on_8_bit(layer, feeds))


def _one_sample(shape: list[int]) -> list[int]:
    return [1, *shape[1:]] if shape[:1] == [-1] else shape


def _is_on_8_bit(layer: _Layer, feeds: Mapping[str, list[_Layer]]) -> bool:
    """NNCF leaves FakeQuantize before what a device then computes on 8 bits."""
    if layer.kind not in _PRODUCTS:
        return False
    return any(source.kind == "FakeQuantize" for source in feeds.get(layer.id, ()))
