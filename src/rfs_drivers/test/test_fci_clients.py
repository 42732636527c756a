"""Port 1337 of the emulated robot: who is served, who is dropped, who is left unanswered."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest

from rfs_drivers.emulated.fci_clients import Clients
from rfs_drivers.emulated.fci_faults import Counters, Faults
from rfs_drivers.emulated.fci_process import free_address
from rfs_drivers.emulated.fci_protocol import HEADER, Command, Request
from rfs_drivers.errors import EmulatorError

PATIENCE_S = 20.0


class Bench:
    """The port, without the loop that serves it."""

    def __init__(self) -> None:
        self.faults, self.counters = Faults(), Counters()
        self.address = free_address()
        self.drops = 0
        self.clients = Clients(self.address, self.faults, self.counters, self._dropped)
        self.served: list[Request] = []
        self._open: list[socket.socket] = []

    def _dropped(self) -> None:
        self.drops += 1

    def connect(self) -> socket.socket:
        """A client, accepted."""
        connection = socket.create_connection((self.address, 1337), timeout=PATIENCE_S)
        self._open.append(connection)
        self.clients.accept()
        return connection

    def receive(self) -> None:
        """What the client has sent last."""
        assert self.clients.connection is not None
        assert select.select([self.clients.connection], [], [], PATIENCE_S)[0]
        self.clients.receive(self.served.append)

    def close(self) -> None:
        self.clients.close()
        for connection in self._open:
            connection.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


STOP = HEADER.pack(Command.STOP_MOVE, 7, HEADER.size)


def test_requests_are_served_when_they_are_complete_and_answered(bench: Bench) -> None:
    client = bench.connect()
    client.sendall(STOP + STOP[:5])
    bench.receive()
    assert bench.served == [(Command.STOP_MOVE, 7, b"")]
    client.sendall(STOP[5:])
    bench.receive()
    assert len(bench.served) == 2
    bench.clients.reply(Command.STOP_MOVE, 7, b"\0")
    # 12 bytes of header and 1 of payload.
    assert client.recv(64) == HEADER.pack(Command.STOP_MOVE, 7, 13) + b"\0"


def test_states_go_to_the_port_that_the_client_names(bench: Bench) -> None:
    assert bench.clients.state_address is None
    bench.connect()
    assert bench.clients.state_address is None
    bench.clients.send_states_to(4711)
    assert bench.clients.state_address == ("127.0.0.1", 4711)


def test_the_newer_client_wins_and_the_older_is_closed(bench: Bench) -> None:
    first = bench.connect()
    second = bench.connect()
    assert first.recv(1) == b""
    assert (bench.counters.clients, bench.counters.clients_replaced, bench.drops) == (2, 1, 1)
    second.sendall(STOP)
    bench.receive()
    assert len(bench.served) == 1


def test_a_client_that_speaks_something_else_is_dropped(bench: Bench) -> None:
    stranger = bench.connect()
    stranger.sendall(HEADER.pack(0, 0, 3))
    bench.receive()
    assert stranger.recv(1) == b""
    assert (bench.clients.connection, bench.drops, bench.served) == (None, 1, [])


def test_a_client_that_leaves_is_let_go_of(bench: Bench) -> None:
    bench.connect().close()
    bench.receive()
    assert (bench.clients.connection, bench.drops) == (None, 1)
    # What comes too late for it is no defect.
    bench.clients.send_states_to(4711)
    bench.clients.reply(Command.STOP_MOVE, 7, b"\0")
    assert bench.clients.state_address is None


def test_after_a_drop_the_rest_of_what_a_client_has_asked_is_not_served(bench: Bench) -> None:
    client = bench.connect()
    client.sendall(STOP + STOP)
    assert bench.clients.connection is not None
    assert select.select([bench.clients.connection], [], [], PATIENCE_S)[0]

    def serve(request: Request) -> None:
        bench.served.append(request)
        bench.clients.drop()

    bench.clients.receive(serve)
    assert len(bench.served) == 1


def test_a_mute_robot_accepts_and_says_nothing_until_it_closes(bench: Bench) -> None:
    bench.faults.mute = True
    client = bench.connect()
    assert (bench.clients.connection, bench.counters.clients) == (None, 0)
    bench.clients.close_unanswered()
    assert client.recv(1) == b""


def test_a_robot_that_closes_before_it_replies_has_no_client(bench: Bench) -> None:
    bench.faults.close_before_reply = True
    assert bench.connect().recv(1) == b""
    assert bench.clients.connection is None


def test_a_robot_that_is_off_has_no_client_and_refuses_until_it_is_on_again(bench: Bench) -> None:
    client = bench.connect()
    bench.clients.listen(False)
    assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((bench.address, 1337), timeout=PATIENCE_S)
    bench.clients.listen(True)
    bench.connect()
    assert bench.clients.connection is not None


def test_an_address_that_is_taken_says_what_to_do(bench: Bench) -> None:
    with pytest.raises(EmulatorError, match=r"use another 127\.x\.y\.z"):
        Clients(bench.address, Faults(), Counters(), lambda: None)
