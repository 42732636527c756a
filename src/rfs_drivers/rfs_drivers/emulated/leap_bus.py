"""An emulated LEAP hand on a pseudo-terminal: what a client library finds behind a serial port.

The fault interface is `LeapBus.perform`; `leap_bus_main` puts it on a pipe of JSON lines:

    {"do": "status"}
    {"do": "faults", "drop": 0.1, "delay_ms": 50, "corrupt": 0.05}   of replies; "clear" resets all
    {"do": "faults", "lose": 0.1}                                    of instructions
    {"do": "missing", "motor": 13, "on": true}                       a servo that does not answer
    {"do": "overload", "motor": 2, "on": true}                       until "on": false and a reboot
    {"do": "temperature", "motor": 7, "celsius": 72}
    {"do": "voltage", "volts": 4.2}
    {"do": "brown_out", "motor": 3}                                  reboots by itself
    {"do": "block", "joint": "if_mcp", "on": true}                   something is in the finger's way
    {"do": "place", "position": [16 values, rad]}
    {"do": "stall", "seconds": 0.5}                                  nothing answers for a while
    {"do": "unplug"}   {"do": "plug"}                                the serial port goes and comes back
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import time
import tty
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rfs_drivers import leap_table, xl330
from rfs_drivers.emulated import dynamixel_protocol as dxl
from rfs_drivers.emulated.fault_values import number, switch, whole
from rfs_drivers.emulated.leap_servos import FreeHand, HandBody, LeapServos
from rfs_drivers.errors import EmulatorError

_LONGEST_DELAY_MS = 60_000.0
_HIGHEST_VOLTAGE = 0xFFFF * xl330.VOLTAGE_UNIT
"""V: what the register can hold."""


@dataclass
class Faults:
    """What goes wrong on the wire."""

    drop: float = 0.0
    """Probability that a reply is lost."""
    corrupt: float = 0.0
    """Probability that a reply is damaged."""
    lose: float = 0.0
    """Probability that an instruction does not reach the servos."""
    delay_ms: float = 0.0
    """Added to every reply."""


class LeapBus:
    """Serves the bus; `run` until `stop`. One thread."""

    def __init__(
        self,
        link: str = "",
        body: HandBody | None = None,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
        lock: AbstractContextManager[object] | None = None,
    ) -> None:
        """
        Args:
            link: path of a symbolic link to the port, kept current when the port is unplugged and plugged
                again, as udev does; empty: none.
            body: what the servos move; the emulator's own by default.
            seed: of the dice for faults.
            clock: time of the servos, s; that of the world whose fingers they move.
            lock: held while servos are touched, where another thread moves the world; None: none needed.
        """
        self.faults = Faults()
        self._clock = clock
        self._lock = contextlib.nullcontext() if lock is None else lock
        self.servos = LeapServos(body, clock())
        self.packets = 0
        self.path = ""
        self._link = Path(link) if link else None
        self._master = self._slave = -1
        self._random = random.Random(seed)
        self._parser = dxl.Parser()
        self._replies: list[tuple[float, bytes]] = []
        self._stalled_until = 0.0
        self._running = True
        self._plug()

    # ---- the port ------------------------------------------------------------------------------------

    def _plug(self) -> None:
        if self._master >= 0:
            return
        self._master, self._slave = os.openpty()
        # Held open here as well: a client that closes the port must not end it.
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._parser = dxl.Parser()
        if self._link is not None:
            beside = self._link.with_name(self._link.name + ".new")
            beside.unlink(missing_ok=True)
            beside.symlink_to(self.path)
            beside.replace(self._link)

    def _unplug(self) -> None:
        if self._master < 0:
            return
        # Another emulator may have put its own there since.
        if self._link is not None and self._link.is_symlink() and os.readlink(self._link) == self.path:
            self._link.unlink()
        self._replies.clear()
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1
        self.path = ""

    def stop(self) -> None:
        """End `run` soon; may be called from a signal handler."""
        self._running = False

    def close(self) -> None:
        """Remove the port."""
        self._unplug()

    def serve(self, control: int | None = None, timeout: float = 0.1) -> bool:
        """Wait for packets and answer them; true where `control`, a file descriptor, can be read."""
        now = time.monotonic()
        if self._replies:
            timeout = min(timeout, max(self._replies[0][0] - now, 0.0))
        watched = [fd for fd in (self._master, control) if fd is not None and fd >= 0]
        ready, _, _ = select.select(watched, [], [], timeout)
        with self._lock:
            if self._master >= 0 and self._master in ready:
                self._read()
            self._send_due()
            self.servos.advance(self._clock())
        return control is not None and control in ready

    @property
    def running(self) -> bool:
        """Not asked to stop."""
        return self._running

    def _read(self) -> None:
        try:
            data = os.read(self._master, 4096)
        except (BlockingIOError, OSError):
            return
        now = time.monotonic()
        for instruction in self._parser.feed(data):
            self.packets += 1
            if now < self._stalled_until or (self.faults.lose and self._random.random() < self.faults.lose):
                continue
            servo_time = self._clock()
            self.servos.advance(servo_time)
            for reply in self.servos.answer(instruction, servo_time):
                self._queue(reply, now)

    def _queue(self, reply: bytes, now: float) -> None:
        if self.faults.drop and self._random.random() < self.faults.drop:
            return
        if self.faults.corrupt and self._random.random() < self.faults.corrupt:
            at = self._random.randrange(len(reply))
            reply = reply[:at] + bytes([reply[at] ^ self._random.randrange(1, 256)]) + reply[at + 1 :]
        self._replies.append((now + self.faults.delay_ms / 1e3, reply))

    def _send_due(self) -> None:
        now = time.monotonic()
        while self._replies and self._replies[0][0] <= now:
            reply = self._replies.pop(0)[1]
            # A client that does not read fills the terminal's buffer; a bus would go on without it too.
            with contextlib.suppress(BlockingIOError):
                os.write(self._master, reply)

    # ---- fault interface -----------------------------------------------------------------------------

    def perform(self, request: dict[str, Any]) -> dict[str, Any]:
        """One operation; its result.

        Raises:
            EmulatorError: unknown operation, or arguments that it does not take.
        """
        operations = {
            name.removeprefix("_do_"): getattr(self, name) for name in dir(self) if name.startswith("_do_")
        }
        arguments = dict(request)
        name = arguments.pop("do", None)
        if not isinstance(name, str) or name not in operations:
            raise EmulatorError(f"unknown operation {name!r}; known: {', '.join(operations)}")
        try:
            return operations[name](**arguments) or {}
        except (TypeError, ValueError, ArithmeticError) as error:
            raise EmulatorError(f"{name}: {error}") from error

    def _do_status(self) -> dict[str, Any]:
        servos = self.servos.servos.values()

        def every(register: xl330.Register) -> list[int]:
            return [servo.get(register) for servo in servos]

        return {
            "port": self.path,
            "packets": self.packets,
            "damaged": self._parser.damaged,
            "position": [round(float(q), 5) for q in self.servos.body.position],
            "goal": [round(float(q), 5) for q in leap_table.radians(np.array(every(xl330.GOAL_POSITION)))],
            "goal_current": every(xl330.GOAL_CURRENT),
            "torque": every(xl330.TORQUE_ENABLE),
            "mode": every(xl330.OPERATING_MODE),
            "p": every(xl330.POSITION_P),
            "i": every(xl330.POSITION_I),
            "d": every(xl330.POSITION_D),
            "return_delay": every(xl330.RETURN_DELAY),
            "watchdog": every(xl330.BUS_WATCHDOG),
            "hardware_error": every(xl330.HARDWARE_ERROR),
            "temperature": every(xl330.TEMPERATURE),
        }

    def _do_faults(self, **changes: float) -> dict[str, Any]:
        known = asdict(self.faults)
        for name, value in changes.items():
            if name not in known:
                raise EmulatorError(f"unknown fault {name!r} (faults of the bus: {', '.join(known)})")
            known[name] = number(name, value, 0.0, _LONGEST_DELAY_MS if name == "delay_ms" else 1.0)
        self.faults = Faults(**known)
        return asdict(self.faults)

    def _do_clear(self) -> None:
        self.faults = Faults()
        self._stalled_until = 0.0
        for servo in self.servos.servos.values():
            servo.present, servo.overloaded = True, False
            servo.put(xl330.TEMPERATURE, 30)
            servo.put(xl330.INPUT_VOLTAGE, 50)
        if isinstance(self.servos.body, FreeHand):
            self.servos.body.blocked[:] = False
        self._plug()

    def _do_missing(self, motor: int, on: bool = True) -> None:
        self.servos.servo(motor).present = not switch("on", on)

    def _do_overload(self, motor: int, on: bool = True) -> None:
        self.servos.servo(motor).overloaded = switch("on", on)

    def _do_temperature(self, motor: int, celsius: float) -> None:
        # The register is one byte without a sign.
        self.servos.servo(motor).put(xl330.TEMPERATURE, int(number("celsius", celsius, 0.0, 255.0)))

    def _do_voltage(self, volts: float) -> None:
        units = round(number("volts", volts, 0.0, _HIGHEST_VOLTAGE) / xl330.VOLTAGE_UNIT)
        for servo in self.servos.servos.values():
            servo.put(xl330.INPUT_VOLTAGE, units)

    def _do_brown_out(self, motor: int) -> None:
        self.servos.servo(motor).reboot(self._clock())

    def _do_block(self, joint: str, on: bool = True) -> None:
        if joint not in leap_table.NAMES:
            raise EmulatorError(f"no joint {joint!r}; known: {', '.join(leap_table.NAMES)}")
        if not isinstance(self.servos.body, FreeHand):
            raise EmulatorError("only the emulator's own hand can be blocked")
        self.servos.body.blocked[leap_table.NAMES.index(joint)] = switch("on", on)

    def _do_place(self, position: list[float]) -> None:
        if len(position) != 16:
            raise EmulatorError(f"position has {len(position)} values, needs 16")
        placed = [number("position", value, -2.0 * np.pi, 2.0 * np.pi) for value in position]
        self.servos.body.position = np.array(placed)
        self.servos.body.velocity = np.zeros(16)

    def _do_set(self, motor: int, register: str, value: int) -> None:
        """Any register, as if set by another program before."""
        known = {r.name: r for r in vars(xl330).values() if isinstance(r, xl330.Register)}
        if register not in known:
            raise EmulatorError(f"no register {register!r}; known: {', '.join(known)}")
        self.servos.servo(motor).put(known[register], whole("value", value, -(2**31), 2**32 - 1))

    def _do_stall(self, seconds: float) -> None:
        self._stalled_until = time.monotonic() + number("seconds", seconds, 0.0, 3600.0)

    def _do_unplug(self) -> None:
        self._unplug()

    def _do_plug(self) -> dict[str, Any]:
        self._plug()
        return {"port": self.path}
