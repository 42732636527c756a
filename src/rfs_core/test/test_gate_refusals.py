"""What never reaches the robot: every refusal of the command gate, and what it does to the mode."""

import numpy as np
import pytest

from rfs_core import robot, se3
from rfs_core.control import StepLimits
from rfs_core.gate import Mode, Now
from rfs_core.gate_checks import command_problem
from rfs_core.se3 import Pose

MS = 1_000_000


def with_value(shape, index, value):
    array = np.zeros(shape)
    array[index] = value
    return array


BAD_ACTIONS = {
    "nan in a_b": ({"a_b": with_value((2, 22), (1, 3), np.nan)}, "a_b is not finite at step 1, value 3"),
    "inf in a_r": ({"a_r": with_value((2, 22), (0, 21), np.inf)}, "a_r is not finite at step 0, value 21"),
    "nan in a_0": ({"a_0": with_value((2, 22), (0, 0), np.nan)}, "a_0 is not finite at step 0, value 0"),
    "nan in a": ({"a": with_value((2, 22), (0, 0), -np.inf)}, "a is not finite at step 0, value 0"),
    "short": ({"a_b": np.zeros(43)}, "a_b has 43 values, needs 2 x 22"),
    "long": ({"a_r": np.zeros(45)}, "a_r has 45 values, needs 2 x 22"),
    "empty": ({"a_0": np.zeros(0)}, "a_0 has 0 values, needs 2 x 22"),
    "dimension": ({"dimension": 23}, "has dimension 23, this robot needs 22"),
    "horizon": ({"horizon": 4}, "has horizon 4, this robot needs 2"),
    "step_dt": ({"step_dt": 0.1}, "has step_dt 0.1 s, this robot needs 0.05 s"),
    "nan step_dt": ({"step_dt": float("nan")}, "has step_dt nan s"),
    # Range of a delta: 0.06 m; allowed up to 0.03 + 0.06.
    "base far outside": (
        {"a_b": with_value((2, 22), (1, 2), 0.0901)},
        "a_b of arm_delta_position[2] at step 1 is 0.0901 m, allowed -0.03 to 0.03 and at most 0.06 beyond",
    ),
    "fingers far outside": (
        {"a_b": with_value((2, 22), (0, 6), -4.0)},
        "a_b of hand_target[0] at step 0 is -4 rad, allowed -1.047 to 1.047 and at most 2.094 beyond",
    ),
    # No configuration allows a residual above 0.03 m, 0.1 rad, 0.3 rad; three times that is no residual.
    "residual far outside": (
        {"a_r": with_value((2, 22), (1, 0), -0.0901)},
        "a_r of arm_delta_position[0] at step 1 is -0.0901 m, allowed at most 0.09 to either side",
    ),
    "finger residual far outside": (
        {"a_r": with_value((2, 22), (0, 21), 1e300)},
        "a_r of hand_target[15] at step 0 is 1e+300 rad, allowed at most 0.9 to either side",
    ),
    "sum far outside": (
        {"a": with_value((2, 22), (0, 5), 0.31)},
        "a of arm_delta_rotation[2] at step 0 is 0.31 rad, allowed -0.1 to 0.1 and at most 0.2 beyond",
    ),
}


@pytest.mark.parametrize("case", BAD_ACTIONS)
@pytest.mark.parametrize("tick_source", ["state", "timer"])
def test_bad_action_is_refused_and_the_gate_holds_the_measured_pose(bench, case, tick_source):
    changes, sentence = BAD_ACTIONS[case]
    b = bench(tick_source=tick_source).active()
    (command,) = b.act(**changes)
    assert b.gate.mode is Mode.HOLD
    assert b.gate.status.reason.startswith("refused: policy action 2")
    assert sentence in b.gate.status.reason
    assert b.gate.statistics.refused == 1
    assert sentence in b.gate.statistics.last_refusal
    np.testing.assert_array_equal(command.palm.position, b.palm.position)
    np.testing.assert_array_equal(command.hand, b.hand)


@pytest.mark.parametrize("case", BAD_ACTIONS)
def test_bad_first_action_makes_an_armed_gate_hold(bench, case):
    b = bench().armed()
    b.act(**BAD_ACTIONS[case][0])
    assert b.gate.mode is Mode.HOLD


