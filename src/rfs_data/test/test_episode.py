"""A recorded episode as arrays: every number is where its step is, and what is missing is named."""

import handmade_bags as handmade
import numpy as np
import pytest
from handmade_bags import DT, SPEC, START, A, H, Script

from rfs_core import robot
from rfs_core.se3 import Pose
from rfs_core.specs import ActionSpec, ObservationSpec, Part
from rfs_core.tasks import grasp
from rfs_data.collected import Collected
from rfs_data.episode import _commands, read_episode
from rfs_data.errors import BagError, Reason


def refused(path, reason, **asked):
    with pytest.raises(BagError) as caught:
        read_episode(path, **asked)
    assert caught.value.reason is reason, caught.value
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_every_value_stands_at_its_step(tmp_path):
    episode = read_episode(handmade.write(tmp_path, Script(decisions=3)))
    assert episode.stamp.tolist() == [START, START + 2 * DT, START + 4 * DT, START + 6 * DT]
    seen = grasp.OBSERVATION_SPEC.unpack(episode.observation)
    for d in range(4):
        np.testing.assert_allclose(seen["arm_position"][d], handmade.arm_position(2 * d), rtol=1e-6)
        np.testing.assert_allclose(seen["object_position"][d], [0.4, 0.002 * d, 0.05], rtol=1e-6)
    # The contact flag of if_tip is set at odd control steps only, decisions are at even ones.
    np.testing.assert_array_equal(seen["contacts"], [[0, 0, 0, 0, 1]] * 4)
    np.testing.assert_allclose(seen["goal_position"], [[0.4, 0.0, 0.25]] * 4, rtol=1e-6)
    for d in range(3):
        np.testing.assert_array_equal(episode.a_0[d], np.full((H, A), 0.5 * d))
        for i in range(H):
            step = 2 * d + i
            np.testing.assert_array_equal(episode.a_b[d, i], handmade.base_action(step))
            np.testing.assert_array_equal(episode.a_r[d, i], handmade.policy_residual(step))
    # The reward of a step is that of the state it led to: 0.5 * (step + 1).
    assert episode.reward.tolist() == [[0.5, 1.0], [1.5, 2.0], [2.5, 3.0]]
    # Success holds at even states; each decision ends at one.
    assert episode.success.tolist() == [True, True, True]
    assert episode.terminated.tolist() == [False] * 3
    assert episode.truncated.tolist() == [False, False, True]
    assert episode.mask.all()
    assert episode.verified.all()
    assert not episode.engaged.any()
    assert not episode.human.any()
    np.testing.assert_array_equal(episode.executed, SPEC.clip(episode.a_b + episode.a_r))
    assert (episode.steps, episode.corrected_steps, episode.warnings) == (6, 0, ())


def test_a_humans_residual_is_clipped_while_engaged_and_fades_in_four_steps_after_release(tmp_path):
    # 0.02 m is beyond the bound of 0.015; released at step 4: 0.015 fades by 0.015 / 4 per step.
    script = Script(decisions=5, corrections={2: (0.02, True), 3: (0.02, True), 4: (0.0, False)})
    episode = read_episode(handmade.write(tmp_path, script))
    x = episode.human.reshape(-1, A)[:, 0]
    expected = [0, 0, 0.015, 0.015, 0.01125, 0.0075, 0.00375, 0, 0, 0]
    np.testing.assert_allclose(x, expected, atol=1e-12)
    assert episode.engaged.ravel().tolist() == [False] * 2 + [True] * 2 + [False] * 6
    assert episode.verified.all()
    assert not episode.human.reshape(-1, A)[:, 1:].any()
    composed = SPEC.clip(episode.a_b + episode.a_r + episode.human)
    np.testing.assert_allclose(episode.executed, composed, atol=1e-12)
    assert episode.corrected_steps == 2


def test_a_correction_that_stops_arriving_is_released_after_200_ms(tmp_path):
    episode = read_episode(handmade.write(tmp_path, Script(decisions=5, corrections={1: (0.01, True)})))
    # In force at steps 1, 2, 3 and 4 (0 to 150 ms old), then it fades by 0.015 / 4 per step.
    x = episode.human.reshape(-1, A)[:, 0]
    np.testing.assert_allclose(x, [0, 0.01, 0.01, 0.01, 0.01, 0.00625, 0.0025, 0, 0, 0], atol=1e-12)
    assert episode.verified.all()
    # Silent from step 1 to the end at step 10: 9 * 50 ms.
    ((reason, sentence),) = episode.warnings
    assert reason is Reason.CORRECTION_LOST
    assert "first for 0.45 s" in sentence


