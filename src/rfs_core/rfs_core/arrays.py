"""One code for numpy arrays and torch tensors.

Task terms, rotations, kinematics and the control law run on whatever an engine hands them: float64 numpy
arrays of the CPU engine, float32 tensors on a GPU. They are written against the array API standard, whose
names `array_api_compat` gives to numpy 1.26 and to torch alike; this module adds what is missing there. It
does not import torch.

Rules that make a function run on both:
- names from `namespace(x)`; operators, `.any(axis=)`, `.all`, `.sum`, `.mean`, `.clip` are the same on both;
- constants go through `like`, so that they have the dtype and device of the state;
- a flag is made a number by `number` before it is multiplied: torch would make it a float32.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any, TypeAlias

import array_api_compat
import numpy as np
from array_api_compat import numpy as _numpy
from numpy.typing import NDArray

Array: TypeAlias = Any
"""A numpy array or a torch tensor; all arrays of one state are of one kind, dtype and device."""

_constants: dict[tuple[int, Any, Any], tuple[NDArray[Any], Array]] = {}


def namespace(x: Array) -> ModuleType:
    """The functions that work on `x`, by their names in the array API standard."""
    # Looked up a hundred times a control step: the common case first.
    return _numpy if isinstance(x, np.ndarray) else array_api_compat.array_namespace(x)


def like(constant: NDArray[Any], x: Array) -> Array:
    """A constant as an array of the kind, dtype and device of `x`; made once per constant, dtype and device.

    Args:
        constant: a numpy array that is never changed and never freed, such as one of a module.
    """
    if isinstance(x, np.ndarray):
        return constant
    key = (id(constant), x.dtype, x.device)
    if key not in _constants:
        _constants[key] = (constant, namespace(x).asarray(constant.copy(), dtype=x.dtype, device=x.device))
    return _constants[key][1]


def of(values: NDArray[Any], x: Array) -> Array:
    """Values as an array of the kind and device of `x`; floats also get its dtype."""
    if isinstance(x, np.ndarray):
        return values
    dtype = {"dtype": x.dtype} if values.dtype.kind == "f" else {}
    return namespace(x).asarray(values, device=x.device, **dtype)


def to_numpy(x: Array) -> NDArray[Any]:
    """The values as a numpy array; a tensor's memory is shared where it is on the CPU."""
    return x if isinstance(x, np.ndarray) else np.asarray(x.cpu())


def zeros(shape: tuple[int, ...], x: Array) -> Array:
    """Zeros of the kind, dtype and device of `x`."""
    if isinstance(x, np.ndarray):
        return np.zeros(shape)
    return namespace(x).zeros(shape, dtype=x.dtype, device=x.device)


def empty(shape: tuple[int, ...], x: Array) -> Array:
    """Memory of the kind, dtype and device of `x`."""
    if isinstance(x, np.ndarray):
        return np.empty(shape)
    return namespace(x).empty(shape, dtype=x.dtype, device=x.device)


def copy(x: Array) -> Array:
    """The same values in memory of their own."""
    return x.copy() if isinstance(x, np.ndarray) else x.clone()


def outside_inference(x: Array) -> AbstractContextManager[Any]:
    """For code that keeps arrays from call to call: tensors made in torch's inference mode, in which a policy
    may call it, could not be written outside of it again."""
    if isinstance(x, np.ndarray):
        return nullcontext()
    context: AbstractContextManager[Any] = sys.modules["torch"].inference_mode(mode=False)
    return context


def contiguous(x: Array) -> Array:
    """The same values in rows that lie one after the other."""
    return np.ascontiguousarray(x) if isinstance(x, np.ndarray) else x.contiguous()


def number(flags: Array, x: Array) -> Array:
    """0 and 1 in the dtype of `x`."""
    return namespace(flags).astype(flags, x.dtype)


def norm(v: Array, keepdims: bool = False) -> Array:
    """Length of the vectors along the last axis."""
    return namespace(v).sqrt((v * v).sum(axis=-1, keepdims=keepdims))


def single(x: Array) -> Array:
    """The values as float32."""
    xp = namespace(x)
    return xp.astype(x, xp.float32, copy=False)
