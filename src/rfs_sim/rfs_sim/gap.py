"""The gap world: the simulation that differs from training as a real robot does.

Offline training from corrections is for what only a robot can show. This world stands in for the robot:
objects that no policy was trained on, soft contacts, heavier and more slippery objects, weaker fingers that
come late and have play, a camera calibration that is off, commands that arrive 100 ms late. It is defined
here once, for every task and every method; nothing in it can be chosen but the set of objects.

`Gap` changes an episode's start; `GapDrive` stands between commands and worlds, `CameraError` between worlds
and what is observed. In the training world nothing of this exists.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from rfs_core import robot, se3, tasks
from rfs_core.config import param
from rfs_core.errors import RfsError
from rfs_core.scene import BodyStart, EpisodeStart, ObjectShape, Solid
from rfs_core.se3 import Pose
from rfs_core.world_state import BodyState, WorldState
from rfs_sim.model import ModelIndex

Array = NDArray[np.float64]

WORLDS = ("training", "gap")
"""Every world that a task can be played in."""
OBJECTS = ("seen", "unseen")
"""Sets of objects of the gap world: the task's own ones, which corrections are collected on; five others."""

OWN_OBJECTS_ONLY = {
    "kit": "its tray fits its brick only",
    "pinch": "it is about objects as small as its own",
    "pour": "balls are in its cup",
    "power": "it is about objects as large as its own",
    "push_grasp": "it is about a box that is too flat and wide to be grasped where it lies",
}
"""Tasks that make no sense with the unseen objects, and why."""

STREAM = "gap"
"""Stream of an episode's random numbers that what follows is drawn from."""

SPOOL = (
    Solid("cylinder", (0.025, 0.025, 0.044)),
    Solid("cylinder", (0.036, 0.036, 0.008), position=(0.0, 0.0, 0.036)),
    Solid("cylinder", (0.036, 0.036, 0.008), position=(0.0, 0.0, -0.036)),
)
"""The unseen object that is no primitive: two flanges on a core."""

UNSEEN: tuple[ObjectShape, ...] = (
    ObjectShape("bottle", "cylinder", (0.027, 0.027, 0.060)),
    ObjectShape("puck", "cylinder", (0.040, 0.040, 0.030)),
    ObjectShape("book", "box", (0.018, 0.042, 0.055)),
    ObjectShape("box", "box", (0.040, 0.030, 0.042)),
    ObjectShape("spool", "solids", (0.036, 0.036, 0.044), SPOOL),
)
"""Five shapes unlike those of the training set: taller, flatter, thinner, wider, concave."""

BANK = Path(__file__).with_name("data") / "held_gap.npz"
"""Starts of the tasks that begin with the object in the hand, made in this world by
`python -m rfs_sim.gap_starts`."""


@dataclass(frozen=True)
class GapConfig:
    """How the gap world differs from training; training's own values stand behind each line."""

    object_mass: tuple[float, float] = param(
        (0.16, 0.20), doc="Mass of the object; training .05 to .15.", unit="kg"
    )
    object_friction: tuple[float, float] = param(
        (0.6, 0.75), doc="Sliding friction of the object; training .8 to 1.2."
    )
    held_friction: tuple[float, float] = param(
        (1.0, 1.2), doc="The same where the episode begins with the object in the hand; training 1.5."
    )
    contact_time: float = param(
        0.025, doc="Time constant of the object's contacts; training .02.", unit="s", low=0.02
    )
    contact_stiffness: tuple[float, float] = param(
        (0.85, 0.93), doc="Impedance of the object's contacts, shallow and deep; training .9 and .95."
    )
    hand_gain: tuple[float, float] = param(
        (0.5, 0.65), doc="Factor on the hand's stiffness; training .8 to 1.2."
    )
    hand_lag_s: float = param(
        0.08, doc="Time constant of the fingers' way to their targets; training 0.", unit="s", low=0.0
    )
    hand_backlash: float = param(
        0.04, doc="Play of every finger joint, in all; training 0.", unit="rad", low=0.0
    )
    camera_offset: float = param(0.01, doc="Error of the calibrated camera's place.", unit="m", low=0.0)
    camera_turn: float = param(
        float(np.deg2rad(1.0)), doc="Error of its orientation.", unit="rad", low=0.0, high=0.1
    )
    action_delay_s: float = param(
        0.1, doc="Time from a command to its execution; a multiple of the control step.", unit="s", low=0.0
    )


