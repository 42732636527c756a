"""ROS namespaces."""

from __future__ import annotations


def is_namespace_absolute(ns: str) -> bool:
    """True for '/...'."""
    return ns.startswith("/")


def make_namespace_absolute(ns: str | None) -> str | None:
    """With a '/' in front; None stays None."""
    return ns if ns is None or ns.startswith("/") else "/" + ns


def prefix_namespace(base_ns: str | None, ns: str | None) -> str | None:
    """`ns` below `base_ns` unless it is absolute; None where both are."""
    if ns is None:
        combined = base_ns
    elif not base_ns or ns.startswith("/"):
        combined = ns
    else:
        combined = ("" if base_ns == "/" else base_ns) + "/" + ns
    return combined if combined in (None, "/") else combined.rstrip("/")
