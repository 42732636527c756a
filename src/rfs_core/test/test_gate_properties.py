"""No sequence of events makes the command gate send what it must not send.

A state machine feeds the gate anything: good and absurd actions, states, corrections, requests, in any order.
"""

import math

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rfs_core import robot, se3
from rfs_core.gate import Mode, Now
from rfs_core.se3 import Pose

MS = 1_000_000
SQRT3 = math.sqrt(3.0)

wild = st.floats(allow_nan=True, allow_infinity=True)
sane = st.floats(-0.12, 0.12)
stamps = st.integers(-1500, 1500).map(lambda ms: ms * MS) | st.sampled_from(
    [0, 50 * MS, -50 * MS, 3600_000 * MS]
)
spots = st.tuples(st.integers(0, 1), st.integers(0, 21))


def machine_for(bench, tick_source):
    class GateMachine(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.b = bench(tick_source=tick_source)
            self.b.step()
            self.last = None  # (command, measured palm) of the last command in ACTIVE
            self.allowed_out_of_fault = False

        # What happens

        @rule(x=sane, turn=sane, fingers=st.floats(-0.2, 0.2), ms=st.sampled_from([10, 50, 50, 50, 100]))
        def the_robot_moves(self, x, turn, fingers, ms):
            b = self.b
            rotation = se3.quat_from_rotvec(np.array([[0.0, turn, 0.0]]))
            b.palm = Pose(b.palm.position + [[x, 0, 0]], se3.quat_multiply(rotation, b.palm.quaternion))
            if np.linalg.norm(b.palm.position - b.home.position) > 0.4:
                b.palm = b.home
            b.hand = np.clip(b.hand + fingers, robot.HAND_LIMITS[0] - 0.05, robot.HAND_LIMITS[1] + 0.05)
            b.at += ms * MS
            for key in "aph":
                self.observe(b.states(order=key))
            if tick_source == "timer":
                self.observe(b.gate.tick(b.now))

        @rule()
        def the_robot_comes_home(self):
            self.b.palm = self.b.home

        @rule()
        def an_operator_arms(self):
            self.b.gate.arm(self.b.now)

        @rule()
        def an_operator_stops(self):
            self.b.gate.stop(self.b.now)

        @rule()
        def an_operator_recovers(self):
            self.allowed_out_of_fault = True
            self.b.gate.recover(self.b.now)
            self.allowed_out_of_fault = self.b.gate.mode is not Mode.FAULT

        @rule(delta=sane, fingers=st.floats(-3, 3), residual=st.floats(-1, 1))
        def the_policy_acts(self, delta, fingers, residual):
            chunk = self.b.chunk(delta=np.full(6, delta), hand=np.full(16, fingers))
            self.observe(
                self.b.gate.policy_action(
                    self.b.action(a_b=chunk, a_r=np.full((2, 22), residual)), self.b.now
                )
            )

        @rule(field=st.sampled_from(["a_0", "a_b", "a_r", "a"]), spot=spots, value=wild)
        def the_policy_sends_one_wild_number(self, field, spot, value):
            array = self.b.chunk()
            array[spot] = value
            self.observe(self.b.gate.policy_action(self.b.action(**{field: array}), self.b.now))

        @rule(
            offset=stamps,
            sequence=st.integers(0, 30),
            publisher=st.sampled_from(["policy-1", "policy-2"]),
            size=st.sampled_from([0, 43, 44, 88]),
            horizon=st.sampled_from([0, 2, 4]),
        )
        def somebody_sends_another_action(self, offset, sequence, publisher, size, horizon):
            action = self.b.action(
                observation_stamp_ns=self.b.at + offset,
                sequence=sequence,
                publisher=publisher,
                a_b=np.zeros(size),
                horizon=horizon,
            )
            self.observe(self.b.gate.policy_action(action, self.b.now))

        @rule(value=wild, engaged=st.booleans(), offset=stamps)
        def a_human_corrects(self, value, engaged, offset):
            self.b.correct(np.full(22, value), engaged, self.b.at + offset)

        @rule(index=st.integers(0, 6), value=wild, offset=stamps)
        def an_arm_state_is_wild(self, index, value, offset):
            q = self.b.arm.copy()
            q[index] = value
            self.observe(self.b.gate.arm_state(self.b.at + offset, q, self.b.now))

        @rule(index=st.integers(0, 6), value=wild, offset=stamps)
        def a_palm_state_is_wild(self, index, value, offset):
            position, quaternion = self.b.palm.position.copy(), self.b.palm.quaternion.copy()
            (position if index < 3 else quaternion)[0, index % 3] = value
            self.observe(self.b.gate.palm_state(self.b.at + offset, Pose(position, quaternion), self.b.now))

        @rule(index=st.integers(0, 15), value=wild, offset=stamps)
        def a_hand_state_is_wild(self, index, value, offset):
            q = self.b.hand.copy()
            q[index] = value
            self.observe(self.b.gate.hand_state(self.b.at + offset, q, self.b.now))

        @rule(ms=st.integers(0, 400))
        def time_passes_without_states(self, ms):
            if tick_source == "timer":
                self.b.at += ms * MS  # a steady clock never goes back
                ms = 0
            now = self.b.now
            self.observe(self.b.gate.tick(Now(now.steady_ns + ms * MS, now.ros_ns + ms * MS)))

        @rule(policies=st.integers(0, 2), commanders=st.integers(0, 2))
        def publishers_are_counted(self, policies, commanders):
            self.observe(self.b.gate.publishers(policies, commanders, self.b.now))
            self.b.gate.publishers(1, 1, self.b.now)

        @precondition(lambda self: self.b.gate.mode in (Mode.IDLE, Mode.HOLD))
        @rule()
        def an_episode_begins(self):
            """Without this short cut, wild events would seldom let the gate become ACTIVE."""
            b = self.b
            b.gate.stop(b.now)
            b.palm, b.arm, b.hand = b.home, robot.ARM_HOME.copy(), b.middle.copy()
            b.at += 3_700_000 * MS
            b.at -= b.at % (50 * MS)
            b.states()
            b.gate.tick(b.now)
            if b.gate.arm(b.now).success:
                self.observe(b.gate.policy_action(b.action(publisher="policy-1", sequence=b.at), b.now))
                b.sequence = b.at

        # What must hold

        def observe(self, commands):
            gate = self.b.gate
            if commands:
                assert gate.mode in (Mode.ACTIVE, Mode.HOLD)
            for command in commands:
                palm, hand = command.palm, command.hand
                assert np.isfinite(palm.position).all()
                assert np.isfinite(palm.quaternion).all()
                assert np.linalg.norm(palm.quaternion) == pytest.approx(1.0, abs=1e-3)
                assert (hand >= robot.HAND_LIMITS[0]).all()
                assert (hand <= robot.HAND_LIMITS[1]).all()
                measured = gate._measured.palm.value
                off = se3.pose_error(palm, measured)[0]
                if gate.mode is Mode.ACTIVE:
                    assert np.linalg.norm(off[:3]) <= 0.06 + 1e-6
                    assert np.linalg.norm(off[3:]) <= 0.25 + 1e-6
                    self.compare_with_last(command, measured)
                else:
                    assert np.linalg.norm(off[:3]) <= 0.15 + 1e-6
                    assert np.linalg.norm(off[3:]) <= 0.6 + 1e-6

        def compare_with_last(self, command, measured):
            if self.last is not None:
                before, measured_before = self.last
                step = se3.pose_error(command.palm, before.palm)[0]
                motion = se3.pose_error(measured, measured_before)[0]
                # A step of the action, plus what the leash gives way when the robot itself moves.
                assert np.linalg.norm(step[:3]) <= 0.03 * SQRT3 + np.linalg.norm(motion[:3]) + 1e-6
                assert np.linalg.norm(step[3:]) <= 0.1 * SQRT3 + np.linalg.norm(motion[3:]) + 1e-6
                assert np.abs(command.hand - before.hand).max() <= 0.3 + 1e-9
                assert command.stamp_ns > before.stamp_ns or command is before
            self.last = (command, measured)

        @invariant()
        def fault_is_left_by_recover_only(self):
            mode = self.b.gate.mode
            was = getattr(self, "was", Mode.IDLE)
            if was is Mode.FAULT and mode is not Mode.FAULT:
                assert self.allowed_out_of_fault
                assert mode is Mode.IDLE
            self.allowed_out_of_fault = False
            self.was = mode
            if mode is not Mode.ACTIVE:
                self.last = None

    return GateMachine


@pytest.mark.parametrize("tick_source", ["state", "timer"])
def test_no_sequence_of_events_makes_the_gate_send_what_it_must_not(bench, tick_source):
    run_state_machine_as_test(
        machine_for(bench, tick_source),
        settings=settings(max_examples=150, stateful_step_count=30, deadline=None),
    )
