"""Makes the starts of tasks that begin with an object in the hand: `python -m rfs_sim.held_starts`.

The flawless demonstrator of grasp takes a brick of one size, with drawn mass, gains and place, lifts it and
stands still until everything rests. What is then held upright and does not slip goes into the bank, a .npz
file of `rfs_core.tasks.held` (package data); the tasks' resets draw from it.
"""

import argparse
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from rfs_core import control, se3
from rfs_core.scene import EpisodeStart
from rfs_core.se3 import Pose
from rfs_core.seeding import episode_rng
from rfs_core.tasks import grasp, held
from rfs_sim.demonstrator import GraspDemonstrator
from rfs_sim.mjcf import SceneConfig
from rfs_sim.worlds import CARRYING_NOSLIP, Worlds

PLACES = grasp.GraspConfig(
    object_x=(0.53, 0.59),
    object_y=(-0.12, -0.04),
    object_yaw=(-0.2, 0.2),
    object_mass=(0.07, 0.09),
    arm_offset=0.03,
)
"""Where the bricks are taken from."""

RISE = 0.06
"""m, where the lift is told to end; it stops 4 cm above that."""
LIFT_STEPS = 50
"""Control steps within which it must be up."""
SETTLE_STEPS, WATCH_STEPS = 20, 40
"""Control steps that it is held still: before the state is kept, and after, to see that it stays."""


@dataclass(frozen=True)
class Keep:
    """What must be true of a state that is kept."""

    upright: float = 0.98
    """cosine of the tilt, at least"""
    speed: float = 0.002
    """m/s, at most"""
    slip: float = 0.001
    """m, at most, within the watched steps"""
    thumb: bool = True
    """thumb and another finger touch the object; otherwise any two parts of the hand"""


def draw(seed: int, count: int) -> list[EpisodeStart]:
    """Starts on the table, all of the same brick."""
    starts = []
    for i in range(count):
        start = grasp.draw_episode(episode_rng(seed, i, "held"), PLACES)
        position = start.object_position.copy()
        position[2] = held.BRICK.half_height
        starts.append(
            dataclasses.replace(
                start, shape=held.BRICK, object_friction=held.FRICTION, object_position=position
            )
        )
    return starts


def make(seed: int, count: int) -> tuple[dict[str, NDArray[np.generic]], dict[str, int]]:
    """The bank's arrays, one row per kept state, and how many were lost for which reason."""
    return hold(Worlds("grasp", count, scene=SceneConfig(noslip=CARRYING_NOSLIP)), draw(seed, count), Keep())


def hold(
    worlds: Worlds, starts: list[EpisodeStart], keep: Keep
) -> tuple[dict[str, NDArray[np.generic]], dict[str, int]]:
    """Takes the object of every start into the hand, and closes the worlds; returns as `make` does."""
    count = len(starts)
    demonstrator = GraspDemonstrator(count)
    worlds.begin(starts)
    stopped = np.zeros(count, dtype=np.bool_)
    for _ in range(LIFT_STEPS):
        action = demonstrator.act(worlds.task.observe(worlds.state))[0]
        stopped |= grasp.rise(worlds.state) >= RISE
        _hold(worlds, action, ~stopped)
    for _ in range(SETTLE_STEPS):
        _hold(worlds, action, ~np.ones(count, dtype=np.bool_))
    state = worlds.state
    kept = {
        "arm_position": state.arm_position.copy(),
        "arm_target": worlds.arm_target.copy(),
        "hand_position": state.hand_position.copy(),
        "hand_target": worlds.hand_target.copy(),
        "object_position": state.object_pose.position.copy(),
        "object_quaternion": state.object_pose.quaternion.copy(),
        "contacts": state.contacts.copy(),
        "mass": np.array([s.object_mass for s in starts]),
        "friction": np.array([s.object_friction for s in starts]),
        "arm_gain": np.array([s.arm_gain for s in starts]),
        "hand_gain": np.array([s.hand_gain for s in starts]),
    }
    speed = np.linalg.norm(state.object_velocity[:, :3], axis=1)
    for _ in range(WATCH_STEPS):
        _hold(worlds, action, ~np.ones(count, dtype=np.bool_))
    slip = np.linalg.norm(worlds.state.object_pose.position - kept["object_position"], axis=1)
    up = se3.matrix_from_quat(kept["object_quaternion"])[:, 2, 2]
    touching = kept["contacts"]
    by_thumb = touching[:, 3] & touching[:, :3].any(axis=1)
    good = {
        "lifted": stopped,
        "upright": up > keep.upright,
        "still": speed < keep.speed,
        "held": slip < keep.slip,
        "in the fingers": by_thumb if keep.thumb else touching.sum(axis=1) >= 2,
    }
    worlds.close()
    usable = np.all(list(good.values()), axis=0)
    lost = {f"not {name}": int((~flags).sum()) for name, flags in good.items()}
    rows = {name: values[usable] for name, values in kept.items()}
    return {n: v if v.dtype == np.bool_ else v.astype(np.float32) for n, v in rows.items()}, lost


def _hold(worlds: Worlds, action: NDArray[np.float64], moving: NDArray[np.bool_]) -> None:
    """One control step: `action` where moving, elsewhere the last targets."""
    target = control.step_target(worlds.target, action[:, :6], worlds.state.palm)
    position = np.where(moving[:, None], target.position, worlds.target.position)
    quaternion = np.where(moving[:, None], target.quaternion, worlds.target.quaternion)
    hand = control.limit_rate(worlds.hand_target, action[:, 6:])
    worlds.step(Pose(position, quaternion), np.where(moving[:, None], hand, worlds.hand_target))


def parser() -> argparse.ArgumentParser:
    """The command line; its defaults make the bank that is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=480, help="grasps tried (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(held.BANK), help="default: %(default)s")
    return parser


def command(args: argparse.Namespace) -> str:
    """What makes the same bank again; it goes into the bank's header."""
    return f"python -m rfs_sim.held_starts --count {args.count} --seed {args.seed}"


def main() -> None:
    """Entry point."""
    args = parser().parse_args()
    arrays, lost = make(args.seed, args.count)
    header = {
        "command": command(args),
        "versions": {"mujoco": mujoco.__version__, "numpy": np.__version__},
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("wb") as file:
        np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays)  # type: ignore[arg-type]
    up = se3.matrix_from_quat(arrays["object_quaternion"].astype(np.float64))[:, 2, 2]
    print(f"{args.out}: {len(arrays['mass'])} of {args.count}; lost: {lost}; upright {up.min():.4f} at least")
    print(
        f"centre between {arrays['object_position'].min(axis=0)} and {arrays['object_position'].max(axis=0)}"
    )


if __name__ == "__main__":
    main()
