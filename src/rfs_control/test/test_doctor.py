"""Every check of the doctor can pass and can fail, and says what to do when it does."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from rfs_control.doctor import CHECKS, examine, exit_code
from rfs_control.doctor_facts import Facts, Finding, Verdict

HARDWARE: dict[str, Any] = {
    "robot_file": "fr3_leap.yaml",
    "problem": "",
    "address": "172.16.0.2",
    "port": "/dev/leap_hand",
    "client_version": 10,
    "arm": {"server_version": 10, "connect_ms": 0.4, "problem": ""},
    "hand": {
        "missing": [],
        "errors": {},
        "volts": {"if_rot": 5.1, "th_ipl": 4.9},
        "celsius": {"if_rot": 31, "th_ipl": 35},
        "latency_ms": 1,
        "problem": "",
    },
    "camera": {"cameras": {"0123": "3.2"}, "problem": ""},
}

GOOD = Facts(
    kernel="#1 SMP PREEMPT_RT",
    realtime_kernel=True,
    rtprio=99,
    memlock_kib=102_400,
    governors=("performance",),
    cores=8,
    load=0.5,
    memory_gib=12.0,
    disk_gib=200.0,
    disk_path="runs",
    clock_synchronized=True,
    rmw="rmw_fastrtps_cpp",
    rmw_known=("rmw_fastrtps_cpp",),
    receive_buffer=4_194_304,
    shared_memory_gib=8.0,
    discovery_range="LOCALHOST",
    calibration={"serial": "0123", "age_days": 3.0},
    device="cpu",
    devices=("cpu",),
    checkpoint="grasp_rfs@0123",
    hardware=HARDWARE,
)


def hardware(**changes: Any) -> Facts:
    """Good facts, but for some answers of the devices: part__key=value, or key=value of the whole."""
    answers = copy.deepcopy(HARDWARE)
    for name, value in changes.items():
        part, _, key = name.partition("__")
        if key:
            answers[part][key] = value
        else:
            answers[part] = value
    return replace(GOOD, hardware=answers)


def found(facts: Facts, name: str) -> Finding:
    by_name = {finding.name: finding for finding in examine(facts)}
    return by_name[name]


def test_there_are_twenty_checks_and_a_good_robot_passes_all() -> None:
    findings = examine(GOOD)
    assert len(CHECKS) == len({finding.name for finding in findings}) == 20
    assert [finding for finding in findings if finding.verdict is not Verdict.OK] == []
    assert [finding for finding in findings if finding.advice] == []
    assert exit_code(findings) == 0


FAILED, WARNING, SKIPPED = Verdict.FAILED, Verdict.WARNING, Verdict.SKIPPED
CASES: list[tuple[str, Facts, Verdict, str]] = [
    ("kernel", replace(GOOD, realtime_kernel=False, kernel="#1 SMP"), FAILED, "PREEMPT_RT"),
    ("rtprio", replace(GOOD, rtprio=98), FAILED, "limits.d"),
    ("rtprio", replace(GOOD, memlock_kib=64), FAILED, "memlock"),
    ("governor", replace(GOOD, governors=("performance", "powersave")), WARNING, "cpupower"),
    ("load", replace(GOOD, load=8.1), FAILED, "stop other programs"),
    ("load", replace(GOOD, load=4.1), WARNING, "stop what is not needed"),
    ("load", replace(GOOD, memory_gib=1.9), FAILED, "stop other programs"),
    ("disk", replace(GOOD, disk_gib=0.9), FAILED, "--run-dir"),
    ("disk", replace(GOOD, disk_gib=4.9), WARNING, "--run-dir"),
    ("clock", replace(GOOD, clock_synchronized=False), WARNING, "set-ntp"),
    ("rmw", replace(GOOD, rmw="rmw_cyclonedds_cpp"), FAILED, "install it"),
    ("rmw", replace(GOOD, rmw=""), WARNING, "rmw_fastrtps_cpp"),
    ("transport", replace(GOOD, receive_buffer=212_992), WARNING, "rmem_max=2097152"),
    ("transport", replace(GOOD, shared_memory_gib=0.01), FAILED, "/dev/shm"),
    ("discovery_range", replace(GOOD, discovery_range="SUBNET"), FAILED, "LOCALHOST"),
    ("discovery_range", replace(GOOD, discovery_range=""), FAILED, "LOCALHOST"),
    ("discovery_range", replace(GOOD, discovery_range="OFF"), FAILED, "do not find each other"),
    ("robot_file", hardware(problem="hand is 'allegro'; known: leap_right"), FAILED, "correct the file"),
    ("robot_network", hardware(arm__connect_ms=None, arm__problem="refused"), FAILED, "control box"),
    ("robot_network", hardware(arm__connect_ms=3.0), WARNING, "cable"),
    ("robot_version", hardware(arm__server_version=9), FAILED, "update the robot"),
    ("robot_version", hardware(arm__server_version=11), FAILED, "newer franky-control"),
    ("robot_version", hardware(arm__server_version=None), FAILED, "robot_network"),
    ("hand_port", hardware(hand__missing=None, hand__problem="no such port"), FAILED, "plug the hand in"),
    ("latency_timer", hardware(hand__latency_ms=16), FAILED, "latency_timer"),
    ("latency_timer", hardware(hand__latency_ms=None), SKIPPED, ""),
    ("servos", hardware(hand__missing=["th_axl (motor 13)"]), FAILED, "cable in front"),
    ("servos", hardware(hand__errors={"if_pip": "overload"}), FAILED, "restart"),
    ("servo_voltages", hardware(hand__volts={"if_rot": 5.0, "th_ipl": 4.4}), FAILED, "5 V supply"),
    ("servo_voltages", hardware(hand__volts={"if_rot": 5.7}), FAILED, "5 V supply"),
    ("servo_voltages", hardware(hand__celsius={"if_rot": 55}), WARNING, "cool"),
    ("camera_usb", hardware(camera__cameras={"0123": "2.1"}), FAILED, "USB 3"),
    ("camera_usb", hardware(camera__cameras={}), FAILED, "plug it in"),
    ("calibration", replace(GOOD, calibration={"serial": "0123", "age_days": 31.0}), WARNING, "30 days"),
    ("calibration", replace(GOOD, calibration={"serial": "77", "age_days": 1.0}), FAILED, "calibrate"),
    ("calibration", replace(GOOD, calibration={"problem": "cut"}), FAILED, "calibrate_camera"),
    ("calibration", replace(GOOD, calibration=None), FAILED, "--calibration"),
    ("gpu", replace(GOOD, device="cuda"), FAILED, "device"),
    ("model_and_spec", replace(GOOD, checkpoint=None), FAILED, "retrain"),
]


@pytest.mark.parametrize(("name", "facts", "verdict", "advice"), CASES)
def test_a_check_that_is_not_ok_says_what_to_do(
    name: str, facts: Facts, verdict: Verdict, advice: str
) -> None:
    finding = found(facts, name)
    assert finding.verdict is verdict
    assert advice in finding.advice
    assert finding.found
    # Only what is wrong is reported.
    others = [f for f in examine(facts) if f.name != name and f.verdict is FAILED]
    assert others == []
    assert exit_code(examine(facts)) == (verdict is FAILED)


def test_every_check_can_be_something_else_than_ok() -> None:
    assert {name for name, *_ in CASES} == {finding.name for finding in examine(GOOD)}


def test_nothing_known_is_never_ok() -> None:
    for finding in examine(Facts()):
        assert finding.verdict in (WARNING, FAILED)
        assert finding.advice
    assert exit_code(examine(Facts())) == 1


def test_parts_that_are_not_wanted_are_skipped() -> None:
    facts = replace(GOOD, hardware={**HARDWARE, "hand": None, "camera": None}, wanted=frozenset({"arm"}))
    verdicts = {finding.name: finding.verdict for finding in examine(facts)}
    skipped = {name for name, verdict in verdicts.items() if verdict is SKIPPED}
    assert skipped == {
        "hand_port", "latency_timer", "servos", "servo_voltages", "camera_usb", "calibration",
    }  # fmt: skip
    assert verdicts["robot_version"] is Verdict.OK
