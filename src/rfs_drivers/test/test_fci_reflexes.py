"""When the emulated robot stops by itself."""

from __future__ import annotations

import numpy as np
import pytest

from rfs_core import robot
from rfs_drivers.emulated.fci_plant import ArmBody
from rfs_drivers.emulated.fci_protocol import COLLISION_DTYPE, SetterStatus
from rfs_drivers.emulated.fci_reflexes import Reflex, Reflexes


def at_rest(**changes: dict[int, float]) -> ArmBody:
    """The arm at home, with single values changed."""
    body = ArmBody()
    for name, values in changes.items():
        for joint, value in values.items():
            getattr(body, name)[joint] = value
    return body


NOTHING = np.zeros(6)


def test_an_arm_at_home_gives_no_reason() -> None:
    assert Reflexes().to_body(at_rest(), NOTHING) is None


@pytest.mark.parametrize(
    ("body", "wrench", "expected"),
    [
        # Thresholds of a new robot: 30 N, 30 Nm and 20 Nm.
        (
            at_rest(),
            [0, 0, -30.1, 0, 0, 0],
            Reflex("cartesian_reflex", "component 3: -30.1 N, Nm from outside, allowed 30.0"),
        ),
        (at_rest(), [0, 0, -30.0, 0, 0, 0], None),
        (
            at_rest(tau_ext={3: 20.1}),
            NOTHING,
            Reflex("joint_reflex", "joint 4: 20.1 Nm from outside, allowed 20.0"),
        ),
        (at_rest(tau_ext={3: 20.0}), NOTHING, None),
        # Joint 1 may go at 2.62 rad/s, and a tenth faster before it is a reflex: 2.882.
        (
            at_rest(dq={0: 2.9}),
            NOTHING,
            Reflex("joint_velocity_violation", "joint 1: 2.9 rad/s, allowed 2.6"),
        ),
        (at_rest(dq={0: 2.8}), NOTHING, None),
        # Joint 2 goes from -1.7837 to 1.7837 rad.
        (
            at_rest(q={1: float(robot.ARM_LIMITS[1][1])}),
            NOTHING,
            Reflex("joint_position_limits_violation", "joint 2: 1.8 rad from the middle, allowed 1.8"),
        ),
    ],
)
def test_a_reflex_names_its_error_and_the_value_that_is_too_much(
    body: ArmBody, wrench: list[float], expected: Reflex | None
) -> None:
    assert Reflexes().to_body(body, np.asarray(wrench, dtype=np.float64)) == expected


def test_thresholds_are_the_client_s() -> None:
    reflexes = Reflexes()
    values = np.zeros(1, dtype=COLLISION_DTYPE)
    for name in COLLISION_DTYPE.names or ():
        values[name] = 50.0
    values["force_upper_nom"][0, 1] = 12.0
    assert reflexes.set_collision_behavior(values.tobytes()) is SetterStatus.SUCCESS
    assert reflexes.force_threshold == 12.0
    assert reflexes.to_body(at_rest(), np.array([49.0, 0, 0, 0, 0, 0])) is None
    assert reflexes.to_body(at_rest(), np.array([0, 12.5, 0, 0, 0, 0])) is not None


def test_torques_within_the_joints_range_are_borne_and_others_are_not() -> None:
    # 87 Nm up to the fourth joint, 12 Nm from the fifth on.
    assert Reflexes.to_torque(np.array([87.0, -87.0, 87.0, -87.0, 12.0, -12.0, 12.0])) is None
    assert Reflexes.to_torque(np.array([0, 0, 0, 0, 0, 0, -12.1])) == Reflex(
        "tau_j_range_violation", "joint 7: -12.1 Nm asked, allowed 12.0"
    )
