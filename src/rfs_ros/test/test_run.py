"""A node process ends when it is told to, with the exit code that says how."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

NODE = """
    import sys
    from rclpy.node import Node
    from rfs_core.errors import RfsError
    from rfs_ros.run import run_node

    class Probe(Node):
        def __init__(self):
            super().__init__("probe_run")
            self.create_timer(0.05, self.tick)
            print("ready", flush=True)

        def tick(self):
            {tick}

        def destroy_node(self):
            print("closed", flush=True)
            super().destroy_node()

    sys.exit(run_node(Probe))
"""


def start(tmp_path: Path, tick: str) -> subprocess.Popen[str]:
    script = tmp_path / "probe.py"
    script.write_text(textwrap.dedent(NODE).format(tick=tick))
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_normal_end_that_closes_the_node(tmp_path: Path, signum: int) -> None:
    process = start(tmp_path, "pass")
    time.sleep(0.3)
    process.send_signal(signum)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "closed\n", "")


def test_a_signal_does_not_cut_a_running_callback(tmp_path: Path) -> None:
    process = start(
        tmp_path, "import time; print('in', flush=True); time.sleep(0.5); print('out', flush=True)"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, "out\nclosed\n")


def test_a_node_ends_itself_with_its_own_code(tmp_path: Path) -> None:
    process = start(tmp_path, "raise SystemExit(3)")
    out, _ = process.communicate(timeout=120)
    assert (process.returncode, out) == (3, "closed\n")


def test_an_error_of_ours_is_one_sentence_and_code_1(tmp_path: Path) -> None:
    process = start(tmp_path, "raise RfsError('the plug is out: put it in')")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "closed\n")
    assert "the plug is out: put it in" in err
    assert "Traceback" not in err


def test_a_defect_keeps_its_traceback(tmp_path: Path) -> None:
    process = start(tmp_path, "1 / 0")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert out == "closed\n"
    assert "ZeroDivisionError" in err


@pytest.mark.parametrize("code", [0, 1, None])
def test_an_entry_point_ends_with_the_code_that_main_returns(tmp_path: Path, code: int | None) -> None:
    (tmp_path / "somebody.py").write_text(f"def main():\n    return {code}\n")
    run = "from rfs_ros.entry import run_main; run_main('somebody')"
    done = subprocess.run([sys.executable, "-c", run], cwd=tmp_path, timeout=120)
    assert done.returncode == (code or 0)
