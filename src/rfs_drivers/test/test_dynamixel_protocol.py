"""Protocol 2.0 of the emulated bus: against packets of the manual, and against the vendor's own library."""

from __future__ import annotations

import random

import pytest

from rfs_drivers.emulated import dynamixel_protocol as dxl

PING_1 = bytes.fromhex("FFFFFD00 01 0300 01 194E")
READ_POSITION_1 = bytes.fromhex("FFFFFD00 01 0700 02 84000400 1D15")


def test_packets_of_the_manual_are_made_byte_for_byte() -> None:
    assert dxl.packet(1, bytes([dxl.PING])) == PING_1
    assert dxl.packet(1, bytes([dxl.READ, 0x84, 0, 4, 0])) == READ_POSITION_1
    # Status of motor 1: model 1030 (0x0406), firmware 0x26.
    assert dxl.status(1, 0, bytes.fromhex("060426")) == bytes.fromhex("FFFFFD00 01 0700 55 00 060426 655D")


def test_packets_are_found_in_pieces_and_between_noise() -> None:
    stream = b"\xff\xff\x00\x12" + PING_1 + b"\xff" + READ_POSITION_1
    parser = dxl.Parser()
    found = [packet for byte in stream for packet in parser.feed(bytes([byte]))]
    assert found == [
        dxl.Instruction(1, dxl.PING, b""),
        dxl.Instruction(1, dxl.READ, bytes([0x84, 0, 4, 0])),
    ]


def test_a_damaged_packet_is_dropped_and_the_next_one_found() -> None:
    damaged = PING_1[:-1] + bytes([PING_1[-1] ^ 1])
    parser = dxl.Parser()
    assert list(parser.feed(damaged + PING_1)) == [dxl.Instruction(1, dxl.PING, b"")]
    assert parser.damaged == 1


def test_a_header_inside_the_data_is_stuffed_on_the_wire_and_not_in_the_hand() -> None:
    data = bytes([0x74, 0]) + b"\xff\xff\xfd\x00"
    packet = dxl.packet(1, bytes([dxl.WRITE]) + data)
    assert b"\xff\xff\xfd\xfd\x00" in packet
    assert list(dxl.Parser().feed(packet)) == [dxl.Instruction(1, dxl.WRITE, data)]


def test_crc_and_stuffing_are_those_of_the_vendor_s_library() -> None:
    sdk = pytest.importorskip("dynamixel_sdk", reason="needs dynamixel-sdk: make setup EXTRAS=drivers")
    handler = sdk.PacketHandler(2.0)
    dice = random.Random(1)
    for _ in range(200):
        body = bytes(dice.choice((0xFF, 0xFD, 0, 7)) for _ in range(dice.randrange(3, 40)))
        assert dxl.crc16(body) == handler.updateCRC(0, list(body), len(body))
        plain = [0xFF, 0xFF, 0xFD, 0, 1, len(body) + 2, 0, *body, 0, 0]
        stuffed = handler.addStuffing(plain)
        end = 7 + stuffed[5] + 256 * stuffed[6]
        assert bytes(stuffed[7 : end - 2]) == dxl.stuff(body)


def test_a_fast_answer_is_one_packet_with_a_crc_after_every_servo() -> None:
    line = dxl.fast_status([(3, 0, b"\x01\x02"), (4, 0x80, b"\x03\x04")], expected=2)
    # Length: 55, then twice error, id, two bytes, CRC.
    assert line[:8] == bytes.fromhex("FFFFFD00 FE 0D00 55")
    assert line[8:12] == bytes([0, 3, 1, 2])
    assert int.from_bytes(line[12:14], "little") == dxl.crc16(line[:12])
    assert line[14:18] == bytes([0x80, 4, 3, 4])
    assert int.from_bytes(line[18:], "little") == dxl.crc16(line[:18])
