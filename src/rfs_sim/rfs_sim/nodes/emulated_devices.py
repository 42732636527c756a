"""An emulated arm and an emulated hand on one world: their wires, their threads, one robot time.

The arm's control interface makes the time: each of its cycles is 1 ms for everybody. It waits for the
client's commands, so that a busy machine stretches the time instead of losing commands.
"""

from __future__ import annotations

import contextlib
import select
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from rfs_core.se3 import Array
from rfs_drivers.emulated.fci_admin import AdminServer
from rfs_drivers.emulated.fci_protocol import CYCLE_S
from rfs_drivers.emulated.fci_robot import FciRobot
from rfs_drivers.emulated.fci_server import FciServer
from rfs_drivers.emulated.leap_bus import LeapBus
from rfs_sim.driven import HAND_DT_STEPS, PHYSICS_DT, ArmInWorld, DrivenWorld, HandInWorld

assert CYCLE_S == PHYSICS_DT

NS_PER_CYCLE = round(CYCLE_S * 1e9)
_JOIN_S = 2.0


class _Arm(ArmInWorld):
    """The arm, whose every step is one of the devices together."""

    def __init__(self, world: DrivenWorld, advance: Callable[[Array], None]) -> None:
        super().__init__(world)
        self._advance = advance

    def step(self, torque: Array, dt: float) -> None:
        """One cycle."""
        self._advance(torque)
        self.q, self.dq = self._world.arm


class EmulatedDevices:
    """Serves an FCI at a loopback address and a servo bus at a pseudo-terminal, both moving one world."""

    def __init__(
        self,
        world: DrivenWorld,
        *,
        address: str,
        link: str,
        rate_hz: float,
        patience_s: float,
        admin_port: int,
        on_cycle: Callable[[bool], None],
        seed: int = 0,
        log: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        """
        Args:
            world: what moves.
            address: of the arm, 127.x.y.z.
            link: path of a symbolic link to the hand's port.
            rate_hz: cycles of 1 ms per second of the wall, at most.
            patience_s: wall time that a cycle of a motion waits for the client's command.
            admin_port: TCP ports of the fault interfaces at `address`: this one for the arm, the next one for
                the hand; 0: any free ones.
            on_cycle: called after every cycle, in the arm's thread; True where it ended a control step.
            seed: of the faults' dice.
            log: told what an arm would not tell: what its reflexes were about.

        Raises:
            EmulatorError: the address or a port is taken.
        """
        self.world = world
        self.cycles = 0
        """Since the start: milliseconds of robot time."""
        self.begin: Callable[[], None] | None = None
        """What happens at `begin_at`, before that cycle's step."""
        self.begin_at = 0
        self._on_cycle = on_cycle
        self._lock = threading.Lock()
        self._stop = threading.Event()
        arm = _Arm(world, self._advance)
        # First: where the address is taken, another robot has the hand's port too, and shall keep it.
        self.arm = FciServer(
            address,
            lambda: FciRobot(arm, time_ms=self.cycles),
            rate_hz=rate_hz,
            lockstep_s=patience_s,
            admin_port=admin_port,
            seed=seed,
            log=log,
        )
        hand_port = admin_port + 1 if admin_port else 0
        with contextlib.ExitStack() as failed:
            failed.callback(self.arm.close)
            self.hand_admin = AdminServer(address, hand_port, self._administer_hand)
            failed.callback(self.hand_admin.close)
            self.bus = LeapBus(
                link, HandInWorld(world), seed=seed, clock=lambda: self.cycles * CYCLE_S, lock=self._lock
            )
            failed.pop_all()
        self._threads = [
            threading.Thread(target=self.arm.run, name="emulated arm", daemon=True),
            threading.Thread(target=self._serve_hand, name="emulated hand", daemon=True),
        ]

    @property
    def time_ns(self) -> int:
        """Robot time."""
        return self.cycles * NS_PER_CYCLE

    def start(self) -> None:
        """Serve until `close`."""
        for thread in self._threads:
            thread.start()

    def call(self, function: Callable[[], Any]) -> Future[Any]:
        """Run a function between two cycles."""
        return self.arm.call(function)

    def stand_still(self) -> None:
        """Stop where everything is; what was to begin does not. Between two cycles."""
        with self._lock:
            self.begin = None
            self.world.stand_still()

    def reset(self, seed: int, episode: int) -> None:
        """The first state of an episode, standing still; between two cycles, no motion may be running."""
        with self._lock:
            self.begin = None
            self.world.reset(seed, episode)
        self.arm.robot.place(self.world.arm[0])

    @property
    def running(self) -> bool:
        """Both threads live; False after a defect, whose traceback is on the screen."""
        return all(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """End."""
        self._stop.set()
        self.arm.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_JOIN_S)
        self.bus.close()

    def _advance(self, torque: Array) -> None:
        """One cycle of everything, in the arm's thread."""
        with self._lock:
            if self.begin is not None and self.cycles >= self.begin_at:
                begin, self.begin = self.begin, None
                begin()
            if self.cycles % HAND_DT_STEPS == 0:
                self.bus.servos.advance(self.cycles * CYCLE_S)
            ended = self.world.step(torque)
            self.cycles += 1
        self._on_cycle(ended)

    def _serve_hand(self) -> None:
        admin = self.hand_admin
        try:
            while not self._stop.is_set():
                self.bus.serve(timeout=0.05)
                ready, _, _ = select.select(admin.sockets, [], [], 0.0)
                for connection in ready:
                    admin.handle(connection)
        finally:
            admin.close()

    def _administer_hand(self, operation: str, arguments: dict[str, object]) -> dict[str, object]:
        with self._lock:
            return self.bus.perform({"do": operation, **arguments})
