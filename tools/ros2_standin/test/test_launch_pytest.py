"""launch_pytest's promises, each seen in a run of real processes."""

import sys

import launch_pytest
import pytest
from helpers import standin_only
from launch import LaunchDescription
from launch.actions import ExecuteProcess, TimerAction
from launch_pytest.tools import process

COUNTS = "import time\nfor i in range(1000):\n    print('count', i)\n    time.sleep(0.02)"


@pytest.fixture
def counter() -> ExecuteProcess:
    return ExecuteProcess(cmd=[sys.executable, "-c", COUNTS], name="counter", cached_output=True)


@launch_pytest.fixture
def counting(counter):
    return LaunchDescription([counter, launch_pytest.actions.ReadyToTest()])


@pytest.mark.launch(fixture=counting)
def test_plain_function_runs_while_the_launch_goes_on(counter, launch_context):
    assert process.wait_for_start_sync(launch_context, counter, timeout=5)
    assert process.wait_for_output_sync(launch_context, counter, lambda text: "count 5\n" in text, timeout=5)
    assert counter.return_code is None


@pytest.mark.launch(fixture=counting)
def test_waiting_for_output_that_never_comes_ends_with_false(counter, launch_context):
    assert not process.wait_for_output_sync(launch_context, counter, lambda text: "no" in text, timeout=0.3)


@pytest.mark.launch(fixture=counting)
def test_assert_output_raises_what_the_validator_raised(counter, launch_context):
    def validate(text: str) -> None:
        assert "never written" in text

    with pytest.raises(AssertionError, match="never written"):
        process.assert_output_sync(launch_context, counter, validate, timeout=0.3)


@pytest.mark.launch(fixture=counting)
async def test_coroutine_runs_in_the_loop_of_the_launch(counter, launch_context):
    assert await process.wait_for_output(launch_context, counter, lambda text: "count 2" in text, timeout=5)


@pytest.mark.launch(fixture=counting)
def test_generator_goes_on_after_the_shutdown(counter, launch_context):
    assert process.wait_for_output_sync(launch_context, counter, lambda text: "count 2" in text, timeout=5)
    assert counter.return_code is None
    yield
    assert counter.return_code == -2  # SIGINT


@pytest.mark.launch(fixture=counting)
async def test_async_generator_goes_on_after_the_shutdown(counter, launch_context):
    assert await process.wait_for_start(launch_context, counter, timeout=5)
    yield
    assert counter.return_code is not None


@pytest.mark.launch(fixture=counting, shutdown=True)
def test_marked_with_shutdown_runs_after_the_shutdown(counter):
    assert counter.return_code is not None


@launch_pytest.fixture
def delayed_ready(counter):
    ready = launch_pytest.actions.ReadyToTest()
    return LaunchDescription([counter, TimerAction(period=3.0, actions=[ready])])


@pytest.mark.launch(fixture=delayed_ready)
def test_begins_when_ready_to_test_executes(counter):
    # The counter needs 0.02 s a line: before 3 s have passed it cannot have come to an end of 5 lines only
    # by chance of a test that began at once.
    assert "count 5\n" in counter.get_stdout()


FAILING = """
import launch_pytest, pytest
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, TimerAction

@launch_pytest.fixture
def broken():
    return LaunchDescription([DeclareLaunchArgument("needed")])

@pytest.mark.launch(fixture=broken)
def test_broken(): pass

@launch_pytest.fixture
def fine():
    return LaunchDescription([ExecuteProcess(cmd=["sleep", "100"])])

@pytest.mark.launch(fixture=fine)
def test_fails(): assert 1 == 2

@pytest.mark.launch()
def test_without_fixture(): pass

@launch_pytest.fixture
def fails_later():
    def fail(context): raise ValueError("later")
    return LaunchDescription([ExecuteProcess(cmd=["sleep", "100"]),
                              TimerAction(period=0.2, actions=[OpaqueFunction(function=fail)])])

@pytest.mark.launch(fixture=fails_later)
def test_passes_but_the_launch_fails(launch_context):
    import time; time.sleep(0.6)
"""


@standin_only  # ROS 2's waits for ever for a launch that ended before it was ready
def test_failures_of_tests_and_launches_are_reported(tmp_path, run_python):
    (tmp_path / "test_failing.py").write_text(FAILING)
    result = run_python(["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_failing.py"], cwd=tmp_path)
    lines = result.stdout
    assert "ERROR test_failing.py::test_broken" in lines  # the launch ended before it was ready
    assert "FAILED test_failing.py::test_fails - assert 1 == 2" in lines
    assert "ERROR test_failing.py::test_passes_but_the_launch_fails" in lines  # its exit code is 1
    assert "1 failed, 1 passed, 1 skipped" in lines
    assert "2 errors" in lines
