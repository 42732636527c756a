"""A lifecycle node for the tests: says which callbacks ran."""

import contextlib

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, State, TransitionCallbackReturn


class Life(LifecycleNode):
    def on_configure(self, state: State) -> TransitionCallbackReturn:
        print("configured", flush=True)
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: State) -> TransitionCallbackReturn:
        print("activated", flush=True)
        return super().on_activate(state)


def main() -> None:
    rclpy.init()
    node = Life("life")
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
