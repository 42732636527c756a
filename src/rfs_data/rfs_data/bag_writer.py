"""Writes one episode as a rosbag2 MCAP bag that appears under its name whole, or not at all.

While it is recorded the folder is called `<name>.part`. `flush` hands everything to the operating system, so
that a process killed afterwards has lost none of it; `close` puts it on the disk (fsync of files and folders)
and gives the folder its name.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from mcap.writer import CompressionType, Writer
from rosbags.typesys.store import Typestore

from rfs_data.errors import BagError, Reason
from rfs_data.schema import (
    CLOSING_RECORD,
    HEADER_FILE,
    HEADER_KEY,
    METADATA_FILE,
    OPENING_RECORD,
    PART_SUFFIX,
    ROSBAG2_VERSION,
    Topic,
    canonical_json,
    mcap_name,
    sealed,
)

COMPRESSIONS = {"none": CompressionType.NONE, "lz4": CompressionType.LZ4}

_CHUNK_BYTES = 1024 * 1024
_NEVER = {"sec": 9223372036, "nsec": 854775807}
"""How rosbag2 writes an infinite duration."""


class _DigestingFile:
    """A file written from its start to its end, with the digest of what was written."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        # Whoever recovers bags sees that this one is being written; the lock ends with the process.
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> int:
        """Hand `data` to the operating system. Raises OSError, for example for a full disk."""
        view = memoryview(data)
        while view:
            written = os.write(self._descriptor, view)
            self._digest.update(view[:written])
            self._size += written
            view = view[written:]
        return len(data)

    def tell(self) -> int:
        """Bytes written."""
        return self._size

    def flush(self) -> None:
        """Nothing is kept back."""

    @property
    def sha256(self) -> str:
        """Digest of the bytes written, in hex."""
        return self._digest.hexdigest()

    def sync(self) -> None:
        """Onto the disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class BagWriter:
    """One episode."""

    def __init__(
        self,
        folder: Path,
        name: str,
        topics: Iterable[Topic],
        typestore: Typestore,
        opening: dict[str, Any],
        compression: str = "lz4",
    ) -> None:
        """
        Args:
            folder: Where the bag's folder is made; created where it does not exist.
            name: The bag's name; neither it nor its .part may exist.
            topics: What may be written.
            typestore: Knows their types.
            opening: The header as far as it is known now.
            compression: of chunks, one of COMPRESSIONS.

        Raises:
            BagError: the name is taken, or is none.
            OSError: the disk refuses.
        """
        if not name or name.startswith(".") or "/" in name or name.endswith(PART_SUFFIX):
            raise BagError(Reason.NOT_A_BAG, f"episode id {name!r} cannot name a bag: it names no folder")
        self.path = folder / name
        self.part = folder / (name + PART_SUFFIX)
        for path in (self.path, self.part):
            if path.exists():
                raise BagError(Reason.NOT_A_BAG, f"{path} exists already; bags are never overwritten")
        folder.mkdir(parents=True, exist_ok=True)
        self.part.mkdir()
        self._name = name
        self._topics = tuple(topics)
        self._hashes: dict[str, str] = {}
        self._channels: dict[str, int] = {}
        self.counts = {topic.name: 0 for topic in self._topics}
        """Messages written, by topic."""
        self._first_ns, self._last_ns = 2**63 - 1, 0
        self._file = _DigestingFile(self.part / mcap_name(name))
        self._writer = Writer(
            self._file,  # type: ignore[arg-type]
            chunk_size=_CHUNK_BYTES,
            compression=COMPRESSIONS[compression],
            enable_data_crcs=True,
        )
        try:
            self._writer.start(profile="ros2", library="rfs_data")
            self._writer.add_metadata(OPENING_RECORD, {HEADER_KEY: canonical_json(sealed(opening)).decode()})
            self._register(typestore)
        except BaseException:
            self._file.close()
            shutil.rmtree(self.part, ignore_errors=True)  # nothing worth recovering is in it
            raise

    @property
    def size(self) -> int:
        """Bytes in the file so far."""
        return self._file.tell()

    def _register(self, typestore: Typestore) -> None:
        schemas: dict[str, int] = {}
        for topic in self._topics:
            kind = topic.type
            if kind not in schemas:
                text, _ = typestore.generate_msgdef(kind, ros_version=2)
                self._hashes[kind] = typestore.hash_rihs01(kind)
                schemas[kind] = self._writer.register_schema(kind, "ros2msg", text.encode())
            self._channels[topic.name] = self._writer.register_channel(
                topic.bag_name,
                "cdr",
                schemas[kind],
                {
                    "offered_qos_profiles": yaml.safe_dump([_qos(topic)], sort_keys=False).strip(),
                    "topic_type_hash": self._hashes[kind],
                },
            )

    def write(self, topic: str, log_ns: int, publish_ns: int, sequence: int, data: bytes) -> None:
        """Append a message.

        Args:
            topic: Name of one of the bag's topics.
            log_ns: When it was received (ROS time, ns).
            publish_ns: When it was sent (clock of the sender, ns).
            sequence: Its number among its publisher's messages; 0 where unknown.
            data: CDR bytes.
        """
        self._writer.add_message(self._channels[topic], log_ns, data, publish_ns, sequence & 0xFFFFFFFF)
        self.counts[topic] += 1
        self._first_ns = min(self._first_ns, log_ns)
        self._last_ns = max(self._last_ns, log_ns)

    def flush(self) -> None:
        """Hand everything to the operating system; a killed process loses none of it."""
        self._writer.flush()  # type: ignore[no-untyped-call]

    def close(self, closing: dict[str, Any]) -> Path:
        """Complete the bag, put it on the disk and give it its name. Returns its folder.

        Args:
            closing: The header, complete but for digests and counts.

        Raises:
            OSError: the disk refuses; the .part folder stays.
        """
        header = {**closing, "messages": {name: count for name, count in self.counts.items() if count}}
        information = self._metadata(header)
        text = yaml.safe_dump(information, sort_keys=False)
        self._writer.flush()  # type: ignore[no-untyped-call]
        self._writer.add_metadata(CLOSING_RECORD, {HEADER_KEY: canonical_json(sealed(header)).decode()})
        self._writer.add_metadata("rosbag2", {"serialized_metadata": text})
        self._writer.finish()  # type: ignore[no-untyped-call]
        self._file.sync()
        self._file.close()
        metadata = yaml.safe_dump({"rosbag2_bagfile_information": information}, sort_keys=False).encode()
        write_synced(self.part / METADATA_FILE, metadata)
        header["files"] = {
            mcap_name(self._name): {"bytes": self._file.tell(), "sha256": self._file.sha256},
            METADATA_FILE: {"bytes": len(metadata), "sha256": hashlib.sha256(metadata).hexdigest()},
        }
        write_synced(self.part / HEADER_FILE, canonical_json(sealed(header)))
        sync_folder(self.part)
        self.part.rename(self.path)
        sync_folder(self.path.parent)
        return self.path

    def abandon(self) -> None:
        """Leave the .part folder as it is, for recover_bag."""
        self._file.close()

    def _metadata(self, header: dict[str, Any]) -> dict[str, Any]:
        count = sum(self.counts.values())
        start = {"nanoseconds_since_epoch": self._first_ns if count else 0}
        duration = {"nanoseconds": max(0, self._last_ns - self._first_ns) if count else 0}
        episode = header.get("episode", {})
        return {
            "version": ROSBAG2_VERSION,
            "storage_identifier": "mcap",
            "duration": duration,
            "starting_time": start,
            "message_count": count,
            "topics_with_message_count": [
                {
                    "topic_metadata": {
                        "name": topic.bag_name,
                        "type": topic.type,
                        "serialization_format": "cdr",
                        "offered_qos_profiles": [_qos(topic)],
                        "type_description_hash": self._hashes[topic.type],
                    },
                    "message_count": self.counts[topic.name],
                }
                for topic in self._topics
            ],
            "compression_format": "",
            "compression_mode": "",
            "relative_file_paths": [mcap_name(self._name)],
            "files": [
                {
                    "path": mcap_name(self._name),
                    "starting_time": start,
                    "duration": duration,
                    "message_count": count,
                }
            ],
            "custom_data": {
                "rfs_format": f"{header.get('format')} {header.get('format_version')}",
                **{f"rfs_{key}": str(episode.get(key, "")) for key in ("id", "task", "seed", "index")},
                "rfs_outcome": str(episode.get("outcome", "")),
                "rfs_checkpoint": str(header.get("checkpoint", {}).get("id", "")),
            },
            "ros_distro": "jazzy",
        }


def _qos(topic: Topic) -> dict[str, Any]:
    return {
        "history": "keep_last",
        "depth": 1 if topic.latched else 10,
        "reliability": "reliable",
        "durability": "transient_local" if topic.latched else "volatile",
        "deadline": dict(_NEVER),
        "lifespan": dict(_NEVER),
        "liveliness": "automatic",
        "liveliness_lease_duration": dict(_NEVER),
        "avoid_ros_namespace_conventions": False,
    }


def being_written(path: Path) -> bool:
    """Whether a living recorder writes to this file."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def write_synced(path: Path, data: bytes) -> None:
    """A new file, on the disk when this returns."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """The names in a folder, onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
