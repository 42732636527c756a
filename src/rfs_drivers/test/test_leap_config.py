"""The LEAP driver's configuration refuses what the hand must not be asked."""

from __future__ import annotations

import pytest

from rfs_core.config import describe, from_mapping
from rfs_core.errors import ConfigError
from rfs_drivers import leap_table
from rfs_drivers.leap_config import LeapConfig


def test_defaults_are_allowed() -> None:
    LeapConfig().check()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"current": 0.6}, r"0.6 A, allowed: 0.05 to 0.55 A"),
        ({"p_gain": 5000}, r"5000, allowed: 50 to 2000"),
        ({"hold_after": 0.3}, r"allowed: 0.05 to 0.165 s"),
        ({"rate": 100.0}, r"allowed: 30.0 to 60.0 Hz"),
        ({"derate_to": 70.0}, r"allowed: 31.0 to 69.0"),
        ({"curent": 0.3}, r"did you mean 'current'"),
        ({"joints": {"if_rott": {}}}, r"did you mean 'if_rot'"),
        ({"joints": {"if_rot": {"p_gian": 3}}}, r"did you mean 'p_gain'"),
        ({"joints": {"th_cmc": {"current": 1.0}}}, r"joints.th_cmc.current .*allowed: 0.05 to 0.55 A"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(values: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        from_mapping(LeapConfig, values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"port": "ttyUSB0"}, r"needs a path such as /dev/leap_hand"),
        ({"derate_from": 60.0, "derate_to": 55.0}, r"derate_from 60.0 degC must be below derate_to 55.0"),
        ({"reconnect_first": 2.0, "reconnect_longest": 1.0}, r"must not exceed reconnect_longest"),
        ({"joints": {"if_rot": {"high": 1.2}}}, r"joints.if_rot.high is 1.2 rad, allowed: -1.047 to 1.047"),
        ({"joints": {"if_rot": {"low": 0.5, "high": 0.4}}}, r"from 0.5 to 0.4 rad is empty"),
    ],
)
def test_values_that_contradict_each_other_or_the_hand_are_refused(
    values: dict[str, object], expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        from_mapping(LeapConfig, values).check()


def test_gains_and_limits_are_the_hand_s_unless_a_joint_has_its_own() -> None:
    config = from_mapping(LeapConfig, {"joints": {"mf_pip": {"p_gain": 300, "high": 1.0, "current": 0.1}}})
    by_name = {joint.name: joint for joint in leap_table.JOINTS}
    assert config.gains(by_name["if_pip"]) == (600, 0, 200)
    assert config.gains(by_name["if_rot"]) == (450, 0, 150)  # sideways: 0.75 of P and D
    assert config.gains(by_name["mf_pip"]) == (300, 0, 200)
    i = leap_table.NAMES.index("mf_pip")
    assert config.limits[1][i] == 1.0
    assert config.limits[0][i] == leap_table.LOW[i]
    assert list(config.currents[i - 1 : i + 2]) == [0.35, 0.1, 0.35]


def test_hard_limits_hold_even_at_the_ends_of_their_ranges() -> None:
    highest = {field.name: field.high for field in describe(LeapConfig)}
    lowest = {field.name: field.low for field in describe(LeapConfig)}
    assert highest["hold_after"] + 1.0 / lowest["rate"] <= 0.2
    assert highest["current"] == 0.55
    assert highest["max_speed"] == 8.48
    assert highest["derate_to"] < 70.0, "a servo shuts down by itself at 70 degrees"


def test_every_parameter_is_documented() -> None:
    assert all(field.doc for field in describe(LeapConfig))
