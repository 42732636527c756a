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
from rfs_learning.networks import VelocityField

Field = Callable[[Tensor, Tensor, Tensor], Tensor]
"""v(a_t (N, D), t (N, 1), s (N, O)) -> (N, D); differentiable by torch.func."""

_CONVERGED = 1e-5
"""Largest re-push error, normalised actions, at which an action counts as inverted; its own rounding to
float32 is about 1e-6."""
_CHORD_ITERATIONS = 8
"""Steps with one and the same Jacobian before a new one is worth its price."""
_NEAR = 0.25
"""How far from where the ODE comes from a solution is taken without a second look, in lengths of the step."""
_LM_ITERATIONS, _POLISH_ITERATIONS = 60, 20
_ATTEMPTS, _ASIDE = 60, 0.1
"""How often a solution is looked for; how far from the ODE's the second time, growing over ten times."""
_POLISHED = 30
"""Errors up to this many tolerances are of steps that add up; larger ones are of a step that was not undone,
which polishing does not mend and another beginning may."""
_FIRST_DAMPING, _LARGEST_DAMPING = 1e-3, 1e8
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
    """Whether the re-push error is within 1e-5. Shape: (N,), bool"""

    def __str__(self) -> str:
        typical = self.a_0[0].numel() ** 0.5
        return (
            f"{int(self.converged.sum())} of {len(self.norm)} actions inverted; re-push error: median "
            f"{float(self.repush_error.median()):.1e}, largest {float(self.repush_error.max()):.1e}; "
            f"||a_0||: "
            f"median {float(self.norm.median()):.2f}, largest {float(self.norm.max()):.2f} "
            f"(N(0, I): about {typical:.2f})"
        )


def invert(flow: FlowBase, features: Tensor, a_b: Tensor, tolerance: float = 3e-6) -> Inversion:
    """Undo Push of a base policy.

    Args:
        flow: The base policy.
        features: What `rfs_learning.policy.Policy.encode` makes of the observations. Shape: (N, F).
        a_b: Physical units. Shape: (N, H, A).
        tolerance: Largest error of one step, normalised actions. The default is what float32 networks hold of
            an action; to ask for more only drives a_0 away along what Push hardly depends on.

    Raises:
        InversionError: a value is not finite, there are no rows, or the flow makes only a part of an action.
    """
    _require_invertible(flow, features, a_b)
    exact, rough = copy.deepcopy(flow).double(), copy.deepcopy(flow).float().velocity
    target = exact.action_normalizer.normalize(a_b.double()).flatten(1)
    s = exact.clip(features.double())
    a_0 = invert_push(exact.velocity, flow.integrator, s, target, tolerance, rough)
    return _judged(exact, s, a_0, target, a_b)


def _require_invertible(flow: FlowBase, features: Tensor, a_b: Tensor) -> None:
    """Raise InversionError where there is nothing that could be undone."""
    if flow.left_out:
        raise InversionError(
            f"the flow leaves out {flow.left_out} of {flow.action_size} values of an action; only one that "
            f"makes all of them can be inverted: give another base policy"
        )
    if not len(a_b) or not bool(features.isfinite().all() and a_b.isfinite().all()):
        raise InversionError(f"{len(a_b)} actions: needs at least one, and only finite values")


@torch.no_grad()
def invert_push(
    v: Field,
    integrator: Integrator,
    s: Tensor,
    a: Tensor,
    tolerance: float = 1e-12,
    rough: Field | None = None,
) -> Tensor:
    """Undo Push in normalised coordinates. Shape: (N, D).

    Args:
        v: The velocity field, in the precision of a.
        integrator: The rule and steps that Push has.
        s: Normalised observation. Shape: (N, O).
        a: Where Push shall lead. Shape: (N, D), float64 for full accuracy.
        tolerance: Largest |step(x) - y| at which a step counts as undone.
        rough: The same field in float32, for Jacobians that need not be exact.
    """
    everything, generator = torch.arange(len(a)), torch.Generator().manual_seed(0)
    best, least = a, torch.full((len(a),), torch.inf, dtype=a.dtype)
    # A coarse last step can fold space: of several points that it leads to the same place, the steps before
    # may reach only one. Where they do not reach the one that was found, another one is looked for.
    for attempt in range(_ATTEMPTS):
        left = everything[~(least <= 2 * tolerance)]
        if not len(left):
            return best
        for rows in torch.split(left, _BLOCK):
            x = a[rows]
            for k in reversed(range(integrator.steps)):
                step, rough_step = _steps(v, rough, integrator, s[rows], k)
                aside = None
                if attempt and k == integrator.steps - 1:
                    drawn = torch.randn(x.shape, generator=generator, dtype=x.dtype)
                    aside = _ASIDE * (1 + attempt % 10) * drawn / x.shape[1] ** 0.5
                x = _undo(step, rough_step, x, tolerance, aside)
            x, error = _polished(v, integrator, s[rows], x, a[rows], tolerance, _POLISHED * tolerance)
            better = error < least[rows]
            least[rows[better]] = error[better]
            best = best.index_copy(0, rows[better], x[better])
    x, error = _polished(v, integrator, s, best.clone(), a, tolerance, torch.inf)
    return torch.where((error < least)[:, None], x, best)


def _polished(
    v: Field, integrator: Integrator, s: Tensor, x: Tensor, a: Tensor, tolerance: float, most: float
) -> tuple[Tensor, Tensor]:
    """Where the errors of the steps add up to too much, some damped Newton steps on all of Push.

    Its Jacobian must be exact: float32 does not hold the directions that Push nearly forgets.

    Args:
        most: Largest re-push error that is worth it.

    Returns:
        a_0, shape (N, D), and its re-push error, shape (N,).
    """
    h = 1.0 / integrator.steps
    push = _Push([_Step(v, integrator, s, k * h, h) for k in range(integrator.steps)])
    error = (push(x, torch.arange(len(x))) - a).abs().amax(1)
    rows = ((error > 2 * tolerance) & (error <= most)).nonzero()[:, 0]
    if len(rows):
        x[rows] = _levenberg_marquardt(push, push, x[rows], a[rows], rows, tolerance, _POLISH_ITERATIONS)
        error[rows] = (push(x[rows], rows) - a[rows]).abs().amax(1)
    return x, error


