"""How often a task's demonstrator succeeds, with each of its published sets of defects.

python -m rfs_sim.scripted_success --task kit --episodes 256 --seed 0
python -m rfs_sim.scripted_success --task kit --variants good main --physics-dt 0.005
"""

import argparse
from collections import Counter

import numpy as np
from rich.console import Console
from rich.table import Table

from rfs_core.errors import RfsError
from rfs_sim import demonstrators
from rfs_sim.vec_env import make_env


def play(
    task: str, variant: str, episodes: int, seed: int, physics_dt: float = 0.01, disturbance: float = 1.0
) -> tuple[float, Counter[str]]:
    """Share of success over the episodes 0 ... of a seed, and how many ended in which way."""
    env = make_env(task, episodes, physics_dt=physics_dt, disturbance=disturbance, autoreset=False)
    demonstrator = demonstrators.make(task, episodes, demonstrators.config_of(task, variant))
    observation = env.reset(seed)
    demonstrator.reset(seed, np.arange(episodes))
    success = np.zeros(episodes, dtype=np.bool_)
    words: Counter[str] = Counter()
    for _ in range(env.max_episode_steps):
        result = env.step(demonstrator.act(observation)[1][:, None])
        observation = result.observation
        success |= result.success
        words.update(word for word in result.log["outcome"] if word)
    env.close()
    return float(success.mean()), words


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="grasp")
    parser.add_argument("--variants", nargs="+", help="which; default: all of the task's")
    parser.add_argument("--episodes", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--physics-dt", type=float, default=0.01, help="time step, s")
    parser.add_argument("--disturbance", type=float, default=1.0, help="factor on the torque pulses")
    args = parser.parse_args()
    table = Table("variant", "success", "outcomes")
    try:
        for variant in args.variants or demonstrators.of(args.task).variants:
            share, words = play(
                args.task, variant, args.episodes, args.seed, args.physics_dt, args.disturbance
            )
            told = ", ".join(f"{word} {n}" for word, n in words.most_common())
            table.add_row(variant, f"{share:.3f}", told)
    except RfsError as error:
        raise SystemExit(f"scripted_success: {error}") from None
    Console().print(f"{args.task}: {args.episodes} episodes of seed {args.seed}, dt {args.physics_dt:g} s")
    Console().print(table)


if __name__ == "__main__":
    main()
