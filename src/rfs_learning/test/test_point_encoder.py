"""The point encoder, and a base policy with one: it is used like any other."""

import dataclasses

import numpy as np
import pytest
import torch

from rfs_core.errors import RfsError
from rfs_core.robot import DEFAULT_ACTION_SPEC
from rfs_core.specs import ObservationSpec, Part
from rfs_core.tasks import points
from rfs_learning import checkpoint
from rfs_learning.checkpoint import CheckpointError, CheckpointHeader
from rfs_learning.flow import FlowBase, architecture_from_dict
from rfs_learning.integrator import Integrator
from rfs_learning.point_encoder import PALM_SCALE_M, PointEncoder, PointsArchitecture
from rfs_learning.policy import Policy
from rfs_learning.steering import HeadArchitecture, SteeringHead, SteeringLayout

N = 64
SPEC = points.observation_spec("grasp", N)
OWN = SPEC.size - 3 * N
CHUNK = DEFAULT_ACTION_SPEC.horizon * DEFAULT_ACTION_SPEC.size


def architecture(**changes):
    field = {"chunk_size": CHUNK, "hidden_width": 16, "hidden_layers": 1, "time_features": 4}
    made = PointsArchitecture.of(SPEC, field, point_width=16, point_features=8)
    return dataclasses.replace(made, **changes)


def points_checkpoint(spec=SPEC, **changes):
    torch.manual_seed(0)
    flow = FlowBase(architecture(), Integrator("euler", 3), DEFAULT_ACTION_SPEC.horizon)
    fields = {
        "kind": "flow_base",
        "name": "cloudy",
        "task": "grasp",
        "action_spec": DEFAULT_ACTION_SPEC,
        "observation_spec": spec,
        "architecture": architecture().to_dict(),
        "integrator": Integrator("euler", 3),
        "seed": 0,
        "command": "test",
        "config": {},
        **changes,
    }
    return flow.to_checkpoint(CheckpointHeader(**fields))


def observations(count, seed=0):
    """Robots with an upright palm near clouds in the workspace."""
    rng = np.random.default_rng(seed)
    o = rng.uniform(-0.5, 0.5, (count, SPEC.size)).astype(np.float32)
    o[:, SPEC.slice("palm_rotation")] = (1, 0, 0, 0, 1, 0)
    return o


def test_the_order_of_the_points_does_not_matter():
    encoder = PointEncoder(architecture())
    o = torch.from_numpy(observations(3))
    cloud = o[:, OWN:].view(3, N, 3)
    shuffled = cloud[:, torch.randperm(N, generator=torch.Generator().manual_seed(0))]
    torch.testing.assert_close(encoder.pool(o[:, :OWN], shuffled), encoder.pool(o[:, :OWN], cloud))


def test_a_repeated_point_changes_nothing_so_padding_is_harmless():
    encoder = PointEncoder(architecture())
    o = torch.from_numpy(observations(1))
    cloud = o[:, OWN:].view(1, N, 3)[:, :5]
    padded = cloud[:, torch.arange(40) % 5]
    torch.testing.assert_close(encoder.pool(o[:, :OWN], padded), encoder.pool(o[:, :OWN], cloud))


def test_a_point_is_seen_from_the_palm():
    encoder = PointEncoder(architecture())
    own = torch.zeros(1, OWN)
    own[0, SPEC.slice("palm_position")] = torch.tensor([0.5, 0.0, 0.2])
    # The palm's x axis is the base's y, its y is the base's z: its z is y x z = x of the base.
    own[0, SPEC.slice("palm_rotation")] = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0, 1.0])
    seen = encoder._two_frames(own, torch.tensor([[[0.51, 0.02, 0.23]]]))[0, 0]
    # From the palm: 1 cm along base x, 2 cm along y, 3 cm along z -> palm z 1, x 2, y 3 cm.
    torch.testing.assert_close(seen[3:], torch.tensor([0.02, 0.03, 0.01]) / PALM_SCALE_M)
    torch.testing.assert_close(seen[:3], torch.tensor([0.51, 0.02, 0.23]))  # normaliser: mean 0, std 1


def test_policy_acts_on_features_as_it_acts_on_observations():
    policy = Policy.from_checkpoint(points_checkpoint())
    o = observations(11)
    noise = np.random.default_rng(1).standard_normal((11, 2, 22)).astype(np.float32)
    features = policy.encode(o)
    assert features.shape == (11, policy.feature_size) == (11, OWN + 8)
    np.testing.assert_array_equal(policy.act_on(features, noise).a, policy.act(o, noise).a)