GAP = GapConfig()
"""The gap world. Figures are comparable only as long as this does not change."""

CAMERA = "table_camera"
"""The camera whose calibration is off."""
CAMERA_SEED = 0
"""The direction of the error: one draw for good, as a robot has one calibration."""


class GapError(RfsError):
    """A world or a set of objects that does not exist."""


def check(world: str, objects: str, task: str) -> None:
    """Raises GapError for names that do not exist, or objects asked of a world or task without them."""
    if world not in WORLDS:
        raise GapError(f"world is {world!r}, known worlds: {', '.join(WORLDS)}")
    if objects not in OBJECTS:
        raise GapError(f"objects is {objects!r}, known sets of objects: {', '.join(OBJECTS)}")
    if world == "training" and objects != "seen":
        raise GapError("the training world has the task's own objects only: objects seen, or world gap")
    if objects == "unseen" and task in OWN_OBJECTS_ONLY:
        raise GapError(
            f"task {task} has no unseen objects ({OWN_OBJECTS_ONLY[task]}): choose objects seen, or one of "
            f"the tasks {', '.join(sorted(set(tasks.TASKS) - set(OWN_OBJECTS_ONLY)))}"
        )


class Gap:
    """What the gap world changes at the start of an episode."""

    def __init__(self, objects: str, config: GapConfig = GAP) -> None:
        """Args: objects: `seen` or `unseen`."""
        self.objects, self.config = objects, config

    def alter(self, start: EpisodeStart, rng: np.random.Generator, solid_object: bool) -> EpisodeStart:
        """The start as it is in the gap world; always draws alike, so that the sets differ in shape only.

        Args:
            start: of the task, in the training world.
            rng: of the episode's stream "gap".
            solid_object: the task's object is one that shapes cannot replace (a cup that holds balls); it
                stays.
        """
        frictions = self.config.held_friction if start.held else self.config.object_friction
        mass, friction = rng.uniform(*self.config.object_mass), rng.uniform(*frictions)
        gain, which = rng.uniform(*self.config.hand_gain), int(rng.integers(len(UNSEEN)))
        row = rng.random()
        changes: dict[str, Any] = {
            "object_mass": float(mass), "object_friction": float(friction), "hand_gain": float(gain)
        }  # fmt: skip
        if solid_object:
            return dataclasses.replace(start, **changes)
        shape = UNSEEN[which] if self.objects == "unseen" else start.shape
        if start.held:
            return _held(start, shape, row)
        rise = shape.half_height - start.object_position[2]
        up = np.array([0.0, 0.0, rise])
        return dataclasses.replace(
            start,
            **changes,
            shape=shape,
            object_position=start.object_position + up,
            goal_position=start.goal_position + up,
        )

    def soften(self, model: mujoco.MjModel, index: ModelIndex) -> None:
        """Softer contacts of the object, which by its priority decides on all its contacts."""
        geoms = [*index.object_geoms.values(), *index.object_solids.tolist()]
        model.geom_solref[geoms, 0] = self.config.contact_time
        model.geom_solimp[geoms, :2] = self.config.contact_stiffness


@cache
def bank() -> dict[str, NDArray[Any]]:
    """Starts with an object in the hand, by name, one row per state."""
    with np.load(BANK, allow_pickle=False) as file:
        rows = {name: file[name] for name in file.files if name != "header"}
    return {n: v.astype(np.float64) if v.dtype == np.float32 else v for n, v in rows.items()}


def _held(start: EpisodeStart, shape: ObjectShape, row: float) -> EpisodeStart:
    """A start with `shape` in the hand, the task's bodies where they were beside the task's own object."""
    rows = bank()
    own = np.flatnonzero(rows["shape"] == shape.name)
    i = own[int(row * len(own))]
    quaternion = rows["object_quaternion"][i] / np.linalg.norm(rows["object_quaternion"][i])
    aside = rows["object_position"][i] - start.object_position
    aside[2] = 0.0
    up = np.array([0.0, 0.0, shape.half_height - start.shape.half_height])
    names = {
        "mass": "object_mass",
        "friction": "object_friction",
        "hand_gain": "hand_gain",
        "arm_gain": "arm_gain",
    }
    changes: dict[str, Any] = {field: float(rows[name][i]) for name, field in names.items()}
    arrays = (
        "arm_position",
        "arm_target",
        "hand_position",
        "hand_target",
        "object_position",
        "contacts",
    )
    changes |= {name: rows[name][i].copy() for name in arrays}
    return dataclasses.replace(
        start,
        **changes,
        shape=shape,
        object_quaternion=quaternion,
        goal_position=start.goal_position + aside + up,
        bodies={n: BodyStart(b.position + aside, b.quaternion) for n, b in start.bodies.items()},
    )


