"""The sockets of the emulated FCI: one thread, one select loop, no locks.

Each cycle waits for its deadline (or, in lock-step, for the client's command), advances the robot by 1 ms of
its own time, sends the state, then the TCP replies that follow from it. A slow machine stretches robot time;
it never makes up for lost cycles by a burst.
"""

from __future__ import annotations

import random
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rfs_core.errors import RfsError
from rfs_drivers.emulated import fci_model
from rfs_drivers.emulated.fci_admin import AdminServer
from rfs_drivers.emulated.fci_protocol import (
    COMMAND_SIZE,
    CONNECT_REPLY,
    CONNECT_REQUEST,
    MOVE_MODES,
    PAYLOAD_SIZE,
    SETTERS,
    STATE_SIZE,
    TCP_PORT,
    VERSION,
    Command,
    ConnectStatus,
    MoveStatus,
    Request,
    RobotMode,
    SetterStatus,
    reply,
    take_requests,
)
from rfs_drivers.emulated.fci_robot import FciRobot, MotionEnd, parse_command
from rfs_drivers.errors import EmulatorError


@dataclass
class Faults:
    """What is wrong with robot and network now; all off by default."""

    drop_states: float = 0.0
    """Probability that a state is lost."""
    drop_commands: float = 0.0
    """Probability that a command is lost."""
    drop_next: int = 0
    """So many of the next commands of a motion are lost, one after the other; counts down."""
    corrupt_states: float = 0.0
    """Probability that a state arrives with a wrong size."""
    delay_states_ms: int = 0
    """Robot time by which states are late."""
    delay_commands_ms: int = 0
    """Robot time by which commands are late."""
    mute: bool = False
    """Connections are accepted, but nothing is ever answered or sent."""
    cut: bool = False
    """The cable: no packet passes in either direction; connections stay as they are."""
    close_before_reply: bool = False
    """Every new connection is closed instead of answered."""
    version: int = VERSION
    """FCI version that the server claims."""


@dataclass
class Counters:
    """What happened since the start."""

    states_sent: int = 0
    commands_received: int = 0
    clients: int = 0
    clients_replaced: int = 0
    """Connections that a newer one pushed out: 0 unless two clients want the same robot."""
    motions: int = 0
    motions_finished: int = 0
    """Of them, those that the client ended as planned: neither aborted nor preempted."""
    late_cycles: int = 0
    """Cycles that began later than one period after they were due."""


@dataclass
class _Client:
    connection: socket.socket
    peer: str
    buffer: bytearray = field(default_factory=bytearray)
    state_address: tuple[str, int] | None = None


