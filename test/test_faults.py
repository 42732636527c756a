"""What happens when a process dies, stands still or is interrupted: the arm holds, and nothing is left."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest
from patience import patience
from probe import stamp
from sensor_msgs.msg import JointState

from rfs_msgs.msg import EpisodeState, PolicyAction, Reward, SafetyState
from rfs_msgs.srv import StartEpisode
from rfs_ros.conversions import stamp_ns
from rfs_ros.qos import REWARDS
from rfs_sim import episode_log

MS = 1_000_000
HOLD_WITHIN_NS = 200 * MS
EPISODE_STEPS = 64
GONE_WITHIN_S = 5.0
"""On a machine that has the time for it: see `patience`."""


@pytest.fixture
def impatient(tmp_path):
    """A world that waits only a little for its targets, so that a dead policy costs no minutes.

    Long enough for one that is alive on a busy machine: what it misses makes the gate hold.
    """
    path = tmp_path / "impatient.yaml"
    path.write_text("/**/sim_node:\n  ros__parameters: {lockstep_patience_s: 2.0}\n")
    return path


def modes(safety):
    return [message.mode for message in safety]


def stop_policy_in_episode(deployment, probe, how):
    """Wait until the policy has decided a few times, then stop it. Returns what was heard meanwhile."""
    heard = {
        "actions": probe.listen(PolicyAction, "policy/action"),
        "safety": probe.listen(SafetyState, "safety/state"),
        "arm": probe.listen(JointState, "arm/joint_states"),
        "episodes": probe.listen(EpisodeState, "episode/state"),
    }
    deployment.wait_for("all nodes are there")
    pid = deployment.pid_of("policy_node")
    if "episodes:=0" in " ".join(deployment.process.args):
        answer = probe.call(StartEpisode, "episode/start", seed=1, index=0)
        assert answer.success, answer.message
    probe.wait_until(lambda: len(heard["actions"]) >= 4, "four decisions")
    os.kill(pid, how)
    probe.wait_until(lambda: SafetyState.HOLD in modes(heard["safety"]), "the gate holds")
    return heard, pid


def assert_held_in_time(heard):
    hold = next(message for message in heard["safety"] if message.mode == SafetyState.HOLD)
    last = max(stamp_ns(action.observation_stamp) for action in heard["actions"])
    # The policy was alive at `last`; it was stopped then or later.
    assert 0 < stamp_ns(hold.since) - last <= HOLD_WITHIN_NS
    assert "no new action of the policy" in hold.reason
    return stamp_ns(hold.since)


def test_the_arm_holds_when_the_policy_stands_still_and_only_a_person_arms_again(
    deploy, gentle_checkpoint, impatient, probe
):
    deployment = deploy(checkpoint=gentle_checkpoint, episodes=0, params_file=impatient)
    heard, pid = stop_policy_in_episode(deployment, probe, signal.SIGSTOP)
    held_ns = assert_held_in_time(heard)

    # One second of robot time later the arm is where it was.
    later = held_ns + 1000 * MS
    probe.wait_until(lambda: stamp(heard["arm"][-1]) > later, "a second of robot time")
    moved = [np.array(m.position) for m in heard["arm"] if held_ns + 150 * MS <= stamp(m) <= later]
    assert np.abs(moved - moved[0]).max() < 0.01  # rad

    os.kill(pid, signal.SIGCONT)
    seen = len(heard["safety"])
    time.sleep(1.5)
    assert not {SafetyState.ARMED, SafetyState.ACTIVE} & set(modes(heard["safety"][seen:]))
    finished = heard["episodes"][-1]
    assert finished.phase in (EpisodeState.PHASE_FINISHED, EpisodeState.PHASE_IDLE)

    answer = probe.call(StartEpisode, "episode/start", seed=1, index=1)
    assert answer.success, answer.message
    probe.wait_until(
        lambda: any(m.index == 1 and m.phase == EpisodeState.PHASE_FINISHED for m in heard["episodes"]),
        "the next episode, started by a person, ends",
    )
    end = next(m for m in heard["episodes"] if m.index == 1 and m.phase == EpisodeState.PHASE_FINISHED)
    assert end.outcome in (EpisodeState.OUTCOME_SUCCESS, EpisodeState.OUTCOME_FAILURE), end.reason
    deployment.interrupt()
    assert deployment.wait() == 0


def test_no_reward_is_lost_while_the_episode_manager_is_kept_waiting(
    deploy, gentle_checkpoint, tmp_path, probe
):
    """A busy machine keeps a process waiting; the world goes on without it, up to the end of the episode.

    This test may be kept waiting as well: the episode's steps are counted from its beginning.
    """
    patient = tmp_path / "patient.yaml"
    patient.write_text("/**/sim_node:\n  ros__parameters: {lockstep_patience_s: 60.0}\n")
    rewards = probe.listen(Reward, "reward", REWARDS)
    deployment = deploy(checkpoint=gentle_checkpoint, episodes=1, params_file=patient)
    actions = probe.listen(PolicyAction, "policy/action")
    deployment.wait_for("all nodes are there")
    probe.wait_until(lambda: len(actions) >= 2, "two decisions")
    pid = deployment.pid_of("episode_manager")
    os.kill(pid, signal.SIGSTOP)
    began = stamp_ns(actions[0].observation_stamp)  # before that, rewards come as well

    def steps() -> int:
        return len({stamp(reward) for reward in rewards if stamp(reward) > began})

    probe.wait_until(lambda: steps() >= EPISODE_STEPS - 4, "nearly all steps")
    os.kill(pid, signal.SIGCONT)
    assert deployment.wait() == 0, deployment.output()
    (row,) = deployment.report()["episodes"]
    assert (row["steps"], row["missed_rewards"]) == (EPISODE_STEPS, 0)
    recorded = episode_log.load(next((deployment.run_dir / "episodes").glob("*.npz")))[1]["reward"]
    assert row["total_reward"] == pytest.approx(recorded.sum(), abs=1e-9)


def test_a_batch_whose_policy_is_killed_holds_reports_and_ends_with_an_error(
    deploy, gentle_checkpoint, impatient, probe
):
    deployment = deploy(checkpoint=gentle_checkpoint, episodes=50, params_file=impatient)
    heard, _ = stop_policy_in_episode(deployment, probe, signal.SIGKILL)
    assert_held_in_time(heard)
    assert deployment.wait() == 1
    after = modes(heard["safety"])
    after = after[after.index(SafetyState.HOLD) :]
    assert not {SafetyState.ARMED, SafetyState.ACTIVE} & set(after)
    report = deployment.report()
    assert report["episodes_aborted"] == 1
    assert "the gate holds: no new action of the policy" in report["stopped"]
    assert report["gate"]["holds"] == 1
    assert len(report["gate"]["hold_reasons"]) == 1
    assert "the batch was stopped" in deployment.output()


@pytest.mark.parametrize("node", ["sim_node", "gate_node"])
def test_a_deployment_ends_with_an_error_when_the_world_or_the_gate_dies(deploy, gentle_checkpoint, node):
    deployment = deploy(checkpoint=gentle_checkpoint, episodes=200)
    deployment.wait_for("episode 0 (1 of 200)")
    os.kill(deployment.pid_of(node), signal.SIGKILL)
    assert deployment.wait() == 1
    assert "ended with exit code -9 before the batch was done" in deployment.output()
    assert deployment.report()["interrupted"]


MOMENTS = {
    "at once": lambda deployment: time.sleep(0.3),
    "while nodes start": lambda deployment: deployment.wait_for("process started"),
    "while waiting": lambda deployment: deployment.wait_for("waiting for"),
    "in an episode": lambda deployment: deployment.wait_for("episode 0 (1 of 200)"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_ends_everything_within_five_seconds_and_without_an_error(deploy, gentle_checkpoint, moment):
    deployment = deploy(checkpoint=gentle_checkpoint, episodes=200, record_video="true")
    MOMENTS[moment](deployment)
    began = deployment.interrupt()
    while deployment.processes() and time.monotonic() - began < patience(GONE_WITHIN_S):
        time.sleep(0.05)
    assert deployment.processes() == {}
    assert deployment.wait(10.0) == 0, deployment.output()
    if moment in ("while waiting", "in an episode"):
        # Earlier, Python itself may be at its own start in some process.
        assert "Traceback" not in deployment.output()
    if moment == "in an episode":
        report = deployment.report()
        assert report["interrupted"]
        assert report["episodes_finished"] >= 1
        assert "ended by Ctrl-C" in deployment.output()


def test_sigterm_to_the_launch_leaves_nothing_behind(deploy, gentle_checkpoint):
    deployment = deploy(checkpoint=gentle_checkpoint, episodes=200)
    deployment.wait_for("episode 0 (1 of 200)")
    deployment.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    while deployment.processes() and time.monotonic() - began < patience(GONE_WITHIN_S):
        time.sleep(0.05)
    assert deployment.processes() == {}
