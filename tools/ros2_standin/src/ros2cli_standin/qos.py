"""Quality of service of subscriptions: as asked for, else as the publishers offer it."""

import argparse
from typing import Any

from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPresetProfiles,
    QoSProfile,
    ReliabilityPolicy,
)

_PRESETS = ("sensor_data", "services_default", "parameters", "system_default")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options --qos-*."""
    parser.add_argument("--qos-profile", choices=_PRESETS)
    parser.add_argument("--qos-depth", type=int, metavar="N")
    parser.add_argument("--qos-history", choices=("keep_last", "keep_all"))
    parser.add_argument("--qos-reliability", choices=("reliable", "best_effort"))
    parser.add_argument("--qos-durability", choices=("volatile", "transient_local"))


def profile(args: argparse.Namespace, offers: list[Any]) -> QoSProfile:
    """What the options say; what they leave open, so that it fits all publishers (their endpoint infos)."""
    if args.qos_profile:
        result = QoSPresetProfiles.get_from_short_key(args.qos_profile)
        result = QoSProfile(**{slot[1:]: getattr(result, slot[1:]) for slot in result.__slots__})
    else:
        result = QoSProfile(depth=10)
        profiles = [offer.qos_profile for offer in offers]
        if any(p.reliability == ReliabilityPolicy.BEST_EFFORT for p in profiles):
            result.reliability = ReliabilityPolicy.BEST_EFFORT
        if profiles and all(p.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in profiles):
            result.durability = DurabilityPolicy.TRANSIENT_LOCAL
    if args.qos_depth is not None:
        result.depth = args.qos_depth
    if args.qos_history:
        result.history = HistoryPolicy[args.qos_history.upper()]
    if args.qos_reliability:
        result.reliability = ReliabilityPolicy[args.qos_reliability.upper()]
    if args.qos_durability:
        result.durability = DurabilityPolicy[args.qos_durability.upper()]
    return result


def describe(p: QoSProfile) -> str:
    """Two lines of text."""
    depth = f" ({p.depth})" if p.history == HistoryPolicy.KEEP_LAST else ""
    return (
        f"  Reliability: {p.reliability.name}\n  Durability: {p.durability.name}\n"
        f"  History (Depth): {p.history.name}{depth}"
    )
