"""Bounding volumes of an object whose size a start has changed.

MuJoCo 4.0's `mj_setConst` computes them anew; before, it left those of the compiled size, and whatever of an
object reached beyond them touched nothing.
"""

from collections.abc import Iterable

import mujoco
import numpy as np

LEFT_BY_SET_CONST = int(mujoco.__version__.split(".")[0]) < 4
"""Whether this MuJoCo's `mj_setConst` leaves them to us."""


def set_bounds(model: mujoco.MjModel, geoms: Iterable[int]) -> None:
    """Boxes and spheres around primitives of one body, and the tree of boxes that the middle phase reads.

    Args:
        geoms: all that collide of a body whose centre of mass and axes are those of its frame.
    """
    geoms = list(geoms)
    for geom in geoms:
        half = half_extents(int(model.geom_type[geom]), model.geom_size[geom])
        model.geom_aabb[geom] = (0.0, 0.0, 0.0, *half)
        model.geom_rbound[geom] = radius(int(model.geom_type[geom]), model.geom_size[geom])
    body = int(model.geom_bodyid[geoms[0]])
    first = int(model.body_bvhadr[body])
    # A node comes before its children; from the last to the first every child's box is known.
    for node in range(first + int(model.body_bvhnum[body]) - 1, first - 1, -1):
        geom = int(model.bvh_nodeid[node])
        if geom >= 0:
            model.bvh_aabb[node] = model.geom_aabb[geom]
        else:
            boxes = model.bvh_aabb[[first + int(child) for child in model.bvh_child[node]]]
            low, high = (boxes[:, :3] - boxes[:, 3:]).min(axis=0), (boxes[:, :3] + boxes[:, 3:]).max(axis=0)
            model.bvh_aabb[node] = (*(low + high) / 2, *(high - low) / 2)


def half_extents(kind: int, size: np.ndarray) -> tuple[float, float, float]:
    """m, of a box, cylinder or capsule; `size` as MuJoCo has it."""
    a, b, c = (float(x) for x in size)
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        return a, b, c
    return a, a, b + (a if kind == mujoco.mjtGeom.mjGEOM_CAPSULE else 0.0)


def radius(kind: int, size: np.ndarray) -> float:
    """m, of the sphere around a box, cylinder or capsule."""
    a, b, c = (float(x) for x in size)
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        return float(np.sqrt(a * a + b * b + c * c))
    return a + b if kind == mujoco.mjtGeom.mjGEOM_CAPSULE else float(np.hypot(a, b))
