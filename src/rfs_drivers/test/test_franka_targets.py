"""Interpolation of palm targets, and when the driver stops following them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rfs_core import se3
from rfs_core.se3 import Pose
from rfs_drivers.franka_config import FrankaConfig
from rfs_drivers.franka_targets import StateAge, TargetStream

CONFIG = FrankaConfig()
HOME = (0.4, 0.0, 0.4)


def pose(x: float = 0.0, y: float = 0.0, z: float = 0.0, about_z: float = 0.0) -> Pose:
    """A pose that far from HOME."""
    half = 0.5 * about_z
    return Pose(np.array([HOME]) + [[x, y, z]], np.array([[math.cos(half), 0.0, 0.0, math.sin(half)]]))


def stream(config: FrankaConfig = CONFIG) -> TargetStream:
    targets = TargetStream(config)
    targets.begin(0.0, pose())
    return targets


def x_of(targets: TargetStream, now: float) -> float:
    return float(targets.sample(now, 0.0, pose()).pose.position[0, 0]) - HOME[0]


def test_a_target_is_approached_in_a_straight_line_over_the_command_period() -> None:
    targets = stream()
    assert targets.offer(1.0, pose(x=0.02), pose()) == ""
    assert x_of(targets, 1.0) == pytest.approx(0.0)
    assert x_of(targets, 1.05) == pytest.approx(0.01)
    assert x_of(targets, 1.1) == pytest.approx(0.02)
    assert x_of(targets, 1.15) == pytest.approx(0.02)


def test_a_stream_at_20_hz_is_approached_in_50_ms() -> None:
    targets = stream()
    targets.offer(1.0, pose(x=0.01), pose())
    x_of(targets, 1.05)
    targets.offer(1.05, pose(x=0.015), pose())
    # Half the way at 1.05: 5 mm; the next target 10 mm away, over 50 ms.
    assert x_of(targets, 1.05) == pytest.approx(0.005)
    assert x_of(targets, 1.075) == pytest.approx(0.010)
    assert x_of(targets, 1.1) == pytest.approx(0.015)


def test_the_setpoint_is_continuous_when_a_target_replaces_another() -> None:
    targets = stream()
    targets.offer(1.0, pose(x=0.03, about_z=0.1), pose())
    before = targets.sample(1.04, 0.0, pose()).pose
    targets.offer(1.04, pose(x=-0.02, about_z=-0.1), pose())
    after = targets.sample(1.04, 0.0, pose()).pose
    np.testing.assert_allclose(after.position, before.position, atol=1e-15)
    np.testing.assert_allclose(after.quaternion, before.quaternion, atol=1e-15)


def test_rotation_is_slerp_at_constant_angular_velocity() -> None:
    targets = stream()
    targets.offer(1.0, pose(about_z=0.1), pose())
    for share in (0.25, 0.5, 1.0):
        setpoint = targets.sample(1.0 + 0.1 * share - 1e-9, 0.0, pose())
        rotvec = se3.rotvec_from_quat(setpoint.pose.quaternion)[0]
        np.testing.assert_allclose(rotvec, [0.0, 0.0, 0.1 * share], atol=1e-7)
        np.testing.assert_allclose(setpoint.angular, [0.0, 0.0, 1.0], atol=1e-9)


def test_rotation_goes_the_short_way_round() -> None:
    targets = stream()
    other_sign = pose(about_z=0.1)
    targets.offer(1.0, Pose(other_sign.position, -other_sign.quaternion), pose())
    angle = se3.quat_angle(targets.sample(1.05, 0.0, pose()).pose.quaternion)[0]
    assert angle == pytest.approx(0.05)


def test_velocity_is_given_while_moving_and_zero_at_the_goal() -> None:
    targets = stream()
    targets.offer(1.0, pose(x=0.02), pose())
    np.testing.assert_allclose(targets.sample(1.05, 0.0, pose()).linear, [0.2, 0.0, 0.0])
    np.testing.assert_allclose(targets.sample(1.11, 0.0, pose()).linear, 0.0)


@pytest.mark.parametrize("seed", range(3))
def test_setpoint_never_moves_faster_than_the_limits(seed: int) -> None:
    config = FrankaConfig(max_linear_speed=0.2, max_angular_speed=0.5)
    targets, rng = stream(config), np.random.default_rng(seed)
    last = targets.sample(0.0, 0.0, pose())
    for k in range(1, 4000):
        now = 0.005 * k
        if k % 10 == 0:
            targets.offer(now, pose(*rng.uniform(-0.04, 0.04, 3), about_z=rng.uniform(-0.15, 0.15)), pose())
        setpoint = targets.sample(now, 0.0, pose())
        moved = se3.pose_error(setpoint.pose, last.pose)[0]
        assert np.linalg.norm(moved[:3]) <= 0.2 * 0.005 + 1e-9
        assert np.linalg.norm(moved[3:]) <= 0.5 * 0.005 + 1e-9
        assert np.linalg.norm(setpoint.linear) <= 0.2 + 1e-9
        last = setpoint
    assert targets.counters.clipped > 0


def test_targets_outside_the_workspace_are_clipped_to_it_exactly() -> None:
    config = FrankaConfig(workspace_low=(0.39, -0.01, 0.39), workspace_high=(0.41, 0.01, 0.41))
    targets, rng = stream(config), np.random.default_rng(0)
    for k in range(1, 2000):
        now = 0.05 * k
        targets.offer(now, pose(*rng.uniform(-0.028, 0.028, 3)), pose())
        position = targets.sample(now + 0.049, 0.0, pose()).pose.position[0]
        assert np.all(position >= np.array(config.workspace_low) - 1e-12)
        assert np.all(position <= np.array(config.workspace_high) + 1e-12)


def test_holds_the_measured_palm_before_200_ms_without_a_target() -> None:
    targets = stream()
    targets.offer(1.0, pose(x=0.02), pose())
    measured = pose(x=0.017)
    assert targets.sample(1.18, 0.0, measured).holding == ""
    # The stream's period is 10 ms: the hold comes at 190 ms.
    setpoint = targets.sample(1.19, 0.0, measured)
    assert "no target for 190 ms" in setpoint.holding
    np.testing.assert_array_equal(setpoint.pose.position, measured.position)
    np.testing.assert_array_equal(setpoint.linear, 0.0)
    # It is latched: the palm may drift, the setpoint does not.
    np.testing.assert_array_equal(targets.sample(1.3, 0.0, pose(x=0.05)).pose.position, measured.position)
    assert targets.counters.holds == 1


def test_holds_when_the_robots_state_is_older_than_100_ms() -> None:
    targets = stream()
    targets.offer(1.0, pose(x=0.02), pose())
    assert targets.sample(1.05, 0.1, pose()).holding == ""
    assert "robot state is 101 ms old" in targets.sample(1.05, 0.101, pose()).holding


def test_a_hold_ends_with_a_target_near_the_palm_only() -> None:
    targets = stream()
    targets.offer(1.0, pose(x=0.02), pose())
    targets.sample(1.3, 0.0, pose(x=0.02))
    refusal = targets.offer(1.4, pose(x=0.09), pose(x=0.02))
    assert "first target is 70 mm" in refusal
    assert targets.sample(1.4, 0.0, pose(x=0.02)).holding
    assert targets.offer(1.5, pose(x=0.06), pose(x=0.02)) == ""
    assert targets.sample(1.5, 0.0, pose(x=0.02)).holding == ""


def test_after_a_short_hold_targets_at_the_end_of_the_gates_leash_are_followed_on() -> None:
    targets = stream()
    assert targets.offer(1.0, pose(x=0.04), pose()) == ""
    assert targets.offer(1.1, pose(x=0.06), pose(x=0.005)) == ""
    assert "robot state is 120 ms old" in targets.sample(1.15, 0.12, pose(x=0.005)).holding
    # 65 mm from the palm: more than a first target may be, but 10 mm from the last one.
    assert targets.offer(1.2, pose(x=0.07), pose(x=0.005)) == ""
    assert targets.sample(1.2, 0.0, pose(x=0.005)).holding == ""


def test_targets_that_no_fresh_state_lets_follow_do_not_prolong_that_moment() -> None:
    targets = stream()
    assert targets.offer(1.0, pose(x=0.04), pose()) == ""
    refused = []
    for k in range(1, 60):  # 3 s of targets, 1 mm further each, while the state stays old
        now = 1.0 + 0.05 * k
        if targets.offer(now, pose(x=min(0.04 + 0.001 * k, 0.1)), pose()):
            refused.append(now)
        assert targets.sample(now, 0.12, pose()).holding
    # Beyond 50 mm (k = 11) they go on from the last one until 1 s after the first hold, at 1.05 s.
    assert refused[0] == pytest.approx(2.1)
    assert len(refused) == 59 - 21


def test_after_a_long_hold_or_from_another_place_a_target_is_a_first_one_again() -> None:
    targets = stream()
    targets.offer(1.0, pose(x=0.04), pose())
    targets.offer(1.1, pose(x=0.06), pose())
    assert targets.sample(1.15, 0.12, pose()).holding
    assert "first target is 60 mm" in targets.offer(1.2, pose(x=-0.06), pose())  # 120 mm from the last one
    assert "first target is 60 mm" in targets.offer(2.151, pose(x=0.06), pose())  # held for 1.001 s


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (pose(x=0.0501), "first target is 50 mm and 0.00 rad"),
        (pose(about_z=0.201), "first target is 0 mm and 0.20 rad"),
    ],
)
def test_a_first_target_far_from_the_robot_is_refused(target: Pose, expected: str) -> None:
    targets = stream()
    assert expected in targets.offer(1.0, target, pose())
    assert targets.counters.accepted == 0
    assert targets.sample(1.0, 0.0, pose()).holding == "no target yet"


def test_a_later_target_far_from_the_robot_is_refused() -> None:
    targets = stream()
    assert targets.offer(1.0, pose(x=0.04), pose()) == ""
    assert "target is 110 mm" in targets.offer(1.1, pose(x=0.11), pose())
    # What was accepted before stays in force until it is too old.
    assert x_of(targets, 1.15) == pytest.approx(0.04)
    assert targets.sample(1.19, 0.0, pose()).holding


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300])
@pytest.mark.parametrize("field", range(7))
def test_no_target_with_a_bad_number_in_any_field_is_accepted(bad: float, field: int) -> None:
    targets = stream()
    values = np.concatenate([pose().position[0], pose().quaternion[0]])
    values[field] = bad
    with np.errstate(all="ignore"):
        refusal = targets.offer(1.0, Pose(values[None, :3], values[None, 3:]), pose())
    if bad == 1e300 and field < 3:
        # Finite, so clipped to the workspace, and refused for its distance.
        assert "first target is" in refusal
    else:
        assert "finite" in refusal or "unit length" in refusal
    assert np.isfinite(targets.sample(1.0, 0.0, pose()).pose.position).all()


def test_random_bad_targets_never_reach_the_setpoint() -> None:
    """1e4 targets with random bit patterns in their fields: the setpoint stays within 0.1 m of the palm."""
    targets, rng = stream(), np.random.default_rng(0)
    with np.errstate(all="ignore"):
        for k in range(10_000):
            values = np.frombuffer(rng.bytes(56), dtype=np.float64).copy()
            good = rng.random(7) < 0.5
            values[good] = np.concatenate([pose().position[0], pose().quaternion[0]])[good]
            targets.offer(0.05 * k, Pose(values[None, :3], values[None, 3:]), pose())
            setpoint = targets.sample(0.05 * k + 0.03, 0.0, pose())
            assert np.linalg.norm(setpoint.pose.position[0] - HOME) <= 0.1
            assert abs(np.linalg.norm(setpoint.pose.quaternion) - 1.0) < 1e-9


def test_beginning_again_forgets_the_targets_before() -> None:
    targets = stream()
    targets.offer(1.0, pose(x=0.03), pose())
    targets.begin(1.05, pose(x=0.01))
    setpoint = targets.sample(1.06, 0.0, pose())
    assert setpoint.holding == "no target yet"
    np.testing.assert_array_equal(setpoint.pose.position, pose(x=0.01).position)
    assert targets.age(1.06) == math.inf


def test_jitter_is_known_from_the_times_between_targets() -> None:
    targets = stream()
    for now in (1.0, 1.1, 1.22, 1.3):
        targets.offer(now, pose(), pose())
    np.testing.assert_allclose(targets.intervals, [0.1, 0.12, 0.08])


def test_state_age_is_the_time_since_the_robots_clock_last_moved() -> None:
    age = StateAge(realtime=False)
    assert age.age(0.0) == math.inf
    age.observe(10.0, 5.0)
    age.observe(10.01, 5.01)
    age.observe(10.02, 5.01)
    assert age.age(10.12) == pytest.approx(0.11)


def test_a_robot_slower_than_real_time_is_late_by_the_steady_clock_only() -> None:
    steady, robot = StateAge(realtime=True), StateAge(realtime=False)
    for k in range(100):
        for age in (steady, robot):
            age.observe(10.0 + 0.01 * k, 5.0 + 0.005 * k)
    # After 1 s of this machine the robot lived 0.5 s; the last state is fresh.
    assert robot.age(10.99) == pytest.approx(0.0)
    assert steady.age(10.99) == pytest.approx(0.495, abs=0.002)


def test_states_that_arrive_late_are_old_although_they_keep_coming() -> None:
    age = StateAge(realtime=True)
    for k in range(50):
        age.observe(10.0 + 0.01 * k, 5.0 + 0.01 * k)
    for k in range(50, 100):
        age.observe(10.0 + 0.01 * k + 0.15, 5.0 + 0.01 * k)
    assert age.age(10.0 + 0.99 + 0.15) == pytest.approx(0.15, abs=0.002)


def test_clocks_of_slightly_different_speed_are_no_delay() -> None:
    """50 ppm over an hour would add up to 180 ms."""
    age = StateAge(realtime=True)
    for k in range(36_000):
        age.observe(0.1 * k * 1.00005, 0.1 * k)
    assert age.age(0.1 * 35_999 * 1.00005) < 0.001


def test_a_robot_whose_clock_began_anew_is_fresh() -> None:
    age = StateAge(realtime=True)
    age.observe(10.0, 500.0)
    age.observe(20.0, 0.001)
    assert age.age(20.0) == 0.0
