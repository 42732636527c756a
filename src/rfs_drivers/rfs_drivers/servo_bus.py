"""A thin object over dynamixel_sdk: the bus as the driver wants it, and nothing that can be mistaken.

What the SDK says by codes, zeros and termios errors is a `BusError` here, with its kind. One thread at a
time: a second one would be told that the port is busy.

Of the SDK's port two things are replaced. It measures its patience on the wall clock, which may be set while
it waits; and it waits by asking again and again, which takes a core and the interpreter from everybody else.
"""

from __future__ import annotations

import os
import select
import termios
import time
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from rfs_drivers import xl330
from rfs_drivers.errors import DriverError

BY_ID = Path("/dev/serial/by-id")

UDEV_RULE = (
    'SUBSYSTEM=="tty", ATTRS{idVendor}=="0403", ATTRS{idProduct}=="6014", '
    'SYMLINK+="leap_hand", GROUP="dialout", MODE="0660", ATTR{device/latency_timer}="1"'
)
"""Of the U2D2 adapter: a name that does not depend on the order of plugging, and the FTDI chip's latency."""

UDEV_HINT = f"put this line into /etc/udev/rules.d/99-leap-hand.rules and plug the hand again: {UDEV_RULE}"

_SLICE_S = 0.002
_READ_AT_ONCE = 1024


class Kind(Enum):
    """What went wrong on the bus."""

    SILENT = "no answer"
    DAMAGED = "damaged answer"
    REFUSED = "refused"
    UNPLUGGED = "unplugged"


