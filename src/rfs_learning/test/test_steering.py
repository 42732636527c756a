"""The layout of a trained head's output, and its life in a checkpoint."""

import dataclasses

import numpy as np
import pytest
import torch

from rfs_core import robot
from rfs_core.bounds import ResidualBounds
from rfs_core.errors import RfsError
from rfs_core.specs import ActionSpec, Part
from rfs_learning import checkpoint
from rfs_learning.checkpoint import CheckpointError
from rfs_learning.policy import Policy
from rfs_learning.steering import HeadArchitecture, SteeringHead, SteeringLayout

ROBOT = robot.DEFAULT_ACTION_SPEC
BOUNDS = ResidualBounds(arm_delta_position=0.01, arm_delta_rotation=0.033, hand_target=0.15)


def layout(modulation: str = "both", over: str = "hand_and_arm") -> SteeringLayout:
    """Two values in a chunk of two steps; in "hand" mode the first is the arm."""
    steered = modulation in ("noise", "both")
    assert steered or modulation in ("residual", "none")
    hand = over == "hand"
    residual = (0.0 if hand else 0.01, 0.02) if modulation in ("residual", "both") else (0.0, 0.0)
    return SteeringLayout(modulation, over, 2, residual, (0.1 if hand else 0.0, 0.0), 2.5)


def head(of: SteeringLayout, a0: str = "normal", seed: int = 0) -> SteeringHead:
    torch.manual_seed(seed)
    return SteeringHead(HeadArchitecture(4, 16, 2), of, a0)


@pytest.mark.parametrize(
    ("modulation", "over", "noise", "residual", "direct"),
    [
        ("both", "hand_and_arm", 44, 22, 0),  # 2 steps x 22 values; 22 residuals for both steps
        ("noise", "hand_and_arm", 44, 0, 0),
        ("residual", "hand_and_arm", 0, 22, 0),
        ("none", "hand_and_arm", 0, 0, 0),
        ("both", "hand", 32, 16, 6),  # the paper's "hand": 6 + 16 x 2 + 16
        ("none", "hand", 0, 0, 6),
    ],
)
def test_layout_has_the_papers_numbers(modulation, over, noise, residual, direct):
    made = SteeringLayout.of(ROBOT, modulation, over, bounds=BOUNDS)
    assert made.groups == {"noise": noise, "residual": residual, "direct": direct}
    assert made.size == noise + residual + direct


def test_layout_takes_bounds_per_part_and_the_arms_own_limits():
    both = SteeringLayout.of(ROBOT, "both", bounds=BOUNDS)
    assert both.residual_bound == (0.01,) * 3 + (0.033,) * 3 + (0.15,) * 16
    hand = SteeringLayout.of(ROBOT, "both", "hand", bounds=BOUNDS)
    assert hand.residual_bound == (0.0,) * 6 + (0.15,) * 16
    assert hand.direct_bound == (0.03,) * 3 + (0.1,) * 3 + (0.0,) * 16


def test_z_is_noise_then_residual_clipped_and_scaled():
    # noise of step 0: (1, -9 -> -2.5); of step 1: (0.5, 2); residual: (0.5 x 0.01, -7 -> -1 x 0.02)
    z = torch.tensor([[1.0, -9.0, 0.5, 2.0, 0.5, -7.0]])
    a_0, a_r, direct, replaced = layout().decode(z, torch.full((1, 2, 2), 7.0))
    torch.testing.assert_close(a_0, torch.tensor([[[1.0, -2.5], [0.5, 2.0]]]))
    torch.testing.assert_close(a_r, torch.tensor([[[0.005, -0.02], [0.005, -0.02]]]))
    assert direct is None
    assert replaced is None


def test_residual_alone_leaves_the_noise_as_it_was_drawn():
    drawn = torch.randn(3, 2, 2)
    a_0, a_r, *_ = layout("residual").decode(torch.zeros(3, 2), drawn)
    assert torch.equal(a_0, drawn)
    assert not a_r.any()


def test_noise_alone_has_no_residual():
    a_0, a_r, *_ = layout("noise").decode(torch.tensor([[1.0, 2.0, 0.25, 0.5]]), torch.zeros(1, 2, 2))
    torch.testing.assert_close(a_0, torch.tensor([[[1.0, 2.0], [0.25, 0.5]]]))
    assert not a_r.any()


