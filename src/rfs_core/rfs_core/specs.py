"""Specs: what the values of an action or observation mean, so that no dimension is a constant in code.

A spec is an ordered tuple of named parts, each with shape, unit, bounds and frame. It is stored in every
checkpoint and bag, and compared whenever two of them meet (`require_same`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rfs_core.errors import SpecError

Array = NDArray[Any]


def _bound(value: float | Sequence[float], size: int, what: str) -> tuple[float, ...]:
    values = tuple(float(v) for v in np.atleast_1d(np.asarray(value, dtype=np.float64)).ravel())
    if len(values) == 1:
        values = values * size
    if len(values) != size:
        raise SpecError(f"{what} has {len(values)} values, allowed: 1 or {size} (one per value of the part)")
    if any(math.isnan(v) for v in values):
        raise SpecError(f"{what} is not a number; write -inf or inf where there is no bound")
    return values


@dataclass(frozen=True)
class Part:
    """One named group of values.

    low and high may be given as one number for all values; they are kept as tuples of `size` numbers.
    """

    name: str
    """Identifier, unique within a spec."""
    shape: tuple[int, ...]
    """Shape without the batch axis."""
    unit: str
    """SI unit, or "1" when dimensionless."""
    low: tuple[float, ...] | float
    """Smallest value, in `unit`; -inf where there is none."""
    high: tuple[float, ...] | float
    """Largest value, in `unit`; inf where there is none."""
    frame: str = ""
    """Frame that positions and rotations are given in; empty where there is none."""

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if not self.name.isidentifier():
            raise SpecError(f"part name {self.name!r} is not an identifier; use letters, digits and _")
        if not shape or min(shape) < 1:
            raise SpecError(f"part {self.name} has shape {shape}, allowed: one or more dimensions >= 1")
        object.__setattr__(self, "shape", shape)
        low = _bound(self.low, self.size, f"low of part {self.name}")
        high = _bound(self.high, self.size, f"high of part {self.name}")
        for i, (lo, hi) in enumerate(zip(low, high, strict=True)):
            if lo > hi:
                raise SpecError(f"part {self.name} value {i}: low {lo} is above high {hi}")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; infinite bounds are the strings "inf" and "-inf"."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "unit": self.unit,
            "low": [_to_json(v) for v in self.low],  # type: ignore[union-attr]
            "high": [_to_json(v) for v in self.high],  # type: ignore[union-attr]
            "frame": self.frame,
        }

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> Part:
        """Inverse of `to_dict`; raises SpecError on anything else."""
        _require_keys(mapping, ("name", "shape", "unit", "low", "high", "frame"), "part")
        try:
            return cls(
                name=str(mapping["name"]),
                shape=tuple(int(n) for n in mapping["shape"]),
                unit=str(mapping["unit"]),
                low=tuple(float(v) for v in mapping["low"]),
                high=tuple(float(v) for v in mapping["high"]),
                frame=str(mapping["frame"]),
            )
        except (TypeError, ValueError) as error:
            raise SpecError(f"part {mapping['name']!r} cannot be read: {error}") from error


def _to_json(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _require_keys(mapping: Any, keys: Sequence[str], what: str) -> None:
    if not isinstance(mapping, Mapping) or set(mapping) != set(keys):
        got = sorted(mapping) if isinstance(mapping, Mapping) else type(mapping).__name__
        raise SpecError(f"{what} of a spec has {got}, needs exactly {sorted(keys)}")


SpecType = TypeVar("SpecType", bound="Spec")


@dataclass(frozen=True)
class Spec:
    """An ordered tuple of parts that makes one flat vector. Use ActionSpec or ObservationSpec."""

    parts: tuple[Part, ...]
    """The parts, in the order of the vector."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))
        if not self.parts:
            raise SpecError(f"{type(self).__name__} without parts: give at least one")
        for name in self.names:
            if self.names.count(name) > 1:
                raise SpecError(f"{type(self).__name__} has part {name} twice: names must be unique")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parts, in order."""
        return tuple(part.name for part in self.parts)

    @cached_property
    def size(self) -> int:
        """Length of the flat vector."""
        return sum(part.size for part in self.parts)

    @cached_property
    def _slices(self) -> dict[str, slice]:
        slices, start = {}, 0
        for part in self.parts:
            slices[part.name] = slice(start, start + part.size)
            start += part.size
        return slices

    def slice(self, name: str) -> slice:
        """Where a part lies in the flat vector."""
        if name not in self._slices:
            raise SpecError(f"no part {name!r}; {type(self).__name__} has {', '.join(self.names)}")
        return self._slices[name]

    def part(self, name: str) -> Part:
        """The part of that name."""
        self.slice(name)
        return self.parts[self.names.index(name)]

    @cached_property
    def low(self) -> NDArray[np.float64]:
        """Lower bounds. Shape: (size,). Read-only."""
        return _read_only(np.concatenate([np.asarray(part.low) for part in self.parts]))

    @cached_property
    def high(self) -> NDArray[np.float64]:
        """Upper bounds. Shape: (size,). Read-only."""
        return _read_only(np.concatenate([np.asarray(part.high) for part in self.parts]))

    def pack(self, values: Mapping[str, ArrayLike]) -> Array:
        """Flat vectors from named parts.

        Args:
            values: for every part an array of shape (N, *part.shape) or (N, part.size).

        Returns:
            Shape: (N, size), in the arrays' common floating type.
        """
        missing = [name for name in self.names if name not in values]
        unknown = [name for name in values if name not in self._slices]
        if missing or unknown:
            raise SpecError(
                f"pack needs exactly the parts {', '.join(self.names)}; "
                f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}"
            )
        columns = []
        for part in self.parts:
            array = np.asarray(values[part.name])
            if array.ndim < 2 or array.shape[1:] not in (part.shape, (part.size,)):
                raise SpecError(
                    f"part {part.name} has shape {array.shape}, needs (N, {', '.join(map(str, part.shape))})"
                )
            columns.append(array.reshape(array.shape[0], part.size))
        if len({column.shape[0] for column in columns}) > 1:
            rows = ", ".join(f"{p.name} {c.shape[0]}" for p, c in zip(self.parts, columns, strict=True))
            raise SpecError(f"parts differ in their number of rows: {rows}")
        return np.concatenate(columns, axis=1)

    def unpack(self, array: Array) -> dict[str, Array]:
        """Views of the parts: (..., size) -> {name: (..., *part.shape)}."""
        self.require_size(array, "array")
        lead = array.shape[:-1]
        return {
            part.name: array[..., self._slices[part.name]].reshape(lead + part.shape) for part in self.parts
        }

    def clip(self, array: Array) -> Array:
        """Values moved into the bounds; NaN stays NaN. Shape: (..., size), type kept."""
        self.require_size(array, "array")
        clipped: Array = np.clip(array, self.low.astype(array.dtype), self.high.astype(array.dtype))
        return clipped

    def require_size(self, array: Array, what: str) -> None:
        """Raise SpecError unless the last axis of the array has `size` values."""
        if array.ndim < 1 or array.shape[-1] != self.size:
            raise SpecError(
                f"{what} has shape {array.shape}, needs (..., {self.size}): "
                + ", ".join(f"{part.name} {part.size}" for part in self.parts)
            )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"parts": [part.to_dict() for part in self.parts]}

    def differences(self, other: Spec) -> list[str]:
        """What is not the same, as sentences that name both values: "... A, other B". Empty when equal."""
        if type(self) is not type(other):
            return [f"one is {type(self).__name__}, other {type(other).__name__}"]
        found = []
        if self.size != other.size:
            found.append(f"size ({self.size},), other ({other.size},)")
        if self.names != other.names:
            found.append(f"parts {', '.join(self.names)}; other {', '.join(other.names)}")
        for part in self.parts:
            if part.name not in other.names:
                continue
            theirs = other.part(part.name)
            for field in ("shape", "unit", "frame"):
                mine, its = getattr(part, field), getattr(theirs, field)
                if mine != its:
                    found.append(f"{field} of {part.name}: {mine!r}, other {its!r}")
            if part.shape == theirs.shape:
                for field in ("low", "high"):
                    pairs = zip(getattr(part, field), getattr(theirs, field), strict=True)
                    wrong = [(i, a, b) for i, (a, b) in enumerate(pairs) if not _same_bound(a, b)]
                    if wrong:
                        i, a, b = wrong[0]
                        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
                        found.append(f"{field} of {part.name}[{i}]: {a:g}, other {b:g}{more}")
        return found


def _same_bound(a: float, b: float) -> bool:
    # Bounds travel as float32 in some places; a relative 1e-6 is no difference.
    return a == b or math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)


@dataclass(frozen=True)
class ActionSpec(Spec):
    """Meaning of one control step's action, and how many steps make one decision."""

    control_dt: float
    """Time between two control steps, s."""
    horizon: int
    """Control steps in one decision (chunk)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.control_dt) and self.control_dt > 0.0):
            raise SpecError(f"control_dt is {self.control_dt} s, allowed: > 0")
        if self.horizon < 1:
            raise SpecError(f"horizon is {self.horizon}, allowed: >= 1")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**super().to_dict(), "control_dt": self.control_dt, "horizon": self.horizon}

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> ActionSpec:
        """Inverse of `to_dict`; raises SpecError on anything else."""
        _require_keys(mapping, ("parts", "control_dt", "horizon"), "action")
        try:
            control_dt, horizon = float(mapping["control_dt"]), int(mapping["horizon"])
        except (TypeError, ValueError) as error:
            raise SpecError(f"action spec cannot be read: {error}") from error
        return cls(tuple(Part.from_dict(p) for p in mapping["parts"]), control_dt, horizon)

    def differences(self, other: Spec) -> list[str]:
        """As `Spec.differences`, with control step and horizon."""
        found = super().differences(other)
        if isinstance(other, ActionSpec):
            if not math.isclose(self.control_dt, other.control_dt, rel_tol=1e-9):
                found.append(f"control_dt {self.control_dt} s, other {other.control_dt} s")
            if self.horizon != other.horizon:
                found.append(f"horizon {self.horizon}, other {other.horizon}")
        return found


@dataclass(frozen=True)
class ObservationSpec(Spec):
    """Meaning of one observation."""

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> ObservationSpec:
        """Inverse of `to_dict`; raises SpecError on anything else."""
        _require_keys(mapping, ("parts",), "observation")
        return cls(tuple(Part.from_dict(p) for p in mapping["parts"]))


def require_same(a: SpecType, b: SpecType, what: str, hint: str) -> None:
    """Raise SpecError unless two specs are the same.

    Args:
        a, b: the specs; differences read "<a's value>, other <b's value>".
        what: names both, for example "action of checkpoint grasp@1f2e and of this robot (other)".
        hint: what to do about it.
    """
    found = a.differences(b)
    if found:
        raise SpecError(f"{what} differ: {'; '.join(found)}. {hint}")


def _read_only(array: NDArray[np.float64]) -> NDArray[np.float64]:
    array.setflags(write=False)
    return array
