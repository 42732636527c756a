"""robot:=real with devices that are emulated, which the stack cannot tell: nothing is in control before a
person has typed the word, and nothing comes back by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from probe import Probe
from std_msgs.msg import String
from std_srvs.srv import Trigger

from rfs_drivers.emulated.fci_process import EmulatedFci
from rfs_drivers.emulated.leap_bus_process import EmulatedLeapBus
from rfs_msgs.srv import Confirm, ResetWorld
from rfs_ros.qos import LATCHED

PATIENCE_S = 240.0

ROBOT_FILE = """
/**/franka_node: {{ros__parameters: {{address: {address}, realtime: ignore, clock: robot, call_timeout: 10.0,
  stale_state: 0.5, home_speed: 0.5}}}}
/**/leap_node: {{ros__parameters: {{port: {port}, reply_timeout: 0.1, bus_watchdog: 2.5, stale_state: 0.5}}}}
/**/gate_node: {{ros__parameters: {{tick_source: timer}}}}
/**/robot_operator: {{ros__parameters: {{checklist: [the user stop is in reach]}}}}
/**/episode_manager: {{ros__parameters: {{nodes_timeout_s: 600.0, service_timeout_s: 600.0}}}}
"""


def phase(messages: list[Any]) -> str:
    return messages[-1].data if messages else ""


def test_nothing_is_in_control_until_a_person_confirmed_and_nothing_returns_by_itself(
    start, tmp_path: Path, ros_domain: int
):
    with EmulatedFci() as arm, EmulatedLeapBus() as hand:
        robot_file = tmp_path / "robot.yaml"
        robot_file.write_text(ROBOT_FILE.format(address=arm.address, port=hand.port))
        launch = start(
            "ros2", "launch", "rfs_bringup", "robot.launch.py", "robot:=real", f"robot_file:={robot_file}"
        )
        probe = Probe(ros_domain)
        parts = ("arm", "hand")
        phases = {part: probe.listen(String, f"{part}/driver_phase", LATCHED) for part in parts}
        for part in parts:
            probe.wait_until(
                lambda part=part: phase(phases[part]) == "ready", f"{part} connected", PATIENCE_S
            )

        # An episode is refused, so is a wrong word, and nothing takes control.
        refused = probe.call(ResetWorld, "sim/reset", PATIENCE_S, task="grasp")
        assert not refused.success
        assert "confirm_robot" in refused.message
        for word in ("", "arm", "yes"):
            answer = probe.call(Confirm, "robot/confirm", PATIENCE_S, word=word)
            assert not answer.success
            assert answer.expected == "ARM"
            assert list(answer.checklist) == ["the user stop is in reach"]
        assert set(hand("status")["torque"]) == {0}
        assert not arm("status")["in_motion"]

        answer = probe.call(Confirm, "robot/confirm", PATIENCE_S, word="ARM")
        assert answer.success, answer.message
        for part in parts:
            probe.wait_until(lambda part=part: phase(phases[part]) == "holding", f"{part} holds", PATIENCE_S)
        assert set(hand("status")["torque"]) == {1}
        assert arm("status")["in_motion"]

        # A fault takes the confirmation with it; recovering the driver does not give it back.
        arm("reflex", error="joint_reflex")
        launch.wait_for("the confirmation is lost: franka_node is fault", PATIENCE_S)
        recovered = probe.call(Trigger, "arm/recover", PATIENCE_S)
        assert recovered.success, recovered.message
        refused = probe.call(ResetWorld, "sim/reset", PATIENCE_S, task="grasp")
        assert not refused.success
        assert "franka_node is fault" in refused.message
        probe.wait_until(lambda: phase(phases["arm"]) == "holding", "arm recovered", PATIENCE_S)
        again = probe.call(Confirm, "robot/confirm", PATIENCE_S, word="ARM")
        assert again.success, again.message
        probe.close()
        launch.interrupt()
        assert launch.wait(60.0) == 0, launch.output()


def test_a_terminal_is_needed_to_confirm(start):
    command = start("ros2", "run", "rfs_control", "confirm_robot")
    assert command.wait(60.0) == 1
    assert "a person answers on a terminal" in command.output()


def test_a_misspelt_node_in_parameters_is_refused_before_anything_is_connected(start, tmp_path: Path):
    """Its speed limit would be ignored, and the arm keep a faster one."""
    file = tmp_path / "slow.yaml"
    file.write_text("/**/franka_nod:\n  ros__parameters: {max_linear_speed: 0.05}\n")
    launch = start(
        "ros2", "launch", "rfs_bringup", "robot.launch.py", "robot:=real", "robot_file:=fr3_leap",
        f"params_file:={file}",
    )  # fmt: skip
    assert launch.wait(PATIENCE_S) == 1
    assert "has parameters for /**/franka_nod; the nodes are" in launch.output()
    assert "process started" not in launch.output()
