"""N worlds of the scene in one batched mujoco_warp model: an `Engine` (`rfs_sim.seam`) of float32 tensors.

State, controls and sensors are torch views of warp's memory, without copies. The physics steps of a control
step are captured once as a graph and replayed. As on the CPU engine every
control step starts its solver cold, so that a world's next state depends on its state and targets only.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence

import mujoco_warp as mjw
import numpy as np
import torch
import warp as wp

from rfs_core import robot
from rfs_core.scene import EpisodeStart
from rfs_core.se3 import Pose
from rfs_core.world_state import BodyState
from rfs_sim import randomization
from rfs_sim.mjcf import SceneConfig
from rfs_sim.mjwarp.fields import PerWorldFields, set_slots
from rfs_sim.model import ModelIndex, compile_model
from rfs_sim.seam import EngineError, Measured, ProblemCounter, rows, substeps_of

CONTACTS_PER_WORLD = 96
"""Pairs of geoms near each other, and contacts, that there is memory for, on average over the worlds."""
CONSTRAINTS_PER_WORLD = 256
"""Rows of constraints that there is memory for, in each world."""

_DROPPED = int(
    mjw.OverflowType.NEFC
    | mjw.OverflowType.NJMAX_NNZ
    | mjw.OverflowType.BROADPHASE
    | mjw.OverflowType.NARROWPHASE
    | mjw.OverflowType.CCD
    | mjw.OverflowType.CONTACT_MATCH
)
"""Overflows after which contacts or constraints are missing."""
_LARGEST = 1e10
"""Positions and velocities beyond this are not finite for MuJoCo (mjMAXVAL)."""


@wp.kernel
def _gather_contacts(sensordata: wp.array2d[float], address: wp.array[int], contacts: wp.array2d[bool]):  # type: ignore[no-untyped-def]
    """A part of the hand that touches at any physics step has touched."""
    world, part = wp.tid()
    if sensordata[world, address[part]] > 0.0:
        contacts[world, part] = True


class MjwarpEngine:
    """See the module. `example`, `contacts`, `unstable`: see `rfs_sim.seam.Engine`.

    Attributes:
        device: as torch names it.
        index: addresses in `qpos`, `qvel` and the like.
        qpos, qvel: state of all worlds, views of warp's memory. Shapes: (N, nq), (N, nv)
        fields: what differs from world to world in the model.
    """

    def __init__(
        self,
        num_worlds: int,
        scene: SceneConfig | None = None,
        *,
        device: str = "auto",
        contacts_per_world: int = CONTACTS_PER_WORLD,
        constraints_per_world: int = CONSTRAINTS_PER_WORLD,
        graph: bool = True,
    ) -> None:
        """
        Args:
            num_worlds: N, at least 1.
            scene: what the worlds contain.
            device: `auto` (the GPU where there is one), `cpu`, `cuda`, `cuda:1`, ...
            contacts_per_world: contacts there is memory for, on average over the worlds.
            constraints_per_world: rows of constraints there is memory for, in each world.
            graph: replay a control step as a captured graph, which is the same and faster; also on the CPU.
        """
        self.scene = scene or SceneConfig()
        if num_worlds < 1:
            raise EngineError(f"num_worlds is {num_worlds}, needs at least 1.")
        self.num_worlds, self.substeps = num_worlds, substeps_of(self.scene)
        self.device = _device(device)
        self._host = compile_model(self.scene)
        self.index = index = ModelIndex.of(self._host, bodies=self.scene.bodies)
        set_slots(self._host, index, self.scene)
        with wp.ScopedDevice(self.device):
            self._model = mjw.put_model(self._host)
            self._model.opt.warn_overflow = 0  # counted and told of here
            self._data = mjw.make_data(
                self._host, num_worlds, nconmax=contacts_per_world, njmax=constraints_per_world
            )
            self.fields = PerWorldFields(self._host, index, self._model, self._data, num_worlds, self.device)
            self._contact_address = wp.array(index.contact_sensors, dtype=int)
        data = self._data
        self.qpos, self.qvel = wp.to_torch(data.qpos), wp.to_torch(data.qvel)
        self._ctrl, self._force = wp.to_torch(data.ctrl), wp.to_torch(data.qfrc_applied)
        self._warmstart, self._overflow = wp.to_torch(data.qacc_warmstart), wp.to_torch(data.overflow)
        self.contacts = torch.zeros(
            num_worlds, len(robot.CONTACT_NAMES), dtype=torch.bool, device=self.device
        )
        self._touched = wp.from_torch(torch.zeros_like(self.contacts))
        self._touched_view = wp.to_torch(self._touched)
        self.unstable = torch.zeros(num_worlds, dtype=torch.bool, device=self.device)
        self.example = torch.zeros(0, dtype=self.qpos.dtype, device=self.device)
        self.qpos[:] = self._tensor(self._host.qpos0)
        self._at = {name: self._indices(getattr(index, name)) for name in _ADDRESSES}
        self._forced = torch.cat((self._at["arm_dof"], self._at["hand_dof"]))
        self._bodies = {
            name: None if body.qpos is None else (self._indices(body.qpos), self._indices(body.dof))
            for name, body in index.bodies.items()
        }
        self._fixed = {
            name: Pose(self._zeros(3), self._tensor(np.tile([1.0, 0.0, 0.0, 0.0], (num_worlds, 1))))
            for name, body in self._bodies.items()
            if body is None
        }
        self._problems = ProblemCounter("mjwarp")
        self._capturing = graph
        self._graph: wp.Graph | None = None

    def reset(self, worlds: Sequence[int], starts: Sequence[EpisodeStart]) -> None:
        """Puts worlds into starts of episodes, at rest."""
        if not worlds:
            return
        which = self._indices(np.array(worlds))
        self.fields.set(which, starts)
        qpos0 = self._host.qpos0
        self.qpos[which] = self._tensor(rows(randomization.start_qpos(qpos0, self.index, s) for s in starts))
        self.qvel[which] = 0.0
        for name, fixed in self._fixed.items():
            fixed.position[which] = self._tensor(rows(s.bodies[name].position for s in starts))
            fixed.quaternion[which] = self._tensor(rows(s.bodies[name].quaternion for s in starts))
        self.contacts = self.contacts.clone()
        self.contacts[which] = torch.from_numpy(rows(s.contacts for s in starts)).to(self.device)
        self.unstable = self.unstable.clone()
        self.unstable[which] = False

    def step(
        self, arm_target: torch.Tensor, hand_target: torch.Tensor, disturbance: torch.Tensor | None = None
    ) -> None:
        """Advances all worlds by one control step; see `rfs_sim.seam.Engine.step`."""
        before = self.qpos.clone(), self.qvel.clone()
        self._ctrl[:, self._at["arm_ctrl"]] = arm_target
        self._ctrl[:, self._at["hand_ctrl"]] = hand_target
        self._force[:, self._forced] = 0.0 if disturbance is None else disturbance
        self._warmstart.zero_()
        self._overflow.zero_()
        self._touched_view.zero_()
        self._substeps()
        finite = (self.qpos.abs() < _LARGEST).all(dim=1) & (self.qvel.abs() < _LARGEST).all(dim=1)
        dropped = (self._overflow & _DROPPED) != 0
        self.unstable = ~finite | dropped
        self.contacts = self._touched_view & ~self.unstable[:, None]
        if bool(self.unstable.any()):
            self._restore(before, finite, dropped)

    def read(self) -> Measured:
        """The worlds now (copies)."""
        at = self._at
        bodies = {}
        for name, addresses in self._bodies.items():
            if addresses is None:
                fixed = self._fixed[name]
                pose = Pose(fixed.position.clone(), fixed.quaternion.clone())
                bodies[name] = BodyState(pose, self._zeros(6))
            else:
                where, dof = addresses
                place = self.qpos[:, where]
                bodies[name] = BodyState(Pose(place[:, :3], place[:, 3:]), self.qvel[:, dof])
        place = self.qpos[:, at["object_qpos"]]
        return Measured(
            arm_position=self.qpos[:, at["arm_qpos"]],
            arm_velocity=self.qvel[:, at["arm_dof"]],
            hand_position=self.qpos[:, at["hand_qpos"]],
            hand_velocity=self.qvel[:, at["hand_dof"]],
            object_pose=Pose(place[:, :3], place[:, 3:]),
            object_velocity=self.qvel[:, at["object_dof"]],
            bodies=bodies,
        )

    def problems(self) -> dict[str, int]:
        """Worlds that were lost since the engine was made, by reason."""
        return self._problems.counts

    def peaks(self) -> dict[str, int]:
        """How much of the memory for contacts and constraints the last physics step took.

        `pairs` and `contacts`: on average over the worlds, rounded up; `constraints`: the most of any world.
        """
        data, n = self._data, self.num_worlds
        return {
            "pairs": -(-int(data.ncollision.numpy()[0]) // n),
            "contacts": -(-int(data.nacon.numpy()[0]) // n),
            "constraints": int(data.nefc.numpy().max()),
        }

    def close(self) -> None:
        """Frees the graph."""
        self._graph = None

    def _substeps(self) -> None:
        with wp.ScopedDevice(self.device):
            if self._graph is not None:
                wp.capture_launch(self._graph)
                return
            self._launch()
            if self._capturing:
                # What was launched has compiled all kernels; from the next control step on it is replayed. A
                # collection within a capture would free memory, which a capture must not see.
                gc.disable()
                try:
                    with wp.ScopedCapture() as capture:
                        self._launch()
                finally:
                    gc.enable()
                self._graph = capture.graph

    def _launch(self) -> None:
        for _ in range(self.substeps):
            mjw.step(self._model, self._data)
            wp.launch(
                _gather_contacts,
                dim=self._touched.shape,
                inputs=[self._data.sensordata, self._contact_address],
                outputs=[self._touched],
            )

    def _restore(
        self, before: tuple[torch.Tensor, torch.Tensor], finite: torch.Tensor, dropped: torch.Tensor
    ) -> None:
        lost = self.unstable[:, None]
        self.qpos[:] = torch.where(lost, before[0], self.qpos)
        self.qvel[:] = torch.where(lost, before[1], self.qvel)
        self._problems.add("not finite", int((~finite).sum()))
        advice = "raise contacts_per_world or constraints_per_world"
        self._problems.add("without memory for all contacts", int((finite & dropped).sum()), advice)

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)

    def _indices(self, values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.int64, device=self.device)

    def _zeros(self, width: int) -> torch.Tensor:
        return torch.zeros(self.num_worlds, width, device=self.device)


_ADDRESSES = (
    "arm_qpos",
    "arm_dof",
    "hand_qpos",
    "hand_dof",
    "object_qpos",
    "object_dof",
    "arm_ctrl",
    "hand_ctrl",
)


def _device(name: str) -> str:
    """`cpu` or `cuda:<i>`, of a device that is there; of several GPUs the process's own."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        if not torch.cuda.is_available() or not wp.is_cuda_available():
            raise EngineError(
                f"device is {name!r}, but there is no CUDA GPU that torch and warp can use: choose cpu"
            )
        # Processes of one machine share its GPUs out (torchrun numbers them).
        own = int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count()
        return f"cuda:{own if device.index is None else device.index}"
    return "cpu"
