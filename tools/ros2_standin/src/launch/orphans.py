"""Every descendant of a launch, found by a mark in its environment and ended.

Children run in sessions of their own and may start grandchildren in further sessions; some of those outlive
their parents. The mark in their environment tells to which launch they belong. Nested launches add their own.

As a program (`python orphans.py MARK FOLDER`), it watches: when its stdin reaches the end because the launch
is gone, by SIGKILL as well, it stops what is left and removes the launch's temporary files. Standard library
only: it runs in an isolated interpreter.
"""

import contextlib
import os
import shutil
import signal
import sys
import time

MARK_VARIABLE = "ROS2_STANDIN_LAUNCH_MARKS"


def marked_environment(environment, mark):
    """A copy of `environment` whose processes are found under `mark`."""
    outer = environment.get(MARK_VARIABLE) or os.environ.get(MARK_VARIABLE)
    return {**environment, MARK_VARIABLE: f"{outer}:{mark}" if outer else mark}


def find_marked(mark):
    """Process ids of the running processes (no zombies) that carry the mark, without this one."""
    wanted = mark.encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                environment = file.read()
        except OSError:
            continue  # ended meanwhile, or another user's
        if wanted in environment and _carries(environment, wanted) and not _is_zombie(name):
            found.append(int(name))
    return found


def _carries(environment, mark):
    prefix = MARK_VARIABLE.encode() + b"="
    for entry in environment.split(b"\0"):
        if entry.startswith(prefix):
            return mark in entry[len(prefix) :].split(b":")
    return False


def _is_zombie(name):
    try:
        with open(f"/proc/{name}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[:1] == [b"Z"]
    except OSError:
        return True


def send(pids, signal_number):
    """Send a signal to each of the processes that still exist."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal_number)


def end_marked(mark, escalation):
    """Send the signals of `escalation`, (signal, seconds until the next), until no marked process is left.

    Returns the process ids that were found at the beginning.
    """
    first = left = find_marked(mark)
    for signal_number, patience in escalation:
        if not left:
            break
        send(left, signal_number)
        deadline = time.monotonic() + patience
        while left and time.monotonic() < deadline:
            time.sleep(0.02)
            left = find_marked(mark)
    return first


def _watch(mark, folder):
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(signal_number, signal.SIG_IGN)
    if sys.stdin.buffer.read() == b"done":
        return
    end_marked(mark, ((signal.SIGINT, 4.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0)))
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _watch(sys.argv[1], sys.argv[2])
