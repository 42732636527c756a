"""The robot through the vendor's client library: every call watched, every exception named.

What such calls may do otherwise stands in `franka_calls`. The constructor runs in a thread of its own.

`franky` is imported when the first connection is made: the package works without it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np

from rfs_core import robot, se3
from rfs_core.se3 import Array, Pose
from rfs_drivers.errors import DriverError
from rfs_drivers.franka_calls import Watchdog, break_connections, restored_scheduling
from rfs_drivers.franka_config import FrankaConfig
from rfs_drivers.franka_effort import Impedance, bearable_share, posture_torque
from rfs_drivers.franka_faults import Cause, Fault, classify
from rfs_drivers.franka_frames import (
    PALM_IN_FLANGE,
    end_effector_of,
    inverse_matrix,
    matrix_pose,
    moved,
    palm_of,
    pose_matrix,
)
from rfs_drivers.franka_targets import Setpoint

T = TypeVar("T")

END_CONTROL_S = 4.0
"""Patience with bringing the arm to rest, which takes a while; `call_timeout` where that is longer."""

TOOL_TOLERANCE = 1e-3
"""m and of rotation matrix elements: how exactly the robot must report the tool frame it was told."""


class RobotState(NamedTuple):
    """One state of the robot, read at `read_at`."""

    read_at: float
    """Steady clock of this machine, s."""
    robot_time: float
    """The robot's own clock, s."""
    q: Array
    """Joint positions, rad. Shape: (7,)."""
    dq: Array
    """Joint velocities, rad/s. Shape: (7,)."""
    tau: Array
    """Measured joint torques with gravity, Nm. Shape: (7,)."""
    palm: Pose
    """Palm in the base frame, N = 1."""
    end_effector: Array
    """The robot's end effector in the base frame. Shape: (4, 4)."""
    flange_to_end_effector: Array
    """As entered in Desk or set by this driver. Shape: (4, 4)."""
    wrench: Array
    """O_F_ext_hat_K: force (N) and moment (Nm) of the robot on its surroundings, base frame. Shape: (6,)."""
    mode: str
    """Robot mode, as the client library names it: Idle, Move, Reflex, UserStopped, Guiding, ..."""
    errors: tuple[str, ...]
    """Error flags that are set."""
    success_rate: float
    """Share of the last 100 commands that arrived in time; 0 while not in control."""


