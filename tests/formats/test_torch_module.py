from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.core.errors import PluginError, TargetError
from bench.formats.torch_module import load_torch_module, write_torch_module


def _directory(tmp_path: Path, description: object) -> Path:
    (tmp_path / "module.json").write_text(json.dumps(description))
    return tmp_path


@pytest.mark.parametrize(
    "factory",
    ["os:system", "bench.cli.main:main", "bench.zoo.seed_cnn:SeedCnn.build", "bench.zoo.a.b:c", "bench.zoo:MODELS", 3],
)
def test_a_factory_outside_the_zoo_is_refused_before_anything_is_imported(tmp_path: Path, factory: object) -> None:
    with pytest.raises(TargetError, match="which is not one of"):
        load_torch_module(_directory(tmp_path, {"factory": factory, "options": {}}))


@pytest.mark.parametrize("description", [[], {"factory": "bench.zoo.seed_cnn:torch_module"}, {"options": {}}])
def test_a_description_with_missing_parts_is_refused(tmp_path: Path, description: object) -> None:
    with pytest.raises(TargetError):
        load_torch_module(_directory(tmp_path, description))


@pytest.mark.slow
def test_a_module_survives_the_round_trip_and_equal_weights_give_equal_bytes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    factory = "bench.zoo.digits:torch_module"
    from bench.zoo.digits import torch_module

    module = torch_module({})
    first = write_torch_module(module, factory, {}, tmp_path / "first")
    second = write_torch_module(module, factory, {}, tmp_path / "second")
    loaded = load_torch_module(first)

    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    images = torch.rand(2, 8, 8, 1)
    assert torch.equal(loaded(images), module(images))
    for name in ("module.json", "weights.safetensors"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.slow
def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from bench.zoo.digits import torch_module

    path = write_torch_module(torch_module({}), "bench.zoo.seed_cnn:torch_module", {}, tmp_path)
    with pytest.raises(TargetError, match=r"does not fit .*Missing key") as caught:
        load_torch_module(path)
    assert "\n" not in caught.value.message
    (path / "weights.safetensors").write_bytes(b"short")
    with pytest.raises(TargetError, match="does not fit"):
        load_torch_module(path)


@pytest.mark.slow
def test_a_foreign_factory_cannot_be_written(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    with pytest.raises(PluginError, match="cannot be a torch_module factory"):
        write_torch_module(None, "somewhere:else", {}, tmp_path)
