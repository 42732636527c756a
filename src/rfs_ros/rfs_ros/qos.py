"""Qualities of service that publisher and subscriber of different packages must agree on."""

from __future__ import annotations

from rclpy.qos import QoSProfile, QoSReliabilityPolicy

REWARDS = QoSProfile(depth=1000, reliability=QoSReliabilityPolicy.RELIABLE)
"""Of topic reward, for both sides. An episode's rewards are summed, so each one counts. A simulation goes on
without whoever sums: as many steps as a busy machine keeps that process waiting, or as the heartbeat of Fast
DDS takes (3 s) to repeat a lost message. 1000 control steps are longer than any episode.
"""
