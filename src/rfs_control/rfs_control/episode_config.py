"""Configuration of the episode manager."""

from __future__ import annotations

from dataclasses import dataclass

from rfs_core.config import param


@dataclass(frozen=True)
class EpisodeConfig:
    """Which episodes are run, and how long the manager waits before it gives up."""

    task: str = param("grasp", doc="Name of the task.")
    episodes: int = param(
        10,
        doc="Episodes in the batch. 0: none by itself; each is asked for with the service episode/start.",
        low=0,
        high=1_000_000,
    )
    first_episode: int = param(0, doc="Index of the first episode under the seed.", low=0, high=4_000_000_000)
    seed: int = param(0, doc="With the index, decides everything random in an episode.", low=0)
    control_dt: float = param(
        0.05, doc="Time between two control steps, as in the action spec.", unit="s", low=0.001, high=1.0
    )
    recorder: bool = param(False, doc="Wait for recorder_node before the first episode.")
    corrections: bool = param(False, doc="Wait for correction_node before the first episode.")
    world: str = param("sim_node", doc="Name of the node that serves sim/reset and publishes rewards.")
    drivers: bool = param(False, doc="Wait for franka_node and leap_node before the first episode.")
    run_dir: str = param("", doc="Folder for report.json; empty: no file is written, only the table shown.")
    nodes_timeout_s: float = param(
        90.0,
        doc="How long to wait at the start for the other nodes, on the wall clock.",
        unit="s",
        low=0.1,
        high=3600.0,
    )
    service_timeout_s: float = param(
        20.0,
        doc="How long to wait for the answer of a service, on the wall clock.",
        unit="s",
        low=0.1,
        high=600.0,
    )
    stall_timeout_s: float = param(
        30.0,
        doc="An episode whose steps stand still this long, on the wall clock, is aborted.",
        unit="s",
        low=0.1,
        high=3600.0,
    )
