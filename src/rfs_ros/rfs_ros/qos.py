"""Qualities of service of the topics. Publisher and subscriber of different packages must agree on them.

Nothing here is best effort: what a robot does, and what is recorded of it, depends on each message.
"""

from __future__ import annotations

from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy

RELIABLE = QoSProfile(depth=10, reliability=QoSReliabilityPolicy.RELIABLE)
"""Ordinary topics."""

STATES = QoSProfile(depth=50, reliability=QoSReliabilityPolicy.RELIABLE)
"""States at 100 Hz: half a second and more of them for a listener on a busy machine."""

IMAGES = QoSProfile(depth=10, reliability=QoSReliabilityPolicy.RELIABLE)
"""Images and clouds. With a depth of 2 a recorder on a busy machine missed every tenth image."""

LATCHED = QoSProfile(
    depth=1,
    reliability=QoSReliabilityPolicy.RELIABLE,
    durability=QoSDurabilityPolicy.TRANSIENT_LOCAL,
)
"""What is so until it changes: whoever comes late gets the last one."""

EPISODE_STATES = QoSProfile(
    depth=10,
    reliability=QoSReliabilityPolicy.RELIABLE,
    durability=QoSDurabilityPolicy.TRANSIENT_LOCAL,
)
"""For subscribers to episode/state who need each one. Deeper than the latch of its publisher: the end of an
episode and the beginning of the next one follow each other at once, and neither may be lost."""

REWARDS = QoSProfile(depth=1000, reliability=QoSReliabilityPolicy.RELIABLE)
"""Of topic reward, for both sides. An episode's rewards are summed, so each one counts. A simulation goes on
without whoever sums: as many steps as a busy machine keeps that process waiting, or as the heartbeat of Fast
DDS takes (3 s) to repeat a lost message. 1000 control steps are longer than any episode.
"""