class VendorError(DriverError):
    """A call into the client library failed."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.reason)
        self.fault = fault


class FrankaConnection:
    """One `franky.Robot`, and at most one impedance session on it. Not thread-safe: one thread owns it."""

    def __init__(self, config: FrankaConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._franky = _import_franky()
        self._watchdog = Watchdog(config.address)
        self._robot: Any = None
        self._model: Any = None
        self._tracker: Any = None
        self._impedance = Impedance.of(config)
        self._posture = np.zeros(7)
        self.borne = 1.0
        """Share of the newest setpoint that the joints can bear."""
        self._is_set_up = False
        self._control_tasks: set[int] = set()
        self._mode_names: dict[Any, str] = {}
        self.robots_made = 0
        """Connections made since the start."""
        self.abandoned = 0
        """Constructor threads that did not end even when their connection was broken."""

    @property
    def connected(self) -> bool:
        """Whether there is a robot object; it may be dead."""
        return self._robot is not None

    @property
    def in_session(self) -> bool:
        """Whether an impedance session was begun and not yet ended."""
        return self._tracker is not None

    @property
    def busy(self) -> tuple[str, float]:
        """The call in progress and for how long, s; ("", 0.0) between calls."""
        call = self._watchdog.call
        return (call, time.monotonic() - self._watchdog.begun) if call else ("", 0.0)

    def connect(self) -> None:
        """Make the robot object anew, then set thresholds, load and tool frame.

        Raises:
            VendorError: with the fault.
        """
        self.drop()
        self._is_set_up = False
        self._robot = self._construct()
        self._model = self._robot.model
        self.robots_made += 1
        try:
            state = self.read()
            if state.mode == "Idle" and not state.errors:
                self._set_up()
        except VendorError:
            self.drop()
            raise

    def read(self) -> RobotState:
        """The newest state. Waits for the next one while idle (1 ms); at most 1 s on a dead connection."""
        with self._calling("state"):
            state = self._robot.state
            end_effector = np.asarray(state.O_T_EE.matrix)
            frame = np.asarray(state.F_T_EE.matrix)
            mode = self._mode_name(state.robot_mode)
            return RobotState(
                read_at=self._clock(),
                robot_time=state.time.to_msec() / 1000.0,
                q=np.asarray(state.q),
                dq=np.asarray(state.dq),
                tau=np.asarray(state.tau_J),
                palm=matrix_pose(palm_of(end_effector, frame)),
                end_effector=end_effector,
                flange_to_end_effector=frame,
                wrench=np.asarray(state.O_F_ext_hat_K),
                mode=mode,
                errors=self._error_names(state.current_errors) if mode not in ("Idle", "Move") else (),
                success_rate=float(state.control_command_success_rate),
            )

    def begin_session(self, state: RobotState) -> None:
        """Begin Cartesian impedance control, holding the current pose."""
        self._ensure_set_up()
        config, franky = self._config, self._franky
        options: dict[str, Any] = {}
        self._posture = state.q.copy()
        if config.posture_stiffness > 0.0:
            options["posture_task"] = franky.PostureTask(state.q, config.posture_stiffness)
        before = _tasks()
        with self._calling("begin control"), restored_scheduling():
            self._tracker = franky.CartesianImpedanceTracker(
                self._robot,
                translational_stiffness=config.translational_stiffness,
                rotational_stiffness=config.rotational_stiffness,
                damping=self._impedance.damping,
                translational_error_clip=self._impedance.clip[:3],
                rotational_error_clip=self._impedance.clip[3:],
                max_delta_tau=config.max_delta_tau,
                lower_joint_limits=robot.ARM_LIMITS[0],
                upper_joint_limits=robot.ARM_LIMITS[1],
                joint_limit_activation_distance=config.joint_limit_margin,
                # The library's wall: stiffness * (exp(depth / margin) - 1), at most the largest torque.
                joint_limit_stiffness=config.joint_limit_torque / np.expm1(1.0),
                joint_limit_max_torque=config.joint_limit_torque,
                **options,
            )
        self._control_tasks = _tasks() - before
        self._wait_until_moving()

    @property
    def library_cpu(self) -> float:
        """Processor time of the library's control thread in this session, s; of the session before, 0."""
        return sum(_cpu_of(task) for task in self._control_tasks)

    def _wait_until_moving(self) -> None:
        """The library returns before the robot has agreed; a refusal shall be seen here, not later."""
        deadline = time.monotonic() + self._config.call_timeout
        while self.in_control and self.read().mode != "Move":
            if time.monotonic() > deadline:
                break
            time.sleep(0.002)
        if not self.in_control:
            fault = self.end_session()
            raise VendorError(fault or Fault(Cause.OTHER, "robot ended control at once without saying why"))

    @property
    def in_control(self) -> bool:
        """Whether the session, or a joint motion, is running."""
        return self._robot is not None and bool(self._robot.is_in_control)

    def follow(self, setpoint: Setpoint, state: RobotState) -> None:
        """Hand a palm setpoint to the session: as much of it as the joints can bear."""
        palm = pose_matrix(setpoint.pose)
        target = end_effector_of(palm, state.flange_to_end_effector)
        arm = target[:3, 3] - palm[:3, 3]
        linear = setpoint.linear + np.cross(setpoint.angular, arm)
        twist = self._config.twist_feedforward * np.concatenate([linear, setpoint.angular])
        franky = self._franky
        with self._calling("follow"):
            jacobian = self._model.zero_jacobian(
                franky.Frame.EndEffector,
                state.q,
                franky.Affine(state.flange_to_end_effector),
                franky.Affine(),
            )
            impedance = self._impedance
            measured = matrix_pose(state.end_effector)
            error = se3.pose_error(matrix_pose(target), measured)[0]
            error = np.clip(error, -impedance.clip, impedance.clip)
            posture = self._config.posture_stiffness
            other = posture_torque(posture, self._posture, state.q, state.dq, jacobian)
            self.borne = bearable_share(error, twist, jacobian @ state.dq, jacobian, impedance, other)
            if self.borne < 1.0:
                target = pose_matrix(moved(measured, self.borne * error))
                twist = self.borne * twist
            self._tracker.set_target(franky.Affine(target), franky.Twist(twist[:3], twist[3:]))

    def end_session(self) -> Fault | None:
        """End the session: bring the arm to rest, or find out why control has ended already."""
        tracker, self._tracker = self._tracker, None
        if tracker is None:
            return None
        try:
            with self._calling("end control", END_CONTROL_S), restored_scheduling():
                tracker.stop()
        except VendorError as error:
            return error.fault
        return None

    def begin_joint_motion(self, q: Array, speed: float) -> None:
        """Begin moving the joints to q (rad); `joint_motion_finished` tells when it is over."""
        self._ensure_set_up()
        with self._calling("begin joint motion"), restored_scheduling():
            motion = self._franky.JointMotion(np.asarray(q, dtype=np.float64), relative_dynamics_factor=speed)
            self._robot.move(motion, asynchronous=True)

    def joint_motion_finished(self) -> bool:
        """Whether the joint motion has ended.

        Raises:
            VendorError: it ended otherwise than planned.
        """
        with self._calling("joint motion"):
            # join_motion returns False while moving; it raises what ended the motion.
            return bool(self._robot.join_motion(0.0))

    def stop_joint_motion(self) -> None:
        """End a joint motion smoothly."""
        with self._calling("stop joint motion", END_CONTROL_S), restored_scheduling():
            self._robot.move(self._franky.JointStopMotion(), asynchronous=True)
            self._robot.join_motion()

    def clear_errors(self) -> None:
        """Automatic error recovery."""
        with self._calling("recover"):
            if not self._robot.recover_from_errors():
                raise VendorError(Fault(Cause.REFUSED, "robot did not recover from its errors: look at Desk"))

    def drop(self) -> None:
        """Let go of the robot object; this closes its connection."""
        self._tracker = self._model = None
        if self._robot is None:
            return
        with contextlib.suppress(VendorError), self._calling("disconnect"):
            self._robot = None

    def close(self) -> None:
        """Drop the robot and end the watchdog."""
        self.drop()
        self._watchdog.close()

    # ---- inside --------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _calling(self, call: str, limit: float | None = None) -> Iterator[None]:
        limit = self._config.call_timeout if limit is None else max(limit, self._config.call_timeout)
        began = time.monotonic()
        try:
            with self._watchdog.watch(call, limit):
                yield
        except VendorError:
            raise
        # The library raises classes of several trees, and plain RuntimeError from its network layer.
        except Exception as error:
            waited = time.monotonic() - began if self._watchdog.broke else None
            fault = classify(error, self._config.address, broken_after=waited, call=call)
            raise VendorError(fault) from error

    def _construct(self) -> Any:
        config, franky = self._config, self._franky
        choices = franky.RealtimeConfig
        realtime = choices.Enforce if config.realtime == "enforce" else choices.Ignore
        box: dict[str, Any] = {}

        def construct() -> None:
            # Also for what the library's own threads inherit from this one.
            with restored_scheduling():
                try:
                    box["robot"] = franky.Robot(config.address, realtime_config=realtime)
                # The library's exceptions have no common root but this; `classify` names them.
                except Exception as error:  # noqa: BLE001
                    box["error"] = error
            if box.get("abandoned"):
                box.pop("robot", None)

        began = time.monotonic()
        thread = threading.Thread(target=construct, name="franka connect", daemon=True)
        thread.start()
        thread.join(config.call_timeout)
        broken_after = None
        while thread.is_alive():
            broken_after = broken_after or time.monotonic() - began
            if time.monotonic() - began > config.call_timeout + 4.0:
                box["abandoned"] = True
                self.abandoned += 1
                break
            break_connections(config.address)
            thread.join(0.2)
        if "robot" in box:
            return box.pop("robot")
        error = box.get("error", DriverError("the constructor did not return"))
        raise VendorError(classify(error, config.address, broken_after=broken_after)) from error

    def _ensure_set_up(self) -> None:
        """A robot that was in reflex when it was connected is set up before its first motion."""
        if not self._is_set_up:
            self._set_up()

    def _set_up(self) -> None:
        config = self._config
        with self._calling("set-up"):
            self._robot.set_collision_behavior(config.collision_torque, config.collision_force)
            if config.set_load:
                inertia = np.diag(config.load_inertia).ravel()
                self._robot.set_load(config.load_mass, list(config.load_centre), inertia.tolist())
            if config.tool_frame == "palm":
                nominal = np.asarray(self._robot.state.F_T_NE.matrix)
                tool = inverse_matrix(nominal) @ PALM_IN_FLANGE
                self._robot.set_ee(tool.T.ravel().tolist())
        if config.tool_frame == "palm":
            got = self._wait_for_tool()
            if not np.allclose(got, PALM_IN_FLANGE, atol=TOOL_TOLERANCE):
                raise VendorError(
                    Fault(
                        Cause.REFUSED,
                        "robot did not take the palm as its end effector: it reports "
                        f"{got[:3, 3].round(4).tolist()}, "
                        f"asked {PALM_IN_FLANGE[:3, 3].tolist()}; use tool_frame:=desk",
                    )
                )

        self._is_set_up = True

    def _wait_for_tool(self) -> Array:
        """The end effector the robot reports, once it is the palm; else after a few states."""
        frame = np.eye(4)
        for _ in range(20):
            frame = self.read().flange_to_end_effector
            if np.allclose(frame, PALM_IN_FLANGE, atol=TOOL_TOLERANCE):
                break
        return frame

    def _mode_name(self, mode: Any) -> str:
        name = self._mode_names.get(mode)
        if name is None:
            name = self._mode_names[mode] = str(mode.name)
        return name

    @staticmethod
    def _error_names(errors: Any) -> tuple[str, ...]:
        names = (name for name in dir(errors) if not name.startswith("_"))
        return tuple(name for name in names if getattr(errors, name) is True)


def _tasks() -> set[int]:
    """Threads of this process, the library's included."""
    return {int(name) for name in os.listdir("/proc/self/task")}


def _cpu_of(task: int) -> float:
    """Processor time of a thread of this process, s; 0 when it has ended."""
    try:
        with open(f"/proc/self/task/{task}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _import_franky() -> Any:
    try:
        import franky
    except ImportError as error:
        raise DriverError(
            "the Franka driver needs franky-control, which is not installed: run make setup EXTRAS=drivers"
        ) from error
    if not hasattr(franky, "CartesianImpedanceTracker"):
        raise DriverError(
            f"franky-control {getattr(franky, '__version__', '')} has no CartesianImpedanceTracker: install "
            "franky-control==2.0.0 (make setup EXTRAS=drivers)"
        )
    return franky
