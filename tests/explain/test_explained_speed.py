from __future__ import annotations

import msgspec
import pytest

from bench.core.cell import StepCall
from bench.core.profiling import OpTime
from bench.explain.kinds import computes_on_integers, kind_of
from bench.explain.speed import Explanation, is_outside
from tests.explain.profiles import explained, op, subject, words

SIGNED = (StepCall(name="quantize_dynamic", options=(("weight_type", "QInt8"),)),)
FLOATS = subject("onnx", 6.0, op("Conv", 5.0, count=8), op("MaxPool", 0.5))
INTEGERS = subject(
    "onnx-qint8",
    25.0,
    op("ConvInteger", 21.0, count=8, dtype="uint8"),
    op("DynamicQuantizeLinear", 1.2, count=8),
    op("Mul", 1.2, count=16),
    op("Cast", 0.4, count=8, dtype="int32"),
    op("MaxPool", 0.4),
    steps=SIGNED,
)


def test_the_kind_of_work_that_makes_the_gap_comes_first() -> None:
    found = explained(FLOATS, INTEGERS)
    first = found.kinds[0]
    assert first.kind == "Convolution"
    assert first.delta_ms == pytest.approx(16.0)
    assert first.gap_ratio == pytest.approx(16 / 19)
    assert [each.operator for each in first.a_operators] == ["Conv"]
    assert [each.operator for each in first.b_operators] == ["ConvInteger"]


def test_coverage_is_what_all_operators_differ_by_and_what_points_its_way_alone_is_another_number() -> None:
    found = explained(FLOATS, INTEGERS)
    assert found.coverage_ratio == pytest.approx((16 + 1.2 + 1.2 + 0.4 - 0.1) / 19)
    assert found.gross_coverage_ratio == pytest.approx((16 + 1.2 + 1.2 + 0.4) / 19)  # without MaxPool, now faster
    assert "differences between operators cover 98.4 % of the gap" in words(FLOATS, INTEGERS)


def test_kinds_that_cancel_each_other_cover_nothing() -> None:
    found = explained(FLOATS, subject("b", 7.0, op("Conv", 0.5), op("MatMul", 5.0)))
    assert found.coverage_ratio == pytest.approx(0)
    assert found.gross_coverage_ratio == pytest.approx(5)


def test_operators_that_differ_the_other_way_cover_less_than_nothing() -> None:
    told = words(FLOATS, subject("b", 7.0, op("Conv", 4.5)))
    assert "operators together differ the other way (-100.0 % of the gap): it lies outside of them" in told


def test_operators_are_scaled_to_the_timed_calls_and_profiling_is_named_as_the_cause_of_the_rest() -> None:
    eager = subject("eager", 10.0, op("conv2d", 60.0, count=50), op("relu", 7.0, count=50), profiled_ms=70.0,
                    runtime="torch")  # fmt: skip
    compiled = subject("compiled", 5.0, op("mkldnn::_convolution_pointwise", 5.0, count=50), profiled_ms=5.25,
                       runtime="torch")  # fmt: skip
    found = explained(eager, compiled)
    assert found.a.operators_ms == pytest.approx(67 / 7)
    assert found.coverage_ratio == pytest.approx((67 / 7 - 5 / 1.05) / 5)
    told = words(eager, compiled)
    assert (
        "as profiled, they would come to 1240.0 %: that is what profiling costs, most of all in eager (7.00x)" in told
    )


def test_where_one_side_fuses_its_operators_all_computing_is_one_kind() -> None:
    eager = subject("eager", 10.0, op("conv2d", 7.0), op("relu", 2.0), op("embedding", 0.5), runtime="torch")
    compiled = subject("compiled", 6.0, op("cpp_fused_convolution_relu_0", 5.5), runtime="torch")
    found = explained(eager, compiled)
    (compute, *_) = found.kinds
    assert (compute.kind, compute.delta_ms) == ("Compute", pytest.approx(-4.0))
    assert found.coverage_ratio == found.gross_coverage_ratio == pytest.approx(1)
    told = words(eager, compiled)
    assert "compiled fuses operators into loops that do not tell what they were made of" in told
    assert "against that stands" not in told


