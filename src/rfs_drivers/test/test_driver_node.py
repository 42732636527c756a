"""What every driver node does around its driver, with a driver that is told how to fare."""

from __future__ import annotations

import dataclasses
import os

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import TransitionCallbackReturn
from std_msgs.msg import String
from std_srvs.srv import Trigger

from rfs_core.config import param
from rfs_core.errors import ConfigError, RfsError
from rfs_drivers.nodes.driver_node import DriverNode, milliseconds

DOMAIN = int(os.environ["ROS_DOMAIN_ID"])


@dataclasses.dataclass(frozen=True)
class ToyConfig:
    gain: float = param(1.0, doc="Of the toy.", low=0.0, high=2.0)
    autostart: bool = param(False, doc="Start by itself.")

    def check(self) -> None:
        if self.gain == 0.5:
            raise ConfigError("gain is 0.5: it rings")


class Toy:
    def __init__(self) -> None:
        self.phase, self.refused, self.closed = "ready", "", False

    def refuse_targets(self, reason: str) -> None:
        self.refused = reason

    def close(self) -> None:
        self.closed = True


class ToyNode(DriverNode[ToyConfig, Toy]):
    device = "toy"
    target_topic = "toy/target"
    config_class = ToyConfig
    autostart_s = 0.01

    def __init__(self) -> None:
        self.errors: list[RfsError] = []
        """What the next attempts to connect raise."""
        self.attempts = 0
        super().__init__("toy_node")

    def connect(self, config: ToyConfig) -> tuple[Toy, str]:
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)
        return Toy(), "connected"

    def begin(self, driver: Toy) -> str:
        if driver.phase == "fault":
            raise RfsError("the toy is in fault")
        driver.phase = "holding"
        return "holds"

    def end(self, driver: Toy) -> str:
        driver.phase = "ready"
        return "off"

    def clear_fault(self, driver: Toy) -> str:
        driver.phase = "holding"
        return "cleared"

    def phase(self, driver: Toy | None) -> str:
        return driver.phase if driver is not None else "disconnected"

    def report(self, driver: Toy) -> tuple[bytes, str, dict[str, str]]:
        return DiagnosticStatus.OK, driver.phase, {"refused": driver.refused}

    def measured(self, duration: float) -> dict[str, str]:
        return {"measured": "yes"}

    def address(self, config: ToyConfig) -> dict[str, str]:
        return {"port": "toy"}


@pytest.fixture
def made():
    """Makes a node with parameters."""
    nodes: list[ToyNode] = []

    def make(*words: str) -> ToyNode:
        arguments = [word for each in words for word in ("-p", each)]
        rclpy.init(args=["--ros-args", *arguments] if words else None, domain_id=DOMAIN)
        nodes.append(ToyNode())
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.try_shutdown()


def says(node: ToyNode) -> tuple[bytes, str, dict[str, str]]:
    status = node.diagnostics().status[0]
    return status.level, status.message, {value.key: value.value for value in status.values}


def spin_until(node: ToyNode, done) -> None:
    for _ in range(2000):
        if done():
            return
        rclpy.spin_once(node, timeout_sec=0.01)
    raise AssertionError(says(node))


def test_its_life_is_the_drivers(made):
    node = made()
    level, message, values = says(node)
    assert (level, message, values["state"]) == (DiagnosticStatus.WARN, "not configured", "unconfigured")
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    driver = node._driver
    assert says(node)[:2] == (DiagnosticStatus.OK, "ready")
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    level, message, values = says(node)
    assert (level, message, values["state"], values["port"]) == (
        DiagnosticStatus.OK,
        "holding",
        "active",
        "toy",
    )
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert (driver.phase, says(node)[2]["state"]) == ("ready", "inactive")
    assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    assert driver.closed
    assert says(node)[2]["state"] == "unconfigured"


def test_a_failure_to_connect_is_told_and_can_be_mended(made):
    node = made()
    node.errors = [RfsError("no cable")]
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert says(node)[:2] == (DiagnosticStatus.ERROR, "no cable")
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS


def test_a_configuration_that_cannot_be_used_stays_refused(made):
    node = made("gain:=0.5")
    for _ in range(2):
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    level, message, values = says(node)
    assert (level, message, values["refusal"]) == (DiagnosticStatus.ERROR, *["gain is 0.5: it rings"] * 2)
    assert node.attempts == 0


def test_autostart_tries_again_until_it_is_active(made):
    node = made("autostart:=true")
    node.errors = [RfsError("no cable"), RfsError("no cable")]
    spin_until(node, lambda: node._active)
    assert node.attempts == 3
    assert says(node)[1] == "holding"


@pytest.mark.parametrize("ending", ["trigger_deactivate", "trigger_cleanup"])
def test_after_a_person_has_taken_over_nothing_starts_by_itself(made, ending):
    node = made("autostart:=true")
    node.may_start = lambda: False  # as after a user stop
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    if ending == "trigger_deactivate":
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    assert getattr(node, ending)() == TransitionCallbackReturn.SUCCESS
    node.may_start = lambda: True
    assert node._autostart.is_canceled()
    for _ in range(20):
        rclpy.spin_once(node, timeout_sec=0.01)
    assert not node._active


def test_autostart_ends_with_an_error_that_will_stay(made):
    node = made("autostart:=true")
    node.errors = [ConfigError("another hand")]
    spin_until(node, lambda: node._autostart.is_canceled())
    assert (node.attempts, says(node)[:2]) == (1, (DiagnosticStatus.ERROR, "another hand"))


def test_a_second_publisher_of_targets_is_named(made):
    node = made()
    node.trigger_configure()
    publishers = [node.create_publisher(String, "toy/target", 1) for _ in range(2)]
    spin_until(node, lambda: node._driver.refused)
    assert node._driver.refused == ("2 publishers on toy/target (/toy_node, /toy_node): stop all but one")
    node.destroy_publisher(publishers[0])
    spin_until(node, lambda: not node._driver.refused)


def test_recovery_answers_with_what_the_driver_says_or_why_there_is_none(made):
    node = made()
    answer = node.recover(Trigger.Request(), Trigger.Response())
    assert (answer.success, answer.message) == (False, "toy_node is not configured: configure it first")
    node.trigger_configure()
    node._driver.phase = "fault"
    assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
    answer = node.recover(Trigger.Request(), Trigger.Response())
    assert (answer.success, answer.message) == (True, "cleared")
    assert says(node)[1] == "holding"


def test_milliseconds_of_nothing_are_none():
    assert [milliseconds(s) for s in (0.0123, float("inf"), float("nan"))] == ["12.3", "none", "none"]
