"""What the devices are asked before anything moves, on the emulated ones."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest

from rfs_core.errors import ConfigError
from rfs_drivers import probe_hardware
from rfs_drivers.emulated.fci_process import EmulatedFci, free_address
from rfs_drivers.emulated.leap_bus_process import EmulatedLeapBus
from rfs_drivers.leap_config import LeapConfig

ROBOTS = Path(__file__).resolve().parents[3] / "config" / "robot"


def test_an_arm_tells_its_version() -> None:
    with EmulatedFci(in_process=True) as robot:
        answer = probe_hardware.probe_arm(robot.address)
        assert (answer["server_version"], answer["problem"]) == (10, "")
        # An older robot refuses the client and names its own version.
        robot("faults", version=9)
        assert probe_hardware.probe_arm(robot.address)["server_version"] == 9


def test_an_arm_that_is_off_is_a_problem_with_its_address() -> None:
    address = free_address()
    answer = probe_hardware.probe_arm(address, timeout=0.5)
    assert answer["server_version"] is None
    assert address in answer["problem"]


def test_an_arm_that_closes_the_connection_is_a_problem() -> None:
    with EmulatedFci(in_process=True) as robot:
        robot("faults", close_before_reply=True)
        answer = probe_hardware.probe_arm(robot.address, timeout=2.0)
        assert answer["server_version"] is None
        assert answer["problem"]


def test_what_answers_but_is_no_robot_is_said_to_be_none() -> None:
    """As a web server or a proxy on the way does; its text was once read as a version."""
    with socket.create_server((free_address(), 1337)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(64)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        answer = probe_hardware.probe_arm(listener.getsockname()[0])
        thread.join()
    assert answer["server_version"] is None
    assert "is not a robot (it said b'HTTP/1.1 400')" in answer["problem"]


def test_a_hand_tells_missing_servos_errors_voltages_and_temperatures() -> None:
    with EmulatedLeapBus() as hand:
        hand("missing", motor=13)
        hand("temperature", motor=7, celsius=61)
        hand("voltage", volts=4.4)
        hand("set", motor=2, register="hardware error status", value=32)
        answer = probe_hardware.probe_hand(LeapConfig(port=hand.port))
    assert answer["missing"] == ["th_axl (motor 13)"]
    assert answer["errors"] == {"if_pip": "overload"}
    assert answer["celsius"]["mf_dip"] == 61
    assert set(answer["volts"].values()) == {4.4}
    assert answer["problem"] == ""


def test_a_hand_that_is_not_plugged_in_is_a_problem() -> None:
    answer = probe_hardware.probe_hand(LeapConfig(port="/dev/no_such_hand"))
    assert answer["missing"] is None
    assert "/dev/no_such_hand" in answer["problem"]


@pytest.mark.parametrize("name", ["emulated", "fr3_leap"])
def test_robot_files_that_are_shipped_can_be_used(name: str) -> None:
    arm, hand = probe_hardware.read_robot_file(ROBOTS / f"{name}.yaml")
    assert (arm.arm, hand.hand) == ("fr3", "leap_right")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("/**/leap_node: {ros__parameters: {hand: allegro}}", "known: leap_right"),
        ("/**/leap_node: {ros__parameters: {joints.if_mpc.p_gain: 300}}", "did you mean 'if_mcp'"),
        ("/**/franka_node: {ros__parameters: {translational_stiffness: 9000.0}}", "10.0 to 2000.0 N/m"),
        ("/**/franka_node: {ros__parameters: {arm: fer}}", "FCI version 5"),
        ("- a list", "not a mapping"),
        ("{", "cannot be read"),
    ],
)  # fmt: skip
def test_a_robot_file_that_cannot_be_used_is_refused_with_what_is_allowed(
    tmp_path: Path, text: str, sentence: str
) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        probe_hardware.read_robot_file(path)


def test_a_robot_file_with_a_misspelt_node_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text("/**/franka_nod:\n  ros__parameters: {address: 10.0.0.2}\n")
    with pytest.raises(ConfigError, match=r"for /\*\*/franka_nod: did you mean /\*\*/franka_node\?"):
        probe_hardware.read_robot_file(path)


def test_the_command_prints_one_line_of_json_even_where_nothing_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text("/**/leap_node: {ros__parameters: {port: /dev/no_such_hand}}")
    assert probe_hardware.main(["--robot-file", str(path), "--no-arm", "--no-camera"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert answers["port"] == "/dev/no_such_hand"
    assert answers["hand"]["problem"]
    assert "arm" not in answers
