"""The command gate as a pure state machine: the only way from a policy to the robot.

It composes a = a_b + a_r(policy) + a_r(human), clips to the action spec, advances the targets by the control
law of `rfs_core.control`, and refuses what is not finite, stale, out of order or from a second publisher.
No ROS, no clock, no I/O: events and their receipt times come in, commands and a status come out.

    IDLE  --arm-->  ARMED  --first good action-->  ACTIVE
    ARMED, ACTIVE         --doubt-->    HOLD    the pose measured at entry is commanded, every tick
    HOLD                  --arm-->      ARMED
    ARMED, ACTIVE, HOLD   --stop-->     IDLE
    ARMED, ACTIVE, HOLD   --worse-->    FAULT   nothing is commanded; the drivers hold by themselves
    FAULT                 --recover-->  IDLE    the only way out

Nothing re-arms by itself. Doubt: a bad action, a policy that stopped, a second policy, a measured state that
is stale, not finite or jumps. Worse: the measured state keeps jumping or drifts from the held pose, somebody
else commands the drivers, a clock restarts, or a command would break its own limits.

Time. With `tick_source` "state" (simulation) the gate's clock is the stamp of the measured arm: a control
tick is due when all three measured streams have reached a multiple of the control step, and an action for it
is executed the moment it arrives. With "timer" (robot) the clock is a steady one, `tick` is called on a grid
and `watch` every `WATCH_S`, so that nothing gets too old between two ticks; an action that the gate waits for
is executed when it arrives, and the grid begins anew there: it would be up to a control step older otherwise.
The age of a message is its ROS age at receipt plus what the steady clock has counted since. Whoever sets the
ROS clock meanwhile, by seconds or hours, changes nothing.
"""

from __future__ import annotations

import numpy as np

from rfs_core import gate_checks, robot
from rfs_core.gate_clock import GateClock
from rfs_core.gate_config import GateConfig
from rfs_core.gate_human import Human
from rfs_core.gate_motion import Motion
from rfs_core.gate_output import Output
from rfs_core.gate_state import ARM, HAND, PALM, MeasuredState, jump_problem, relation_to, value_problem
from rfs_core.gate_types import Action, Command, Correction, Mode, Reply, Statistics, Status
from rfs_core.kinematics import ArmKinematics
from rfs_core.se3 import Array, Pose
from rfs_core.specs import ActionSpec, require_same
from rfs_core.staleness import NS_PER_S, Now, Order, age_problem, to_ns

_ROUNDING = 1e-5
"""Of residuals at their bound, computed in single precision."""

WATCH_S = 0.01
"""Time between two calls of `Gate.watch` with a timer, s."""

__all__ = [
    "WATCH_S",
    "Action",
    "Command",
    "Correction",
    "Gate",
    "GateConfig",
    "Mode",
    "Now",
    "Reply",
    "Statistics",
    "Status",
]


