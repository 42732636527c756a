"""What the client library's exceptions mean, in one line each.

The texts were measured with franky-control 2.0.0 (libfranka 0.21.2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

LOWEST_LIBFRANKA = {
    10: "0.18.0",
    9: "0.15.0",
    8: "0.14.1",
    7: "0.13.3",
    6: "0.10.0",
    5: "0.9.1",
    4: "0.8.0",
    3: "0.5.0",
}
"""FCI server version -> lowest libfranka that speaks it; doc/compatibility.json of franky."""

FRANKY_FOR_SERVER = {10: "2.0.0", 9: "1.0.2"}
"""FCI server version -> release of franky-control that speaks it, as far as measured."""


class Cause(Enum):
    """Why control ended or a call failed."""

    REFLEX = "reflex"
    COMMUNICATION = "communication"
    USER_STOP = "user stop"
    NETWORK = "network"
    HUNG = "hung"
    VERSION = "version"
    REALTIME = "real-time"
    REFUSED = "refused"
    PREEMPTED = "preempted"
    OTHER = "other"


LOST_CONNECTION = frozenset({Cause.NETWORK, Cause.HUNG})
"""Causes after which the connection is dead and must be made anew."""

FATAL = frozenset({Cause.VERSION, Cause.REALTIME})
"""Causes that no retry can mend."""


class Fault(NamedTuple):
    """A cause and the one line that a person reads."""

    cause: Cause
    reason: str


_LOST = "check the cable and that the robot is on; it is connected anew by itself, then call arm/recover"


def classify(
    error: BaseException, address: str, *, broken_after: float | None = None, call: str = ""
) -> Fault:
    """The fault behind an exception of the client library.

    Args:
        error: what was raised; matched by class name and text, so that the library need not be imported.
        address: of the robot.
        broken_after: where this driver broke the connection of a hung call, the time it had waited, s.
        call: name of that call; empty: connecting.
    """
    kind, text = type(error).__name__, _one_line(str(error))
    if broken_after is not None and call:
        return Fault(
            Cause.HUNG,
            f"robot at {address} did not answer {call!r} for {broken_after:.1f} s, so its connection was "
            "broken off and is made anew: check the network and this machine's load",
        )
    if broken_after is not None:
        return Fault(
            Cause.HUNG,
            f"robot at {address} accepted the connection but did not answer for {broken_after:.1f} s: is "
            "another program connected, or is FCI still starting?",
        )
    if kind == "IncompatibleVersionException":
        return Fault(Cause.VERSION, _version(text, address))
    if kind == "RealtimeException":
        return Fault(
            Cause.REALTIME,
            f"this kernel grants no real-time scheduling ({text}): boot a PREEMPT_RT kernel with rtprio for "
            "this user, or, for an emulated robot only, set realtime:=ignore",
        )
    if "Connection to FCI refused" in text or "onnection refused" in text:
        return Fault(
            Cause.NETWORK,
            f"nothing answers at {address}:1337: is the robot on, unlocked, and FCI activated in Desk?",
        )
    if text == "Net Exception":
        return Fault(Cause.NETWORK, f"connection to {address} is lost: {_LOST}")
    if kind in ("NetworkException", "ProtocolException"):
        return Fault(Cause.NETWORK, f"connection to {address} is lost ({text}): {_LOST}")
    if "User Stop" in text or '"UserStopped"' in text or '"User stopped"' in text:
        return Fault(Cause.USER_STOP, "user stop is pressed: release it, then call arm/recover")
    if "communication_constraints_violation" in text:
        return Fault(
            Cause.COMMUNICATION,
            "robot lost too many commands in a row (communication_constraints_violation): check the network "
            "cable and this machine's load, then call arm/recover",
        )
    if "reflex" in text or '("Reflex")' in text:
        return Fault(
            Cause.REFLEX,
            f"robot stopped by reflex ({error_names(text)}): clear the contact, then call arm/recover",
        )
    if "preempted" in text:
        return Fault(Cause.PREEMPTED, "motion was stopped by another request")
    if kind == "CommandException":
        return Fault(Cause.REFUSED, f"robot refused: {text}")
    if kind == "ControlException":
        return Fault(Cause.REFLEX, f"robot ended control: {text}")
    return Fault(Cause.OTHER, f"{kind}: {text}")


def from_state(mode: str, errors: Sequence[str]) -> Fault | None:
    """The fault that a robot reports while no motion runs; None where it is ready.

    Args:
        mode: name of the robot mode, as the client library has it.
        errors: names of the error flags that are set.
    """
    if mode == "UserStopped":
        return Fault(Cause.USER_STOP, "user stop is pressed: release it, then call arm/recover")
    if errors or mode == "Reflex":
        names = ", ".join(errors) or "no error named"
        if "communication_constraints_violation" in errors:
            return Fault(
                Cause.COMMUNICATION, f"robot reports {names} from before: call arm/recover when it is safe"
            )
        return Fault(Cause.REFLEX, f"robot is in reflex ({names}): clear the contact, then call arm/recover")
    if mode == "Guiding":
        return Fault(Cause.REFUSED, "robot is being guided by hand: release the guiding button")
    return None


def error_names(text: str) -> str:
    """Names in the bracketed list of a libfranka message."""
    listed = re.search(r"\[(.*?)\]", text)
    names = re.findall(r'"([a-z_0-9]+)"', listed.group(1)) if listed else []
    return ", ".join(names) or "cause not named"


def _version(text: str, address: str) -> str:
    numbers = re.search(r"server version: (\d+), library version: (\d+)", text)
    if not numbers:
        return f"robot at {address} and this driver's libfranka speak different versions of FCI: {text}"
    server, library = int(numbers.group(1)), int(numbers.group(2))
    needs = (
        f"libfranka {LOWEST_LIBFRANKA[server]} or later of its line"
        if server in LOWEST_LIBFRANKA
        else "another"
    )
    release = FRANKY_FOR_SERVER.get(server)
    install = f" (franky-control=={release})" if release else ""
    action = "update the robot's system software" if server < library else "update franky-control"
    return (
        f"robot at {address} speaks FCI version {server}, this driver's libfranka version {library}: "
        f"{action}, or install a client for version {server}, which is {needs}{install}"
    )


def _one_line(text: str) -> str:
    return " ".join(text.replace("libfranka: ", "").split())
