"""Promises of the environment's benchmark."""

from rfs_sim import benchmark_env


def test_it_measures_in_contact_and_compares_with_the_same_physics() -> None:
    result = benchmark_env.run(num_envs=8, repeats=1, physics_dt=0.01)
    assert result.environment_rate > 0
    assert result.physics_rate > 0
    assert 0 < result.ratio <= 1.3  # the environment does the physics and more; timing noise aside
    assert result.contact_share > 0.3
    assert result.reset_us > 0
