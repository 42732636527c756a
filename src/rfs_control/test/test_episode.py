"""EpisodeBatch: the flow of a batch, how episodes end, and that nothing is armed again by itself."""

import pytest

from rfs_control.episode import (
    Announce,
    Arm,
    EpisodeBatch,
    Gate,
    Outcome,
    Over,
    Phase,
    Reset,
    Stage,
    Stop,
)
from rfs_control.episode_config import EpisodeConfig

DT = 50_000_000
T_R = 1_000_000_000


def batch(**changes) -> EpisodeBatch:
    values = {"episodes": 2, "seed": 5, "service_timeout_s": 2.0, "stall_timeout_s": 3.0}
    return EpisodeBatch(EpisodeConfig(**{**values, **changes}), "b")


def run_until_running(b: EpisodeBatch, now=0.0, max_steps=3):
    b.reset_done(now, True, "", T_R, max_steps)
    b.gate(now, Gate.ARMED, "armed", 0)
    b.arm_done(now, True, "")
    assert b.stage is Stage.RUNNING


def finish_episode(b: EpisodeBatch, success=True, steps=3):
    for k in range(1, steps + 1):
        commands = b.reward(0.0, T_R + k * DT, 1.0, success=success and k == steps)
    assert commands == [Announce(Phase.FINISHED), Stop()]
    return b.stop_done(0.0, True, "")


def test_an_episode_is_reset_armed_run_finished_and_stopped_in_this_order():
    b = batch(episodes=1)
    assert b.start_batch(0.0) == [Announce(Phase.RESETTING), Reset(seed=5, index=0)]
    assert b.reset_done(0.1, True, "", T_R, 3) == [Arm()]
    assert b.arm_done(0.2, True, "") == [Announce(Phase.RUNNING)]
    assert (b.current.started_ns, b.current.max_steps) == (T_R, 3)
    assert finish_episode(b) == [Over()]
    assert (b.stopped, b.exit_code) == ("", 0)


def test_a_batch_runs_its_episodes_with_consecutive_indices():
    b = batch(episodes=3, first_episode=10)
    commands = b.start_batch(0.0)
    indices = []
    while Over() not in commands:
        indices.append(next(c.index for c in commands if isinstance(c, Reset)))
        run_until_running(b)
        commands = finish_episode(b)
    assert indices == [10, 11, 12]
    assert [r.index for r in b.records] == [10, 11, 12]
    assert [r.id for r in b.records] == ["b_000010", "b_000011", "b_000012"]


def test_rewards_are_summed_from_the_first_step_on_and_counted_once():
    b = batch()
    b.start_batch(0.0)
    run_until_running(b)
    b.reward(0.0, T_R, 100.0)  # of the first state: no step led to it
    b.reward(0.0, T_R + DT, 1.0)
    b.reward(0.0, T_R + DT, 1.0)  # repeated
    b.reward(0.0, T_R - DT, 50.0)  # of the time before
    b.reward(0.0, T_R + 2 * DT, 2.0, valid=False)
    assert (b.current.steps, b.current.total_reward, b.current.invalid_rewards) == (2, 3.0, 1)
    assert b.current.missed_rewards == 0


def test_steps_whose_reward_did_not_arrive_are_counted():
    b = batch()
    b.start_batch(0.0)
    run_until_running(b, max_steps=10)
    for step in (2, 3, 6):
        b.reward(0.0, T_R + step * DT, 1.0)
    assert (b.current.steps, b.current.total_reward) == (6, 3.0)
    assert b.current.missed_rewards == 3  # of steps 1, 4 and 5


def test_an_episode_without_success_at_its_last_step_is_a_failure():
    b = batch()
    b.start_batch(0.0)
    run_until_running(b, max_steps=2)
    assert b.reward(0.0, T_R + DT, 0.0, success=True) == []  # success counts at the end
    b.reward(0.0, T_R + 2 * DT, 0.0, success=False)
    assert b.current.outcome is Outcome.FAILURE
    assert b.current.reason == "no success within 2 control steps"


def test_an_episode_with_success_at_its_last_step_is_a_success():
    b = batch()
    b.start_batch(0.0)
    run_until_running(b, max_steps=2)
    b.reward(0.0, T_R + 2 * DT, 0.0, success=True)
    assert b.current.outcome is Outcome.SUCCESS


