"""One-line reasons of the client library's exceptions. Texts as measured with franky-control 2.0.0."""

from __future__ import annotations

import pytest

from rfs_drivers.franka_faults import Cause, classify, from_state


def raised(name: str, text: str) -> Exception:
    """An exception of a class with this name, as the library has it."""
    error: Exception = type(name, (Exception,), {})(text)
    return error


@pytest.mark.parametrize(
    ("name", "text", "cause", "expected"),
    [
        (
            "ControlException",
            'libfranka: Move command aborted: motion aborted by reflex! ["cartesian_reflex"]\n'
            "control_command_success_rate: 1",
            Cause.REFLEX,
            "stopped by reflex (cartesian_reflex)",
        ),
        (
            "ControlException",
            "libfranka: Move command aborted: motion aborted by reflex! "
            '["communication_constraints_violation"]\ncontrol_command_success_rate: 0.8',
            Cause.COMMUNICATION,
            "lost too many commands",
        ),
        (
            "ControlException",
            "libfranka: Move command aborted: User Stop pressed!",
            Cause.USER_STOP,
            "user stop",
        ),
        ("ControlException", "libfranka: Move command preempted!", Cause.PREEMPTED, "another request"),
        ("NetworkException", "libfranka: UDP receive: Timeout", Cause.NETWORK, "UDP receive: Timeout"),
        ("RuntimeError", "Net Exception", Cause.NETWORK, "is lost"),
        (
            "NetworkException",
            "libfranka: Connection to FCI refused. Please install FCI feature or enable FCI mode in Desk.",
            Cause.NETWORK,
            "nothing answers at 10.0.0.1:1337",
        ),
        (
            "CommandException",
            'libfranka: Move command rejected: command not possible in the current mode ("Reflex")!',
            Cause.REFLEX,
            "arm/recover",
        ),
        (
            "CommandException",
            'libfranka: Set Load command rejected: command not possible in the current mode ("Move")!',
            Cause.REFUSED,
            "robot refused",
        ),
        ("RealtimeException", "libfranka: unable to set realtime scheduling", Cause.REALTIME, "PREEMPT_RT"),
        ("ValueError", "something else", Cause.OTHER, "ValueError: something else"),
    ],
)
def test_exception_becomes_one_line_with_its_cause(name: str, text: str, cause: Cause, expected: str) -> None:
    fault = classify(raised(name, text), "10.0.0.1")
    assert fault.cause is cause
    assert expected in fault.reason
    assert "\n" not in fault.reason
    assert "libfranka: " not in fault.reason


def test_version_mismatch_names_both_versions_and_the_fix() -> None:
    text = (
        "libfranka: Incompatible library version (server version: 9, library version: 10). Please check "
        "https://frankarobotics.github.io for system updates"
    )
    fault = classify(raised("IncompatibleVersionException", text), "10.0.0.1")
    assert fault.cause is Cause.VERSION
    for part in (
        "FCI version 9",
        "version 10",
        "update the robot's system software",
        "franky-control==1.0.2",
    ):
        assert part in fault.reason


def test_a_robot_newer_than_the_driver_asks_for_a_newer_client() -> None:
    text = "libfranka: Incompatible library version (server version: 11, library version: 10)."
    reason = classify(raised("IncompatibleVersionException", text), "10.0.0.1").reason
    assert "update franky-control" in reason


def test_a_call_that_had_to_be_broken_is_named_as_hung() -> None:
    fault = classify(
        raised("NetworkException", "libfranka: TCP receive: I/O error"), "10.0.0.1", broken_after=1.5
    )
    assert fault.cause is Cause.HUNG
    assert "did not answer for 1.5 s" in fault.reason


@pytest.mark.parametrize(
    ("mode", "errors", "cause"),
    [
        ("UserStopped", (), Cause.USER_STOP),
        ("Reflex", ("joint_reflex",), Cause.REFLEX),
        ("Reflex", ("communication_constraints_violation",), Cause.COMMUNICATION),
        ("Guiding", (), Cause.REFUSED),
    ],
)
def test_a_robot_that_is_not_ready_says_why(mode: str, errors: tuple[str, ...], cause: Cause) -> None:
    fault = from_state(mode, errors)
    assert fault is not None
    assert fault.cause is cause


@pytest.mark.parametrize("mode", ["Idle", "Move"])
def test_a_ready_robot_has_no_fault(mode: str) -> None:
    assert from_state(mode, ()) is None
