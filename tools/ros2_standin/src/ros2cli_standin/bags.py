"""Bags on disk."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import yaml
from rosbags.rosbag2 import Reader, ReaderError

from .nearest import CommandError


@contextlib.contextmanager
def open_bag(path: Path) -> Iterator[Reader]:
    """A bag opened for reading; CommandError says what is wrong with it."""
    if not path.exists():
        raise CommandError(f"bag '{path}' does not exist")
    if path.is_dir() and not (path / "metadata.yaml").exists():
        files = bag_files(path)
        if not files:
            raise CommandError(f"'{path}' is not a bag: it has no metadata.yaml, no .mcap and no .db3 file")
        names = ", ".join(map(str, files))
        raise CommandError(f"bag '{path}' was not closed (no metadata.yaml); give the file itself: {names}")
    reader = Reader(path)
    try:
        reader.open()
    except (ReaderError, AssertionError, ValueError, KeyError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise CommandError(f"cannot read bag '{path}', it is damaged or was not closed: {reason}") from error
    with contextlib.closing(reader):
        yield reader


def bag_files(path: Path) -> list[Path]:
    """The files with messages that belong to a bag, in order."""
    if not path.is_dir():
        return [path]
    metadata = path / "metadata.yaml"
    if metadata.exists():
        with open(metadata, encoding="utf-8") as file:
            info = yaml.safe_load(file)["rosbag2_bagfile_information"]
        return [path / name for name in info["relative_file_paths"]]
    return sorted([*path.glob("*.mcap"), *path.glob("*.db3")])
