"""Dynamixel protocol 2.0 as a servo speaks it: packets, CRC, byte stuffing. Source: the protocol's e-manual.

    FF FF FD 00 | id | length (2) | instruction | parameters ... | crc (2)
    FF FF FD 00 | id | length (2) | 55 | error | parameters ... | crc (2)

Length counts what follows it. Inside, FF FF FD is sent as FF FF FD FD.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

HEADER = b"\xff\xff\xfd\x00"
BROADCAST = 0xFE

PING, READ, WRITE, REBOOT = 0x01, 0x02, 0x03, 0x08
STATUS = 0x55
SYNC_READ, SYNC_WRITE, FAST_SYNC_READ = 0x82, 0x83, 0x8A

RESULT_FAIL, INSTRUCTION_ERROR, CRC_ERROR, DATA_RANGE, DATA_LENGTH, DATA_LIMIT, ACCESS = range(1, 8)
ALERT = 0x80
"""Bit of a status packet's error: the servo has a hardware error."""

_LONGEST = 4096


def _table() -> list[int]:
    values = []
    for byte in range(256):
        crc = byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x8005 if crc & 0x8000 else crc << 1) & 0xFFFF
        values.append(crc)
    return values


_CRC = _table()


def crc16(data: bytes | bytearray, crc: int = 0) -> int:
    """CRC-16 with polynomial 0x8005, begun at 0, most significant bit first."""
    for byte in data:
        crc = ((crc << 8) & 0xFF00) ^ _CRC[(crc >> 8) ^ byte]
    return crc


def stuff(body: bytes) -> bytes:
    """Instruction and parameters with FF FF FD made FF FF FD FD."""
    return body.replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")


def unstuff(body: bytes) -> bytes:
    """What was stuffed."""
    return body.replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")


def packet(motor: int, body: bytes) -> bytes:
    """A packet of `body`: instruction and parameters, or 55, error and parameters."""
    stuffed = stuff(body)
    start = HEADER + bytes([motor]) + (len(stuffed) + 2).to_bytes(2, "little") + stuffed
    return start + crc16(start).to_bytes(2, "little")


def status(motor: int, error: int, parameters: bytes = b"") -> bytes:
    """A status packet."""
    return packet(motor, bytes([STATUS, error]) + parameters)


def fast_status(replies: Sequence[tuple[int, int, bytes]], expected: int) -> bytes:
    """What a bus carries after a fast sync read: one packet, written by one servo after the other.

    Each servo adds error, id, data and the CRC of everything so far; nothing is stuffed.

    Args:
        replies: (id, error, data) of the servos that answer, in the order asked.
        expected: number of servos asked; the length in the header is written for all of them, and a packet
            with fewer stays short. An empty list of replies is silence.
    """
    if not replies:
        return b""
    one = len(replies[0][2]) + 4
    line = bytearray(HEADER + bytes([BROADCAST]) + (1 + one * expected).to_bytes(2, "little"))
    line.append(STATUS)
    crc, done = 0, 0
    for motor, error, data in replies:
        line += bytes([error, motor]) + data
        crc = crc16(line[done:], crc)
        done = len(line)
        line += crc.to_bytes(2, "little")
    return bytes(line)


class Instruction(NamedTuple):
    """An instruction packet that arrived intact."""

    motor: int
    code: int
    parameters: bytes


class Parser:
    """Finds instruction packets in a stream of bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.damaged = 0
        """Packets with a wrong CRC; servos are silent about those."""

    def feed(self, data: bytes) -> Iterator[Instruction]:
        """Packets that are complete with `data`."""
        self._buffer += data
        while True:
            start = self._buffer.find(HEADER)
            if start < 0:
                del self._buffer[: max(len(self._buffer) - 3, 0)]
                return
            del self._buffer[:start]
            if len(self._buffer) < 7:
                return
            length = int.from_bytes(self._buffer[5:7], "little")
            if not 3 <= length <= _LONGEST:
                del self._buffer[:1]
                continue
            end = 7 + length
            if len(self._buffer) < end:
                return
            whole = bytes(self._buffer[:end])
            if crc16(whole[:-2]) != int.from_bytes(whole[-2:], "little"):
                self.damaged += 1
                del self._buffer[:1]
                continue
            del self._buffer[:end]
            body = unstuff(whole[7:-2])
            if body[0] != STATUS:
                yield Instruction(whole[4], body[0], body[1:])
