"""The node of every offline trainer: parameters in, a run driven from a timer, saved when it is
interrupted."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import ClassVar

from rclpy.node import Node

from rfs_learning.offline.config import OfflineConfig
from rfs_learning.offline.runner import Factory, OfflineRunner
from rfs_ros import params

_SLICE_UPDATES = 10
"""Updates between two looks at signals; about 0.2 s."""


class OfflineTrainer(Node):  # type: ignore[misc]
    """Drives an `OfflineRunner` from a timer, so that signals are seen between updates."""

    name: ClassVar[str]
    config_type: ClassVar[type[OfflineConfig]]

    def __init__(self) -> None:
        super().__init__(self.name)
        self._runner: OfflineRunner | None = None
        config = params.declare(self, self.config_type)
        command = shlex.join(["ros2", "run", "rfs_learning", self.name, *sys.argv[1:]])
        log = self.get_logger()
        self._runner = OfflineRunner(config, self.factory(), command, log.info)
        for doubt in self._runner.doubts:
            log.warn(doubt)
        log.info(
            f"{'resuming' if config.resume else 'starting'} at update {self._runner.step} of "
            f"{config.steps} in "
            f"{config.run_dir}"
        )
        self._saved_at = -1
        self.create_timer(0.0, self._train)

    def factory(self) -> Factory:
        """What makes the algorithm."""
        raise TypeError(f"{type(self).__name__} must say what it trains")

    def _train(self) -> None:
        assert self._runner is not None
        self._runner.advance(_SLICE_UPDATES)
        if self._runner.done:
            self._say_saved(self._runner.finish())
            raise SystemExit(0)

    def _say_saved(self, path: Path) -> None:
        assert self._runner is not None
        self._saved_at = self._runner.step
        self._runner.close()
        self.get_logger().info(f"update {self._runner.step}: {path}")

    def destroy_node(self) -> None:
        """Save where training was interrupted."""
        runner = self._runner
        if runner is not None and self._saved_at != runner.step:
            if runner.whole:
                self._say_saved(runner.save())
                self.get_logger().info("interrupted; continue with -p resume:=true")
            else:  # a NaN, or a second signal
                runner.close()
                self.get_logger().warn(
                    "ended within an update, which is not saved; -p resume:=true continues from the last "
                    "checkpoint"
                )
        super().destroy_node()
