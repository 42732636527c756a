"""A whole deployment on emulated devices: the real drivers close the loop through the wire.

What is asked is that the loop closes, not that the policy is good, and nothing about speed: robot time
stretches where the machine is busy.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from probe import Probe
from std_msgs.msg import String
from std_srvs.srv import Trigger

from rfs_core import robot
from rfs_core.tasks import grasp
from rfs_data.episode import read_episode
from rfs_learning.policy import Policy
from rfs_msgs.msg import EpisodeState, SafetyState
from rfs_msgs.srv import StartEpisode
from rfs_ros.qos import EPISODE_STATES, LATCHED
from rfs_sim import episode_log

PATIENCE_S = 300.0
"""Wall time for one deployment on a busy machine."""
pytestmark = pytest.mark.timeout(4 * PATIENCE_S)


def ask_devices(output: str, which: str, **request: object) -> dict[str, Any]:
    """One operation of a fault interface; its port is in what emulated_robot says."""
    line = next(line for line in output.splitlines() if "(faults: port" in line)
    address = line.split("arm at ")[1].split()[0]
    ports = [int(part.split(")")[0]) for part in line.split("(faults: port ")[1:]]
    port = ports[("arm", "hand").index(which)]
    with socket.create_connection((address, port), timeout=30.0) as connection:
        connection.sendall(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(connection.makefile().readline())
    assert answer.pop("ok"), answer
    return answer


def test_an_episode_runs_through_drivers_wire_devices_and_physics(deploy, gentle_checkpoint):
    deployment = deploy(
        robot="emulated", checkpoint=gentle_checkpoint, episodes=2, real_time_factor=0.3, record="true"
    )
    deployment.wait_for("episode 0 (1 of 2)", PATIENCE_S)
    arm = ask_devices(deployment.output(), "arm", do="status")
    hand = ask_devices(deployment.output(), "hand", do="status")
    assert deployment.wait(PATIENCE_S) == 0, deployment.output()
    report = deployment.report()
    assert (report["episodes_finished"], report["episodes_aborted"], report["stopped"]) == (2, 0, "")
    # The gate's targets reached the devices over the vendors' wires.
    assert arm["applied"] > 1000  # commands of 1 ms
    assert hand["packets"] > 100
    assert set(hand["mode"]) == {5}  # current-based position
    assert set(hand["hardware_error"]) == {0}
    for path in sorted((deployment.run_dir / "episodes").glob("*.npz")):
        header, arrays = episode_log.load(path)
        assert header["outcome"] in ("success", "failure")
        # The arm went where it was told: further than it stands from its last target, which is ahead of it.
        palm, target = arrays["palm_position"], arrays["arm_target_position"]
        moved = ((palm[-1] - palm[0]) ** 2).sum() ** 0.5
        behind = ((palm[-1] - target[-1]) ** 2).sum() ** 0.5
        assert behind < 0.07  # the leash, and a control step of motion
        assert moved > 0.0
        assert abs(arrays["hand_position"][-1] - arrays["hand_position"][0]).max() > 0.02
    assert "is in reflex" not in deployment.output()
    assert "stopped by themselves" not in deployment.output()

    # What was recorded is what was seen and done, though no two devices share a clock edge.
    bags = sorted((deployment.run_dir / "bags").iterdir())
    assert len(bags) == 2
    for bag in bags:
        episode = read_episode(bag)
        assert episode.verified[episode.mask].mean() > 0.9, episode.warnings
        policy = Policy.load(gentle_checkpoint, robot.DEFAULT_ACTION_SPEC, grasp.OBSERVATION_SPEC)
        again = policy.act(episode.observation[:-1], episode.a_0)
        np.testing.assert_allclose(again.a_b, episode.a_b, atol=1e-5)


def test_faults_are_named_and_only_a_person_goes_on_after_them(deploy, gentle_checkpoint, ros_domain):
    deployment = deploy(robot="emulated", checkpoint=gentle_checkpoint, episodes=0, real_time_factor=0.3)
    deployment.wait_for("waiting for episode/start", PATIENCE_S)
    probe = Probe(ros_domain)

    def start_episode(index: int) -> Any:
        return probe.call(StartEpisode, "episode/start", PATIENCE_S, seed=1, index=index)

    answer = start_episode(0)
    assert answer.success, answer.message
    ask_devices(deployment.output(), "hand", do="overload", motor=2)
    deployment.wait_for("if_pip (motor 2) reports overload: free the finger or let it cool", PATIENCE_S)
    ask_devices(deployment.output(), "arm", do="reflex", error="joint_reflex")
    deployment.wait_for(
        "robot is in reflex (joint_reflex): clear the contact, then call arm/recover", PATIENCE_S
    )
    deployment.wait_for("episode 0 (1)", PATIENCE_S)  # a robot that stands still achieves nothing

    refused = start_episode(1)
    assert not refused.success
    assert "franka_node is in fault" in refused.message
    recovered = probe.call(Trigger, "arm/recover", PATIENCE_S)
    assert recovered.success, recovered.message
    refused = start_episode(2)
    assert not refused.success
    assert "leap_node is in fault" in refused.message
    ask_devices(deployment.output(), "hand", do="overload", motor=2, on=False)
    recovered = probe.call(Trigger, "hand/recover", PATIENCE_S)
    assert recovered.success, recovered.message
    again = start_episode(3)
    assert again.success, again.message
    probe.close()
    deployment.interrupt()
    assert deployment.wait(60.0) == 0, deployment.output()


def abort_by(probe: Probe, index: int, unplug: Callable[[], object]) -> str:
    """Start an episode, unplug when the policy acts; returns why the episode was aborted."""
    safety, episodes = probe.messages["safety/state"], probe.messages["episode/state"]
    began, ended = len(safety), len(episodes)
    answer = probe.call(StartEpisode, "episode/start", PATIENCE_S, seed=1, index=index)
    assert answer.success, answer.message

    def acts() -> bool:
        return SafetyState.ACTIVE in [message.mode for message in safety[began:]]

    probe.wait_until(acts, "the policy acts", PATIENCE_S)
    unplug()

    def last() -> EpisodeState | None:
        finished = [
            m for m in episodes[ended:] if m.phase == EpisodeState.PHASE_FINISHED and m.index == index
        ]
        return finished[-1] if finished else None

    finished: EpisodeState = probe.wait_until(last, "the episode is over", PATIENCE_S)
    assert finished.outcome == EpisodeState.OUTCOME_ABORTED, finished.reason
    return str(finished.reason)


def start_refused(probe: Probe, index: int) -> str:
    """Why an episode cannot be started, once the one before is over in every respect."""
    while True:
        answer = probe.call(StartEpisode, "episode/start", PATIENCE_S, seed=1, index=index)
        assert not answer.success
        if "is stopping" not in answer.message:
            return str(answer.message)


DEVICES = {
    # device: how it is unplugged, plugged in again; what is said, and when it is back; its state and driver
    "arm": (
        {"do": "faults", "cut": True},
        {"do": "clear"},
        "check the cable and that the robot is on; it is connected anew by itself, then call arm/recover",
        "is back; control stays off until arm/recover",
        "franka_node",
    ),
    "hand": (
        {"do": "unplug"},
        {"do": "plug"},
        "is the hand's USB cable in? Then call hand/recover",
        "the hand is back after its port was lost: call hand/recover",
        "leap_node",
    ),
}


def test_an_unplugged_device_is_named_the_gate_holds_and_nothing_goes_on_by_itself(
    deploy, gentle_checkpoint, probe
):
    """As a person who unplugs one after the other while the robot moves, and reads what the stack says."""
    deployment = deploy(robot="emulated", checkpoint=gentle_checkpoint, episodes=0, real_time_factor=0.3)
    deployment.wait_for("waiting for episode/start", PATIENCE_S)
    safety = probe.listen(SafetyState, "safety/state", EPISODE_STATES)
    probe.listen(EpisodeState, "episode/state", EPISODE_STATES)
    for number, (device, (unplug, plug, said, back, driver)) in enumerate(DEVICES.items()):
        phases = probe.listen(String, f"{device}/driver_phase", LATCHED)
        before = len(safety)
        reason = abort_by(probe, number, lambda d=device, u=unplug: ask_devices(deployment.output(), d, **u))
        assert f"the gate holds: measured state on {device}/joint_states is" in reason
        if device == "hand":  # its port says so at once, libfranka a second after the cable was cut
            assert f"{driver}: " in reason
            assert said in reason
        probe.wait_until(lambda p=phases: p[-1].data == "fault", f"{driver} in fault", PATIENCE_S)
        faulty = len(phases)
        deployment.wait_for(said, PATIENCE_S)

        ask_devices(deployment.output(), device, **plug)
        deployment.wait_for(back, PATIENCE_S)
        # The device is there, and its driver waits for a person; so does who would begin the next episode.
        refusal = start_refused(probe, number)
        assert f"{driver} is in fault" in refusal
        assert f"call {device}/recover" in refusal
        assert not {"holding", "following"} & {m.data for m in phases[faulty:]}
        modes = [m.mode for m in safety[before:]]
        after = modes[modes.index(SafetyState.HOLD) :]
        assert not {SafetyState.ARMED, SafetyState.ACTIVE} & set(after)
        recovered = probe.call(Trigger, f"{device}/recover", PATIENCE_S)
        assert recovered.success, recovered.message
    again = probe.call(StartEpisode, "episode/start", PATIENCE_S, seed=1, index=len(DEVICES))
    assert again.success, again.message
    deployment.interrupt()
    assert deployment.wait(60.0) == 0, deployment.output()


def test_a_batch_that_an_unplugged_arm_ends_says_which_device_and_what_to_do(
    deploy, gentle_checkpoint, probe
):
    deployment = deploy(robot="emulated", checkpoint=gentle_checkpoint, episodes=5)
    safety = probe.listen(SafetyState, "safety/state", EPISODE_STATES)
    probe.wait_until(lambda: safety[-1].mode == SafetyState.ACTIVE, "the policy acts", PATIENCE_S)
    ask_devices(deployment.output(), "arm", do="faults", cut=True)
    assert deployment.wait(PATIENCE_S) == 1, deployment.output()
    # The gate holds for want of states long before libfranka, after 1 s, tells why there are none.
    stopped = deployment.report()["stopped"]
    assert "the gate holds: measured state on arm/joint_states is" in stopped
    assert "franka_node: connection to 127." in stopped
    assert "check the cable and that the robot is on" in stopped


def test_an_unplugged_camera_is_named_and_the_gate_holds(deploy, probe):
    pytest.importorskip("pyrealsense2", reason="an extra: requirements/extra-perception.txt")
    deployment = deploy(robot="emulated", observation="points", episodes=0)
    deployment.wait_for("waiting for episode/start", PATIENCE_S)
    safety = probe.listen(SafetyState, "safety/state", EPISODE_STATES)
    probe.listen(EpisodeState, "episode/state", EPISODE_STATES)

    def unplug() -> None:
        (pid,) = (pid for pid, command in deployment.processes().items() if "camera_process" in command)
        os.kill(pid, signal.SIGTERM)

    reason = abort_by(probe, 0, unplug)
    assert "the gate holds: no new action of the policy" in reason
    deployment.wait_for("the emulated camera's process has ended: the camera is unplugged", PATIENCE_S)
    deployment.wait_for("s: unplugged? looking for it", PATIENCE_S)
    modes = [message.mode for message in safety]
    after = modes[modes.index(SafetyState.HOLD) :]
    assert not {SafetyState.ARMED, SafetyState.ACTIVE} & set(after)
    deployment.interrupt()
    assert deployment.wait(60.0) == 0, deployment.output()


def test_values_that_cannot_be_used_are_refused_at_configure_with_what_is_allowed(
    deploy, gentle_checkpoint, tmp_path: Path
):
    params = tmp_path / "params.yaml"
    params.write_text(
        "/**/leap_node: {ros__parameters: {hand: allegro}}\n"
        "/**/franka_node: {ros__parameters: {translational_stiffness: 9000.0}}\n"
    )
    deployment = deploy(robot="emulated", checkpoint=gentle_checkpoint, params_file=params, episodes=1)
    # Nobody waits for drivers that cannot start.
    assert deployment.wait(PATIENCE_S) == 1, deployment.output()
    assert "known: leap_right" in deployment.output()
    assert "10.0 to 2000.0 N/m" in deployment.output()
    assert "all nodes are there" not in deployment.output()
    assert "still waiting" not in deployment.report()["stopped"]
