"""Gate before any training: will noise alone and a residual alone fail on these demonstrations, and why?

    ros2 run rfs_sim separation --task stack
    ros2 run rfs_sim separation --task stack --base runs/stack_base/checkpoints/step_008000.safetensors
    ros2 run rfs_sim separation --task push_grasp --base checkpoints/push_grasp_base.safetensors

First the script itself, with one defect at a time: without defects it must succeed, with the offset or in the
bad mode it must not. Then, for a base policy, the reach of each channel as an offset that it can hold: of the
brick, in push-grasp of the palm on its way to the pinch. A closed loop that removes a share g of its error
per step pulls back g d per step when it is d away from where it aims, so noise that moves the action by r
holds r / g, and a residual bounded by b holds b / g. Noise is drawn evenly from its box; its reach is the
largest deviation from the mean action, among those draws that do not open (or close) the fingers: what stops
the arm by letting go holds nothing.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rfs_core import tasks
from rfs_core.errors import RfsError
from rfs_core.tasks import set_down
from rfs_sim import demonstrators, push_grasp_separation, reach_separation
from rfs_sim.noise_reach import RESIDUAL_BOUND, noise_reach, print_gates, reach_table, some_of
from rfs_sim.set_down_demonstrator import (
    OPENED,
    SetDownDemonstratorConfig,
    opening,
)
from rfs_sim.vec_env import make_env

Array = NDArray[np.float64]

TASKS = ("stack", "place", "pick_place", "kit", "push_grasp", *reach_separation.PROBES)

_SLIDES_IN = {"kit": 0.009}
"""m: beside the goal by less than this a brick gets there by itself, where that is not the tolerance."""


def scripted(main: SetDownDemonstratorConfig) -> dict[str, SetDownDemonstratorConfig]:
    """The script with one defect at a time."""
    calm = replace(main, bias=(0.0, 0.0), partial_share=0.0, early_share=0.0)
    return {
        "flawless": replace(calm, spread=0.0, noise_position=0.0, noise_rotation=0.0, noise_hand=0.0),
        "no offset, fingers open": calm,
        "no offset, fingers open in part": replace(calm, partial_share=1.0),
        "no offset, fingers open early": replace(calm, early_share=1.0),
        "offset, fingers open": replace(main, partial_share=0.0, early_share=0.0),
        "all defects": main,
    }


def play(
    task: str, config: SetDownDemonstratorConfig, episodes: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], Array]:
    """Plays the script.

    Returns:
        What it saw while it carried the brick (M, O), success (N,), and the offset of where it aimed (N, 2).
    """
    env = make_env(task, episodes, autoreset=False)
    demonstrator: Any = demonstrators.make(task, episodes, config)
    observation = env.reset(seed)
    demonstrator.reset(seed, np.arange(episodes))
    aim = demonstrator.aim(env.worlds.state.bodies[env.worlds.task.TARGET_BODY].pose.position)
    carrying = []
    success = np.zeros(episodes, dtype=np.bool_)
    for _ in range(env.max_episode_steps):
        state = env.worlds.state
        held = (opening(state.hand_position) < OPENED) & (set_down.beside(state) < 0.06)
        carrying.append(observation[held])
        result = env.step(demonstrator.act(observation)[1][:, None])
        observation = result.observation
        success |= result.success
    env.close()
    return np.concatenate(carrying), success, aim


def holds_on(hand: Array) -> NDArray[np.bool_]:
    """Finger targets that keep holding the brick. Shape: (N, 16) -> (N,)"""
    return np.asarray(opening(hand) < OPENED)


def main() -> None:
    """Entry point of `ros2 run rfs_sim separation`."""
    parser = argparse.ArgumentParser(
        prog="separation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="stack", choices=TASKS)
    parser.add_argument("--variant", default="main", help="published set of defects (default: %(default)s)")
    parser.add_argument("--base", type=Path, help="base policy (.safetensors) whose reach is measured")
    parser.add_argument("--episodes", type=int, default=256, help="per row (default: %(default)s)")
    parser.add_argument("--states", type=int, default=100, help="states at which the reach is measured")
    parser.add_argument("--draws", type=int, default=256, help="noises per state (default: %(default)s)")
    parser.add_argument("--noise-clip", type=float, default=2.5, help="half width of the noise's box")
    parser.add_argument("--seed", type=int, default=0, help="seed of episodes and noises")
    args = parser.parse_args()
    try:
        if args.task == "push_grasp":
            push_grasp_separation.report(args)
        elif args.task in reach_separation.PROBES:
            reach_separation.report(args)
        else:
            _report(args)
    except RfsError as error:
        raise SystemExit(f"separation: {error}") from None


def _report(args: argparse.Namespace) -> None:
    config: SetDownDemonstratorConfig = demonstrators.config_of(args.task, args.variant)
    tolerance = _SLIDES_IN.get(args.task, tasks.configure(args.task, {}).tolerance)
    console = Console()
    table = Table(title=f"{args.task}, variant {args.variant}: the script, {args.episodes} episodes a row")
    table.add_column("defects")
    table.add_column("success", justify="right")
    rates, states, aim = {}, np.zeros((0, 0), np.float32), np.zeros((0, 2))
    for name, defects in scripted(config).items():
        states, success, aim = play(args.task, defects, args.episodes, args.seed)
        rates[name] = float(success.mean())
        table.add_row(name, f"{rates[name]:.3f}")
    console.print(table)
    # The states and offsets left are those of all defects, the last row.
    size = np.linalg.norm(aim, axis=1)
    outside = size > tolerance
    console.print(
        f"offset: {1e3 * size.min():.0f} to {1e3 * size.max():.0f} mm, beyond the tolerance of "
        f"{1e3 * tolerance:.0f} mm in {outside.mean():.2f} of the episodes"
    )
    pull = config.gain * float(np.median(size))
    gates = [
        ("script without defects >= .4", rates["no offset, fingers open"] >= 0.4),
        ("script in part-open mode <= .15", rates["no offset, fingers open in part"] <= 0.15),
        ("gain x median offset <= .7 of the residual's bound", pull <= 0.7 * RESIDUAL_BOUND),
    ]
    if args.base is not None:
        some = some_of(states, args.states, args.seed)
        deviation, reach = noise_reach(
            args.base, args.task, some, args.draws, args.noise_clip, args.seed, holds_on, (0, 1)
        )
        needed = np.median(np.abs(aim[outside]) - tolerance / np.sqrt(2.0), axis=0)
        offset = np.quantile(reach, 0.9, axis=0) / config.gain
        table = reach_table("while it carries the brick", "xy", deviation, reach, config.gain)
        table.add_row(
            "offset needed, where beyond the tolerance (median)", *(f"{1e3 * v:.2f}" for v in needed)
        )
        console.print(table)
        gates.append(("noise holds less than half of what is needed", bool((offset < needed / 2).all())))
    print_gates(console, gates)


if __name__ == "__main__":
    main()
