"""Entry points of nodes that end quietly on Ctrl-C while Python is still importing.

Importing torch or scipy takes seconds on a busy machine, and a signal in the middle of it ends in a traceback
of somebody else's module. Nothing has begun by then, so the process may simply end.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys


def run_main(module: str) -> None:
    """Import `module` and call its `main()`; a signal before that sets its handlers ends the process.

    Raises:
        SystemExit: with the exit code that `main()` returns, where it returns one that is not 0.
    """

    def end(signum: int, frame: object) -> None:
        os._exit(0)

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    if code := importlib.import_module(module).main():
        sys.exit(code)


def container() -> None:
    """`ros2 run rfs_ros container`"""
    run_main("rfs_ros.container")
