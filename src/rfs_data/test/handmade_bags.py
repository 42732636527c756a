"""Bags made by hand: an episode whose every number follows from its step, written by the real writer.

The targets on the wire are the gate's own (`rfs_core.gate_motion`), so that a human's residual can be found
again only by composing as the gate does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rfs_core import robot
from rfs_core.gate_config import GateConfig
from rfs_core.gate_motion import Motion
from rfs_core.gate_types import Action, Correction
from rfs_core.se3 import Pose
from rfs_core.specs import ActionSpec
from rfs_data import provenance
from rfs_data.bag_writer import BagWriter
from rfs_data.definitions import typestore
from rfs_data.schema import FORMAT, FORMAT_VERSION, TOPICS

SPEC: ActionSpec = robot.DEFAULT_ACTION_SPEC
DT = 50_000_000
"""ns between two control steps."""
START = 7_000_000_000
"""Stamp of the first observation, ns."""
A, H = SPEC.size, SPEC.horizon
ABSENT: Any = object()


@dataclass
class Script:
    """What happens in the episode, and what of it is spoilt."""

    decisions: int = 4
    corrections: dict[int, tuple[float, bool]] = field(default_factory=dict)
    """Correction of the palm's x (m) and engaged flag, by the control step it is stamped with."""
    terminated_at: int | None = None
    """Control step whose reward says that the task cannot go on."""
    max_steps: int | None = None
    """None: as long as the decisions last."""
    without: frozenset[tuple[str, int]] = frozenset()
    """Messages that are not written: topic and control step."""
    without_topics: frozenset[str] = frozenset()
    nan_at: tuple[str, int] | None = None
    """Topic and control step of a reward or arm state that is not a number."""
    points_at: tuple[int, ...] = ()
    """Control steps at which there is a cloud of two points, both at 0.1 times the step."""
    marks: tuple[tuple[int, str, str], ...] = ()
    """Remarks: control step, the episode they are about, the mark."""
    header: dict[str, Any] = field(default_factory=dict)
    """Fields of the header to replace."""


def base_action(step: int) -> np.ndarray:
    """a_b of a control step: the palm 1 mm up and 2 mm on, the fingers a little further. Shape: (A,)."""
    action = np.zeros(A)
    action[1], action[2] = 0.002, 0.001
    action[SPEC.slice("hand_target")] = np.asarray(robot.HAND_OPEN) + 0.01 * step
    return SPEC.clip(action)


def policy_residual(step: int) -> np.ndarray:
    """a_r of a control step: -1 mm along y, growing."""
    residual = np.zeros(A)
    residual[1] = -0.0001 * step
    return residual


def arm_position(step: int) -> np.ndarray:
    """Measured joints at a control tick, rad."""
    return np.asarray(robot.ARM_HOME) + 0.001 * step


def reward_of(step: int) -> float:
    """Reward of the state at a control tick."""
    return 0.5 * step


def header(script: Script, name: str) -> dict[str, Any]:
    """The header of the script's episode."""
    steps = script.decisions * H
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "complete": True,
        "episode": {
            "id": name,
            "index": 3,
            "count": 10,
            "task": "grasp",
            "seed": 1,
            "max_steps": steps if script.max_steps is None else script.max_steps,
            "started_ns": START,
            "finished_ns": START + steps * DT,
            "outcome": "failure",
            "reason": "no success",
        },
        "topics": {t.name: {"name": t.bag_name, "type": t.type, "latched": t.latched} for t in TOPICS},
        "flows": {},
        "marks": [],
        "clock": "simulated",
        "checkpoint": {"id": "handmade@0123456789ab"},
        "parameters": {"gate_node": {"tick_source": "state"}},
        **provenance.specs("grasp"),
        **script.header,
    }


def write(folder: Path, script: Script | None = None, name: str = "handmade") -> Path:
    """A finished bag."""
    script = script or Script()
    writer = BagWriter(folder, name, TOPICS, typestore(), header(script, name))
    for topic, stamp, data in messages(script):
        writer.write(topic, stamp, stamp, 0, data)
    return writer.close(header(script, name))


def messages(script: Script) -> list[tuple[str, int, bytes]]:
    """Topic, stamp (ns) and CDR bytes of everything on the wire, in order."""
    wire = _Wire(script)
    config = GateConfig()
    bounds = config.residual_bounds().vector(SPEC)
    motion = Motion(START, SPEC, bounds, config.step_limits(), 4)
    palm = Pose(np.array([[0.5, 0.0, 0.3]]), np.array([[0.0, 1.0, 0.0, 0.0]]))
    hand = np.asarray(robot.HAND_OPEN, dtype=np.float64)
    correction: Correction | None = None
    for step in range(script.decisions * H + 1):
        wire.states(step, palm, hand)
        for _, episode, mark in (m for m in script.marks if m[0] == step):
            wire.send("episode/mark", step, episode=episode, mark=mark, reason="because")
        if step == script.decisions * H:
            break
        if step in script.corrections:
            x, engaged = script.corrections[step]
            residual = np.zeros(A)
            residual[0] = x
            correction = Correction(START + step * DT, residual, engaged)
            wire.correction(step, residual, engaged)
        if step % H == 0:
            chunk = [step + i for i in range(H)]
            a_b = np.array([base_action(s) for s in chunk])
            a_r = np.array([policy_residual(s) for s in chunk])
            wire.action(step, a_b, a_r)
            motion.accept(Action(0, "", 0, 0, "", H, A, 0.05, a_b, a_b, a_r, a_b), START + step * DT)
            motion.begin_pending(START + step * DT)
            motion.begin_from(palm, hand)
        age = START + step * DT - correction.stamp_ns if correction is not None else 0
        held = correction is not None and correction.engaged and age < 200_000_000
        palm, hand = motion.step(palm, correction if held else None)
        wire.target(step, palm, hand)
    return wire.sent


