"""Start and end of every node process: one way in, one clean way out."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from rfs_core.errors import RfsError

_SIGNAL_LATENCY_S = 0.1


def run_node(make_node: Callable[[], Node], argv: Sequence[str] | None = None) -> int:
    """`run_nodes` with one node."""
    return run_nodes([make_node], argv)


def run_nodes(make_nodes: Sequence[Callable[[], Node]], argv: Sequence[str] | None = None) -> int:
    """Create nodes, spin them in one thread until SIGINT, SIGTERM or the end of one, destroy them, and return
    the exit code.

    A signal ends the loop after the callback that is running, so that no callback is cut in half; a second
    one interrupts it. Both are a normal end: exit code 0. A node ends by itself by raising SystemExit(code)
    in a callback. An `RfsError` is printed as one sentence, without a traceback: exit code 1. Anything else
    is a defect and keeps its traceback.

    `destroy_node` is always called, in the opposite order, so a node that holds files closes them there.
    """
    # Our own handlers: rclpy's would shut the context down before nodes could say goodbye.
    rclpy.init(args=list(argv) if argv is not None else None, signal_handler_options=SignalHandlerOptions.NO)
    stopping = False

    def stop(signum: int, frame: object) -> None:
        nonlocal stopping
        if stopping or len(nodes) < len(make_nodes):
            raise KeyboardInterrupt
        stopping = True

    nodes: list[Node] = []
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    executor = SingleThreadedExecutor()
    code = 0
    try:
        for make_node in make_nodes:
            nodes.append(make_node())
            executor.add_node(nodes[-1])
        while not stopping and rclpy.ok():
            # Waiting happens outside the interpreter, where our handlers cannot run: wake up to look.
            executor.spin_once(timeout_sec=_SIGNAL_LATENCY_S)
    except (KeyboardInterrupt, ExternalShutdownException):
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except RfsError as error:
        (nodes[-1].get_logger() if nodes else get_logger("rfs")).fatal(str(error))
        code = 1
    finally:
        # Another Ctrl-C must not cut the clean-up short; launch escalates to SIGKILL anyway.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for node in reversed(nodes):
            executor.remove_node(node)
            node.destroy_node()
        executor.shutdown(timeout_sec=1.0)
        rclpy.try_shutdown()
    return code


def exit_with(code: int) -> None:
    """End the process with `code` after flushing; for the `main` of a node."""
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)
