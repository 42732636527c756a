"""The command gate: modes, composition, timing. Refusals are in test_gate_refusals.py."""

import numpy as np
import pytest

from rfs_core import control, robot, se3
from rfs_core.errors import SpecError
from rfs_core.gate import Gate, Mode, Now
from rfs_core.specs import ActionSpec

MS = 1_000_000


def x_of(command):
    return command.palm.position[0, 0]


# -- modes ------------------------------------------------------------------------------------------------


def test_gate_starts_idle_and_commands_nothing(bench):
    b = bench()
    for _ in range(5):
        b.step()
        b.act()
    assert b.gate.mode is Mode.IDLE
    assert b.commands == []
    assert b.gate.statistics.ignored == 5


def test_armed_gate_commands_nothing_until_the_first_action(bench):
    b = bench().armed()
    for _ in range(5):
        b.step()
    assert b.gate.mode is Mode.ARMED
    assert b.commands == []


def test_first_action_makes_it_active_and_is_commanded_at_once_with_the_stamp_of_its_observation(bench):
    b = bench().armed()
    (command,) = b.act(a_b=b.chunk(dx=0.02))
    assert b.gate.mode is Mode.ACTIVE
    assert command.stamp_ns == b.at
    assert x_of(command) == pytest.approx(b.home.position[0, 0] + 0.02)


def test_residuals_beyond_the_bounds_of_this_gate_are_counted(bench):
    b = bench().armed()
    bound = b.gate.config.residual_position
    for dx in (bound * (1.0 + 1e-7), 1.5 * bound, bound):  # the first is rounding
        b.act(a_r=b.chunk(dx=dx, hand=np.zeros(16)))
        b.step()
        b.step()
    assert b.gate.statistics.accepted == 3
    assert b.gate.statistics.residuals_clipped == 1


def test_arming_is_refused_before_the_robot_is_known(bench):
    b = bench()
    assert b.gate.arm(b.now).message == (
        "not armed: no good message on arm/joint_states, arm/current_pose, hand/joint_states yet; start the "
        "drivers or the simulation"
    )
    b.gate.arm_state(b.at, b.arm, b.now)
    b.gate.palm_state(b.at, b.palm, b.now)
    assert "no good message on hand/joint_states yet" in b.gate.arm(b.now).message
    assert b.gate.mode is Mode.IDLE


def test_arming_is_refused_when_the_measured_state_is_150_ms_old(bench):
    b = bench()
    b.step()
    later = Now(b.now.steady_ns + 150 * MS, b.now.ros_ns + 150 * MS)
    reply = b.gate.arm(later)
    assert not reply.success
    assert "arm/joint_states is 150 ms old, allowed: less than 150 ms" in reply.message


def test_arming_is_refused_when_palm_and_joints_disagree(bench):
    b = bench()
    b.shift(0.04)
    b.step()
    reply = b.gate.arm(b.now)
    assert "0.040 m and 0.000 rad from the palm computed from arm/joint_states" in reply.message
    b.shift(-0.04)
    b.step()
    assert b.gate.arm(b.now).success


def test_arming_with_state_ticks_needs_stamps_on_the_control_grid(bench):
    b = bench()
    b.at += 7 * MS
    b.step()
    assert "no stamp of arm/joint_states is a multiple of 0.05 s" in b.gate.arm(b.now).message


def test_active_gate_cannot_be_armed_again(bench):
    b = bench().active()
    assert b.gate.arm(b.now).message == "not armed: the gate is ACTIVE; call safety/stop first"
    assert b.gate.mode is Mode.ACTIVE


@pytest.mark.parametrize("mode", ["armed", "active", "holding"])
def test_stop_ends_all_commands(bench, mode):
    b = getattr(bench(), mode)()
    assert b.gate.stop(b.now).success
    sent = len(b.commands)
    for _ in range(5):
        b.step()
        b.act()
    assert b.gate.mode is Mode.IDLE
    assert len(b.commands) == sent


