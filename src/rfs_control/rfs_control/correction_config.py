"""Configuration of the correction node."""

from __future__ import annotations

from dataclasses import dataclass, field

from rfs_core.config import param
from rfs_core.correction import CorrectionConfig
from rfs_core.scripted_correction import ScriptedConfig

DEVICES = ("spacemouse", "keyboard", "scripted")


@dataclass(frozen=True)
class CorrectionNodeConfig(CorrectionConfig):
    """The device, and the law's numbers."""

    device: str = param("spacemouse", doc="Where corrections come from.", choices=DEVICES)
    task: str = param("grasp", doc="Task, for the scripted device.")
    rate_hz: float = param(
        50.0, doc="Corrections per second of spacemouse and keyboard.", unit="Hz", low=10.0, high=200.0
    )
    keys: bool = param(
        True, doc="Take keys from the terminal to mark the episode; without a terminal there are none."
    )
    terminal: str = param(
        "",
        doc="Terminal that keys are taken from, such as /dev/pts/3; empty: the one this node was started in.",
    )
    key_hold_s: float = param(
        0.3,
        doc="Keyboard: how long a key counts as pressed; longer than the terminal's pause between repeats.",
        unit="s",
        low=0.05,
        high=1.0,
    )
    key_deflection: float = param(0.7, doc="Keyboard: deflection of a pressed key.", low=0.1, high=1.0)
    scripted: ScriptedConfig = field(default_factory=ScriptedConfig)
    """How the scripted device sees and pushes."""