class FciServer:
    """A robot at 127.x.y.z:1337."""

    def __init__(
        self,
        address: str,
        make_robot: Callable[[], FciRobot] = FciRobot,
        *,
        rate_hz: float = 1000.0,
        lockstep_s: float = 0.05,
        admin_port: int = 0,
        seed: int = 0,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        """
        Args:
            address: loopback address, 127.x.y.z; one per robot, as the port is fixed.
            make_robot: makes the robot behind it, now and at every reset.
            rate_hz: states per second of wall time. Every state is 1 ms of robot time, so less than 1000
                dilates time.
            lockstep_s: how long a cycle of a motion waits for the command that answers the last state, wall
                time; 0: never.
            admin_port: TCP port of the fault interface on the same address; 0: any free one.
            seed: of the fault interface's dice.
            log: told why a motion was aborted, in one line, in the thread that serves.

        Raises:
            EmulatorError: the address is not a loopback address, or is taken.
        """
        if not address.startswith("127."):
            raise EmulatorError(
                f"address {address!r}: an emulated robot is served on loopback only, use 127.x.y.z"
            )
        if rate_hz <= 0.0 or lockstep_s < 0.0:
            raise EmulatorError(f"rate {rate_hz} Hz must be > 0 and lock-step {lockstep_s} s must be >= 0")
        self.address = address
        self._make_robot = make_robot
        self.robot = make_robot()
        self.faults = Faults()
        self.counters = Counters()
        self._log = log
        self._period = 1.0 / rate_hz
        self._lockstep_s = lockstep_s
        self._random = random.Random(seed)
        self._client: _Client | None = None
        self._mute_clients: list[socket.socket] = []
        self._states: deque[tuple[int, bytes]] = deque()
        self._commands: deque[tuple[int, bytes]] = deque()
        self._replies: list[tuple[Command, int, bytes]] = []
        self._stall_s = 0.0
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._stop = threading.Event()
        self._urdf = fci_model.urdf().encode()
        self._listener: socket.socket | None = None
        self._listen()
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind((address, 0))
        self._udp.setblocking(False)
        self.admin = AdminServer(address, admin_port, self._administer)

    # ---- running -------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until `stop`."""
        due = time.monotonic()
        try:
            while not self._stop.is_set():
                due = self._cycle(due)
        finally:
            self._close()

    def stop(self) -> None:
        """End `run`, from any thread."""
        self._stop.set()

    def start_thread(self) -> threading.Thread:
        """Run in a thread of this process; end it with `stop` and join."""
        thread = threading.Thread(target=self.run, name=f"fci {self.address}", daemon=True)
        thread.start()
        return thread

    def call(self, function: Callable[[], Any]) -> Future[Any]:
        """Run a function between two cycles, in the thread that serves; may be called from any thread.

        Whoever asks gets its RfsError; anything else it raises is a defect and ends the server.
        """
        future: Future[Any] = Future()
        self._calls.append((function, future))
        return future

    def _carry_out_calls(self) -> None:
        while self._calls:
            function, future = self._calls.popleft()
            try:
                future.set_result(function())
            except RfsError as error:
                future.set_exception(error)

    def _cycle(self, due: float) -> float:
        """One state; returns when the next is due."""
        self._wait(due)
        self._carry_out_calls()
        command = self._newest_command()
        if self._lockstep_s > 0.0 and command is None and self._may_wait():
            patience = time.monotonic() + self._lockstep_s
            while command is None and self._may_wait() and time.monotonic() < patience:
                self._poll(patience - time.monotonic())
                command = self._newest_command()
        now = time.monotonic()
        if now > due + self._period:
            self.counters.late_cycles += 1
        self.note_end(self.robot.step(command))
        self._send_state()
        # After the state: the client takes the reason of an abort from the newest state it has.
        replies, self._replies = self._replies, []
        for command_of_reply, command_id, payload in replies:
            self._reply(command_of_reply, command_id, payload)
        if self._stall_s > 0.0:
            time.sleep(self._stall_s)
            self._stall_s = 0.0
        return max(due + self._period, time.monotonic())

    def _may_wait(self) -> bool:
        faults = self.faults
        connected = self._client is not None and not (faults.cut or faults.mute)
        lossless = (
            faults.drop_states == faults.drop_commands == faults.corrupt_states == faults.drop_next == 0
        )
        immediate = faults.delay_states_ms == faults.delay_commands_ms == 0
        return self.robot.expects_command and connected and lossless and immediate and not self._stop.is_set()

    def _wait(self, due: float) -> None:
        while True:
            remaining = due - time.monotonic()
            self._poll(max(remaining, 0.0))
            if remaining <= 0.0 or self._stop.is_set():
                return

    def _poll(self, timeout: float) -> None:
        """Handle what arrives within `timeout`; returns after the first batch."""
        faults = self.faults
        sockets: list[socket.socket] = [*self.admin.sockets]
        if self._listener is not None and not faults.cut:
            sockets.append(self._listener)
        if self._client is not None and not (faults.cut or faults.mute):
            sockets.append(self._client.connection)
        if self.robot.in_motion:
            sockets.append(self._udp)
        readable, _, _ = select.select(sockets, [], [], timeout)
        if not readable:
            return
        for ready in readable:
            if ready is self._udp:
                self._receive_commands()
            elif ready is self._listener:
                self._accept()
            elif self._client is not None and ready is self._client.connection:
                self._receive_requests(self._client)
            elif ready in self.admin.sockets:
                self.admin.handle(ready)

    # ---- connections ---------------------------------------------------------------------------------

    def _listen(self) -> None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.address, TCP_PORT))
        except OSError as error:
            listener.close()
            raise EmulatorError(
                f"{self.address}:{TCP_PORT}: {error}; another emulated robot there? use another 127.x.y.z"
            ) from error
        listener.listen(8)
        self._listener = listener

    def _accept(self) -> None:
        assert self._listener is not None
        connection, (peer, _) = self._listener.accept()
        if self.faults.close_before_reply:
            connection.close()
            return
        if self.faults.mute:
            self._mute_clients.append(connection)
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        if self._client is not None:
            # What a real robot does with a second client is not known; here the newer one wins.
            self.counters.clients_replaced += not _has_ended(self._client.connection)
            self._drop_client()
        self._client = _Client(connection, peer)
        self.counters.clients += 1

    def _drop_client(self) -> None:
        if self._client is not None:
            self._client.connection.close()
            self._client = None
        self._states.clear()
        self._commands.clear()
        self._replies.clear()
        if self.robot.in_motion:
            # The robot notices a lost client; its motion ends as for lost commands, with nobody to tell.
            self.robot.reflex("communication_constraints_violation")

    def _receive_requests(self, client: _Client) -> None:
        try:
            data = client.connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop_client()
            return
        client.buffer += data
        try:
            requests = take_requests(client.buffer)
        except ValueError:
            self._drop_client()
            return
        for request in requests:
            self._serve(client, request)
            if self._client is not client:
                return

    def _reply(self, command: int, command_id: int, payload: bytes) -> None:
        if self._client is None or self.faults.cut or self.faults.mute:
            return
        try:
            self._client.connection.sendall(reply(command, command_id, payload))
        except OSError:
            self._drop_client()

    def _serve(self, client: _Client, request: Request) -> None:
        command, command_id, payload = request
        try:
            known = Command(command)
        except ValueError:
            self._drop_client()
            return
        if len(payload) != PAYLOAD_SIZE[known]:
            self._drop_client()
            return
        robot = self.robot
        if known is Command.CONNECT:
            version, port = CONNECT_REQUEST.unpack(payload)
            fits = version == self.faults.version
            status = ConnectStatus.SUCCESS if fits else ConnectStatus.INCOMPATIBLE_VERSION
            self._reply(known, command_id, CONNECT_REPLY.pack(status, self.faults.version))
            if fits:
                client.state_address = (client.peer, port)
        elif known is Command.GET_ROBOT_MODEL:
            self._reply(known, command_id, b"\0" + self._urdf)
        elif known is Command.MOVE:
            controller, generator = MOVE_MODES.unpack_from(payload)
            status_of_move = robot.move(command_id, controller, generator)
            if status_of_move is MoveStatus.MOTION_STARTED:
                self.counters.motions += 1
                self._discard_commands()
            self._reply(known, command_id, bytes([status_of_move]))
        elif known is Command.STOP_MOVE:
            self.note_end(robot.stop())
            self._reply(known, command_id, b"\0")
        elif known is Command.AUTOMATIC_ERROR_RECOVERY:
            self._replies.append((known, command_id, bytes([robot.recover()])))
        elif known in SETTERS:
            self._reply(known, command_id, bytes([self._set(known, payload)]))

    def _set(self, command: Command, payload: bytes) -> SetterStatus:
        if self.robot.mode is RobotMode.MOVE:
            return SetterStatus.NOT_POSSIBLE
        if command is Command.SET_COLLISION_BEHAVIOR:
            return self.robot.set_collision_behavior(payload)
        if command is Command.SET_NE_TO_EE:
            return self.robot.set_end_effector(payload)
        if command is Command.SET_EE_TO_K:
            return self.robot.set_stiffness_frame(payload)
        if command is Command.SET_LOAD:
            return self.robot.set_load(payload)
        # The internal controllers' impedances and guiding: accepted, without effect on the emulated arm.
        return SetterStatus.SUCCESS

    # ---- UDP -----------------------------------------------------------------------------------------

    def _receive_commands(self) -> None:
        while True:
            try:
                packet = self._udp.recv(COMMAND_SIZE + 64)
            except BlockingIOError:
                return
            except OSError:
                # A former client's port is gone; the network says so on the next receive.
                continue
            self.counters.commands_received += 1
            faults = self.faults
            if faults.cut or faults.mute or self._lost(faults.drop_commands):
                continue
            if faults.drop_next > 0 and self.robot.in_motion:
                faults.drop_next -= 1
                continue
            self._commands.append((self.robot.time_ms + faults.delay_commands_ms, packet))

    def _discard_commands(self) -> None:
        self._receive_commands()
        self._commands.clear()

    def _newest_command(self) -> np.void | None:
        if self.robot.in_motion:
            self._receive_commands()
        newest: np.void | None = None
        while self._commands and self._commands[0][0] <= self.robot.time_ms:
            command = parse_command(self._commands.popleft()[1])
            if command is not None:
                newest = command
        return newest

    def _send_state(self) -> None:
        faults = self.faults
        if self._client is None or self._client.state_address is None or faults.cut or faults.mute:
            self._states.clear()
            return
        packet = self.robot.state_bytes()
        if self._lost(faults.corrupt_states):
            packet = packet[: STATE_SIZE // 2]
        if not self._lost(faults.drop_states):
            self._states.append((self.robot.time_ms + faults.delay_states_ms, packet))
        while self._states and self._states[0][0] <= self.robot.time_ms:
            try:
                self._udp.sendto(self._states.popleft()[1], self._client.state_address)
            except OSError:
                continue
            self.counters.states_sent += 1

    def _lost(self, probability: float) -> bool:
        return probability > 0.0 and self._random.random() < probability

    # ---- fault interface -----------------------------------------------------------------------------

    def _administer(self, operation: str, arguments: dict[str, object]) -> dict[str, object]:
        """One request of the fault interface; see `fci_admin` for the operations."""
        from rfs_drivers.emulated.fci_admin import perform

        return perform(self, operation, arguments)

    def reset(self) -> None:
        """Everything as at the start: no client, no fault, the arm where it was, robot time 0."""
        self._drop_client()
        self.set_faults(vars(Faults()))
        self.set_listening(True)
        self.robot = self._make_robot()
        self.counters = Counters()

    def close_connections(self) -> None:
        """Close the client's TCP connection."""
        self._drop_client()

    def set_listening(self, listening: bool) -> None:
        """Whether anything listens on port 1337; closing it closes the connection too."""
        if listening and self._listener is None:
            self._listen()
        elif not listening and self._listener is not None:
            self._listener.close()
            self._listener = None
            self._drop_client()

    def stall(self, seconds: float) -> None:
        """Do nothing at all for a while of wall time, after this cycle."""
        self._stall_s = seconds

    def set_faults(self, changes: dict[str, object]) -> None:
        """Set fields of `Faults` by name; ending mute closes the connections it collected."""
        for name, value in changes.items():
            if name not in Faults.__dataclass_fields__:
                raise EmulatorError(
                    f"unknown fault {name!r}; known: {', '.join(Faults.__dataclass_fields__)}"
                )
            kind = type(getattr(self.faults, name))
            setattr(self.faults, name, kind(value))  # type: ignore[call-arg]
        if not self.faults.mute:
            for connection in self._mute_clients:
                connection.close()
            self._mute_clients.clear()

    def note_end(self, end: MotionEnd | None) -> None:
        """A motion ended: the client is told after the next state."""
        if end is not None:
            self.counters.motions_finished += end.status is MoveStatus.SUCCESS
            if end.status is MoveStatus.REFLEX_ABORTED:
                self._log(f"the arm's motion is aborted: {self.robot.why}")
            self._replies.append((Command.MOVE, end.motion_id, bytes([end.status])))

    def _close(self) -> None:
        self.admin.close()
        for connection in self._mute_clients:
            connection.close()
        if self._client is not None:
            self._client.connection.close()
        if self._listener is not None:
            self._listener.close()
        self._udp.close()


_TCP_CLOSE_WAIT = 8
"""State of a connection whose peer has closed it; linux/tcp_states.h."""


def _has_ended(connection: socket.socket) -> bool:
    """Whether the peer has closed a connection, even if something of it is left to read."""
    try:
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] >= _TCP_CLOSE_WAIT
    except OSError:
        return True
