"""The drivers behind the gate: what they do with targets that no gate would send.

Real messages through the callbacks of the driver nodes; behind them the arm's stream of targets and the
hand's real driver on emulated servos, on simulated clocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import rclpy
import spoil
from promises import cases
from rclpy.logging import LoggingSeverity

from rfs_core import robot, se3
from rfs_core.kinematics import ArmKinematics
from rfs_core.se3 import Pose
from rfs_drivers import leap_table
from rfs_drivers.emulated.leap_direct import DirectBus
from rfs_drivers.franka_config import FrankaConfig
from rfs_drivers.franka_targets import TargetStream
from rfs_drivers.leap_config import LeapConfig
from rfs_drivers.leap_driver import LeapDriver
from rfs_drivers.leap_targets import GoalStream
from rfs_drivers.nodes.franka_node import FrankaNode
from rfs_drivers.nodes.leap_node import LeapNode
from rfs_ros.conversions import joint_state_msg, pose_stamped_msg
from rfs_sim.nodes.sim_node import SimNode

HOME = ArmKinematics().forward(robot.ARM_HOME[None])
ARM = FrankaConfig()
HAND = LeapConfig(port="/direct")
THROUGH_ARM_NODE = "messages through franka_node's callback into its stream of targets, simulated clock"
THROUGH_HAND_NODE = (
    "messages through leap_node's callback into its driver on emulated servos, simulated clock"
)
ARM_STREAM = "the arm driver's stream of targets, simulated clock, setpoints every 10 ms"


class ArmDriver:
    """In place of FrankaDriver: offers go into a real stream of targets at once."""

    def __init__(self) -> None:
        self.stream = TargetStream(ARM)
        self.now = 0.0
        self.stream.begin(self.now, HOME)

    def offer(self, target: Pose) -> None:
        self.stream.offer(self.now, target, HOME)

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def context(ros_domain: int) -> Iterator[None]:
    rclpy.init(domain_id=ros_domain)
    yield
    rclpy.shutdown()


def offset(pose: Pose, other: Pose) -> tuple[float, float]:
    """Distance (m) and angle (rad)."""
    error = se3.pose_error(pose, other)[0]
    return float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:]))


def random_turn(rng: np.random.Generator, angle: float) -> np.ndarray:
    """A quaternion of that angle about a random axis. Shape: (1, 4)."""
    axis = rng.normal(size=3)
    return se3.quat_from_rotvec((angle * axis / np.linalg.norm(axis))[None])


def test_a_wrong_palm_target_does_not_move_the_setpoint(promised, context):
    promise = promised(
        "NaN, Inf, 1e300, no unit quaternion or another frame in arm/target_pose",
        "refused; the setpoint stays",
        THROUGH_ARM_NODE,
    )
    node, driver, rng = FrankaNode(), ArmDriver(), np.random.default_rng(0)
    node.get_logger().set_level(LoggingSeverity.FATAL)
    node._driver, node._active = driver, True
    for _ in range(cases(2000, 25_000)):
        message = pose_stamped_msg(0, robot.BASE_FRAME, HOME)
        message.pose.position.y += 0.02
        what = spoil.pose(rng, message)
        node._on_target(message)
        driver.now += 0.05
        setpoint = driver.stream.sample(driver.now, 0.0, HOME)
        promise.case()
        promise.check(max(offset(setpoint.pose, HOME)) < 1e-9, f"{what}: {setpoint}")
        promise.check(driver.stream.counters.accepted == 0, f"{what}: accepted")
    # The same path lets a good target through: the test can fail.
    message = pose_stamped_msg(0, robot.BASE_FRAME, HOME)
    message.pose.position.y += 0.02
    node._on_target(message)
    assert driver.stream.counters.accepted == 1
    node.destroy_node()
    promise.kept(2000)


def test_a_wrong_finger_target_does_not_move_a_goal(promised, context):
    promise = promised(
        "NaN, Inf, 1e300, wrong length, names lost, doubled or unknown in hand/target",
        "refused; the servos' goals stay",
        THROUGH_HAND_NODE,
    )
    bus, node, rng = DirectBus(), LeapNode(), np.random.default_rng(0)
    node.get_logger().set_level(LoggingSeverity.FATAL)
    driver = LeapDriver(HAND, clock=bus.clock, sleep=bus.sleep, open_bus=lambda config: bus.open())
    driver.connect()
    driver.enable()
    node._driver, node._active = driver, True
    goals = []
    for i in range(cases(2000, 25_000)):
        message = joint_state_msg(0, leap_table.NAMES, np.full(16, 0.4))
        what = spoil.joints(rng, message)
        node._on_target(message)
        promise.case()
        promise.check(driver.status.accepted == 0 if i % 50 == 0 else True, f"{what}: accepted")
        promise.check(driver._stream._target is None, f"{what}: kept as a target")
        if i % 50 == 0:
            bus.sleep(1 / 60)
            driver.cycle()
            goals += [values for name, values in bus.writes if name == "goal position"]
            bus.writes.clear()
    promise.check(bool(goals) and all(goal == goals[0] for goal in goals), "goals moved")
    node._on_target(joint_state_msg(0, leap_table.NAMES, np.full(16, 0.4)))
    assert driver.status.accepted == 1
    node._driver = None
    node.destroy_node()
    promise.kept(2000)


def test_a_wrong_target_does_not_move_the_simulated_robot(promised, context):
    promise = promised(
        "the same in arm/target_pose and hand/target of the simulated robot",
        "refused; its targets stay",
        "messages through sim_node's callbacks, in one process",
    )
    node, rng = SimNode(), np.random.default_rng(0)
    node.get_logger().set_level(LoggingSeverity.FATAL)
    palm, fingers = node.world.target, node.world.hand_target
    for i in range(cases(2000, 20_000)):
        if i % 2:
            message = pose_stamped_msg(0, robot.BASE_FRAME, HOME)
            message.pose.position.y += 0.02
            what = spoil.pose(rng, message)
            node._on_arm_target(message)
        else:
            message = joint_state_msg(0, robot.HAND_JOINT_NAMES, np.full(16, 0.4))
            what = spoil.joints(rng, message)
            node._on_hand_target(message)
        promise.case()
        promise.check(node.world.target is palm and node.world.hand_target is fingers, what)
    node._on_hand_target(joint_state_msg(0, robot.HAND_JOINT_NAMES, np.full(16, 0.4)))
    assert node.world.hand_target is not fingers
    node.destroy_node()
    promise.kept(2000)


def test_the_first_palm_target_far_from_the_palm_is_refused(promised):
    promise = promised(
        "first target after activation, after a second of holding, or of another stream: 50 to 500 mm or 0.2 "
        "to 3 rad from the palm",
        "refused beyond 50 mm or 0.2 rad, exactly; nearer ones are accepted",
        ARM_STREAM,
    )
    rng = np.random.default_rng(0)
    for _ in range(cases(2000, 20_000)):
        stream, now = TargetStream(ARM), 0.0
        stream.begin(now, HOME)
        kind = rng.integers(3)
        if kind == 1:  # after a hold, and not from where the last target was: the goals below are not near it
            assert stream.offer(now, HOME, HOME) == ""
            now = ARM.hold_after + 0.01
            assert stream.sample(now, 0.0, HOME).holding
        elif kind == 2:  # after a long one, wherever the last target was
            assert (
                stream.offer(now, Pose(HOME.position + 0.02 * rng.uniform(-1, 1, 3), HOME.quaternion), HOME)
                == ""
            )
            assert stream.sample(ARM.hold_after + 0.01, 0.0, HOME).holding
            now = ARM.hold_after + 1.02
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        far_away, far_turned = rng.random() < 0.5, rng.random() < 0.5
        distance = rng.uniform(0.0501, 0.5) if far_away else rng.uniform(0.0, 0.0499)
        angle = rng.uniform(0.2001, 3.0) if far_turned else rng.uniform(0.0, 0.1999)
        goal = Pose(
            HOME.position + distance * direction,
            se3.quat_multiply(random_turn(rng, angle), HOME.quaternion),
        )
        inside = bool(((goal.position >= ARM.workspace_low) & (goal.position <= ARM.workspace_high)).all())
        refusal = stream.offer(now, goal, HOME)
        promise.case()
        if far_turned or (far_away and inside):
            promise.check("first target is" in refusal, f"{distance} m, {angle} rad: {refusal!r}")
            promise.check(
                max(offset(stream.sample(now + 0.1, 0.0, HOME).pose, HOME)) < 1e-9, "the setpoint moved"
            )
        elif not far_away:
            promise.check(refusal == "", f"{distance} m, {angle} rad: {refusal!r}")
    promise.kept(2000)


def test_setpoints_of_the_arm_never_leave_the_workspace_nor_run_away_from_the_palm(promised):
    promise = promised(
        "random palm targets in and around the workspace, the palm following or stuck",
        "setpoints stay in the workspace box, within the largest distance, below the largest speed",
        ARM_STREAM,
        allowed=0.0,
        unit="mm outside",
    )
    rng = np.random.default_rng(1)
    low, high = np.array(ARM.workspace_low), np.array(ARM.workspace_high)
    todo = cases(3000, 100_000)
    while promise.cases < todo:
        palm = Pose(rng.uniform(low, high)[None], se3.quat_normalize(rng.normal(size=(1, 4))))
        stream, now, stuck = TargetStream(ARM), 0.0, rng.random() < 0.3
        stream.begin(now, palm)
        before = palm
        for _ in range(50):
            goal = Pose(
                palm.position + rng.uniform(-0.11, 0.11, (1, 3)) * rng.choice([0.2, 0.4, 1.0]),
                se3.quat_multiply(random_turn(rng, rng.uniform(0, 0.3)), palm.quaternion),
            )
            stream.offer(now, goal, palm)
            for _ in range(2):
                now += 0.01
                pose = stream.sample(now, 0.0, palm).pose
                outside = max(float((low - pose.position).max()), float((pose.position - high).max()), 0.0)
                promise.check(np.isfinite(pose.position).all() and np.isfinite(pose.quaternion).all(), "NaN")
                distance, angle = offset(pose, before)
                # One stream period; what a hold sets back to the measured palm is no speed.
                if not stream.holding:
                    fast = distance > ARM.max_linear_speed * 0.01 + 1e-9
                    promise.check(not fast, f"{distance * 100:.3f} m/s")
                    promise.check(angle <= ARM.max_angular_speed * 0.01 + 1e-9, f"{angle * 100:.3f} rad/s")
                before = pose
                if not stuck:
                    palm = pose
            promise.case(round(outside * 1e3, 6), f"at {pose.position[0]}")
            away, turned = offset(pose, palm)
            promise.check(away <= ARM.max_position + 1e-9, f"{away:.4f} m from the palm")
            promise.check(turned <= ARM.max_rotation + 1e-9, f"{turned:.4f} rad from the palm")
    promise.kept(3000)


def test_goals_of_the_hand_never_leave_the_joints_limits_nor_run_too_fast(promised):
    promise = promised(
        "random finger targets, within and beyond the limits",
        "goals within half a servo's tick of the joints' limits, below the largest speed; beyond three half "
        "ranges refused",
        "the hand driver's stream of targets, simulated clock, 60 Hz, rounded to ticks",
        allowed=math.degrees(leap_table.RADIANS_PER_TICK) / 2,
        unit="degrees outside",
    )
    stream, rng, now = GoalStream(HAND), np.random.default_rng(2), 0.0
    low, high = robot.HAND_LIMITS
    middle, half = (low + high) / 2, (high - low) / 2
    stream.begin(middle, now)
    before, refused = middle, 0
    for _ in range(cases(10_000, 100_000)):
        target = middle + half * rng.uniform(-1, 1, 16) * rng.choice([1.0, 2.0, 3.3])
        far = bool((np.abs(target - middle) > 3.0 * half).any())
        refused += far
        refusal = stream.offer(target, now)
        promise.check(bool(refusal) == far, f"{target}: {refusal!r}")
        now += 1 / 60
        goal = stream.step(now, 0.0)
        rounded = leap_table.radians(np.array(leap_table.ticks(goal)))
        promise.case(
            round(math.degrees(max(float((low - rounded).max()), float((rounded - high).max()), 0.0)), 6)
        )
        fast = float(np.abs(goal - before).max()) * 60
        promise.check(fast <= HAND.max_speed + 1e-9, f"{fast} rad/s")
        before = goal
    assert refused > 1000
    promise.kept(10_000)
