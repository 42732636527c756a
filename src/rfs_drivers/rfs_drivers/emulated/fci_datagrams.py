"""States out and commands in over UDP, as the faults let them through.

No clock inside: packets are late by the robot's own time, which comes in as an argument.
"""

from __future__ import annotations

import random
import socket
from collections import deque

import numpy as np

from rfs_drivers.emulated.fci_faults import Counters, Faults
from rfs_drivers.emulated.fci_protocol import COMMAND_SIZE, STATE_SIZE, parse_command


class Datagrams:
    """The robot's end of the UDP stream."""

    def __init__(self, address: str, faults: Faults, counters: Counters, seed: int) -> None:
        """
        Args:
            address: to send from and receive at; the port is any free one.
            faults: looked at with every packet.
            counters: of states sent and commands received.
            seed: of the dice.
        """
        self._faults = faults
        self._counters = counters
        self._random = random.Random(seed)
        self._states: deque[tuple[int, bytes]] = deque()
        self._commands: deque[tuple[int, bytes]] = deque()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.socket.setblocking(False)

    def receive(self, time_ms: int, in_motion: bool) -> None:
        """Take every command that has arrived, at the robot's time `time_ms`."""
        while True:
            try:
                packet = self.socket.recv(COMMAND_SIZE + 64)
            except BlockingIOError:
                return
            except OSError:
                # A former client's port is gone; the network says so on the next receive.
                continue
            self._counters.commands_received += 1
            faults = self._faults
            if faults.silent or self._lost(faults.drop_commands):
                continue
            if faults.drop_next > 0 and in_motion:
                faults.drop_next -= 1
                continue
            self._commands.append((time_ms + faults.delay_commands_ms, packet))

    def newest_command(self, time_ms: int) -> np.void | None:
        """The newest command that is there by now, which is then used up."""
        newest: np.void | None = None
        while self._commands and self._commands[0][0] <= time_ms:
            command = parse_command(self._commands.popleft()[1])
            if command is not None:
                newest = command
        return newest

    def send(self, state: bytes, time_ms: int, to: tuple[str, int]) -> None:
        """Send a state of the time `time_ms`, and those before it that are late until now."""
        faults = self._faults
        if self._lost(faults.corrupt_states):
            state = state[: STATE_SIZE // 2]
        if not self._lost(faults.drop_states):
            self._states.append((time_ms + faults.delay_states_ms, state))
        while self._states and self._states[0][0] <= time_ms:
            try:
                self.socket.sendto(self._states.popleft()[1], to)
            except OSError:
                continue
            self._counters.states_sent += 1

    def forget_states(self) -> None:
        """States on their way arrive nowhere."""
        self._states.clear()

    def forget_commands(self) -> None:
        """So do commands."""
        self._commands.clear()

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def _lost(self, probability: float) -> bool:
        return probability > 0.0 and self._random.random() < probability
