"""Watched calls, scheduling and frames, without the client library."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading

import numpy as np
import pytest

from rfs_core import robot, se3
from rfs_drivers import franka_connection as connection
from rfs_drivers.emulated.fci_process import free_address


def test_scheduling_of_the_caller_is_put_back() -> None:
    """SCHED_BATCH needs no rights; libfranka takes SCHED_FIFO in the same way."""
    before = os.sched_getscheduler(0)
    with connection.restored_scheduling():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == before


def test_scheduling_of_the_caller_is_put_back_after_an_exception() -> None:
    before = os.sched_getscheduler(0)
    with contextlib.suppress(RuntimeError), connection.restored_scheduling():
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
    assert connection.break_connections(address) == 1
    thread.join(10.0)
    assert not thread.is_alive()
    assert ended == [b""]
    # The library looks whether its connection is interrupted before it waits for an answer.
    look = select.poll()
    look.register(client, 0)
    assert look.poll(0) == [(client.fileno(), select.POLLHUP)]


def test_only_connections_to_the_robot_are_broken(pair: tuple[str, socket.socket, socket.socket]) -> None:
    address, client, accepted = pair
    assert connection.break_connections(free_address()) == 0
    assert connection.break_connections(address, port=1338) == 0
    client.sendall(b"x")
    assert accepted.recv(1) == b"x"


def test_watchdog_breaks_the_connection_of_a_call_that_takes_too_long(
    pair: tuple[str, socket.socket, socket.socket],
) -> None:
    address, client, _ = pair
    watchdog = connection.Watchdog(address)
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


def random_transform(rng: np.random.Generator) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = se3.matrix_from_quat(se3.quat_normalize(rng.normal(size=4)))
    matrix[:3, 3] = rng.normal(size=3)
    return matrix


def test_palm_and_end_effector_are_each_others_inverse_whatever_desk_knows() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        palm, tool = random_transform(rng), random_transform(rng)
        end_effector = connection.end_effector_of(palm, tool)
        np.testing.assert_allclose(connection.palm_of(end_effector, tool), palm, atol=1e-12)


def test_palm_of_a_bare_flange_is_the_projects_mount() -> None:
    palm = connection.palm_of(np.eye(4), np.eye(4))
    np.testing.assert_allclose(palm[:3, 3], robot.PALM_IN_FLANGE.position[0])
    np.testing.assert_allclose(palm[:3, :3], se3.matrix_from_quat(robot.PALM_IN_FLANGE.quaternion)[0])


def test_pose_and_matrix_are_each_others_inverse() -> None:
    matrix = random_transform(np.random.default_rng(1))
    np.testing.assert_allclose(connection.pose_matrix(connection.matrix_pose(matrix)), matrix, atol=1e-12)
    np.testing.assert_allclose(connection.inverse_matrix(matrix) @ matrix, np.eye(4), atol=1e-12)