class Gate:
    """The state machine. Every event returns the commands to send now, in order; usually none or one."""

    def __init__(
        self, config: GateConfig | None = None, action_spec: ActionSpec = robot.DEFAULT_ACTION_SPEC
    ) -> None:
        """
        Args:
            config: limits; the defaults when None.
            action_spec: what actions mean.
        """
        require_same(
            action_spec, robot.DEFAULT_ACTION_SPEC, "action spec and this robot's (other)", "Use the robot's."
        )
        self.config = config or GateConfig()
        self.spec = action_spec
        self.statistics = Statistics()
        self.status = Status(Mode.IDLE, "started; safety/arm arms it once the robot has been heard", 0)
        self._measured = MeasuredState()
        self._kinematics = ArmKinematics()
        self._limits = self.config.step_limits()
        self._residual_bounds = self.config.residual_bounds().vector(action_spec)
        self._stale_state_ns = to_ns(self.config.stale_state_s)
        self._stale_observation_ns = to_ns(self.config.stale_observation_s)
        self._future_ns = to_ns(self.config.future_tolerance_s)
        self._by_state = self.config.tick_source == "state"
        self._dt_ns = to_ns(action_spec.control_dt)
        self._clock = GateClock(self._by_state, self._dt_ns, self._future_ns)
        self._output = Output(self.config, self.statistics)
        self._motion: Motion | None = None  # in ARMED and ACTIVE
        self._jumps = 0
        self._last_sequence: tuple[str, int] | None = None
        self._human = Human(
            action_spec, to_ns(self.config.stale_correction_s), self._future_ns, self.statistics
        )
        self._publishers = (0, 0)
        self._mismatch = ""  # between measured palm and joints, at the newest tick in IDLE

    @property
    def mode(self) -> Mode:
        """Present mode."""
        return self.status.mode

    def observation_age_ns(self) -> int | None:
        """Age, at the newest tick, of the observation behind the newest accepted action; None without one."""
        if self._motion is None or self._motion.observed_ns is None or self._clock.tick_ns is None:
            return None
        return self._clock.tick_ns - self._motion.observed_ns

    # -- the operator -----------------------------------------------------------------------------------

    def arm(self, now: Now) -> Reply:
        """IDLE or HOLD to ARMED, if the robot is known to be where it says."""
        if self.mode is Mode.FAULT:
            return Reply(
                False, f"not armed: the gate is in FAULT ({self.status.reason}); call safety/recover first"
            )
        if self.mode is Mode.ACTIVE:
            return Reply(False, "not armed: the gate is ACTIVE; call safety/stop first")
        problem = self._arming_problem(now)
        if problem:
            return Reply(False, f"not armed: {problem}")
        ramp_steps = round(self.config.correction_ramp_s / self.spec.control_dt)
        self._clear()
        self._clock.stepped_ns = None
        self._motion = Motion(
            self._clock.now(now), self.spec, self._residual_bounds, self._limits, ramp_steps
        )
        self._output.commanded = False
        self._enter(Mode.ARMED, "armed; waits for the first action of the policy", now)
        return Reply(True, "armed")

    def stop(self, now: Now) -> Reply:
        """Any mode but FAULT to IDLE. In FAULT nothing is commanded anyway, and it stays FAULT."""
        if self.mode is Mode.FAULT:
            return Reply(True, "nothing is commanded in FAULT; safety/recover leaves it")
        self._clear()
        self._enter(Mode.IDLE, "stopped by safety/stop", now)
        return Reply(True, "stopped")

    def recover(self, now: Now) -> Reply:
        """FAULT to IDLE; the only way out of FAULT."""
        if self.mode is not Mode.FAULT:
            return Reply(False, f"nothing to recover from: the gate is {self.mode.name}")
        self._clear()
        self._enter(Mode.IDLE, "recovered by safety/recover; safety/arm arms it", now)
        return Reply(True, "recovered")

    def publishers(self, policies: int, commanders: int, now: Now) -> list[Command]:
        """How many publishers exist on policy/action, and on the gate's command topics, itself included."""
        self._publishers = (policies, commanders)
        problem = gate_checks.publisher_problem(*self._publishers)
        if commanders > 1 and self.mode in (Mode.ARMED, Mode.ACTIVE, Mode.HOLD):
            return self._fault(problem, now)
        return self._doubt(problem, now) if problem else []

    def state_problem(self, now: Now) -> str:
        """Which measured state is missing or stale, so that the gate cannot be armed; empty when none is."""
        arm, missing = self._measured.arm, self._measured.missing_problem()
        if missing or arm is None:
            return missing
        if self._by_state and self._clock.tick_ns is None:
            return (
                f"no stamp of {ARM} is a multiple of {self.spec.control_dt} s, as a simulation's are; "
                "on a robot set tick_source to timer"
            )
        clock = max(now.ros_ns, arm.stamp_ns) if self._by_state else now.steady_ns
        return self._measured.stale_problem(clock, self._stale_state_ns)

    # -- the measured robot -----------------------------------------------------------------------------

    def arm_state(self, stamp_ns: int, position: Array, now: Now) -> list[Command]:
        """Measured arm joints, rad, in the order of `robot.ARM_JOINT_NAMES`. Shape: (7,)."""
        return self._state(ARM, stamp_ns, position, now)

    def palm_state(self, stamp_ns: int, palm: Pose, now: Now) -> list[Command]:
        """Measured palm in the base frame, N = 1."""
        return self._state(PALM, stamp_ns, palm, now)

    def hand_state(self, stamp_ns: int, position: Array, now: Now) -> list[Command]:
        """Measured finger joints, rad, in the order of `robot.HAND_JOINT_NAMES`. Shape: (16,)."""
        return self._state(HAND, stamp_ns, position, now)

    def refuse_state(self, reason: str, now: Now) -> list[Command]:
        """A measured state that must not be used, for example because it could not even be read."""
        self.statistics.refused_states += 1
        self.statistics.last_state_refusal = reason
        return self._doubt(f"refused: {reason}", now)

    def _state(self, stream: str, stamp_ns: int, value: Array | Pose, now: Now) -> list[Command]:
        problem = value_problem(stream, value)
        if problem:
            return self.refuse_state(problem, now)
        # In IDLE and ARMED nothing is commanded: the world may be reset, the arm guided by hand.
        commanding = self.mode in (Mode.ACTIVE, Mode.HOLD)
        before = self._measured.sample(stream)
        at_ns = self._clock.at(stamp_ns, now)
        relation = relation_to(before, stamp_ns, at_ns, self._by_state)
        if relation is Order.SAME and commanding:
            return self._repeated(stream, stamp_ns)
        if relation is Order.OLDER:
            return []
        commands: list[Command] = []
        if relation is Order.RESTARTED:
            if self.mode in (Mode.ARMED, Mode.ACTIVE, Mode.HOLD):
                commands = self._fault(
                    f"the clock of {stream} restarted: a stamp lies far before the last", now
                )
            self._forget_time()
        elif before is not None and commanding:
            if self._by_state and stamp_ns - before.stamp_ns > NS_PER_S:
                ahead = (stamp_ns - before.stamp_ns) / NS_PER_S
                return self.refuse_state(
                    f"{stream} is stamped {ahead:.1f} s after the message before it", now
                )
            problem = jump_problem(stream, value, before, at_ns - before.at_ns, self.config)
            if problem:
                return self._jumped(problem, now)
        if not self._by_state and at_ns - now.steady_ns > self._future_ns:
            ahead = (at_ns - now.steady_ns) / NS_PER_S
            return self.refuse_state(
                f"{stream} is stamped {ahead:.1f} s in the future; compare the clocks", now
            )
        self._jumps = 0
        self._measured.store(stream, stamp_ns, at_ns, value)
        return commands + (self._due_ticks(stream, stamp_ns, now) if self._by_state else [])

    def _repeated(self, stream: str, stamp_ns: int) -> list[Command]:
        """The world shows a state again: it stands still and has not heard the answer; that is sent again."""
        palm = self._measured.palm
        if not self._by_state or stream != ARM or palm is None:
            return []
        return self._output.again(stamp_ns, palm.value)

    def _jumped(self, problem: str, now: Now) -> list[Command]:
        self._jumps += 1
        commands = self.refuse_state(problem, now)
        if self._jumps >= self.config.fault_after_jumps:
            return self._fault(f"{problem}; {self._jumps} such states in a row", now)
        return commands

    # -- time -------------------------------------------------------------------------------------------

    def tick(self, now: Now) -> list[Command]:
        """With "timer": one control step. With "state": a look at whether measured states still come."""
        if not self._by_state:
            self._clock.observe(now)
            return [] if self._clock.is_early(now) else self._tick(now.steady_ns, now.ros_ns, now)
        if self._clock.tick_ns is None or now.ros_ns - self._clock.tick_ns < self._stale_state_ns:
            return []
        if self.mode is Mode.HOLD:
            self._output.stamp_ns = now.ros_ns
            return self._keep_holding(now)
        silent = (now.ros_ns - self._clock.tick_ns) / 1e6
        problem = (
            self._measured.stale_problem(now.ros_ns, self._stale_state_ns)
            or "arm/joint_states are off the grid"
        )
        return self._doubt(f"no complete measured state for {silent:.0f} ms: {problem}", now)

    def watch(self, now: Now) -> list[Command]:
        """With "timer", between ticks: hold before something is too old at the next look; a tick for an
        action that came too early to be executed at once."""
        motion = self._motion
        if self._by_state or motion is None:
            return []
        self._clock.observe(now)
        soon_ns = now.steady_ns + to_ns(WATCH_S)
        problem = self._measured.stale_problem(soon_ns, self._stale_state_ns + 1)
        if not problem and motion.idle and motion.observed_ns is not None:
            problem = self._starvation(soon_ns - motion.observed_ns, self._stale_observation_ns + 1)
        return self._doubt(problem, now) if problem else self._begin_at_once(now)

    def _due_ticks(self, stream: str, stamp_ns: int, now: Now) -> list[Command]:
        """Commands of the ticks that a new measured sample completes."""
        arm_stamp_ns = stamp_ns if stream == ARM else None
        due = self._clock.due_ticks(arm_stamp_ns, self._measured.complete_to)
        return [command for tick_ns in due for command in self._tick(tick_ns, tick_ns, now)]

    def _tick(self, tick_ns: int, stamp_ns: int, now: Now) -> list[Command]:
        self._clock.tick_ns = tick_ns
        self._output.begin_tick(stamp_ns)
        self.statistics.ticks += 1
        if self.mode is Mode.HOLD:
            return self._keep_holding(now)
        if self.mode in (Mode.ARMED, Mode.ACTIVE):
            problem = self._measured.stale_problem(tick_ns, self._stale_state_ns)
            return self._doubt(problem, now) if problem else self._advance(now)
        self._mismatch = self._mismatch_problem()
        return []

    # -- the policy and the human -----------------------------------------------------------------------

    def policy_action(self, action: Action, now: Now) -> list[Command]:
        """One decision of the policy."""
        problem = gate_checks.content_problem(action, self.spec, self.config.base_tolerance)
        if problem:
            return self.refuse_action(problem, now)
        if self._motion is None:
            self.statistics.ignored += 1
            return []
        problem = gate_checks.binding_problem(action, self._motion.first)
        if problem:
            return self.refuse_action(problem, now)
        observed_ns = self._clock.at(action.observation_stamp_ns, now)
        if (
            self._last_sequence == (action.publisher, action.sequence)
            and self._motion.observed_ns == observed_ns
        ):
            # The same decision again: the policy repeats it while the world stands still.
            self.statistics.ignored += 1
            return []
        # On a steady clock stamps are only as exact as the two clocks were read.
        slack_ns = 0 if self._by_state else self._dt_ns
        what = f"observation of policy action {action.sequence}"
        problem = gate_checks.order_problem(
            action, observed_ns, self._motion, self._last_sequence, slack_ns
        ) or age_problem(observed_ns, self._clock.now(now), self._stale_observation_ns, self._future_ns, what)
        if problem:
            # Late or repeated: not executed, and no reason to distrust what is being executed.
            self._note_refusal(problem)
            return []
        self._motion.accept(action, observed_ns)
        self._last_sequence = (action.publisher, action.sequence)
        self.statistics.accepted += 1
        shape = (-1, self.spec.size)
        beyond = np.abs(np.reshape(action.a_r, shape)) > self._residual_bounds * (1.0 + _ROUNDING)
        self.statistics.residuals_clipped += bool(beyond.any())
        if not self._by_state:
            return self._begin_at_once(now)
        waits = not self._output.commanded and self._clock.tick_ns is not None
        return self._advance(now) if waits and observed_ns <= self._clock.now(now) else []

    def _begin_at_once(self, now: Now) -> list[Command]:
        """With "timer": a tick now, for an action that nothing is left to execute before."""
        motion = self._motion
        if motion is None or motion.idle or not motion.exhausted or not self._clock.may_step(now):
            return []
        self._clock.observe(now)
        return self._tick(now.steady_ns, now.ros_ns, now)

    def refuse_action(self, reason: str, now: Now) -> list[Command]:
        """An action that must not be executed and puts its sender in doubt."""
        self._note_refusal(reason)
        return self._doubt(f"refused: {reason}", now)

    def correction(self, correction: Correction, now: Now) -> None:
        """A human's residual."""
        self._human.take(correction, self._clock.at(correction.stamp_ns, now), self._clock.now(now))

    def refuse_correction(self) -> None:
        """A correction that cannot be used: the human counts as having let go."""
        self._human.refuse()

    # -- commands ---------------------------------------------------------------------------------------

    def _advance(self, now: Now) -> list[Command]:
        """The command of the newest tick in ARMED or ACTIVE, if there is one to give yet."""
        motion, palm, hand = self._motion, self._measured.palm, self._measured.hand
        if motion is None or self._clock.tick_ns is None or palm is None or hand is None:
            return []
        if motion.begin_pending(self._clock.tick_ns if self._by_state else now.steady_ns + self._future_ns):
            motion.begin_from(palm.value, hand.value)
            if self.mode is Mode.ARMED:
                self._enter(Mode.ACTIVE, "the policy's checked actions reach the drivers", now)
        if self.mode is not Mode.ACTIVE or motion.observed_ns is None:
            return []
        if not motion.exhausted:
            self._clock.stepped_ns = self._clock.tick_ns
            correction = self._human.engaged(self._clock.tick_ns)
            return self._guarded(*motion.step(palm.value, correction), palm.value, now)
        problem = self._starvation(self._clock.tick_ns - motion.observed_ns, self._stale_observation_ns)
        if problem:
            return self._doubt(problem, now)
        waited, motion.waiting = motion.waiting, True
        if not waited:
            # In lock-step the world waits for this action; with a timer it is executed when it comes.
            return []
        self.statistics.starved += 1
        return self._guarded(*motion.keep(palm.value), palm.value, now)

    def _starvation(self, age_ns: int, stale_after_ns: int) -> str:
        """Whether the observation behind the newest accepted action is too old to go on waiting."""
        if age_ns < stale_after_ns:
            return ""
        return gate_checks.starvation(age_ns, self._stale_observation_ns, self.statistics.last_refusal)

    def _guarded(self, palm: Pose, hand: Array, measured: Pose, now: Now) -> list[Command]:
        problem = self._output.problem(palm, hand, measured)
        return self._fault(f"the gate's own {problem}", now) if problem else self._output.send(palm, hand)

    def _keep_holding(self, now: Now) -> list[Command]:
        palm = self._measured.palm
        if palm is None:
            return []
        problem = self._output.drift_problem(palm.value)
        return self._fault(problem, now) if problem else self._output.hold()

    # -- changes of mode --------------------------------------------------------------------------------

    def _doubt(self, reason: str, now: Now) -> list[Command]:
        """ARMED or ACTIVE to HOLD: latch the newest good measured pose and command it at once."""
        if self.mode not in (Mode.ARMED, Mode.ACTIVE):
            return []
        palm, hand = self._measured.palm, self._measured.hand
        self._motion = None
        self._output.latch(palm.value if palm else None, hand.value if hand else None)
        self.statistics.holds += 1
        self._enter(Mode.HOLD, reason, now)
        if not self._by_state:
            self._output.stamp_ns = now.ros_ns
        return self._keep_holding(now)

    def _fault(self, reason: str, now: Now) -> list[Command]:
        self._clear()
        self.statistics.faults += 1
        self._enter(Mode.FAULT, reason, now)
        return []

    def _clear(self) -> None:
        self._motion, self._jumps = None, 0
        self._output.clear()
        self._human.forget()

    def _forget_time(self) -> None:
        self._measured = MeasuredState()
        self._clock.forget()
        self._human.forget()
        self._mismatch = ""

    def _enter(self, mode: Mode, reason: str, now: Now) -> None:
        self.status = Status(mode, reason, now.ros_ns)

    # -- small decisions --------------------------------------------------------------------------------

    def _arming_problem(self, now: Now) -> str:
        problem = self.state_problem(now) or gate_checks.publisher_problem(*self._publishers)
        if not problem and self._jumps:
            return f"{self.statistics.last_state_refusal}; look at the robot, call safety/stop, then arm"
        return problem or self._mismatch

    def _mismatch_problem(self) -> str:
        """Whether the measured palm is where the measured joints put it."""
        arm, palm = self._measured.arm, self._measured.palm
        if arm is None or palm is None or (self._by_state and arm.stamp_ns != palm.stamp_ns):
            return self._mismatch
        computed = self._kinematics.forward(arm.value[None])
        return gate_checks.mismatch_problem(palm.value, computed, self.config)

    def _note_refusal(self, reason: str) -> None:
        self.statistics.refused += 1
        self.statistics.last_refusal = reason
