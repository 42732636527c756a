"""Makes a whole bag of what a killed recorder left, or of one that lost its end.

    ros2 run rfs_data recover_bag bags                   every bag in the folder that is not intact
    ros2 run rfs_data recover_bag bags/20260101-120000-003.part

Every chunk that is still whole is read, from the file's beginning to the first byte that makes no sense, and
after a damaged chunk onwards where the next one can be found. The result is a new bag beside the old one,
named `<id>-recovered`; nothing is overwritten or removed. What a recovery leaves that is interrupted is not
in the way of the next one. Exit code 0, or 3 where nothing could be recovered.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Message, Metadata, Schema
from mcap.stream_reader import MAGIC_SIZE, breakup_chunk
from rich.console import Console
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore

from rfs_core.errors import RfsError
from rfs_data.bag_reader import READ_ERRORS, Bag, bags_in
from rfs_data.bag_writer import BagWriter, being_written
from rfs_data.errors import BagError, Reason
from rfs_data.schema import (
    CLOSING_RECORD,
    FORMAT,
    FORMAT_VERSION,
    HEADER_FILE,
    HEADER_KEY,
    OPENING_RECORD,
    PART_SUFFIX,
    RECOVERED_SUFFIX,
    Topic,
    seal_holds,
)

EXIT_LOSS = 3

_RECORD_HEAD = 9


@dataclass
class Salvage:
    """What could be read of a file."""

    header: dict[str, Any] | None = None
    """The closing header where it is there, else the opening one."""
    closed: bool = False
    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    chunks: int = 0
    damaged: list[int] = field(default_factory=list)
    """Offsets of chunks whose checksum does not match."""
    size: int = 0
    """Bytes of the file."""
    read: int = 0
    """Bytes that made sense, from the beginning."""
    ended: str = ""
    """Why reading ended before the end of the file; empty where it did not."""


def salvage(path: Path) -> Salvage:
    """Read an MCAP file as far as it makes sense; damaged chunks are left out.

    Raises:
        OSError: the file cannot be read.
    """
    found = Salvage(size=path.stat().st_size)
    with path.open("rb") as file:
        file.seek(MAGIC_SIZE)
        found.read = min(MAGIC_SIZE, found.size)
        while True:
            offset = file.tell()
            head = file.read(_RECORD_HEAD)
            if len(head) < _RECORD_HEAD:
                found.ended = "" if not head else f"cut in a record at byte {offset}"
                break
            opcode, length = head[0], int.from_bytes(head[1:], "little")
            if offset + _RECORD_HEAD + length > found.size:
                found.ended = f"cut in a record at byte {offset}"
                break
            if opcode in (Opcode.CHUNK, Opcode.METADATA, Opcode.SCHEMA, Opcode.CHANNEL):
                _take(found, opcode, file.read(length), offset)
            file.seek(offset + _RECORD_HEAD + length)
            found.read = offset + _RECORD_HEAD + length
            if opcode == Opcode.DATA_END:
                break
    return found


def _take(found: Salvage, opcode: int, record_bytes: bytes, offset: int) -> None:
    """One record into what was found."""
    # Not from the file itself: a length within the record that makes no sense would be asked for from there.
    stream = ReadDataStream(io.BytesIO(record_bytes))
    try:
        match opcode:
            case Opcode.CHUNK:
                _take_chunk(found, Chunk.read(stream))
            case Opcode.METADATA:
                record = Metadata.read(stream)
                if record.name in (OPENING_RECORD, CLOSING_RECORD):
                    header = json.loads(record.metadata[HEADER_KEY])
                    if not seal_holds(header):
                        raise ValueError("the header's digest does not match")
                    found.header, found.closed = header, record.name == CLOSING_RECORD
            case Opcode.SCHEMA:
                schema = Schema.read(stream)
                found.schemas[schema.id] = schema
            case Opcode.CHANNEL:
                channel = Channel.read(stream)
                found.channels[channel.id] = channel
    except (*READ_ERRORS, TypeError, AttributeError):
        found.damaged.append(offset)


def _take_chunk(found: Salvage, chunk: Chunk) -> None:
    records = breakup_chunk(chunk, validate_crc=True)
    found.chunks += 1
    for record in records:
        if isinstance(record, Schema):
            found.schemas[record.id] = record
        elif isinstance(record, Channel):
            found.channels[record.id] = record
        elif isinstance(record, Message):
            found.messages.append(record)


@dataclass(frozen=True)
class Recovery:
    """What became of one bag."""

    source: Path
    result: Path
    messages: int
    damaged_chunks: int
    lost_bytes: int
    """Bytes of the old file that are in no message of the new bag's."""
    seconds: float
    """From the first to the last recovered message, robot time."""


def recover(path: Path) -> Recovery:
    """Make a whole bag beside `path`.

    Args:
        path: Folder of a bag that is not intact.

    Raises:
        BagError: nothing can be recovered, it was recovered before, or is being recovered.
        OSError: the disk refuses.
    """
    try:
        return _recover(path)
    except (*READ_ERRORS, TypesysError, TypeError, AttributeError) as error:
        # A header that says other things than headers do.
        raise BagError(Reason.DAMAGED, f"{path}: too damaged to recover: {error!r}") from error


