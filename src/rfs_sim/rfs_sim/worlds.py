"""N worlds of a task: the engine, the simulated arm driver, disturbances, and the task's state.

The vector environment and the simulation node (with one world) both stand on this class. It takes what the
command gate publishes, palm target and finger targets, and does what the drivers do with it.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_core import control, robot, tasks
from rfs_core.kinematics import ArmKinematics
from rfs_core.scene import EpisodeStart
from rfs_core.se3 import Pose
from rfs_core.seeding import episode_rng
from rfs_core.world_state import WorldState
from rfs_sim import gap
from rfs_sim.engine import MujocoEngine, Substeps
from rfs_sim.hand_kinematics import HandKinematics
from rfs_sim.mjcf import SceneConfig
from rfs_sim.randomization import DISTURBANCE_JOINTS, DisturbanceConfig, draw_disturbance

Array = NDArray[np.float64]


CARRYING_NOSLIP = 2
"""`SceneConfig.noslip` of tasks in which an object is carried."""


class Worlds:
    """Batched task worlds.

    Attributes:
        engine: the physics; `engine.models[i]` and `engine.copy_into(i, data)` serve cameras.
        task: the task's module.
        state: the worlds now, as the task and policies see them. A new object after every reset and step.
        target: palm target that the arm follows.
        hand_target: finger targets that the hand holds, rad. Shape: (N, 16)
        starts: the drawn start of each world's episode.
    """

    def __init__(
        self,
        task: str,
        num_worlds: int,
        *,
        scene: SceneConfig | None = None,
        disturbance: DisturbanceConfig | None = None,
        threads: int = 1,
        world: str = "training",
        objects: str = "seen",
        **task_options: object,
    ) -> None:
        """
        Args:
            task: name of the task.
            num_worlds: N.
            scene: what the worlds contain and the time step of the physics.
            disturbance: torque pulses on the joints; None: the default ones, of strength 1.
            threads: of the physics.
            world: `training`, or `gap` (`rfs_sim.gap`).
            objects: `seen`, or in the gap world `unseen`.
            task_options: values of the task's configuration other than its defaults.
        """
        gap.check(world, objects)
        self.task = tasks.load(task)
        self.task_config = tasks.configure(task, task_options)
        scene = dataclasses.replace(
            scene or SceneConfig(), bodies=self.task.BODIES, object_solids=self.task.OBJECT_SOLIDS
        )
        if self.task.CARRIES:
            scene = dataclasses.replace(scene, noslip=max(scene.noslip, CARRYING_NOSLIP))
        self._gap = gap.Gap(objects) if world == "gap" else None
        if self._gap is not None and not scene.object_solids:
            scene = dataclasses.replace(scene, object_solids=gap.SPOOL)
        self.engine = MujocoEngine(num_worlds, scene, threads)
        self.num_worlds = num_worlds
        self._drive: gap.GapDrive | None = None
        self.camera_error: gap.CameraError | None = None
        if self._gap is not None:
            for model in self.engine.models:
                self._gap.soften(model, self.engine.index)
            self._drive = gap.GapDrive(num_worlds)
            self.camera_error = gap.CameraError(self.engine.models[0])
        self.disturbance = disturbance or DisturbanceConfig()
        self.kinematics = ArmKinematics()
        self._hand = HandKinematics()
        n = num_worlds
        self.starts: list[Any] = [None] * n
        self.arm_target = np.zeros((n, 7))
        self.hand_target = np.zeros((n, 16))
        self.target = Pose(np.zeros((n, 3)), np.tile([1.0, 0.0, 0.0, 0.0], (n, 1)))
        self._steps = np.zeros(n, dtype=np.int64)
        self._held_steps = np.zeros(n, dtype=np.int64)
        self._rest_height = np.zeros(n)
        self._goal = np.zeros((n, 3))  # from the task's TARGET_BODY, where it has one
        self._torque = np.zeros((n, self.task.MAX_EPISODE_STEPS, DISTURBANCE_JOINTS))
        self.state = self._read()

    def reset(self, seed: int, episodes: Iterable[int], worlds: Iterable[int] | None = None) -> None:
        """Starts an episode in each of the worlds; the arm and the hand hold where they are.

        Args:
            seed: of the run.
            episodes: which episode of that seed each world plays.
            worlds: which worlds; None: all of them.
        """
        worlds = list(range(self.num_worlds) if worlds is None else worlds)
        self._keep_states()
        for world, episode in zip(worlds, episodes, strict=True):
            rng = episode_rng(seed, int(episode), "reset")
            start = self.task.draw_episode(rng, self.task_config)
            if self._gap is not None:
                stream = episode_rng(seed, int(episode), gap.STREAM)
                start = self._gap.alter(start, stream, bool(self.task.OBJECT_SOLIDS))
            self._start(world, start)
            self._torque[world] = draw_disturbance(
                episode_rng(seed, int(episode), "disturbance"), len(self._torque[world]), self.disturbance
            )
        self._started(worlds)

    def begin(self, starts: Iterable[EpisodeStart]) -> None:
        """Puts every world into a start of the caller's making, without disturbances."""
        self._keep_states()
        for world, start in enumerate(starts):
            self._start(world, start)
        self._torque[:] = 0.0
        self._started(list(range(self.num_worlds)))

    def _keep_states(self) -> None:
        """States handed out before keep their values."""
        self.arm_target, self.hand_target = self.arm_target.copy(), self.hand_target.copy()
        self._held_steps, self._rest_height = self._held_steps.copy(), self._rest_height.copy()
        self._goal = self._goal.copy()

    def _start(self, world: int, start: EpisodeStart) -> None:
        self.engine.reset(world, start)
        self.starts[world] = start
        self.arm_target[world] = start.arm_position if start.arm_target is None else start.arm_target
        # Where the gate begins, too: from the joints it measures when it is armed.
        self.hand_target[world] = start.hand_position
        self._rest_height[world] = start.object_position[2]
        self._goal[world] = start.goal_position
        if self.task.TARGET_BODY:
            self._goal[world] -= start.bodies[self.task.TARGET_BODY].position

    def _started(self, worlds: list[int]) -> None:
        self._steps[worlds] = 0
        self._held_steps[worlds] = 0
        self.state = self._read()
        self.target.position[worlds] = self.state.palm.position[worlds]
        self.target.quaternion[worlds] = self.state.palm.quaternion[worlds]
        if self._drive is not None:
            held = [s.hand_position if s.hand_target is None else s.hand_target for s in self.starts]
            self._drive.start(worlds, self.target, np.array(held))

    def step(self, target: Pose, hand_target: Array, disturbed: bool = True) -> None:
        """One control step: the arm follows the palm target, the hand its joint targets.

        Args:
            target: palm in the base frame.
            hand_target: rad. Shape: (N, 16)
            disturbed: False leaves the episode's disturbances out (a world that no episode is played in).
        """
        self.target = Pose(target.position.copy(), target.quaternion.copy())
        self.hand_target = hand_target = hand_target.copy()
        hand = hand_target
        if self._drive is not None:
            target, hand = self._drive.drive(target, hand)
        self.arm_target = control.track(self.kinematics, self.arm_target, self.state.arm_position, target)
        torque = None
        if disturbed:
            now = np.minimum(self._steps, self._torque.shape[1] - 1)
            torque = self._torque[np.arange(self.num_worlds), now]
        self.engine.step(self.arm_target, hand, torque)
        self._steps += 1
        self.state = self._read()
        holds = self.task.momentary_success(self.state, self.task_config) & ~self.engine.unstable
        self._held_steps = np.where(holds, self._held_steps + 1, 0)
        self.state.held_steps = self._held_steps

    @property
    def seen(self) -> WorldState:
        """The state as drivers and perception report it; in the training world that is the state itself."""
        return self.state if self.camera_error is None else self.camera_error.seen(self.state)

    def observe(self, worlds: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
        """What a state policy sees of some worlds; None: of all. Shape: (N, O)"""
        seen = self.seen if worlds is None else self.seen.take(worlds)
        observation: NDArray[np.float32] = self.task.observe(seen)
        return observation

    def substep_states(self) -> Substeps:
        """Joint states within the last control step."""
        return self.engine.substep_states()

    def close(self) -> None:
        """Ends the physics threads."""
        self.engine.close()

    def _read(self) -> WorldState:
        qpos, qvel, index = self.engine.qpos, self.engine.qvel, self.engine.index
        arm = qpos[:, index.arm_qpos]
        hand = qpos[:, index.hand_qpos]
        palm = self.kinematics.forward(arm)
        bodies = self.engine.bodies()
        goal = self._goal
        if self.task.TARGET_BODY:
            goal = goal + bodies[self.task.TARGET_BODY].pose.position
        return WorldState(
            time=self._steps * robot.CONTROL_DT,
            arm_position=arm,
            arm_velocity=qvel[:, index.arm_dof],
            arm_target=self.arm_target,
            hand_position=hand,
            hand_velocity=qvel[:, index.hand_dof],
            hand_target=self.hand_target,
            palm=palm,
            fingertip_position=self._hand.fingertips(palm, hand),
            object_pose=Pose(qpos[:, index.object_qpos[:3]], qpos[:, index.object_qpos[3:]]),
            object_velocity=qvel[:, index.object_dof],
            object_rest_height=self._rest_height,
            goal_position=goal,
            contacts=self.engine.contacts,
            held_steps=self._held_steps,
            bodies=bodies,
        )
