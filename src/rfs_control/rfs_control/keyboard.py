"""The keyboard of a terminal as a correction device, over SSH too.

A terminal tells of keys pressed, never of keys released: a key counts as held for a moment, and is renewed by
the terminal's own repetition. The terminal is put back as it was at the end, however that comes about but by
kill -9 (then: `stty sane`).
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import select
import termios
import tty
from collections.abc import Mapping
from typing import Any

import numpy as np

from rfs_core.correction import AXES, Reading
from rfs_core.errors import RfsError

_ESCAPE = b"\x1b"
_LONGEST = 32
"""Bytes of a sequence; longer, and it is none."""
ESCAPES = {b"A": "up", b"B": "down", b"C": "right", b"D": "left"}
"""Last byte of ESC [ x, as terminals send arrow keys; also ESC O x."""

MOVES: Mapping[str, tuple[str, float]] = {
    "up": ("x", 1.0),
    "down": ("x", -1.0),
    "left": ("y", 1.0),
    "right": ("y", -1.0),
    "c": ("z", -1.0),
    "o": ("z", 1.0),
}
"""Keys that push: which axis, which way. The cap pushed down closes the hand."""
LIFTS: Mapping[str, float] = {"w": 1.0, "s": -1.0}
"""Keys that move the palm up and down."""
ENABLE = " "
"""Held: corrections act anywhere."""

HELP = (
    "arrows: palm forward, back, left, right · c, o: close, open the hand · w, s: palm up, down · "
    "space: anywhere, not only near the table · y: success · n: failure · x: discard"
)


class TerminalError(RfsError):
    """No terminal to take keys from."""


class KeyDecoder:
    """Bytes of a terminal to names of keys; an arrow's bytes may come in two pieces.

    A key of several bytes that is no plain arrow (with Ctrl, Shift or Alt, or a function key) is none at all:
    its last letter shall not act as the key of that letter. As in ECMA-48, a sequence is ESC [ or ESC O, then
    parameters, then one byte of 0x40 to 0x7e.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Keys that are complete now."""
        waiting = len(self._rest)
        data, keys = self._rest + data, []
        self._rest = b""
        i = 0
        while i < len(data):
            if data[i : i + 1] != _ESCAPE:
                if 32 <= data[i] < 127:
                    keys.append(chr(data[i]).lower())
                i += 1
                continue
            kind = data[i + 1 : i + 2]
            if kind in (b"[", b"O"):
                end = _end(data, i + 2)
                if end >= len(data):
                    self._rest = data[i:] if end - i <= _LONGEST else b""
                    break
                if end == i + 2 and data[end : end + 1] in ESCAPES:
                    keys.append(ESCAPES[data[end : end + 1]])
                i = end + 1 if 0x40 <= data[end] <= 0x7E else end
            elif not kind:
                self._rest = _ESCAPE
                break
            else:
                # Alt and a key come at once; the key Esc comes alone.
                with_alt = kind != _ESCAPE and i + 1 != waiting
                i += 2 if with_alt else 1
        return keys


def _end(data: bytes, i: int) -> int:
    """Where the parameters end that begin at i."""
    if data[i : i + 1] == b"[":  # function keys of the Linux console: ESC [ [ A
        i += 1
    while i < len(data) and 0x20 <= data[i] <= 0x3F:
        i += 1
    return i


class Keyboard:
    """What the pressed keys mean as a deflected cap."""

    def __init__(self, hold_s: float, deflection: float) -> None:
        """
        Args:
            hold_s: how long a key counts as held after it was told of.
            deflection: of a held key.
        """
        self._hold_s, self._deflection = hold_s, deflection
        self._until: dict[str, float] = {}

    def press(self, key: str, now_s: float) -> None:
        """A key was told of."""
        if key in MOVES:
            for other, (axis, _) in MOVES.items():
                if axis == MOVES[key][0]:
                    self._until.pop(other, None)
        elif key in LIFTS:
            for other in LIFTS:
                self._until.pop(other, None)
        elif key != ENABLE:
            return
        self._until[key] = now_s + self._hold_s

    def reading(self, now_s: float) -> Reading:
        """The deflections now; a keyboard is never silent, its keys are only released."""
        held = {key for key, until in self._until.items() if now_s < until}
        lifting = held & LIFTS.keys()
        axes = np.zeros(6)
        for key in held & MOVES.keys():
            axis, sign = MOVES[key]
            if not (lifting and axis == "z"):
                axes[AXES.index(axis)] = sign * self._deflection
        for key in lifting:
            axes[AXES.index("z")] = LIFTS[key] * self._deflection
        return Reading(now_s, axes, enable=ENABLE in held, lift=bool(lifting))


class Terminal:
    """A terminal, delivering keys one by one. Ctrl-C goes on meaning Ctrl-C."""

    def __init__(self, path: str = "/dev/tty") -> None:
        """Args: path: of the terminal; the default is the one that controls this process.

        Raises:
            TerminalError: there is none, or this process is in its background.
        """
        self._decoder = KeyDecoder()
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
            before = termios.tcgetattr(self._file)
        except (OSError, termios.error) as error:
            raise TerminalError(
                f"no terminal to take keys from ({path}: {error}): start this node in a terminal of its own, "
                "`ros2 run rfs_control correction_node`, or log in with `ssh -t`"
            ) from error
        self._before: list[Any] | None = before
        if not self._in_foreground():
            os.close(self._file)
            raise TerminalError(
                "in the background of its terminal: keys go elsewhere; start it in the foreground"
            )
        atexit.register(self.close)
        tty.setcbreak(self._file, termios.TCSADRAIN)

    def pressed(self) -> list[str]:
        """Keys since the last call; none where the terminal has gone or gives them to another process."""
        if self._before is None or not self._in_foreground():
            return []
        keys: list[str] = []
        while select.select([self._file], [], [], 0.0)[0]:
            try:
                data = os.read(self._file, 64)
            except OSError:
                break
            if not data:
                break
            keys += self._decoder.feed(data)
        return keys

    def close(self) -> None:
        """Put the terminal back as it was; again does nothing."""
        before, self._before = self._before, None
        if before is None:
            return
        atexit.unregister(self.close)
        # A terminal that has hung up cannot be put back.
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(self._file, termios.TCSADRAIN, before)
        os.close(self._file)

    def _in_foreground(self) -> bool:
        """A read of the controlling terminal from its background would stop this process.

        A terminal that does not control it, since launch gave it a session of its own, stops nobody.
        """
        try:
            return os.tcgetpgrp(self._file) == os.getpgrp()
        except OSError as error:
            return error.errno == errno.ENOTTY
