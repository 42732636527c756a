"""Configuration of the Franka driver."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from rfs_core import robot
from rfs_core.config import param
from rfs_core.errors import ConfigError

ARMS = ("fr3", "fer")
CLOCKS = ("steady", "robot")
REALTIME = ("enforce", "ignore")
TOOL_FRAMES = ("palm", "desk")


LIMIT_MARGIN = 0.02
"""rad, by which a joint motion stays within the arm's limits."""


def outside_limits(q: Iterable[float]) -> str:
    """Which joints of the arm a motion to q (rad, 7) would take too near to their limits; empty: none."""
    low, high = robot.ARM_LIMITS
    return "; ".join(
        f"{name} is {value:.3f}, allowed: {lo + LIMIT_MARGIN:.3f} to {hi - LIMIT_MARGIN:.3f} rad"
        for name, value, lo, hi in zip(robot.ARM_JOINT_NAMES, q, low, high, strict=True)
        if not lo + LIMIT_MARGIN <= value <= hi - LIMIT_MARGIN
    )


@dataclass(frozen=True)
class FrankaConfig:
    """Every parameter of the Franka driver. The ends of the ranges are hard."""

    arm: str = param(
        "fr3", doc="Which arm the parameters are for; this version drives the FR3.", choices=ARMS
    )
    address: str = param("172.16.0.2", doc="Address of the robot's FCI; emulated robots live at 127.x.y.z.")
    autostart: bool = param(
        False, doc="Configure and activate when the node starts, trying again while the robot is away."
    )
    realtime: str = param(
        "enforce",
        doc="enforce: refuse to control from a kernel without PREEMPT_RT; ignore: for emulated robots.",
        choices=REALTIME,
    )
    clock: str = param(
        "steady",
        doc="Clock of command ages, interpolation and stamps. steady: this machine's; a robot that falls "
        "behind it counts as late. robot: the robot's own, for emulated robots whose time is simulated.",
        choices=CLOCKS,
    )
    stream_rate: float = param(
        100.0,
        doc="Rate at which interpolated targets go to the impedance controller and states are read.",
        unit="Hz",
        low=50.0,
        high=250.0,
    )
    translational_stiffness: float = param(
        600.0, doc="Cartesian stiffness of the palm's position.", unit="N/m", low=10.0, high=2000.0
    )
    rotational_stiffness: float = param(
        40.0, doc="Cartesian stiffness of the palm's orientation.", unit="Nm/rad", low=1.0, high=150.0
    )
    damping_ratio: float = param(
        1.0, doc="Damping of the palm's position; 1 is critical for a mass of 1 kg.", low=0.3, high=1.5
    )
    rotational_damping_ratio: float = param(
        1.0,
        doc="Damping of the palm's orientation; 1 is critical for an inertia of 1 kg m2, about ten times the "
        "wrist's.",
        low=0.1,
        high=1.5,
    )
    posture_stiffness: float = param(
        5.0,
        doc="Stiffness, in the null space, towards the joints at activation; 0: none.",
        unit="Nm/rad",
        low=0.0,
        high=30.0,
    )
    translational_error_clip: float = param(
        0.08,
        doc="Largest position error, each axis, that the impedance acts on: bounds the force.",
        unit="m",
        low=0.005,
        high=0.2,
    )
    rotational_error_clip: float = param(
        0.25,
        doc="Largest orientation error, each component, that the impedance acts on.",
        unit="rad",
        low=0.02,
        high=0.5,
    )
    torque_share: float = param(
        0.8,
        doc="Share of the joints' largest torques that stiffness and damping may ask for: of a setpoint that "
        "asks for more, as of an arm that is kept from it by a table, only a part is handed on.",
        low=0.2,
        high=0.95,
    )
    max_delta_tau: float = param(
        1.0,
        doc="Largest change of a joint torque in 1 ms; robots abort motions above 1.",
        unit="Nm",
        low=0.05,
        high=1.0,
    )
    joint_limit_margin: float = param(
        0.1,
        doc="Distance from a joint's limit at which a soft wall begins to push the joint back.",
        unit="rad",
        low=0.02,
        high=0.3,
    )
    joint_limit_torque: float = param(
        7.0,
        doc="Torque of that wall at the limit, where it is largest. Stiffness may ask the wrist for "
        "torque_share of 12 Nm: with a wall of less, a palm that presses can turn it to its limit, a reflex.",
        unit="Nm",
        low=0.5,
        high=12.0,
    )
    twist_feedforward: float = param(
        1.0,
        doc="Share of the target's velocity that damping does not resist; 0: the arm trails the target more.",
        low=0.0,
        high=1.0,
    )
    collision_torque: float = param(
        20.0, doc="External torque of a joint that is a collision: reflex.", unit="Nm", low=1.0, high=100.0
    )
    collision_force: float = param(
        30.0,
        doc="External force (N) or moment (Nm) at the hand that is a collision: reflex.",
        unit="N",
        low=1.0,
        high=100.0,
    )
    set_load: bool = param(
        False, doc="Send load_* to the robot; false: what was entered in Desk stays in force."
    )
    load_mass: float = param(
        0.6, doc="Mass behind the flange that Desk does not know.", unit="kg", low=0.0, high=3.0
    )
    load_centre: tuple[float, float, float] = param(
        (0.0, 0.0, 0.07), doc="Its centre of mass in the flange frame.", unit="m", low=-0.3, high=0.3
    )
    load_inertia: tuple[float, float, float] = param(
        (0.002, 0.002, 0.001), doc="Its principal moments of inertia.", unit="kg m2", low=0.0, high=0.1
    )
    tool_frame: str = param(
        "palm",
        doc="Frame that the impedance acts in. palm: the driver tells the robot where the palm is; desk: the "
        "end effector that the robot has, from Desk or set before. Targets are palm poses in either case.",
        choices=TOOL_FRAMES,
    )
    hold_after: float = param(
        0.18,
        doc="Age of the newest target at which the arm holds where it is; with one stream period more it "
        "stays within 200 ms.",
        unit="s",
        low=0.05,
        high=0.18,
    )
    stale_state: float = param(
        0.1,
        doc="Age of the robot's state, by its own time, at which the arm holds.",
        unit="s",
        low=0.02,
        high=0.5,
    )
    command_period: float = param(
        0.1,
        doc="Longest time to approach a target over; a faster stream is approached in its own period.",
        unit="s",
        low=0.02,
        high=0.2,
    )
    first_position: float = param(
        0.05,
        doc="Largest distance of the first target, after activation or a hold, from the measured palm.",
        unit="m",
        low=0.001,
        high=0.05,
    )
    first_rotation: float = param(
        0.2, doc="Largest angle of the first target to the measured palm.", unit="rad", low=0.01, high=0.2
    )
    max_position: float = param(
        0.1,
        doc="Distance from the measured palm at which a target is refused.",
        unit="m",
        low=0.005,
        high=0.15,
    )
    max_rotation: float = param(
        0.4, doc="Angle to the measured palm at which a target is refused.", unit="rad", low=0.02, high=0.6
    )
    max_linear_speed: float = param(
        0.5, doc="Speed of the interpolated palm target.", unit="m/s", low=0.01, high=1.5
    )
    max_angular_speed: float = param(
        1.5, doc="Turning speed of the interpolated palm target.", unit="rad/s", low=0.05, high=3.0
    )
    workspace_low: tuple[float, float, float] = param(
        (0.15, -0.5, 0.02),
        doc="Lowest palm position; targets are clipped to the box.",
        unit="m",
        low=-1.0,
        high=1.2,
    )
    workspace_high: tuple[float, float, float] = param(
        (0.8, 0.5, 0.9), doc="Highest palm position.", unit="m", low=-1.0, high=1.2
    )
    home: tuple[float, float, float, float, float, float, float] = param(
        tuple(float(q) for q in robot.ARM_HOME),
        doc="Joint positions of arm/home.",
        unit="rad",
        low=-4.6,
        high=4.6,
    )
    home_speed: float = param(
        0.1, doc="Share of the robot's largest speed, acceleration and jerk of arm/home.", low=0.01, high=0.5
    )
    home_timeout: float = param(
        60.0, doc="Time after which arm/home gives up.", unit="s", low=1.0, high=300.0
    )
    call_timeout: float = param(
        1.5,
        doc="Time after which a call into the client library counts as hung: its connection is broken and "
        "the robot connected anew. libfranka waits for replies without a limit.",
        unit="s",
        low=0.5,
        high=10.0,
    )
    reconnect_first: float = param(
        0.2,
        doc="Wait before the first attempt to connect again; doubled each time.",
        unit="s",
        low=0.05,
        high=5.0,
    )
    reconnect_longest: float = param(1.0, doc="Longest wait between attempts.", unit="s", low=0.1, high=30.0)

    def check(self) -> None:
        """What ranges of single fields cannot say.

        Raises:
            ConfigError: with the values that are allowed.
        """
        if self.arm == "fer":
            raise ConfigError(
                "arm is 'fer', allowed: fr3. A Franka Emika Robot (Panda) speaks FCI version 5 or older, the "
                "client library of this version speaks 10 (FR3, system image 5.9 or newer)"
            )
        outside = outside_limits(self.home)
        if outside:
            raise ConfigError(f"home: {outside}")
        for axis, lo, hi in zip("xyz", self.workspace_low, self.workspace_high, strict=True):
            if lo >= hi:
                raise ConfigError(
                    f"workspace: {axis} from {lo} to {hi} m is empty; workspace_low must be below "
                    "workspace_high"
                )
        if self.first_position > self.max_position or self.first_rotation > self.max_rotation:
            raise ConfigError(
                f"first_position {self.first_position} m and first_rotation {self.first_rotation} rad must "
                f"not exceed max_position {self.max_position} m and max_rotation {self.max_rotation} rad"
            )
        if self.reconnect_first > self.reconnect_longest:
            raise ConfigError(
                f"reconnect_first {self.reconnect_first} s must not exceed reconnect_longest "
                f"{self.reconnect_longest} s"
            )
        if not self.address or any(c.isspace() or c in "/:" for c in self.address):
            raise ConfigError(
                f"address is {self.address!r}, needs a host name or address without port, such as 172.16.0.2 "
                "(the FCI's port is fixed)"
            )
        if self.set_load and self.load_mass > 0.0 and not np.any(self.load_inertia):
            raise ConfigError(
                "load_inertia is zero for a load with mass; give its principal moments in kg m2"
            )
