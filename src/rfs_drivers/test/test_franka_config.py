"""The Franka driver's configuration refuses what the robot must not be asked."""

from __future__ import annotations

import pytest

from rfs_core.config import describe, from_mapping
from rfs_core.errors import ConfigError
from rfs_drivers.franka_config import FrankaConfig


def test_defaults_are_allowed() -> None:
    FrankaConfig().check()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"translational_stiffness": 2500.0}, r"2500.0 N/m, allowed: 10.0 to 2000.0"),
        ({"hold_after": 0.3}, r"0.3 s, allowed: 0.05 to 0.18"),
        ({"first_position": 0.06}, r"allowed: 0.001 to 0.05 m"),
        ({"first_rotation": 0.3}, r"allowed: 0.01 to 0.2 rad"),
        ({"max_delta_tau": 2.0}, r"allowed: 0.05 to 1.0 Nm"),
        ({"collision_force": 0.0}, r"allowed: 1.0 to 100.0"),
        ({"load_mass": -0.1}, r"allowed: 0.0 to 3.0 kg"),
        ({"load_centre": [0.0, 0.0]}, r"has 2 values, needs 3"),
        ({"home": [0.0] * 6}, r"has 6 values, needs 7"),
        ({"damping_ratio": float("nan")}, r"needs a finite number"),
        ({"clock": "wall"}, r"known: robot, steady"),
        ({"stifness": 1.0}, r"did you mean"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(values: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        from_mapping(FrankaConfig, values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"home": [0.0, 0.0, 0.0, 0.0, 0.0, 1.5, 0.0]},
            r"fr3_joint4 is 0.000, allowed: -3.028 to -0.166 rad",
        ),
        ({"workspace_low": [0.9, -0.5, 0.0]}, r"x from 0.9 to 0.8 m is empty"),
        ({"first_position": 0.05, "max_position": 0.04}, r"must not exceed max_position 0.04 m"),
        ({"reconnect_first": 2.0, "reconnect_longest": 1.0}, r"must not exceed reconnect_longest"),
        ({"address": "172.16.0.2:1337"}, r"without port"),
        ({"address": ""}, r"such as 172.16.0.2"),
    ],
)
def test_values_that_contradict_each_other_are_refused(values: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        from_mapping(FrankaConfig, values).check()


def test_hard_limits_hold_even_at_the_ends_of_their_ranges() -> None:
    """A target never follows a first one from further than 50 mm and 0.2 rad, nor an age above 200 ms."""
    highest = {field.name: field.high for field in describe(FrankaConfig)}
    assert highest["first_position"] == 0.05
    assert highest["first_rotation"] == 0.2
    lowest = {field.name: field.low for field in describe(FrankaConfig)}
    assert highest["hold_after"] + 1.0 / lowest["stream_rate"] <= 0.2


def test_every_parameter_is_documented() -> None:
    assert all(field.doc for field in describe(FrankaConfig))