def _recover(path: Path) -> Recovery:
    files = sorted(path.glob("*.mcap"))
    if len(files) != 1:
        raise BagError(Reason.NOT_A_BAG, f"{path}: {len(files)} .mcap files in it, needs one")
    if being_written(files[0]):
        raise BagError(Reason.UNFINISHED, f"{path}: is being recorded; wait for its recorder's end")
    _remove_half_recovered(path)
    found = salvage(files[0])
    header = found.header if found.header is not None else _sidecar(path)
    if header is None:
        raise BagError(Reason.NOT_A_BAG, f"{path}: no header of an episode is left in it")
    if (header.get("format"), header.get("format_version")) != (FORMAT, FORMAT_VERSION):
        raise BagError(Reason.FORMAT_VERSION, f"{path}: written in another format than {FORMAT_VERSION}")
    if not found.messages:
        raise BagError(Reason.EMPTY, f"{path}: not a single message is left in it")
    store = get_typestore(Stores.ROS2_JAZZY)
    for schema in found.schemas.values():
        types = get_types_from_msg(schema.data.decode(), schema.name)
        store.register({name: value for name, value in types.items() if name not in store.types})
    topics = {
        entry["name"]: Topic(name, entry["type"], latched=entry["latched"], on_wire=entry["name"])
        for name, entry in header["topics"].items()
    }
    # In the order of the header, the number of a channel is known even where its record is lost.
    order = dict(enumerate(topics.values(), start=1))
    opening = {
        key: value for key, value in header.items() if key not in ("messages", "files", "header_sha256")
    }
    whole = found.closed and not found.damaged
    writer = BagWriter(path.parent, recovered_as(path).name, topics.values(), store, opening)
    try:
        for message in found.messages:
            channel = found.channels.get(message.channel_id)
            topic = topics[channel.topic] if channel is not None else order[message.channel_id]
            writer.write(topic.name, message.log_time, message.publish_time, message.sequence, message.data)
        result = writer.close(
            {
                **opening,
                "complete": bool(whole and header.get("complete")),
                "marks": [*header.get("marks", []), f"recovered from {path.name}"],
                "recovered": {
                    "from": path.name,
                    "closed": found.closed,
                    "damaged_chunks": len(found.damaged),
                    "bytes": found.size,
                    "bytes_read": found.read,
                    "ended": found.ended,
                },
            }
        )
    except BaseException:  # a full disk, Ctrl-C
        writer.abandon()
        shutil.rmtree(writer.part, ignore_errors=True)
        raise
    times = [message.log_time for message in found.messages]
    lost = 0 if whole else found.size - found.read
    seconds = (max(times) - min(times)) * 1e-9
    return Recovery(path, result, len(times), len(found.damaged), lost, seconds)


def _remove_half_recovered(path: Path) -> None:
    """Remove what a recovery of this bag left that was killed."""
    part = path.with_name(recovered_as(path).name + PART_SUFFIX)
    if any(being_written(file) for file in part.glob("*.mcap")):
        raise BagError(Reason.UNFINISHED, f"{path}: is being recovered; wait for the other recover_bag's end")
    if part.exists():
        shutil.rmtree(part)


def recovered_as(path: Path) -> Path:
    """The bag that recovery makes of a bag."""
    return path.with_name(path.name.removesuffix(PART_SUFFIX) + RECOVERED_SUFFIX)


def _sidecar(path: Path) -> dict[str, Any] | None:
    """The header beside the messages, where it is intact."""
    try:
        header = json.loads((path / HEADER_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return header if isinstance(header, dict) and seal_holds(header) else None


def broken(folder: Path) -> Iterator[Path]:
    """Bags in a folder that are not intact and were not recovered yet."""
    for path in bags_in(folder):
        if recovered_as(path).exists():
            continue
        try:
            Bag(path)
        except BagError as error:
            headless = error.reason is Reason.NOT_A_BAG and any(path.glob("*.mcap"))
            if headless or error.reason not in (Reason.NOT_A_BAG, Reason.FORMAT_VERSION, Reason.EMPTY):
                yield path


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `ros2 run rfs_data recover_bag`."""
    parser = argparse.ArgumentParser(
        prog="recover_bag",
        description=__doc__.split("\n\n")[0],
        epilog="example: ros2 run rfs_data recover_bag bags",
    )
    parser.add_argument("folder", type=Path, help="a bag, or a folder of bags")
    arguments = parser.parse_args(argv)
    console = Console()
    if not arguments.folder.is_dir():
        parser.error(f"{arguments.folder} is not a folder")
    code = 0
    paths = list(broken(arguments.folder))
    for path in paths:
        try:
            done = recover(path)
        except (RfsError, OSError) as error:
            console.print(f"[red]nothing recovered[/]  {error}", highlight=False)
            code = EXIT_LOSS
            continue
        lost = f", {done.damaged_chunks} damaged chunks left out" if done.damaged_chunks else ""
        console.print(
            f"[green]recovered[/]  {done.result}: {done.messages} messages, {done.seconds:.2f} s{lost}"
            + (f", {done.lost_bytes} bytes at the end lost" if done.lost_bytes else ""),
            highlight=False,
        )
    if not paths:
        console.print(f"nothing to recover in {arguments.folder}", highlight=False)
    sys.exit(code)


if __name__ == "__main__":
    main()
