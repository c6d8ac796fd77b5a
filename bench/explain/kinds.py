"""What operators of different runtimes have in common: one word for the work that each does.

Every runtime has a map of its own, read from top to bottom; the first pattern that matches the whole name wins. What
no pattern knows is `Other`, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Literal

from bench.core.profiling import OpTime

Kind = Literal[
    "Convolution",
    "MatMul",
    "Attention",
    "Recurrent",
    "Elementwise",
    "Fused loops",
    "Normalization",
    "Softmax",
    "Pooling",
    "Reduction",
    "Layout",
    "Quantize/Dequantize",
    "Cast",
    "Gather",
    "Bookkeeping",
    "Other",
]

_Map = tuple[tuple[Kind, str], ...]

_ONNX: _Map = (
    ("Quantize/Dequantize", r"(Dynamic)?QuantizeLinear|DequantizeLinear"),
    ("Convolution", r"(Nhwc|Fused|QLinear)*Conv(Transpose|Integer)?"),
    ("Attention", r"(Q|MultiHead|Packed|GroupQuery|DecoderMasked\w*|Unfused)*Attention"),
    ("MatMul", r"(Fused|QLinear|DynamicQuantize|Q|Transpose)*(MatMul|Gemm)\w*"),
    ("Recurrent", r"(DynamicQuantize)?(LSTM|GRU|RNN)"),
    ("Softmax", r"(QLinear|Log|Bias)*Softmax"),
    ("Normalization", r"(Skip|Embed|Simplified|Fused|Spatial)*\w*Norm(alization)?|LRN"),
    ("Pooling", r"(QLinear|Nhwc)*(Global)?(Average|Max|Lp)Pool"),
    ("Reduction", r"(QLinear)?Reduce\w+|Arg(Max|Min)|CumSum|TopK"),
    ("Cast", r"Cast(Like)?"),
    ("Gather", r"Gather(ND|Elements)?|Scatter\w*|OneHot|EmbedLayer\w*"),
    (
        "Layout",
        (
            r"(Nhwc)?Transpose|Reorder(Input|Output)|Reshape|(Un)?[sS]queeze|Flatten|(QLinear)?Concat|Slice|Split\w*|Pad|"
            r"Expand|Tile|(Depth|Space)To(Space|Depth)|Resize|Upsample"
        ),
    ),
    ("Bookkeeping", r"Identity|Constant(OfShape)?|Shape|Size|Range|If|Loop|Scan|Memcpy\w+|NonZero"),
    (
        "Elementwise",
        (
            r"(QLinear)?(Add|Sub|Mul|Div|Sigmoid|LeakyRelu|Where)|Pow|Sqrt|Erf|Exp|Log|Abs|Neg|Relu|Elu|Selu|Celu|PRelu|"
            r"Thresholded\w+|Tanh|Clip|\w*Gelu\w*|Quick\w+|Hard\w+|Soft(plus|sign)|Mish|Swish|Min|Max|Mean|Sum|Mod|"
            r"Equal|Greater(OrEqual)?|Less(OrEqual)?|And|Or|Not|Xor|Ceil|Floor|Round|Sign|Reciprocal|Sin|Cos|IsNaN|IsInf|"
            r"Dropout|Trilu|Bias\w+"
        ),
    ),
)

_TENSORFLOW: _Map = (
    (
        "Quantize/Dequantize",
        r"_?(Mkl)?(Quantize(V2|AndDequantize\w*|DownAndShrinkRange)?|Dequantize|Requantiz\w+|FakeQuant\w+)",
    ),
    ("Convolution", r"\w*(Conv2D|Conv3D|Conv1D|DepthwiseConv2dNative)\w*|convolution"),
    ("MatMul", r"\w*(MatMul|Einsum)\w*|dot"),
    ("Recurrent", r"\w*(LSTM|GRU|RNN)\w*"),
    ("Softmax", r"\w*Softmax"),
    ("Normalization", r"\w*(BatchNorm|LayerNorm|InstanceNorm|L2Normalize|LRN)\w*"),
    ("Pooling", r"\w*(Max|Avg)Pool\w*"),
    ("Reduction", r"Mean|Sum|Prod|Max|Min|All|Any|Arg(Max|Min)|Cumsum|TopKV2|EuclideanNorm"),
    ("Cast", r"Cast|Bitcast"),
    ("Gather", r"(Resource)?Gather\w*|Scatter\w*|OneHot"),
    (
        "Layout",
        (
            r"_?(Mkl)?(Transpose|ConjugateTranspose|Reshape|Squeeze|ExpandDims|ConcatV2|Pack|Unpack|StridedSlice|Slice|"
            r"SplitV?|PadV?2?|MirrorPad|BroadcastTo|Tile|SpaceToBatchND|BatchToSpaceND|SpaceToDepth|DepthToSpace|"
            r"Resize\w+|ReverseV2|ToTf|InputConversion)|transpose|copy|reshape|concatenate|pad|slice"
        ),
    ),
    (
        "Bookkeeping",
        (
            r"Const|HostConst|Identity(N)?|NoOp|_?Arg|_?Retval|_Recv|_Send|Placeholder|Shape(N)?|Size|Rank|Range|Fill|"
            r"\w*(Read)?VariableOp|VarHandleOp|VariableV2|StatefulPartitionedCall|PartitionedCall|StopGradient|Preserve\w*|"
            r"Snapshot|Assert|If|While|Switch|Merge|Enter|Exit|NextIteration|LoopCond|Where"
        ),
    ),
    (
        "Elementwise",
        (
            r"_?(Mkl)?(BiasAdd|AddV2|AddN|Add|Sub|Mul|MulNoNan|RealDiv|Div|DivNoNan|FloorDiv|FloorMod|Maximum|Minimum|"
            r"Relu6?|Elu|Selu|LeakyRelu|Sigmoid|Tanh|Softplus|Erfc?|Exp|Log|Log1p|Expm1|Pow|Rsqrt|Sqrt|Square|"
            r"SquaredDifference|Neg|Abs|Sign|Round|Floor|Ceil|Reciprocal|SelectV2|Select|Greater(Equal)?|Less(Equal)?|"
            r"Equal|NotEqual|Logical\w+|ClipByValue|Sin|Cos|_FusedBinary\w*|Swish)"
        ),
    ),
    ("Fused loops", r"_?Xla\w+|\w*fusion.*|fused_computation.*"),
)

_TORCH: _Map = (
    (
        "Fused loops",
        r"(graph_\d+_)?(cpp|triton)_\w*fused_\w+",
    ),  # its name lists what it was made from, not what it does
    (
        "Quantize/Dequantize",
        r"(quantized_decomposed::|aten::|quantized::|torchao::)?_?(choose_qparams\w*|(de)?quantize\w*|fake_quantize\w*)",
    ),
    ("Attention", r"(aten::)?\w*(scaled_dot_product|flash_attention|multi_head_attention)\w*"),
    ("Layout", r"(\w+::)?\w*(prepack|unpack|reorder)(_\w+)?"),  # of weights: before all that is named after them
    (
        "Convolution",
        r"(\w+::)?_?(mkldnn_|slow_|thnn_|nnpack_spatial_|cudnn_)*q?conv(olution)?(\dd)?(_\w+)?",
    ),
    (
        "MatMul",
        r"(\w+::)?(\w*_)?(addmm|addbmm|baddbmm|bmm|mm|matmul|q?linear|addmv|mv|einsum|v?dot|multi_dot)(_\w+)?",
    ),
    ("Recurrent", r"(\w+::)?(\w*_)?(lstm|gru|rnn)(_\w+)?"),
    ("Softmax", r"(aten::)?_?(log_)?softmax\w*"),
    ("Normalization", r"(aten::)?_?\w*(batch_norm|layer_norm|group_norm|instance_norm|rms_norm)\w*"),
    ("Pooling", r"(aten::|mkldnn::)?_?\w*(max_pool|avg_pool)\w*"),
    ("Reduction", r"(aten::)?(mean|sum|amax|amin|max|min|argmax|argmin|prod|all|any|cumsum|topk|norm)(\..*)?"),
    ("Cast", r"(aten::)?(to|_to_copy|type_as|float|half|bfloat16)"),
    ("Gather", r"(aten::)?(embedding|index_select|gather|index|scatter|one_hot)\w*"),
    (
        "Layout",
        (
            r"(aten::)?_?(contiguous|copy_|clone|transpose|permute|t|view|reshape|flatten|unflatten|cat|concat|stack|slice|"
            r"split\w*|chunk|pad|constant_pad_nd|expand|repeat|squeeze|unsqueeze|select|unbind|narrow|as_strided|"
            r"unsafe_view|reshape_alias|to_mkldnn|to_dense|_?upsample\w*)_?"
        ),
    ),
    (
        "Bookkeeping",
        (
            r"(aten::)?(empty|empty_like|empty_strided|resize_|zeros|ones|full|zero_|fill_|detach_?|alias|lift_fresh|arange|"
            r"item|_local_scalar_dense|is_nonzero|resolve_conj|resolve_neg|set_|result_type|size|sym_\w+)\w*"
        ),
    ),
    (
        "Elementwise",
        (
            r"(aten::)?(add|sub|rsub|mul|div|relu6?|gelu|silu|sigmoid|tanh|elu|leaky_relu|hardtanh|hardswish|hardsigmoid|"
            r"clamp\w*|exp|log|erf|pow|sqrt|rsqrt|neg|abs|where|eq|ne|gt|ge|lt|le|masked_fill|maximum|minimum|bitwise_\w+|"
            r"logical_\w+|round|floor|ceil|sin|cos|dropout|bernoulli|softplus|reciprocal|threshold)_?(\..*)?"
        ),
    ),
)

_OPENVINO: _Map = (
    ("Quantize/Dequantize", r"FakeQuantize|Quantize|Dequantize"),
    ("Convolution", r"(Group)?(Convolution|Deconvolution)(BackpropData)?|BinaryConvolution"),
    ("Attention", r"ScaledDotProductAttention\w*|MHA|PagedAttention\w*"),
    ("MatMul", r"MatMul|FullyConnected\w*|Gemm|QKVProjection|LLMMLP"),
    ("Recurrent", r"(LSTM|GRU|RNN)(Cell|Sequence)\w*"),
    ("Softmax", r"(Log)?Softmax"),
    ("Normalization", r"MVN|NormalizeL2|RMS\w*|LRN|BatchNorm\w*|GroupNormalization"),
    ("Pooling", r"Pooling|(Max|Avg)Pool|AdaptivePooling"),
    ("Reduction", r"Reduce\w*|TopK|CumSum"),
    ("Cast", r"Convert\w*"),
    ("Gather", r"Gather\w*|Scatter\w*|OneHot|Embedding\w*"),
    (
        "Layout",
        (
            r"Reorder|Transpose|Reshape|Squeeze|Unsqueeze|Concat(enation)?|StridedSlice|Slice\w*|Split|VariadicSplit|Pad|"
            r"Broadcast|Tile|(Depth|Space)ToSpace|SpaceToDepth|Interpolate|ShuffleChannels"
        ),
    ),
    (
        "Bookkeeping",
        r"Input|Output|Parameter|Result|Const(ant)?|ShapeOf|MemoryInput|MemoryOutput|If|Loop|TensorIterator|Range",
    ),
    (
        "Elementwise",
        r"Eltwise|Subgraph|Add|Multiply|Subtract|Divide|Relu|ReLU|Sigmoid|Tanh|Gelu|Erf|Clamp|Math|Select|Swish|Power",
    ),
)

_LITERT: _Map = (
    ("Quantize/Dequantize", r"(DE)?QUANTIZE|FAKE_QUANT"),
    ("Convolution", r"(DEPTHWISE_)?CONV_[23]D|TRANSPOSE_CONV|CONV_3D_TRANSPOSE|(Depthwise )?(De)?[cC]onvolution.*"),
    ("MatMul", r"FULLY_CONNECTED|BATCH_MATMUL|(Dynamic )?Fully Connected.*|Batch Matrix Multiply.*|.*GEMM.*"),
    ("Recurrent", r"\w*(LSTM|RNN|GRU)\w*"),
    ("Softmax", r"(LOG_)?SOFTMAX|Soft[mM]ax.*"),
    ("Normalization", r"L2_NORMALIZATION|LOCAL_RESPONSE_NORMALIZATION|.*[nN]ormali[sz]ation.*"),
    ("Pooling", r"(AVERAGE|MAX|L2)_POOL_2D|(Global )?(Average|Max|Argmax) Pooling.*"),
    ("Reduction", r"MEAN|SUM|REDUCE_\w+|ARG_(MAX|MIN)|CUMSUM|TOPK_V2|(Mean|Sum|Static Reduce|Reduce).*"),
    ("Cast", r"CAST|Convert.*"),
    ("Gather", r"GATHER(_ND)?|EMBEDDING_LOOKUP|ONE_HOT|SCATTER_ND"),
    (
        "Layout",
        (
            r"TRANSPOSE|RESHAPE|SQUEEZE|EXPAND_DIMS|CONCATENATION|PACK|UNPACK|(STRIDED_)?SLICE|SPLIT(_V)?|PAD(V2)?|"
            r"MIRROR_PAD|BROADCAST_TO|TILE|RESIZE_\w+|SPACE_TO_\w+|BATCH_TO_SPACE_ND|DEPTH_TO_SPACE|REVERSE_V2|"
            r"(Transpose|Copy|Concatenate|Constant Pad|Slice|Even Split|Resize|Static).*"
        ),
    ),
    ("Bookkeeping", r"SHAPE|RANGE|FILL|RANK|IF|WHILE|CALL_ONCE|VAR_HANDLE|READ_VARIABLE|ASSIGN_VARIABLE"),
    (
        "Elementwise",
        (
            r"ADD(_N)?|SUB|MUL|DIV|RELU(6|_N1_TO_1|_0_TO_1)?|ELU|LEAKY_RELU|PRELU|LOGISTIC|TANH|HARD_SWISH|GELU|EXP|LOG|"
            r"POW|SQRT|RSQRT|SQUARE|SQUARED_DIFFERENCE|NEG|ABS|MAXIMUM|MINIMUM|SELECT(_V2)?|GREATER(_EQUAL)?|"
            r"LESS(_EQUAL)?|EQUAL|NOT_EQUAL|LOGICAL_\w+|FLOOR(_DIV|_MOD)?|CEIL|ROUND|SIN|COS|SIGN|"
            r"(Add|Subtract|Multiply|Divide|Clamp|Sigmoid|Tanh|HardSwish|GELU|Negate|Square|Maximum|Minimum|Abs|ELU|"
            r"Leaky ReLU|Unary|Binary).*"
        ),
    ),
)

_MAPS: Mapping[str, _Map] = {
    "onnxruntime": _ONNX,
    "tensorflow": _TENSORFLOW,
    "torch": _TORCH,
    "openvino": _OPENVINO,
    "litert": _LITERT,
}

#: Operators that compute on integers whatever element type the runtime notes for them.
_INTEGER_OPERATOR = re.compile(
    r"ConvInteger|MatMulInteger\w*|QLinear(?!Concat)\w+|QGemm|QAttention|DynamicQuantize(MatMul|LSTM)|"
    r"_?(Mkl)?(Fused)?Quantized(MatMul|Conv|DepthwiseConv|Add|Mul|Relu|BiasAdd|AvgPool|MaxPool)\w*|"
    r"(quantized|onednn)::\w+|(aten::)?_int_mm|.*\bq(conv|linear)\w*"
)
_INTEGER_KERNEL = re.compile(r"(^|[_ ])(u8|s8|i8|int8|uint8|u8s8|s8s8)($|[_ ,])", re.IGNORECASE)
#: As XNNPACK and PyTorch write element types that come with a scale.
_SCALED_TYPES = frozenset({"qc8", "qd8", "qdu8", "qs8", "qu8", "qint8", "quint8"})
_C_TYPES = {"unsigned char": "uint8", "signed char": "int8"}  # as torch.profiler writes them
_INTEGER_TYPES = _SCALED_TYPES | {"int8", "uint8", "i8", "u8", "s8", "int4", "uint4"}
_COMPUTING: frozenset[Kind] = frozenset(
    (
        "Convolution",
        "MatMul",
        "Attention",
        "Recurrent",
        "Elementwise",
        "Normalization",
        "Softmax",
        "Pooling",
        "Reduction",
    )
)


_PRODUCTS: frozenset[Kind] = frozenset(("Convolution", "MatMul", "Attention", "Recurrent"))
#: What loops that a compiler fused may hold: their names do not tell.
FUSABLE: frozenset[Kind] = _COMPUTING | {"Fused loops", "Layout", "Cast", "Gather"}
#: Weights of few bits inside one operator.
NBITS = "MatMulNBits"
_NBITS_KERNEL = re.compile(r", (int8|float32)\b")
_SILENT_KERNELS = ("", "XLA")


def kind_of(runtime: str, operator: str) -> Kind:
    """The kind of work of an operator, by the runtime's own name for it."""
    for kind, pattern in _compiled(runtime):
        if pattern.fullmatch(operator):
            return kind
    return "Other"


