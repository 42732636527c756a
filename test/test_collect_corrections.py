"""Collecting corrections and improving from them, as whole launches."""

from __future__ import annotations

import json
import os
import pty
import time

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from probe import Probe

from rfs_data.check import check
from rfs_data.episode import read_episode
from rfs_drivers.emulated.spacemouse_device import EmulatedSpaceMouse, build_hidapi, environment
from rfs_msgs.msg import Correction, EpisodeMark, EpisodeState
from rfs_msgs.srv import FinishEpisode
from rfs_ros.qos import EPISODE_STATES


def launch(start, tmp_path, file="collect_corrections", environment=None, **arguments):
    run_dir = tmp_path / "run"
    words = [f"{name}:={value}" for name, value in {"run_dir": run_dir, **arguments}.items()]
    command = ("ros2", "launch", "rfs_bringup", f"{file}.launch.py", *words)
    return start(*command, run_dir=run_dir, **(environment or {}))


def bags(run_dir):
    return sorted(path for path in (run_dir / "bags").iterdir() if path.is_dir())


def test_an_unplugged_spacemouse_fades_marks_the_episode_and_is_opened_again(
    start, tmp_path, gentle_checkpoint, ros_domain
):
    """The driver runs on the real pyspacemouse, over an emulated hidapi, and so does all that follows."""
    pytest.importorskip("pyspacemouse", reason="an extra: requirements/extra-drivers.txt")
    mouse = EmulatedSpaceMouse(tmp_path / "devices")
    mouse.plug()
    probe = Probe(ros_domain)
    corrections = probe.listen(Correction, "correction/residual")
    marks = probe.listen(EpisodeMark, "episode/mark")
    targets = probe.listen(PoseStamped, "arm/target_pose")
    states = probe.listen(EpisodeState, "episode/state", EPISODE_STATES)
    deployment = launch(
        start,
        tmp_path,
        environment=environment(build_hidapi(tmp_path / "lib"), tmp_path / "devices"),
        device="spacemouse",
        checkpoint=gentle_checkpoint,
        world="training",
        episodes=1,
        real_time_factor=0.05,  # an episode of a minute leaves time for all of this on a slow machine
    )
    try:
        deployment.wait_for("SpaceMouseCompact is open", 120.0)

        def running():
            return states and states[-1].phase == EpisodeState.PHASE_RUNNING

        def three_control_steps():
            seen = len(targets)
            probe.wait_until(lambda: len(targets) >= seen + 3, "three control steps", 60.0)

        probe.wait_until(running, "the episode", 120.0)
        mouse.press(True, False)  # the gentle policy stays above: enabled by button
        mouse.push(y=1.0)
        probe.wait_until(
            lambda: corrections[-1].residual[1] == pytest.approx(0.015), "a full correction", 60.0
        )
        three_control_steps()
        mouse.unplug()
        probe.wait_until(lambda: not corrections[-1].engaged, "it has faded", 60.0)
        assert not any(corrections[-1].residual)
        probe.wait_until(lambda: marks, "the mark", 60.0)
        deployment.wait_for("SpaceMouseCompact has gone", 60.0)
        mouse.plug()
        probe.wait_until(
            lambda: deployment.output().count("SpaceMouseCompact is open") == 2, "opened again", 60.0
        )
        mouse.push(y=1.0)
        three_control_steps()
        assert not corrections[-1].engaged  # who pushes has to press again
        mouse.press(True, False)
        mouse.push(y=-1.0)
        probe.wait_until(
            lambda: corrections[-1].residual[1] == pytest.approx(-0.015), "corrections again", 60.0
        )
        three_control_steps()
        mouse.push()
        probe.wait_until(lambda: not corrections[-1].engaged, "let go", 60.0)
        done = probe.call(
            FinishEpisode,
            "episode/finish",
            outcome=EpisodeState.OUTCOME_FAILURE,
            reason="enough",
        )
        assert done.success, done.message
        assert deployment.wait(120.0) == 0, deployment.output()
    finally:
        probe.close()
        mouse.close()
    episode = read_episode(bags(deployment.run_dir)[0])
    assert {mark for mark, _ in episode.marks} == {EpisodeMark.DEVICE_LOST}
    assert not episode.discarded
    assert episode.outcome == "failure"
    sideways = episode.human[..., 1]
    assert sideways.max() == pytest.approx(0.015)
    assert sideways.min() == pytest.approx(-0.015)


