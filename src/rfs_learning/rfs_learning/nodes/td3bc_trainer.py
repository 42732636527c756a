"""Train offline RFS (TD3+BC over noise and residual) on recorded episodes.

    ros2 run rfs_learning td3bc_trainer --ros-args -p bags:=runs/corrections/bags \
        -p checkpoint:=checkpoints/grasp_base.safetensors -p run_dir:=runs/grasp_offline

The product is RUN_DIR/checkpoints/policy.safetensors, which `evaluate`, `deploy.launch.py` and the service
`policy/load_checkpoint` run as it is. SIGINT and SIGTERM end it between two updates; the same command with
`-p resume:=true` goes on, bit for bit. All parameters: `rfs_learning.offline.td3bc.Td3BcConfig`.
"""

from __future__ import annotations

import sys

from rfs_learning.nodes.offline_node import OfflineTrainer
from rfs_learning.offline import td3bc
from rfs_learning.offline.runner import Factory
from rfs_ros.run import exit_with, run_node


class Td3BcTrainer(OfflineTrainer):
    """Offline RFS."""

    name, config_type = "td3bc_trainer", td3bc.Td3BcConfig

    def factory(self) -> Factory:
        """See `OfflineTrainer`."""
        return td3bc.make


def main() -> None:
    """Entry point of `ros2 run rfs_learning td3bc_trainer`."""
    exit_with(run_node(Td3BcTrainer, sys.argv))