@pytest.mark.parametrize("success", [False, True])
def test_a_terminated_episode_ends_at_once_as_a_failure_with_its_reason(success):
    b = batch()
    b.start_batch(0.0)
    run_until_running(b, max_steps=60)
    commands = b.reward(0.0, T_R + DT, 0.0, terminated=True, success=success, reason="object lost")
    assert commands == [Announce(Phase.FINISHED), Stop()]
    assert (b.current.outcome, b.current.reason, b.current.steps) == (Outcome.FAILURE, "object lost", 1)


@pytest.mark.parametrize("mode", [Gate.HOLD, Gate.FAULT])
def test_a_gate_that_stops_the_robot_aborts_the_episode_and_nothing_is_armed_again(mode):
    b = batch(episodes=5)
    b.start_batch(0.0)
    run_until_running(b)
    b.gate(0.0, Gate.ACTIVE, "", 0)
    assert b.gate(0.0, mode, "no action for 200 ms", 1) == [Announce(Phase.FINISHED), Stop()]
    assert b.current.outcome is Outcome.ABORTED
    assert b.stop_done(0.0, True, "") == [Over()]
    assert b.exit_code == 1
    assert b.stopped.startswith("episode 0: the gate ")
    assert b.stopped.endswith("no action for 200 ms")


def test_a_person_stopping_the_gate_ends_the_batch():
    b = batch()
    b.start_batch(0.0)
    run_until_running(b)
    assert b.gate(0.0, Gate.IDLE, "safety/stop", 0) == [Announce(Phase.FINISHED), Stop()]
    assert b.stop_done(0.0, True, "") == [Over()]
    assert b.stopped == "episode 0: the gate was stopped: safety/stop"


def test_states_of_the_gate_from_before_the_episode_say_nothing_about_it():
    b = batch()
    b.gate(0.0, Gate.HOLD, "an old hold", 1)
    b.start_batch(0.0)
    b.reset_done(0.0, True, "", T_R, 3)
    b.arm_done(0.0, True, "")
    assert b.gate(0.0, Gate.IDLE, "stopped after the last episode", 1) == []
    assert b.gate(0.0, Gate.HOLD, "an old hold", 1) == []
    assert b.stage is Stage.RUNNING


def test_a_hold_counts_whatever_the_clock_says_and_though_the_armed_gate_was_not_seen():
    b = batch()
    b.gate(0.0, Gate.HOLD, "an old hold", 1)
    b.start_batch(0.0)
    b.reset_done(0.0, True, "", T_R, 3)
    b.arm_done(0.0, True, "")
    # Of the latched topic only the newest state arrives: HOLD for the second time.
    assert b.gate(0.0, Gate.HOLD, "no action for 200 ms", 2) == [Announce(Phase.FINISHED), Stop()]
    assert b.current.outcome is Outcome.ABORTED


@pytest.mark.parametrize(
    "said", [[(Gate.ARMED, 1), (Gate.HOLD, 2)], [(Gate.HOLD, 2)], [(Gate.ARMED, 1), (Gate.FAULT, 1)]]
)
def test_a_gate_that_stopped_before_the_answer_of_arming_was_read_aborts_the_episode(said):
    b = batch()
    b.gate(0.0, Gate.HOLD, "an old hold", 1)
    b.start_batch(0.0)
    b.reset_done(0.0, True, "", T_R, 3)
    for mode, holds in said:
        assert b.gate(0.0, mode, "state is 155 ms old", holds) == []
    assert b.arm_done(0.0, True, "") == [Announce(Phase.RUNNING), Announce(Phase.FINISHED), Stop()]
    assert b.current.outcome is Outcome.ABORTED
    assert b.stop_done(0.0, True, "") == [Over()]
    assert b.stopped.endswith("state is 155 ms old")


@pytest.mark.parametrize("said", [(Gate.HOLD, 1), (Gate.IDLE, 1), (Gate.FAULT, 1)])
def test_what_the_gate_said_before_it_was_armed_does_not_abort_the_episode(said):
    b = batch()
    b.gate(0.0, *(said[0], "of before", said[1]))
    b.start_batch(0.0)
    b.reset_done(0.0, True, "", T_R, 3)
    assert b.gate(0.0, said[0], "of before", said[1]) == []
    assert b.arm_done(0.0, True, "") == [Announce(Phase.RUNNING)]
    assert b.stage is Stage.RUNNING


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("reset", "the world was not reset: unknown task"),
        ("arm", "the gate was not armed: FAULT must be recovered"),
    ],
)
def test_a_refused_service_ends_the_batch_with_its_sentence(answer, why):
    b = batch()
    b.start_batch(0.0)
    if answer == "reset":
        commands = b.reset_done(0.0, False, "unknown task", 0, 0)
    else:
        b.reset_done(0.0, True, "", T_R, 3)
        commands = b.arm_done(0.0, False, "FAULT must be recovered")
    assert Stop() in commands
    assert Arm() not in commands
    assert b.stop_done(0.0, True, "") == [Over()]
    assert b.stopped == f"episode 0: {why}"


