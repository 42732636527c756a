"""Noise inversion: the a_0 that Push carries to a given a_b (paper, section on offline learning).

`invert` undoes the discrete sampler exactly, step by step from the last to the first: each step
y = step(x) is solved for x by Newton's method (Levenberg-Marquardt damping where that does not descend),
batched, in float64. Running the ODE backwards in time is not the inverse of the sampler and misses a_0 by
as much as its length. `optimize` is the paper's way, argmin ||a_b - Push(o, a_0, v)|| by gradient descent:
slower, inexact, and with the freedom to stay close to N(0, I).

Push is invertible but ill-conditioned: judge a result by its re-push error and by ||a_0|| together. What a
policy of this project did has its a_0 recorded, and needs no inversion.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from rfs_core.errors import RfsError
from rfs_learning.flow import FlowBase
from rfs_learning.integrator import Integrator

Field = Callable[[Tensor, Tensor, Tensor], Tensor]
"""v(a_t (N, D), t (N, 1), s (N, O)) -> (N, D); differentiable by torch.func."""

_TOLERANCE = 1e-10
"""Largest |step(x) - y| at which a step counts as undone, normalised actions."""
_CHORD_ITERATIONS = 8
"""Steps with one and the same Jacobian before a new one is worth its price."""
_NEWTON_ITERATIONS = 25
_LARGEST_DAMPING = 1e8
_ODE_STEPS = 4
_BLOCK = 512
"""Rows whose Jacobians are held at once; 44 values and 256 units make 25 MB."""


class InversionError(RfsError):
    """Actions that cannot be inverted, with the reason."""


@dataclasses.dataclass(frozen=True)
class Inversion:
    """Noise found for N actions, and how good it is."""

    a_0: Tensor
    """float64, finite. Shape: (N, H, A)"""
    repush_error: Tensor
    """Largest |Push(o, a_0) - a_b| of each, normalised actions; a physical unit times it is below the largest
    standard deviation times it. Shape: (N,)"""
    norm: Tensor
    """||a_0|| of each. Shape: (N,)"""
    converged: Tensor
    """Whether every step was undone to the tolerance. Shape: (N,), bool"""

    def __str__(self) -> str:
        typical = self.a_0[0].numel() ** 0.5
        return (
            f"{int(self.converged.sum())} of {len(self.norm)} actions inverted; re-push error: median "
            f"{float(self.repush_error.median()):.1e}, largest {float(self.repush_error.max()):.1e}; "
            f"||a_0||: "
            f"median {float(self.norm.median()):.2f}, largest {float(self.norm.max()):.2f} "
            f"(N(0, I): about {typical:.2f})"
        )


def invert(flow: FlowBase, features: Tensor, a_b: Tensor) -> Inversion:
    """Undo Push of a base policy.

    Args:
        flow: The base policy.
        features: What `rfs_learning.policy.Policy.encode` makes of the observations. Shape: (N, F).
        a_b: Physical units. Shape: (N, H, A).

    Raises:
        InversionError: a value is not finite, or there are no rows.
    """
    if not len(a_b) or not bool(features.isfinite().all() and a_b.isfinite().all()):
        raise InversionError(f"{len(a_b)} actions: needs at least one, and only finite values")
    exact = copy.deepcopy(flow).double()
    target = exact.action_normalizer.normalize(a_b.double()).flatten(1)
    s = exact.clip(features.double())
    rough = copy.deepcopy(flow).float().velocity
    blocks = [
        invert_push(exact.velocity, flow.integrator, s[i : i + _BLOCK], target[i : i + _BLOCK], rough)
        for i in range(0, len(target), _BLOCK)
    ]
    a_0 = torch.cat([found for found, _ in blocks])
    converged = torch.cat([good for _, good in blocks])
    error = _repush_error(exact, s, a_0, target)
    return Inversion(a_0.view(a_b.shape), error, a_0.norm(dim=1), converged)


@torch.no_grad()
def invert_push(
    v: Field, integrator: Integrator, s: Tensor, a: Tensor, rough: Field | None = None
) -> tuple[Tensor, Tensor]:
    """Undo Push in normalised coordinates: (a_0 (N, D), whether each row converged (N,)).

    Args:
        v: The velocity field, in the precision of a.
        integrator: The rule and steps that Push has.
        s: Normalised observation. Shape: (N, O).
        a: Where Push shall lead. Shape: (N, D), float64 for full accuracy.
        rough: The same field in float32, for Jacobians that need not be exact.
    """
    h = 1.0 / integrator.steps
    rough_s = s if rough is None else s.float()
    steps = tuple(_Step(v, integrator, s, k * h, h) for k in range(integrator.steps))
    roughly = tuple(_Step(rough or v, integrator, rough_s, k * h, h) for k in range(integrator.steps))
    x, converged = a, torch.ones(len(a), dtype=torch.bool)
    for step, rough_step in zip(reversed(steps), reversed(roughly), strict=True):
        x, good = _undo(step, rough_step, x)
        converged &= good
    whole = _Whole(steps, roughly)
    left = (~converged).nonzero()[:, 0]
    # A coarse step can fold space: of two points that it leads to the same place, an earlier step may reach
    # only the other. Then all steps are undone at once, from where the ODE comes from, or from what was
    # found.
    for start in (whole.ode_start(a)[left], x[left], torch.zeros_like(x[left])):
        rows = left[~converged[left]]
        if not len(rows):
            break
        begin = start[~converged[left]]
        found = _newton(whole, begin, a[rows], rows)
        error, before = ((whole(z, rows) - a[rows]).abs().amax(1) for z in (found, x[rows]))
        better = error < before.nan_to_num(torch.inf)
        x[rows[better]] = found[better]
        converged[rows] = error <= _TOLERANCE
    return x, converged


def optimize(
    flow: FlowBase,
    features: Tensor,
    a_b: Tensor,
    iterations: int = 300,
    rate: float = 0.05,
    prior: float = 0.0,
) -> Inversion:
    """The paper's alternative: argmin over a_0 of ||a_b - Push(o, a_0, v)||^2 + prior ||a_0||^2, by Adam
    from 0.

    Args:
        flow, features, a_b: As for `invert`.
        iterations: Gradient steps; the rate falls to 0 along a cosine.
        prior: Weight of the term that keeps a_0 likely under N(0, I).
    """
    exact = copy.deepcopy(flow).double()
    target = exact.action_normalizer.normalize(a_b.double()).flatten(1)
    s = exact.clip(features.double())
    a_0 = torch.zeros_like(target, requires_grad=True)
    adam = torch.optim.Adam([a_0], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, iterations)
    for _ in range(iterations):
        a = flow.integrator.push(lambda a_t, t: exact.velocity(a_t, t, s), a_0)
        loss = ((a - target) ** 2).sum() + prior * (a_0**2).sum()
        adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        schedule.step()
    found = a_0.detach()
    error = _repush_error(exact, s, found, target)
    return Inversion(found.view(a_b.shape), error, found.norm(dim=1), error < _TOLERANCE)


@torch.no_grad()
def _repush_error(flow: FlowBase, s: Tensor, a_0: Tensor, target: Tensor) -> Tensor:
    a = flow.integrator.push(lambda a_t, t: flow.velocity(a_t, t, s), a_0)
    return (a - target).abs().amax(1)


@dataclasses.dataclass(frozen=True)
class _Step:
    """One step of the integration as a function of where it starts."""

    v: Field
    integrator: Integrator
    s: Tensor
    t: float
    h: float

    def __call__(self, x: Tensor, rows: Tensor) -> Tensor:
        return self._map(x, self.s[rows])

    def _map(self, x: Tensor, s: Tensor) -> Tensor:
        t = torch.full((len(x), 1), self.t, dtype=x.dtype)
        v = self.v(x, t, s)
        if self.integrator.name == "midpoint":
            v = self.v(x + (self.h / 2) * v, t + self.h / 2, s)
        return x + self.h * v

    def jacobian(self, x: Tensor, rows: Tensor) -> Tensor:
        """d step / d x. Shape: x (N, D) -> (N, D, D)."""
        count, size = x.shape
        s = self.s[rows]
        tangents = torch.eye(size, dtype=x.dtype)[:, None].expand(size, count, size)
        column = lambda tangent: torch.func.jvp(lambda z: self._map(z, s), (x,), (tangent,))[1]  # noqa: E731
        columns: Tensor = torch.func.vmap(column)(tangents)
        return columns.permute(1, 2, 0)

    def ode_start(self, y: Tensor) -> Tensor:
        """Where the ODE itself comes from: close to what the step comes from, and on the same branch."""
        x, h = y, self.h / _ODE_STEPS
        for i in range(_ODE_STEPS):
            t = torch.full((len(y), 1), self.t + self.h - i * h, dtype=y.dtype)
            half = x - (h / 2) * self.v(x, t, self.s)
            x = x - h * self.v(half, t - h / 2, self.s)
        return x


@dataclasses.dataclass(frozen=True)
class _Whole:
    """All steps as one function of a_0."""

    steps: tuple[_Step, ...]
    """In the order of time."""
    rough: tuple[_Step, ...]
    """The same in the precision of Jacobians."""

    def __call__(self, x: Tensor, rows: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x, rows)
        return x

    def jacobian(self, x: Tensor, rows: Tensor) -> Tensor:
        """d Push / d a_0, by the chain rule along the way. Shape: x (N, D) -> (N, D, D)."""
        product: Tensor | None = None
        for step, rough in zip(self.steps, self.rough, strict=True):
            j = rough.jacobian(x.to(rough.s.dtype), rows).to(x.dtype)
            product = j if product is None else j @ product
            x = step(x, rows)
        assert product is not None
        return product

    def ode_start(self, y: Tensor) -> Tensor:
        """Where the ODE comes from."""
        for step in reversed(self.steps):
            y = step.ode_start(y)
        return y


def _undo(step: _Step, rough: _Step, y: Tensor) -> tuple[Tensor, Tensor]:
    """x with step(x) = y, and whether each row was found. Shape: (N, D), (N,)."""
    everything = torch.arange(len(y))
    x = step.ode_start(y)
    start = x.clone()
    residual = step(x, everything) - y
    x, residual = _chord(step, rough, x, residual, y)
    open_rows = everything[~(residual.abs().amax(1) <= _TOLERANCE)]
    if len(open_rows):
        # From the beginning where the chord led astray.
        lost = ~(
            residual[open_rows].norm(dim=1) < (step(start[open_rows], open_rows) - y[open_rows]).norm(dim=1)
        )
        x[open_rows[lost]] = start[open_rows[lost]]
        x[open_rows] = _newton(step, x[open_rows], y[open_rows], open_rows)
        residual[open_rows] = step(x[open_rows], open_rows) - y[open_rows]
    return x, residual.abs().amax(1) <= _TOLERANCE


def _chord(step: _Step, rough: _Step, x: Tensor, residual: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Newton's method with the first Jacobian kept, in float32: cheap, and enough for most rows."""
    everything = torch.arange(len(y))
    factors, pivots, failed = torch.linalg.lu_factor_ex(rough.jacobian(x.to(rough.s.dtype), everything))
    good = failed == 0
    best, least = x, torch.where(good, residual.abs().amax(1), torch.inf)
    for _ in range(_CHORD_ITERATIONS):
        change = torch.linalg.lu_solve(factors, pivots, residual.to(factors.dtype)[..., None])[..., 0]
        x = x - change.to(x.dtype)
        residual = step(x, everything) - y
        error = residual.abs().amax(1)
        better = error < least
        best, least = torch.where(better[:, None], x, best), torch.where(better, error, least)
        if bool((least <= _TOLERANCE).all()) or not bool(better.any()):
            break
    return best.clone(), step(best, everything) - y


