from __future__ import annotations

from dataclasses import replace
from typing import Any

from bench.core.cell import Tolerance
from bench.explain.divergence import Divergence, TensorError, locate, producer_of
from bench.explain.divergence_words import divergence_words, tolerance_words
from bench.explain.graph import Graph, Node, Pair, in_order, match, nearest


def node(operator: str, inputs: str, outputs: str) -> Node:
    return Node(name=f"{operator}_{outputs}", operator=operator, inputs=tuple(inputs.split()), outputs=(outputs,))


CHAIN = Graph(
    nodes=(node("Conv", "x w", "a"), node("Relu", "a", "b"), node("Conv", "b v", "c"), node("Add", "c b", "y")),
    constants=frozenset({"w", "v"}),
)
QUANTIZED = Graph(
    nodes=(
        node("QuantizeLinear", "x", "x_QuantizeLinear_Output"),
        node("DequantizeLinear", "x_QuantizeLinear_Output", "x_DequantizeLinear_Output"),
        node("DequantizeLinear", "w_quantized", "w_DequantizeLinear_Output"),
        node("Conv", "x_DequantizeLinear_Output w_DequantizeLinear_Output", "a"),
        node("QuantizeLinear", "a", "a_QuantizeLinear_Output"),
        node("DequantizeLinear", "a_QuantizeLinear_Output", "a_DequantizeLinear_Output"),
    ),
    constants=frozenset({"w_quantized"}),
)


def error(tensor: str, relative_error: float, *, bad: bool = False) -> TensorError:
    made_by = producer_of(CHAIN, tensor)
    return TensorError(
        tensor=tensor,
        reference_tensor=tensor,
        node=made_by.name,
        operator=made_by.operator,
        relative_error=relative_error,
        cosine=None,
        max_abs_error=relative_error,
        problem="relative error is above 0.001" if bad else "",
    )


def test_quantized_names_are_matched_in_their_rounded_form() -> None:
    reference = Graph(nodes=(node("Conv", "x w", "a"),), constants=frozenset({"w"}))
    assert match(reference, QUANTIZED) == (
        Pair(reference="w", variant="w_quantized"),
        Pair(reference="w", variant="w_DequantizeLinear_Output"),
        Pair(reference="a", variant="a_DequantizeLinear_Output"),
    )


def test_a_rounded_tensor_is_told_by_the_node_that_computed_it() -> None:
    made_by = producer_of(QUANTIZED, "a_DequantizeLinear_Output")
    assert (made_by.name, made_by.operator) == ("Conv_a", "Conv, rounded")
    assert producer_of(QUANTIZED, "w_DequantizeLinear_Output").operator == "DequantizeLinear"


def test_a_constant_comes_right_before_the_node_that_reads_it_first() -> None:
    assert list(CHAIN.tensors()) == ["w", "a", "b", "v", "c", "y"]


def test_a_name_that_the_reference_lacks_has_no_partner() -> None:
    assert match(Graph(nodes=()), QUANTIZED) == ()


def test_the_nearest_compared_tensors_are_found_through_those_that_were_not() -> None:
    among = frozenset({"a", "w_DequantizeLinear_Output"})
    assert nearest(QUANTIZED, "a_DequantizeLinear_Output", among) == ("a",)
    assert nearest(QUANTIZED, "a", among) == ("w_DequantizeLinear_Output",)


def test_nodes_are_put_behind_what_they_read() -> None:
    backwards = tuple(reversed(CHAIN.nodes))
    assert [each.outputs[0] for each in in_order(backwards)] == ["a", "b", "c", "y"]


def test_the_nodes_of_a_loop_are_not_lost() -> None:
    loop = (node("Merge", "next", "current"), node("NextIteration", "current", "next"))
    assert set(in_order(loop)) == set(loop)


def test_the_first_of_an_unbroken_chain_to_the_output_is_the_origin() -> None:
    errors = [error("a", 0.0), error("b", 0.0), error("c", 0.3, bad=True), error("y", 0.2, bad=True)]
    found = locate(CHAIN, errors, ["y"])
    assert found.first is not None
    assert found.first.tensor == "c"
    assert [each.tensor for each in found.first_inputs] == ["b"]
    assert found.jump is not None
    assert found.jump.tensor == "c"
    assert found.detours == 0


def test_a_changed_weight_is_the_origin_of_what_it_spoils() -> None:
    errors = [error("v", 0.5, bad=True), error("a", 0.0), error("b", 0.0), error("c", 0.3, bad=True)]
    found = locate(CHAIN, [*errors, error("y", 0.2, bad=True)], ["y"])
    assert found.first is not None
    assert found.first.tensor == "v"
    assert found.first.operator == "constant"


def test_a_tensor_that_differs_while_all_behind_it_agrees_is_a_detour() -> None:
    errors = [error("a", 4.0, bad=True), error("b", 0.0), error("c", 0.0), error("y", 0.0)]
    found = locate(CHAIN, errors, ["y"])
    assert found.first is None
    assert found.detours == 1


def test_values_that_are_no_numbers_come_first_among_the_worst() -> None:
    spoilt = TensorError(
        tensor="b", reference_tensor="b", node="Relu_b", operator="Relu", relative_error=None, cosine=None,
        max_abs_error=None, problem="4 of 4 values not finite",
    )  # fmt: skip
    found = locate(CHAIN, [error("a", 0.1), spoilt, error("c", 0.2, bad=True), error("y", 0.2, bad=True)], ["y"])
    assert found.worst[0] == spoilt
    assert found.jump == spoilt


def told(**changed: Any) -> str:
    found = Divergence(
        reference="float", variant="int8", against="float", tolerance="any", batches=2, compared=4, tensors=9,
        outputs=(error("y", 0.2, bad=True),),
    )  # fmt: skip
    return "\n".join(divergence_words(replace(found, **changed)))


def test_the_words_name_node_operator_and_the_errors_of_its_inputs() -> None:
    text = told(first=error("c", 0.3, bad=True), first_inputs=(error("b", 0.001),))
    assert "the first tensor outside the tolerance is 'c', made by Conv 'Conv_c'" in text
    assert "relative errors of its inputs: 'b' 0.001" in text


def test_a_fault_in_no_tensor_is_said_to_be_elsewhere() -> None:
    assert "yet no tensor inside leaves the tolerance" in told()


def test_without_a_common_tensor_that_is_said() -> None:
    assert "have no common tensor inside" in told(against="")


def test_the_tolerance_is_told_in_words() -> None:
    words = tolerance_words(Tolerance(relative_error=None, cosine=0.98, accuracy_loss_ratio=0.02))
    assert words == "cosine at least 0.98"