class _Wire:
    """Makes and collects messages."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.sent: list[tuple[str, int, bytes]] = []
        self._store = typestore()

    def send(self, topic: str, step: int, **fields: Any) -> None:
        if topic in self.script.without_topics or (topic, step) in self.script.without:
            return
        kind = next(t.type for t in TOPICS if t.name == topic)
        stamp = START + step * DT
        message = self._fill(kind, {"header": {"stamp": _time(stamp), "frame_id": "fr3_link0"}, **fields})
        self.sent.append((topic, stamp, bytes(self._store.serialize_cdr(message, kind))))

    def _fill(self, kind: str, fields: dict[str, Any]) -> Any:
        """A message of a type; fields that are not given are zero."""
        made = {}
        for name, (node, sub) in self._store.fielddefs[kind][1]:
            value = fields.get(name, ABSENT)
            if node == 2:  # another message
                made[name] = self._fill(sub, value if value is not ABSENT else {})
            elif value is not ABSENT:
                made[name] = value
            elif node == 1:
                made[name] = {"string": "", "bool": False}.get(sub[0], 0)
            elif sub[0][1][0] == "string":
                made[name] = []
            else:
                made[name] = np.zeros(0)
        return self._store.types[kind](**made)

    def states(self, step: int, palm: Pose, hand: np.ndarray) -> None:
        spoilt = self.script.nan_at
        arm = arm_position(step)
        if spoilt == ("arm/joint_states", step):
            arm = arm * np.nan
        reward = np.nan if spoilt == ("reward", step) else reward_of(step)
        if step in self.script.points_at:
            self.points(step)
        self.joints("arm/joint_states", step, robot.ARM_JOINT_NAMES, arm)
        self.joints("hand/joint_states", step, robot.HAND_JOINT_NAMES, hand)
        self.pose("arm/current_pose", step, palm)
        self.pose("perception/object_pose", step, _at(0.4, 0.001 * step, 0.05))
        self.pose("perception/goal_pose", step, _at(0.4, 0.0, 0.25))
        touching = np.array([step % 2 == 1, False, False, False, True])
        self.send("hand/contacts", step, name=list(robot.CONTACT_NAMES), in_contact=touching)
        over = self.script.terminated_at == step
        self.send("reward", step, total=reward, valid=True, success=step % 2 == 0, terminated=over)

    def points(self, step: int) -> None:
        values = np.full((2, 3), 0.1 * step, dtype=np.float32)
        fields = [
            self._fill("sensor_msgs/msg/PointField", {"name": n, "offset": 4 * i, "datatype": 7, "count": 1})
            for i, n in enumerate("xyz")
        ]
        data = values.view(np.uint8).ravel()
        self.send("perception/points", step, fields=fields, point_step=12, width=2, height=1, data=data)

    def joints(self, topic: str, step: int, names: tuple[str, ...], position: np.ndarray) -> None:
        self.send(topic, step, name=list(names), position=np.asarray(position, dtype=np.float64))

    def pose(self, topic: str, step: int, pose: Pose) -> None:
        x, y, z = pose.position[0]
        w, i, j, k = pose.quaternion[0]
        where = {"position": {"x": x, "y": y, "z": z}, "orientation": {"w": w, "x": i, "y": j, "z": k}}
        self.send(topic, step, pose=where)

    def target(self, step: int, palm: Pose, hand: np.ndarray) -> None:
        self.pose("arm/target_pose", step, palm)
        self.joints("hand/target", step, robot.HAND_JOINT_NAMES, hand)

    def correction(self, step: int, residual: np.ndarray, engaged: bool) -> None:
        self.send("correction/residual", step, residual=residual, engaged=engaged, device="test")

    def action(self, step: int, a_b: np.ndarray, a_r: np.ndarray) -> None:
        self.send(
            "policy/action",
            step,
            observation_stamp=_time(START + step * DT),
            publisher="test",
            sequence=100 + step // H,
            episode=3,
            checkpoint_id="handmade@0123456789ab",
            horizon=H,
            dimension=A,
            step_dt=0.05,
            a_0=np.full(H * A, 0.25 * step, dtype=np.float32),
            a_b=a_b.ravel(),
            a_r=a_r.ravel(),
            a=SPEC.clip(a_b + a_r).ravel(),
        )


def _time(nanoseconds: int) -> dict[str, int]:
    return {"sec": nanoseconds // 1_000_000_000, "nanosec": nanoseconds % 1_000_000_000}


def _at(x: float, y: float, z: float) -> Pose:
    return Pose(np.array([[x, y, z]]), np.array([[1.0, 0.0, 0.0, 0.0]]))
