"""Distil a steered policy into one that sees a point cloud (or the state) and itself.

    ros2 run rfs_learning distill_trainer --ros-args -p teacher:=checkpoints/grasp_rfs.safetensors \
        -p run_dir:=runs/grasp_points -p name:=grasp_points
    ros2 run rfs_learning distill_trainer --ros-args -p teacher:=checkpoints/grasp_rfs.safetensors \
        -p run_dir:=runs/grasp_student_state -p observation:=state

SIGINT and SIGTERM end it between two gradient steps or batches of episodes, with everything that the same
command with `-p resume:=true` needs. All parameters: `rfs_learning.distill.config.DistillConfig`.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from rclpy.node import Node

from rfs_learning.distill.config import DistillConfig
from rfs_learning.distill.runner import DistillRunner
from rfs_ros import params
from rfs_ros.run import exit_with, run_node

_SLICE_STEPS = 5
"""Gradient steps between two looks at signals; about half a second."""


class DistillTrainer(Node):  # type: ignore[misc]
    """Drives a `DistillRunner` from a timer, so that signals are seen between its steps."""

    def __init__(self) -> None:
        super().__init__("distill_trainer")
        self._runner: DistillRunner | None = None
        config = params.declare(self, DistillConfig)
        command = shlex.join(["ros2", "run", "rfs_learning", "distill_trainer", *sys.argv[1:]])
        self._runner = DistillRunner(config, command)
        self._saved_at = -1
        self.get_logger().info(
            f"teacher {self._runner.collector.teacher.checkpoint_id}; {self._runner.doing}; "
            f"in {config.run_dir}"
        )
        self.create_timer(0.0, self._work)
        self.create_timer(10.0, lambda: self.get_logger().info(self._told()))

    def _work(self) -> None:
        assert self._runner is not None
        if self._runner.done:
            self._say_saved(self._runner.finish())
            raise SystemExit(0)
        self._runner.advance(_SLICE_STEPS)

    def _told(self) -> str:
        assert self._runner is not None
        rows = self._runner.folder.metrics()
        losses = (
            f", loss {rows[-1]['loss']:.4f}, validation {rows[-1]['validation_loss']:.4f}" if rows else ""
        )
        return f"{self._runner.doing}{losses}"

    def _say_saved(self, path: Path) -> None:
        assert self._runner is not None
        self._saved_at = self._runner.step
        self._runner.close()
        self.get_logger().info(f"step {self._runner.step}: {path}")

    def destroy_node(self) -> None:
        """Save where training was interrupted."""
        runner = self._runner
        if runner is not None and self._saved_at != runner.step:
            if runner.step == 0:
                runner.close()
                self.get_logger().info("interrupted while collecting; continue with -p resume:=true")
            elif runner.whole:
                self._say_saved(runner.save())
                self.get_logger().info("interrupted; continue with -p resume:=true")
            else:  # a NaN, or a second signal
                runner.close()
                self.get_logger().warn(
                    "ended within a gradient step, which is not saved; "
                    "-p resume:=true continues from the last checkpoint"
                )
        super().destroy_node()


def main() -> None:
    """Entry point of `ros2 run rfs_learning distill_trainer`."""
    exit_with(run_node(DistillTrainer, sys.argv))
