"""Emulated servos without a wire, on a clock that moves when told: to test what the driver decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rfs_drivers import xl330
from rfs_drivers.emulated import dynamixel_protocol as dxl
from rfs_drivers.emulated.leap_servos import LeapServos
from rfs_drivers.servo_bus import BusError, Kind


class DirectBus:
    """What `ServoBus` is over a port, as direct calls. Exchanges take the time that they took on the port."""

    TIMEOUT_S = 0.035
    EXCHANGE_S = 0.001

    def __init__(self, servos: LeapServos | None = None) -> None:
        self.servos = LeapServos() if servos is None else servos
        self.now = 0.0
        """s; `clock` returns it, `sleep` and exchanges move it."""
        self.unplugged = False
        self.damaged_in = 0
        """Every so many answers of all servos one is damaged; 0: none."""
        self.opened = self.closed = 0
        self.writes: list[tuple[str, dict[int, int]]] = []
        self._answers = 0

    def clock(self) -> float:
        """s."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def open(self) -> DirectBus:
        """As the port is opened."""
        if self.unplugged:
            raise BusError(Kind.UNPLUGGED, "there is no port")
        self.opened += 1
        return self

    def close(self) -> None:
        """As the port is closed."""
        self.closed += 1

    def _send(self, motor: int, code: int, parameters: bytes) -> list[bytes]:
        if self.unplugged:
            raise BusError(Kind.UNPLUGGED, "port is gone")
        self.servos.advance(self.now)
        answers = self.servos.answer(dxl.Instruction(motor, code, parameters), self.now)
        expected = motor != dxl.BROADCAST or code == dxl.FAST_SYNC_READ
        self.now += self.EXCHANGE_S if answers or not expected else self.TIMEOUT_S
        return answers

    def _one(self, motor: int, code: int, parameters: bytes = b"") -> tuple[int, bytes]:
        answers = self._send(motor, code, parameters)
        if not answers:
            raise BusError(Kind.SILENT, f"motor {motor}: no answer")
        body = dxl.unstuff(answers[0][7:-2])
        return body[1] & ~dxl.ALERT, body[2:]

    def ping(self, motor: int) -> int | None:
        """Model number, None where it does not answer."""
        try:
            return int.from_bytes(self._one(motor, dxl.PING)[1][:2], "little")
        except BusError as error:
            if error.kind is Kind.UNPLUGGED:
                raise
            return None

    def write(self, motor: int, register: xl330.Register, value: int) -> None:
        """One register of one servo."""
        data = register.address.to_bytes(2, "little") + register.encode(value)
        error, _ = self._one(motor, dxl.WRITE, data)
        if error:
            raise BusError(Kind.REFUSED, f"{register.name} = {value} for motor {motor}: error {error}")

    def write_all(self, register: xl330.Register, values: Mapping[int, int]) -> None:
        """One register of many servos; nobody confirms."""
        data = register.address.to_bytes(2, "little") + register.size.to_bytes(2, "little")
        data += b"".join(bytes([motor]) + register.encode(value) for motor, value in values.items())
        self.writes.append((register.name, dict(values)))
        self._send(dxl.BROADCAST, dxl.SYNC_WRITE, data)

    def read_all(
        self, motors: Sequence[int], first: xl330.Register, last: xl330.Register
    ) -> dict[int, bytes]:
        """Bytes from `first` to `last` of every servo, or a BusError."""
        length = last.address + last.size - first.address
        data = first.address.to_bytes(2, "little") + length.to_bytes(2, "little") + bytes(motors)
        answers = self._send(dxl.BROADCAST, dxl.FAST_SYNC_READ, data)
        if not answers:
            raise BusError(Kind.SILENT, f"{first.name}: no answer")
        self._answers += 1
        if self.damaged_in and self._answers % self.damaged_in == 0:
            raise BusError(Kind.DAMAGED, f"{first.name}: damaged answer")
        body = answers[0][8:]
        if len(body) < len(motors) * (length + 4):
            self.now += self.TIMEOUT_S
            raise BusError(Kind.DAMAGED, f"{first.name}: incomplete answer")
        return {
            motor: body[i * (length + 4) + 2 : i * (length + 4) + 2 + length]
            for i, motor in enumerate(motors)
        }

    def reboot(self, motor: int) -> None:
        """Restart a servo."""
        self._one(motor, dxl.REBOOT)
