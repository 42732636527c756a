"""The trainer without ROS."""

import pytest

from rfs_core.config import from_mapping
from rfs_core.errors import ConfigError
from rfs_learning.rl import train
from rfs_learning.rl.ppo_config import PpoTrainerConfig


def test_parameters_are_read_as_ros_reads_them():
    values = train.settings(
        ["task:=stack", "num_envs:=8", "gamma:=0.9", "resume:=true", "kl_band:=[0.01, 0.02]", "name:="]
    )
    config = from_mapping(PpoTrainerConfig, values)
    assert (config.task, config.num_envs, config.gamma, config.resume) == ("stack", 8, 0.9, True)
    assert config.kl_band == (0.01, 0.02)
    assert config.name == ""


def test_what_is_no_parameter_is_refused_with_an_example():
    with pytest.raises(ConfigError, match=r"write -p name:=value"):
        train.settings(["task=stack"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-p", "tusk:=stack"], "did you mean 'task'"),
        (["-p", "task:=stack"], "base_checkpoint is empty"),
    ],
)
def test_a_bad_setting_is_one_line_and_ends_with_1(words, said, capsys):
    with pytest.raises(SystemExit) as end:
        train.main(words)
    assert end.value.code == 1
    told = capsys.readouterr().err
    assert told.startswith("rfs_train: ")
    assert said in told
    assert told.count("\n") == 1
