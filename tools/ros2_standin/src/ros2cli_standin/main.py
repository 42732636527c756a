"""Entry point of the `ros2` command: `ros2 <command> ...`.

Commands are imported only when asked for, so that `ros2 launch` does not pay for rclpy.
"""

import argparse
import importlib
import os
import signal
import sys

from .nearest import CommandError, unknown

COMMANDS = {
    "bag": "Information about bags, and playing them",
    "interface": "Messages and services",
    "launch": "Run a launch file",
    "lifecycle": "States of lifecycle nodes",
    "node": "Running nodes",
    "param": "Parameters of running nodes",
    "pkg": "Installed packages",
    "run": "Run an executable of a package",
    "service": "Services of running nodes",
    "topic": "Topics",
}


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        return _dispatch(argv)
    except CommandError as error:
        print(f"ros2: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # `ros2 topic echo ... | head`: the reader has enough. Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: ros2 <command> ...\n\nThe stand-in for ROS 2's command. Commands:")
        for name, text in COMMANDS.items():
            print(f"  {name:<10} {text}")
        return 0
    name, *rest = argv
    if name not in COMMANDS:
        raise CommandError(unknown("command", name, COMMANDS))
    module = importlib.import_module(f".commands.{name}", __package__)
    parser = argparse.ArgumentParser(prog=f"ros2 {name}", description=COMMANDS[name] + ".")
    module.add_arguments(parser)
    if name == "run":  # what follows the executable belongs to it, whatever it looks like
        return module.main(parser, rest)
    if name == "launch":  # options may stand between the arguments; it takes care of signals itself
        return module.main(parser.parse_intermixed_args(rest))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return module.main(parser.parse_args(rest))


if __name__ == "__main__":
    sys.exit(main())