def _steps(v: Field, rough: Field | None, integrator: Integrator, s: Tensor, k: int) -> tuple[_Step, _Step]:
    """Step k of the integration, exact and in the precision of Jacobians."""
    h = 1.0 / integrator.steps
    exact = _Step(v, integrator, s, k * h, h)
    return exact, exact if rough is None else _Step(rough, integrator, s.float(), k * h, h)


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

    Raises:
        InversionError: as `invert`.
    """
    _require_invertible(flow, features, a_b)
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
    return _judged(exact, s, a_0.detach(), target, a_b)


@torch.no_grad()
def _judged(flow: FlowBase, s: Tensor, a_0: Tensor, target: Tensor, a_b: Tensor) -> Inversion:
    a = flow.integrator.push(lambda a_t, t: flow.velocity(a_t, t, s), a_0)
    error = (a - target).abs().amax(1)
    return Inversion(a_0.view(a_b.shape), error, a_0.norm(dim=1), error <= _CONVERGED)


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
        if isinstance(self.v, VelocityField) and self.integrator.name == "euler":
            t = torch.full((count, 1), self.t, dtype=x.dtype)
            return torch.eye(size, dtype=x.dtype) + self.h * self.v.jacobian(x, t, s)
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
class _Push:
    """All steps, one after the other."""

    steps: list[_Step]

    @property
    def s(self) -> Tensor:
        return self.steps[0].s

    def __call__(self, x: Tensor, rows: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x, rows)
        return x

    def jacobian(self, x: Tensor, rows: Tensor) -> Tensor:
        """d Push / d x. Shape: x (N, D) -> (N, D, D)."""
        product = torch.eye(x.shape[1], dtype=x.dtype)
        for step in self.steps:
            product, x = step.jacobian(x, rows) @ product, step(x, rows)
        return product


def _undo(step: _Step, rough: _Step, y: Tensor, tolerance: float, aside: Tensor | None = None) -> Tensor:
    """x with step(x) = y; where there is none, or none is found, one that comes close. Shape: (N, D).

    Args:
        aside: Where to begin, from where the ODE comes from.
    """
    start = rough.ode_start(y.to(rough.s.dtype)).to(y.dtype) + (0.0 if aside is None else aside)
    x, residual = _chord(step, rough, start, y, tolerance)
    # Where the step hardly depends on x, Newton runs away to some other solution, or to none.
    found = residual.abs().amax(1) <= tolerance
    found &= (x - start).norm(dim=1) <= _NEAR * (start - y).norm(dim=1)
    rows = (~found).nonzero()[:, 0]
    if len(rows):
        x[rows] = _levenberg_marquardt(step, rough, start[rows], y[rows], rows, tolerance)
    return x


def _chord(step: _Step, rough: _Step, x: Tensor, y: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Newton's method with the first Jacobian kept, in float32: cheap, and enough for most steps."""
    rows = torch.arange(len(y))
    factors, pivots, _ = torch.linalg.lu_factor_ex(rough.jacobian(x.to(rough.s.dtype), rows))
    best, left = x.clone(), step(x, rows) - y
    residual, least = left, left.abs().amax(1)
    for _ in range(_CHORD_ITERATIONS):
        change = torch.linalg.lu_solve(factors[rows], pivots[rows], residual.to(factors.dtype)[..., None])
        x = x - change[..., 0].to(x.dtype)
        residual = step(x, rows) - y[rows]
        error = residual.abs().amax(1)
        better = error < least[rows]  # False for NaN
        where = rows[better]
        best[where], left[where], least[where] = x[better], residual[better], error[better]
        # What has arrived, or goes away, is not carried on.
        on = better & (error > tolerance)
        if not bool(on.any()):
            break
        rows, x, residual = rows[on], x[on], residual[on]
    return best, left


def _levenberg_marquardt(
    step: _Step | _Push,
    rough: _Step | _Push,
    x: Tensor,
    y: Tensor,
    rows: Tensor,
    tolerance: float,
    iterations: int = _LM_ITERATIONS,
) -> Tensor:
    """Damped Newton steps from x: what the step does not depend on stays as it is. Shape: (N, D)."""
    damping = torch.full((len(x),), _FIRST_DAMPING, dtype=x.dtype)
    residual = step(x, rows) - y
    cost = (residual**2).sum(1)
    identity = torch.eye(x.shape[1], dtype=x.dtype)
    for _ in range(iterations):
        todo = ((residual.abs().amax(1) > tolerance) & (damping < _LARGEST_DAMPING)).nonzero()[:, 0]
        if not len(todo):
            break
        j = rough.jacobian(x[todo].to(rough.s.dtype), rows[todo]).to(x.dtype)
        jt = j.transpose(1, 2)
        normal = jt @ j + damping[todo, None, None] * identity
        change, _ = torch.linalg.solve_ex(normal, (jt @ residual[todo, :, None])[..., 0])
        tried = x[todo] - change
        after = step(tried, rows[todo]) - y[todo]
        least = (after**2).sum(1)
        good = least < cost[todo]  # False for NaN
        took, missed = todo[good], todo[~good]
        x[took], residual[took], cost[took] = tried[good], after[good], least[good]
        damping[took] *= 0.1
        damping[missed] *= 8.0
    return x
