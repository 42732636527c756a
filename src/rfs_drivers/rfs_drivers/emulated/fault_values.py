"""Values that a request of a fault interface brings, as JSON has them: taken where they are allowed only."""

from __future__ import annotations

from rfs_drivers.errors import EmulatorError


def number(name: str, value: object, low: float, high: float) -> float:
    """A number within bounds.

    Raises:
        EmulatorError: it is none, not finite, or outside.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise EmulatorError(f"{name} is {_short(value)}, needs a number from {low:g} to {high:g}")
    return float(value)


def whole(name: str, value: object, low: int, high: int) -> int:
    """The same without a fraction.

    Raises:
        EmulatorError: it is none, or outside.
    """
    checked = number(name, value, low, high)
    if not checked.is_integer():
        raise EmulatorError(f"{name} is {_short(value)}, needs a whole number from {low} to {high}")
    return int(checked)


def switch(name: str, value: object) -> bool:
    """Whether something is on: the text "false" is not taken for true.

    Raises:
        EmulatorError: it is neither true nor false.
    """
    if not isinstance(value, bool):
        raise EmulatorError(f"{name} is {_short(value)}, needs true or false, in small letters")
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
