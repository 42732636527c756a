"""Train the flow base policy on demonstrations.

    ros2 run rfs_learning base_trainer --ros-args -p demonstrations:=demos.npz -p run_dir:=runs/base

SIGINT and SIGTERM end it between two gradient steps, with a checkpoint and everything that the same command
with `-p resume:=true` needs. All parameters: `rfs_learning.base_runner.BaseTrainerConfig`.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from rclpy.node import Node

from rfs_learning.base_runner import BaseRunner, BaseTrainerConfig
from rfs_ros import params
from rfs_ros.run import exit_with, run_node

_SLICE_STEPS = 10
"""Gradient steps between two looks at signals; about 0.1 s."""


class BaseTrainer(Node):  # type: ignore[misc]
    """Drives a `BaseRunner` from a timer, so that signals are seen between gradient steps."""

    def __init__(self) -> None:
        super().__init__("base_trainer")
        self._runner: BaseRunner | None = None
        config = params.declare(self, BaseTrainerConfig)
        command = shlex.join(["ros2", "run", "rfs_learning", "base_trainer", *sys.argv[1:]])
        self._runner = BaseRunner(config, command)
        self._saved_at = -1
        demos = self._runner.demos
        self.get_logger().info(
            f"{demos.episodes} demonstrations of {demos.task}, {len(demos.observation)} steps; "
            f"{'resuming' if config.resume else 'starting'} at step {self._runner.step} of {config.steps} "
            f"in {config.run_dir}"
        )
        self.create_timer(0.0, self._train)

    def _train(self) -> None:
        assert self._runner is not None
        self._runner.advance(_SLICE_STEPS)
        if self._runner.done:
            path = self._runner.finish()
            self._say_saved(path)
            raise SystemExit(0)

    def _say_saved(self, path: Path) -> None:
        assert self._runner is not None
        self._saved_at = self._runner.step
        self._runner.close()
        self.get_logger().info(f"step {self._runner.step}: {path}")

    def destroy_node(self) -> None:
        """Save where training was interrupted."""
        if self._runner is not None and self._saved_at != self._runner.step:
            if self._runner.whole:
                self._say_saved(self._runner.save())
                self.get_logger().info("interrupted; continue with -p resume:=true")
            else:  # a NaN, or a second signal
                self._runner.close()
                self.get_logger().warn(
                    "ended within a gradient step, which is not saved; "
                    "-p resume:=true continues from the last checkpoint"
                )
        super().destroy_node()


def main() -> None:
    """Entry point of `ros2 run rfs_learning base_trainer`."""
    exit_with(run_node(BaseTrainer, sys.argv))
