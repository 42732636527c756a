"""First thing the `ros2` command executes.

Ctrl-C while modules are being imported ends the command at once and quietly: nothing was started yet, and a
KeyboardInterrupt in the middle of an import would come out as an ImportError or a traceback.
"""

import os
import signal

signal.signal(signal.SIGINT, lambda number, frame: os._exit(0))


def main() -> int:
    """Run the command line; its exit code."""
    from .main import main

    return main()
