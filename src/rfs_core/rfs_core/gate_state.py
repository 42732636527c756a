"""What the command gate knows of the robot: the newest good sample of each measured stream.

Three streams make one measured state: arm joints, palm pose, finger joints. In simulation the three samples
of a control tick carry the same stamp, and the tick is due when the last of them has arrived, in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from rfs_core import robot
from rfs_core.gate_checks import joints_jump, joints_problem, pose_jump, pose_problem
from rfs_core.gate_config import GateConfig
from rfs_core.se3 import Array, Pose
from rfs_core.staleness import NS_PER_S, Order, order

Value = TypeVar("Value")

ARM, PALM, HAND = "arm/joint_states", "arm/current_pose", "hand/joint_states"
STREAMS = (ARM, PALM, HAND)


@dataclass(frozen=True)
class Sample(Generic[Value]):
    """One accepted sample of a stream."""

    stamp_ns: int
    """As in the message."""
    at_ns: int
    """The stamp on the gate's clock."""
    value: Value


class MeasuredState:
    """Newest good sample of each stream."""

    def __init__(self) -> None:
        self.arm: Sample[Array] | None = None
        """Joint positions, rad. Shape: (7,)."""
        self.palm: Sample[Pose] | None = None
        """Palm in the base frame, N = 1."""
        self.hand: Sample[Array] | None = None
        """Joint positions, rad. Shape: (16,)."""

    def sample(self, stream: str) -> Sample[Array] | Sample[Pose] | None:
        """Newest sample of a stream, None before the first."""
        return {ARM: self.arm, PALM: self.palm, HAND: self.hand}[stream]

    def store(self, stream: str, stamp_ns: int, at_ns: int, value: Array | Pose) -> None:
        """Keep a sample that passed its checks."""
        if stream == PALM:
            assert isinstance(value, Pose)
            self.palm = Sample(stamp_ns, at_ns, value)
        elif stream == ARM:
            assert not isinstance(value, Pose)
            self.arm = Sample(stamp_ns, at_ns, value)
        else:
            assert not isinstance(value, Pose)
            self.hand = Sample(stamp_ns, at_ns, value)

    def complete_to(self, stamp_ns: int) -> bool:
        """Whether every stream has reached a stamp."""
        samples = [self.sample(stream) for stream in STREAMS]
        return all(sample is not None and sample.stamp_ns >= stamp_ns for sample in samples)

    def missing_problem(self) -> str:
        """Which streams have not been heard yet, as a sentence; empty when all have."""
        missing = [stream for stream in STREAMS if self.sample(stream) is None]
        if missing:
            return f"no good message on {', '.join(missing)} yet; start the drivers or the simulation"
        return ""

    def stale_problem(self, now_ns: int, stale_after_ns: int) -> str:
        """Which stream is missing or as old as `stale_after_ns`, as a sentence; empty when all are fresh."""
        for stream in STREAMS:
            sample = self.sample(stream)
            if sample is not None and now_ns - sample.at_ns >= stale_after_ns:
                return (
                    f"measured state on {stream} is {(now_ns - sample.at_ns) / 1e6:.0f} ms old, "
                    f"allowed: less than {stale_after_ns / 1e6:.0f} ms"
                )
        return self.missing_problem()


def relation_to(
    before: Sample[Array] | Sample[Pose] | None, stamp_ns: int, at_ns: int, simulated: bool
) -> Order:
    """How a sample relates to the newest one of its stream; only a simulation's clock can restart."""
    if before is None or simulated or stamp_ns == before.stamp_ns:
        return order(stamp_ns, None if before is None else before.stamp_ns)
    return Order.NEWER if at_ns > before.at_ns else Order.OLDER


def value_problem(stream: str, value: Array | Pose) -> str:
    """Whether a measured value can be one of this robot."""
    if isinstance(value, Pose):
        return pose_problem(value, stream)
    if stream == ARM:
        return joints_problem(value, robot.ARM_LIMITS, robot.ARM_JOINT_NAMES, stream)
    return joints_problem(value, robot.HAND_LIMITS, robot.HAND_JOINT_NAMES, stream)


def jump_problem(
    stream: str, value: Array | Pose, before: Sample[Array] | Sample[Pose], later_ns: int, config: GateConfig
) -> str:
    """Whether a value measured `later_ns` after another is further from it than the robot can move."""
    dt_s, slack = later_ns / NS_PER_S, config.jump_slack
    if isinstance(value, Pose):
        assert isinstance(before.value, Pose)
        return pose_jump(
            value, before.value, dt_s, config.max_palm_speed, config.max_palm_turn, slack, stream
        )
    assert not isinstance(before.value, Pose)
    if stream == ARM:
        # Half as fast again as the joints may go: the limit is a software one.
        speed: Array | float = 1.5 * robot.ARM_VELOCITY_LIMITS
        names = robot.ARM_JOINT_NAMES
    else:
        speed, names = config.max_hand_speed, robot.HAND_JOINT_NAMES
    return joints_jump(value, before.value, dt_s, speed, slack, names, stream)
