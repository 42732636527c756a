import dataclasses

import pytest
import torch

from rfs_learning import checkpoint, container
from rfs_learning.checkpoint import Checkpoint, CheckpointError
from rfs_learning.integrator import Integrator


def test_round_trip_keeps_header_tensors_and_id(tmp_path, toy_checkpoint):
    made = toy_checkpoint(parents=({"path": "d.npz", "sha256": "00", "kind": "demonstrations"},))
    checkpoint.save(tmp_path / "c.safetensors", made)
    loaded = checkpoint.load(tmp_path / "c.safetensors")
    assert loaded.header == made.header
    assert loaded.id == made.id
    assert all(torch.equal(loaded.tensors[name], made.tensors[name]) for name in made.tensors)


def test_id_is_name_and_12_digits_of_what_decides_actions(toy_checkpoint):
    made = toy_checkpoint()
    name, digits = made.id.split("@")
    assert name == "toy"
    assert len(digits) == 12
    assert int(digits, 16) >= 0
    with_results = dataclasses.replace(made.header, results={"success": 0.4}, command="other")
    assert Checkpoint(with_results, made.tensors).id == made.id
    other_integrator = dataclasses.replace(made.header, integrator=Integrator("euler", 5))
    assert Checkpoint(other_integrator, made.tensors).id != made.id
    assert toy_checkpoint(seed=1).id != made.id


def _stored_with(tmp_path, made, **changes):
    path = tmp_path / "changed.safetensors"
    container.write(path, {**made.header.to_dict(), **changes}, made.tensors)
    return path


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format_version": 2}, "format_version is 2, this version reads 1"),
        ({"format_version": None}, "format_version is None"),
        ({"kind": "critic"}, "kind is 'critic', known are flow_base"),
        ({"integrator": {"name": "rk4", "steps": 4}}, "'rk4', known are euler, midpoint"),
        ({"seed": "7"}, "seed is '7'"),
        ({"action_spec": {}}, "header"),
        ({"extra": 1}, "unknown \\['extra'\\]"),
    ],
)
def test_headers_of_other_versions_kinds_and_types_are_refused(tmp_path, toy_checkpoint, changes, says):
    path = _stored_with(tmp_path, toy_checkpoint(), **changes)
    with pytest.raises(CheckpointError, match=says) as caught:
        checkpoint.load(path)
    assert str(path) in str(caught.value)


def test_a_training_state_is_not_a_checkpoint(tmp_path):
    path = tmp_path / "training_state.safetensors"
    container.write(path, {"kind": "base_training_state", "format_version": 1}, {"x": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="base_training_state"):
        checkpoint.load(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_naming_the_tensor(tmp_path, toy_checkpoint, value):
    made = toy_checkpoint()
    made.tensors["velocity.layers.2.bias"][3] = value
    checkpoint.save(tmp_path / "c.safetensors", made)
    with pytest.raises(CheckpointError, match=r"velocity\.layers\.2\.bias"):
        checkpoint.load(tmp_path / "c.safetensors")


def test_a_flipped_digit_in_a_bound_of_the_action_spec_is_found(tmp_path, toy_checkpoint):
    # The dangerous one: still valid JSON, a valid spec, only a ten times larger step for the robot.
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, toy_checkpoint())
    data = path.read_bytes()
    assert data.count(b"[-0.1,-0.1]") == 1
    path.write_bytes(data.replace(b"[-0.1,-0.1]", b"[-0.9,-0.1]"))
    with pytest.raises(CheckpointError, match=r"damaged.*header_sha256"):
        checkpoint.load(path)