def test_in_hand_mode_the_arm_is_replaced_and_its_noise_is_zero():
    # noise of the finger: 1 and 2; residual of the finger: 1 x 0.02; arm: -0.5 x 0.1
    z = torch.tensor([[1.0, 2.0, 1.0, -0.5]])
    a_0, a_r, direct, replaced = layout("both", "hand").decode(z, torch.full((1, 2, 2), 7.0))
    torch.testing.assert_close(a_0, torch.tensor([[[0.0, 1.0], [0.0, 2.0]]]))
    torch.testing.assert_close(a_r, torch.tensor([[[0.0, 0.02], [0.0, 0.02]]]))
    torch.testing.assert_close(direct, torch.tensor([[[-0.05, 0.0], [-0.05, 0.0]]]))
    assert replaced.tolist() == [True, False]
    # Unsteered, the fingers' noise is drawn; the arm's still cannot reach them.
    a_0, *_ = layout("none", "hand").decode(torch.zeros(1, 1), torch.full((1, 2, 2), 7.0))
    assert a_0.tolist() == [[[0.0, 7.0], [0.0, 7.0]]]


@pytest.mark.parametrize("modulation", ["noise", "both"])
def test_an_untrained_steering_head_is_the_base_policy_at_zero_noise_bit_for_bit(modulation, toy_checkpoint):
    base = toy_checkpoint()
    rfs = head(layout(modulation)).to_checkpoint(base)
    observation = np.random.default_rng(0).uniform(-1, 1, (5, 4)).astype(np.float32)
    noise = np.random.default_rng(1).standard_normal((5, 2, 2)).astype(np.float32)
    expected = Policy.from_checkpoint(base, a0="zero").act(observation, noise)
    got = Policy.from_checkpoint(rfs).act(observation, noise)
    for field in ("a_0", "a_b", "a_r", "a"):
        np.testing.assert_array_equal(getattr(got, field), getattr(expected, field))


@pytest.mark.parametrize("a0", ["normal", "zero"])
def test_an_untrained_residual_head_is_the_base_policy_bit_for_bit(a0, toy_checkpoint):
    base = toy_checkpoint()
    rfs = head(layout("residual")).to_checkpoint(base)
    observation = np.random.default_rng(0).uniform(-1, 1, (5, 4)).astype(np.float32)
    noise = np.random.default_rng(1).standard_normal((5, 2, 2)).astype(np.float32)
    expected = Policy.from_checkpoint(base, a0=a0).act(observation, noise)
    got = Policy.from_checkpoint(rfs, a0=a0).act(observation, noise)
    for field in ("a_0", "a_b", "a_r", "a"):
        np.testing.assert_array_equal(getattr(got, field), getattr(expected, field))


def test_hand_mode_executes_the_direct_arm_and_reports_it_as_base_action(toy_checkpoint):
    made = head(layout("both", "hand"))
    with torch.no_grad():
        made.layers[-1].bias.copy_(torch.tensor([0.0, 0.0, 1.0, -0.5]))
    base = toy_checkpoint()
    observation, noise = np.zeros((3, 4), np.float32), np.ones((3, 2, 2), np.float32)
    got = Policy.from_checkpoint(made.to_checkpoint(base)).act(observation, noise)
    flow = Policy.from_checkpoint(base, a0="zero").act(observation, noise)
    np.testing.assert_allclose(got.a_b[..., 0], -0.05, rtol=1e-6)
    np.testing.assert_array_equal(got.a_b[..., 1], flow.a_b[..., 1])
    np.testing.assert_allclose(got.a[..., 0], -0.05, rtol=1e-6)
    np.testing.assert_allclose(got.a[..., 1], np.clip(flow.a_b[..., 1] + 0.02, -0.1, 0.1), rtol=1e-6)


