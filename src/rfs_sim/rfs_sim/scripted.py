"""What all scripted demonstrators share: what is drawn for an episode, and execution noise.

Noise is executed and left out of what is recorded (as in DART, Laskey et al., CoRL 2017), so that a policy
that imitates the demonstrator also learns to come back.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_core import robot, se3
from rfs_core.seeding import episode_rng
from rfs_core.specs import ObservationSpec

Array = NDArray[np.float64]


class ScriptedDemonstrator(ABC):
    """Plays N episodes from the observation alone, and from what was drawn for the episode."""

    def __init__(self, num_envs: int, config: Any, observation_spec: ObservationSpec) -> None:
        """
        Args:
            num_envs: N.
            config: dataclass with at least the standard deviations of the execution noise on the palm, per
                step: `noise_position`, m, and `noise_rotation`, rad; and on the finger targets: `noise_hand`,
                rad.
            observation_spec: of the observations it will be given.
        """
        self.config = config
        self._spec = observation_spec
        self._rngs = [np.random.default_rng(i) for i in range(num_envs)]

    def reset(
        self, seed: int, episodes: NDArray[np.integer], envs: NDArray[np.integer] | None = None
    ) -> None:
        """Draws what is wrong with the demonstrator in the episodes that some environments (None: all) now
        play."""
        for env, episode in zip(range(len(self._rngs)) if envs is None else envs, episodes, strict=True):
            self._rngs[env] = episode_rng(seed, int(episode), "demonstrator")
            self._draw(int(env), self._rngs[env])

    def act(self, observation: NDArray[np.float32]) -> tuple[Array, Array]:
        """What the demonstrator wants to do, and what it does: that plus execution noise.

        Args:
            observation: Shape: (N, O)

        Returns:
            Two actions in physical units. Shapes: (N, 22)
        """
        wanted = self.policy(observation)
        config = self.config
        noise = np.stack([rng.standard_normal(22) for rng in self._rngs])
        scale = np.array([config.noise_position] * 3 + [config.noise_rotation] * 3 + [config.noise_hand] * 16)
        return wanted, robot.DEFAULT_ACTION_SPEC.clip(wanted + scale * noise)

    @abstractmethod
    def policy(self, observation: NDArray[np.float32]) -> Array:
        """What the demonstrator wants to do, physical units. Shape: (N, O) -> (N, 22)"""

    @abstractmethod
    def _draw(self, env: int, rng: np.random.Generator) -> None:
        """Draws what is wrong in an environment's next episode."""

    def _parts(self, observation: NDArray[np.float32]) -> dict[str, Array]:
        """The observation's parts by name."""
        return {name: value.astype(np.float64) for name, value in self._spec.unpack(observation).items()}


def axes(rotation_6d: Array) -> tuple[Array, Array, Array]:
    """A frame's axes from the first two columns of its rotation matrix. Shape: (N, 6) -> three of (N, 3)"""
    x, y = rotation_6d[:, :3], rotation_6d[:, 3:]
    return x, y, np.cross(x, y)


def quaternion(rotation_6d: Array) -> Array:
    """Shape: (N, 6), the first two columns of a rotation matrix -> (N, 4), w first."""
    return np.asarray(se3.quat_from_matrix(np.stack(axes(rotation_6d), axis=2)))


def pitched(heading: Array, pitch: Array) -> Array:
    """A palm pitched down, then turned about the vertical, rad. Shapes: (N,), (N,) -> (N, 4), w first."""
    zero = np.zeros_like(heading)
    about_z = np.stack([np.cos(heading / 2), zero, zero, np.sin(heading / 2)], axis=1)
    about_y = np.stack([np.cos(pitch / 2), zero, np.sin(pitch / 2), zero], axis=1)
    return np.asarray(se3.quat_multiply(about_z, about_y))


def growing(bias: tuple[float, float], growth: float, along: Array) -> Array:
    """A systematic offset that grows with where something lies, and does not change sides.

    Args:
        bias: m, where `along` is 0.
        growth: 1/m, of the offset relative to `bias`.
        along: m. Shape: (N,)

    Returns:
        m. Shape: (N, 2)
    """
    return np.asarray(np.maximum(1.0 + growth * along, 0.0)[:, None] * np.asarray(bias))
