"""Writes recorded episodes as a LeRobotDataset v3, through lerobot's own writer.

Run by `export_lerobot`, in the environment that has lerobot: it needs a torch of its own. So this file
imports numpy alone, and what it reads is the .npz of `rfs_data.offline.save`.

    PYTHON_WITH_LEROBOT lerobot_writer.py episodes.npz OUT REPO_ID
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HINT = (
    "lerobot is not in this environment, and its torch may not fit beside ours: make one for it "
    "(python -m venv lerobot && lerobot/bin/pip install lerobot) and pass --python lerobot/bin/python"
)


def names_of(spec: dict[str, Any], steps: int = 1) -> list[str]:
    """A name for every value of a spec, or of a chunk of some steps: "hand_target.3",
    "step1.hand_target.3"."""
    one = [
        f"{part['name']}.{i}" if int(np.prod(part["shape"])) > 1 else part["name"]
        for part in spec["parts"]
        for i in range(int(np.prod(part["shape"])))
    ]
    return one if steps == 1 else [f"step{h}.{name}" for h in range(steps) for name in one]


def features(header: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The columns of the data set; a frame is a decision. Shapes, types and names as lerobot has them."""
    action, steps = header["action_spec"], int(header["action_spec"]["horizon"])
    observation, chunk = names_of(header["observation_spec"]), names_of(action, steps)

    def column(dtype: str, names: list[str]) -> dict[str, Any]:
        return {"dtype": dtype, "shape": (len(names),), "names": names}

    return {
        "observation.state": column("float32", observation),
        "action": column("float32", chunk),
        "action.base": column("float32", chunk),
        "action.noise": column("float32", chunk),
        "action.human": column("float32", chunk),
        "human.engaged": column("bool", [f"step{h}" for h in range(steps)]),
        "next.reward": column("float32", ["reward"]),
        "next.done": column("bool", ["done"]),
        "next.success": column("bool", ["success"]),
    }


def episodes(arrays: dict[str, Any], header: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Frames of every episode: `action` is what was executed, the whole chunk in one row."""
    start = arrays["episode_start"]
    for e, source in enumerate(header["used"]):
        frames = []
        for d in range(int(start[e]), int(start[e + 1])):
            last = d == int(start[e + 1]) - 1
            frames.append(
                {
                    "observation.state": arrays["seen"][arrays["at"][d]].astype(np.float32),
                    "action": arrays["executed"][d].ravel().astype(np.float32),
                    "action.base": arrays["a_b"][d].ravel().astype(np.float32),
                    "action.noise": arrays["a_0"][d].ravel().astype(np.float32),
                    "action.human": arrays["human"][d].ravel().astype(np.float32),
                    "human.engaged": arrays["engaged"][d].astype(bool),
                    "next.reward": np.array([arrays["reward"][d].sum()], np.float32),
                    "next.done": np.array([last]),
                    "next.success": np.array([last and bool(source["success"])]),
                    "task": str(header["task"]),
                }
            )
        yield frames


def write(path: Path, out: Path, repo_id: str) -> int:
    """Write the data set; returns its number of frames. Raises ImportError where there is no lerobot."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(str(arrays.pop("header")))
    spec = header["action_spec"]
    rate = round(1.0 / (spec["control_dt"] * spec["horizon"]))
    dataset = LeRobotDataset.create(
        repo_id, rate, features(header), root=out, robot_type="fr3_leap", use_videos=False
    )
    count = 0
    for frames in episodes(arrays, header):
        for frame in frames:
            dataset.add_frame(frame)
        dataset.save_episode()
        count += len(frames)
    dataset.finalize()
    return count


def main() -> None:
    """Args: file, folder, repository id."""
    path, out, repo_id = sys.argv[1:4]
    try:
        count = write(Path(path), Path(out), repo_id)
    except ImportError as error:
        sys.exit(f"export_lerobot: {error}: {HINT}")
    print(f"{count} frames")


if __name__ == "__main__":
    main()
