"""The improvement loop, unattended: collect corrected episodes, train, load, measure; round after round.

    ros2 launch rfs_bringup improve.launch.py rounds:=2

The deployment runs on through all rounds: checkpoints are swapped between episodes. Training and measuring
are commands in processes of their own, whose output is kept in the run folder.

Subscribes: episode/state, /diagnostics (the recorder's)
Calls:      episode/start, policy/load_checkpoint
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rich.console import Console

from rfs_control import improvement
from rfs_control.improvement import ImproveConfig, Round
from rfs_core.errors import RfsError
from rfs_msgs.msg import EpisodeState
from rfs_msgs.srv import LoadCheckpoint, StartEpisode
from rfs_ros import params
from rfs_ros.qos import EPISODE_STATES, RELIABLE
from rfs_ros.run import exit_with, run_node

_TICK_S = 0.05
_RETRY_S = 0.5
_END_S = 3.0
"""A child that was interrupted has this long to save itself."""

Until = Generator[Callable[[], bool], None, None]
"""Work that yields what it waits for."""


class ImproveNode(Node):
    """Runs `_rounds`, which waits by yielding conditions."""

    def __init__(self, **options: Any) -> None:
        """Args: options: of rclpy's Node, such as parameter_overrides."""
        super().__init__("improve", **options)
        self.config = params.declare(self, ImproveConfig)
        improvement.refuse_used_folder(self.config)
        Path(self.config.run_dir).mkdir(parents=True, exist_ok=True)
        self.rounds: list[Round] = []
        self._episode: EpisodeState | None = None
        self._recorded = ""
        self._child: subprocess.Popen[bytes] | None = None
        self._start = self.create_client(StartEpisode, "episode/start")
        self._load = self.create_client(LoadCheckpoint, "policy/load_checkpoint")
        self.create_subscription(EpisodeState, "episode/state", self._on_episode, EPISODE_STATES)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, RELIABLE)
        self._work = self._rounds()
        self._ready: Callable[[], bool] = lambda: True
        self.create_timer(_TICK_S, self._on_tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # What is done, in order

    def _rounds(self) -> Until:
        config, log = self.config, self.get_logger()
        yield from self._measure(Path(config.checkpoint), 0)
        for number in range(1, config.rounds + 1):
            log.info(f"round {number} of {config.rounds}: {config.episodes} episodes with corrections")
            won = 0
            first = (number - 1) * config.episodes
            for index in range(first, first + config.episodes):
                yield from self._play(index)
                won += self._episode is not None and self._episode.outcome == EpisodeState.OUTCOME_SUCCESS
            log.info(f"round {number}: {won} of {config.episodes} succeeded; training")
            yield from self._run(improvement.training_command(config, number), f"train_{number}")
            trained = improvement.trained_checkpoint(config, number)
            yield from self._swap(trained)
            yield from self._measure(trained, number, number * config.episodes, won)
        Console(width=120).print(improvement.table(config, self.rounds))
        log.info(f"written: {improvement.figures_file(config)}")

    def _play(self, index: int) -> Until:
        """One episode, until its bag is on the disk."""
        request = StartEpisode.Request(seed=self.config.seed, index=index)
        yield self._within(self._start.service_is_ready, "the service episode/start")
        deadline = time.monotonic() + self.config.service_timeout_s
        while True:
            answer = self._start.call_async(request)
            yield self._within(answer.done, "an answer of episode/start")
            reply = answer.result()
            if reply.success:
                break
            if time.monotonic() > deadline:
                raise RfsError(f"episode {index} was not started: {reply.message}")
            yield _pause()
        yield self._within(lambda: self._is_over(reply.id), f"the end of episode {reply.id}")
        assert self._episode is not None
        if self._episode.outcome == EpisodeState.OUTCOME_ABORTED:
            self.get_logger().warning(f"episode {index} was aborted: {self._episode.reason}")
        yield self._within(lambda: self._recorded == reply.id, f"the bag of episode {reply.id}")

    def _swap(self, checkpoint: Path) -> Until:
        """The policy goes on with another checkpoint; nothing is restarted."""
        deadline = time.monotonic() + self.config.service_timeout_s
        while True:
            answer = self._load.call_async(LoadCheckpoint.Request(path=str(checkpoint.absolute())))
            yield self._within(answer.done, "an answer of policy/load_checkpoint")
            reply = answer.result()
            if reply.success:
                self.get_logger().info(f"the policy is {reply.checkpoint_id} now")
                return
            if time.monotonic() > deadline or "episode" not in reply.message:
                raise RfsError(f"the new checkpoint was not loaded: {reply.message}")
            yield _pause()  # the last episode is not over for the policy yet

    def _measure(self, checkpoint: Path, number: int, collected: int = 0, won: int = 0) -> Until:
        """Success without corrections; the figures are on the disk after every round."""
        command = improvement.evaluation_command(self.config, checkpoint, number)
        yield from self._run(command, f"evaluate_{number}")
        name, success = improvement.read_evaluation(improvement.evaluation_file(self.config, number))
        self.rounds.append(Round(number, name, success, collected, won))
        improvement.write_figures(self.config, self.rounds)
        self.get_logger().info(f"round {number}: success {success:.3f} without corrections, {name}")

    def _run(self, command: list[str], name: str) -> Until:
        """A command in a process of its own, whose output goes to a file."""
        path = improvement.log_file(self.config, name)
        with path.open("wb") as file:
            self._child = child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
            )
        yield lambda: child.poll() is not None
        self._child = None
        if child.returncode:
            last = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise RfsError(f"{command[3]} ended with exit code {child.returncode} ({path}): {' '.join(last)}")

    # Waiting

    def _on_tick(self) -> None:
        if not self._ready():
            return
        try:
            self._ready = next(self._work)
        except StopIteration:
            raise SystemExit(0) from None

    def _within(self, condition: Callable[[], bool], what: str) -> Callable[[], bool]:
        """The condition; an error once it has been awaited for too long."""
        timeout_s = self.config.service_timeout_s
        deadline = time.monotonic() + timeout_s

        def ready() -> bool:
            if condition():
                return True
            if time.monotonic() > deadline:
                raise RfsError(f"after {timeout_s:g} s still waiting for {what}: are all nodes alive?")
            return False

        return ready

    def _is_over(self, episode: str) -> bool:
        state = self._episode
        return state is not None and state.id == episode and state.phase == EpisodeState.PHASE_FINISHED

    def _on_episode(self, message: EpisodeState) -> None:
        if message.phase == EpisodeState.PHASE_FINISHED:
            self._episode = message

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            name = status.name.partition(":")[0].rpartition("/")[2]
            if name == "recorder_node":
                values = {pair.key: pair.value for pair in status.values}
                self._recorded = values.get("finished_episode", "")

    def destroy_node(self) -> None:
        """End the command that is running, then the node."""
        child = self._child
        if child is not None and child.poll() is None:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(_END_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        super().destroy_node()


def _pause() -> Callable[[], bool]:
    until_s = time.monotonic() + _RETRY_S
    return lambda: time.monotonic() > until_s


def main() -> None:
    """Entry point."""
    exit_with(run_node(ImproveNode))
