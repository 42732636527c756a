"""Asks arm, hand and camera what they are, without moving anything, and prints the answers as JSON.

    ros2 run rfs_drivers probe_hardware --robot-file config/robot/fr3_leap.yaml

`ros2 run rfs_control doctor` calls it and judges. Nothing else may be connected meanwhile: a robot serves one
client, a bus one program. Answers that are not known are null, with the reason beside.
"""

from __future__ import annotations

import argparse
import difflib
import json
import socket
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from rfs_core.config import from_mapping
from rfs_core.errors import ConfigError, RfsError
from rfs_drivers import leap_table, xl330
from rfs_drivers.errors import DriverError
from rfs_drivers.franka_config import FrankaConfig
from rfs_drivers.leap_config import LeapConfig
from rfs_drivers.servo_bus import ServoBus, latency_timer

FCI_PORT = 1337
CLIENT_VERSION = 10
"""FCI version that the client library of the driver speaks (franky-control 2.0.0, libfranka 0.21.2)."""

_HEADER = struct.Struct("<III")
_CONNECT = struct.Struct("<HH")
_ANSWER = struct.Struct("<BH")
_CONNECT_COMMAND = 0
_NODES = ("franka_node", "leap_node")
_CONNECT_STATUSES = (0, 1)
"""Success, incompatible version."""


def read_robot_file(path: Path) -> tuple[FrankaConfig, LeapConfig]:
    """The drivers' configurations of a robot file.

    Raises:
        ConfigError: the file cannot be read, or a value of it cannot be used; says which are allowed.
    """
    try:
        blocks = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"robot file {path} cannot be read: {error}") from error
    if not isinstance(blocks, dict):
        raise ConfigError(f"robot file {path} is not a mapping of node names to parameters")
    for name in blocks:
        node = str(name).rpartition("/")[2]
        meant = difflib.get_close_matches(node, _NODES, 1, 0.85)
        if meant and meant[0] != node:
            raise ConfigError(f"robot file {path} has parameters for {name}: did you mean /**/{meant[0]}?")
    found: list[Any] = []
    for node, cls in zip(_NODES, (FrankaConfig, LeapConfig), strict=True):
        values: dict[str, Any] = {}
        for name, block in blocks.items():
            if str(name).rpartition("/")[2] == node and isinstance(block, dict):
                values = _nested(block.get("ros__parameters") or {})
        try:
            config = from_mapping(cls, values)
            config.check()
        except ConfigError as error:
            raise ConfigError(f"robot file {path}, {node}: {error}") from error
        found.append(config)
    return found[0], found[1]


