"""Stiffness and damping of joints in a compiled model.

Every joint has a position and a velocity actuator under one torque limit, which is the joint's. Since MuJoCo
4.0 the integrator knows that the torque of a joint at its limit does not change with its velocity. Before, it
damped such joints nevertheless: 256 episodes of push-grasp succeeded in .68 instead of .89. There the
position actuator does what both do and has the limit itself: the same torque, integrated as 4.0 does it.
"""

import mujoco
import numpy as np

from rfs_sim.model import Index

ONE_ACTUATOR = int(mujoco.__version__.split(".")[0]) < 4
"""Whether the position actuator does what both do."""


def set_gains(
    model: mujoco.MjModel,
    position: Index,
    damper: Index,
    stiffness: float | np.ndarray,
    damping: float | np.ndarray,
) -> None:
    """Sets them.

    Args:
        model: changed.
        position: position actuators of some joints. Shape: (J,)
        damper: velocity actuators of the same joints. Shape: (J,)
        stiffness: N m/rad. Shape: (J,) or ()
        damping: N m s/rad. Shape: (J,) or ()
    """
    model.actuator_gainprm[position, 0] = stiffness
    model.actuator_biasprm[position, 1] = -np.asarray(stiffness)
    if ONE_ACTUATOR:
        model.actuator_biasprm[position, 2] = -np.asarray(damping)
        model.actuator_forcelimited[position] = True
        model.actuator_forcerange[position] = model.jnt_actfrcrange[model.actuator_trnid[position, 0]]
        damping = 0.0
    model.actuator_gainprm[damper, 0] = damping
    model.actuator_biasprm[damper, 2] = -np.asarray(damping)