def _newton(step: _Step | _Whole, x: Tensor, y: Tensor, rows: Tensor) -> Tensor:
    """Levenberg-Marquardt: Newton's step where it descends, damped where not. Shape: x, y (N, D)."""
    damping = torch.zeros(len(x), dtype=x.dtype)
    residual = step(x, rows) - y
    cost = (residual**2).sum(1)
    identity = torch.eye(x.shape[1], dtype=x.dtype)
    for _ in range(_NEWTON_ITERATIONS):
        todo = ((residual.abs().amax(1) > _TOLERANCE) & (damping < _LARGEST_DAMPING)).nonzero()[:, 0]
        if not len(todo):
            break
        j = step.jacobian(x[todo], rows[todo])
        jt = j.transpose(1, 2)
        free = damping[todo] == 0
        undamped, _ = torch.linalg.solve_ex(j, residual[todo])
        damped, _ = torch.linalg.solve_ex(
            jt @ j + damping[todo, None, None] * identity, (jt @ residual[todo, :, None])[..., 0]
        )
        tried = x[todo] - torch.where(free[:, None], undamped, damped)
        after = step(tried, rows[todo]) - y[todo]
        least = (after**2).sum(1)
        good = least < cost[todo]  # False for NaN
        took = todo[good]
        x[took], residual[took], cost[took] = tried[good], after[good], least[good]
        damping[took] = torch.where(damping[took] < 1e-6, 0.0, damping[took] / 10)
        missed = todo[~good]
        damping[missed] = torch.where(damping[missed] == 0, 1e-4, damping[missed] * 10)
    return x