def test_all_rows_together_are_the_gap() -> None:
    found = explained(FLOATS, INTEGERS)
    assert sum(kind.delta_ms for kind in found.kinds) == pytest.approx(found.gap_ms)


def test_a_faster_variant_is_explained_in_the_other_direction() -> None:
    found = explained(INTEGERS, FLOATS)
    assert found.kinds[0].kind == "Convolution"
    assert found.coverage_ratio == pytest.approx(18.7 / 19)
    assert "onnx is 4.17x faster than onnx-qint8" in words(INTEGERS, FLOATS)


def test_equal_speed_is_not_explained_away() -> None:
    found = explained(FLOATS, subject("twin", 6.05, op("Conv", 2.0)))
    assert found.coverage_ratio is None
    assert "equally fast" in words(FLOATS, subject("twin", 6.05, op("Conv", 2.0)))


def test_a_gap_outside_of_operators_is_called_so_and_covers_nothing() -> None:
    slow = subject("slow", 16.0, op("Conv", 5.0), op("MaxPool", 0.5))
    found = explained(FLOATS, slow)
    assert found.coverage_ratio == 0
    assert is_outside(found.kinds[0])
    told = words(FLOATS, slow)
    assert "10 ms of the gap (100.0 %) are in no operator" in told
    assert "cover 0.0 % of the gap: the rest is in none of them" in told


def test_work_against_the_gap_is_told() -> None:
    told = words(FLOATS, subject("b", 12.0, op("Conv", 14.0), op("MaxPool", 0.1)))
    assert "against that stands: outside of operators -2.6 ms, Pooling -0.4 ms" in told
    assert "come to 143.3 % of the gap (those that point its way alone 150.0 %): more than it, as less time" in told


def test_signed_weights_in_a_convolution_are_named_with_what_the_cpu_leaves_unused() -> None:
    told = words(FLOATS, INTEGERS)
    assert "ConvInteger takes 21 ms of onnx-qint8's 25 ms" in told
    assert "signed weights (QInt8) in it on this CPU (avx512_vnni present, unused)" in told


def test_unsigned_weights_are_not_blamed() -> None:
    unsigned = (StepCall(name="quantize_dynamic", options=(("weight_type", "QUInt8"),)),)
    told = words(FLOATS, subject("onnx-int8", 25.0, op("ConvInteger", 21.0), steps=unsigned))
    assert "signed weights" not in told


def test_of_a_file_quantized_elsewhere_only_the_condition_is_said() -> None:
    told = words(FLOATS, subject("mine", 25.0, op("ConvInteger", 21.0)))
    assert "it is slow where weights are signed (QInt8)" in told


def test_inserted_operators_are_counted_with_their_time() -> None:
    told = words(FLOATS, INTEGERS)
    assert "8 quantizing and dequantizing operators of onnx-qint8 take 1.2 ms (5.0 % of its operator time)" in told
    assert "8 casts of onnx-qint8 take 0.4 ms" in told


def test_the_share_of_integer_arithmetic_leaves_out_quantizing_itself() -> None:
    found = explained(FLOATS, INTEGERS)
    assert found.b.integer.count == 8
    assert found.b.integer.ratio == pytest.approx(21 / 24.2)
    assert found.a.integer.count == 0


def test_weights_that_are_only_stored_in_8_bits_are_called_so() -> None:
    told = words(FLOATS, subject("stored", 9.0, op("Conv", 5.0), op("DequantizeLinear", 3.0, count=4)))
    assert "stored computes nothing on 8-bit integers" in told


