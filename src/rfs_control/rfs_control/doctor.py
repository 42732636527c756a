"""Twenty checks before a robot is touched. Each is a function of what was found; it asks nobody itself.

    ros2 run rfs_control doctor --robot-file fr3_leap

`doctor_probes` finds things out, `nodes/doctor.py` is the command. A check answers ok, warning, failed or
skipped (what it looks at is not there to be looked at, or was not asked for), with what was found and, where
it is not ok, what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rfs_control import doctor_machine, doctor_robot
from rfs_control.doctor_facts import Facts, Finding, Verdict

Check = Callable[[Facts], Finding]

CHECKS: tuple[Check, ...] = (
    doctor_machine.check_kernel,
    doctor_machine.check_limits,
    doctor_machine.check_governor,
    doctor_machine.check_load,
    doctor_machine.check_disk,
    doctor_machine.check_clock,
    doctor_machine.check_rmw,
    doctor_machine.check_transport,
    doctor_machine.check_discovery,
    doctor_robot.check_robot_file,
    doctor_robot.check_robot_network,
    doctor_robot.check_robot_version,
    doctor_robot.check_hand_port,
    doctor_robot.check_latency_timer,
    doctor_robot.check_servos,
    doctor_robot.check_servo_supply,
    doctor_robot.check_camera_usb,
    doctor_robot.check_calibration,
    doctor_robot.check_device,
    doctor_robot.check_policy,
)


def examine(facts: Facts, checks: Sequence[Check] = CHECKS) -> list[Finding]:
    """All answers, in order."""
    return [check(facts) for check in checks]


def exit_code(findings: Sequence[Finding]) -> int:
    """0 where nothing failed; warnings and skipped checks do not count."""
    return int(any(finding.verdict is Verdict.FAILED for finding in findings))