class BusError(DriverError):
    """An exchange failed. What was asked for is not known."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class ServoBus:
    """Servos behind one serial port."""

    def __init__(self, port: str, baud_rate: int, reply_timeout: float) -> None:
        """
        Args:
            port: path of the serial port.
            baud_rate: bits per second.
            reply_timeout: patience beyond the time on the wire, s.

        Raises:
            DriverError: no such port, not allowed, or not at this rate; says what to do.
        """
        self._sdk = _library()
        self.port = port
        self.patience = reply_timeout
        """Beyond the time on the wire, s."""
        self._gone: BusError | None = None
        _require_port(port)
        self._handler = _port_handler(self._sdk, self)
        self._packets = self._sdk.PacketHandler(2.0)
        self._readers: dict[tuple[int, int, tuple[int, ...]], Any] = {}
        try:
            opened = self._handler.setBaudRate(baud_rate)
            if opened:
                # Two programs on one bus would take each other's answers.
                self._handler.ser.exclusive = True
        except (OSError, termios.error) as error:
            self.close()
            raise DriverError(_cannot_open(port, error)) from error
        if not opened:
            raise DriverError(f"{port} cannot run at {baud_rate} baud; the LEAP hand's servos use 4000000")

    def close(self) -> None:
        """Close the port, whatever state it is in."""
        try:
            if self._handler.is_open:
                self._handler.closePort()
        except (OSError, termios.error):
            # The device behind it is gone: there is nothing left to close.
            self._handler.is_open = False

    def ping(self, motor: int) -> int | None:
        """Model number of a servo; None where it does not answer.

        Raises:
            BusError: it answers, but the answer is damaged; or the port is gone.
        """
        model, result, _ = self._call(self._packets.ping, motor)
        if result == self._sdk.COMM_RX_TIMEOUT:
            return None
        self._require(result, f"motor {motor}")
        return int(model)

    def read(self, motor: int, register: xl330.Register) -> int:
        """One register of one servo."""
        data, result, error = self._call(self._packets.readTxRx, motor, register.address, register.size)
        what = f"{register.name} of motor {motor}"
        self._require(result, what)
        if error & ~_ALERT or len(data) != register.size:
            raise BusError(Kind.REFUSED, f"{what}: {self._packets.getRxPacketError(error & ~_ALERT)}")
        return register.decode(bytes(data), register.address)

    def write(self, motor: int, register: xl330.Register, value: int) -> None:
        """One register of one servo; the servo has confirmed it."""
        data = list(register.encode(value))
        result, error = self._call(self._packets.writeTxRx, motor, register.address, register.size, data)
        what = f"{register.name} = {value} for motor {motor}"
        self._require(result, what)
        if error & ~_ALERT:
            raise BusError(Kind.REFUSED, f"{what}: {self._packets.getRxPacketError(error & ~_ALERT)}")

    def read_all(
        self, motors: Sequence[int], first: xl330.Register, last: xl330.Register
    ) -> dict[int, bytes]:
        """Bytes from `first` to `last` of every servo, in one exchange: all of them, or a BusError."""
        length = last.address + last.size - first.address
        key = (first.address, length, tuple(motors))
        reader = self._readers.get(key)
        if reader is None:
            reader = self._sdk.GroupSyncRead(self._handler, self._packets, first.address, length)
            for motor in motors:
                reader.addParam(motor)
            self._readers[key] = reader
        self._require(
            self._guard(reader.fastSyncRead), f"{first.name} to {last.name} of {len(motors)} motors"
        )
        # A failed read would give zeros, and one that names a servo twice the last values of another.
        if not all(reader.isAvailable(motor, first.address, length) for motor in motors):
            raise BusError(Kind.DAMAGED, f"{first.name} to {last.name}: not of every motor")
        blocks = {motor: bytes(reader.data_dict[motor]) for motor in motors}
        for motor in motors:
            reader.data_dict[motor] = b""
        if any(len(block) != length for block in blocks.values()):
            raise BusError(Kind.DAMAGED, f"{first.name} to {last.name}: not of every motor")
        return blocks

    def write_all(self, register: xl330.Register, values: Mapping[int, int]) -> None:
        """One register of many servos, in one packet that nobody confirms: read back what must be certain."""
        group = self._sdk.GroupSyncWrite(self._handler, self._packets, register.address, register.size)
        for motor, value in values.items():
            group.addParam(motor, list(register.encode(value)))
        self._require(self._guard(group.txPacket), register.name)

    def reboot(self, motor: int) -> None:
        """Restart a servo; it is silent for a while, and its RAM is as delivered."""
        result, _ = self._call(self._packets.reboot, motor)
        self._require(result, f"reboot of motor {motor}")

    def _call(self, function: Any, *arguments: Any) -> Any:
        return self._guard(lambda: function(self._handler, *arguments))

    def _guard(self, function: Any) -> Any:
        if self._gone is not None:
            # The vendor's handler would say for ever that it is in use: a new bus is needed.
            raise self._gone
        try:
            return function()
        except IndexError as error:
            # The library indexes what it expects in a whole answer that is another one's, come late.
            raise BusError(Kind.DAMAGED, "an answer that belongs to another question") from error
        except (OSError, termios.error) as error:
            # serial.SerialException is an OSError.
            self._gone = BusError(
                Kind.UNPLUGGED, f"{self.port} is gone ({error}): is the hand's USB cable in?"
            )
            raise self._gone from error

    def _require(self, result: int, what: str) -> None:
        sdk = self._sdk
        if result == sdk.COMM_SUCCESS:
            return
        if result == sdk.COMM_RX_TIMEOUT:
            raise BusError(Kind.SILENT, f"{what}: no answer")
        if result == sdk.COMM_RX_CORRUPT:
            raise BusError(Kind.DAMAGED, f"{what}: damaged or incomplete answer")
        raise BusError(Kind.REFUSED, f"{what}: {self._packets.getTxRxResult(result)} ({result})")


_ALERT = 0x80


def _library() -> Any:
    try:
        import dynamixel_sdk
    except ImportError as error:
        raise DriverError("dynamixel-sdk is not installed: make setup EXTRAS=drivers") from error
    return dynamixel_sdk


def _port_handler(sdk: Any, bus: ServoBus) -> Any:
    class Port(sdk.PortHandler):  # type: ignore[misc]
        """The SDK's port on a steady clock, asleep while it waits."""

        def getCurrentTime(self) -> float:
            return time.monotonic() * 1e3

        def setPacketTimeout(self, packet_length: int) -> None:
            self.setPacketTimeoutMillis(self.tx_time_per_byte * packet_length + bus.patience * 1e3)

        def readPort(self, length: int) -> bytes:
            ready, _, _ = select.select([self.ser.fd], [], [], _SLICE_S)
            if not ready:
                return b""
            data: bytes = self.ser.read(length)
            return data

    return Port(bus.port)


def _require_port(port: str) -> None:
    if Path(port).exists():
        if os.access(port, os.R_OK | os.W_OK):
            return
        raise DriverError(
            f"{port} may not be opened by this user: add the user to group dialout and log in anew, "
            f"or {UDEV_HINT}"
        )
    known = sorted(str(path) for path in BY_ID.iterdir()) if BY_ID.is_dir() else []
    there = f"serial ports here: {', '.join(known)}" if known else "no USB serial port is plugged in"
    raise DriverError(f"there is no {port}; {there}. For a fixed name, {UDEV_HINT}")


def _cannot_open(port: str, error: BaseException) -> str:
    return (
        f"{port} cannot be opened ({error}): is another program using the hand? If it is another device, "
        f"{UDEV_HINT}"
    )


def latency_timer(port: str) -> int | None:
    """Latency timer of an FTDI adapter in ms; None where the port has none, as a pseudo-terminal."""
    path = Path("/sys/class/tty") / Path(os.path.realpath(port)).name / "device" / "latency_timer"
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
