"""Opens a bag and proves it intact: sizes, digests and checksums, before any message is believed."""

from __future__ import annotations

import functools
import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcap.exceptions import McapError
from mcap.reader import SeekingReader
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from rfs_core.errors import SpecError
from rfs_core.specs import ActionSpec, ObservationSpec
from rfs_data.errors import BagError, Reason
from rfs_data.schema import (
    FORMAT,
    FORMAT_VERSION,
    HEADER_FILE,
    METADATA_FILE,
    PART_SUFFIX,
    RECOVERED_SUFFIX,
    file_sha256,
    mcap_name,
    seal_holds,
)

READ_ERRORS = (
    McapError,
    ValueError,
    LookupError,
    RuntimeError,
    struct.error,
    ArithmeticError,
    MemoryError,
    EOFError,
)
"""What the MCAP library and decompressors raise for bytes that make no sense."""
_LARGEST_RECORD = 512 * 1024 * 1024


@dataclass(frozen=True)
class RawMessage:
    """A message of a bag."""

    topic: str
    """Relative name, as in `rfs_data.schema.TOPICS`."""
    log_ns: int
    """When it was received (ROS time, ns)."""
    publish_ns: int
    """When it was sent (clock of the sender, ns)."""
    sequence: int
    data: bytes
    """CDR."""


class Bag:
    """An intact bag."""

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: Folder of one episode.

        Raises:
            BagError: not a bag, not closed, not what was written, or of another format.
        """
        self.path = path
        self.header = _intact_header(path)
        self.mcap = path / next(name for name in self.header["files"] if name.endswith(".mcap"))
        self._types: tuple[tuple[str, str], ...] = ()

    @property
    def episode(self) -> dict[str, Any]:
        """Id, index, seed, task, outcome and times."""
        episode: dict[str, Any] = self.header["episode"]
        return episode

    @property
    def action_spec(self) -> ActionSpec:
        """What its actions mean."""
        spec: ActionSpec = self._spec("action_spec", ActionSpec)
        return spec

    @property
    def observation_spec(self) -> ObservationSpec:
        """What its observations mean."""
        spec: ObservationSpec = self._spec("observation_spec", ObservationSpec)
        return spec

    def _spec(self, key: str, kind: type[Any]) -> Any:
        try:
            return kind.from_dict(self.header[key])
        except (SpecError, KeyError) as error:
            raise BagError(Reason.OTHER_SPEC, f"{self.path}: its {key} cannot be read: {error}") from error

    def messages(self, topics: Iterable[str] | None = None) -> Iterator[RawMessage]:
        """Messages in the order of their receipt.

        Args:
            topics: Relative names; None for all.

        Raises:
            BagError: a chunk is damaged.
        """
        names = {entry["name"]: topic for topic, entry in self.header["topics"].items()}
        known = self.header["topics"]
        wanted = None if topics is None else {known[topic]["name"] for topic in topics if topic in known}
        try:
            with self.mcap.open("rb") as file:
                reader = SeekingReader(file, validate_crcs=True, record_size_limit=_LARGEST_RECORD)
                summary = reader.get_summary()
                schemas = summary.schemas.values() if summary is not None else ()
                self._types = tuple((schema.name, schema.data.decode()) for schema in schemas)
                for _, channel, message in reader.iter_messages(topics=wanted):
                    yield RawMessage(
                        names[channel.topic],
                        message.log_time,
                        message.publish_time,
                        message.sequence,
                        message.data,
                    )
        except READ_ERRORS as error:
            raise BagError(Reason.DAMAGED, f"{self.mcap}: {type(error).__name__}: {error}") from error

    def decode(self, message: RawMessage) -> Any:
        """The message as an object with the fields of its type.

        Raises:
            BagError: its bytes are not a message of that type.
        """
        kind = self.header["topics"][message.topic]["type"]
        try:
            return _typestore(self._types).deserialize_cdr(message.data, kind)
        except (*READ_ERRORS, SerdeError, AssertionError, TypeError) as error:
            raise BagError(
                Reason.DAMAGED, f"{self.path}: a message on {message.topic} is not a {kind}: {error!r}"
            ) from error


@functools.lru_cache(maxsize=8)
def _typestore(types: tuple[tuple[str, str], ...]) -> Typestore:
    """Decodes messages by the definitions in the bag: name and text of every type."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for name, text in types:
        found = get_types_from_msg(text, name)
        store.register({key: value for key, value in found.items() if key not in store.types})
    return store