@pytest.mark.timeout(600)
def test_the_loop_collects_corrected_episodes_trains_and_loads_without_a_restart(start, tmp_path):
    deployment = launch(
        start,
        tmp_path,
        file="improve",
        rounds=1,
        episodes=2,
        evaluation_episodes=4,
        trainer_parameters="steps:=20 batch_size:=16",
    )
    assert deployment.wait(420.0) == 0, deployment.output()
    figures = json.loads((deployment.run_dir / "improvement.json").read_text())
    before, after = figures["rounds"]
    assert (before["number"], before["collected"]) == (0, 0)
    assert (after["number"], after["collected"]) == (1, 2)
    assert before["checkpoint"] != after["checkpoint"]
    assert f"the policy is {after['checkpoint']} now" in deployment.output()
    # Every episode is a whole bag, with corrections within their bounds; rotation is off.
    assert [check(path).ok for path in bags(deployment.run_dir)] == [True] * 2
    episodes = [read_episode(path) for path in bags(deployment.run_dir)]
    assert sum(episode.corrected_steps for episode in episodes) > 0
    assert "in all 2 episodes" in deployment.output()
    bounds = np.array([0.015] * 3 + [0.0] * 3 + [0.05] * 16)
    for episode in episodes:
        assert (np.abs(episode.human) <= bounds + 1e-12).all()
        assert episode.verified[episode.mask].all()
        assert episode.marks == ()
        parameters = episode.header["parameters"]["sim_node"]
        assert (parameters["world"], parameters["objects"]) == ("gap", "seen")
    # The policy node ended as the one that it became, and was never started again.
    assert deployment.report()["checkpoint_id"] == after["checkpoint"]
    assert deployment.output().count("process started with pid") == 7


def corrections_file(tmp_path, text):
    path = tmp_path / "corrections.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("file", "arguments", "sentence"),
    [
        ("collect_corrections", {"device": "joystick"}, "['scripted', 'spacemouse', 'keyboard']"),
        ("collect_corrections", {"robot": "real"}, "device:=scripted sees the simulation's truth"),
        ("collect_corrections", {"task": "pour"}, "it knows grasp, kit, place, stack"),
        ("collect_corrections", {"episodez": 3}, "(--show-args describes them)"),
        ("collect_corrections", {"episodes": "many"}, "episodes:=many cannot be used"),
        ("collect_corrections", {"objects": "unseen", "world": "training"}, "objects seen, or world gap"),
        ("improve", {"rounds": 0}, "rounds:=0 cannot be used: needs a whole number >= 1"),
        ("improve", {"checkpoint": "no.safetensors"}, "no.safetensors cannot be used: there is no such file"),
        ("improve", {"turns": 2}, "(--show-args describes them)"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_an_argument_that_cannot_be_used_is_refused_with_what_can(start, tmp_path, file, arguments, sentence):
    deployment = launch(start, tmp_path, file=file, **arguments)
    assert deployment.wait(120.0) == 1, deployment.output()
    assert sentence in deployment.output()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("/**/correction_mode:\n  ros__parameters: {ramp_s: 0.1}\n", "the nodes are correction_node"),
        ("/**/correction_node:\n  ros__parameters: {ramp: 0.1}\n", "did you mean 'ramp_s'?"),
    ],
    ids=["node", "key"],
)
def test_a_corrections_file_that_cannot_be_used_is_refused(start, tmp_path, content, sentence):
    deployment = launch(start, tmp_path, corrections_file=corrections_file(tmp_path, content))
    assert deployment.wait(120.0) == 1, deployment.output()
    assert sentence in deployment.output()


def test_keys_of_a_terminal_correct_and_discard(start, tmp_path, gentle_checkpoint, ros_domain):
    """A terminal of its own stands for that of the operator, who may be far away."""
    operator, terminal = pty.openpty()
    keys = f"/**/correction_node:\n  ros__parameters: {{terminal: {os.ttyname(terminal)}}}\n"
    deployment = launch(
        start,
        tmp_path,
        device="keyboard",
        corrections_file=corrections_file(tmp_path, keys),
        checkpoint=gentle_checkpoint,
        world="training",
        episodes=1,
        real_time_factor=0.1,
    )
    probe = Probe(ros_domain)
    corrections = probe.listen(Correction, "correction/residual")
    targets = probe.listen(PoseStamped, "arm/target_pose")
    pushed_at = []

    def pressed_for_three_control_steps():
        os.write(operator, b" \x1b[D")  # the space bar enables, the arrow pushes to the left
        time.sleep(0.05)
        # .7 of a push less the dead-band of .1: two thirds of the bound of 15 mm.
        if targets and corrections and corrections[-1].residual[1] == pytest.approx(0.010):
            pushed_at.append(len(targets))
        return pushed_at and len(targets) >= pushed_at[0] + 3

    probe.wait_until(pressed_for_three_control_steps, "a correction that is executed", 180.0)
    os.write(operator, b"x")
    assert deployment.wait(120.0) == 0, deployment.output()
    probe.close()
    for each in (operator, terminal):
        os.close(each)
    episode = read_episode(bags(deployment.run_dir)[0])
    assert episode.discarded
    assert episode.outcome == "aborted"
    assert episode.human[..., 1].max() == pytest.approx(0.010)
    assert "1 discarded" in deployment.output()
    assert f"next: ros2 run rfs_data check_bag {deployment.run_dir}/bags" in deployment.output()


def test_a_keyboard_without_a_terminal_ends_the_launch_with_what_to_do(start, tmp_path):
    deployment = launch(start, tmp_path, device="keyboard", episodes=1)
    assert deployment.wait(120.0) == 1, deployment.output()
    assert "start this node in a terminal of its own" in deployment.output()
    assert "corrections are not possible" in deployment.output()