def test_a_trained_head_survives_its_checkpoint(tmp_path, toy_checkpoint):
    made = head(layout())
    with torch.no_grad():
        made.layers[-1].weight.normal_()
        made.observation_normalizer.mean.fill_(0.3)
    rfs = made.to_checkpoint(toy_checkpoint(), name="toy_rfs")
    checkpoint.save(tmp_path / "rfs.safetensors", rfs)
    observation = np.random.default_rng(0).uniform(-1, 1, (5, 4)).astype(np.float32)
    noise = np.zeros((5, 2, 2), np.float32)
    before = Policy.from_checkpoint(rfs).act(observation, noise)
    loaded = Policy.load(tmp_path / "rfs.safetensors")
    after = loaded.act(observation, noise)
    np.testing.assert_array_equal(after.a, before.a)
    assert np.abs(after.a_0).max() > 0.1
    assert loaded.checkpoint_id.startswith("toy_rfs@")
    assert loaded.header.kind == "rfs"


def test_a_policy_says_where_its_noise_comes_from(toy_checkpoint):
    assert Policy.from_checkpoint(toy_checkpoint(), a0="zero").noise_source == "zero"
    for modulation, source in (("both", "steered"), ("residual", "normal")):
        rfs = head(layout(modulation)).to_checkpoint(toy_checkpoint())
        assert Policy.from_checkpoint(rfs).noise_source == source


@pytest.mark.parametrize("mode", ["normal", "zero"])
def test_a_residual_acts_with_the_a0_it_was_trained_with_unless_another_is_asked_for(
    mode, tmp_path, toy_checkpoint
):
    path, other = tmp_path / "rfs.safetensors", {"normal": "zero", "zero": "normal"}[mode]
    rfs = head(layout("residual"), mode).to_checkpoint(toy_checkpoint(), config={"gamma": 0.9})
    assert rfs.header.config == {"gamma": 0.9, "base_a0": mode}
    checkpoint.save(path, rfs)
    noise = np.full((1, 2, 2), 0.5, np.float32)
    a_0 = {"normal": noise, "zero": 0.0 * noise}
    for asked, has in (({}, mode), ({"a0": "trained"}, mode), ({"a0": other}, other)):
        policy = Policy.load(path, **asked)
        assert policy.noise_source == has
        np.testing.assert_array_equal(policy.act(np.zeros((1, 4), np.float32), noise).a_0, a_0[has])


def test_an_unknown_a0_is_refused(toy_checkpoint):
    with pytest.raises(RfsError, match="a0 is 'drawn', known are trained, normal, zero"):
        Policy.from_checkpoint(toy_checkpoint(), a0="drawn")
    rfs = head(layout("residual")).to_checkpoint(toy_checkpoint())
    rfs.header.config["base_a0"] = "drawn"
    with pytest.raises(CheckpointError, match="a0 is 'drawn', known are normal, zero; retrain it"):
        Policy.from_checkpoint(rfs)


def test_a_head_of_another_size_is_refused_with_both_sizes(toy_checkpoint):
    wrong = SteeringLayout("both", "hand_and_arm", 2, (0.01,) * 3, (0.0,) * 3, 2.5)
    rfs = head(wrong).to_checkpoint(toy_checkpoint())
    with pytest.raises(CheckpointError, match="head has action size 3, its specs have 2"):
        Policy.from_checkpoint(rfs)


def test_a_missing_tensor_is_refused_by_name(toy_checkpoint):
    rfs = head(layout()).to_checkpoint(toy_checkpoint())
    tensors = {name: value for name, value in rfs.tensors.items() if name != "head.layers.0.weight"}
    with pytest.raises(CheckpointError, match=r"tensor head\.layers\.0\.weight is missing"):
        Policy.from_checkpoint(dataclasses.replace(rfs, tensors=tensors))


def test_a_layout_out_of_a_header_is_checked():
    stored = layout().to_dict()
    assert SteeringLayout.from_dict(stored) == layout()
    with pytest.raises(RfsError, match="modulation is 'sideways', known are none, residual, noise, both"):
        SteeringLayout.from_dict({**stored, "modulation": "sideways"})
    with pytest.raises(RfsError, match="bounds must be finite"):
        SteeringLayout.from_dict({**stored, "noise_clip": float("nan")})
    with pytest.raises(RfsError, match="needs exactly"):
        SteeringLayout.from_dict({"modulation": "both"})


def test_hand_mode_needs_a_robot_with_an_arm():
    fingers = ActionSpec((Part("hand_target", (16,), "rad", -1.0, 1.0),), 0.05, 2)
    with pytest.raises(RfsError, match="arm_delta_position"):
        SteeringLayout.of(fingers, "both", "hand")
