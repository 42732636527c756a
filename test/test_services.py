"""A person runs single episodes by service: start, finish, another checkpoint in between."""

from __future__ import annotations

import checkpoints
from rfs_msgs.msg import EpisodeState, PolicyAction
from rfs_msgs.srv import FinishEpisode, LoadCheckpoint, StartEpisode


def test_episodes_and_checkpoints_are_changed_by_service_between_episodes_only(
    deploy, gentle_checkpoint, probe, tmp_path
):
    deployment = deploy(checkpoint=gentle_checkpoint, episodes=0, real_time_factor=0.1)
    episodes = probe.listen(EpisodeState, "episode/state")
    actions = probe.listen(PolicyAction, "policy/action")
    deployment.wait_for("all nodes are there")

    early = probe.call(FinishEpisode, "episode/finish", outcome=1, reason="nothing runs yet")
    assert (early.success, early.message) == (False, "no episode is running (the manager is ready)")
    started = probe.call(StartEpisode, "episode/start", seed=2, index=7)
    assert started.success, started.message
    probe.wait_until(lambda: len(actions) >= 2, "two decisions")

    twice = probe.call(StartEpisode, "episode/start", seed=2, index=8)
    assert not twice.success
    assert f"episode {started.id} is running" in twice.message
    other = checkpoints.write(tmp_path / "other.safetensors", seed=1, name="other")
    during = probe.call(LoadCheckpoint, "policy/load_checkpoint", path=str(other))
    assert not during.success
    assert "swapped between episodes only" in during.message
    assert during.checkpoint_id.startswith("gentle@")

    finished = probe.call(FinishEpisode, "episode/finish", outcome=1, reason="looked good")
    assert finished.success, finished.message

    def ended(index):
        return [m for m in episodes if m.index == index and m.phase == EpisodeState.PHASE_FINISHED]

    probe.wait_until(lambda: ended(7), "the end of the episode")
    assert (ended(7)[0].outcome, ended(7)[0].reason) == (EpisodeState.OUTCOME_SUCCESS, "looked good")
    probe.wait_until(lambda: episodes[-1].phase == EpisodeState.PHASE_IDLE, "ready for the next one")

    swapped = probe.call(LoadCheckpoint, "policy/load_checkpoint", path=str(other))
    assert swapped.success, swapped.message
    count, last = len(actions), max(action.sequence for action in actions)
    again = probe.call(StartEpisode, "episode/start", seed=2, index=8)
    assert again.success, again.message
    probe.wait_until(lambda: len(actions) > count, "a decision of the other checkpoint")
    assert actions[-1].checkpoint_id == swapped.checkpoint_id
    assert actions[-1].checkpoint_id.startswith("other@")
    assert actions[count].sequence == last + 1
    assert {a.publisher for a in actions} == {actions[0].publisher}

    deployment.interrupt()
    assert deployment.wait() == 0
    rows = deployment.report()["episodes"]
    assert [(row["index"], row["outcome"]) for row in rows] == [(7, "success"), (8, "aborted")]
