"""Fine-tune a base policy by imitation of recorded episodes, alone or together with simulation data.

    ros2 run rfs_learning bc_trainer --ros-args -p bags:=runs/corrections/bags \
        -p checkpoint:=checkpoints/grasp_base.safetensors -p run_dir:=runs/grasp_bc
    ros2 run rfs_learning bc_trainer --ros-args -p bags:=... -p checkpoint:=... -p run_dir:=runs/grasp_co \
        -p simulation:=demos.npz -p simulation_share:=0.5

Product, signals and resuming are as of `td3bc_trainer`. All parameters: `rfs_learning.offline.bc.BcConfig`.
"""

from __future__ import annotations

import sys

from rfs_learning.nodes.offline_node import OfflineTrainer
from rfs_learning.offline import bc
from rfs_learning.offline.runner import Factory
from rfs_ros.run import exit_with, run_node


class BcTrainer(OfflineTrainer):
    """Imitation."""

    name, config_type = "bc_trainer", bc.BcConfig

    def factory(self) -> Factory:
        """See `OfflineTrainer`."""
        return bc.make


def main() -> None:
    """Entry point of `ros2 run rfs_learning bc_trainer`."""
    exit_with(run_node(BcTrainer, sys.argv))
