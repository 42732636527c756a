"""A stand-in for the human in simulation: sees where things truly are, late and not exactly, and pushes.

It knows what a person who watches knows: how object and palm should lie to each other before the fingers
close, and where a held object should go. It pushes a device's cap, so that everything after it (dead-band,
bounds, zone, ramp, gate) is what a person's hand gets. It cannot undo everything: it is slow, and bounded.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from rfs_core import se3
from rfs_core.config import param
from rfs_core.correction import Reading
from rfs_core.errors import RfsError
from rfs_core.se3 import Array, Pose

TASKS = ("grasp", "kit", "place", "stack")
"""Tasks that it knows how to help with."""


@dataclass(frozen=True)
class ScriptedConfig:
    """How well the stand-in sees and how hard it pushes."""

    delay_s: float = param(
        0.15, doc="Age of what it reacts to: a person's reaction.", unit="s", low=0.0, high=1.0
    )
    noise: float = param(
        0.003, doc="Standard deviation of where it sees object and goal, each axis.", unit="m", low=0.0
    )
    gain: float = param(
        0.2, doc="Share of the seen error that it asks for per control step.", low=0.0, high=2.0
    )
    tolerance: float = param(0.004, doc="Error beside the object that it leaves alone.", unit="m", low=0.0)
    reach: float = param(0.10, doc="Distance from the wanted place within which it helps.", unit="m", low=0.0)
    foresight_s: float = param(
        0.15, doc="How far ahead it sees the hand go as it goes.", unit="s", low=0.0, high=1.0
    )
    set_down_gain: float = param(
        0.1, doc="The same with a held object: a policy that sees it wrongly pulls back.", low=0.0, high=2.0
    )
    set_down_foresight_s: float = param(
        0.3, doc="How far ahead it sees a held object go.", unit="s", low=0.0, high=1.0
    )
    squeeze_below: float = param(
        0.02, doc="Palm this near above the grasp: it presses the fingers together.", unit="m"
    )
    object_in_palm: tuple[float, float, float] = param(
        (0.0385, -0.0092, -0.0712), doc="Where it wants the object in the palm's frame to grasp it.", unit="m"
    )


@dataclass(frozen=True)
class Sight:
    """What there is to see at one time; the truth, in simulation."""

    at_s: float
    palm: Pose
    """N = 1, like the object's."""
    object: Pose
    goal: Array
    """m, where the object's centre shall go. Shape: (3,)"""


class ScriptedHuman:
    """The stand-in in one episode."""

    def __init__(
        self, task: str, config: ScriptedConfig, bound_position: float, rng: np.random.Generator
    ) -> None:
        """
        Args:
            task: name of the task.
            config: how it sees and pushes.
            bound_position: residual of a fully pushed cap, m.
            rng: its noise, of this episode.

        Raises:
            RfsError: a task that it does not know.
        """
        if task not in TASKS:
            raise RfsError(
                f"no scripted corrections for task {task!r}: known are {', '.join(TASKS)}; "
                "choose device spacemouse or keyboard"
            )
        self.config, self._bound, self._rng = config, bound_position, rng
        self._grasps = task == "grasp"
        self._gain = config.gain if self._grasps else config.set_down_gain
        self._foresight_s = config.foresight_s if self._grasps else config.set_down_foresight_s
        self._seen: deque[Sight] = deque()
        self._start: Sight | None = None

    def look(self, sight: Sight) -> Reading | None:
        """See, and say how the cap is pushed now; None until what is seen first is old enough to react to."""
        self._seen.append(sight)
        while len(self._seen) > 2 and sight.at_s - self._seen[2].at_s >= self.config.delay_s - 1e-9:
            self._seen.popleft()
        if len(self._seen) < 2 or sight.at_s - self._seen[1].at_s < self.config.delay_s - 1e-9:
            return None
        before, seen = self._seen[0], self._seen[1]
        if self._start is None:
            self._start = seen
        noise = self.config.noise * self._rng.standard_normal((2, 3))
        thing, goal = seen.object.position[0] + noise[0], seen.goal + noise[1]
        speed = (seen.palm.position[0] - before.palm.position[0]) / (seen.at_s - before.at_s)
        ahead = seen.palm.position[0] + self._foresight_s * speed
        axes = self._grasp(seen, ahead, thing) if self._grasps else self._set_down(seen, ahead, thing, goal)
        return Reading(sight.at_s, axes)

    def _grasp(self, seen: Sight, ahead: Array, thing: Array) -> Array:
        """Bring the palm over the object; once it rises, press the fingers together."""
        assert self._start is not None
        offset = se3.quat_rotate(seen.palm.quaternion, np.array([self.config.object_in_palm]))[0]
        error = thing - (ahead + offset)
        axes = np.zeros(6)
        rise = thing[2] - self._start.object.position[0, 2]
        if rise < 0.01 and np.linalg.norm(error) < self.config.reach:
            axes[:2] = self._push(error[:2])
        if rise > 0.01 or error[2] > -self.config.squeeze_below:
            axes[2] = -1.0
        return axes

    def _set_down(self, seen: Sight, ahead: Array, thing: Array, goal: Array) -> Array:
        """Bring the held object over its goal; what has been let go is left alone."""
        assert self._start is not None
        apart = [np.linalg.norm(s.object.position[0] - s.palm.position[0]) for s in (self._start, seen)]
        axes = np.zeros(6)
        if apart[1] < apart[0] + 0.01:
            axes[:2] = self._push((goal - thing - (ahead - seen.palm.position[0]))[:2])
        return axes

    def _push(self, error: Array) -> Array:
        """Deflections that move the palm against an error, sideways. Shape: (2,)"""
        if np.linalg.norm(error) < self.config.tolerance:
            return np.zeros(2)
        pushed: Array = np.clip(self._gain * error / max(self._bound, 1e-6), -1.0, 1.0)
        return pushed
