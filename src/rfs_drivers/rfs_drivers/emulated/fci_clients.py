"""Port 1337 of the emulated robot: one client that is served, and those that a fault leaves unanswered."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from rfs_drivers.emulated.fci_faults import Counters, Faults
from rfs_drivers.emulated.fci_protocol import TCP_PORT, Request, reply, take_requests
from rfs_drivers.errors import EmulatorError

_TCP_CLOSE_WAIT = 8
"""State of a connection whose peer has closed it; linux/tcp_states.h."""


@dataclass
class _Client:
    connection: socket.socket
    peer: str
    buffer: bytearray = field(default_factory=bytearray)
    state_address: tuple[str, int] | None = None


class Clients:
    """Listens, and talks to the newest client."""

    def __init__(self, address: str, faults: Faults, counters: Counters, on_drop: Callable[[], None]) -> None:
        """
        Args:
            address: to listen at.
            faults: looked at with every connection and reply.
            counters: of clients.
            on_drop: told whenever the client is let go of, or would be if there were one.

        Raises:
            EmulatorError: the address is taken.
        """
        self._address = address
        self._faults = faults
        self._counters = counters
        self._on_drop = on_drop
        self._client: _Client | None = None
        self._unanswered: list[socket.socket] = []
        self.listener: socket.socket | None = None
        """None while nothing listens."""
        self._listen()

    @property
    def connection(self) -> socket.socket | None:
        """Of the client; None without one."""
        return self._client.connection if self._client is not None else None

    @property
    def state_address(self) -> tuple[str, int] | None:
        """Where the client wants states; None before it has said so."""
        return self._client.state_address if self._client is not None else None

    def send_states_to(self, port: int) -> None:
        """The client, if it is still there, has said at which of its ports it wants states."""
        if self._client is not None:
            self._client.state_address = (self._client.peer, port)

    def listen(self, listening: bool) -> None:
        """Whether anything listens on port 1337; closing it closes the connection too."""
        if listening and self.listener is None:
            self._listen()
        elif not listening and self.listener is not None:
            self.listener.close()
            self.listener = None
            self.drop()

    def accept(self) -> None:
        """Take the connection that waits."""
        assert self.listener is not None
        connection, (peer, _) = self.listener.accept()
        if self._faults.close_before_reply:
            connection.close()
            return
        if self._faults.mute:
            self._unanswered.append(connection)
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        if self._client is not None:
            # What a real robot does with a second client is not known; here the newer one wins.
            self._counters.clients_replaced += not _has_ended(self._client.connection)
            self.drop()
        self._client = _Client(connection, peer)
        self._counters.clients += 1

    def drop(self) -> None:
        """Close the client's connection."""
        if self._client is not None:
            self._client.connection.close()
            self._client = None
        self._on_drop()

    def receive(self, serve: Callable[[Request], None]) -> None:
        """Have the client's complete requests served; one that leaves or does not speak FCI is dropped."""
        client = self._client
        assert client is not None
        try:
            data = client.connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.drop()
            return
        client.buffer += data
        try:
            requests = take_requests(client.buffer)
        except ValueError:
            self.drop()
            return
        for request in requests:
            serve(request)
            if self._client is not client:
                return

    def reply(self, command: int, command_id: int, payload: bytes) -> None:
        """Answer a request, unless nothing passes now."""
        if self._client is None or self._faults.silent:
            return
        try:
            self._client.connection.sendall(reply(command, command_id, payload))
        except OSError:
            self.drop()

    def close_unanswered(self) -> None:
        """Close the connections that were never answered."""
        for connection in self._unanswered:
            connection.close()
        self._unanswered.clear()

    def close(self) -> None:
        """Close every socket."""
        self.close_unanswered()
        if self._client is not None:
            self._client.connection.close()
        if self.listener is not None:
            self.listener.close()

    def _listen(self) -> None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._address, TCP_PORT))
        except OSError as error:
            listener.close()
            raise EmulatorError(
                f"{self._address}:{TCP_PORT}: {error}; another emulated robot there? use another 127.x.y.z"
            ) from error
        listener.listen(8)
        self.listener = listener


def _has_ended(connection: socket.socket) -> bool:
    """Whether the peer has closed a connection, even if something of it is left to read."""
    try:
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] >= _TCP_CLOSE_WAIT
    except OSError:
        return True
