"""What a recorded episode consists of: files, topics, header.

    <folder>/<id>/                      one episode, durable since its folder has this name
        <id>_0.mcap                     rosbag2 MCAP: the messages as the bytes that came from the wire
        metadata.yaml                   rosbag2's own index, version 9
        episode.json                    the header below with digests of the two files and of itself
    <folder>/<id>.part/                 being recorded, or what a killed recorder left: see recover_bag

The header is in the MCAP file too: metadata record `rfs_episode_opening` at its start, with what is known
when the episode begins, and `rfs_episode` at its end.
Times in the bag are ROS time, in simulation the robot's.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORMAT = "rfs_episode"
FORMAT_VERSION = 1

OPENING_RECORD = "rfs_episode_opening"
CLOSING_RECORD = "rfs_episode"
HEADER_KEY = "header"
"""Key of the JSON text in both records."""

PART_SUFFIX = ".part"
RECOVERED_SUFFIX = "-recovered"
HEADER_FILE = "episode.json"
METADATA_FILE = "metadata.yaml"

ROSBAG2_VERSION = 9

_STAMP = struct.Struct("<iI")
_NS_PER_S = 1_000_000_000

OUTCOMES = ("none", "success", "failure", "aborted")
"""Names of rfs_msgs/EpisodeState OUTCOME_*, by number."""


@dataclass(frozen=True)
class Topic:
    """A topic that is recorded."""

    name: str
    """Relative name."""
    type: str
    """As in "sensor_msgs/msg/JointState"."""
    latched: bool = False
    """Whoever comes late gets the last message; intermediate ones may be skipped and are not lost."""
    large: bool = False
    """Images and clouds: short queues, and the first to be dropped when the disk is too slow."""
    stamped: bool = True
    """Begins with a std_msgs/Header."""
    counted: bool = True
    """One publisher, so that gaps in its sequence numbers are lost messages."""
    on_wire: str = ""
    """Full name in the ROS graph, with namespace and remappings; empty: `name` in the root namespace."""

    @property
    def bag_name(self) -> str:
        """Name in the bag."""
        return self.on_wire or "/" + self.name.lstrip("/")


TOPICS = (
    Topic("episode/state", "rfs_msgs/msg/EpisodeState", latched=True),
    Topic("safety/state", "rfs_msgs/msg/SafetyState", latched=True),
    Topic("policy/action", "rfs_msgs/msg/PolicyAction"),
    Topic("correction/residual", "rfs_msgs/msg/Correction"),
    Topic("episode/mark", "rfs_msgs/msg/EpisodeMark", counted=False),
    Topic("reward", "rfs_msgs/msg/Reward"),
    Topic("arm/joint_states", "sensor_msgs/msg/JointState"),
    Topic("arm/current_pose", "geometry_msgs/msg/PoseStamped"),
    Topic("arm/target_pose", "geometry_msgs/msg/PoseStamped"),
    Topic("hand/joint_states", "sensor_msgs/msg/JointState"),
    Topic("hand/target", "sensor_msgs/msg/JointState"),
    Topic("hand/contacts", "rfs_msgs/msg/ContactState"),
    Topic("perception/object_pose", "geometry_msgs/msg/PoseStamped"),
    Topic("perception/target_pose", "geometry_msgs/msg/PoseStamped"),
    Topic("perception/goal_pose", "geometry_msgs/msg/PoseStamped"),
    Topic("perception/points", "sensor_msgs/msg/PointCloud2", large=True),
    Topic("camera/color/compressed", "sensor_msgs/msg/CompressedImage", large=True),
    Topic("camera/depth", "sensor_msgs/msg/Image", large=True),
    Topic("camera/camera_info", "sensor_msgs/msg/CameraInfo"),
    Topic("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", counted=False),
)
"""Everything the recorder listens to. Topics that nobody publishes cost nothing."""

STEP_TOPICS = frozenset(
    {
        "policy/action",
        "reward",
        "arm/joint_states",
        "arm/current_pose",
        "arm/target_pose",
        "hand/joint_states",
        "hand/target",
        "hand/contacts",
        "perception/object_pose",
        "perception/goal_pose",
    }
)
"""Topics that the 10 Hz steps are made of."""


def mcap_name(name: str) -> str:
    """Name of the file with the messages of the bag `name`."""
    return f"{name}_0.mcap"


def canonical_json(value: Any) -> bytes:
    """The one spelling of a JSON value that digests are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def sealed(header: dict[str, Any]) -> dict[str, Any]:
    """The header with its own digest."""
    bare = {key: value for key, value in header.items() if key != "header_sha256"}
    return {**bare, "header_sha256": hashlib.sha256(canonical_json(bare)).hexdigest()}


def seal_holds(header: dict[str, Any]) -> bool:
    """Whether a header is as it was when it was sealed."""
    return bool(sealed(header)["header_sha256"] == header.get("header_sha256"))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stamp_ns(data: bytes) -> int | None:
    """Stamp of a CDR message that begins with a std_msgs/Header (ns); None for another byte order."""
    if len(data) < 12 or data[1] != 1:
        return None
    seconds, nanoseconds = _STAMP.unpack_from(data, 4)
    return int(seconds) * _NS_PER_S + int(nanoseconds)