def test_which_correction_was_in_force_is_found_from_the_targets(tmp_path):
    """The correction stamped with step 3 reached the gate too late for it: step 3 ran with the one before."""
    script = Script(decisions=3, corrections={2: (0.01, True), 4: (0.005, True)})
    path = handmade.write(tmp_path / "in_time", script)
    straight = read_episode(path).human.reshape(-1, A)[:, 0]
    np.testing.assert_allclose(straight, [0, 0, 0.01, 0.01, 0.005, 0.005], atol=1e-12)

    class Early(handmade._Wire):
        def correction(self, step, residual, engaged):
            super().correction(3 if step == 4 else step, residual, engaged)

    original, handmade._Wire = handmade._Wire, Early
    try:
        path = handmade.write(tmp_path / "late", script)
    finally:
        handmade._Wire = original
    episode = read_episode(path)
    np.testing.assert_allclose(episode.human.reshape(-1, A)[:, 0], straight, atol=1e-12)
    assert episode.verified.all()


def test_targets_that_the_actions_do_not_lead_to_are_said_to_be_unverified(tmp_path):
    class Elsewhere(handmade._Wire):
        def target(self, step, palm, hand):
            super().target(step, palm, hand + (0.01 if step == 3 else 0.0))

    original, handmade._Wire = handmade._Wire, Elsewhere
    try:
        path = handmade.write(tmp_path)
    finally:
        handmade._Wire = original
    episode = read_episode(path)
    assert np.flatnonzero(~episode.verified.ravel()).tolist() == [3]
    assert "the target that the gate sent is not the one" in episode.warnings[0][1]


def test_an_episode_that_terminates_within_a_chunk_ends_there(tmp_path):
    script = Script(decisions=4, terminated_at=5, max_steps=64)
    episode = read_episode(handmade.write(tmp_path, script))
    assert len(episode.a_b) == 3
    assert episode.mask.tolist() == [[True, True], [True, True], [True, False]]
    assert episode.terminated.tolist() == [False, False, True]
    assert not episode.truncated.any()
    assert episode.reward.tolist() == [[0.5, 1.0], [1.5, 2.0], [2.5, 0.0]]
    assert episode.stamp[-1] == START + 5 * DT
    last = grasp.OBSERVATION_SPEC.unpack(episode.observation[-1])
    np.testing.assert_allclose(last["arm_position"], handmade.arm_position(5), rtol=1e-6)


def test_an_episode_stopped_before_its_end_is_truncated_where_it_was_stopped(tmp_path):
    episode = read_episode(handmade.write(tmp_path, Script(decisions=4, max_steps=64)))
    assert (len(episode.a_b), episode.steps) == (4, 8)
    assert episode.truncated.tolist() == [False, False, False, True]


def test_a_bag_without_rewards_is_refused_by_name(tmp_path):
    refused(handmade.write(tmp_path, Script(without_topics=frozenset({"reward"}))), Reason.NO_REWARD)


def test_a_reward_missing_within_is_refused_naming_its_decision(tmp_path):
    path = handmade.write(tmp_path, Script(without=frozenset({("reward", 3)})))
    assert "no reward after a step of decisions 1" in refused(path, Reason.NO_REWARD)


def test_a_lost_decision_is_refused_naming_it(tmp_path):
    path = handmade.write(tmp_path, Script(without=frozenset({("policy/action", 4)})))
    assert "decisions 2 of 4 are not there" in refused(path, Reason.MISSING_STEPS)


def test_a_lost_part_of_an_observation_is_refused_naming_its_topic(tmp_path):
    path = handmade.write(tmp_path, Script(without=frozenset({("hand/contacts", 4)})))
    assert "at step 2 there is no message on hand/contacts" in refused(path, Reason.MISSING_STEPS)


def test_a_single_decision_is_refused(tmp_path):
    path = handmade.write(tmp_path, Script(decisions=1))
    refused(path, Reason.ONE_STEP)
    assert len(read_episode(path, shortest=1).a_b) == 1


def test_an_episode_in_which_the_policy_did_nothing_is_refused(tmp_path):
    refused(handmade.write(tmp_path, Script(without_topics=frozenset({"policy/action"}))), Reason.NO_STEPS)


def test_values_that_are_not_numbers_are_refused(tmp_path):
    for name, spoilt in (("arm", ("arm/joint_states", 2)), ("reward", ("reward", 2))):
        refused(handmade.write(tmp_path, Script(nan_at=spoilt), name=name), Reason.NOT_FINITE)


def test_another_action_spec_is_refused_naming_both_values(tmp_path):
    path = handmade.write(tmp_path)
    other = ActionSpec(robot.DEFAULT_ACTION_SPEC.parts, control_dt=0.1, horizon=H)
    assert "control_dt 0.05 s, other 0.1 s" in refused(path, Reason.OTHER_SPEC, action_spec=other)


def test_another_observation_spec_is_refused(tmp_path):
    path = handmade.write(tmp_path)
    other = ObservationSpec(grasp.OBSERVATION_SPEC.parts[:-1])
    refused(path, Reason.OTHER_SPEC, observation_spec=other)
    assert read_episode(path, SPEC, grasp.OBSERVATION_SPEC).steps == 8


def test_a_bag_of_another_format_version_is_refused(tmp_path):
    path = handmade.write(tmp_path, Script(header={"format_version": 99}))
    assert "format rfs_episode 99" in refused(path, Reason.FORMAT_VERSION)


