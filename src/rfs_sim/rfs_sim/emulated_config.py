"""Configuration of the emulated robot; every field is a ROS parameter of the same name."""

from __future__ import annotations

from dataclasses import dataclass

from rfs_core.config import param
from rfs_core.errors import ConfigError
from rfs_sim.sim_config import WorldConfig


@dataclass(frozen=True)
class EmulatedConfig(WorldConfig):
    """Emulated devices on one world: where they are, how fast time goes, how an episode begins."""

    address: str = param("127.0.0.2", doc="Loopback address of the arm; one per robot.")
    port: str = param("/tmp/rfs_leap_hand", doc="Symbolic link to the hand's port; one per robot.")
    camera_link: str = param(
        "",
        doc="Socket at which an emulated RealSense shows camera_name; empty: it is not plugged in.",
    )
    camera_width: int = param(
        128, doc="Width of the images; making one keeps the arm waiting.", unit="px", low=16, high=1280
    )
    camera_height: int = param(96, doc="Height of the images.", unit="px", low=16, high=960)
    admin_port: int = param(
        0,
        doc="TCP port, at the address, of the arm's fault interface; the next one is the hand's. 0: any.",
        low=0,
        high=65534,
    )
    real_time_factor: float = param(
        1.0,
        doc="Robot seconds per wall second at most; a busy machine makes it less.",
        low=0.02,
        high=1.0,
    )
    patience_s: float = param(
        0.2,
        doc="Wall time that a cycle of the arm's control waits for the client's command.",
        unit="s",
        low=0.0,
        high=1.0,
    )
    clock_period_ms: int = param(
        5, doc="Robot time between two messages on /clock.", unit="ms", low=1, high=20
    )
    settle_s: float = param(
        0.3,
        doc="Robot time from the drivers being in control again to the answer of sim/reset.",
        unit="s",
        low=0.0,
        high=5.0,
    )
    lead_s: float = param(
        0.3,
        doc="Robot time from the answer of sim/reset to the first observation of the episode: the gate is "
        "armed meanwhile.",
        unit="s",
        low=0.05,
        high=5.0,
    )
    auto_recover: bool = param(
        False,
        doc="Whether a reset clears a driver's fault; false: the reset is refused until a person has.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.address.startswith("127."):
            raise ConfigError(f"address is {self.address!r}, needs a loopback address such as 127.0.0.2")
        if not self.port.startswith("/"):
            raise ConfigError(f"port is {self.port!r}, needs a path such as /tmp/rfs_leap_hand")
