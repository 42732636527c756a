"""Train a Residual Flow Steering policy on top of a frozen base policy by PPO.

    ros2 run rfs_learning ppo_trainer --ros-args -p task:=grasp \
        -p base_checkpoint:=checkpoints/grasp_base.safetensors -p modulation:=both -p budget:=2000000 \
        -p seed:=0 -p run_dir:=runs/grasp_rfs

The product is RUN_DIR/checkpoints/best.safetensors, which `evaluate` and `deploy.launch.py` run as it is.
SIGINT and SIGTERM end it between two decisions; the same command with `-p resume:=true` goes on from the last
complete iteration, bit for bit. All parameters: `rfs_learning.rl.ppo_config.PpoTrainerConfig`.
"""

from __future__ import annotations

import shlex
import sys

from rclpy.node import Node

from rfs_core.errors import RfsError
from rfs_learning import elsewhere
from rfs_learning.rl.ppo_config import PpoTrainerConfig
from rfs_learning.rl.ppo_runner import PpoRunner
from rfs_ros import params
from rfs_ros.run import exit_with, run_node


class PpoTrainer(Node):  # type: ignore[misc]
    """Drives a `PpoRunner` from a timer, so that signals are seen between decisions."""

    def __init__(self) -> None:
        super().__init__("ppo_trainer")
        self._runner: PpoRunner | None = None
        config = params.declare(self, PpoTrainerConfig)
        command = shlex.join(["ros2", "run", "rfs_learning", "ppo_trainer", *sys.argv[1:]])
        self._runner = runner = PpoRunner(config, command)
        self.get_logger().info(
            f"{config.modulation} over {config.over} on {config.task}: z has {runner.layout.size} values "
            f"{runner.layout.groups}; {'resuming' if config.resume else 'starting'} at control step "
            f"{runner.counters.step} of {config.budget} in {config.run_dir}"
        )
        self.create_timer(0.0, self._train)

    def _train(self) -> None:
        assert self._runner is not None
        self._runner.advance()
        if self._runner.done:
            raise SystemExit(0)

    def destroy_node(self) -> None:
        """Say where the run was left; its last complete iteration is on disk."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            runner.close()
            at = f"control step {runner.counters.step}, best success {runner.counters.best_success:.3f}"
            if runner.done:
                self.get_logger().info(f"{at}: {runner.best_path}")
            else:
                self.get_logger().info(f"{at}; continue with -p resume:=true")
        super().destroy_node()


def main() -> None:
    """Entry point of `ros2 run rfs_learning ppo_trainer`."""
    try:
        # An engine may live where ROS does not.
        elsewhere.go(elsewhere.parameter(sys.argv, "engine", "mujoco"), "rfs_learning.rl.train", sys.argv[1:])
    except RfsError as error:
        print(f"ppo_trainer: {error}", file=sys.stderr)
        exit_with(1)
    exit_with(run_node(PpoTrainer, sys.argv))


if __name__ == "__main__":
    main()
