"""`ppo_trainer` without ROS, where an engine's environment has none.

    .venv-isaaclab/bin/rfs_train -p task:=grasp -p base_checkpoint:=checkpoints/grasp_base.safetensors \
        -p engine:=isaaclab -p num_envs:=4096 -p budget:=2000000 -p run_dir:=runs/grasp_isaaclab

Takes the parameters of `ros2 run rfs_learning ppo_trainer`, which starts this by itself for such an engine.
Ctrl-C ends it between two decisions; the same command with `-p resume:=true` goes on.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import yaml

from rfs_core.config import from_mapping
from rfs_core.errors import ConfigError, RfsError
from rfs_learning.rl.ppo_config import PpoTrainerConfig
from rfs_learning.rl.ppo_runner import PpoRunner


def settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Values by name of `name:=value`, read as YAML as ROS does.

    Raises:
        ConfigError: something else than such a pair.
    """
    values = {}
    for pair in pairs:
        name, found, text = pair.partition(":=")
        if not found or not name:
            raise ConfigError(f"-p {pair}: write -p name:=value, such as -p task:=grasp")
        values[name] = yaml.safe_load(text) if text else ""
    return values


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `rfs_train`."""
    given = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="rfs_train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-p", action="append", default=[], metavar="name:=value", help="a parameter")
    parser.add_argument("--ros-args", action="store_true", help="does nothing: the node's arguments will do")
    arguments = parser.parse_args(given)
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    try:
        config = from_mapping(PpoTrainerConfig, settings(arguments.p))
        runner = PpoRunner(config, shlex.join(["rfs_train", *given]))
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
        try:
            while not runner.done and not stopping:
                runner.advance()
        finally:
            runner.close()
    except RfsError as error:
        print(f"rfs_train: {error}", file=sys.stderr)
        sys.exit(1)
    at = f"control step {runner.counters.step}, best success {runner.counters.best_success:.3f}"
    print(f"{at}: {runner.best_path}" if runner.done else f"{at}; continue with -p resume:=true")


if __name__ == "__main__":
    main()
