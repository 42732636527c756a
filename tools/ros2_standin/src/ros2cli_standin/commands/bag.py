"""`ros2 bag info | play PATH`; a bag is a folder with metadata.yaml, or one .mcap or .db3 file."""

import argparse
import datetime
import os
from pathlib import Path

from ..bags import bag_files, open_bag
from ..nearest import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ros2 bag`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    info = verbs.add_parser("info", help="what is in a bag")
    info.add_argument("bag_path")
    info.add_argument("-t", "--topic-name", action="store_true", help="only the names of the topics")
    play = verbs.add_parser("play", help="publish what is in a bag, as fast as it was recorded")
    play.add_argument("bag_path")
    play.add_argument("-r", "--rate", type=float, default=1.0, help="times as fast")
    play.add_argument("-l", "--loop", action="store_true", help="again and again")
    play.add_argument("--topics", nargs="+", default=[], metavar="TOPIC", help="only these")
    play.add_argument("--exclude-topics", nargs="+", default=[], metavar="TOPIC", help="not these")
    play.add_argument("-m", "--remap", nargs="+", default=[], metavar="OLD:=NEW", help="other topic names")
    play.add_argument(
        "--clock", nargs="?", type=float, const=40.0, metavar="HZ", help="publish /clock so often (40)"
    )
    play.add_argument("-d", "--delay", type=float, default=0.0, metavar="S", help="before the first message")
    play.add_argument("--start-offset", type=float, default=0.0, metavar="S", help="leave out the beginning")
    play.add_argument("--playback-duration", type=float, metavar="S", help="seconds of the bag to play")
    play.add_argument("-p", "--start-paused", action="store_true", help="until the space bar is pressed")
    play.add_argument("--disable-keyboard-controls", action="store_true")


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    if args.verb == "play":
        from ..bag_play import play

        return play(args)
    return _info(args)


def _info(args: argparse.Namespace) -> int:
    path = Path(args.bag_path)
    with open_bag(path) as bag:
        if args.topic_name:
            print("\n".join(sorted(bag.topics)))
            return 0
        files = bag_files(path)
        size = sum(os.path.getsize(file) for file in files)
        kinds = {file.suffix: "mcap" if file.suffix == ".mcap" else "sqlite3" for file in files}
        count = bag.message_count
        # The reader's end is one nanosecond after the last message.
        begin, end = (bag.start_time, bag.end_time - 1) if count else (0, 0)
        rows = [
            ("Files", "\n".join(file.name for file in files)),
            ("Bag size", _size(size)),
            ("Storage id", ", ".join(sorted(set(kinds.values())))),
            ("ROS Distro", bag.ros_distro or "unknown"),
            ("Duration", f"{(end - begin) / 1e9:.9f}s"),
            ("Start", _moment(begin)),
            ("End", _moment(end)),
            ("Messages", str(count)),
            ("Topic information", "\n".join(_topic_rows(bag))),
        ]
    print()
    for title, text in rows:
        first, *others = text.split("\n")
        print(f"{title + ':':<19}{first}")
        print("".join(f"{'':<19}{line}\n" for line in others), end="")
    print()
    return 0


def _topic_rows(bag) -> list[str]:
    rows = []
    for name, topic in sorted(bag.topics.items()):
        formats = {connection.ext.serialization_format for connection in topic.connections}
        rows.append(
            f"Topic: {name} | Type: {topic.msgtype} | Count: {topic.msgcount} | "
            f"Serialization Format: {', '.join(sorted(formats))}"
        )
    return rows or [""]


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.1f} {unit}" if unit != "B" else f"{size:.0f} B"
        size /= 1024
    return f"{size:.1f} GiB"


def _moment(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    try:
        local = datetime.datetime.fromtimestamp(seconds)
    except (OverflowError, OSError, ValueError) as error:
        raise CommandError(f"the bag's time stamp {nanoseconds} ns is not a date") from error
    return f"{local:%b %d %Y %H:%M:%S}.{rest:09d} ({seconds}.{rest:09d})"