def test_hold_commands_the_pose_measured_at_entry_at_every_tick(bench):
    b = bench().active(a_b=bench.chunk(dx=0.03))
    b.shift(0.01)
    b.hand = b.middle + 0.05
    b.step()
    measured = b.palm.position[0, 0]
    (at_once,) = b.act(a_b=np.full((2, 22), np.nan))
    b.shift(0.02)
    commands = [at_once] + [command for _ in range(4) for command in b.step()]
    assert len(commands) == 5
    assert [x_of(command) for command in commands] == [measured] * 5
    for command in commands:
        np.testing.assert_allclose(command.hand, b.middle + 0.05)
    assert commands[-1].stamp_ns == b.at


def test_hold_is_not_left_by_good_actions(bench):
    b = bench().holding()
    for _ in range(20):
        b.step()
        b.act()
    assert b.gate.mode is Mode.HOLD
    assert (b.gate.statistics.accepted, b.gate.statistics.ignored) == (1, 20)


def test_hold_is_left_by_arming_and_starts_from_the_measured_pose(bench):
    b = bench().holding()
    for _ in range(3):
        b.shift(0.01)
        b.step()
    assert b.gate.arm(b.now).success
    assert b.gate.mode is Mode.ARMED
    assert b.step() == []
    (command,) = b.act(a_b=b.chunk(dx=0.01))
    assert x_of(command) == pytest.approx(b.home.position[0, 0] + 0.03 + 0.01)


def test_arming_within_a_control_tick_that_had_its_command_lets_the_action_of_that_tick_through(bench):
    b = bench().holding()
    assert b.gate.arm(b.now).success
    (command,) = b.act()
    assert command.stamp_ns == b.at


def test_fingers_measured_beyond_their_limits_are_held_at_the_limits(bench):
    b = bench()
    b.hand = robot.HAND_LIMITS[1] + 0.05
    b.active()
    (command,) = b.act(a_b=np.full((2, 22), np.nan))
    np.testing.assert_array_equal(command.hand, robot.HAND_LIMITS[1])


def test_fault_commands_nothing_and_is_left_by_recover_only(bench):
    b = bench().faulted()
    sent = len(b.commands)
    for _ in range(5):
        b.step()
        b.act()
        assert not b.gate.arm(b.now).success
        assert b.gate.stop(b.now).success
        assert b.gate.mode is Mode.FAULT
    assert len(b.commands) == sent
    b.gate.publishers(1, 1, b.now)
    assert b.gate.recover(b.now).success
    assert b.gate.mode is Mode.IDLE


@pytest.mark.parametrize("mode", ["armed", "active", "holding"])
def test_recover_does_nothing_without_a_fault(bench, mode):
    b = getattr(bench(), mode)()
    before = b.gate.mode
    assert not b.gate.recover(b.now).success
    assert b.gate.mode is before


def test_status_says_since_when_and_counts_holds(bench):
    b = bench().holding()
    assert b.gate.status.since_ns == b.at
    assert b.gate.statistics.holds == 1
    b.step()
    b.gate.arm(b.now)
    b.act()
    b.act(a_b=np.full((2, 22), np.inf))
    assert b.gate.statistics.holds == 2


def test_a_gate_for_another_action_is_not_built():
    parts = robot.DEFAULT_ACTION_SPEC.parts
    with pytest.raises(SpecError, match="horizon 4, other 2"):
        Gate(action_spec=ActionSpec(parts, 0.05, 4))


# -- composition ------------------------------------------------------------------------------------------


def test_target_advances_from_the_last_target_and_not_from_the_measured_palm(bench):
    b = bench().armed()
    xs = [x_of(b.act(a_b=b.chunk(dx=0.01))[0])]
    xs += [x_of(command) for command in b.step()]
    b.step()
    xs += [x_of(b.act(a_b=b.chunk(dx=0.01))[0])]
    # The measured palm stays; leash 0.06.
    np.testing.assert_allclose(np.array(xs) - b.home.position[0, 0], [0.01, 0.02, 0.03], atol=1e-9)


def test_target_stops_at_the_leash_when_the_arm_does_not_follow(bench):
    b = bench().armed()
    for _ in range(4):
        b.act(a_b=b.chunk(dx=0.03))
        b.step()
        b.step()
    assert x_of(b.commands[-1]) - b.home.position[0, 0] == pytest.approx(0.06)


