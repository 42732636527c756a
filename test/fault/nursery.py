"""Starts a node over and over in processes of its own, as fast as a fork: for tests that kill it often.

    python nursery.py rfs_control.nodes.policy_node:PolicyNode

Imports the node's module once. For every line on standard input, a JSON list of arguments, it forks a child
that runs the node with them as a process of its own would, and prints the child's pid. A lifecycle node is
configured and activated. It ends at the end of its input; children live on.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

LEASE_XML = """<?xml version="1.0" encoding="UTF-8" ?>
<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
  <participant profile_name="short_lease" is_default_profile="true">
    <rtps><builtin><discovery_config>
      <leaseDuration><sec>{lease}</sec></leaseDuration>
      <leaseAnnouncement><sec>1</sec></leaseAnnouncement>
    </discovery_config></builtin></rtps>
  </participant>
</profiles>
"""
"""The others forget a process that was killed after its lease: 20 s, unless it says so."""


class Nursery:
    """The parent's side; a context manager. `start` returns the pid of a new process."""

    def __init__(self, node: str, folder: Path, environment: dict[str, str], lease_s: int = 4) -> None:
        self._node = node
        profile = folder / f"lease_{node.rpartition(':')[2]}.xml"
        profile.write_text(LEASE_XML.format(lease=lease_s))
        self._log = (folder / f"nursery_{node.rpartition(':')[2]}.txt").open("w")
        self._environment = {**os.environ, **environment, "FASTRTPS_DEFAULT_PROFILES_FILE": str(profile)}
        self.pids: list[int] = []

    def __enter__(self) -> Nursery:
        self._process = subprocess.Popen(
            [sys.executable, __file__, self._node],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=self._environment,
            text=True,
        )
        return self

    def start(self, *arguments: str) -> int:
        """A new process of the node."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the nursery ended with {self._process.wait()}: {Path(self._log.name).read_text()}"
        self.pids.append(int(line))
        return self.pids[-1]

    def __exit__(self, *_: Any) -> None:
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20.0)
        self._log.close()


def _serve(node: str) -> None:
    module, _, name = node.partition(":")
    make = getattr(importlib.import_module(module), name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    for line in sys.stdin:
        arguments = json.loads(line)
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os._exit(_run(make, [name, *arguments]))
        print(pid, flush=True)


def _run(make: Any, arguments: list[str]) -> int:
    from rclpy.lifecycle import LifecycleNode

    from rfs_ros.run import run_node

    def made() -> Any:
        node = make()
        if isinstance(node, LifecycleNode):
            node.trigger_configure()
            node.trigger_activate()
        return node

    assert threading.active_count() == 1
    return run_node(made, arguments)


if __name__ == "__main__":
    _serve(sys.argv[1])
