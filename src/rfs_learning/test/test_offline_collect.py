"""Episodes played without ROS: the fields of recorded ones, and what trains on them."""

import numpy as np
import pytest
from toy_offline import BOUND, base, toy

from rfs_core.errors import RfsError
from rfs_data import offline
from rfs_learning import checkpoint
from rfs_learning.offline import benchmark, collect, invert_noise, iql, table, td3bc
from rfs_learning.offline.collect import NoCorrector
from rfs_learning.offline.iql import IqlConfig
from rfs_learning.offline.td3bc import Td3BcConfig
from rfs_learning.policy import Policy


class Env(toy.PointEnv):
    """The toy task with actions that have a bound of the residual."""

    action_spec = base().header.action_spec


class Pusher(NoCorrector):
    """Pushes along x by more than is allowed, in the second step of a chunk."""

    def __call__(self, env, output):
        human, engaged = super().__call__(env, output)
        human[:, 1, 0], engaged[:, 1] = 1.0, True
        return human, engaged


def played(corrector, episodes=4):
    policy = Policy.from_checkpoint(base())
    return collect.collect(policy, Env(episodes), corrector, 3, np.arange(episodes), checkpoint_id="toy@0")


def test_the_arrays_are_those_of_recorded_episodes(tmp_path):
    data = played(Pusher())
    offline._validate(data, "collected")
    # Eleven control steps are five chunks and the first half of a sixth, unless the point leaves the square.
    for e, (first, after) in enumerate(zip(data.episode_start[:-1], data.episode_start[1:], strict=True)):
        assert after - first <= 6
        assert data.truncated[after - 1] != data.terminated[after - 1]
        if after - first == 6:
            assert data.mask[after - 1].tolist() == [True, False]
        assert data.used[e].decisions == after - first
        # What followed a decision is what the next one saw.
        position = data.seen[data.at[first] : data.at[first] + after - first + 1, :2]
        moved = np.diff(position, axis=0)
        np.testing.assert_allclose(
            moved, (data.executed * data.mask[..., None])[first:after].sum(axis=1), atol=1e-6
        )
    assert data.human[:, 1, 0] == pytest.approx(BOUND)
    assert not data.human[:, 0].any()
    assert not data.engaged[~data.mask].any()
    offline.save(data, tmp_path / "data.npz", {})
    assert len(offline.load(tmp_path / "data.npz").parents()) == 1


def test_nobody_corrects_unless_told_to_and_unknown_correctors_are_named():
    data = played(collect.make_corrector("none"))
    np.testing.assert_allclose(data.executed, base().header.action_spec.clip(data.a_b), atol=1e-6)
    assert any("nobody corrected" in doubt for doubt in data.warnings())
    with pytest.raises(RfsError, match="corrector is 'nobody', known are none"):
        collect.make_corrector("nobody")
    with pytest.raises(RfsError, match="make as many"):
        collect.collect(Policy.from_checkpoint(base()), Env(3), NoCorrector(), 0, np.arange(2))


def test_values_that_nobody_corrected_get_no_residual_unless_asked_for():
    data = played(Pusher())
    layout = td3bc.make(Td3BcConfig(), data, base()).layout
    assert layout.residual_values == [0]
    assert td3bc.make(Td3BcConfig(only_corrected=False), data, base()).layout.residual_values == [0, 1]
    with pytest.raises(RfsError, match="nobody corrected, there is no residual to train"):
        td3bc.make(Td3BcConfig(modulation="residual"), played(NoCorrector()), base())


def test_the_benchmark_trains_what_it_says(tmp_path, capsys):
    data = benchmark.made_up(base(), episodes=3, decisions=4)
    offline._validate(data, "made up")
    assert td3bc.make(Td3BcConfig(), data, base()).replay.noise.inverted == 0
    assert iql.make(IqlConfig(), data, base()).layout.size > 0
    checkpoint.save(tmp_path / "base.safetensors", base())
    given = ["--checkpoint", str(tmp_path / "base.safetensors"), "--updates", "1", "--rounds", "1"]
    benchmark.main([*given, "--json", str(tmp_path / "rates.json")])
    assert "offline RFS" in capsys.readouterr().out
    assert (tmp_path / "rates.json").exists()


@pytest.mark.parametrize(
    ("main", "words", "said"),
    [
        (collect.main, ["--seed", "-1"], "--seed: is -1, must be >= 0"),
        (collect.main, ["--episodes", "0"], "--episodes: is 0, must be >= 1"),
        (table.main, ["--seeds", "0", "-1"], "--seeds: is -1, must be >= 0"),
        (table.main, ["--recorded", "0"], "--recorded: is 0, must be >= 1"),
        (invert_noise.main, ["data", "--most", "-3"], "--most: is -3, must be >= 1"),
    ],
)
def test_numbers_that_mean_nothing_are_errors_of_usage(capsys, main, words, said):
    required = {collect.main: ["--checkpoint", "x", "--out", "x"], table.main: ["--base", "x", "--out", "x"]}
    with pytest.raises(SystemExit) as ended:
        main([*required.get(main, ["--checkpoint", "x"]), *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
