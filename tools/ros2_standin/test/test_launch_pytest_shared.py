"""launch_pytest with one launch for the tests of a module."""

import launch_pytest
import pytest
from launch import LaunchDescription
from launch.actions import ExecuteProcess
from launch_pytest.tools import process

sleeper = ExecuteProcess(cmd=["sleep", "100"])


@launch_pytest.fixture(scope="module")
def shared():
    return LaunchDescription([sleeper, launch_pytest.actions.ReadyToTest()])


pids = []


@pytest.mark.launch(fixture=shared)
def test_generator_of_a_shared_launch_ends_after_all_others(launch_context):
    assert process.wait_for_start_sync(launch_context, sleeper, timeout=5)
    pids.append(sleeper.process_details["pid"])
    yield
    assert pids == [sleeper.process_details["pid"]] * 2  # the test below has run before
    assert sleeper.return_code is not None


@pytest.mark.launch(fixture=shared)
def test_tests_of_one_module_share_a_launch():
    assert sleeper.return_code is None
    pids.append(sleeper.process_details["pid"])