def test_policy_residual_is_bounded_and_human_residual_too_and_both_are_added(bench):
    b = bench().armed()
    residual = np.zeros((2, 22))
    residual[:, 0] = 0.08  # to 0.015
    residual[:, 6] = -0.1  # to -0.05
    human = np.zeros(22)
    human[0] = 0.004
    human[1] = -0.08  # to -0.015
    b.correct(human)
    (command,) = b.act(a_b=b.chunk(dx=0.005), a_r=residual)
    np.testing.assert_allclose(
        command.palm.position[0] - b.home.position[0], [0.005 + 0.015 + 0.004, -0.015, 0.0], atol=1e-12
    )
    assert command.hand[0] == pytest.approx(b.middle[0] - 0.05)


def test_the_sum_is_clipped_to_the_action_spec(bench):
    b = bench().armed()
    residual = np.zeros((2, 22))
    residual[:, 0] = 0.015
    (command,) = b.act(a_b=b.chunk(dx=0.05), a_r=residual)
    assert x_of(command) - b.home.position[0, 0] == pytest.approx(0.03)


def test_targets_are_those_of_the_control_law_that_learning_runs(bench):
    rng = np.random.default_rng(0)
    b = bench().armed()
    palm, hand, speed = b.home, b.middle.copy()[None], 0.4
    for _ in range(30):
        b.step()
        chunk = np.concatenate([rng.uniform(-0.04, 0.04, (2, 6)), rng.uniform(-2.0, 2.5, (2, 16))], axis=1)
        commands = b.act(a_b=chunk) if b.gate.mode is Mode.ACTIVE or len(b.commands) == 0 else []
        for i in range(2):
            if i == 1:
                commands = b.step()
            # The vector environment's control step: clip, step_target, limit_rate.
            action = robot.DEFAULT_ACTION_SPEC.clip(chunk[i : i + 1])
            palm = control.step_target(palm, action[:, :6], b.palm)
            hand = control.limit_rate(hand, action[:, 6:])
            (command,) = commands
            np.testing.assert_array_equal(command.palm.position, palm.position)
            np.testing.assert_array_equal(command.palm.quaternion, palm.quaternion)
            np.testing.assert_array_equal(command.hand, hand[0])
            # The arm follows a part of the way.
            error = se3.pose_error(palm, b.palm) * speed
            b.palm = control.step_target(b.palm, error, b.palm)
    assert len(b.commands) == 60


def test_rotation_turns_the_target_about_the_base_axes(bench):
    b = bench().armed()
    (command,) = b.act(a_b=b.chunk(delta=np.array([0, 0, 0, 0, 0, 0.1])))
    np.testing.assert_allclose(se3.pose_error(command.palm, b.home)[0], [0, 0, 0, 0, 0, 0.1], atol=1e-12)


def test_fingers_move_by_at_most_0_3_rad_per_step(bench):
    b = bench().armed()
    (first,) = b.act(a_b=b.chunk(hand=b.middle + 0.5))
    (second,) = b.step()
    np.testing.assert_allclose(first.hand, b.middle + 0.3)
    np.testing.assert_allclose(second.hand, b.middle + 0.5)


def test_released_human_residual_fades_over_0_2_s(bench):
    b = bench().armed()
    human = np.zeros(22)
    human[0] = 0.08
    xs = [b.home.position[0, 0]]
    for decision in range(4):
        b.correct(human, engaged=decision == 0)
        xs.append(x_of(b.act()[0]))
        b.correct(human, engaged=decision == 0)
        xs.append(x_of(b.step()[0]))
        b.step()
    # 0.015 while engaged; then 0.015 / 4 less per step.
    np.testing.assert_allclose(
        np.diff(xs), [0.015, 0.015, 0.01125, 0.0075, 0.00375, 0.0, 0.0, 0.0], atol=1e-9
    )


def test_human_residual_that_is_200_ms_old_counts_as_released(bench):
    b = bench(correction_ramp_s=0.0).armed()
    human = np.zeros(22)
    human[0] = 0.01
    b.correct(human)
    x0 = b.home.position[0, 0]
    steps = []
    for _ in range(3):
        steps += [x_of(b.act()[0]), x_of(b.step()[0])]
        b.step()
    # Sent at 0 ms, stale from 200 ms on: applied at 0, 50, 100, 150 ms.
    np.testing.assert_allclose(np.array(steps) - x0, [0.01, 0.02, 0.03, 0.04, 0.04, 0.04], atol=1e-9)


