"""The table of offline methods: what `--set` says to whom."""

import pytest

from rfs_core.errors import RfsError
from rfs_learning.offline.table import settings_for


def test_a_setting_goes_to_the_trainers_that_have_it():
    given = ["learning_rate=0.001", "noise_bc=0.1", 'noise_bc_target="zero"']
    assert settings_for("td3bc", given) == {
        "learning_rate": 0.001,
        "noise_bc": 0.1,
        "noise_bc_target": "zero",
    }
    # Implicit Q-learning has no term on a_0; imitation keeps its own learning rate.
    assert settings_for("iql", given) == {"learning_rate": 0.001}
    assert settings_for("bc", given) == {}


def test_a_setting_with_a_trainers_name_is_its_alone():
    given = ['bc.episodes="all"']
    assert settings_for("bc", given) == {"episodes": "all"}
    assert settings_for("td3bc", given) == {}


@pytest.mark.parametrize("given", ["nose_bc=1", "bc.noise_bc=1", "ppo.gamma=1", "noise_bc", "gamma=half"])
def test_a_setting_that_nobody_has_or_that_cannot_be_read_is_refused(given):
    with pytest.raises(RfsError, match=given):
        settings_for("td3bc", [given])
