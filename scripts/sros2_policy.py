"""Writes config/sros2/policy.xml: who may publish, hear, serve and call what, for SROS2.

python scripts/sros2_policy.py           rewrite
python scripts/sros2_policy.py --check   exit code 1 where it is not up to date

The table below is the truth. `ros2 security generate_artifacts -k KEYSTORE -p config/sros2/policy.xml` makes
keys and permissions of it; docs/safety.md says how they are used.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from xml.etree import ElementTree as xml

POLICY = Path(__file__).resolve().parent.parent / "config" / "sros2" / "policy.xml"

Rights = dict[str, list[str]]
"""publish and subscribe: topics; reply and request: services; execute and call: actions."""

_PARAMETERS = ["describe_parameters", "get_parameter_types", "get_parameters", "list_parameters"]
_PARAMETERS += ["set_parameters", "set_parameters_atomically", "get_type_description"]
_LIFECYCLE = ["change_state", "get_state", "get_available_states", "get_available_transitions"]
_LIFECYCLE += ["get_transition_graph"]

ROBOT_STATE = ["arm/joint_states", "arm/current_pose", "hand/joint_states"]
OBSERVED = [*ROBOT_STATE, "hand/contacts", "perception/object_pose", "perception/goal_pose"]
OBSERVED += ["perception/target_pose", "perception/points"]
CAMERA = ["camera/camera_info", "camera/color/compressed", "camera/depth", "camera/labels"]
COMMANDS = ["arm/target_pose", "hand/target"]
"""Only the gate may publish these."""
WORLD = ["/clock", "hand/contacts", "reward", "sim/object_pose", "sim/goal_pose", *OBSERVED[4:], *CAMERA]

NODES: dict[str, Rights] = {
    "gate_node": {
        "publish": [*COMMANDS, "safety/state"],
        "subscribe": [*ROBOT_STATE, "policy/action", "correction/residual"],
        "reply": ["safety/arm", "safety/stop", "safety/recover"],
    },
    "policy_node": {
        "publish": ["policy/action"],
        "subscribe": [*OBSERVED, "episode/state"],
        "reply": ["policy/load_checkpoint"],
        "lifecycle": ["policy_node"],
    },
    "episode_manager": {
        "publish": ["episode/state"],
        "subscribe": ["/diagnostics", "reward", "safety/state"],
        "reply": ["episode/start", "episode/finish"],
        "request": ["policy_node/get_state", "safety/arm", "safety/stop", "sim/reset"],
    },
    "recorder_node": {
        "subscribe": [*OBSERVED, *CAMERA, *COMMANDS, "/diagnostics", "policy/action", "correction/residual"]
        + ["reward", "safety/state", "episode/state", "episode/mark"],
        # The limits of the others are written into every bag.
        "request": [
            f"{node}/{service}"
            for node in ("gate_node", "policy_node", "episode_manager", "correction_node", "sim_node")
            for service in ("get_parameters", "list_parameters")
        ],
    },
    "correction_node": {
        "publish": ["correction/residual", "episode/mark"],
        "subscribe": ["episode/state", *ROBOT_STATE, *OBSERVED[3:], "spacemouse/joy"],
        "reply": ["correction/enable"],
        "request": ["episode/finish"],
    },
    "spacemouse_node": {"publish": ["spacemouse/joy"]},
    "reward_node": {
        "publish": ["reward", "perception/mask/compressed", "perception/object_pose"],
        "subscribe": [*CAMERA, "arm/joint_states", "episode/state", "/diagnostics"],
        "reply": ["reward/restart"],
        "lifecycle": ["reward_node"],
    },
    "realsense_node": {"publish": ["perception/points", *CAMERA[:3]], "lifecycle": ["realsense_node"]},
    "franka_node": {
        "publish": ["arm/joint_states", "arm/current_pose", "arm/external_wrench", "arm/robot_mode"]
        + ["arm/control_success_rate", "arm/driver_phase"],
        "subscribe": ["arm/target_pose"],
        "reply": ["arm/home", "arm/recover"],
        "execute": ["arm/move_joints"],
        "lifecycle": ["franka_node"],
    },
    "leap_node": {
        "publish": ["hand/joint_states", "hand/driver_phase"],
        "subscribe": ["hand/target"],
        "reply": ["hand/recover"],
        "lifecycle": ["leap_node"],
    },
    "sim_node": {
        "publish": [*ROBOT_STATE, *WORLD],
        "subscribe": [*COMMANDS, "episode/state"],
        "reply": ["sim/reset"],
    },
    "emulated_robot": {
        "publish": WORLD,
        "subscribe": [*COMMANDS, "episode/state", "policy/action", "arm/driver_phase", "hand/driver_phase"]
        + ["arm/joint_states", "hand/joint_states"],
        "reply": ["sim/reset"],
        "request": ["arm/recover", "hand/recover"]
        + [f"{node}/{service}" for node in ("franka_node", "leap_node") for service in _LIFECYCLE[:2]],
    },
    # On a robot: what a person has confirmed, and nothing that moves it but the drivers' beginning and end.
    "robot_operator": {
        "subscribe": ["arm/driver_phase", "hand/driver_phase"],
        "reply": ["robot/confirm", "sim/reset"],
        "request": ["arm/home"]
        + [f"{node}/{service}" for node in ("franka_node", "leap_node") for service in _LIFECYCLE[:2]],
    },
    # A person at a shell, and launch: they see everything and may ask for everything, but command nothing.
    "operator": {
        "subscribe": [*OBSERVED, *CAMERA, *COMMANDS, "/diagnostics", "policy/action", "correction/residual"]
        + ["reward", "safety/state", "episode/state", "episode/mark", "arm/external_wrench"]
        + ["arm/robot_mode", "arm/control_success_rate", "arm/driver_phase", "hand/driver_phase"],
        "request": ["safety/arm", "safety/stop", "safety/recover", "episode/start", "episode/finish"]
        + ["arm/home", "arm/recover", "hand/recover", "policy/load_checkpoint", "reward/restart"]
        + ["correction/enable", "robot/confirm"]
        + [
            f"{node}/{service}"
            for node in ("policy_node", "franka_node", "leap_node", "realsense_node", "reward_node")
            for service in _LIFECYCLE
        ],
        "call": ["arm/move_joints"],
    },
}


def rights(node: str) -> Rights:
    """All rights of a node, those that every node has included; sorted, by name of the rule."""
    own = NODES[node]
    every: Rights = {
        "publish": ["/rosout", "/parameter_events", "/diagnostics"],
        "subscribe": ["/clock", "/parameter_events"],
        "reply": [f"{node}/{service}" for service in _PARAMETERS],
        "request": [],
    }
    for name in own.get("lifecycle", []):
        every["publish"].append(f"{name}/transition_event")
        every["reply"] += [f"{name}/{service}" for service in _LIFECYCLE]
    if node == "operator":
        every["subscribe"] += ["/rosout", *(f"{name}/transition_event" for name in NODES if name != node)]
    every |= {"execute": [], "call": []}
    return {rule: sorted({*own.get(rule, []), *names}) for rule, names in every.items()}


KINDS = {"publish": "topic", "subscribe": "topic", "reply": "service", "request": "service"}
KINDS |= {"execute": "action", "call": "action"}
"""Element of the policy by rule."""


def document() -> str:
    """The policy, in the schema of SROS2."""
    policy = xml.Element("policy", version="0.2.0")
    enclaves = xml.SubElement(policy, "enclaves")
    for node in NODES:
        enclave = xml.SubElement(enclaves, "enclave", path=f"/rfs/{node}")
        name = "*" if node == "operator" else node
        profile = xml.SubElement(xml.SubElement(enclave, "profiles"), "profile", ns="/", node=name)
        for rule, names in rights(node).items():
            kind = KINDS[rule]
            if names:
                listed = xml.SubElement(profile, f"{kind}s", {rule: "ALLOW"})
                for each in names:
                    xml.SubElement(listed, kind).text = each
    xml.indent(policy)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<!-- Generated by scripts/sros2_policy.py. -->\n'
    return head + xml.tostring(policy, encoding="unicode") + "\n"


def main() -> int:
    """Rewrite or check the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where outdated")
    check = parser.parse_args().check
    new = document()
    if POLICY.exists() and POLICY.read_text() == new:
        return 0
    if check:
        print(f"outdated: {POLICY.name}; run python scripts/sros2_policy.py", file=sys.stderr)
        return 1
    POLICY.parent.mkdir(parents=True, exist_ok=True)
    POLICY.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
