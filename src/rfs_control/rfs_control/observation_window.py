"""The observation of a decision tick: collected part by part, complete or not, and why not.

The parts of an observation arrive on several topics. A window keeps the last few samples of every part by
stamp and answers one question: is there an observation for time t, and if not, which part is to blame?

Two ways to ask, one per world:
- `exact(t)`: every part carries exactly the stamp t. In simulation, where the world stands still at t until
  the answer is there, so that nothing depends on the order in which messages arrive.
- `newest(t)`: the newest sample of every part, none older than `stale_after_s` and none from the future. On
  real devices, which do not share a clock edge.

No ROS and no clock in here: stamps come in as whole nanoseconds.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rfs_core.config import param
from rfs_core.errors import RfsError
from rfs_core.specs import ObservationSpec
from rfs_core.tasks import parts as task_parts

NS_PER_S = 1_000_000_000
_MS = 1e-6  # ms per ns


@dataclass(frozen=True)
class ObservationWindowConfig:
    """When an observation is good enough to act on."""

    stale_after_s: float = param(
        0.2, doc="A part older than this at the decision is stale.", unit="s", low=0.0, high=10.0
    )
    future_tolerance_s: float = param(
        0.02,
        doc="A part stamped later than the decision by more than this comes from a wrong clock.",
        unit="s",
        low=0.0,
        high=1.0,
    )
    depth: int = param(32, doc="Samples kept of every part.", unit="samples", low=2, high=1000)


class Verdict(enum.Enum):
    """What a window says about one time."""

    COMPLETE = "complete"
    """Every part is there; `Assembled.observation` may be acted on."""
    WAITING = "waiting"
    """A part has not arrived yet."""
    STALE = "stale"
    """A part is too old, or its sample of that time never came."""
    FUTURE = "future"
    """A part is stamped after the time asked for: its clock is wrong."""


@dataclass(frozen=True)
class Assembled:
    """An observation, or the reasons why there is none."""

    verdict: Verdict
    stamp_ns: int
    """Stamp of the oldest part; of the time asked for where there is no observation."""
    observation: NDArray[np.float32] | None
    """Shape: (observation_spec.size,). None unless the verdict is COMPLETE."""
    reasons: tuple[str, ...]
    """One sentence for every part that is not as it should be; empty when complete."""
    stamps: dict[str, int] = field(default_factory=dict)
    """Of the sample of every part, ns; empty unless the verdict is COMPLETE."""


class ObservationWindow:
    """The last samples of every part of an observation."""

    def __init__(self, spec: ObservationSpec, config: ObservationWindowConfig) -> None:
        self.spec = spec
        self.config = config
        self._measured = task_parts.measured_spec(spec)
        self._size = {part.name: part.size for part in self._measured.parts}
        self._slice = {name: self._measured.slice(name) for name in self._size}
        self._samples: dict[str, deque[tuple[int, NDArray[np.float32]]]] = {
            name: deque(maxlen=config.depth) for name in self._size
        }
        self._refused: dict[str, str] = {}

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts of the spec that are measured; the others are made of them."""
        return tuple(self._size)

    def add(self, part: str, stamp_ns: int, value: NDArray[np.generic]) -> str:
        """Keep a sample of a part; the same stamp again replaces the sample, an older one starts over.

        Time going backwards means that the world was started anew; what was before is of no use then.

        Args:
            part: Name of a part of the spec.
            stamp_ns: When it was measured.
            value: Shape: (size of the part,).

        Returns:
            Why the sample was refused (it is not kept); empty when it was kept.

        Raises:
            RfsError: the spec has no such part.
        """
        if part not in self._size:
            raise RfsError(f"observation has no part {part!r}; its parts are {', '.join(self._size)}")
        sample = np.asarray(value, dtype=np.float32).ravel()
        if sample.size != self._size[part]:
            return self._refuse(part, f"{part}: got {sample.size} values, needs {self._size[part]}")
        if not np.isfinite(sample).all():
            return self._refuse(part, f"{part}: not finite at index {np.flatnonzero(~np.isfinite(sample))}")
        samples = self._samples[part]
        if samples and stamp_ns < samples[-1][0]:
            samples.clear()
        if samples and stamp_ns == samples[-1][0]:
            samples.pop()
        samples.append((stamp_ns, sample))
        self._refused.pop(part, None)
        return ""

    def refuse(self, parts: tuple[str, ...], reason: str) -> None:
        """Remember why a message that carries these parts could not be used, until a good one comes."""
        for part in parts:
            if part in self._size:
                self._refuse(part, f"{part}: {reason}")

    def _refuse(self, part: str, reason: str) -> str:
        self._refused[part] = reason
        return reason

    def clear(self) -> None:
        """Forget all samples."""
        for samples in self._samples.values():
            samples.clear()
        self._refused.clear()

    def newest_common_ns(self) -> int | None:
        """The latest time up to which every part has reported; None while one has not reported at all."""
        newest = [samples[-1][0] if samples else None for samples in self._samples.values()]
        known = [stamp for stamp in newest if stamp is not None]
        return min(known) if len(known) == len(newest) else None

    def exact(self, tick_ns: int) -> Assembled:
        """The observation whose every part is stamped `tick_ns`."""
        measured = np.empty(self._measured.size, dtype=np.float32)
        verdict, reasons = Verdict.COMPLETE, []
        for part, samples in self._samples.items():
            sample = next((value for stamp, value in reversed(samples) if stamp == tick_ns), None)
            if sample is not None:
                measured[self._slice[part]] = sample
            elif not samples:
                verdict = _worse(verdict, Verdict.WAITING)
                reasons.append(self._refused.get(part, f"{part}: nothing received yet"))
            elif samples[-1][0] < tick_ns:
                verdict = _worse(verdict, Verdict.WAITING)
                behind = (tick_ns - samples[-1][0]) * _MS
                reasons.append(self._refused.get(part, f"{part}: newest sample is {behind:.0f} ms behind"))
            else:
                verdict = _worse(verdict, Verdict.STALE)
                ahead = (samples[-1][0] - tick_ns) * _MS
                reasons.append(
                    f"{part}: no sample of this time, and the newest is already {ahead:.0f} ms later"
                )
        return self._assembled(verdict, tick_ns, measured, reasons, dict.fromkeys(self._samples, tick_ns))

    def newest(self, now_ns: int) -> Assembled:
        """The newest sample of every part, if all of them are fresh at `now_ns`."""
        measured = np.empty(self._measured.size, dtype=np.float32)
        verdict, reasons = Verdict.COMPLETE, []
        stamps: dict[str, int] = {}
        stale_ns = round(self.config.stale_after_s * NS_PER_S)
        tolerance_ns = round(self.config.future_tolerance_s * NS_PER_S)
        for part, samples in self._samples.items():
            if not samples:
                verdict = _worse(verdict, Verdict.WAITING)
                reasons.append(self._refused.get(part, f"{part}: nothing received yet"))
                continue
            stamp, sample = samples[-1]
            age_ns = now_ns - stamp
            stamps[part] = stamp
            if age_ns > stale_ns:
                verdict = _worse(verdict, Verdict.STALE)
                why = self._refused.get(part)
                reasons.append(
                    f"{part}: {age_ns * _MS:.0f} ms old, at most {stale_ns * _MS:.0f} ms are allowed"
                    + (f" ({why})" if why else "")
                )
            elif -age_ns > tolerance_ns:
                verdict = _worse(verdict, Verdict.FUTURE)
                reasons.append(
                    f"{part}: stamped {-age_ns * _MS:.0f} ms in the future, "
                    f"at most {tolerance_ns * _MS:.0f} ms are allowed; are the clocks in step?"
                )
            else:
                measured[self._slice[part]] = sample
        stamp_ns = min([now_ns, *stamps.values()]) if verdict is Verdict.COMPLETE else now_ns
        return self._assembled(verdict, stamp_ns, measured, reasons, stamps)

    def _assembled(
        self,
        verdict: Verdict,
        stamp_ns: int,
        measured: NDArray[np.float32],
        reasons: list[str],
        stamps: dict[str, int],
    ) -> Assembled:
        if verdict is not Verdict.COMPLETE:
            return Assembled(verdict, stamp_ns, None, tuple(reasons))
        values = {name: measured[None, where] for name, where in self._slice.items()}
        observation = task_parts.complete(self.spec, values)[0]
        return Assembled(verdict, stamp_ns, observation, tuple(reasons), stamps)


_SEVERITY = {Verdict.COMPLETE: 0, Verdict.WAITING: 1, Verdict.STALE: 2, Verdict.FUTURE: 3}


def _worse(a: Verdict, b: Verdict) -> Verdict:
    return a if _SEVERITY[a] >= _SEVERITY[b] else b
