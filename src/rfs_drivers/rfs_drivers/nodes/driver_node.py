"""What driver nodes share: a lifecycle around a driver, one publisher of targets, a phase, diagnostics."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Any, Generic, Protocol, TypeVar

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from std_msgs.msg import String
from std_srvs.srv import Trigger

from rfs_core.errors import ConfigError, RfsError
from rfs_ros import connections, params
from rfs_ros.lifecycle import LifecycleNode
from rfs_ros.qos import LATCHED, RELIABLE

_SHORTEST_MEASURED_S = 0.5
"""Shares and rates are of at least this long."""


class Config(Protocol):
    """What a driver is told."""

    autostart: bool

    def check(self) -> None:
        """Raises ConfigError where values do not go together."""


class Driver(Protocol):
    """What a node asks of a driver of its kind."""

    def refuse_targets(self, reason: str) -> None:
        """Follow no target while there is a reason; empty: follow again."""

    def close(self) -> None:
        """Let go of the device."""


ConfigT = TypeVar("ConfigT", bound=Config)
DriverT = TypeVar("DriverT", bound=Driver)


class DriverNode(LifecycleNode, Generic[ConfigT, DriverT]):
    """Wires topics to a driver; decides nothing itself.

    configure connects, activate begins control, deactivate ends it, cleanup disconnects. With `autostart` the
    node does the first two by itself, again and again until they succeed or the configuration is refused.
    """

    device: str
    """Prefix of its topics, such as arm."""
    target_topic: str
    config_class: type[ConfigT]
    autostart_s: float
    """Steady time between two attempts to start by itself."""

    def __init__(self, name: str) -> None:
        """Args: name: of the node."""
        super().__init__(name)
        self._config: ConfigT | None = None
        self._refusal = ""
        """Why this node cannot be configured at all."""
        self._last_failure = ""
        """Why it could not be configured the last time."""
        try:
            self._config = params.declare(self, self.config_class)
            self._config.check()
        except ConfigError as error:
            self._refusal = str(error)
            self.get_logger().error(f"cannot be configured: {error}")
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._driver: DriverT | None = None
        self._active = False
        self._phase = ""
        self._measured_at = time.monotonic()

        self._driver_phase = self.create_publisher(String, f"{self.device}/driver_phase", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", RELIABLE)
        self.create_service(Trigger, f"{self.device}/recover", self.recover)
        self.create_timer(0.5, self._look_for_publishers, clock=self._steady)
        self.create_timer(1.0, self._publish_diagnostics, clock=self._steady)
        self._autostart = None
        if self._config is not None and self._config.autostart:
            self._autostart = self.create_timer(self.autostart_s, self._start_by_itself, clock=self._steady)

    # What a driver node adds -----------------------------------------------------------------------------

    @abstractmethod
    def connect(self, config: ConfigT) -> tuple[DriverT, str]:
        """A connected driver, and what to tell of it.

        Raises:
            ConfigError: the configuration can never be used.
            RfsError: why there is no connection; nothing of the driver is left behind.
        """

    @abstractmethod
    def begin(self, driver: DriverT) -> str:
        """Begin control, holding; what to tell of it. Raises RfsError."""

    @abstractmethod
    def end(self, driver: DriverT) -> str:
        """End control; what to tell of it. Raises RfsError."""

    @abstractmethod
    def clear_fault(self, driver: DriverT) -> str:
        """Clear a fault and go on, holding, if this node is active; what to tell of it. Raises RfsError."""

    @abstractmethod
    def phase(self, driver: DriverT | None) -> str:
        """The driver's phase, as published; without a driver, that of none."""

    @abstractmethod
    def report(self, driver: DriverT) -> tuple[bytes, str, dict[str, str]]:
        """For diagnostics: level, one line, values by name."""

    @abstractmethod
    def measured(self, duration: float) -> dict[str, str]:
        """For diagnostics: what was counted since it was asked the last time, `duration` seconds ago."""

    def address(self, config: ConfigT) -> dict[str, str]:
        """For diagnostics: where the device is."""
        return {}

    def is_final(self, error: RfsError) -> bool:
        """Whether an error of `connect` will be there at the next attempt as well."""
        return isinstance(error, ConfigError)

    def may_start(self) -> bool:
        """Whether it makes sense to start by itself now."""
        return True

    # Life cycle ------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Connect to the device; states are published from now on."""
        try:
            if self._config is None or self._refusal:
                raise ConfigError(self._refusal)
            driver, line = self.connect(self._config)
        except RfsError as error:
            if self.is_final(error):
                self._refusal = str(error)
            said, self._last_failure = self._last_failure, str(error)
            if self._autostart is None or self._refusal:
                self.get_logger().error(f"not configured: {error}")
            elif self._last_failure != said:
                self.get_logger().warning(f"not configured yet, trying again: {error}")
            self._publish_diagnostics()
            return TransitionCallbackReturn.FAILURE
        self._driver, self._last_failure = driver, ""
        self.get_logger().info(line)
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin control, holding where the device is."""
        assert self._driver is not None
        try:
            self.get_logger().info(self.begin(self._driver))
        except RfsError as error:
            self.get_logger().error(f"not activated: {error}")
            return TransitionCallbackReturn.FAILURE
        finally:
            self._publish_phase()
        self._active = True
        self._end_autostart()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End control."""
        self._active = False
        if self._driver is not None:
            self.get_logger().info(self.end(self._driver))
        self._publish_phase()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Disconnect."""
        self._end_autostart()
        self._close_driver()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """The end."""
        self._close_driver()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """A transition went wrong: the node is unconfigured, and nothing of the driver stays behind."""
        self._close_driver()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """End control before the publishers go."""
        self._close_driver()
        super().destroy_node()

    def _close_driver(self) -> None:
        self._active = False
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()

    def _start_by_itself(self) -> None:
        if self._refusal:
            self._end_autostart()
            return
        if not self.may_start():
            return
        if self._driver is None:
            self.trigger_configure()
        if self._driver is not None and not self._active:
            self.trigger_activate()

    def _end_autostart(self) -> None:
        """For good: once it has succeeded, or a person has taken over, nothing starts by itself any more."""
        if self._autostart is not None:
            self._autostart.cancel()

    # Topics and services ---------------------------------------------------------------------------------

    def _look_for_publishers(self) -> None:
        if self._driver is None:
            return
        publishers = self.get_publishers_info_by_topic(self.resolve_topic_name(self.target_topic))
        names = sorted(f"{p.node_namespace.rstrip('/')}/{p.node_name}" for p in publishers)
        reason = f"{len(names)} publishers on {self.target_topic} ({', '.join(names)}): stop all but one"
        self._driver.refuse_targets(reason if len(names) > 1 else "")

    def _publish_phase(self) -> None:
        phase = self.phase(self._driver)
        if phase != self._phase:
            self._phase = phase
            self._driver_phase.publish(String(data=phase))
            self._publish_diagnostics()

    def recover(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Clear a fault; control goes on, holding, if this node is active."""
        self._carry_out(self.clear_fault, response)
        level = "info" if response.success else "warning"
        self._log(level, f"{self.device}/recover: {response.message}")
        return response

    def _carry_out(self, action: Any, response: Trigger.Response) -> Trigger.Response:
        """Answer with what an action on the driver says, or with why it failed."""
        try:
            if self._driver is None:
                raise RfsError(f"{self.get_name()} is not configured: configure it first")
            response.message, response.success = action(self._driver), True
        except RfsError as error:
            response.message, response.success = str(error), False
        self._publish_phase()  # whoever has the answer shall not go on with the phase of before
        return response

    def _publish_diagnostics(self) -> None:
        self._diagnostics.publish(self.diagnostics())

    def diagnostics(self) -> DiagnosticArray:
        """How the device is, and why."""
        status = DiagnosticStatus(name=f"{self.get_fully_qualified_name().lstrip('/')}: {self.device}")
        values: dict[str, str] = {"state": "unconfigured"}
        if self._refusal or self._driver is None:
            failed = self._refusal or self._last_failure
            status.level = DiagnosticStatus.ERROR if failed else DiagnosticStatus.WARN
            status.message = failed or "not configured"
        else:
            status.level, status.message, of_driver = self.report(self._driver)
            values = {"state": "active" if self._active else "inactive", **of_driver}
        if self._config is not None:
            values.update(self.address(self._config))
        now = time.monotonic()
        if now > self._measured_at + _SHORTEST_MEASURED_S:
            values.update(self.measured(now - self._measured_at))
            self._measured_at = now
        values["refusal"] = self._refusal
        values[connections.KEY] = connections.report(self)
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        return message

    def _log(self, level: str, line: str) -> None:
        # rclpy remembers one severity per calling line: one line each.
        if level == "error":
            self.get_logger().error(line)
        elif level == "warning":
            self.get_logger().warning(line)
        else:
            self.get_logger().info(line)


def milliseconds(seconds: float) -> str:
    """For diagnostics; infinite or undefined where there was none."""
    return f"{seconds * 1e3:.1f}" if abs(seconds) < float("inf") else "none"