def test_bad_action_to_an_idle_gate_is_counted_and_nothing_else(bench):
    b = bench()
    b.step()
    assert b.act(a_b=np.full((2, 22), np.nan)) == []
    assert (b.gate.mode, b.gate.statistics.refused) == (Mode.IDLE, 1)


def test_base_action_a_little_outside_its_bounds_is_clipped(bench):
    b = bench().armed()
    (command,) = b.act(a_b=b.chunk(dx=0.0899))
    assert command.palm.position[0, 0] - b.home.position[0, 0] == pytest.approx(0.03)


SECOND = {
    "publisher": (
        {"publisher": "policy-2"},
        "second publisher 'policy-2' on policy/action, the gate is bound to",
    ),
    "episode": ({"episode": 1}, "action belongs to episode 1, the gate was armed for episode 0"),
    "checkpoint": ({"checkpoint_id": "x@1"}, "checkpoint changed from base@0123456789ab to x@1"),
}


@pytest.mark.parametrize("case", SECOND)
def test_action_of_another_publisher_episode_or_checkpoint_makes_the_gate_hold(bench, case):
    changes, sentence = SECOND[case]
    b = bench().active()
    b.step()
    b.step()
    b.act(**changes)
    assert b.gate.mode is Mode.HOLD
    assert sentence in b.gate.status.reason


@pytest.mark.parametrize("case", SECOND)
def test_a_new_arming_binds_to_a_new_publisher_episode_and_checkpoint(bench, case):
    b = bench().active()
    b.gate.stop(b.now)
    b.armed()
    b.act(**SECOND[case][0])
    assert b.gate.mode is Mode.ACTIVE


def refused_softly(b, sentence, **changes):
    """The action is refused, and what is being executed goes on."""
    accepted = b.gate.statistics.accepted
    commands = b.act(**changes)
    assert commands == []
    assert b.gate.mode is Mode.ACTIVE
    assert b.gate.statistics.accepted == accepted
    assert sentence in b.gate.statistics.last_refusal


def test_repeated_and_out_of_order_sequences_are_refused(bench):
    b = bench().active(sequence=7)
    b.step()
    b.step()
    refused_softly(b, "policy action 7 is out of order: 7 of 'policy-1' was accepted before", sequence=7)
    refused_softly(b, "policy action 6 is out of order", sequence=6)
    assert len(b.act(sequence=8)) == 1


def test_a_replayed_sequence_is_refused_after_arming_again_too(bench):
    b = bench().active(sequence=7)
    b.gate.stop(b.now)
    b.armed()
    b.act(sequence=7)
    assert b.gate.mode is Mode.ARMED
    assert "out of order" in b.gate.statistics.last_refusal


def test_an_observation_is_answered_once(bench):
    b = bench().active()
    refused_softly(b, "an observation that is not newer than the last one answered")
    observed = b.at
    b.step()
    refused_softly(b, "not newer", observation_stamp_ns=observed - 50 * MS)


def test_action_from_before_arming_is_refused(bench):
    b = bench().armed()
    b.act(observation_stamp_ns=b.at - 1)
    assert b.gate.mode is Mode.ARMED
    assert "from before the gate was armed" in b.gate.statistics.last_refusal


def test_observation_that_is_200_ms_old_is_refused(bench):
    b = bench().armed()
    observed = b.at
    for _ in range(4):
        b.step()
    b.act(observation_stamp_ns=observed)
    assert b.gate.mode is Mode.ARMED
    assert (
        "observation of policy action 1 is 200 ms old, allowed: less than 200 ms"
        in b.gate.statistics.last_refusal
    )
    b.act(observation_stamp_ns=observed + 1)
    assert b.gate.mode is Mode.ACTIVE


def test_observation_from_the_future_is_refused(bench):
    b = bench().active()
    refused_softly(b, "stamped 101 ms in the future, allowed: 100 ms", observation_stamp_ns=b.at + 101 * MS)


def test_the_reason_of_starvation_names_the_last_refusal(bench):
    b = bench().active(sequence=7)
    while b.gate.mode is Mode.ACTIVE:
        b.step()
        b.act(sequence=3)
    assert "no new action of the policy" in b.gate.status.reason
    assert "last refusal: policy action 3 is out of order" in b.gate.status.reason


# -- publishers -------------------------------------------------------------------------------------------


