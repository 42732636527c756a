"""A machine beside this one: two network namespaces with a cable between them, one talks, the other listens.

    unshare -n python neighbour.py 10     what the other one says within 10 s: heard or nothing

Needs rights to make network namespaces. With an argument `talk` or `hear` it is the node.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

HERE, THERE = "10.99.0.1", "10.99.0.2"


def build() -> subprocess.Popen[bytes]:
    """Loopback, the other namespace, the cable; called in a namespace of our own."""
    other = subprocess.Popen(["unshare", "-n", "sleep", "120"])
    ours = Path("/proc/self/ns/net").readlink()
    while Path(f"/proc/{other.pid}/ns/net").readlink() == ours:
        time.sleep(0.02)
    within = ["nsenter", "-t", str(other.pid), "-n", "ip"]
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "link", "add", "here", "type", "veth", "peer", "name", "there"],
        ["ip", "link", "set", "there", "netns", str(other.pid)],
        ["ip", "addr", "add", f"{HERE}/24", "dev", "here"],
        ["ip", "link", "set", "here", "up"],
        [*within, "link", "set", "lo", "up"],
        [*within, "addr", "add", f"{THERE}/24", "dev", "there"],
        [*within, "link", "set", "there", "up"],
        ["ip", "route", "add", "default", "via", THERE],
        [*within, "route", "add", "default", "via", HERE],
    ):
        subprocess.run(command, check=True)
    return other


def node(kind: str, seconds: float) -> str:
    """Publish on policy/action, or say whether somebody does."""
    import rclpy

    from rfs_msgs.msg import PolicyAction

    rclpy.init()
    made = rclpy.create_node(f"neighbour_{kind}")
    heard: list[PolicyAction] = []
    if kind == "talk":
        publisher = made.create_publisher(PolicyAction, "policy/action", 10)
        made.create_timer(0.05, lambda: publisher.publish(PolicyAction()))
    else:
        made.create_subscription(PolicyAction, "policy/action", heard.append, 10)
    end = time.monotonic() + seconds
    while time.monotonic() < end and not heard:
        rclpy.spin_once(made, timeout_sec=0.05)
    return "heard" if heard or (kind == "hear" and made.count_publishers("policy/action")) else "nothing"


def main(seconds: float) -> str:
    """Build both, and listen."""
    other = build()
    enter = ["nsenter", "-t", str(other.pid), "-n", sys.executable, __file__, "talk", str(seconds + 60.0)]
    talker = subprocess.Popen(enter, stderr=subprocess.DEVNULL)
    try:
        # The talker needs a while to start; the listener begins when it is up.
        time.sleep(3.0)
        return node("hear", seconds)
    finally:
        for process in (talker, other):
            process.kill()
            process.wait()


if __name__ == "__main__":
    if sys.argv[1] in ("talk", "hear"):
        node(sys.argv[1], float(sys.argv[2]))
    else:
        print(main(float(sys.argv[1])), flush=True)
    os._exit(0)
