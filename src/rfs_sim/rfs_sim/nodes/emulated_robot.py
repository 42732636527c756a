"""The emulated robot: an FCI server and a servo bus, one world behind both, and the time.

    ros2 run rfs_sim emulated_robot --ros-args -p address:=127.0.0.2 -p port:=/tmp/leap_hand
    ros2 run rfs_drivers franka_node --ros-args -p address:=127.0.0.2 -p realtime:=ignore -p clock:=robot
    ros2 run rfs_drivers leap_node --ros-args -p port:=/tmp/leap_hand

The drivers are those of a real robot and know nothing of this node. What it publishes is what the drivers do
not: /clock, what perception sees, contacts and reward. An episode begins as a person would begin it: control
off, everything put where it belongs, control on again.

Publishes:  /clock, perception/object_pose, perception/goal_pose, hand/contacts, reward, /diagnostics;
            where switched on: camera/..., perception/points
Subscribes: episode/state, arm/driver_phase, hand/driver_phase; policy/action, so as not to run away from it;
            arm/target_pose, hand/target to record them; arm/joint_states, hand/joint_states
Serves:     sim/reset
Calls:      franka_node and leap_node: get_state, change_state; arm/recover, hand/recover
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.client import Client
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from rfs_core import robot
from rfs_core.errors import RfsError
from rfs_msgs.msg import EpisodeState, PolicyAction
from rfs_msgs.srv import ResetWorld
from rfs_ros import connections, conversions, params
from rfs_ros.qos import EPISODE_STATES, LATCHED, RELIABLE
from rfs_ros.run import exit_with, run_node
from rfs_ros.timing import pause
from rfs_sim.awaited import Awaited
from rfs_sim.driven import PHYSICS_DT, STEPS_PER_TICK, DrivenWorld
from rfs_sim.emulated_config import EmulatedConfig
from rfs_sim.nodes.emulated_camera import EmulatedCamera
from rfs_sim.nodes.emulated_devices import NS_PER_CYCLE, EmulatedDevices
from rfs_sim.nodes.sim_messages import CameraPublisher, PointPublisher, WorldPublisher
from rfs_sim.nodes.sim_node import OUTCOMES
from rfs_sim.recording import Recording

_CALL_S = 5.0
_LOOK_S = 0.02
_PHASE_S = 1.0
"""Wall time within which a driver's phase follows its answers."""
_IN_FAULT = ("fault", "failed")
_IN_CONTROL = ("holding", "following", "moving")
_STATE_S = 0.06
"""Age of a driver's newest state up to which robot time goes on as it should; the gate holds after 0.15 s."""
_DECISION_S = 0.15
"""The same for the observation that the policy answered last; the gate holds after 0.2 s."""
_TARGET_S = 0.11
"""The same for the gate's last target; the arm's driver holds after 0.2 s."""
_GONE_S = 0.25
"""Age after which nobody is waited for."""
_DARK_S = 0.055
"""Robot time since the newest picture that was taken; longer ago, nobody reads them any more."""
_SLOW_S = 0.03
"""Wall time by which a cycle is longer then; libfranka gives up after 1 s without a state."""
_SWITCH_INTERVAL_S = 0.0005
"""Between threads of the interpreter: the arm's cycle of 1 ms must not wait 5 ms for the other threads."""
_VIDEO_CLOSE_S = 1.5
_GOODBYE_S = 3.0
"""Wall time that drivers have to switch their devices off before the devices are gone; launch waits 5 s."""


def _stamp(message: JointState) -> int:
    return conversions.stamp_ns(message.header.stamp)


class DriverRefused(RfsError):
    """A driver did not do what the beginning of an episode needs."""