def looked_until(b: EpisodeBatch, now: float) -> None:
    """Five looks at the time, up to and including `now`; none of them finds anything wrong."""
    for back in (0.8, 0.6, 0.4, 0.2, 0.0):
        assert b.time(now - back) == []


def test_a_silent_service_is_given_up_after_its_timeout():
    b = batch()
    b.start_batch(10.0)
    looked_until(b, 12.0)  # 2 s are allowed
    assert Stop() in b.time(12.1)
    assert "sim/reset did not answer within 2 s: is sim_node alive?" in b.stopped


def test_an_episode_that_stands_still_is_aborted():
    b = batch()
    b.start_batch(0.0)
    run_until_running(b, now=10.0)
    b.reward(12.0, T_R + DT, 0.0)
    looked_until(b, 15.0)  # 3 s after the last reward
    assert b.time(15.1) == [Announce(Phase.FINISHED), Stop()]
    assert "no new reward for 3 s after 1 control steps" in b.current.reason
    looked_until(b, 17.0)
    assert b.time(17.2) == [Over()]  # nor does the gate answer
    assert b.exit_code == 1


def test_a_manager_that_stood_still_itself_reads_what_has_arrived_before_it_gives_up():
    b = batch()
    b.start_batch(0.0)
    run_until_running(b, now=10.0)
    looked_until(b, 11.0)
    assert b.time(60.0) == []  # 49 s without a look: rewards may be waiting to be read
    b.reward(60.05, T_R + DT, 0.0)
    looked_until(b, 63.05)
    assert b.time(63.1) == [Announce(Phase.FINISHED), Stop()]  # and none since


def test_ctrl_c_closes_the_running_episode_and_is_no_error():
    b = batch()
    b.start_batch(0.0)
    run_until_running(b)
    b.reward(0.0, T_R + DT, 0.0)
    assert b.interrupt(1.0) == [Announce(Phase.FINISHED), Stop(), Over()]
    assert [(r.outcome, r.reason, r.steps) for r in b.records] == [(Outcome.ABORTED, "interrupted", 1)]
    assert (b.exit_code, b.interrupted) == (0, True)
    assert b.interrupt(2.0) == []


def test_ctrl_c_after_the_outcome_keeps_the_outcome():
    b = batch()
    b.start_batch(0.0)
    run_until_running(b, max_steps=1)
    b.reward(0.0, T_R + DT, 0.0, success=True)
    b.interrupt(1.0)
    assert b.records[0].outcome is Outcome.SUCCESS


def test_a_person_can_finish_the_episode_with_an_outcome():
    b = batch()
    b.start_batch(0.0)
    assert "no episode is running" in b.finish_requested(0.0, 1, "")[0]
    run_until_running(b)
    refused, commands = b.finish_requested(0.0, 7, "")
    assert "outcome 7 is not an outcome; use one of 1 (SUCCESS), 2 (FAILURE), 3 (ABORTED)" in refused
    assert commands == []
    refused, commands = b.finish_requested(0.0, 1, "looked good")
    assert (refused, commands) == ("", [Announce(Phase.FINISHED), Stop()])
    assert (b.current.outcome, b.current.reason) == (Outcome.SUCCESS, "looked good")
    assert Reset(5, 1) in b.stop_done(0.0, True, "")  # a judged episode does not end the batch


def test_without_a_batch_each_episode_is_asked_for():
    b = batch(episodes=0)
    assert b.start_batch(0.0) == []
    refused, commands = b.start_requested(0.0, seed=8, index=3)
    assert (refused, commands) == ("", [Announce(Phase.RESETTING), Reset(8, 3)])
    assert "wait for its end" in b.start_requested(0.0, 8, 4)[0]
    run_until_running(b)
    assert finish_episode(b) == [Announce(Phase.IDLE)]
    assert b.start_requested(0.0, 8, 4)[0] == ""


def test_a_batch_refuses_single_episodes():
    b = batch()
    assert "use episodes:=0" in b.start_requested(0.0, 1, 1)[0]


def test_a_policy_that_refuses_its_checkpoint_ends_the_batch_before_anything_is_armed():
    b = batch()
    assert b.policy_lost(0.0, "policy_node: checkpoint is cut short") == [Over()]
    assert (b.exit_code, b.records) == (1, [])
    assert b.start_batch(0.0) == []
