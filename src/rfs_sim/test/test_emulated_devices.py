"""Arm and hand on one world: one time, one physics, and a reset between two cycles."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rfs_core.config import from_mapping
from rfs_core.errors import ConfigError
from rfs_drivers.emulated.fci_admin import AdminClient
from rfs_drivers.emulated.fci_process import free_address
from rfs_drivers.emulated.fci_server import FciServer
from rfs_drivers.errors import EmulatorError
from rfs_sim.driven import STEPS_PER_TICK, DrivenWorld
from rfs_sim.emulated_config import EmulatedConfig
from rfs_sim.nodes.emulated_devices import EmulatedDevices

PATIENCE_S = 60.0


class Ticks:
    """Counts cycles, and lets a test wait for them."""

    def __init__(self) -> None:
        self.cycles = 0
        self.ended = 0
        self._wake = threading.Condition()

    def __call__(self, ended: bool) -> None:
        with self._wake:
            self.cycles += 1
            self.ended += ended
            self._wake.notify_all()

    def wait_for(self, cycles: int) -> None:
        with self._wake:
            assert self._wake.wait_for(lambda: self.cycles >= cycles, PATIENCE_S)


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def devices(tmp_path: Path, ticks: Ticks) -> Iterator[EmulatedDevices]:
    made = EmulatedDevices(
        DrivenWorld("grasp", seed=1),
        address=free_address(),
        link=str(tmp_path / "hand"),
        rate_hz=1000.0,
        patience_s=0.05,
        admin_port=0,
        on_cycle=ticks,
    )
    yield made
    made.close()
    made.world.close()
    assert not (tmp_path / "hand").exists()


def test_every_cycle_of_the_arm_is_a_millisecond_for_everybody(
    devices: EmulatedDevices, ticks: Ticks
) -> None:
    devices.start()
    ticks.wait_for(3)
    devices.call(devices.world.release).result(PATIENCE_S)
    ticks.wait_for(ticks.cycles + 3 * STEPS_PER_TICK)
    assert devices.running

    def look() -> tuple[int, int, int]:
        return devices.cycles, devices.arm.robot.time_ms, devices.world.steps

    cycles, robot_ms, steps = devices.call(look).result(PATIENCE_S)
    assert cycles == robot_ms  # the arm's own time, and with it everybody's
    assert steps <= cycles
    assert ticks.ended == steps // STEPS_PER_TICK


def test_a_reset_puts_everything_in_place_and_the_episode_begins_when_it_was_told_to(
    devices: EmulatedDevices, ticks: Ticks
) -> None:
    devices.start()
    devices.call(lambda: devices.reset(7, 2)).result(PATIENCE_S)

    def begin_soon() -> int:
        devices.begin_at = devices.cycles + 30
        devices.begin = devices.world.release
        return devices.begin_at

    begin_at = devices.call(begin_soon).result(PATIENCE_S)
    ticks.wait_for(begin_at + 10)
    cycles, steps = devices.call(lambda: (devices.cycles, devices.world.steps)).result(PATIENCE_S)
    assert steps == cycles - begin_at
    start = DrivenWorld("grasp")
    start.reset(7, 2)
    # The arm holds where the episode begins; the world has moved it by next to nothing.
    np.testing.assert_allclose(devices.arm.robot.body.q, start.arm[0], atol=0.02)
    start.close()


@pytest.mark.parametrize("by", ["standing still", "a reset"])
def test_what_was_to_begin_before_a_reset_does_not_begin_after_it(
    devices: EmulatedDevices, ticks: Ticks, by: str
) -> None:
    """A reset within `lead_s` of the answer before: what is held must not fall while drivers are started."""
    devices.start()

    def begin_soon_and_stop() -> int:
        devices.begin_at = devices.cycles + 30
        devices.begin = devices.world.release
        if by == "a reset":
            devices.reset(7, 2)
        else:
            devices.stand_still()
        return devices.begin_at

    begin_at = devices.call(begin_soon_and_stop).result(PATIENCE_S)
    ticks.wait_for(begin_at + 10)
    moved = devices.call(lambda: (devices.world.moving, devices.world.steps)).result(PATIENCE_S)
    assert moved == (False, 0)


def test_an_arm_that_is_reset_is_not_pushed_any_more_and_keeps_everybodys_time(
    devices: EmulatedDevices, ticks: Ticks
) -> None:
    devices.start()
    ticks.wait_for(5)
    with AdminClient(devices.arm.address, devices.arm.admin.port) as arm:
        arm("force", wrench=[0.0, 0.0, 25.0, 0.0, 0.0, 0.0])
        arm("reflex")
        arm("reset")
        assert arm("status")["mode"] == "IDLE"
    push, cycles, robot_ms = devices.call(
        lambda: (devices.world.push, devices.cycles, devices.arm.robot.time_ms)
    ).result(PATIENCE_S)
    np.testing.assert_array_equal(push, np.zeros(6))
    assert robot_ms == cycles >= 5


def test_both_fault_interfaces_answer(devices: EmulatedDevices, ticks: Ticks) -> None:
    devices.start()
    with AdminClient(devices.arm.address, devices.arm.admin.port) as arm:
        assert arm("status")["mode"] == "IDLE"
    with AdminClient(devices.arm.address, devices.hand_admin.port) as hand:
        hand("missing", motor=3)
        assert not devices.bus.servos.servo(3).present
        position = hand("status")["position"]
    np.testing.assert_allclose(position, devices.world.state.hand_position[0], atol=2e-3)


@pytest.mark.parametrize("taken", ["the arm's address", "the hand's fault interface"])
def test_a_second_robot_by_mistake_is_refused_and_leaves_the_first_ones_hand_alone(
    devices: EmulatedDevices, tmp_path: Path, taken: str
) -> None:
    own = taken == "the hand's fault interface"
    address = free_address() if own else devices.arm.address
    admin_port = 0
    with socket.socket() as other, contextlib.ExitStack() as end:
        if own:
            other.bind((address, 0))
            other.listen()
            admin_port = other.getsockname()[1] - 1
        world = DrivenWorld("grasp", seed=1)
        end.callback(world.close)
        with pytest.raises(EmulatorError, match="choose another admin_port" if own else "use another 127"):
            EmulatedDevices(
                world,
                address=address,
                link=str(tmp_path / "hand"),
                rate_hz=1000.0,
                patience_s=0.05,
                admin_port=admin_port,
                on_cycle=lambda ended: None,
            )
        assert (tmp_path / "hand").readlink() == Path(devices.bus.path)
        if own:  # nothing of it is left: the arm's address is free
            FciServer(address).close()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"address": "172.16.0.2"}, "loopback"),
        ({"port": "hand"}, "needs a path"),
        ({"real_time_factor": 2.0}, "0.02 to 1.0"),
        ({"real_time_facto": 0.5}, "did you mean 'real_time_factor'"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        from_mapping(EmulatedConfig, values)