def test_of_a_runtime_that_names_no_formats_nothing_is_said_of_its_integers() -> None:
    silent = subject(
        "silent", 9.0, op("dot", 5.0, kernel="XLA", dtype=""), op("Dequantize", 3.0, dtype=""), runtime="tensorflow"
    )
    told = words(FLOATS, silent)
    assert "computes nothing on 8-bit integers" not in told
    assert "tensorflow does not say whether products of silent are computed on 8-bit integers" in told


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        ("CPU, int8", "of nbits's operator time is arithmetic on 8-bit integers"),
        ("CPU, float32", "nbits computes nothing on 8-bit integers"),
        ("CPU", "onnxruntime does not say whether products of nbits are computed on 8-bit integers"),
    ],
)
def test_weights_of_few_bits_are_multiplied_as_their_attribute_says(kernel: str, said: str) -> None:
    assert said in words(FLOATS, subject("nbits", 9.0, op("MatMulNBits", 8.0, kernel=kernel)))


def test_a_cpu_without_integer_products_is_named() -> None:
    told = words(FLOATS, INTEGERS, flags=("avx2",))
    assert "this CPU has no instructions for 8-bit integer products (amx_int8, avx512_vnni, avx_vnni)" in told
    assert "present, unused" not in told


def test_instruction_sets_come_from_kernel_names_and_silence_is_said() -> None:
    bf16 = subject("ov", 3.0, op("Convolution", 2.0, kernel="brgconv_avx512_bf16"), runtime="openvino")
    told = words(FLOATS, bf16)
    assert "kernels of ov name avx512_bf16" in told
    assert "onnxruntime does not say which instructions its kernels use" in told


def test_reference_kernels_are_told() -> None:
    plain = subject("ov", 9.0, op("Convolution", 8.0, kernel="ref_any_I8"), runtime="openvino")
    assert "1 operators of ov run on plain reference kernels and take 8 ms" in words(FLOATS, plain)


def test_two_runtimes_are_compared_by_kinds_of_work() -> None:
    found = explained(FLOATS, subject("torch", 9.0, op("conv2d", 7.0), op("max_pool2d", 1.5), runtime="torch"))
    assert [kind.kind for kind in found.kinds[:2]] == ["Convolution", "Pooling"]
    assert found.kinds[0].delta_ms == pytest.approx(2.0)


def test_what_profiling_costs_is_told_and_a_disturbed_timing_too() -> None:
    told = words(FLOATS, subject("b", 10.0, op("Conv", 9.0), profiled_ms=6.0))
    assert "1.00x in onnx, 0.60x in b of the timed ones" in told
    assert "b was faster while it was profiled" in told


def test_an_explanation_survives_json() -> None:
    found = explained(FLOATS, INTEGERS)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Explanation) == found


