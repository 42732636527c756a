"""Watched calls and scheduling, without the client library."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading

import pytest

from rfs_drivers import franka_calls as calls
from rfs_drivers.emulated.fci_process import free_address


def test_scheduling_of_the_caller_is_put_back() -> None:
    """SCHED_BATCH needs no rights; libfranka takes SCHED_FIFO in the same way."""
    before = os.sched_getscheduler(0)
    with calls.restored_scheduling():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == before


def test_scheduling_of_the_caller_is_put_back_after_an_exception() -> None:
    before = os.sched_getscheduler(0)
    with contextlib.suppress(RuntimeError), calls.restored_scheduling():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        raise RuntimeError
    assert os.sched_getscheduler(0) == before


@pytest.fixture
def pair() -> object:
    """A listener on a robot's port, and a connection to it that nobody answers."""
    address = free_address()
    with (
        socket.create_server((address, 1337)) as listener,
        socket.create_connection((address, 1337)) as client,
    ):
        accepted, _ = listener.accept()
        with accepted:
            yield address, client, accepted


def test_a_call_that_waits_for_ever_ends_when_its_connection_is_broken(
    pair: tuple[str, socket.socket, socket.socket],
) -> None:
    address, client, _ = pair
    ended: list[object] = []

    def wait() -> None:
        try:
            ended.append(client.recv(1))
        except OSError as error:
            ended.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    assert calls.break_connections(address) == 1
    thread.join(10.0)
    assert not thread.is_alive()
    assert ended == [b""]
    # The library looks whether its connection is interrupted before it waits for an answer.
    look = select.poll()
    look.register(client, 0)
    assert look.poll(0) == [(client.fileno(), select.POLLHUP)]


def test_only_connections_to_the_robot_are_broken(pair: tuple[str, socket.socket, socket.socket]) -> None:
    address, client, accepted = pair
    assert calls.break_connections(free_address()) == 0
    assert calls.break_connections(address, port=1338) == 0
    client.sendall(b"x")
    assert accepted.recv(1) == b"x"


def test_watchdog_breaks_the_connection_of_a_call_that_takes_too_long(
    pair: tuple[str, socket.socket, socket.socket],
) -> None:
    address, client, _ = pair
    watchdog = calls.Watchdog(address)
    try:
        with watchdog.watch("quick", 60.0):
            pass
        assert not watchdog.broke
        with watchdog.watch("slow", 0.1):
            assert client.recv(1) == b""
        assert watchdog.broke
        assert watchdog.call == ""
    finally:
        watchdog.close()