def test_two_policies_on_the_topic_make_the_gate_hold_and_prevent_arming(bench):
    b = bench().active()
    (command,) = b.gate.publishers(2, 1, b.now)
    assert b.gate.mode is Mode.HOLD
    assert b.gate.status.reason.startswith(
        "2 publishers on policy/action, allowed: 1; stop the second policy"
    )
    np.testing.assert_array_equal(command.palm.position, b.palm.position)
    assert "2 publishers on policy/action" in b.gate.arm(b.now).message
    b.gate.publishers(1, 1, b.now)
    assert b.gate.arm(b.now).success


@pytest.mark.parametrize("mode", ["armed", "active", "holding"])
def test_somebody_else_commanding_the_drivers_is_a_fault(bench, mode):
    b = getattr(bench(), mode)()
    assert b.gate.publishers(1, 2, b.now) == []
    assert b.gate.mode is Mode.FAULT
    sentence = "2 publishers on arm/target_pose or hand/target, allowed: this gate only; stop the others"
    assert b.gate.status.reason.startswith(sentence)


def test_an_idle_gate_only_refuses_to_arm_while_somebody_else_commands(bench):
    b = bench()
    b.step()
    b.gate.publishers(0, 2, b.now)
    assert b.gate.mode is Mode.IDLE
    assert "2 publishers on arm/target_pose" in b.gate.arm(b.now).message


# -- measured states --------------------------------------------------------------------------------------


def bad_pose(position=(0.4, 0.0, 0.4), quaternion=(1.0, 0.0, 0.0, 0.0)):
    return Pose(np.array([position]), np.array([quaternion]))


BAD_STATES = {
    "nan arm": ("arm_state", with_value(7, 3, np.nan), "arm/joint_states is not finite at fr3_joint4"),
    "short arm": ("arm_state", np.zeros(6), "arm/joint_states has shape (6,), needs (7,)"),
    "arm outside": (
        "arm_state",
        robot.ARM_HOME + 3.0,
        "arm/joint_states: fr3_joint1 is at 3.000 rad, allowed",
    ),
    "inf hand": ("hand_state", with_value(16, 1, np.inf), "hand/joint_states is not finite at if_mcp"),
    "long hand": ("hand_state", np.zeros(17), "hand/joint_states has shape (17,), needs (16,)"),
    "hand outside": ("hand_state", with_value(16, 0, 1.2), "hand/joint_states: if_rot is at 1.200 rad"),
    "nan palm": ("palm_state", bad_pose((np.nan, 0, 0)), "arm/current_pose is not finite"),
    "no rotation": (
        "palm_state",
        bad_pose(quaternion=(0, 0, 0, 0)),
        "arm/current_pose has a quaternion of norm 0",
    ),
    "far palm": ("palm_state", bad_pose((9.0, 0, 0)), "arm/current_pose is 9 m from the base along an axis"),
    "two palms": ("palm_state", Pose(np.zeros((2, 3)), np.ones((2, 4))), "needs (1, 3) and (1, 4)"),
}


@pytest.mark.parametrize("case", BAD_STATES)
def test_bad_measured_state_makes_the_gate_hold_the_last_good_pose(bench, case):
    event, value, sentence = BAD_STATES[case]
    b = bench().active(a_b=bench.chunk(dx=0.03))
    (command,) = getattr(b.gate, event)(b.at + 10 * MS, value, b.now)
    assert b.gate.mode is Mode.HOLD
    assert sentence in b.gate.status.reason
    np.testing.assert_array_equal(command.palm.position, b.palm.position)
    np.testing.assert_array_equal(command.hand, b.hand)


@pytest.mark.parametrize("case", BAD_STATES)
def test_bad_measured_states_do_not_let_the_gate_arm(bench, case):
    event, value, _ = BAD_STATES[case]
    b = bench()
    for _ in range(3):
        b.at += 50 * MS
        for good in {"arm_state", "palm_state", "hand_state"} - {event}:
            getattr(b.gate, good)(b.at, {"a": b.arm, "p": b.palm, "h": b.hand}[good[0]], b.now)
        getattr(b.gate, event)(b.at, value, b.now)
    assert not b.gate.arm(b.now).success


def turned(pose, angle):
    turn = se3.quat_from_rotvec(np.array([[0.0, 0.0, angle]]))
    return Pose(pose.position, se3.quat_multiply(turn, pose.quaternion))