def test_lost_messages_are_told_though_every_step_is_there(tmp_path):
    flow = {"type": "", "received": 97, "expected": 100, "lost": 3, "dropped": 0}
    path = handmade.write(tmp_path, Script(header={"flows": {"arm/joint_states": flow}}))
    ((reason, sentence),) = read_episode(path).warnings
    assert reason is Reason.LOST_MESSAGES
    assert sentence == "arm/joint_states: 97 of 100 messages were received"


def test_a_policy_that_sees_points_is_given_the_newest_cloud_of_300_ms(tmp_path):
    spec = ObservationSpec((Part("points", (2, 3), "m", -2.0, 2.0), *grasp.OBSERVATION_SPEC.parts[:1]))
    header = {"observation_spec": spec.to_dict()}
    path = handmade.write(tmp_path, Script(decisions=3, points_at=(0, 3, 6), header=header), name="seen")
    seen = spec.unpack(read_episode(path, SPEC, spec).observation)
    # Decisions at the steps 0, 2, 4 and the end at 6 see the clouds of 0, 0, 3 and 6.
    np.testing.assert_allclose(seen["points"][:, 0, 0], [0.0, 0.0, 0.3, 0.6], rtol=1e-6)
    # Step 8 is 400 ms after the only cloud.
    path = handmade.write(tmp_path, Script(decisions=5, points_at=(0,), header=header), name="blind")
    assert "at step 4 there is no message on perception/points" in refused(path, Reason.MISSING_STEPS)


def test_a_decision_that_came_late_is_found_where_it_was_executed(tmp_path):
    """The decision of step 2 reached the gate one step late: it kept its target, then executed the chunk."""

    class Late(handmade._Wire):
        def target(self, step, palm, hand):
            if step == 2:  # kept
                self.kept = self.before
            elif step == 3:  # the chunk's first step, from the kept target
                delta = handmade.base_action(2) + handmade.policy_residual(2)
                palm = Pose(self.kept[0].position + delta[:3], self.kept[0].quaternion)
                hand = delta[SPEC.slice("hand_target")]
                self.moved = (palm, hand)
            if step == 2:
                palm, hand = self.kept
            elif step == 4:  # the next decision in time, from there
                delta = handmade.base_action(4) + handmade.policy_residual(4)
                palm = Pose(self.moved[0].position + delta[:3], self.moved[0].quaternion)
            self.before = (palm, hand)
            super().target(step, palm, hand)

    original, handmade._Wire = handmade._Wire, Late
    try:
        path = handmade.write(tmp_path, Script(decisions=3))
    finally:
        handmade._Wire = original
    episode = read_episode(path)
    executed = episode.executed.reshape(-1, A)
    assert episode.verified.ravel()[:5].all()
    assert episode.own.ravel()[:5].tolist() == [True, True, False, False, True]
    assert not (episode.mask & ~read_episode(handmade.write(tmp_path / "in_time", Script())).own[:3]).any()
    np.testing.assert_array_equal(executed[2, :6], np.zeros(6))
    np.testing.assert_array_equal(executed[2, 6:], executed[1, 6:])  # the fingers stay where they were sent
    np.testing.assert_allclose(executed[3], handmade.base_action(2) + handmade.policy_residual(2), atol=1e-12)
    np.testing.assert_allclose(executed[4], handmade.base_action(4) + handmade.policy_residual(4), atol=1e-12)


def test_remarks_on_this_episode_are_kept_and_those_on_others_are_not(tmp_path):
    marks = ((1, "mine", "device_lost"), (2, "other", "discard"))
    episode = read_episode(handmade.write(tmp_path, Script(marks=marks), name="mine"))
    assert episode.marks == (("device_lost", "because"),)
    assert not episode.discarded


def test_an_episode_that_the_operator_threw_away_says_so(tmp_path):
    path = handmade.write(tmp_path, Script(marks=((3, "mine", "discard"),)), name="mine")
    assert read_episode(path).discarded


@pytest.mark.parametrize(
    ("commands_ms", "expected_ms"),
    [
        ([7, 57, 107, 157], [7, 57, 107, 157]),
        ([42, 84, 135, 180], [42, 84, 135, 180]),  # each nearly a control step late
        ([-5, 45, 95, 145], [-5, 45, 95, 145]),  # the gate's clock is behind the policy's
        ([7, 57, 80, 107, 157], [7, 57, 107, 157]),  # it waited, and sent what keeps its target
        ([60, 107, 157], [60, 50, 107, 157]),  # the next decision came before the second step of a late one
        ([107, 157], [0, 50, 107, 157]),
    ],
)
def test_on_a_robot_the_steps_of_a_decision_are_the_targets_between_it_and_the_next(commands_ms, expected_ms):
    stamps = [ms * 1_000_000 for ms in commands_ms]
    got = Collected(palm_targets=dict.fromkeys(stamps), hand_targets=dict.fromkeys(stamps))
    found = _commands([0, 100_000_000], 200_000_000, 2, got, 50_000_000)
    assert [stamp / 1e6 for stamp in found] == expected_ms