@pytest.mark.parametrize(
    "residual", [np.full(22, np.nan), np.full(22, np.inf), np.zeros(21), np.zeros((2, 22))]
)
def test_bad_human_residual_is_refused_and_counts_as_released(bench, residual):
    b = bench(correction_ramp_s=0.0).armed()
    good = np.zeros(22)
    good[0] = 0.01
    b.correct(good)
    b.correct(residual)
    (command,) = b.act()
    assert x_of(command) == pytest.approx(b.home.position[0, 0])
    assert b.gate.statistics.refused_corrections == 1


def test_human_residual_from_the_future_or_out_of_order_is_refused(bench):
    b = bench().armed()
    residual = np.zeros(22)
    b.correct(residual, stamp=b.at + 101 * MS)
    b.correct(residual, stamp=b.at)
    b.correct(residual, stamp=b.at - 1)
    assert b.gate.statistics.refused_corrections == 2


# -- timing: ticks from the measured state ----------------------------------------------------------------


@pytest.mark.parametrize("order", ["aph", "ahp", "pah", "pha", "hap", "hpa"])
def test_a_tick_is_due_when_the_last_of_the_three_states_arrives_in_any_order(bench, order):
    b = bench().active()
    b.at += 50 * MS
    for i, key in enumerate(order):
        commands = b.states(order=key)
        assert len(commands) == (1 if i == 2 else 0)


def test_arm_states_between_control_ticks_are_no_ticks(bench):
    b = bench().active()
    ticks = b.gate.statistics.ticks
    for ms in (10, 20, 30, 40):
        b.gate.arm_state(b.at + ms * MS, b.arm, b.now)
    assert b.gate.statistics.ticks == ticks
    assert len(b.step()) == 1


def test_second_step_of_a_chunk_is_commanded_at_the_next_tick_and_then_it_waits(bench):
    b = bench().active()
    t0 = b.at
    assert [command.stamp_ns for command in b.step()] == [t0 + 50 * MS]
    assert b.step() == []  # the world waits for the policy
    (command,) = b.act()
    assert command.stamp_ns == t0 + 100 * MS
    assert b.gate.statistics.starved == 0


def test_a_tick_without_an_action_keeps_the_target_and_counts_starvation(bench):
    b = bench().active(a_b=bench.chunk(dx=0.01))
    b.step()
    assert b.step() == []
    (kept,) = b.step()
    assert kept.stamp_ns == b.at
    assert x_of(kept) == pytest.approx(b.home.position[0, 0] + 0.02)
    assert b.gate.statistics.starved == 1
    assert b.gate.mode is Mode.ACTIVE


def test_gate_holds_within_200_ms_of_robot_time_after_the_policy_stopped(bench):
    b = bench().active()
    stopped = b.at
    while b.gate.mode is Mode.ACTIVE:
        b.step()
    assert b.gate.mode is Mode.HOLD
    assert b.at - stopped == 200 * MS
    assert "no new action of the policy" in b.gate.status.reason
    assert "200 ms old" in b.gate.status.reason


def test_an_action_that_comes_before_its_state_waits_for_it(bench):
    b = bench().active()
    b.step()
    early = b.action(observation_stamp_ns=b.at + 50 * MS, a_b=b.chunk(dx=0.02))
    assert b.gate.policy_action(early, b.now) == []
    (command,) = b.step()
    assert command.stamp_ns == b.at
    assert x_of(command) == pytest.approx(b.home.position[0, 0] + 0.02)


def test_an_action_that_comes_early_does_not_answer_the_tick_that_waits(bench):
    b = bench().active()
    b.step()
    assert b.step() == []
    early = b.action(observation_stamp_ns=b.at + 50 * MS)
    assert b.gate.policy_action(early, b.now) == []
    (command,) = b.step()
    assert command.stamp_ns == b.at


