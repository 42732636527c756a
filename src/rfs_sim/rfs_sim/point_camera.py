"""A depth camera over the simulated table, and what goes wrong with one: where it stands, where it is
believed to stand, and noise. From its depth image on, the cloud is made by `rfs_core.cloud`, as on a robot.

What an episode's camera and noise are is decided by `episode_rng(seed, episode, ...)` and the control step,
so that the vector environment and the ROS node see the same cloud, bit for bit.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mujoco
import numpy as np
from numpy.typing import NDArray

from rfs_core import cloud, se3
from rfs_core.cloud import CloudConfig, CloudError
from rfs_core.config import param
from rfs_core.errors import ConfigError
from rfs_core.se3 import Pose
from rfs_core.seeding import episode_rng
from rfs_core.specs import ObservationSpec, require_same
from rfs_core.tasks import points as points_task
from rfs_core.world_state import WorldState
from rfs_sim.cloud import VISIBLE_GROUPS, Camera

if TYPE_CHECKING:
    from rfs_sim.world import World

_BLOCK = 4
"""A depth image is cast in blocks of so many pixels squared: first one ray of each, then all rays of those
blocks beside which something stands in the workspace. The table and the far side, nine tenths of the rays,
are cropped in any case."""
_MARGIN = 0.03
"""How far outside the workspace something may lie to be looked at more closely (m): what calibration believes
is elsewhere."""

_GROUPS = np.array([group in VISIBLE_GROUPS for group in range(6)], dtype=np.uint8)

CAMERA_STREAM = "camera"
"""Stream of an episode's camera."""

VIEWPOINTS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float], float]] = {
    "table": ((1.15, 0.25, 0.60), (0.52, 0.0, 0.06), 42.0),
    "left": ((0.85, 0.75, 0.62), (0.56, 0.0, 0.08), 42.0),
    "right": ((0.95, -0.68, 0.66), (0.56, 0.0, 0.08), 42.0),
    "high": ((1.05, -0.05, 0.92), (0.55, 0.0, 0.06), 42.0),
    "low": ((1.18, -0.22, 0.42), (0.54, 0.0, 0.08), 42.0),
}
"""Where cameras may stand: position and target (m, base frame), vertical field of view (degrees). `table` is
the model's camera `table_camera`; `low` is for evaluation, no policy is trained with it."""


@dataclass(frozen=True)
class PointCameraConfig:
    """The camera of a point-cloud policy in simulation."""

    viewpoints: tuple[str, ...] = param(
        ("table",),
        doc="Where it stands; one is drawn for every episode, twice as often where it is named twice: "
        f"{', '.join(VIEWPOINTS)}.",
    )
    spread: float = param(
        0.0, doc="It stands this far from its viewpoint at most, which calibration knows.", unit="m", low=0.0
    )
    position_error: float = param(
        0.0, doc="Calibration is wrong by this distance, in any direction.", unit="m", low=0.0, high=0.5
    )
    rotation_error: float = param(
        0.0, doc="Calibration is wrong by this angle, about any axis.", unit="deg", low=0.0, high=45.0
    )
    errors: str = param(
        "exact",
        doc="Both errors have this size in every episode, or any size up to it.",
        choices=("exact", "up_to"),
    )
    noise: float = param(
        0.0, doc="Standard deviation of noise on every coordinate.", unit="m", low=0.0, high=0.1
    )
    width: int = param(240, doc="Columns of the depth image; a multiple of 4.", unit="px", low=16, high=1280)
    height: int = param(180, doc="Rows of the depth image; a multiple of 4.", unit="px", low=16, high=960)
    count: int = param(points_task.COUNT, doc="Points of a cloud.", low=1, high=65_536)

    def __post_init__(self) -> None:
        unknown = [name for name in self.viewpoints if name not in VIEWPOINTS]
        if unknown or not self.viewpoints:
            raise ConfigError(
                f"viewpoints {', '.join(unknown) or 'are none'}: known are {', '.join(VIEWPOINTS)}"
            )
        if self.width % _BLOCK or self.height % _BLOCK:
            raise ConfigError(
                f"depth image of {self.width} x {self.height} px: both must be multiples of {_BLOCK}"
            )