def _intact_header(path: Path) -> dict[str, Any]:
    """The header of a bag whose every file is what was written."""
    hint = "run `ros2 run rfs_data recover_bag` on it"
    if not path.is_dir():
        raise BagError(Reason.NOT_A_BAG, f"{path}: not a folder; a bag is the folder of one episode")
    if path.name.endswith(PART_SUFFIX):
        raise BagError(Reason.UNFINISHED, f"{path}: was not closed, its recorder was killed or runs: {hint}")
    header_file = path / HEADER_FILE
    if not header_file.exists():
        if not any(path.glob("*.mcap")):
            raise BagError(Reason.NOT_A_BAG, f"{path}: no {HEADER_FILE} and no .mcap file in it")
        raise BagError(
            Reason.NOT_A_BAG, f"{path}: no {HEADER_FILE}: not an episode of this recorder, or {hint}"
        )
    try:
        header = json.loads(header_file.read_bytes())
    except (OSError, ValueError) as error:
        raise BagError(Reason.DAMAGED, f"{header_file}: cannot be read ({error}): {hint}") from error
    if not isinstance(header, dict) or not seal_holds(header):
        raise BagError(Reason.DAMAGED, f"{header_file}: its digest does not match: {hint}")
    version = (header.get("format"), header.get("format_version"))
    if version != (FORMAT, FORMAT_VERSION):
        raise BagError(
            Reason.FORMAT_VERSION,
            f"{path}: format {version[0]} {version[1]}, this program reads {FORMAT} {FORMAT_VERSION}",
        )
    for name, file in header["files"].items():
        _check_file(path / name, file["bytes"], file["sha256"], hint)
    if not header.get("messages"):
        raise BagError(Reason.EMPTY, f"{path}: not a single message was recorded")
    return header


def _check_file(path: Path, size: int, sha256: str, hint: str) -> None:
    try:
        found = path.stat().st_size
        if found == 0 and size:
            raise BagError(Reason.TRUNCATED, f"{path}: is empty, was {size} bytes: the file is lost")
        if found != size:
            raise BagError(Reason.TRUNCATED, f"{path}: {found} bytes, was {size} when it was closed: {hint}")
        if file_sha256(path) != sha256:
            raise BagError(Reason.DAMAGED, f"{path}: not the bytes that were written: {hint}")
    except OSError as error:
        raise BagError(Reason.DAMAGED, f"{path}: cannot be read: {error}: {hint}") from error


def bags_in(folder: Path) -> list[Path]:
    """Every bag in a folder, finished or not, in the order of names; the folder itself where it is one.

    What an interrupted recovery left is none: the bag that it was made from is still there.
    """
    if folder.name in ("", ".."):
        folder = folder.resolve()  # a bag has a name
    if _half_recovered(folder):
        return []
    if (folder / HEADER_FILE).exists() or folder.name.endswith(PART_SUFFIX):
        return [folder]
    if not folder.is_dir():
        return []
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and _looks_like_bag(path))
    # A bag that has lost its header, or a stray file beside bags.
    return inside or ([folder] if any(folder.glob("*.mcap")) else [])


def _half_recovered(path: Path) -> bool:
    return path.name.endswith(RECOVERED_SUFFIX + PART_SUFFIX)


def _looks_like_bag(path: Path) -> bool:
    return not _half_recovered(path) and (
        path.name.endswith(PART_SUFFIX)
        or (path / HEADER_FILE).exists()
        or (path / METADATA_FILE).exists()
        or (path / mcap_name(path.name)).exists()
    )
