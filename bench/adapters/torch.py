"""PyTorch on the CPU: modules, exported programs and the user's own callables, eager or through `torch.compile`.

Exported programs and callables run code when they are loaded; whether the user trusts them is asked long before a
file comes here (`bench.core.trust`).
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from bench.core.artifact import Artifact
from bench.core.errors import TargetError
from bench.formats.detect import split_callable
from bench.formats.exported_program import load_exported as read_exported
from bench.formats.torch_module import load_torch_module

from .boundary import Call, ModelSession, as_target_error
from .torch_compiler import Mode, compiled
from .torch_precision import in_precision, with_channels_last

if TYPE_CHECKING:
    from bench.core.contracts import Array


@dataclass(frozen=True, kw_only=True)
class Options:
    """`compile` hands the model to `torch.compile`, with weights as constants (`freezing`) or the quickest of several
    kernels (`max-autotune`); the compilation is part of the first call. `channels_last` stores the weights of
    convolutions so, and the first one converts its input. `precision`: weights and values in bfloat16, or only where
    PyTorch's autocast finds it safe; outputs are float32 all the same.
    """

    compile: bool | Literal["max-autotune", "freezing"] = False
    channels_last: bool = False
    precision: Literal["float32", "bfloat16", "autocast"] = "float32"


class Torch:
    """Adapter of torch_module directories, .pt2 files and `file.py:function` callables."""

    Options: ClassVar[type[Any]] = Options

    def open(self, artifact: Artifact, *, threads: int, options: Any) -> ModelSession:
        """Load the model in inference mode; TargetError says why it cannot be."""
        import torch

        size_pools(threads)
        loaders: Mapping[str, Callable[[str], Any]] = {
            "torch_module": lambda path: load_torch_module(Path(path)),
            "exported_program": lambda path: load_exported(Path(path)).module(),
            "python_callable": lambda path: load_callable(path)(),
        }
        with as_target_error(f"{artifact.path}: PyTorch cannot open it as {artifact.format}"):
            model = loaders[artifact.format](artifact.path)
        if not callable(model):
            raise TargetError(
                f"{artifact.path}: returned {type(model).__name__}, not a model",
                hint="let the function return a torch.nn.Module, or a callable that takes and returns tensors",
            )
        if artifact.format == "python_callable" and isinstance(model, torch.nn.Module):
            model.eval()
        words, compile_s = [_device(model)], None
        if options.channels_last:
            model = with_channels_last(model, artifact)
            words.append("channels last")
        if options.precision != "float32":
            model = in_precision(model, options.precision, artifact)
            words.append(options.precision)
        if options.compile:
            mode: Mode = "default" if options.compile is True else options.compile
            model, compile_s = compiled(model, mode)
            words.append(f"torch.compile {mode}")
        names = [spec.native_name for spec in artifact.outputs]
        return ModelSession(
            artifact,
            versions={"torch": torch.__version__},
            provider=", ".join(words),
            bind=partial(bind_tensors, model, names),
            compile_s=compile_s,
        )


def size_pools(threads: int) -> None:
    """Give the pool that computes `threads` threads and the other one a single one, which it never needs."""
    import torch

    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != 1:
        try:
            torch.set_num_interop_threads(1)
        except RuntimeError as error:
            raise TargetError(
                f"PyTorch already runs {torch.get_num_interop_threads()} inter-op threads in this process",
                hint="open the model in a process of its own",
            ) from error


def _device(model: Callable[..., Any]) -> str:
    """Where the parameters lie; a callable without any is given tensors on the CPU."""
    import torch

    parameters = model.parameters() if isinstance(model, torch.nn.Module) else iter(())
    return next((str(parameter.device) for parameter in parameters), "cpu")


def load_exported(path: Path) -> Any:
    """The exported program in a .pt2 file. This runs code that the file may hold."""
    with as_target_error(f"{path}: not an exported program", hint="save it with torch.export.save"):
        return read_exported(path)


def load_callable(location: str) -> Callable[[], Any]:
    """The function named by `file.py:function`. This runs the file."""
    parts = split_callable(location)
    if parts is None:
        raise TargetError(f"{location}: not of the form file.py:function")
    path, function_name = parts
    spec = importlib.util.spec_from_file_location(f"deploybench_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and others look their own module up while it is being run
    with as_target_error(f"{path}: cannot be imported"):
        spec.loader.exec_module(module)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise TargetError(f"{path}: defines no function {function_name!r}", hint="name it as file.py:function")
    made: Callable[[], Any] = function
    return made


def in_order(outputs: Any, names: Sequence[str]) -> Sequence[Any]:
    """A model's answer as a sequence of tensors: mappings by name, sequences and single tensors as they come."""
    if isinstance(outputs, Mapping):
        return [outputs[name] for name in names]
    return outputs if isinstance(outputs, list | tuple) else (outputs,)


def bind_tensors(model: Callable[..., Any], names: Sequence[str], arrays: list[Array]) -> Call:
    """Tensors of PyTorch's own, aligned as it likes them, so that no model writes into the caller's arrays. Outputs
    are read in place once the first two calls were seen to give memory of their own; a model that answers in the same
    memory again has its outputs copied by every call.

    Inference mode is entered in the call, as in service: it is a property of the calling thread, and costs 2 us.
    """
    import torch

    tensors = [torch.from_numpy(array).clone() for array in arrays]
    inference_mode = torch.inference_mode
    is_known = reads_in_place = False
    first: Sequence[Any] | None = None  # kept until the second call: freed memory would be given out again

    def call() -> Sequence[Array]:
        nonlocal is_known, reads_in_place, first
        with inference_mode():
            outputs = in_order(model(*tensors), names)
        if reads_in_place:
            return [output.numpy() for output in outputs]
        answer = [output.numpy().copy() for output in outputs]
        if first is not None:
            is_known, reads_in_place, first = True, _memory(outputs).isdisjoint(_memory(first)), None
        elif not is_known:
            first = outputs
        return answer

    return call


def _memory(tensors: Sequence[Any]) -> set[int]:
    """Where the values of tensors lie; those without any lie nowhere."""
    return {tensor.untyped_storage().data_ptr() for tensor in tensors if tensor.numel()}


ADAPTER = Torch()
