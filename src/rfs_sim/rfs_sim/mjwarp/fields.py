"""What differs from world to world in one batched model, and how a start sets it.

mujoco_warp's model has one row per world in every array of its fields declared `array("*", ...)`. A start is
applied to a host model as on the CPU engine, `mj_setConst` included, and the rows of all fields that depend
on it are copied from there, the derived ones (subtree masses, inverse weights, bounding boxes) too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
import torch
import warp as wp

from rfs_core.scene import EpisodeStart
from rfs_sim import randomization
from rfs_sim.mjcf import SceneConfig
from rfs_sim.model import ModelIndex
from rfs_sim.randomization import PER_WORLD


def set_slots(model: mujoco.MjModel, index: ModelIndex, scene: SceneConfig) -> None:
    """Decides for all worlds which of the object's geoms collide.

    Where the object is made of solids, these alone. Otherwise all primitive slots: those that a world does
    not use are half a millimetre large, in the middle of the one that it uses, and touch nothing.
    """
    solids = bool(scene.object_solids)
    slots = list(index.object_geoms.values())
    model.geom_contype[slots] = model.geom_conaffinity[slots] = int(not solids)
    model.geom_contype[index.object_solids] = model.geom_conaffinity[index.object_solids] = int(solids)


class PerWorldFields:
    """The batched fields of a model, as torch tensors that share its memory."""

    def __init__(
        self, host: mujoco.MjModel, index: ModelIndex, model: Any, data: Any, num_worlds: int, device: str
    ) -> None:
        """Gives every field of PER_WORLD one row per world. To be called before the first step is captured.

        Args:
            host: the compiled model; starts are applied to it.
            index: addresses in it.
            model: `mujoco_warp.Model` made from it.
            data: `mujoco_warp.Data` of the worlds.
            num_worlds: N.
            device: of the model, as warp names it.
        """
        self._host, self._index = host, index
        self._scratch = mujoco.MjData(host)
        # mujoco_warp places geoms of bodies that never move once, when its data are made.
        self._fixed = np.flatnonzero(host.body_weldid[host.geom_bodyid] == 0)
        self._places = wp.to_torch(data.geom_xpos), wp.to_torch(data.geom_xmat)
        self.views: dict[str, torch.Tensor] = {}
        for name in PER_WORLD:
            one = getattr(model, name)
            batch = np.repeat(one.numpy()[:1], num_worlds, axis=0)
            many = wp.array(batch, dtype=one.dtype, device=device)
            setattr(model, name, many)
            self.views[name] = wp.to_torch(many)

    def set(self, which: torch.Tensor, starts: Sequence[EpisodeStart]) -> None:
        """Writes what the starts ask for into the rows `which` of all fields."""
        rows: dict[str, list[np.ndarray]] = {name: [] for name in PER_WORLD}
        places: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        for start in starts:
            randomization.apply_start(self._host, self._scratch, self._index, start)
            mujoco.mj_kinematics(self._host, self._scratch)
            for kept, now in zip(places, (self._scratch.geom_xpos, self._scratch.geom_xmat), strict=True):
                kept.append(np.array(now[self._fixed], dtype=np.float32))
            for name, values in rows.items():
                values.append(np.array(getattr(self._host, name), dtype=np.float32))
        for name, view in self.views.items():
            batch = torch.from_numpy(np.stack(rows[name])).to(view.device)
            view[which] = batch.reshape((len(starts), *view.shape[1:]))
        fixed = torch.as_tensor(self._fixed, device=which.device)
        for view, kept in zip(self._places, places, strict=True):
            batch = torch.from_numpy(np.stack(kept)).to(view.device)
            view[which[:, None], fixed] = batch.reshape((len(starts), len(fixed), *view.shape[2:]))
