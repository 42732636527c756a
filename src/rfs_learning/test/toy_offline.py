"""Recorded episodes of the toy task, made from a formula: what an offline trainer needs, without a
recorder."""

import dataclasses

import numpy as np
import toy_task as toy
from toy_engine import ACTION

from rfs_core.robot import DEFAULT_ACTION_SPEC
from rfs_data.offline import OfflineData, Source, rows_of_decisions
from rfs_learning.flow import FlowBase
from rfs_learning.integrator import Integrator
from rfs_learning.networks import MlpArchitecture
from rfs_learning.policy import Policy

BOUND = 0.05
"""Of a residual of a finger target, the default."""


def base(seed=0, **changes):
    """An untrained base policy whose actions have a bound of the residual, and mostly lie within the
    spec's."""
    checkpoint = toy.make_checkpoint(seed=seed, **{"action_spec": ACTION, **changes})
    checkpoint.tensors["action_normalizer.std"].fill_(0.03)
    return checkpoint


def fingers_only():
    """An untrained base policy of the default robot whose flow makes the 16 finger targets, not the arm."""
    flow = FlowBase(MlpArchitecture(4, 2 * 16, 8, 1, 4), Integrator("euler", 3), 2, left_out=6)
    header = dataclasses.replace(
        base().header,
        action_spec=DEFAULT_ACTION_SPEC,
        architecture=flow.velocity.architecture.to_dict(),
        integrator=flow.integrator,
    )
    return flow.to_checkpoint(header)


def recorded(checkpoint, episodes=6, decisions=5, seed=0, towards=0.5):
    """Episodes in which the human adds half of the way to the goal, within the bound; every other one
    succeeds."""
    policy, rng = Policy.from_checkpoint(checkpoint), np.random.default_rng(seed)
    spec, count = ACTION, episodes * decisions
    position = rng.uniform(-0.5, 0.5, (episodes, 2))
    goal = rng.uniform(-0.5, 0.5, (episodes, 2))
    seen = np.zeros((episodes, decisions + 1, 4), np.float32)
    arrays = {name: np.zeros((episodes, decisions, 2, 2)) for name in ("a_0", "a_b", "executed", "human")}
    reward = np.zeros((episodes, decisions, 2), np.float32)
    for d in range(decisions + 1):
        seen[:, d] = np.concatenate([position, goal], axis=1)
        if d == decisions:
            break
        noise = rng.standard_normal((episodes, 2, 2)).astype(np.float32)
        output = policy.act(seen[:, d], noise)
        for h in range(2):
            human = np.clip(towards * (goal - position), -BOUND, BOUND)
            action = spec.clip(output.a_b[:, h] + human)
            position = position + action
            reward[:, d, h] = 1.0 - np.linalg.norm(position - goal, axis=1)
            for name, value in (("a_b", output.a_b[:, h]), ("executed", action), ("human", human)):
                arrays[name][:, d, h] = value
        arrays["a_0"][:, d] = output.a_0
    last = np.zeros((episodes, decisions), bool)
    last[:, -1] = True
    flat = {name: value.reshape(count, 2, 2).astype(np.float32) for name, value in arrays.items()}
    return OfflineData(
        task="point",
        action_spec=spec,
        observation_spec=toy.OBSERVATION,
        seen=seen.reshape(-1, 4),
        at=rows_of_decisions(np.full(episodes, decisions)),
        **flat,
        engaged=np.ones((count, 2), bool),
        mask=np.ones((count, 2), bool),
        own=np.ones((count, 2), bool),
        reward=reward.reshape(count, 2),
        terminated=np.zeros(count, bool),
        truncated=last.ravel(),
        episode_start=np.arange(episodes + 1) * decisions,
        used=tuple(
            Source(f"toy#{i}", "", checkpoint.id, decisions, 2 * decisions, 0, i % 2 == 0)
            for i in range(episodes)
        ),
    )


def changed(data, **arrays):
    """The data with some arrays replaced."""
    return dataclasses.replace(data, **arrays)