class _Driver:
    """A driver as a person at its life cycle sees it."""

    def __init__(self, node: Node, name: str, part: str, group: ReentrantCallbackGroup) -> None:
        self.name = name
        self.phase = "not seen"
        self._node = node
        self._part = part
        self._phase_topic = f"{part}/driver_phase"
        self._state: Client = node.create_client(GetState, f"{name}/get_state", callback_group=group)
        self._change: Client = node.create_client(ChangeState, f"{name}/change_state", callback_group=group)
        self._recover: Client = node.create_client(Trigger, f"{part}/recover", callback_group=group)
        node.create_subscription(String, self._phase_topic, self._on_phase, LATCHED)

    def _on_phase(self, message: String) -> None:
        self.phase = message.data

    def is_there(self) -> bool:
        """Whether it lives: a driver takes leave of its device before its topics go. From any thread."""
        return bool(self._node.count_publishers(self._phase_topic))

    async def off(self, recover: bool) -> None:
        """Connected and not in control, whatever it was before."""
        if not self._state.service_is_ready():
            raise DriverRefused(f"{self.name} is not there: is it running, in the same namespace?")
        state = (await self._state.call_async(GetState.Request())).current_state
        if state.id == State.PRIMARY_STATE_UNCONFIGURED:
            await self._transition(Transition.TRANSITION_CONFIGURE, "configured")
        elif state.id == State.PRIMARY_STATE_ACTIVE:
            # After a recovery the answer to the person may be faster than the phase.
            if not recover and not await self._phase_leaves(_IN_FAULT):
                raise DriverRefused(
                    f"{self.name} is in {self.phase}: /diagnostics says why; then call {self._part}/recover"
                )
            await self._transition(Transition.TRANSITION_DEACTIVATE, "deactivated")
            await self._phase_leaves(_IN_CONTROL)
        elif state.id != State.PRIMARY_STATE_INACTIVE:
            raise DriverRefused(f"{self.name} is {state.label}: try again")
        if self.phase == "fault":
            if not recover:
                raise DriverRefused(f"{self.name} is in fault: call {self._part}/recover")
            answer = await self._recover.call_async(Trigger.Request())
            if not answer.success:
                raise DriverRefused(f"{self._part}/recover: {answer.message}")

    async def _phase_leaves(self, phases: tuple[str, ...]) -> bool:
        """Whether its phase is none of these; the newest one may be on its way still: answers and topics
        overtake each other."""
        deadline = time.monotonic() + _PHASE_S
        while self.phase in phases and time.monotonic() < deadline:
            await pause(self._node, _LOOK_S)
        return self.phase not in phases

    async def on(self) -> None:
        """In control, holding."""
        await self._transition(Transition.TRANSITION_ACTIVATE, "activated")

    async def _transition(self, transition: int, done: str) -> None:
        request = ChangeState.Request(transition=Transition(id=transition))
        answer = await self._change.call_async(request)
        if not answer.success:
            raise DriverRefused(f"{self.name} could not be {done}; it says why on its log")


