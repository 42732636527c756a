"""States and commands over UDP, and what the faults make of them."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import numpy as np
import pytest

from rfs_drivers.emulated.fci_datagrams import Datagrams
from rfs_drivers.emulated.fci_faults import Counters, Faults
from rfs_drivers.emulated.fci_process import free_address
from rfs_drivers.emulated.fci_protocol import COMMAND_DTYPE, STATE_SIZE


class Bench:
    """Both ends of the stream."""

    def __init__(self) -> None:
        self.faults, self.counters = Faults(), Counters()
        self.robot = Datagrams(free_address(), self.faults, self.counters, seed=0)
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.bind(("127.0.0.1", 0))
        self.client.settimeout(20.0)

    def command(self, message_id: int) -> None:
        record = np.zeros(1, dtype=COMMAND_DTYPE)
        record["message_id"] = message_id
        self.client.sendto(record.tobytes(), self.robot.socket.getsockname())

    def arrive(self, count: int, time_ms: int, in_motion: bool = True) -> None:
        """Wait until so many commands have been received in all, whatever became of them."""
        while self.counters.commands_received < count:
            self.robot.receive(time_ms, in_motion)

    def newest(self, time_ms: int) -> int | None:
        command = self.robot.newest_command(time_ms)
        return None if command is None else int(command["message_id"])

    def send(self, mark: int, time_ms: int) -> None:
        self.robot.send(bytes([mark]) * STATE_SIZE, time_ms, self.client.getsockname())

    def states(self) -> list[tuple[int, int]]:
        """(mark, size) of the states that were sent."""
        packets = [self.client.recv(4096) for _ in range(self.counters.states_sent)]
        return [(packet[0], len(packet)) for packet in packets]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.client.close()
    made.robot.close()


def test_the_newest_command_counts_and_is_used_once(bench: Bench) -> None:
    bench.command(1)
    bench.command(2)
    bench.arrive(2, time_ms=5)
    assert bench.newest(5) == 2
    assert bench.newest(5) is None


def test_a_late_command_counts_when_the_robot_s_time_has_come(bench: Bench) -> None:
    bench.faults.delay_commands_ms = 3
    bench.command(1)
    bench.arrive(1, time_ms=5)
    assert bench.newest(7) is None
    assert bench.newest(8) == 1


def test_the_next_commands_of_a_motion_are_lost_one_after_the_other(bench: Bench) -> None:
    bench.faults.drop_next = 2
    bench.command(1)
    # Not in motion: nothing is counted down.
    bench.arrive(1, time_ms=5, in_motion=False)
    assert bench.newest(5) == 1
    for message_id in (2, 3, 4):
        bench.command(message_id)
    bench.arrive(4, time_ms=6)
    assert bench.newest(6) == 4
    assert bench.faults.drop_next == 0


@pytest.mark.parametrize("fault", [{"cut": True}, {"mute": True}, {"drop_commands": 1.0}])
def test_commands_that_do_not_pass_are_received_and_lost(bench: Bench, fault: dict[str, object]) -> None:
    bench.faults.change(fault)
    bench.command(1)
    bench.arrive(1, time_ms=5)
    assert bench.newest(5) is None


def test_a_packet_of_another_size_is_no_command(bench: Bench) -> None:
    bench.client.sendto(b"hello", bench.robot.socket.getsockname())
    bench.arrive(1, time_ms=5)
    assert bench.newest(5) is None


def test_forgotten_commands_do_not_count(bench: Bench) -> None:
    bench.command(1)
    bench.arrive(1, time_ms=5)
    bench.robot.forget_commands()
    assert bench.newest(5) is None


def test_states_arrive_whole_and_in_order(bench: Bench) -> None:
    bench.send(1, time_ms=1)
    bench.send(2, time_ms=2)
    assert bench.states() == [(1, STATE_SIZE), (2, STATE_SIZE)]


def test_late_states_are_sent_when_the_robot_s_time_has_come(bench: Bench) -> None:
    bench.faults.delay_states_ms = 2
    for k in range(1, 5):
        bench.send(k, time_ms=k)
    # At 4 ms the states of 1 and 2 ms are due.
    assert bench.states() == [(1, STATE_SIZE), (2, STATE_SIZE)]


def test_lost_states_are_not_sent_corrupt_ones_are_cut_short_and_forgotten_ones_never_come(
    bench: Bench,
) -> None:
    bench.faults.drop_states = 1.0
    bench.send(1, time_ms=1)
    bench.faults.drop_states, bench.faults.corrupt_states = 0.0, 1.0
    bench.send(2, time_ms=2)
    bench.faults.corrupt_states, bench.faults.delay_states_ms = 0.0, 1
    bench.send(3, time_ms=3)
    bench.robot.forget_states()
    bench.faults.delay_states_ms = 0
    bench.send(4, time_ms=4)
    # STATE_SIZE is 1377.
    assert bench.states() == [(2, 688), (4, 1377)]
