"""Message types as text, for bags that explain themselves."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from rfs_core.errors import RfsError


@functools.lru_cache(maxsize=1)
def typestore() -> Typestore:
    """The types of ROS 2 Jazzy and of rfs_msgs.

    Raises:
        RfsError: rfs_msgs is not in the environment.
    """
    store = get_typestore(Stores.ROS2_JAZZY)
    types = {}
    for path in sorted(_share("rfs_msgs").glob("msg/*.msg")):
        types.update(get_types_from_msg(path.read_text(encoding="utf-8"), f"rfs_msgs/msg/{path.stem}"))
    store.register({name: value for name, value in types.items() if name not in store.types})
    return store


def _share(package: str) -> Path:
    """The installed share folder of a ROS package."""
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        share = Path(prefix) / "share" / package
        if prefix and (share / "msg").is_dir():
            return share
    raise RfsError(
        f"package {package} is not on AMENT_PREFIX_PATH: build the workspace and source its environment"
    )