class EmulatedRobot(Node):
    """Begins and ends episodes in the world behind the devices, and publishes what drivers do not."""

    def __init__(self, **options: Any) -> None:
        super().__init__("emulated_robot", **options)
        self.config = config = params.declare(self, EmulatedConfig)
        self.world = DrivenWorld(config.task, seed=config.seed)
        self.recording = Recording(config, fps=1.0 / self.world.action_spec.control_dt)
        self._finished_episode = ""
        self._started_ns = 0
        self._policy = Awaited(_DECISION_S, _GONE_S)
        self._arm = Awaited(_STATE_S, _GONE_S)
        self._hand = Awaited(_STATE_S, _GONE_S)
        self._gate = Awaited(_TARGET_S, _GONE_S)
        self._pictures = Awaited(_DARK_S, _GONE_S)
        self._resetting = False
        self._measured = (time.monotonic(), 0)

        self._messages = WorldPublisher(self, config.task)
        self._sensors: list[CameraPublisher | PointPublisher | EmulatedCamera] = []
        self._camera: EmulatedCamera | None = None
        if config.camera_link:
            self._camera = EmulatedCamera(config, self.world)
            self._sensors.append(self._camera)
        if config.camera:
            self._sensors.append(CameraPublisher(self, config, self.world))
        if config.points:
            self._sensors.append(PointPublisher(self, config, self.world))
        self.create_subscription(PolicyAction, "policy/action", self._on_decision, RELIABLE)
        for topic, driver in (("arm/joint_states", self._arm), ("hand/joint_states", self._hand)):
            self.create_subscription(
                JointState, topic, lambda message, driver=driver: driver.heard(_stamp(message)), RELIABLE
            )
        # To be waited for and recorded: it is the drivers that follow them.
        self.create_subscription(PoseStamped, "arm/target_pose", self._on_arm_target, RELIABLE)
        self.create_subscription(JointState, "hand/target", self._on_hand_target, RELIABLE)
        self._publish_diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", RELIABLE).publish
        self.create_subscription(EpisodeState, "episode/state", self._on_episode, EPISODE_STATES)
        # The reset waits for answers of the drivers, which must be able to come meanwhile.
        waiting = ReentrantCallbackGroup()
        self._drivers = (
            _Driver(self, "franka_node", "arm", waiting),
            _Driver(self, "leap_node", "hand", waiting),
        )
        self.create_service(ResetWorld, "sim/reset", self._on_reset, callback_group=waiting)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0, self._diagnose, clock=self._steady)

        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        self.devices = EmulatedDevices(
            self.world,
            address=config.address,
            link=config.port,
            rate_hz=config.real_time_factor / PHYSICS_DT,
            patience_s=config.patience_s,
            admin_port=config.admin_port,
            on_cycle=self._on_cycle,
            seed=config.seed,
            log=lambda line: self.get_logger().warning(line),
        )
        self.devices.start()
        self.get_logger().info(
            f"arm at {config.address} (faults: port {self.devices.arm.admin.port}), hand at {config.port} "
            f"(faults: port {self.devices.hand_admin.port}); world of task {config.task}"
        )

    # Time and what is seen, in the arm's thread

    def _on_cycle(self, ended: bool) -> None:
        cycles = self.devices.cycles
        if self._somebody_is_late():
            time.sleep(_SLOW_S)
        if ended or (not self.world.moving and cycles % STEPS_PER_TICK == 0):
            self._publish(ended)
        # After what is seen at that time: whoever decides when the clock says so shall have it by then.
        if cycles % self.config.clock_period_ms == 0:
            self._messages.publish_clock(self.devices.time_ns)

    def _somebody_is_late(self) -> bool:
        """In an episode and just before it: then robot time crawls for a while, as it is this machine that is
        slow. Who stays away is found missing by the gate, or by the drivers, all the same."""
        if not self._started_ns:
            return False
        now_ns = self.devices.time_ns
        if self._arm.is_late(now_ns) or self._hand.is_late(now_ns) or self._gate.is_late(now_ns):
            return True
        return self.world.moving and (self._policy.is_late(now_ns) or self._camera_is_late())

    def _camera_is_late(self) -> bool:
        """Where pictures are read: drawing them is what is slow."""
        if self._camera is None or not self._camera.shown_ns:
            return False
        self._pictures.heard(self._camera.shown_ns)
        return self._pictures.is_late(self.devices.time_ns)

    def _on_decision(self, message: PolicyAction) -> None:
        self._policy.heard(conversions.stamp_ns(message.observation_stamp))

    def _publish(self, ended: bool) -> None:
        stamp_ns = self.devices.time_ns
        outcome = self.world.outcome()
        self._messages.publish(stamp_ns, self.world.state, outcome, self.world.seen)
        for sensor in self._sensors:
            sensor.publish(self.devices.cycles // STEPS_PER_TICK, stamp_ns, self.world)
        if ended and self._started_ns:
            self.recording.step(stamp_ns, self.world, outcome, missed=False)

    def _on_arm_target(self, message: PoseStamped) -> None:
        self._gate.heard(self.devices.time_ns)
        with contextlib.suppress(RfsError):
            self.world.applied_target = conversions.pose_from_msg(message.pose, "arm/target_pose")

    def _on_hand_target(self, message: JointState) -> None:
        with contextlib.suppress(RfsError):
            names = robot.HAND_JOINT_NAMES
            target = conversions.joint_values(message.name, message.position, names, "hand/target")
            self.world.hand_target = target[None]

    # Episodes

    async def _on_reset(
        self, request: ResetWorld.Request, response: ResetWorld.Response
    ) -> ResetWorld.Response:
        if request.task not in ("", self.config.task):
            response.message = (
                f"this world was started for task {self.config.task!r}, asked was {request.task!r}: "
                "start the emulated robot with that task"
            )
            return response
        if self._resetting:
            response.message = "a reset is under way; wait for its answer"
            return response
        self._resetting = True
        self._policy.forget()
        self._gate.forget()
        try:
            # An arm that carries something would sink while its driver brings it to rest.
            self.devices.call(self.devices.stand_still).result(_CALL_S)
            for driver in self._drivers:
                await driver.off(self.config.auto_recover)
            self._end_episode(*self.recording.verdict("the world was reset"))
            seed, episode = int(request.seed), int(request.episode)
            self.devices.call(lambda: self.devices.reset(seed, episode)).result(_CALL_S)
            for driver in self._drivers:
                await driver.on()
            # Whoever listens shall have heard where the arm is now, and nothing of before.
            await self._pass(self.config.settle_s)
            self._started_ns = self.devices.call(lambda: self._begin(seed, episode)).result(_CALL_S)
        except DriverRefused as error:
            response.message = str(error)
            return response
        finally:
            self._resetting = False
        response.success = True
        response.stamp = conversions.stamp_msg(self._started_ns)
        response.max_steps = self.world.max_episode_steps
        return response

    async def _pass(self, seconds: float) -> None:
        """Let robot time pass."""
        until = self.devices.cycles + round(seconds / PHYSICS_DT)
        while self.devices.cycles < until and self.devices.running:
            await pause(self, _LOOK_S)

    def _begin(self, seed: int, episode: int) -> int:
        """Let the episode begin a little later, when the gate is armed; returns when. In the arm's thread."""
        devices = self.devices
        lead = round(self.config.lead_s / PHYSICS_DT)
        devices.begin_at = devices.cycles + lead
        devices.begin = self.world.release
        started_ns = devices.begin_at * NS_PER_CYCLE
        self.recording.begin(
            started_ns,
            self.world,
            task=self.config.task,
            seed=seed,
            episode=episode,
            physics_dt=PHYSICS_DT,
            control_dt=self.world.action_spec.control_dt,
        )
        return started_ns

    def _on_episode(self, message: EpisodeState) -> None:
        if conversions.stamp_ns(message.started) not in (0, self._started_ns):
            return
        if message.phase == EpisodeState.PHASE_RUNNING:
            self.recording.name(message.id)
        elif message.phase == EpisodeState.PHASE_FINISHED:
            self.recording.name(message.id)
            self._end_episode(OUTCOMES.get(message.outcome, "aborted"), message.reason)
            self._finished_episode = message.id
            self._diagnose()  # the report of a batch waits for these numbers

    def _end_episode(self, outcome: str, reason: str) -> None:
        self._started_ns = 0
        self.world.disturbed = False
        try:
            self.recording.end(outcome, reason)
        except RfsError as error:
            self.get_logger().error(str(error))

    # Health

    def _diagnose(self) -> None:
        devices, video = self.devices, self.recording.video
        if not devices.running:
            raise DriverRefused("the emulated devices have stopped by a defect; its traceback is above")
        now = time.monotonic()
        elapsed, passed = now - self._measured[0], devices.cycles - self._measured[1]
        self._measured = (now, devices.cycles)
        counters = devices.arm.counters
        values: dict[str, object] = {
            "phase": "moving" if self.world.moving else "standing still",
            "robot_time_s": f"{devices.cycles * PHYSICS_DT:.3f}",
            "real_time_factor": f"{passed * PHYSICS_DT / max(elapsed, 1e-3):.2f}",
            "commands_missed": devices.arm.robot.missed,
            "clients": counters.clients,
            "motions": counters.motions,
            "packets_of_hand": devices.bus.packets,
            "finished_episode": self._finished_episode,
            connections.KEY: connections.report(self),
            **{f"{driver.name} phase": driver.phase for driver in self._drivers},
        }
        if video is not None:
            values |= {"video_backlog": video.backlog, "video_dropped": video.dropped}
        status = DiagnosticStatus(
            level=DiagnosticStatus.OK,
            name=f"{self.get_fully_qualified_name().lstrip('/')}: emulated robot",
            message=str(values["phase"]),
            hardware_id="emulated",
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = conversions.stamp_msg(devices.time_ns)
        self._publish_diagnostics(message)

    def _await_drivers_end(self) -> None:
        """Ctrl-C ends everybody at once; a driver still has to bring the arm to rest, to take torque off."""
        deadline = time.monotonic() + _GOODBYE_S
        while left := [driver.name for driver in self._drivers if driver.is_there()]:
            if time.monotonic() > deadline:
                self.get_logger().info(f"the devices end while {' and '.join(left)} still had them")
                return
            time.sleep(_LOOK_S)

    def destroy_node(self) -> None:
        """Stop the devices, once the drivers have left them; close files, then the node."""
        self._started_ns = 0  # nobody is waited for any more: the drivers come to rest in full time
        self._await_drivers_end()
        self.devices.close()
        self._end_episode("aborted", "the emulated robot was stopped")
        try:
            self.recording.close(_VIDEO_CLOSE_S)
        except RfsError as error:
            self.get_logger().error(str(error))
        for sensor in self._sensors:
            sensor.close()
        self.world.close()
        super().destroy_node()


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `ros2 run rfs_sim emulated_robot`."""
    exit_with(run_node(EmulatedRobot, sys.argv if argv is None else argv))


if __name__ == "__main__":
    main()
