"""What is kept of an episode is complete or not there at all, and says what it is."""

import threading

import numpy as np
import pytest

from rfs_core.errors import ConfigError
from rfs_sim import episode_log
from rfs_sim.episode_log import EpisodeLog, EpisodeLogError
from rfs_sim.recording import Recording
from rfs_sim.sim_config import SimConfig
from rfs_sim.world import World


@pytest.fixture(scope="module")
def world():
    world = World("grasp")
    yield world
    world.close()


def record(recording, world, steps, name="episode-0"):
    world.reset(0, 0)
    recording.begin(100, world, task="grasp", seed=0, episode=0)
    recording.name(name)
    for k in range(steps):
        world.step()
        recording.step(100 + (k + 1) * 50, world, world.outcome(), missed=k == 1)


def test_trajectory_has_one_state_more_than_steps(world, tmp_path):
    recording = Recording(SimConfig(run_dir=str(tmp_path)), fps=20.0)
    record(recording, world, steps=3)
    path = recording.end("failure", "time was up")
    assert path == tmp_path / "episodes" / "episode-0.npz"
    header, arrays = episode_log.load(path)
    assert arrays["stamp"].tolist() == [100, 150, 200, 250]
    assert arrays["arm_position"].shape == (4, 7)
    assert arrays["hand_position"].shape == (4, 16)
    assert arrays["object_position"].shape == (4, 3)
    assert arrays["arm_target_position"].shape == (3, 3)
    assert arrays["hand_target"].shape == (3, 16)
    assert arrays["reward"].shape == (3,)
    assert arrays["missed"].tolist() == [False, True, False]
    np.testing.assert_array_equal(arrays["arm_position"][-1], world.state.arm_position[0])
    assert header["task"] == "grasp"
    assert (header["id"], header["outcome"], header["reason"]) == ("episode-0", "failure", "time was up")


def test_rows_are_copies_of_the_state_and_not_the_state(world, tmp_path):
    recording = Recording(SimConfig(run_dir=str(tmp_path)), fps=20.0)
    world.reset(0, 0)
    first = world.state.hand_position[0].copy()
    recording.begin(0, world, task="grasp")
    world.command_hand(first + 0.5)
    world.step()
    recording.step(50, world, world.outcome(), missed=False)
    world.reset(0, 1)
    _, arrays = episode_log.load(recording.end("aborted", ""))
    np.testing.assert_array_equal(arrays["hand_position"][0], first)
    assert np.abs(arrays["hand_position"][1] - first).max() > 0.01


def test_an_episode_that_ends_in_another_thread_within_a_step_keeps_the_whole_step(world, tmp_path):
    """As on the emulated robot: steps in the arm's thread, the end in the node's."""
    recording = Recording(SimConfig(run_dir=str(tmp_path)), fps=20.0)
    record(recording, world, steps=2)
    ended = []
    end = threading.Thread(target=lambda: ended.append(recording.end("failure", "")))

    class Interrupting:
        """The world; whoever looks at its state lets the end happen meanwhile."""

        def __getattr__(self, name):
            if name == "state" and not end.ident:
                end.start()
                end.join(0.2)  # it waits for the step, or it is over already
            return getattr(world, name)

    recording.step(200, Interrupting(), world.outcome(), missed=False)
    end.join(10.0)
    _, arrays = episode_log.load(ended[0])
    assert (len(arrays["reward"]), len(arrays["stamp"])) == (3, 4)


def test_steps_after_the_time_limit_are_not_part_of_the_episode(world, tmp_path):
    recording = Recording(SimConfig(run_dir=str(tmp_path)), fps=20.0)
    record(recording, world, steps=world.max_episode_steps + 3)
    _, arrays = episode_log.load(recording.end("failure", ""))
    assert len(arrays["reward"]) == world.max_episode_steps


def test_episode_whose_end_nobody_announced_is_judged_by_the_world(world, tmp_path):
    recording = Recording(SimConfig(run_dir=str(tmp_path)), fps=20.0)
    record(recording, world, steps=5)
    assert recording.verdict("the world was reset") == ("aborted", "the world was reset")
    record(recording, world, steps=world.max_episode_steps)
    assert recording.verdict("the world was reset")[0] == "failure"
    record(recording, world, steps=world.max_episode_steps - 1)
    lifted = world.outcome()._replace(success=True)
    recording.step(0, world, lifted, missed=False)
    assert recording.verdict("the world was reset")[0] == "success"


def test_episode_without_a_step_and_without_a_folder_leaves_no_file(world, tmp_path):
    recording = Recording(SimConfig(run_dir=str(tmp_path)), fps=20.0)
    record(recording, world, steps=0)
    assert recording.end("aborted", "") is None
    assert recording.end("aborted", "") is None  # nothing is open
    nowhere = Recording(SimConfig(), fps=20.0)
    record(nowhere, world, steps=2)
    assert nowhere.end("success", "") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../outside", "a/b", "", ".hidden", "x" * 300])
def test_id_that_is_no_plain_file_name_is_refused(world, tmp_path, name):
    recording = Recording(SimConfig(run_dir=str(tmp_path / "run")), fps=20.0)
    record(recording, world, steps=1, name=name)
    with pytest.raises(EpisodeLogError, match="cannot name a file"):
        recording.end("success", "")
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_no_half_file(world, tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(28, "No space left on device")

    recording = Recording(SimConfig(run_dir=str(tmp_path)), fps=20.0)
    record(recording, world, steps=1)
    monkeypatch.setattr(episode_log.os, "fsync", refuse)
    with pytest.raises(EpisodeLogError, match="No space left"):
        recording.end("success", "")
    assert list((tmp_path / "episodes").iterdir()) == []


def test_foreign_and_damaged_files_are_refused(world, tmp_path):
    other = tmp_path / "other.npz"
    np.savez(other, a=np.zeros(3))
    with pytest.raises(EpisodeLogError, match="not a trajectory"):
        episode_log.load(other)
    log = EpisodeLog({"task": "grasp"}, np.zeros(3))
    path = log.save(tmp_path, "good")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(EpisodeLogError, match="not a trajectory"):
        episode_log.load(path)
    newer = EpisodeLog({}, np.zeros(3)).save(tmp_path, "newer", format_version=99)
    with pytest.raises(EpisodeLogError, match="99"):
        episode_log.load(newer)


def test_video_shows_the_first_episodes_only_with_their_outcome(world, tmp_path):
    config = SimConfig(
        run_dir=str(tmp_path), record_video=True, video_name="v.gif", video_episodes=1,
        video_width=64, video_height=48,
    )  # fmt: skip
    recording = Recording(config, fps=20.0)
    for _ in range(2):
        record(recording, world, steps=3)
        recording.end("success", "")
    recording.settle(20.0)
    assert recording.video.wait(0, 20.0)
    recording.close(5.0)
    # One episode: the first state, 3 steps and the end card, which stands for 12 frames.
    assert recording.video.written == 1 + 3 + 12
    assert (tmp_path / "v.gif").exists()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"physics_dt": 0.003}, "must divide 10 ms"),
        ({"record_video": True}, "run_dir is empty"),
        ({"video_width": 481}, "even"),
    ],
)
def test_configuration_that_cannot_be_is_refused(wrong, why):
    with pytest.raises(ConfigError, match=why):
        SimConfig(**wrong)
