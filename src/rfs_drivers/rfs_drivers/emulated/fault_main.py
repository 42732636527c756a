"""One operation of an emulated device's fault interface, from the command line.

    ros2 run rfs_drivers fault 127.0.0.2:33067 reflex error=joint_reflex
    ros2 run rfs_drivers fault 127.0.0.2:33068 unplug
    ros2 run rfs_drivers fault 127.0.0.2:33068 status

Where the interfaces are, the emulated robot says when it starts. Values are read as JSON where they are.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from rfs_drivers.emulated.fci_admin import AdminClient
from rfs_drivers.errors import EmulatorError


def value_of(text: str) -> Any:
    """A value as typed."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    p = argparse.ArgumentParser(prog="fault", description=__doc__.splitlines()[0])
    p.add_argument("where", help="ADDRESS:PORT of the fault interface")
    p.add_argument("operation", help="such as status, faults, clear, reflex, unplug, missing")
    p.add_argument("arguments", nargs="*", metavar="NAME=VALUE", help="of the operation")
    given = p.parse_args(argv)
    address, _, port = given.where.rpartition(":")
    pairs = [argument.partition("=") for argument in given.arguments]
    if not address or not port.isdigit() or not all(name and equals for name, equals, _ in pairs):
        p.error("needs ADDRESS:PORT, then the operation, then NAME=VALUE pairs")
    try:
        with AdminClient(address, int(port)) as device:
            answer = device(given.operation, **{name: value_of(value) for name, _, value in pairs})
    except ConnectionRefusedError:
        print(
            f"fault: nothing listens at {given.where}; whoever emulates the device says where when it starts "
            "(faults: port ...)",
            file=sys.stderr,
        )
        return 1
    except (EmulatorError, OSError) as error:
        print(f"fault: {given.where}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
