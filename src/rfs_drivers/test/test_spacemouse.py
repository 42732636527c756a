"""The SpaceMouse driver on the real pyspacemouse and easyhid, over an emulated hidapi.

The library is chosen when a process starts, so what is tested runs in one of its own: a small loop that polls
the driver and answers on a pipe.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from rfs_drivers.emulated.spacemouse_device import EmulatedSpaceMouse, build_hidapi, environment
from rfs_drivers.emulated.spacemouse_main import perform
from rfs_drivers.errors import EmulatorError
from rfs_drivers.spacemouse import AXES

pytest.importorskip("pyspacemouse", reason="an extra: requirements/extra-drivers.txt")

PATIENCE_S = 30.0

DRIVER = """
import json, sys
from rfs_drivers.spacemouse import SpaceMouse, SpaceMouseConfig, SpaceMouseError
mouse = None
for line in sys.stdin:
    request = json.loads(line)
    try:
        if request["do"] == "open":
            mouse = SpaceMouse(SpaceMouseConfig(device=request.get("device", "")))
            answer = {"name": mouse.name}
        else:
            push = mouse.poll(request["now_s"])
            answer = {"axes": push.axes.tolist(), "buttons": push.buttons, "reports": mouse.reports}
    except SpaceMouseError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
"""


class Driver:
    """The driver in its process; time is what the test says it is."""

    def __init__(self, variables):
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **variables},
        )

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def poll(self, now_s):
        return self.ask(do="poll", now_s=now_s)

    def poll_until(self, condition, now_s=0.0):
        """Poll at the same time until what is on its way has come."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            answer = self.poll(now_s)
            if condition(answer):
                return answer
            time.sleep(0.005)
        raise AssertionError(f"not seen: {answer}")

    def close(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return build_hidapi(tmp_path_factory.mktemp("hidapi"))


@pytest.fixture
def mouse(tmp_path):
    made = EmulatedSpaceMouse(tmp_path)
    made.plug()
    yield made
    made.close()


@pytest.fixture
def driver(library, tmp_path):
    made = Driver(environment(library, tmp_path))
    yield made
    made.close()


def test_each_axis_is_what_ros_calls_it(mouse, driver):
    """x forward, y left, z up; 350 of the device's units are a full deflection."""
    assert driver.ask(do="open") == {"name": "SpaceMouseCompact"}
    for axis in AXES:
        for deflection in (1.0, -0.5):
            mouse.push(**{axis: deflection})
            expected = pytest.approx([deflection if name == axis else 0.0 for name in AXES])
            driver.poll_until(lambda a, expected=expected: a["axes"] == expected)


def test_the_devices_own_units_and_signs_are_those_of_the_protocol(mouse, driver):
    """HID +x is right, +y to the user, +z down: as ROS y -1, x -1, z -1 (little-endian, 350 = 0x015e)."""
    driver.ask(do="open")
    for report, expected in (
        (b"\x01\x5e\x01\x00\x00\x00\x00", [0.0, -1.0, 0.0]),
        (b"\x01\x00\x00\x5e\x01\x00\x00", [-1.0, 0.0, 0.0]),
        (b"\x01\x00\x00\x00\x00\x5e\x01", [0.0, 0.0, -1.0]),
    ):
        mouse.send(report)
        driver.poll_until(lambda a, expected=expected: a["axes"][:3] == pytest.approx(expected))


def test_every_queued_report_is_taken_in_one_cycle(mouse, driver):
    """A hundred reports wait; the library's own read would return the first of them."""
    driver.ask(do="open")
    assert mouse.opened
    for i in range(100):
        mouse.send(
            b"\x01" + (0).to_bytes(2, "little") + (-i).to_bytes(2, "little", signed=True) + b"\x00\x00"
        )
    answer = driver.poll(0.0)
    assert answer["reports"] == 100
    assert answer["axes"][0] == pytest.approx(99 / 350)


def test_a_deflection_that_is_not_renewed_counts_as_none(mouse, driver):
    """It is seen at 1 s; stale after .1 s."""
    driver.ask(do="open")
    mouse.push(x=1.0)
    driver.poll_until(lambda a: a["axes"][0] == 1.0, now_s=1.0)
    mouse.stall()
    driver.poll(1.0)  # what was still on its way
    assert driver.poll(1.09)["axes"][0] == 1.0
    assert driver.poll(1.11)["axes"] == [0.0] * 6


def test_buttons_stay_pressed_until_they_are_released(mouse, driver):
    driver.ask(do="open")
    mouse.press(True, False)
    assert driver.poll_until(lambda a: any(a["buttons"]))["buttons"] == [True, False]
    assert driver.poll(10.0)["buttons"] == [True, False]
    mouse.press(False, True)
    driver.poll_until(lambda a: a["buttons"] == [False, True])


def test_unplugging_is_told_and_after_plugging_in_it_opens_again(mouse, driver):
    driver.ask(do="open")
    mouse.push(y=1.0)
    driver.poll_until(lambda a: a["axes"][1] == 1.0)
    mouse.unplug()
    gone = driver.poll_until(lambda a: "error" in a)
    assert "SpaceMouseCompact has gone" in gone["error"]
    assert "is it plugged in?" in driver.ask(do="open")["error"]
    mouse.plug()
    assert driver.ask(do="open") == {"name": "SpaceMouseCompact"}
    assert driver.poll(0.0)["axes"] == [0.0] * 6  # nothing is left of the push
    mouse.push(x=-1.0)
    driver.poll_until(lambda a: a["axes"][0] == -1.0)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ({"do": "push", "x": 100}, "x is 100, needs a number from -1 to 1"),
        ({"do": "push", "yaw": float("nan")}, "yaw is nan"),
        ({"do": "push", "z": [1]}, r"z is \[1\]"),
        ({"do": "push", "w": 0.5}, "unknown axes"),
        ({"do": "press", "buttons": [True] * 9}, "9 buttons, this device has 2"),
        ({"do": "press", "buttons": ["false"]}, "button is 'false', needs true or false"),
    ],
)
def test_a_push_that_no_cap_makes_is_refused(mouse, line, sentence):
    with pytest.raises(EmulatorError, match=sentence):
        perform(mouse, line)


def test_an_unknown_device_is_refused_with_the_known_ones(mouse, driver):
    error = driver.ask(do="open", device="SpaceMoose")["error"]
    assert "'SpaceMoose', known to pyspacemouse: " in error
    assert "SpaceMouseCompact" in error


def test_a_device_that_may_not_be_opened_is_told_with_the_udev_rule(driver, tmp_path):
    """A file where the socket would be: it is listed, and cannot be opened."""
    (tmp_path / "256f_c635_locked.hid").touch()
    assert "udev rule" in driver.ask(do="open")["error"]
