"""A node for the tests: publishes its parameters' values once a tick, and says what it does."""

import contextlib
import sys

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import SetBool


def run() -> None:
    rclpy.init()
    node = Node(
        "talker", allow_undeclared_parameters=True, automatically_declare_parameters_from_overrides=True
    )
    publisher = node.create_publisher(String, "chatter", 10)

    def answer(request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        response.success = request.data
        response.message = f"was asked for {request.data}"
        return response

    node.create_service(SetBool, "switch", answer)
    node.create_timer(0.05, lambda: publisher.publish(String(data="hello")))
    parameters = {name: p.value for name, p in sorted(node.get_parameters_by_prefix("").items())}
    print(f"arguments {sys.argv[1:]!r}", flush=True)
    print(f"node {node.get_fully_qualified_name()} parameters {parameters!r}", flush=True)
    rclpy.spin(node)


def main() -> None:
    # A signal just before it spins lets spin return at once, without an exception.
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        run()
    print("talker stops", flush=True)
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