def test_an_action_that_comes_two_ticks_early_lets_the_running_chunk_end(bench):
    b = bench().active(a_b=bench.chunk(dx=0.01))
    early = b.action(observation_stamp_ns=b.at + 100 * MS, a_b=b.chunk(dx=-0.02))
    assert b.gate.policy_action(early, b.now) == []
    xs = [x_of(command) for _ in range(2) for command in b.step()]
    np.testing.assert_allclose(np.array(xs) - b.home.position[0, 0], [0.02, 0.0], atol=1e-9)


def test_an_action_that_comes_late_starts_at_the_next_tick(bench):
    b = bench().active()
    b.step()
    b.step()
    late = b.action(a_b=b.chunk(dx=0.02))
    b.step()  # kept, starved
    assert b.gate.policy_action(late, b.now) == []
    (command,) = b.step()
    assert x_of(command) == pytest.approx(b.home.position[0, 0] + 0.02)


def test_an_earlier_action_is_replaced_by_a_newer_one_before_it_ends(bench):
    b = bench().active(a_b=bench.chunk(dx=0.01))
    b.step()
    b.act(a_b=b.chunk(dx=-0.01))
    xs = [x_of(command) for _ in range(2) for command in b.step()]
    np.testing.assert_allclose(np.array(xs) - b.home.position[0, 0], [0.01, 0.0], atol=1e-9)


def test_the_state_of_a_stopped_clock_may_be_repeated(bench):
    b = bench().armed()
    for _ in range(3):
        assert b.states() == []
    (command,) = b.act()
    assert command.stamp_ns == b.at


def test_a_state_shown_again_is_answered_by_the_same_command_again(bench):
    b = bench().active(a_b=bench.chunk(dx=0.01))
    (command,) = b.commands
    assert b.states() == [command]  # once, though all three streams are repeated
    (following,) = b.step()
    assert following.palm.position[0, 0] > command.palm.position[0, 0]
    assert b.states() == [following]
    b.gate.stop(b.now)
    assert b.states() == []


def test_an_action_repeated_for_the_same_observation_is_neither_executed_nor_refused(bench):
    b = bench().active(sequence=7)
    assert b.act(sequence=7) == []
    statistics = b.gate.statistics
    assert (b.gate.mode, statistics.accepted, statistics.refused, statistics.ignored) == (
        Mode.ACTIVE,
        1,
        0,
        1,
    )


def test_a_world_reset_between_episodes_is_no_jump(bench):
    b = bench().active()
    b.gate.stop(b.now)
    q = robot.ARM_HOME.copy()
    q[0] += 1.0
    b.arm, b.palm = q, b.gate._kinematics.forward(q[None])
    b.step()
    assert b.gate.arm(b.now).success
    (command,) = b.act()
    np.testing.assert_allclose(command.palm.position, b.palm.position, atol=1e-9)


def test_arming_may_overtake_the_states_of_the_reset(bench):
    b = bench()
    b.step()
    assert b.gate.arm(b.now).success
    q = robot.ARM_HOME.copy()
    q[0] += 1.0
    b.arm, b.palm = q, b.gate._kinematics.forward(q[None])
    b.step()
    (command,) = b.act()
    np.testing.assert_allclose(command.palm.position, b.palm.position, atol=1e-9)


def test_observation_age_is_reported_in_robot_time(bench):
    b = bench()
    assert b.gate.observation_age_ns() is None
    b.active()
    assert b.gate.observation_age_ns() == 0
    b.step()
    assert b.gate.observation_age_ns() == 50 * MS


# -- timing: ticks from a timer ---------------------------------------------------------------------------


def test_with_a_timer_an_action_that_is_waited_for_is_executed_when_it_comes_and_then_at_every_tick(bench):
    b = bench(tick_source="timer").armed()
    commands = b.act(a_b=b.chunk(dx=0.01)) + [command for _ in range(3) for command in b.step()]
    # Two steps of the chunk, a tick that waits for the next one, then the target is kept: the drivers hold by
    # themselves after 150 ms.
    xs = np.array([x_of(command) for command in commands]) - b.home.position[0, 0]
    np.testing.assert_allclose(xs, [0.01, 0.02, 0.02], atol=1e-9)
    assert b.gate.statistics.starved == 1
    assert [command.stamp_ns - commands[0].stamp_ns for command in commands] == [0, 50 * MS, 150 * MS]