class PointCamera:
    """The camera of one episode. Keeps its buffers, so one instance serves one thread."""

    def __init__(
        self,
        config: PointCameraConfig,
        pipeline: CloudConfig,
        seed: int,
        episode: int,
        displacement: Pose | None = None,
    ) -> None:
        """
        Args:
            displacement: from where things are to where they seem to be, in the base frame, of a world whose
                calibration is wrong by itself (`rfs_sim.gap`); N = 1.
        """
        self.config, self.pipeline = config, pipeline
        self._seed, self._episode = seed, episode
        rng = episode_rng(seed, episode, CAMERA_STREAM)
        name = config.viewpoints[int(rng.integers(len(config.viewpoints)))]
        position, target, fovy = VIEWPOINTS[name]
        place = np.asarray(position) + config.spread * rng.uniform(-1.0, 1.0, 3)
        self.camera = Camera.looking_at(place, target, math.radians(fovy), config.width, config.height)
        self.viewpoint = name
        """Which of the viewpoints was drawn."""
        size = rng.uniform(0.0, 1.0, 2) if config.errors == "up_to" else np.ones(2)
        offset = config.position_error * size[0] * _direction(rng)
        turn = math.radians(config.rotation_error) * size[1] * _direction(rng)
        self.believed = np.eye(4)
        """Pose of the optical frame that calibration reports. Shape: (4, 4)"""
        wrong = se3.matrix_from_quat(se3.quat_from_rotvec(turn[None]))[0]
        self.believed[:3, :3] = wrong @ self.camera.rotation
        self.believed[:3, 3] = self.camera.position + offset
        if displacement is not None:
            moved = np.eye(4)
            moved[:3, :3] = se3.matrix_from_quat(displacement.quaternion)[0]
            moved[:3, 3] = displacement.position[0]
            self.believed = moved @ self.believed
        (cx, cy), focal = self.camera.centre, self.camera.focal
        self.intrinsics = np.array([[focal, 0.0, cx], [0.0, focal, cy], [0.0, 0.0, 1.0]])
        """Shape: (3, 3)"""
        self._local, self._norm = _rays(config.width, config.height, focal)
        pixels = np.arange(config.height * config.width).reshape(config.height, config.width)
        self._pixels = pixels
        self._coarse = np.ascontiguousarray(pixels[_BLOCK // 2 :: _BLOCK, _BLOCK // 2 :: _BLOCK])
        margin = _MARGIN + config.position_error + 1.5 * math.radians(config.rotation_error)
        self._low, self._high = np.subtract(pipeline.low, margin), np.add(pipeline.high, margin)
        self._low[2] = min(pipeline.low[2], 0.005)  # not the whole table

    def depth(self, model: mujoco.MjModel, data: mujoco.MjData) -> NDArray[np.float32]:
        """What it measures in the workspace (m; NaN elsewhere); `data` must have its kinematics computed.

        Shape: (height, width)
        """
        measured = np.full(self._pixels.size, np.nan, np.float32)
        coarse = self._coarse.ravel()
        depth = self._cast(model, data, coarse)
        points = self.camera.position + self._directions(coarse) * depth[:, None]
        inside = np.all((points >= self._low) & (points <= self._high), axis=1).reshape(self._coarse.shape)
        near = np.pad(inside, 1)
        near = near[:-2] | near[1:-1] | near[2:]
        near = near[:, :-2] | near[:, 1:-1] | near[:, 2:]
        wanted = self._pixels[np.kron(near, np.ones((_BLOCK, _BLOCK), np.bool_))]
        measured[wanted] = self._cast(model, data, wanted)
        return measured.reshape(self._pixels.shape)

    def _directions(self, pixels: NDArray[np.intp]) -> NDArray[np.float64]:
        """Rays of depth 1 through some pixels, world frame. Shape: (P, 3)"""
        return self._local[pixels] @ self.camera.rotation.T

    def _cast(
        self, model: mujoco.MjModel, data: mujoco.MjData, pixels: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Depth along the optical axis of some pixels, NaN where there is nothing. Shape: (P,)"""
        distance, geom = np.empty(len(pixels)), np.empty(len(pixels), np.int32)
        if len(pixels) == 0:
            return distance
        norm = self._norm[pixels]
        mujoco.mj_multiRay(
            m=model,
            d=data,
            pnt=self.camera.position,
            vec=np.ascontiguousarray(self._directions(pixels) / norm[:, None]).ravel(),
            geomgroup=_GROUPS,
            flg_static=True,
            bodyexclude=-1,
            geomid=geom,
            dist=distance,
            normal=None,
            nray=len(pixels),
            cutoff=self.pipeline.far * float(norm.max()),
        )
        return np.where(geom >= 0, distance / norm, np.nan)

    def points(self, model: mujoco.MjModel, data: mujoco.MjData, step: int) -> NDArray[np.float32]:
        """The cloud after `step` control steps of its episode. Shape: (count, 3), m, base frame.

        Raises:
            CloudError: the pipeline refuses what is seen.
        """
        rng = episode_rng(self._seed, self._episode, f"cloud {step}")
        seen = cloud.deproject(self.depth(model, data), self.intrinsics, self.believed, self.pipeline)
        if self.config.noise > 0:
            seen += self.config.noise * rng.standard_normal(seen.shape, dtype=np.float32)
        return cloud.sample(seen, self.pipeline, rng, self.config.count)


@functools.lru_cache(maxsize=4)
def _rays(width: int, height: int, focal: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rays of depth 1 through all pixels in the camera's frame (pixels, 3), and their lengths; shared by all
    cameras of that size."""
    u, v = np.meshgrid(np.arange(width) - 0.5 * (width - 1), np.arange(height) - 0.5 * (height - 1))
    rays = np.stack([u.ravel() / focal, v.ravel() / focal, np.ones(u.size)], axis=1)
    return rays, np.linalg.norm(rays, axis=1)


def unseen(pipeline: CloudConfig, count: int) -> NDArray[np.float32]:
    """What stands for a cloud that was refused where an episode has to go on: every point in the lowest
    corner of the workspace. On a robot the policy would not be asked."""
    return np.tile(np.asarray(pipeline.low, np.float32), (count, 1))


class WorldObserver:
    """What a policy sees of one world: its state, or what the camera at the table shows."""

    def __init__(self, world: World, spec: ObservationSpec, whose: str) -> None:
        """
        Args:
            spec: what the policy wants.
            whose: for the sentence of a refusal.

        Raises:
            SpecError: neither what the world's task offers as a state, nor as a cloud.
        """
        self._world, self._spec = world, spec
        count = points_task.count_of(spec)
        offered = points_task.observation_spec(world.task, count) if count else world.observation_spec
        hint = "choose a checkpoint of this task, or retrain"
        require_same(spec, offered, f"observation of {whose} and of this world (other)", hint)
        self._camera: PointCamera | None = None
        if count:
            moved = None if world.camera_error is None else world.camera_error.transform
            config = PointCameraConfig(count=count)
            self._camera = PointCamera(config, CloudConfig(), world.seed, world.episode, moved)

    def observe(self) -> NDArray[np.float32]:
        """The observation now. Shape: (1, O)

        Raises:
            CloudError: the camera sees nothing that makes a cloud.
        """
        if self._camera is None:
            return self._world.observe()
        world = self._world
        own = own_values(world.state, world.seen.goal_position)
        values = {name: own[name] for name in self._spec.names if name in own}
        cloud_now = self._camera.points(world.model, world.data(), world.steps)
        packed: NDArray[np.float32] = self._spec.pack({**values, points_task.POINTS: cloud_now[None]})
        return packed.astype(np.float32)


def own_values(state: WorldState, goal_position: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The parts of a point-cloud policy's observation that no camera is needed for, each (N, size)."""
    return {
        "arm_position": state.arm_position,
        "hand_position": state.hand_position,
        "palm_position": state.palm.position,
        "palm_rotation": se3.rotation_6d(state.palm.quaternion),
        "goal_position": goal_position,
    }


def _direction(rng: np.random.Generator) -> NDArray[np.float64]:
    """A unit vector, every direction alike."""
    v = rng.standard_normal(3)
    direction: NDArray[np.float64] = v / np.linalg.norm(v)
    return direction


__all__ = [
    "VIEWPOINTS",
    "CloudError",
    "PointCamera",
    "PointCameraConfig",
    "WorldObserver",
    "own_values",
    "unseen",
]
