"""What is wrong with the emulated robot and its network."""

from __future__ import annotations

import pytest

from rfs_drivers.emulated.fci_faults import Counters, Faults
from rfs_drivers.errors import EmulatorError


def test_faults_are_set_by_name_and_keep_their_kinds() -> None:
    faults = Faults()
    faults.change({"drop_states": 1, "delay_commands_ms": 5.0, "cut": True})
    assert faults == Faults(drop_states=1.0, delay_commands_ms=5, cut=True)
    assert isinstance(faults.drop_states, float)
    assert isinstance(faults.delay_commands_ms, int)
    assert faults.cut is True


def test_an_unknown_fault_is_refused_with_those_that_exist() -> None:
    with pytest.raises(EmulatorError, match="unknown fault 'drop'; known: drop_states, drop_commands"):
        Faults().change({"drop": 1.0})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"drop_next": float("inf")}, "drop_next is inf, needs a number from 0 to 65535"),
        ({"delay_states_ms": -1}, "delay_states_ms is -1, needs a number from 0"),
        ({"delay_states_ms": 2.5}, "2.5, needs a whole number"),
        ({"version": 65536}, "version is 65536"),  # two bytes on the wire
        ({"drop_states": 1.5}, "drop_states is 1.5, needs a number from 0 to 1"),
        ({"drop_commands": float("nan")}, "drop_commands is nan"),
        ({"corrupt_states": "0.5"}, "corrupt_states is '0.5', needs a number"),
        ({"cut": "False"}, "cut is 'False', needs true or false"),
        ({"mute": "off"}, "mute is 'off', needs true or false"),
        ({"close_before_reply": 0}, "close_before_reply is 0, needs true or false"),
    ],
)
def test_a_value_that_a_fault_cannot_have_is_refused_and_nothing_is_changed(
    changes: dict[str, object], sentence: str
) -> None:
    faults = Faults()
    with pytest.raises(EmulatorError, match=sentence):
        faults.change({"drop_next": 3, **changes})
    assert faults == Faults()


@pytest.mark.parametrize(
    ("faults", "silent", "prompt"),
    [
        (Faults(), False, True),
        (Faults(version=9, close_before_reply=True), False, True),
        (Faults(cut=True), True, False),
        (Faults(mute=True), True, False),
        (Faults(drop_states=0.1), False, False),
        (Faults(drop_commands=0.1), False, False),
        (Faults(drop_next=1), False, False),
        (Faults(corrupt_states=0.1), False, False),
        (Faults(delay_states_ms=1), False, False),
        (Faults(delay_commands_ms=1), False, False),
    ],
)
def test_a_command_is_worth_waiting_for_only_where_every_packet_passes_at_once(
    faults: Faults, silent: bool, prompt: bool
) -> None:
    assert (faults.silent, faults.prompt) == (silent, prompt)


def test_counting_begins_anew() -> None:
    counters = Counters(states_sent=3, clients_replaced=1, late_cycles=7)
    counters.clear()
    assert counters == Counters()