def test_with_a_timer_an_action_waits_for_the_steps_before_it(bench):
    b = bench(tick_source="timer").armed()
    b.act(a_b=b.chunk(dx=0.01))
    b.at += 20 * MS
    b.states()
    # One step of the first chunk is left: this action replaces it, at the tick.
    assert b.act(a_b=b.chunk(dx=-0.01)) == []
    (command,) = b.step(30 * MS)
    assert x_of(command) == pytest.approx(b.home.position[0, 0])


def test_with_a_timer_an_action_is_never_executed_sooner_than_40_ms_after_the_step_before(bench):
    b = bench(tick_source="timer").armed()
    b.act()
    b.step()
    b.at += 39 * MS
    b.states()
    assert b.act() == []
    assert b.gate.watch(b.now) == []
    b.at += MS
    b.states()
    assert len(b.gate.watch(b.now)) == 1
    # Nothing is left to begin: looks between ticks do nothing.
    b.at += 45 * MS
    b.states()
    assert b.gate.watch(b.now) == []


def test_with_a_timer_that_catches_up_no_two_steps_come_at_once(bench):
    b = bench(tick_source="timer").armed()
    assert len(b.act(a_b=b.chunk(dx=0.01))) == 1
    assert b.step(24 * MS) == []
    assert len(b.step(MS)) == 1


def test_with_a_timer_the_gate_holds_when_the_observation_is_200_ms_old(bench):
    b = bench(tick_source="timer").armed()
    observed = b.at
    b.act()
    while b.gate.mode is not Mode.HOLD:
        b.step()
    assert b.at - observed == 200 * MS


def test_with_a_timer_the_observation_keeps_its_age_when_the_ros_clock_jumps(bench):
    b = bench(tick_source="timer").armed()
    b.act()
    for i in range(1, 4):
        b.at += 50 * MS
        b.states()
        # The ROS clock is set back by an hour after the receipt; the steady clock counts on.
        jumped = Now(b.now.steady_ns, b.at - 3_600_000 * MS)
        b.gate.tick(jumped)
        assert b.gate.observation_age_ns() == 50 * MS * i
    assert b.gate.mode is Mode.ACTIVE


def test_with_a_timer_a_silent_stream_holds_after_150_ms(bench):
    b = bench(tick_source="timer").active()
    last = b.at
    while b.gate.mode is Mode.ACTIVE:
        b.at += 50 * MS
        b.states(order="ap")
        b.act()
        b.gate.tick(b.now)
    assert b.at - last == 150 * MS
    assert b.gate.status.reason.startswith("measured state on hand/joint_states is 150 ms old")


def test_with_a_timer_a_look_between_ticks_holds_before_the_observation_is_older_than_200_ms(bench):
    b = bench(tick_source="timer").armed()
    observed = b.at
    b.act()
    for _ in range(3):
        b.step()
    b.at = observed + 189 * MS
    b.states()
    assert b.gate.watch(b.now) == []
    # At the next look, 10 ms later, it would be older than 200 ms.
    b.at = observed + 191 * MS
    b.states()
    (command,) = b.gate.watch(b.now)
    assert b.gate.mode is Mode.HOLD
    assert b.gate.status.reason.startswith("no new action of the policy")
    np.testing.assert_array_equal(command.palm.position, b.palm.position)


def test_with_a_timer_a_look_does_not_hold_while_an_accepted_action_waits_for_its_tick(bench):
    b = bench(tick_source="timer").armed()
    observed = b.at
    b.at += 100 * MS
    b.states()
    b.act(observation_stamp_ns=observed)
    b.step()
    b.at += 39 * MS
    b.states()
    # 187 ms old, and 197 ms at the next look, and the step before is 39 ms ago: it waits.
    assert b.act(observation_stamp_ns=observed + 2 * MS) == []
    assert b.gate.watch(b.now) == []
    assert b.gate.mode is Mode.ACTIVE


def test_a_simulation_has_no_looks_between_ticks(bench):
    b = bench().active()
    b.at += 10_000 * MS
    assert b.gate.watch(b.now) == []
    assert b.gate.mode is Mode.ACTIVE
