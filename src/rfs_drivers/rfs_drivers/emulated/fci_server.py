"""The server of the emulated FCI: one thread, one select loop, no locks.

Each cycle waits for its deadline (or, in lock-step, for the client's command), advances the robot by 1 ms of
its own time, sends the state, then the TCP replies that follow from it. A slow machine stretches robot time;
it never makes up for lost cycles by a burst. The sockets are those of `fci_clients` and `fci_datagrams`.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np

from rfs_core.errors import RfsError
from rfs_drivers.emulated import fci_model
from rfs_drivers.emulated.fci_admin import AdminServer
from rfs_drivers.emulated.fci_clients import Clients
from rfs_drivers.emulated.fci_datagrams import Datagrams
from rfs_drivers.emulated.fci_faults import Counters, Faults
from rfs_drivers.emulated.fci_protocol import (
    CONNECT_REPLY,
    CONNECT_REQUEST,
    MOVE_MODES,
    PAYLOAD_SIZE,
    SETTERS,
    Command,
    ConnectStatus,
    MoveStatus,
    Request,
    RobotMode,
    SetterStatus,
)
from rfs_drivers.emulated.fci_robot import FciRobot, MotionEnd
from rfs_drivers.errors import EmulatorError


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
        self._replies: list[tuple[Command, int, bytes]] = []
        self._stall_s = 0.0
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._stop = threading.Event()
        self._urdf = fci_model.urdf().encode()
        self._clients = Clients(address, self.faults, self.counters, self._dropped)
        self._datagrams = Datagrams(address, self.faults, self.counters, seed)
        try:
            self.admin = AdminServer(address, admin_port, self._administer)
        except EmulatorError:
            self._clients.close()
            self._datagrams.close()
            raise

    # ---- running -------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until `stop`."""
        due = time.monotonic()
        try:
            while not self._stop.is_set():
                due = self._cycle(due)
        finally:
            self.close()

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
            self._clients.reply(command_of_reply, command_id, payload)
        if self._stall_s > 0.0:
            time.sleep(self._stall_s)
            self._stall_s = 0.0
        return max(due + self._period, time.monotonic())

    def _may_wait(self) -> bool:
        waits = self.robot.expects_command and self._clients.connection is not None
        return waits and self.faults.prompt and not self._stop.is_set()

    def _wait(self, due: float) -> None:
        while True:
            remaining = due - time.monotonic()
            self._poll(max(remaining, 0.0))
            if remaining <= 0.0 or self._stop.is_set():
                return

    def _poll(self, timeout: float) -> None:
        """Handle what arrives within `timeout`; returns after the first batch."""
        sockets: list[socket.socket] = [*self.admin.sockets]
        clients = self._clients
        if clients.listener is not None and not self.faults.cut:
            sockets.append(clients.listener)
        if clients.connection is not None and not self.faults.silent:
            sockets.append(clients.connection)
        if self.robot.in_motion:
            sockets.append(self._datagrams.socket)
        readable, _, _ = select.select(sockets, [], [], timeout)
        if not readable:
            return
        for ready in readable:
            if ready is self._datagrams.socket:
                self._receive_commands()
            elif ready is clients.listener:
                clients.accept()
            elif ready is clients.connection:
                clients.receive(self._serve)
            elif ready in self.admin.sockets:
                self.admin.handle(ready)

    # ---- what the client asks ------------------------------------------------------------------------

    def _dropped(self) -> None:
        """There is no client any more."""
        self._datagrams.forget_states()
        self._datagrams.forget_commands()
        self._replies.clear()
        if self.robot.in_motion:
            # The robot notices a lost client; its motion ends as for lost commands, with nobody to tell.
            self.robot.reflex("communication_constraints_violation")

    def _serve(self, request: Request) -> None:
        command, command_id, payload = request
        try:
            known = Command(command)
        except ValueError:
            self._clients.drop()
            return
        if len(payload) != PAYLOAD_SIZE[known]:
            self._clients.drop()
            return
        robot = self.robot
        if known is Command.CONNECT:
            version, port = CONNECT_REQUEST.unpack(payload)
            fits = version == self.faults.version
            status = ConnectStatus.SUCCESS if fits else ConnectStatus.INCOMPATIBLE_VERSION
            self._clients.reply(known, command_id, CONNECT_REPLY.pack(status, self.faults.version))
            if fits:
                self._clients.send_states_to(port)
        elif known is Command.GET_ROBOT_MODEL:
            self._clients.reply(known, command_id, b"\0" + self._urdf)
        elif known is Command.MOVE:
            controller, generator = MOVE_MODES.unpack_from(payload)
            status_of_move = robot.move(command_id, controller, generator)
            if status_of_move is MoveStatus.MOTION_STARTED:
                self.counters.motions += 1
                self._receive_commands()
                self._datagrams.forget_commands()
            self._clients.reply(known, command_id, bytes([status_of_move]))
        elif known is Command.STOP_MOVE:
            self.note_end(robot.stop())
            self._clients.reply(known, command_id, b"\0")
        elif known is Command.AUTOMATIC_ERROR_RECOVERY:
            self._replies.append((known, command_id, bytes([robot.recover()])))
        elif known in SETTERS:
            self._clients.reply(known, command_id, bytes([self._set(known, payload)]))

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

    # ---- commands and states -------------------------------------------------------------------------

    def _receive_commands(self) -> None:
        self._datagrams.receive(self.robot.time_ms, self.robot.in_motion)

    def _newest_command(self) -> np.void | None:
        if self.robot.in_motion:
            self._receive_commands()
        return self._datagrams.newest_command(self.robot.time_ms)

    def _send_state(self) -> None:
        to = self._clients.state_address
        if to is None or self.faults.silent:
            self._datagrams.forget_states()
        else:
            self._datagrams.send(self.robot.state_bytes(), self.robot.time_ms, to)

    # ---- fault interface -----------------------------------------------------------------------------

    def _administer(self, operation: str, arguments: dict[str, object]) -> dict[str, object]:
        """One request of the fault interface; see `fci_admin` for the operations."""
        from rfs_drivers.emulated.fci_admin import perform

        return perform(self, operation, arguments)

    def reset(self) -> None:
        """A robot as at the start: no client, no fault, nothing pushes; arm and time are `make_robot`'s."""
        self._clients.drop()
        self.set_faults(vars(Faults()))
        self.set_listening(True)
        self.robot.body.push(np.zeros(6))
        self.robot = self._make_robot()
        self.counters.clear()

    def close_connections(self) -> None:
        """Close the client's TCP connection."""
        self._clients.drop()

    def set_listening(self, listening: bool) -> None:
        """Whether anything listens on port 1337; closing it closes the connection too."""
        self._clients.listen(listening)

    def stall(self, seconds: float) -> None:
        """Do nothing at all for a while of wall time, after this cycle."""
        self._stall_s = seconds

    def set_faults(self, changes: dict[str, object]) -> None:
        """Set fields of `Faults` by name; ending mute closes the connections it collected."""
        self.faults.change(changes)
        if not self.faults.mute:
            self._clients.close_unanswered()

    def note_end(self, end: MotionEnd | None) -> None:
        """A motion ended: the client is told after the next state."""
        if end is not None:
            self.counters.motions_finished += end.status is MoveStatus.SUCCESS
            if end.status is MoveStatus.REFLEX_ABORTED:
                self._log(f"the arm's motion is aborted: {self.robot.why}")
            self._replies.append((Command.MOVE, end.motion_id, bytes([end.status])))

    def close(self) -> None:
        """Close every socket; `run` does so at its end."""
        self.admin.close()
        self._clients.close()
        self._datagrams.close()
