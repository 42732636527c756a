"""The doctor's checks of the robot: its file, arm, hand, camera and policy.

Each is a function of what was found; it asks nobody itself.
"""

from __future__ import annotations

from rfs_control.doctor_facts import Facts, Finding, Verdict, part_of, unknown

CALIBRATION_DAYS = 30.0
NEAR_MS = 2.0
"""Connecting over a cable takes less; through a switch or a tunnel more."""
VOLTS = (4.5, 5.6)
"""Supply of the servos: 5 V, less the cable."""
WARM_C = 55
LATENCY_MS = 1


def check_robot_file(facts: Facts) -> Finding:
    """The parameters of the drivers."""
    name = "robot_file"
    if facts.hardware is None:
        return unknown(name, facts, "hardware", Verdict.FAILED)
    if facts.hardware.get("problem"):
        return Finding(
            name, Verdict.FAILED, str(facts.hardware["problem"]), "correct the file, or name another one"
        )
    return Finding(name, Verdict.OK, str(facts.hardware.get("robot_file")))


def check_robot_network(facts: Facts) -> Finding:
    """Whether the arm can be reached, and how fast."""
    name = "robot_network"
    arm, skipped = part_of(name, facts, "arm")
    if arm is None:
        return skipped
    if arm.get("connect_ms") is None:
        return Finding(
            name,
            Verdict.FAILED,
            str(arm.get("problem")),
            "is the control box on, the cable in its LAN port, this machine's address in its network, FCI "
            "switched on in Desk, and no other client connected?",
        )
    milliseconds = float(arm["connect_ms"])
    found = f"{facts.hardware and facts.hardware.get('address')} answers in {milliseconds:.2f} ms"
    if milliseconds > NEAR_MS:
        return Finding(
            name, Verdict.WARNING, found, "use a cable without switches between this machine and it"
        )
    return Finding(name, Verdict.OK, found)


def check_robot_version(facts: Facts) -> Finding:
    """FCI versions of robot and client."""
    name = "robot_version"
    arm, skipped = part_of(name, facts, "arm")
    if arm is None:
        return skipped
    client = facts.hardware.get("client_version") if facts.hardware else None
    server = arm.get("server_version")
    if arm.get("connect_ms") is None:
        return Finding(name, Verdict.SKIPPED, "the robot could not be reached")
    if server is None:
        return Finding(name, Verdict.FAILED, f"not known: {arm.get('problem')}", "see robot_network")
    if server != client:
        newer = "update the robot's system" if server < (client or 0) else "install a newer franky-control"
        return Finding(
            name,
            Verdict.FAILED,
            f"robot speaks FCI version {server}, this client {client}",
            f"{newer}; the two must be equal",
        )
    return Finding(name, Verdict.OK, f"FCI version {server}")


def check_hand_port(facts: Facts) -> Finding:
    """Whether the hand's port can be opened."""
    name = "hand_port"
    hand, skipped = part_of(name, facts, "hand")
    if hand is None:
        return skipped
    port = facts.hardware.get("port") if facts.hardware else ""
    if hand.get("missing") is None:
        return Finding(
            name,
            Verdict.FAILED,
            str(hand.get("problem")),
            "plug the hand in, stop other programs that use it, see the udev rule of docs/drivers_leap.md",
        )
    return Finding(name, Verdict.OK, str(port))


def check_latency_timer(facts: Facts) -> Finding:
    """The USB adapter hands answers on after its latency timer."""
    name = "latency_timer"
    hand, skipped = part_of(name, facts, "hand")
    if hand is None:
        return skipped
    latency = hand.get("latency_ms")
    if latency is None:
        return Finding(name, Verdict.SKIPPED, "the port has no latency timer")
    if latency > LATENCY_MS:
        return Finding(
            name,
            Verdict.FAILED,
            f"{latency} ms",
            f"echo {LATENCY_MS} | sudo tee /sys/bus/usb-serial/devices/*/latency_timer, or the udev rule of "
            "docs/drivers_leap.md: at 16 ms the hand cannot be read at 60 Hz",
        )
    return Finding(name, Verdict.OK, f"{latency} ms")


def check_servos(facts: Facts) -> Finding:
    """All servos there, without errors."""
    name = "servos"
    hand, skipped = part_of(name, facts, "hand")
    if hand is None:
        return skipped
    if hand.get("missing") is None:
        return Finding(name, Verdict.SKIPPED, "the hand's port could not be opened")
    wrong = [f"{joint} does not answer" for joint in hand["missing"]]
    wrong += [f"{joint}: {error}" for joint, error in hand.get("errors", {}).items()]
    if wrong:
        return Finding(
            name,
            Verdict.FAILED,
            "; ".join(wrong),
            "check the cable in front of a servo that is missing; restart the hand's power to clear errors",
        )
    return Finding(name, Verdict.OK, "all answer, no errors")