class GapDrive:
    """Between the commands and N worlds: they come late, and the fingers come later and have play."""

    def __init__(self, num_worlds: int, config: GapConfig = GAP) -> None:
        """
        Args:
            num_worlds: N.
            config: delay, lag and backlash.
        """
        self._delay = round(config.action_delay_s / robot.CONTROL_DT)
        self._share = (
            1.0 if config.hand_lag_s == 0.0 else 1.0 - float(np.exp(-robot.CONTROL_DT / config.hand_lag_s))
        )
        self._half_play = config.hand_backlash / 2.0
        n = num_worlds
        self._position = np.zeros((n, self._delay, 3))
        self._quaternion = np.zeros((n, self._delay, 4))
        self._hand = np.zeros((n, self._delay, 16))
        self._lagged = np.zeros((n, 16))
        self._joint = np.zeros((n, 16))

    def start(self, worlds: list[int], palm: Pose, hand: Array) -> None:
        """What some worlds hold until the first command has come through.

        Args:
            worlds: which.
            palm: target of the arm in all N worlds.
            hand: targets of the fingers in all N worlds, rad. Shape: (N, 16)
        """
        self._position[worlds] = palm.position[worlds, None]
        self._quaternion[worlds] = palm.quaternion[worlds, None]
        self._hand[worlds] = hand[worlds, None]
        self._lagged[worlds] = self._joint[worlds] = hand[worlds]

    def drive(self, palm: Pose, hand: Array) -> tuple[Pose, Array]:
        """What arm and fingers follow in this control step, given what is commanded in it."""
        if self._delay:
            late = Pose(self._position[:, 0].copy(), self._quaternion[:, 0].copy())
            late_hand = self._hand[:, 0].copy()
            for queue, value in (
                (self._position, palm.position), (self._quaternion, palm.quaternion), (self._hand, hand)
            ):  # fmt: skip
                queue[:, :-1] = queue[:, 1:].copy()
                queue[:, -1] = value
        else:
            late, late_hand = palm, hand
        self._lagged += self._share * (late_hand - self._lagged)
        self._joint = np.clip(self._joint, self._lagged - self._half_play, self._lagged + self._half_play)
        return late, self._joint.copy()


class CameraError:
    """Where things seem to be, seen by a camera that is not where its calibration says."""

    def __init__(self, model: mujoco.MjModel, config: GapConfig = GAP) -> None:
        """Args: model: compiled, with the camera in it."""
        rng = np.random.default_rng(CAMERA_SEED)
        offset, axis = (v / np.linalg.norm(v) for v in rng.standard_normal((2, 3)))
        error = Pose(
            (config.camera_offset * offset)[None], se3.quat_from_rotvec((config.camera_turn * axis)[None])
        )
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        camera = model.camera(CAMERA).id
        rotation = data.cam_xmat[camera].reshape(1, 3, 3)
        true = Pose(data.cam_xpos[camera][None].copy(), se3.quat_from_matrix(rotation))
        self.transform = se3.compose(se3.compose(true, error), se3.inverse(true))
        """From where a point is to where it seems to be, in the base frame; N = 1."""

    def pose(self, pose: Pose) -> Pose:
        """Where N poses seem to be."""
        return se3.compose(_repeat(self.transform, len(pose.position)), pose)

    def points(self, points: Array) -> Array:
        """Where points seem to be. Shape: (N, 3)"""
        t = _repeat(self.transform, len(points))
        moved: Array = se3.quat_rotate(t.quaternion, points) + t.position
        return moved

    def seen(self, state: WorldState) -> WorldState:
        """The state as perception reports it: what the camera sees is displaced, the robot is not."""
        return dataclasses.replace(
            state,
            object_pose=self.pose(state.object_pose),
            goal_position=self.points(state.goal_position),
            bodies={n: BodyState(self.pose(b.pose), b.velocity) for n, b in state.bodies.items()},
        )


def _repeat(pose: Pose, count: int) -> Pose:
    return Pose(np.repeat(pose.position, count, axis=0), np.repeat(pose.quaternion, count, axis=0))
