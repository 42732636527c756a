"""N worlds of a task: the engine, the simulated arm driver, disturbances, and the task's state.

The vector environment and the simulation node (with one world) both stand on this class. It takes what the
command gate publishes, palm target and finger targets, and does what the drivers do with it. It runs on the
arrays of whatever engine it is given (`rfs_sim.seam`).
"""

import dataclasses
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from rfs_core import arrays, control, robot, tasks
from rfs_core.arrays import Array
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
from rfs_sim.seam import Engine, EngineError, EngineFactory, rows

CARRYING_NOSLIP = 2
"""`SceneConfig.noslip` of tasks in which an object is carried."""


class Worlds:
    """Batched task worlds.

    Attributes:
        engine: the physics; `engine.models[i]` and `engine.copy_into(i, data)` of the CPU engine serve
            cameras.
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
        engine: EngineFactory | None = None,
        **task_options: object,
    ) -> None:
        """
        Args:
            task: name of the task.
            num_worlds: N.
            scene: what the worlds contain and the time step of the physics.
            disturbance: torque pulses on the joints; None: the default ones, of strength 1.
            threads: of the CPU engine's physics.
            world: `training`, or `gap` (`rfs_sim.gap`).
            objects: `seen`, or in the gap world `unseen`.
            engine: makes the physics; None: MuJoCo on the CPU.
            task_options: values of the task's configuration other than its defaults.
        """
        self.task = tasks.load(task)
        gap.check(world, objects, task)
        self.task_config = tasks.configure(task, task_options)
        scene = dataclasses.replace(
            scene or SceneConfig(), bodies=self.task.BODIES, object_solids=self.task.OBJECT_SOLIDS
        )
        if self.task.CARRIES:
            scene = dataclasses.replace(scene, noslip=max(scene.noslip, CARRYING_NOSLIP))
        self._gap = gap.Gap(objects) if world == "gap" else None
        if self._gap is not None and not scene.object_solids:
            scene = dataclasses.replace(scene, object_solids=gap.SPOOL)
        if self._gap is not None and engine is not None:
            raise EngineError("the gap world runs on engine mujoco only: choose it, or world training")
        make = engine or partial(MujocoEngine, threads=threads)
        physics: Engine = make(num_worlds, scene)
        self.engine: Any = physics  # cameras and the gap world use more of the CPU engine than the seam has
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
        n, x = num_worlds, self.engine.example
        self.starts: list[Any] = [None] * n
        self.arm_target = arrays.zeros((n, 7), x)
        self.hand_target = arrays.zeros((n, 16), x)
        identity = arrays.of(np.tile([1.0, 0.0, 0.0, 0.0], (n, 1)), x)
        self.target = Pose(arrays.zeros((n, 3), x), identity)
        self._steps = arrays.of(np.zeros(n, dtype=np.int64), x)
        self._held_steps = arrays.of(np.zeros(n, dtype=np.int64), x)
        self._rest_height = arrays.zeros((n,), x)
        self._goal = arrays.zeros((n, 3), x)  # from the task's TARGET_BODY, where it has one
        self._torque = arrays.zeros((n, self.task.MAX_EPISODE_STEPS, DISTURBANCE_JOINTS), x)
        self._each = arrays.of(np.arange(n), x)
        self.state = self._read()

    def reset(self, seed: int, episodes: Iterable[int], worlds: Iterable[int] | None = None) -> None:
        """Starts an episode in each of the worlds; the arm and the hand hold where they are.

        Args:
            seed: of the run.
            episodes: which episode of that seed each world plays.
            worlds: which worlds; None: all of them.
        """
        worlds = [int(w) for w in (range(self.num_worlds) if worlds is None else worlds)]
        starts, torques = [], []
        for _, episode in zip(worlds, episodes, strict=True):
            rng = episode_rng(seed, int(episode), "reset")
            start = self.task.draw_episode(rng, self.task_config)
            if self._gap is not None:
                other = episode_rng(seed, int(episode), gap.STREAM)
                start = self._gap.alter(start, other, bool(self.task.OBJECT_SOLIDS))
            starts.append(start)
            stream = episode_rng(seed, int(episode), "disturbance")
            torques.append(draw_disturbance(stream, self._torque.shape[1], self.disturbance))
        if worlds:
            self._start(worlds, starts, rows(torques))

    def begin(self, starts: Iterable[EpisodeStart]) -> None:
        """Puts every world into a start of the caller's making, without disturbances."""
        starts = list(starts)
        torques = np.zeros((len(starts), *self._torque.shape[1:]))
        self._start(list(range(len(starts))), starts, torques)

    def _start(self, worlds: list[int], starts: list[EpisodeStart], torques: Array) -> None:
        # States handed out before keep their values: what they share is copied before it is written.
        self.arm_target, self.hand_target = arrays.copy(self.arm_target), arrays.copy(self.hand_target)
        self._held_steps, self._rest_height = arrays.copy(self._held_steps), arrays.copy(self._rest_height)
        self._goal = arrays.copy(self._goal)
        self.engine.reset(worlds, starts)
        for world, start in zip(worlds, starts, strict=True):
            self.starts[world] = start
        x, body = self.engine.example, self.task.TARGET_BODY
        goal = rows(s.goal_position - s.bodies[body].position if body else s.goal_position for s in starts)
        arm = rows(s.arm_position if s.arm_target is None else s.arm_target for s in starts)
        which = arrays.of(np.array(worlds), x)
        self.arm_target[which] = arrays.of(arm, x)
        # Where the gate begins, too: from the joints it measures when it is armed.
        self.hand_target[which] = arrays.of(rows(s.hand_position for s in starts), x)
        self._rest_height[which] = arrays.of(rows(s.object_position[2] for s in starts), x)
        self._goal[which] = arrays.of(goal, x)
        self._torque[which] = arrays.of(torques, x)
        self._steps[which] = 0
        self._held_steps[which] = 0
        self.state = self._read()
        self.target.position[which] = self.state.palm.position[which]
        self.target.quaternion[which] = self.state.palm.quaternion[which]
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
        self.engine.step(*self.targets(target, hand_target, disturbed))
        self.stepped()

    def targets(
        self, target: Pose, hand_target: Array, disturbed: bool = True
    ) -> tuple[Array, Array, Array | None]:
        """What the engine's `step` takes for these targets; for an engine whose own loop calls it."""
        self.target = Pose(arrays.copy(target.position), arrays.copy(target.quaternion))
        self.hand_target = hand_target = arrays.copy(hand_target)
        hand = hand_target
        if self._drive is not None:
            target, hand = self._drive.drive(target, hand)
        self.arm_target = control.track(self.kinematics, self.arm_target, self.state.arm_position, target)
        torque = None
        if disturbed:
            now = self._steps.clip(None, self._torque.shape[1] - 1)
            torque = self._torque[self._each, now]
        return self.arm_target, hand, torque

    def stepped(self) -> None:
        """Reads the state after a control step, and counts for how long the task's condition has held."""
        self._steps = self._steps + 1
        self.state = self._read()
        holds = self.task.momentary_success(self.state, self.task_config) & ~self.engine.unstable
        self._held_steps = arrays.namespace(holds).where(holds, self._held_steps + 1, 0)
        self.state.held_steps = self._held_steps

    @property
    def seen(self) -> WorldState:
        """The state as drivers and perception report it; in the training world that is the state itself."""
        return self.state if self.camera_error is None else self.camera_error.seen(self.state)

    def observe(self, worlds: Array | None = None) -> Array:
        """What a state policy sees of some worlds; None: of all. Shape: (N, O), float32"""
        seen = self.seen if worlds is None else self.seen.take(worlds)
        return self.task.observe(seen)

    def substep_states(self) -> Substeps:
        """Joint states within the last control step."""
        return self.engine.substep_states()

    def close(self) -> None:
        """Ends the physics threads."""
        self.engine.close()

    def _read(self) -> WorldState:
        measured = self.engine.read()
        palm = self.kinematics.forward(measured.arm_position)
        goal = self._goal
        if self.task.TARGET_BODY:
            goal = goal + measured.bodies[self.task.TARGET_BODY].pose.position
        return WorldState(
            time=arrays.number(self._steps, self.engine.example) * robot.CONTROL_DT,
            arm_position=measured.arm_position,
            arm_velocity=measured.arm_velocity,
            arm_target=self.arm_target,
            hand_position=measured.hand_position,
            hand_velocity=measured.hand_velocity,
            hand_target=self.hand_target,
            palm=palm,
            fingertip_position=self._hand.fingertips(palm, measured.hand_position),
            object_pose=measured.object_pose,
            object_velocity=measured.object_velocity,
            object_rest_height=self._rest_height,
            goal_position=goal,
            contacts=self.engine.contacts,
            held_steps=self._held_steps,
            bodies=measured.bodies,
        )