# In 50 ms and with 0.05 slack: joint 1 at 1.5 * 2.62 rad/s 0.2465 rad; palm at 3 m/s 0.2 m, at 12 rad/s
# 0.65 rad; fingers at 30 rad/s 1.55 rad.
JUMPS = {
    "arm": ("arm", lambda b, way: b.arm + with_value(7, 0, 0.2465 + way), "fr3_joint1 by 0.247 rad in 50 ms"),
    "palm": (
        "palm",
        lambda b, way: Pose(b.palm.position + with_value((1, 3), (0, 1), 0.2 + way), b.palm.quaternion),
        "arm/current_pose jumped by 0.201 m in 50 ms, possible are 0.200 m",
    ),
    "turn": ("palm", lambda b, way: turned(b.palm, 0.65 + way), "arm/current_pose jumped by 0.651 rad"),
    "hand": ("hand", lambda b, way: b.hand - with_value(16, 12, 1.55 + way), "th_cmc by 1.551 rad in 50 ms"),
}


@pytest.mark.parametrize("case", JUMPS)
def test_a_jump_of_the_measured_state_makes_the_gate_hold_the_pose_before_it(bench, case):
    stream, make, sentence = JUMPS[case]
    b = bench()
    b.hand[12] = 1.7
    b.active()
    before = b.palm
    jumped = make(b, +0.001)
    b.at += 50 * MS
    (command,) = getattr(b.gate, f"{stream}_state")(b.at, jumped, b.now)
    assert b.gate.mode is Mode.HOLD
    assert "jumped" in b.gate.status.reason
    assert sentence in b.gate.status.reason
    np.testing.assert_array_equal(command.palm.position, before.position)


@pytest.mark.parametrize("case", JUMPS)
def test_the_fastest_possible_motion_is_no_jump(bench, case):
    stream, make, _ = JUMPS[case]
    b = bench()
    b.hand[12] = 1.7
    b.active()
    setattr(b, stream, make(b, -0.001))
    b.step()
    assert b.gate.mode is Mode.ACTIVE, b.gate.status.reason


def test_a_single_jump_holds_and_jumps_without_end_are_a_fault(bench):
    b = bench().active()
    b.shift(0.5)
    for i in range(1, 6):
        b.at += 10 * MS
        b.gate.palm_state(b.at, b.palm, b.now)
        assert b.gate.mode is (Mode.FAULT if i == 5 else Mode.HOLD)
    assert "5 such states in a row" in b.gate.status.reason


def test_after_a_jump_arming_needs_a_look_at_the_robot(bench):
    b = bench().active()
    b.at += 10 * MS
    b.gate.palm_state(b.at, Pose(b.palm.position + 0.5, b.palm.quaternion), b.now)
    assert "jumped" in b.gate.arm(b.now).message
    assert b.gate.mode is Mode.HOLD


def test_drifting_far_from_the_held_pose_is_a_fault(bench):
    b = bench().holding()
    for _ in range(2):
        b.shift(0.074)
        assert len(b.step()) == 1
    b.shift(0.003)
    assert b.step() == []
    assert b.gate.mode is Mode.FAULT
    assert (
        "the palm is 0.151 m and 0.000 rad from the pose it is held at, allowed: 0.15 m"
        in b.gate.status.reason
    )


def test_another_state_of_the_same_stamp_is_not_used_while_commanding(bench):
    b = bench().active()
    before = b.palm
    b.shift(0.04)
    b.states()
    (command,) = b.act(a_b=np.full((2, 22), np.nan))
    np.testing.assert_array_equal(command.palm.position, before.position)


def test_states_out_of_order_are_not_used(bench):
    b = bench().active()
    b.gate.palm_state(b.at - 10 * MS, bad_pose(), b.now)
    (command,) = b.step()
    np.testing.assert_allclose(command.palm.position, b.home.position, atol=1e-9)
    assert b.gate.mode is Mode.ACTIVE


def test_one_silent_stream_makes_the_gate_hold_after_150_ms_of_robot_time(bench):
    b = bench().active()
    last = b.at
    while b.gate.mode is Mode.ACTIVE:
        b.at += 50 * MS
        b.states(order="ap")
        b.act()
        assert b.at - last < 1000 * MS
    # A tick that misses a state is given up when the next one begins, and judged by its own time.
    assert b.at - last == 200 * MS
    assert b.gate.status.reason.startswith("measured state on hand/joint_states is 150 ms old")