def kind_of_op(runtime: str, op: OpTime) -> Kind:
    """The same of an executed operator: a cast to or from a type with a scale is quantizing."""
    kind = kind_of(runtime, op.kind)
    return "Quantize/Dequantize" if kind == "Cast" and not _SCALED_TYPES.isdisjoint(_element_types(op)) else kind


def computes_on_integers(runtime: str, op: OpTime) -> bool:
    """Whether an operator does arithmetic on quantized values; quantizing and dequantizing do not count."""
    if kind_of_op(runtime, op) not in _COMPUTING:
        return False
    if _INTEGER_OPERATOR.fullmatch(op.kind) or _INTEGER_KERNEL.search(op.kernel):
        return True
    return not _INTEGER_TYPES.isdisjoint(_element_types(op))


def is_product(runtime: str, op: OpTime) -> bool:
    """Whether an operator multiplies the model's weights with what flows through it."""
    return kind_of_op(runtime, op) in _PRODUCTS


def tells_format(op: OpTime) -> bool:
    """Whether an element type or the name of a kernel says what numbers an operator computes with.

    ONNX Runtime's MatMulNBits takes floats, and multiplies them or 8-bit integers made of them, by an attribute that
    the profiler writes behind the provider's name.
    """
    if op.kind == NBITS:
        return bool(_NBITS_KERNEL.search(op.kernel))
    return bool(op.dtype) or op.kernel not in _SILENT_KERNELS


def _element_types(op: OpTime) -> list[str]:
    """`f32, qd8` names several."""
    written = op.dtype.lower()
    return [_C_TYPES[written]] if written in _C_TYPES else re.split(r"\W+", written)


@cache
def _compiled(runtime: str) -> tuple[tuple[Kind, re.Pattern[str]], ...]:
    return tuple((kind, re.compile(pattern)) for kind, pattern in _MAPS.get(runtime, ()))