def test_a_decision_on_a_cloud_does_not_depend_on_the_batch():
    policy = Policy.from_checkpoint(points_checkpoint())
    o = observations(9)
    noise = np.random.default_rng(1).standard_normal((9, 2, 22)).astype(np.float32)
    together = policy.act(o, noise).a
    for i in range(9):
        np.testing.assert_array_equal(policy.act(o[i : i + 1], noise[i : i + 1]).a[0], together[i])


def test_the_encoder_runs_once_for_all_steps_of_the_integration(monkeypatch):
    policy, calls = Policy.from_checkpoint(points_checkpoint()), []
    pool = PointEncoder.pool
    monkeypatch.setattr(PointEncoder, "pool", lambda self, *a: (calls.append(1), pool(self, *a))[1])
    policy.act(observations(1), np.zeros((1, 2, 22), np.float32))
    assert len(calls) == 1


def test_it_is_saved_loaded_and_steered_like_any_base(tmp_path):
    base = points_checkpoint()
    layout = SteeringLayout.of(DEFAULT_ACTION_SPEC, "both")
    head = SteeringHead(HeadArchitecture(OWN + 8, 8, 1), layout)
    path = tmp_path / "steered.safetensors"
    checkpoint.save(path, head.to_checkpoint(base, name="steered"))
    steered = Policy.load(path, DEFAULT_ACTION_SPEC, SPEC)
    # An untrained head is the base with a_0 = 0, bit for bit.
    o, noise = observations(4), np.ones((4, 2, 22), np.float32)
    zero = Policy.from_checkpoint(base, a0="zero")
    np.testing.assert_array_equal(steered.act(o, noise).a, zero.act(o, noise).a)


def test_a_head_made_for_another_encoder_is_refused(tmp_path):
    layout = SteeringLayout.of(DEFAULT_ACTION_SPEC, "both")
    wrong = SteeringHead(HeadArchitecture(SPEC.size, 8, 1), layout).to_checkpoint(points_checkpoint())
    with pytest.raises(CheckpointError, match=f"observation_size {SPEC.size}, its specs have {OWN + 8}"):
        Policy.from_checkpoint(wrong)


def test_a_checkpoint_of_another_number_of_points_is_refused_naming_both(tmp_path):
    path = tmp_path / "cloudy.safetensors"
    checkpoint.save(path, points_checkpoint())
    with pytest.raises(RfsError, match=r"\(64, 3\).*\(1024, 3\)"):
        Policy.load(path, DEFAULT_ACTION_SPEC, points.observation_spec("grasp", 1024))


def test_a_cloud_of_another_frame_is_refused_naming_both(tmp_path):
    path = tmp_path / "cloudy.safetensors"
    camera = dataclasses.replace(points.part(N), frame="camera_color_optical_frame")
    spec = ObservationSpec((*SPEC.parts[:-1], camera))
    checkpoint.save(path, points_checkpoint(spec))
    with pytest.raises(RfsError, match=r"camera_color_optical_frame.*fr3_link0"):
        Policy.load(path, DEFAULT_ACTION_SPEC, SPEC)


@pytest.mark.parametrize(
    "changes",
    [{"points": 0}, {"point_width": 6}, {"palm_position_at": OWN}, {"point_features": 9}, {"own_size": True}],
    ids=str,
)
def test_sizes_that_contradict_each_other_are_refused(changes):
    with pytest.raises(RfsError, match="architecture"):
        architecture(**changes)


def test_an_architecture_survives_its_header():
    assert architecture_from_dict(architecture().to_dict()) == architecture()
    with pytest.raises(RfsError, match="needs exactly"):
        architecture_from_dict({**architecture().to_dict(), "extra": 1})


def test_an_observation_without_palm_or_with_the_cloud_first_is_refused():
    for parts in ((points.part(8),), (points.part(8), *SPEC.parts[:-1])):
        with pytest.raises(RfsError, match="points as the last part"):
            PointsArchitecture.of(ObservationSpec(parts), {"chunk_size": CHUNK})
    with pytest.raises(RfsError, match="points as the last part"):
        PointsArchitecture.of(ObservationSpec((Part("a", (1,), "1", 0.0, 1.0),)), {"chunk_size": CHUNK})
