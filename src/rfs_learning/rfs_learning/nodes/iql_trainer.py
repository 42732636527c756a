"""Train a policy by implicit Q-learning on recorded episodes; with extract:=best_of_n, only a critic to
choose a_0.

    ros2 run rfs_learning iql_trainer --ros-args -p bags:=runs/corrections/bags \
        -p checkpoint:=checkpoints/grasp_base.safetensors -p run_dir:=runs/grasp_iql
    ros2 run rfs_learning iql_trainer --ros-args -p bags:=... -p checkpoint:=... -p run_dir:=runs/grasp_best \
        -p extract:=best_of_n -p candidates:=32

Product, signals and resuming are as of `td3bc_trainer`. All parameters: `rfs_learning.offline.iql.IqlConfig`.
"""

from __future__ import annotations

import sys

from rfs_learning.nodes.offline_node import OfflineTrainer
from rfs_learning.offline import iql
from rfs_learning.offline.runner import Factory
from rfs_ros.run import exit_with, run_node


class IqlTrainer(OfflineTrainer):
    """Implicit Q-learning."""

    name, config_type = "iql_trainer", iql.IqlConfig

    def factory(self) -> Factory:
        """See `OfflineTrainer`."""
        return iql.make


def main() -> None:
    """Entry point of `ros2 run rfs_learning iql_trainer`."""
    exit_with(run_node(IqlTrainer, sys.argv))
