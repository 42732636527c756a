"""The keyboard as a correction device."""

import os
import pty
import select
import subprocess
import sys
import termios

import pytest

from rfs_control.keyboard import Keyboard, KeyDecoder, Terminal, TerminalError

HOLD = 0.3


def test_arrows_letters_and_space_are_told_by_name():
    assert KeyDecoder().feed(b"\x1b[A\x1b[B\x1bOC\x1b[DyN ") == ["up", "down", "right", "left", "y", "n", " "]


def test_an_arrow_that_comes_in_two_pieces_is_one_key():
    decoder = KeyDecoder()
    assert decoder.feed(b"a\x1b[") == ["a"]
    assert decoder.feed(b"Ab") == ["up", "b"]


NO_KEYS = {
    "Ctrl right": b"\x1b[1;5C",
    "Shift F4": b"\x1b[1;2S",
    "F5": b"\x1b[15~",
    "F1 of a console": b"\x1b[[A",
    "F3 of a keypad": b"\x1bOR",
    "Alt x": b"\x1bx",
    "Shift Tab": b"\x1b[Z",
    "bytes": b"\x00\xff\x80",
    "Esc three times": b"\x1b\x1b\x1b",
    "Enter": b"\r\n",
}


@pytest.mark.parametrize("data", NO_KEYS.values(), ids=NO_KEYS)
def test_what_is_no_key_is_none(data):
    assert KeyDecoder().feed(data) == []


@pytest.mark.parametrize("data", NO_KEYS.values(), ids=NO_KEYS)
def test_nor_does_it_become_one_in_pieces_or_swallow_the_next(data):
    decoder = KeyDecoder()
    if data == b"\x1bx":  # in pieces it is Esc, then x
        return
    assert [key for byte in data for key in decoder.feed(bytes([byte]))] == []
    assert decoder.feed(b"c\x1b[A") == ["c", "up"]


def test_a_key_after_esc_is_itself():
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b") == []
    assert decoder.feed(b"n") == ["n"]


def keyboard(*keys):
    made = Keyboard(HOLD, 0.7)
    for key in keys:
        made.press(key, 0.0)
    return made


def test_a_key_pushes_for_a_moment_and_then_no_more():
    """Held until .3 s after it was told of."""
    pressed = keyboard("left")
    assert pressed.reading(0.29).axes.tolist() == [0.0, 0.7, 0.0, 0.0, 0.0, 0.0]
    assert not pressed.reading(0.3).axes.any()
    assert pressed.reading(9.0).at_s == 9.0  # released, not silent


def test_the_opposite_key_takes_over_at_once():
    assert keyboard("up", "down").reading(0.1).axes[0] == -0.7


def test_c_closes_the_hand_and_w_lifts_the_palm():
    closing, lifting = keyboard("c").reading(0.1), keyboard("w").reading(0.1)
    assert (closing.axes[2], closing.lift) == (-0.7, False)
    assert (lifting.axes[2], lifting.lift) == (0.7, True)


def test_space_enables_anywhere_for_as_long_as_it_is_held():
    pressed = keyboard(" ", "up")
    assert pressed.reading(0.1).enable
    assert not pressed.reading(0.4).enable


def test_an_unknown_key_does_nothing():
    assert not keyboard("q", "1", "\x7f").reading(0.1).axes.any()


def test_without_a_terminal_it_says_what_to_do(tmp_path):
    with pytest.raises(TerminalError, match="start this node in a terminal of its own"):
        Terminal(str(tmp_path / "no_tty"))


CHILD = """
import sys, time
from rfs_control.keyboard import Terminal
terminal = Terminal()
print("ready", flush=True)
keys = []
while len(keys) < 3:
    keys += terminal.pressed()
    time.sleep(0.005)
print("keys", keys, flush=True)
{end}
"""


@pytest.mark.parametrize(
    "end",
    ["terminal.close()", "sys.exit(3)", "raise ValueError('a defect')"],
    ids=["closed", "exit", "error"],
)
def test_the_terminal_is_as_before_however_the_process_ends(end):
    """The process gets a terminal of its own, as over SSH."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", CHILD.format(end=end)])
    before = termios.tcgetattr(terminal)
    output = read_until(terminal, b"ready")
    raw = termios.tcgetattr(terminal)
    assert not raw[3] & (termios.ICANON | termios.ECHO)
    assert raw[3] & termios.ISIG  # Ctrl-C goes on meaning Ctrl-C
    os.write(terminal, b"\x1b[Ay ")
    output = read_until(terminal, b"]", output)
    assert b"keys ['up', 'y', ' ']" in output
    read_until(terminal, None)
    os.waitpid(pid, 0)
    after = termios.tcgetattr(terminal)
    os.close(terminal)
    assert after[:4] == before[:4]


def read_until(terminal, text, output=b""):
    """What the terminal shows, until it shows a text anew; None: until the process has ended."""
    seen = b""
    while text is None or text not in seen:
        if not select.select([terminal], [], [], 60.0)[0]:
            pytest.fail(f"nothing for a minute: {output + seen!r}")
        try:
            data = os.read(terminal, 1024)
        except OSError:
            break  # the other side has closed
        if not data:
            break
        seen += data
    return output + seen


def test_a_process_without_a_terminal_is_told_so():
    script = (
        "import os, sys\n"
        "from rfs_control.keyboard import Terminal, TerminalError\n"
        "try:\n    Terminal()\nexcept TerminalError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, start_new_session=True, timeout=120
    )
    assert "no terminal to take keys from" in done.stdout