KINDS = {
    "onnxruntime": {
        "FusedConv": "Convolution", "QLinearConv": "Convolution", "MatMulIntegerToFloat": "MatMul",
        "FusedGemm": "MatMul", "QAttention": "Attention", "SkipLayerNormalization": "Normalization",
        "ReorderInput": "Layout",
        "DynamicQuantizeLinear": "Quantize/Dequantize", "Cast": "Cast", "GatherElements": "Gather", "BiasGelu":
        "Elementwise", "Softmax": "Softmax", "SomethingNew": "Other",
    },
    "tensorflow": {
        "_FusedConv2D": "Convolution", "_MklNativeFusedMatMul": "MatMul", "Dequantize": "Quantize/Dequantize",
        "BiasAdd": "Elementwise", "_Arg": "Bookkeeping", "ResourceGather": "Gather",
        "FusedBatchNormV3": "Normalization", "dot": "MatMul", "convolution": "Convolution",
    },
    "torch": {
        "conv2d": "Convolution", "aten::conv2d": "Convolution", "linear": "MatMul", "layer_norm": "Normalization",
        "scaled_dot_product_attention": "Attention", "cpp_fused_convolution_relu": "Fused loops", "to": "Cast",
        "contiguous": "Layout", "embedding": "Gather", "relu": "Elementwise", "avg_pool2d": "Pooling",
        "onednn::qconv2d_pointwise": "Convolution", "mkldnn::_convolution_pointwise": "Convolution",
        "slow_conv_dilated2d": "Convolution", "convolution": "Convolution", "_nnpack_spatial_convolution":
        "Convolution", "_reorder_convolution_weight": "Layout", "mkldnn::_reorder_linear_weight": "Layout",
        "onednn::qlinear_prepack": "Layout", "upsample_bilinear2d": "Layout", "cummax": "Other", "lgamma": "Other",
        "_int_mm": "MatMul", "addmm": "MatMul", "_weight_int8pack_mm": "MatMul", "mkl::_mkl_linear": "MatMul",
        "quantized::linear_dynamic": "MatMul", "lstm": "Recurrent", "mkldnn_rnn_layer": "Recurrent",
    },
    "openvino": {"FullyConnected": "MatMul", "Reorder": "Layout", "Convert": "Cast", "Subgraph": "Elementwise"},
    "litert": {"CONV_2D": "Convolution", "FULLY_CONNECTED": "MatMul", "QUANTIZE": "Quantize/Dequantize",
               "Fully Connected (NC, F32) GEMM": "MatMul", "RESHAPE": "Layout"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("runtime", "operator", "kind"), [(r, o, k) for r, operators in KINDS.items() for o, k in operators.items()]
)
def test_operators_of_every_runtime_have_a_kind(runtime: str, operator: str, kind: str) -> None:
    assert kind_of(runtime, operator) == kind


@pytest.mark.parametrize(
    ("runtime", "operator", "expected"),
    [
        ("onnxruntime", op("QLinearConv", 1), True),
        ("onnxruntime", op("Conv", 1), False),
        ("onnxruntime", op("QuantizeLinear", 1, dtype="uint8"), False),
        ("openvino", op("Convolution", 1, kernel="brgconv_avx512_core_vnni_I8", dtype="f32"), True),
        ("openvino", op("Convolution", 1, kernel="brgconv_avx512_bf16", dtype="bf16"), False),
        ("torch", op("onednn::qconv2d_pointwise", 1), True),
        ("torch", op("_int_mm", 1, dtype="signed char"), True),
        ("torch", op("_int_mm", 1, dtype=""), True),
        ("torch", op("matmul", 1, dtype="unsigned char"), True),
        ("torch", op("_weight_int8pack_mm", 1, dtype="float"), False),
        ("onnxruntime", op("MatMulNBits", 1, kernel="CPU"), False),
        ("onnxruntime", op("MatMulNBits", 1, kernel="CPU, int8"), True),
        ("onnxruntime", op("MatMulNBits", 1, kernel="CPU, float32"), False),
        ("litert", op("CONV_2D", 1, dtype="int8"), True),
        ("litert", op("Convolution", 1, dtype="qd8, f32, qc8w"), True),
        ("litert", op("Convolution", 1, kernel="XNNPACK (NHWC, QC8) IGEMM", dtype="qc8"), True),
        ("litert", op("Convolution", 1, dtype="qdu8, f32, qc8w", kernel="XNNPACK (NHWC, QDU8, F32, QC8W) IGEMM"), True),
        ("litert", op("Convolution", 1, dtype="f32, qc8w", kernel="XNNPACK (NHWC, F32, QC8W) IGEMM"), False),
        ("onnxruntime", op("Reshape", 1, dtype="uint8"), False),
    ],
)
def test_integer_arithmetic_is_known_by_operator_kernel_or_element_type(
    runtime: str, operator: OpTime, expected: bool
) -> None:
    assert computes_on_integers(runtime, operator) is expected


def test_a_cast_to_a_type_with_a_scale_is_quantizing() -> None:
    dynamic = subject(
        "dynamic", 3.0, op("Convolution", 2.0, dtype="qd8, f32, qc8w"), op("Convert", 0.5, count=8, dtype="f32, qdu8"),
        op("Convert", 0.1, dtype="f16, f32"), runtime="litert",
    )  # fmt: skip
    side = explained(FLOATS, dynamic).b
    assert (side.quantize.count, side.cast.count) == (8, 1)
    assert [each.kind for each in side.operators if each.operator == "Convert"] == ["Quantize/Dequantize", "Cast"]
