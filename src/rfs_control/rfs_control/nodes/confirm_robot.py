"""Asks the person beside the robot, on a terminal, and tells robot_operator what was typed.

    ros2 run rfs_control confirm_robot

Shows the checklist, each line to be answered by y, then waits for the word. There is no option that answers
by itself, and input that is not a terminal is refused.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import rclpy
from rclpy.node import Node

from rfs_core.errors import RfsError
from rfs_msgs.srv import Confirm

_ANSWER_S = 30.0


class NotConfirmed(RfsError):
    """Nothing was confirmed."""


def ask(checklist: Sequence[str], expected: str, read: Callable[[str], str]) -> str:
    """The word as typed, after every line of the checklist was answered by y.

    Raises:
        NotConfirmed: a line was answered otherwise.
    """
    for number, line in enumerate(checklist, 1):
        if read(f"{number}. {line}? [y] ").strip().lower() != "y":
            raise NotConfirmed(f"not confirmed: {line}")
    return read(f"Type {expected} to go on: ").strip()


def talk(call: Callable[[str], Confirm.Response], read: Callable[[str], str]) -> str:
    """The conversation; what came of it."""
    answer = call("")
    if not answer.expected:
        return answer.message
    print(answer.message)
    answer = call(ask(answer.checklist, answer.expected, read))
    if not answer.success:
        raise NotConfirmed(answer.message)
    return answer.message


def _caller(node: Node) -> Callable[[str], Confirm.Response]:
    client = node.create_client(Confirm, "robot/confirm")
    if not client.wait_for_service(_ANSWER_S):
        raise NotConfirmed(
            "no service robot/confirm: is robot_operator running, in this ROS_DOMAIN_ID and namespace?"
        )

    def call(word: str) -> Confirm.Response:
        future = client.call_async(Confirm.Request(word=word))
        rclpy.spin_until_future_complete(node, future, timeout_sec=_ANSWER_S)
        if not future.done():
            raise NotConfirmed(f"robot_operator did not answer within {_ANSWER_S:g} s")
        return future.result()

    return call


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `ros2 run rfs_control confirm_robot`."""
    p = argparse.ArgumentParser(prog="confirm_robot", description=__doc__.splitlines()[0])
    p.add_argument("--namespace", default="", help="of the robot's nodes")
    arguments = p.parse_args(argv)
    if not sys.stdin.isatty():
        print("confirm_robot: a person answers on a terminal; this input is none", file=sys.stderr)
        return 1
    rclpy.init()
    node = rclpy.create_node("confirm_robot", namespace=arguments.namespace)
    try:
        print(talk(_caller(node), input))
    except (NotConfirmed, EOFError, KeyboardInterrupt) as error:
        print(f"confirm_robot: {error or 'nothing was confirmed'}", file=sys.stderr)
        return 1
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
