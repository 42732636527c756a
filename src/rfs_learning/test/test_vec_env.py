from importlib.metadata import EntryPoint

import pytest

from rfs_core.errors import RfsError
from rfs_learning import vec_env


def test_an_unknown_engine_is_refused_with_the_known_ones(monkeypatch):
    known = [EntryPoint(name, "x:y", vec_env.ENTRY_POINT_GROUP) for name in ("warp", "mujoco")]
    monkeypatch.setattr(vec_env, "entry_points", lambda group: known)
    with pytest.raises(RfsError, match="engine is 'bullet', known are mujoco, warp"):
        vec_env.make_env("bullet", "grasp", 1)


def test_an_engine_gets_task_size_and_options(monkeypatch):
    class Entry:
        name = "toy"

        def load(self):
            return lambda task, num_envs, **options: (task, num_envs, options)

    monkeypatch.setattr(vec_env, "entry_points", lambda group: [Entry()])
    assert vec_env.make_env("toy", "point", 3, physics_dt=0.005) == ("point", 3, {"physics_dt": 0.005})
