"""One case per optimizer and converter: the smallest source it accepts, and how close its result must be.

Sources are built by functions of `step_sources.py`, in the process that holds the framework.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from converters import onnx2tf_packages

SIZES = ({"batch": 1, "sequence": 7}, {"batch": 5, "sequence": 40})


@dataclass(frozen=True, kw_only=True)
class Gap:
    """The case cannot pass, and must fail with a StepFailed that holds `error`: whose gap it is (`ours`: we have not,
    `upstream`: the tool cannot yet, `never`: it makes no sense)."""

    whose: Literal["ours", "upstream", "never"]
    error: str


@dataclass(frozen=True, kw_only=True)
class StepCase:
    """`source` names a function of `step_sources.py`; `relative_error` is max abs difference over max abs value.

    `sizes` are the sizes of named dimensions to compare at; `executes` is False where no device here can run the
    result. Steps that learn are given `step_sources.examples_for` their source.
    """

    step: str
    family: str  # cases of a family share one process, for importing a framework takes seconds
    source: str
    relative_error: float
    options: Mapping[str, Any] = field(default_factory=dict)
    sizes: tuple[Mapping[str, int], ...] = SIZES
    executes: bool = True
    gap: Gap | None = None

    @property
    def id(self) -> str:
        """Step, source and options, as pytest shows them."""
        return "-".join((self.step, self.source, *(f"{name}={value}" for name, value in self.options.items())))

    @property
    def narrows(self) -> bool:
        """Whether the result must hold narrower weights than its source."""
        return (
            self.step.startswith("quantize_")
            or self.step in {"compress_openvino", "float16", "to_tflite_int8"}
            or self.options.get("precision", "float32") != "float32"
            or bool(self.options.get("compress_to_float16"))
        )


#: The packages of onnx2tf are fetched apart: python -m converters.onnx2tf_packages.
ONNX2TF_NOT_FETCHED = None if onnx2tf_packages.is_fetched() else Gap(whose="ours", error="onnx2tf is not fetched")

#: What a network learned anew answers is not its source's to the digit: scenarios_learning.py judges it.
_LEARNED = math.inf

CASES = (
    StepCase(step="binarize", family="learning", source="torch_classifier", relative_error=_LEARNED),
    StepCase(
        step="binarize",
        family="learning",
        source="layered_classifier",
        relative_error=_LEARNED,
        options={"activations": True},
    ),
    StepCase(step="compress_openvino", family="openvino", source="openvino_model", relative_error=0.05),
    StepCase(
        step="compress_openvino",
        family="openvino",
        source="openvino_model",
        relative_error=0.3,
        options={"mode": "INT4_SYM", "all_layers": True},
    ),
    StepCase(
        step="exported_program_to_aot_inductor",
        family="aot_inductor",
        source="exported_encoder",
        relative_error=1e-5,
    ),
    StepCase(
        step="distill", family="learning", source="layered_classifier", relative_error=_LEARNED, options={"epochs": 10}
    ),
    StepCase(step="float16", family="onnx_tools", source="onnx_convolutions", relative_error=0.01),
    StepCase(step="fold", family="tensorflow", source="frozen_graph", relative_error=1e-5),
    StepCase(step="freeze", family="tensorflow", source="saved_model", relative_error=1e-5),
    StepCase(step="frozen_graph_to_onnx", family="tflite", source="frozen_graph", relative_error=1e-5),
    StepCase(step="frozen_graph_to_saved_model", family="tflite", source="frozen_graph", relative_error=1e-6),
    StepCase(step="fuse_batch_norm", family="torch_programs", source="torch_classifier", relative_error=1e-5),
    StepCase(step="fuse_transformer", family="onnx_tools", source="onnx_encoder", relative_error=1e-4),
    StepCase(step="keras_to_saved_model", family="tensorflow", source="keras_model", relative_error=1e-5),
    StepCase(
        step="onnx_to_saved_model",
        family="onnx2tf",
        source="onnx_convolutions",
        relative_error=1e-4,
        gap=ONNX2TF_NOT_FETCHED,
    ),
    StepCase(
        step="onnx_to_saved_model",
        family="onnx2tf",
        source="onnx_feature_maps",
        relative_error=1e-4,
        gap=ONNX2TF_NOT_FETCHED,
    ),
    StepCase(
        step="onnx_to_saved_model",
        family="onnx2tf",
        source="onnx_encoder",
        relative_error=1e-4,
        gap=ONNX2TF_NOT_FETCHED or Gap(whose="upstream", error="is not the source's in any order of axes"),
    ),
    StepCase(step="onnx_to_tensorrt", family="tensorrt", source="onnx_model", relative_error=0, executes=False),
    StepCase(
        step="onnx_to_tensorrt",
        family="tensorrt",
        source="onnx_model",
        relative_error=0,
        options={"compute_capabilities": ("SM80",), "max_batch": 8},
        executes=False,
    ),
    StepCase(step="optimize_onnx", family="onnx_tools", source="onnx_convolutions", relative_error=1e-5),
    StepCase(
        step="optimize_onnx",
        family="onnx_tools",
        source="onnx_convolutions",
        relative_error=1e-5,
        options={"level": "basic"},
    ),
    StepCase(
        step="optimize_onnx",
        family="onnx_tools",
        source="onnx_convolutions",
        relative_error=1e-5,
        options={"level": "all"},
    ),
    StepCase(step="prune", family="learning", source="torch_classifier", relative_error=_LEARNED),
    StepCase(
        step="prune",
        family="learning",
        source="layered_classifier",
        relative_error=_LEARNED,
        options={"structured": True, "sparsity_ratio": 0.5},
    ),
    StepCase(step="quantize_dynamic", family="onnx", source="onnx_model", relative_error=0.05),
    StepCase(
        step="quantize_dynamic",
        family="onnx",
        source="onnx_model",
        relative_error=0.05,
        options={"weight_type": "QInt8", "op_types": ("MatMul",), "per_channel": True},
    ),
    StepCase(step="quantize_keras", family="tflite", source="keras_model", relative_error=0.05),
    StepCase(
        step="quantize_keras", family="tflite", source="keras_model", relative_error=0.5, options={"mode": "int4"}
    ),
    StepCase(step="quantize_matmul", family="onnx_tools", source="onnx_model", relative_error=0.2),
    StepCase(
        step="quantize_matmul",
        family="onnx_tools",
        source="onnx_model",
        relative_error=0.02,
        options={"bits": 8, "accuracy_level": 1},
    ),
    StepCase(step="quantize_openvino", family="openvino", source="openvino_model", relative_error=0.05),
    StepCase(
        step="quantize_openvino",
        family="openvino",
        source="openvino_model",
        relative_error=0.1,
        options={"preset": "mixed", "model_type": "transformer"},
    ),
    StepCase(step="quantize_pt2e", family="torch_programs", source="torch_classifier", relative_error=0.1),
    StepCase(
        step="quantize_pt2e",
        family="torch_programs",
        source="torch_encoder",
        relative_error=0.1,
        options={"activations": "dynamic", "calibration_batches": 2},
    ),
    StepCase(step="quantize_static", family="onnx_tools", source="onnx_convolutions", relative_error=0.05),
    StepCase(
        step="quantize_static",
        family="onnx_tools",
        source="onnx_convolutions",
        relative_error=0.1,
        options={"calibration": "entropy"},
    ),
    StepCase(
        step="quantize_static",
        family="onnx_tools",
        source="onnx_convolutions",
        relative_error=0.05,
        options={"calibration": "percentile", "samples": 40},
    ),
    StepCase(
        step="quantize_static",
        family="onnx_tools",
        source="onnx_convolutions",
        relative_error=0.05,
        options={"symmetric": True, "per_channel": False},
    ),
    StepCase(
        step="quantize_static",
        family="onnx_tools",
        source="onnx_encoder",
        relative_error=0.1,
        options={"op_types": ("MatMul",)},
    ),
    StepCase(step="quantize_tflite", family="tflite", source="tflite_model", relative_error=0.05),
    StepCase(
        step="quantize_tflite",
        family="tflite",
        source="tflite_model",
        relative_error=0.05,
        options={"recipe": "weight_only_int8"},
    ),
    StepCase(step="quantize_torchao", family="torch_programs", source="torch_encoder", relative_error=0.05),
    StepCase(
        step="quantize_torchao",
        family="torch_programs",
        source="torch_encoder",
        relative_error=0.05,
        options={"activations": "int8"},
    ),
    StepCase(step="quantize_weights", family="tensorflow", source="frozen_graph", relative_error=0.05),
    StepCase(
        step="quantize_weights",
        family="tensorflow",
        source="frozen_graph",
        relative_error=0.05,
        options={"fold": False},
    ),
    StepCase(step="saved_model_to_onnx", family="tensorflow", source="saved_model", relative_error=1e-5),
    StepCase(step="slim_onnx", family="onnx_tools", source="onnx_encoder", relative_error=1e-5),
    StepCase(step="strip", family="tensorflow", source="frozen_graph", relative_error=1e-5),
    StepCase(step="to_openvino", family="openvino", source="onnx_model", relative_error=1e-5),
    StepCase(
        step="to_openvino",
        family="openvino",
        source="onnx_model",
        relative_error=2e-3,
        options={"compress_to_float16": True},
    ),
    StepCase(step="to_openvino", family="openvino", source="saved_model", relative_error=1e-5),
    StepCase(step="to_openvino", family="openvino", source="frozen_graph", relative_error=1e-5),
    StepCase(step="to_openvino", family="openvino", source="tflite_model", relative_error=1e-5),
    StepCase(step="to_openvino", family="openvino", source="torch_encoder", relative_error=1e-5),
    StepCase(step="tflite_to_onnx", family="tflite", source="tflite_model", relative_error=1e-5),
    StepCase(step="to_tflite", family="tflite", source="saved_model", relative_error=1e-5),
    StepCase(step="to_tflite", family="tflite", source="frozen_graph", relative_error=1e-5),
    StepCase(
        step="to_tflite",
        family="tflite",
        source="saved_model",
        relative_error=2e-3,
        options={"precision": "float16"},
    ),
    StepCase(
        step="to_tflite",
        family="tflite",
        source="saved_model",
        relative_error=0.05,
        options={"precision": "dynamic_int8"},
    ),
    StepCase(step="to_tflite_int8", family="tflite", source="saved_model", relative_error=0.05),
    StepCase(
        step="to_tflite_int8",
        family="tflite",
        source="frozen_graph",
        relative_error=0.05,
        options={"samples": 16, "float_fallback": True},
    ),
    StepCase(step="torch_to_exported_program", family="torch", source="torch_encoder", relative_error=1e-5),
    StepCase(step="torch_to_keras", family="learning", source="layered_classifier", relative_error=1e-5),
    StepCase(step="torch_to_onnx", family="torch", source="torch_encoder", relative_error=1e-5),
    StepCase(
        step="torch_to_onnx",
        family="torch",
        source="torch_encoder",
        relative_error=1e-5,
        options={"exporter": "legacy"},
    ),
    StepCase(step="torch_to_torchscript", family="torch_programs", source="torch_encoder", relative_error=1e-5),
    StepCase(
        step="torch_to_torchscript",
        family="torch_programs",
        source="torch_classifier",
        relative_error=1e-5,
        options={"freeze": False},
    ),
)