def test_when_all_states_are_silent_the_ros_clock_makes_the_gate_hold_and_keep_commanding(bench):
    b = bench().active()
    stopped = b.at
    assert b.gate.tick(Now(0, stopped + 149 * MS)) == []
    (command,) = b.gate.tick(Now(0, stopped + 150 * MS))
    assert b.gate.mode is Mode.HOLD
    assert "no complete measured state for 150 ms" in b.gate.status.reason
    np.testing.assert_array_equal(command.palm.position, b.palm.position)
    (again,) = b.gate.tick(Now(0, stopped + 200 * MS))
    assert again.stamp_ns == stopped + 200 * MS


def test_states_stamped_far_ahead_are_refused(bench):
    b = bench().active()
    b.gate.arm_state(b.at + 1001 * MS, b.arm, b.now)
    assert b.gate.mode is Mode.HOLD
    assert "arm/joint_states is stamped 1.0 s after the message before it" in b.gate.status.reason
    assert len(b.step()) == 1


def test_with_a_timer_states_from_the_future_are_refused(bench):
    b = bench(tick_source="timer").active()
    b.gate.arm_state(b.at + 101 * MS, b.arm, b.now)
    assert b.gate.mode is Mode.HOLD
    assert "in the future" in b.gate.status.reason


@pytest.mark.parametrize(
    ("mode", "after"), [("active", Mode.FAULT), ("holding", Mode.FAULT), ("armed", Mode.FAULT)]
)
def test_a_restarted_clock_is_a_fault(bench, mode, after):
    b = getattr(bench(), mode)()
    sent = len(b.commands)
    b.at -= 1001 * MS
    b.states()
    assert b.gate.mode is Mode.FAULT
    assert "clock of arm/joint_states restarted" in b.gate.status.reason
    assert len(b.commands) == sent


def test_an_idle_gate_follows_a_restarted_clock(bench):
    b = bench()
    b.at = 5000 * MS
    b.step()
    b.at = 0
    b.active()


def test_a_state_that_could_not_be_read_makes_the_gate_hold(bench):
    b = bench().active()
    (command,) = b.gate.refuse_state("arm/joint_states: joint names do not match", b.now)
    assert b.gate.mode is Mode.HOLD
    assert b.gate.status.reason == "refused: arm/joint_states: joint names do not match"
    np.testing.assert_array_equal(command.palm.position, b.palm.position)


# -- the last guard ---------------------------------------------------------------------------------------


def shifted_law(x):
    def law(target, delta, measured, limits):
        return Pose(measured.position + np.array([[x, 0.0, 0.0]]), measured.quaternion)

    return law


@pytest.mark.parametrize(
    ("law", "sentence"),
    [
        (shifted_law(np.nan), "command is not finite"),
        (shifted_law(0.061), "command is 0.061 m and 0.000 rad from the measured palm, allowed 0.06 m"),
    ],
)
def test_a_command_beyond_its_limits_is_a_fault_and_is_not_sent(bench, monkeypatch, law, sentence):
    b = bench().active()
    sent = len(b.commands)
    monkeypatch.setattr("rfs_core.gate_motion.control.step_target", law)
    assert b.step() == []
    assert b.gate.mode is Mode.FAULT
    assert sentence in b.gate.status.reason
    assert len(b.commands) == sent


@pytest.mark.parametrize(
    ("hand", "sentence"),
    [
        (np.full(16, np.nan), "not 16 finite values"),
        (np.zeros(15), "not 16 finite values"),
        (robot.HAND_LIMITS[1] + 1e-3, "outside its joint limits"),
        (robot.HAND_LIMITS[0] - 1e-3, "outside its joint limits"),
    ],
)
def test_fingers_beyond_their_limits_are_not_sent(bench, hand, sentence):
    assert sentence in command_problem(bench.home, hand, bench.home, StepLimits())
    assert command_problem(bench.home, bench.middle, bench.home, StepLimits()) == ""


def test_the_guard_sees_a_turn_beyond_the_leash(bench):
    assert "0.251 rad" in command_problem(turned(bench.home, 0.251), bench.middle, bench.home, StepLimits())
    assert command_problem(turned(bench.home, 0.25), bench.middle, bench.home, StepLimits()) == ""
