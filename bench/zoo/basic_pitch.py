"""A real pretrained network that hears which notes sound: Spotify's Basic Pitch, as its package ships it.

Two seconds of audio at 22050 Hz give activations per frame for 88 piano keys. The package holds the same weights as a
TensorFlow SavedModel and as ONNX (Apache-2.0; R. Bittner et al., ICASSP 2022).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bench.core.artifact import TensorSpec
from bench.core.contracts import Examples, LabelledSet, StepResult

from .fetch import member

if TYPE_CHECKING:
    import numpy as np

    from bench.core.cell import Dimension
    from bench.core.contracts import Array, Batch

_SAMPLES = 43_844
_RATE_HZ = 22_050
_FRAMES = 172
_LOWEST_MIDI, _HIGHEST_MIDI = 21, 108  # the piano's keys, one activation each
_LABELS_SEED = 88
_CHORD_PITCHES = (36, 97)  # where music lives
_CHORD_SIZES = (1, 5)
_EXAMPLES = 24  # of chords, and as many of single notes in noise
_ROOT = "basic_pitch/saved_models/icassp_2022"
_SAVED_MODEL = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")

_NATIVE_NAMES = {
    "saved_model": {"audio": "input_2", "note": "note", "onset": "onset", "contour": "contour"},
    "onnx": {
        "audio": "serving_default_input_2:0",
        "note": "StatefulPartitionedCall:1",
        "onset": "StatefulPartitionedCall:2",
        "contour": "StatefulPartitionedCall:0",
    },
}


class BasicPitch:
    """The zoo entry."""

    formats: ClassVar[tuple[str, ...]] = ("saved_model", "onnx")

    def build(self, format: str, out_dir: Path) -> StepResult:
        """Copy the fetched model to `saved_model` or `model.onnx`; HostError when it was not fetched."""
        if format == "onnx":
            path = out_dir / "model.onnx"
            shutil.copyfile(member("basic_pitch", f"{_ROOT}/nmp.onnx"), path)
        elif format == "saved_model":
            path = _copy_saved_model(out_dir / "saved_model")
        else:
            raise ValueError(f"basic_pitch is not offered as {format}")
        inputs, outputs = _signature(_NATIVE_NAMES[format])
        return StepResult(format=format, path=path, inputs=inputs, outputs=outputs)

    def sample_inputs(self, *, count: int, batch: int, dimensions: Sequence[Dimension], seed: int) -> Sequence[Batch]:
        """Synthesised chords of one to four notes."""
        import numpy as np

        streams = [np.random.default_rng([seed, index]) for index in range(count)]
        return [{"audio": _chords(rng, batch)} for rng in streams]

    def examples(self) -> Examples:
        """Chords, then single notes in noise, from another stream; without labels, for a chord has not one pitch."""
        import numpy as np

        from .inputs import examples_generator

        rng = examples_generator()
        notes = rng.integers(_LOWEST_MIDI, _HIGHEST_MIDI, size=_EXAMPLES, endpoint=True)
        return Examples(inputs={"audio": np.concatenate([_chords(rng, _EXAMPLES), _noisy_notes(rng, notes)])})

    def labelled(self) -> LabelledSet | None:
        """Every key of the piano once, in noise, labelled by its MIDI pitch."""
        import numpy as np

        pitches = np.arange(_LOWEST_MIDI, _HIGHEST_MIDI + 1)
        audio = _noisy_notes(np.random.default_rng(_LABELS_SEED), pitches)
        return LabelledSet(inputs={"audio": audio}, labels=pitches)

    def predictions(self, outputs: Mapping[str, Array]) -> Array:
        """The MIDI pitch whose key is active most, on average over the frames."""
        pitches: Array = outputs["note"].mean(axis=1).argmax(axis=1) + _LOWEST_MIDI
        return pitches


def _chords(rng: np.random.Generator, count: int) -> Array:
    import numpy as np

    from .tones import chord

    pitches = [rng.integers(*_CHORD_PITCHES, size=rng.integers(*_CHORD_SIZES)) for _ in range(count)]
    return np.stack([chord(rng, notes, _SAMPLES, _RATE_HZ) for notes in pitches])[:, :, None]


def _noisy_notes(rng: np.random.Generator, pitches: Array) -> Array:
    import numpy as np

    from .tones import noisy_note

    return np.stack([noisy_note(rng, int(midi), _SAMPLES, _RATE_HZ) for midi in pitches])[:, :, None]


def _signature(native: Mapping[str, str]) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    shapes: Mapping[str, tuple[int | str, ...]] = {
        "audio": ("batch", _SAMPLES, 1),
        "note": ("batch", _FRAMES, 88),
        "onset": ("batch", _FRAMES, 88),
        "contour": ("batch", _FRAMES, 264),
    }
    specs = [
        TensorSpec(name=name, dtype="float32", shape=shape, native="" if native[name] == name else native[name])
        for name, shape in shapes.items()
    ]
    return (specs[0],), tuple(specs[1:])


def _copy_saved_model(directory: Path) -> Path:
    """The SavedModel without the optimizer's slots, which only the Keras that saved it knows how to restore:
    `tf.saved_model.load` of TensorFlow 2.16 and later fails on them. Signature and weights stay as they are.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    for name in _SAVED_MODEL:
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(member("basic_pitch", f"{_ROOT}/nmp/{name}"), target)
    program = directory / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(program.read_bytes())
    for graph in saved_model.meta_graphs:
        for node in graph.object_graph_def.nodes:
            del node.slot_variables[:]
    program.write_bytes(saved_model.SerializeToString(deterministic=True))
    return directory