def _nested(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters named outer.inner as mappings in mappings."""
    nested: dict[str, Any] = {}
    for name, value in parameters.items():
        *outer, last = str(name).split(".")
        inner = nested
        for key in outer:
            inner = inner.setdefault(key, {})
        inner[last] = value
    return nested


def probe_arm(address: str, timeout: float = 2.0, port: int = FCI_PORT) -> dict[str, Any]:
    """Connects as a client would, asks for the version, and leaves.

    Returns:
        server_version: FCI version of the robot; null where it could not be had.
        connect_ms: time that connecting took.
        problem: why something is null; empty otherwise.
    """
    answer: dict[str, Any] = {"server_version": None, "connect_ms": None, "problem": ""}
    began = time.monotonic()
    try:
        with (
            socket.create_connection((address, port), timeout=timeout) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            answer["connect_ms"] = round((time.monotonic() - began) * 1e3, 3)
            udp.bind(("", 0))
            body = _CONNECT.pack(CLIENT_VERSION, udp.getsockname()[1])
            tcp.sendall(_HEADER.pack(_CONNECT_COMMAND, 0, _HEADER.size + len(body)) + body)
            data = b""
            while len(data) < _HEADER.size + _ANSWER.size:
                more = tcp.recv(64)
                if not more:
                    raise OSError("the robot closed the connection: is another client connected?")
                data += more
            answer["server_version"] = _version(data)
    except OSError as error:
        answer["problem"] = f"{address}:{port}: {error}"
    return answer


def _version(reply: bytes) -> int:
    """Version in a reply to Connect.

    Raises:
        OSError: it is not the reply of a robot.
    """
    command, command_id, size = _HEADER.unpack_from(reply)
    status, version = _ANSWER.unpack_from(reply, _HEADER.size)
    expected = (_CONNECT_COMMAND, 0, _HEADER.size + _ANSWER.size)
    if (command, command_id, size) != expected or status not in _CONNECT_STATUSES:
        raise OSError(
            f"what answers there is not a robot (it said {reply[:12]!r}): is the address right, and nothing "
            "such as a proxy in between?"
        )
    return int(version)


def probe_hand(config: LeapConfig) -> dict[str, Any]:
    """Pings all servos and reads errors, voltages and temperatures.

    Returns:
        missing: joints whose servos do not answer; null where the port could not be opened.
        errors: joint to hardware error; volts, celsius: joint to value.
        latency_ms: the port's latency timer; null where it has none.
        problem: why something is null; empty otherwise.
    """
    answer: dict[str, Any] = {
        "missing": None, "errors": {}, "volts": {}, "celsius": {},
        "latency_ms": latency_timer(config.port), "problem": "",
    }  # fmt: skip
    try:
        bus = ServoBus(config.port, config.baud_rate, config.reply_timeout)
    except DriverError as error:
        answer["problem"] = str(error)
        return answer
    try:
        there = [joint for joint in leap_table.JOINTS if bus.ping(joint.motor) is not None]
        answer["missing"] = [str(joint) for joint in leap_table.JOINTS if joint not in there]
        for joint in there:
            error = bus.read(joint.motor, xl330.HARDWARE_ERROR)
            if error:
                answer["errors"][joint.name] = xl330.HardwareError(error).describe()
            answer["volts"][joint.name] = round(
                bus.read(joint.motor, xl330.INPUT_VOLTAGE) * xl330.VOLTAGE_UNIT, 2
            )
            answer["celsius"][joint.name] = bus.read(joint.motor, xl330.TEMPERATURE)
    except DriverError as error:
        answer["problem"] = str(error)
    finally:
        bus.close()
    return answer


def probe_camera(serial: str = "") -> dict[str, Any]:
    """Looks for RealSense cameras and how they are plugged in.

    Returns:
        cameras: serial number to USB type, such as "3.2"; null where it could not be looked for.
        problem: why; empty otherwise.
    """
    try:
        import pyrealsense2 as rs
    except ImportError as error:
        return {"cameras": None, "problem": f"pyrealsense2 is not installed ({error})"}
    found = {}
    try:
        for device in rs.context().query_devices():
            number = device.get_info(rs.camera_info.serial_number)
            if serial in ("", number):
                usb = rs.camera_info.usb_type_descriptor
                found[number] = device.get_info(usb) if device.supports(usb) else ""
    except RuntimeError as error:
        return {"cameras": None, "problem": str(error)}
    return {"cameras": found, "problem": ""}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    p = argparse.ArgumentParser(prog="probe_hardware", description=__doc__.splitlines()[0])
    p.add_argument("--robot-file", type=Path, required=True, help="YAML file of config/robot")
    p.add_argument("--no-arm", action="store_true", help="leave the arm out")
    p.add_argument("--no-hand", action="store_true", help="leave the hand out")
    p.add_argument("--no-camera", action="store_true", help="leave the camera out")
    arguments = p.parse_args(argv)
    answers: dict[str, Any] = {"robot_file": str(arguments.robot_file), "problem": ""}
    try:
        arm, hand = read_robot_file(arguments.robot_file)
    except RfsError as error:
        answers["problem"] = str(error)
    else:
        answers["address"], answers["port"] = arm.address, hand.port
        answers["client_version"] = CLIENT_VERSION
        if not arguments.no_arm:
            answers["arm"] = probe_arm(arm.address)
        if not arguments.no_hand:
            answers["hand"] = probe_hand(hand)
        if not arguments.no_camera:
            answers["camera"] = probe_camera()
    print(json.dumps(answers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
