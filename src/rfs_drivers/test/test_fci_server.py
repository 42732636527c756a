"""The emulated FCI at its sockets, spoken to without the vendor's library."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

import numpy as np
import pytest

from rfs_core.robot import ARM_HOME
from rfs_drivers.emulated.fci_admin import AdminServer
from rfs_drivers.emulated.fci_process import EmulatedFci, free_address
from rfs_drivers.emulated.fci_protocol import COMMAND_DTYPE, HEADER, STATE_DTYPE, STATE_SIZE, Command
from rfs_drivers.emulated.fci_server import FciServer
from rfs_drivers.errors import EmulatorError


class RawClient:
    """Speaks FCI by hand."""

    def __init__(self, address: str, version: int = 10) -> None:
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.udp.settimeout(20.0)
        self.tcp = socket.create_connection((address, 1337), timeout=20.0)
        self._next = 0
        self.connected = self.ask(Command.CONNECT, struct.pack("<HH", version, self.udp.getsockname()[1]))

    def ask(self, command: Command, payload: bytes = b"") -> bytes:
        """Payload of the first reply."""
        self.tcp.sendall(HEADER.pack(command, self._next, HEADER.size + len(payload)) + payload)
        self._next += 1
        return self.reply(command, self._next - 1)

    def reply(self, command: Command, command_id: int) -> bytes:
        header = self._exactly(HEADER.size)
        got_command, got_id, size = HEADER.unpack(header)
        assert (got_command, got_id) == (command, command_id)
        return self._exactly(size - HEADER.size)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.tcp.recv(count - len(data))
            assert more, "the server closed the connection"
            data += more
        return data

    def state(self) -> np.void:
        packet, self.server = self.udp.recvfrom(2048)
        assert len(packet) == STATE_SIZE
        record: np.void = np.frombuffer(packet, dtype=STATE_DTYPE)[0]
        return record

    def close(self) -> None:
        self.tcp.close()
        self.udp.close()


MOVE_TORQUE = struct.pack("<II", 2, 4) + bytes(48 + 1 + 56)


@pytest.fixture(scope="module")
def emulated() -> Iterator[EmulatedFci]:
    with EmulatedFci() as robot:
        yield robot


@pytest.fixture
def robot(emulated: EmulatedFci) -> EmulatedFci:
    emulated("clear")
    return emulated


@pytest.fixture
def client(robot: EmulatedFci) -> Iterator[RawClient]:
    connection = RawClient(robot.address)
    yield connection
    connection.close()


def test_connecting_gives_status_and_version_then_states_one_millisecond_apart(client: RawClient) -> None:
    assert client.connected == struct.pack("<BH", 0, 10)
    ids = [int(client.state()["message_id"]) for _ in range(20)]
    assert ids == list(range(ids[0], ids[0] + 20))


def test_another_version_is_refused_with_the_servers(robot: EmulatedFci) -> None:
    client = RawClient(robot.address, version=9)
    assert client.connected == struct.pack("<BH", 1, 10)
    client.close()


def test_the_robot_sends_its_model(client: RawClient) -> None:
    payload = client.ask(Command.GET_ROBOT_MODEL)
    assert payload[:1] == b"\0"
    assert payload[1:].startswith(b"<?xml")
    assert payload.endswith(b"</robot>")


def test_a_motion_is_answered_twice_and_setters_are_refused_meanwhile(client: RawClient) -> None:
    move = client._next
    assert client.ask(Command.MOVE, MOVE_TORQUE) == b"\x01"
    state = client.state()
    while state["controller_mode"] != 2:
        state = client.state()
    assert client.ask(Command.SET_LOAD, bytes(104)) == b"\x01"
    command = np.zeros(1, dtype=COMMAND_DTYPE)
    command["torque_command_finished"] = 1
    command["message_id"] = state["message_id"]
    client.udp.sendto(command.tobytes(), client.server)
    assert client.reply(Command.MOVE, move) == b"\x00"
    assert client.ask(Command.SET_LOAD, bytes(104)) == b"\x00"


def test_the_state_with_the_reason_comes_before_the_reply_that_ends_a_motion(
    robot: EmulatedFci, client: RawClient
) -> None:
    move = client._next
    client.ask(Command.MOVE, MOVE_TORQUE)
    # States that came meanwhile fill the socket, and what does not fit is lost.
    client.udp.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            client.state()
    robot("reflex", error="joint_reflex")
    assert client.reply(Command.MOVE, move) == b"\x08"
    client.udp.setblocking(False)
    seen = []
    try:
        while True:
            seen.append(client.state())
    except BlockingIOError:
        pass
    assert any(state["errors"][6] and state["robot_mode"] == 4 for state in seen)
    client.udp.settimeout(20.0)
    assert client.ask(Command.AUTOMATIC_ERROR_RECOVERY) == b"\x00"


def test_stop_is_answered_while_idle_too(client: RawClient) -> None:
    assert client.ask(Command.STOP_MOVE) == b"\x00"


@pytest.mark.parametrize(
    "garbage",
    [
        HEADER.pack(99, 0, 12),
        HEADER.pack(Command.SET_LOAD, 0, 20) + bytes(8),
        HEADER.pack(0, 0, 3),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["unknown command", "wrong size", "size below the header", "another protocol"],
)
def test_a_client_that_does_not_speak_fci_is_dropped_and_the_robot_serves_on(
    robot: EmulatedFci, garbage: bytes
) -> None:
    with socket.create_connection((robot.address, 1337), timeout=20.0) as stranger:
        stranger.sendall(garbage)
        assert stranger.recv(64) == b""
    client = RawClient(robot.address)
    assert client.connected[:1] == b"\0"
    client.close()


def test_a_client_that_leaves_in_motion_leaves_the_robot_in_reflex(robot: EmulatedFci) -> None:
    client = RawClient(robot.address)
    client.ask(Command.MOVE, MOVE_TORQUE)
    client.close()
    while robot("status")["in_motion"]:
        pass
    assert robot("status")["mode"] == "REFLEX"
    successor = RawClient(robot.address)
    assert successor.state()["errors"][25]
    assert successor.ask(Command.AUTOMATIC_ERROR_RECOVERY) == b"\x00"
    successor.close()


@pytest.mark.parametrize(
    ("operation", "arguments", "expected"),
    [
        ("explode", {}, "unknown operation 'explode'; known: status, faults"),
        ("faults", {"drop_state": 1.0}, "unknown fault 'drop_state'; known: drop_states"),
        ("reflex", {"error": "pain"}, "unknown error 'pain'; known: joint_position_limits_violation"),
        ("place", {"q": [0.0] * 6}, "needs 7 finite numbers"),
        ("force", {"wrench": [float("nan")] * 6}, "needs 6 finite numbers"),
        ("faults", {"drop_next": float("inf")}, "drop_next is inf"),
        ("user_stop", {"pressed": "False"}, "pressed is 'False', needs true or false"),
        ("listen", {"on": "off"}, "on is 'off', needs true or false"),
        ("stall", {"seconds": float("inf")}, "seconds is inf, needs a number from 0 to 3600"),
    ],
)
def test_the_fault_interface_says_what_it_knows(
    robot: EmulatedFci, operation: str, arguments: dict[str, object], expected: str
) -> None:
    with pytest.raises(EmulatorError, match=expected):
        robot(operation, **arguments)
    assert robot("status")["mode"]


@pytest.mark.parametrize("line", [b"[" * 60_000, b"\xff", b"[]", b'{"do": []}', b'{"do": "overflow"}'])
def test_no_line_on_the_fault_interface_ends_the_emulator(line: bytes) -> None:
    def perform(operation: str, arguments: dict[str, object]) -> dict[str, object]:
        raise OverflowError("int too big to convert")

    admin = AdminServer("127.0.0.1", 0, perform)
    try:
        assert admin._answer(line)["ok"] is False
    finally:
        admin.close()


def test_clear_ends_every_fault(robot: EmulatedFci) -> None:
    robot("faults", drop_states=0.5, delay_commands_ms=5, mute=True, cut=True, version=7)
    robot("user_stop")
    robot("listen", on=False)
    robot("clear")
    status = robot("status")
    assert status["mode"] == "IDLE"
    assert status["faults"] == {
        "drop_states": 0.0,
        "drop_commands": 0.0,
        "drop_next": 0,
        "corrupt_states": 0.0,
        "delay_states_ms": 0,
        "delay_commands_ms": 0,
        "mute": False,
        "cut": False,
        "close_before_reply": False,
        "version": 10,
    }


def test_an_emulated_robot_is_served_on_loopback_only() -> None:
    with pytest.raises(EmulatorError, match="loopback only"):
        FciServer("0.0.0.0")


def test_two_robots_cannot_share_an_address(robot: EmulatedFci) -> None:
    with pytest.raises(EmulatorError, match=r"use another 127\.x\.y\.z"):
        FciServer(robot.address)


def test_several_robots_live_at_several_addresses() -> None:
    with EmulatedFci() as one, EmulatedFci(in_process=True) as other:
        assert one.address != other.address
        one("reflex")
        assert other("status")["mode"] == "IDLE"


def test_robot_time_is_dilated_not_skipped_at_a_lower_rate() -> None:
    with EmulatedFci("--rate", "200", address=free_address()) as slow:
        client = RawClient(slow.address)
        ids = [int(client.state()["message_id"]) for _ in range(20)]
        assert ids == list(range(ids[0], ids[0] + 20))
        client.close()


def test_reset_puts_everything_back_to_the_start(robot: EmulatedFci) -> None:
    robot("place", q=[0.3, -0.6, 0.1, -2.1, 0.1, 1.7, 0.6])
    robot("reflex")
    robot("faults", mute=True)
    robot("force", wrench=[1.0, 0, 0, 0, 0, 0])
    robot("reset")
    status = robot("status")
    assert status["mode"] == "IDLE"
    np.testing.assert_allclose(status["q"], ARM_HOME, atol=1e-9)
    assert status["clients"] == 0
    client = RawClient(robot.address)
    assert not client.state()["reflex_reason"].any()
    client.close()