def check_servo_supply(facts: Facts) -> Finding:
    """Voltages and temperatures of the servos."""
    name = "servo_voltages"
    hand, skipped = part_of(name, facts, "hand")
    if hand is None:
        return skipped
    volts, celsius = hand.get("volts") or {}, hand.get("celsius") or {}
    if not volts:
        return Finding(name, Verdict.SKIPPED, "no servo answered")
    low, high = min(volts.values()), max(volts.values())
    found = f"{low:.1f} to {high:.1f} V" + (f", hottest {max(celsius.values())} degC" if celsius else "")
    if low < VOLTS[0] or high > VOLTS[1]:
        return Finding(
            name,
            Verdict.FAILED,
            found,
            f"servos need {VOLTS[0]} to {VOLTS[1]} V: check the 5 V supply (6 A or more) and its cable",
        )
    if celsius and max(celsius.values()) >= WARM_C:
        return Finding(
            name, Verdict.WARNING, found, "let the hand cool: currents are reduced from 55 degC on"
        )
    return Finding(name, Verdict.OK, found)


def check_camera_usb(facts: Facts) -> Finding:
    """The camera at USB 3."""
    name = "camera_usb"
    camera, skipped = part_of(name, facts, "camera")
    if camera is None:
        return skipped
    cameras = camera.get("cameras")
    if cameras is None:
        return Finding(
            name,
            Verdict.FAILED,
            str(camera.get("problem")),
            "make setup EXTRAS=perception; --no-camera skips",
        )
    if not cameras:
        return Finding(name, Verdict.FAILED, "no RealSense camera", "plug it in; --no-camera if none is used")
    slow = {serial: usb for serial, usb in cameras.items() if not usb.startswith("3")}
    found = ", ".join(f"{serial} at USB {usb or '?'}" for serial, usb in cameras.items())
    if slow:
        return Finding(
            name,
            Verdict.FAILED,
            found,
            "use a USB 3 port and cable, plug the USB-C end in fast: at USB 2 there is no depth at 30 Hz",
        )
    return Finding(name, Verdict.OK, found)


def check_calibration(facts: Facts) -> Finding:
    """Where the camera stands, and how old that is."""
    name = "calibration"
    if "camera" not in facts.wanted:
        return Finding(name, Verdict.SKIPPED, "no camera is used")
    how = "ros2 run rfs_perception calibrate_camera, then name the file with --calibration"
    if facts.calibration is None:
        return Finding(name, Verdict.FAILED, facts.problems.get("calibration", "no file was named"), how)
    if facts.calibration.get("problem"):
        return Finding(name, Verdict.FAILED, str(facts.calibration["problem"]), how)
    age = float(facts.calibration["age_days"])
    found = f"camera {facts.calibration.get('serial')}, {age:.0f} days old"
    cameras = ((facts.hardware or {}).get("camera") or {}).get("cameras") or {}
    if cameras and facts.calibration.get("serial") not in cameras:
        return Finding(name, Verdict.FAILED, f"{found}; plugged in: {', '.join(cameras)}", how)
    if age > CALIBRATION_DAYS:
        return Finding(name, Verdict.WARNING, found, f"older than {CALIBRATION_DAYS:g} days: {how}")
    return Finding(name, Verdict.OK, found)


def check_device(facts: Facts) -> Finding:
    """Where the policy runs."""
    name = "gpu"
    if facts.device is None or facts.devices is None:
        return unknown(name, facts, "devices")
    if facts.device not in facts.devices:
        return Finding(
            name,
            Verdict.FAILED,
            f"policy_node shall run on {facts.device}, there is {', '.join(facts.devices)}",
            "choose a device that is there (parameter device of policy_node), or install its driver",
        )
    return Finding(name, Verdict.OK, f"{facts.device} (there is {', '.join(facts.devices)})")


def check_policy(facts: Facts) -> Finding:
    """Whether the checkpoint was made for this robot and task."""
    name = "model_and_spec"
    if facts.checkpoint is None:
        problem = facts.problems.get("checkpoint", "no checkpoint was named")
        return Finding(
            name, Verdict.FAILED, problem, "name one that fits with --checkpoint, or retrain for this robot"
        )
    return Finding(name, Verdict.OK, f"{facts.checkpoint} fits robot and task")
