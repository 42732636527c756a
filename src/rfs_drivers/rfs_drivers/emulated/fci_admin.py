"""Fault interface of the emulated FCI: one JSON object per line over a loopback TCP socket.

    {"do": "status"}
    {"do": "faults", "drop_commands": 0.3}          any field of fci_faults.Faults; "clear" resets all
    {"do": "reflex", "error": "cartesian_reflex"}   any name of fci_protocol.ERROR_NAMES
    {"do": "user_stop", "pressed": true}
    {"do": "force", "wrench": [0, 0, 60, 0, 0, 0]}  on the flange, base frame, N and Nm, until changed
    {"do": "stall", "seconds": 1.5}
    {"do": "close"}                                 the client's connection
    {"do": "listen", "on": false}                   as if the robot's controller were off
    {"do": "place", "q": [..7]}                     put the arm at rest elsewhere
    {"do": "reset"}                                 a robot as at the start, nothing pushes; one that moves a
                                                    world of others stands where it stood, its time goes on

Every request is answered by one line, {"ok": true, ...} or {"ok": false, "error": "..."}.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from rfs_core.errors import RfsError
from rfs_drivers.emulated.fault_values import number, switch
from rfs_drivers.emulated.fci_protocol import ERROR_NAMES, RobotMode
from rfs_drivers.errors import EmulatorError

if TYPE_CHECKING:
    from rfs_drivers.emulated.fci_server import FciServer

OPERATIONS = (
    "status",
    "faults",
    "clear",
    "reflex",
    "user_stop",
    "force",
    "stall",
    "close",
    "listen",
    "place",
    "reset",
)

_LINE_LIMIT = 65536


class AdminServer:
    """Serves the fault interface inside the emulator's loop."""

    def __init__(
        self, address: str, port: int, perform: Callable[[str, dict[str, object]], dict[str, object]]
    ) -> None:
        """
        Raises:
            EmulatorError: the port is taken.
        """
        self._perform = perform
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind((address, port))
            self._listener.listen(4)
        except OSError as error:
            self._listener.close()
            raise EmulatorError(
                f"the fault interface cannot have {address}:{port} ({error}): choose another admin_port"
            ) from error
        self.port: int = self._listener.getsockname()[1]
        self._buffers: dict[socket.socket, bytearray] = {}
        self.sockets: list[socket.socket] = [self._listener]

    def handle(self, ready: socket.socket) -> None:
        """Accept a connection, or answer the complete lines of one."""
        if ready is self._listener:
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._buffers[connection] = bytearray()
            self.sockets.append(connection)
            return
        buffer = self._buffers[ready]
        try:
            data = ready.recv(_LINE_LIMIT)
        except OSError:
            data = b""
        buffer += data
        if not data or len(buffer) > _LINE_LIMIT:
            self._drop(ready)
            return
        while (end := buffer.find(b"\n")) >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            answer = json.dumps(self._answer(line)).encode() + b"\n"
            try:
                ready.sendall(answer)
            except OSError:
                self._drop(ready)
                return

    def close(self) -> None:
        """Close every socket."""
        for open_socket in self.sockets:
            open_socket.close()
        self.sockets.clear()

    def _drop(self, connection: socket.socket) -> None:
        connection.close()
        self.sockets.remove(connection)
        del self._buffers[connection]

    def _answer(self, line: bytes) -> dict[str, object]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict) or not isinstance(request.get("do"), str):
                raise EmulatorError(f'a request is {{"do": ...}}; known: {", ".join(OPERATIONS)}')
            operation = request.pop("do")
            return {"ok": True, **self._perform(operation, request)}
        except (RfsError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
            return {"ok": False, "error": f"{type(error).__name__}: {error}"}


def perform(server: FciServer, operation: str, arguments: dict[str, Any]) -> dict[str, object]:
    """Carry out one operation on a server, in its thread."""
    robot = server.robot
    if operation == "status":
        return {
            "time_ms": robot.time_ms,
            "mode": RobotMode(robot.mode).name,
            "in_motion": robot.in_motion,
            "q": robot.body.q.tolist(),
            "dq": robot.body.dq.tolist(),
            "missed": robot.missed,
            "applied": robot.applied,
            "load_mass": robot.load_mass,
            "force_threshold": robot.force_threshold,
            **asdict(server.counters),
            "faults": asdict(server.faults),
        }
    if operation == "faults":
        server.set_faults(arguments)
    elif operation == "clear":
        defaults = type(server.faults)()
        server.set_faults({field.name: getattr(defaults, field.name) for field in fields(defaults)})
        server.set_listening(True)
        robot.body.push(np.zeros(6))
        robot.user_stop(False)
    elif operation == "reset":
        server.reset()
    elif operation == "reflex":
        error = arguments.get("error", "cartesian_reflex")
        if error not in ERROR_NAMES:
            raise EmulatorError(f"unknown error {error!r}; known: {', '.join(ERROR_NAMES)}")
        server.note_end(robot.reflex(error))
    elif operation == "user_stop":
        server.note_end(robot.user_stop(switch("pressed", arguments.get("pressed", True))))
    elif operation == "force":
        robot.body.push(_vector(arguments["wrench"], 6))
    elif operation == "stall":
        server.stall(number("seconds", arguments["seconds"], 0.0, 3600.0))
    elif operation == "close":
        server.close_connections()
    elif operation == "listen":
        server.set_listening(switch("on", arguments["on"]))
    elif operation == "place":
        if robot.in_motion:
            raise EmulatorError("the arm is in motion: it cannot be placed")
        robot.place(_vector(arguments["q"], 7))
    else:
        raise EmulatorError(f"unknown operation {operation!r}; known: {', '.join(OPERATIONS)}")
    return {}


def _vector(values: Any, length: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    vector = np.asarray(values, dtype=np.float64)
    if vector.shape != (length,) or not np.all(np.isfinite(vector)):
        raise EmulatorError(f"needs {length} finite numbers, got {values!r}")
    return vector


class AdminClient:
    """Speaks to an emulator's fault interface; usable as a context manager."""

    def __init__(self, address: str, port: int, timeout_s: float = 10.0) -> None:
        self._socket = socket.create_connection((address, port), timeout=timeout_s)
        self._file = self._socket.makefile("rwb")

    def __call__(self, operation: str, **arguments: object) -> dict[str, Any]:
        """Send one request and return the answer.

        Raises:
            EmulatorError: the emulator refused, or is gone.
        """
        self._file.write(json.dumps({"do": operation, **arguments}).encode() + b"\n")
        self._file.flush()
        line = self._file.readline()
        if not line:
            raise EmulatorError("the emulator closed its fault interface")
        answer: dict[str, Any] = json.loads(line)
        if not answer.pop("ok"):
            raise EmulatorError(str(answer["error"]))
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._socket.close()

    def __enter__(self) -> AdminClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
