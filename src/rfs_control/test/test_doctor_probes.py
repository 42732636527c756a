"""What the doctor finds out, on a machine made of a few files, and its command line."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rfs_control.doctor_facts import Facts, Finding, Verdict
from rfs_control.doctor_probes import Asked, gather
from rfs_control.nodes import doctor

CHECKPOINTS = Path(__file__).resolve().parents[3] / "checkpoints"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "proc/sys/kernel/version": "#1 SMP PREEMPT_RT Mon\n",
        "proc/loadavg": "1.25 1.0 0.9 1/200 300\n",
        "proc/meminfo": "MemTotal: 16777216 kB\nMemAvailable:   8388608 kB\n",
        "proc/sys/net/core/rmem_max": "212992\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
        "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance\n",
        "dev/shm/.keep": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


class Programs:
    """Answers instead of programs."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.calls: list[list[str]] = []

    def __call__(self, command: Sequence[str]) -> str:
        self.calls.append(list(command))
        if command[0] not in self.answers:
            raise FileNotFoundError(command[0])
        return self.answers[command[0]]


def facts(
    root: Path, asked: Asked | None = None, programs: Programs | None = None, **variables: str
) -> Facts:
    return gather(
        asked or Asked(run_dir=root / "runs" / "not_there_yet"),
        root=root,
        environment=variables,
        run=programs or Programs(timedatectl="yes\n", ros2='{"problem": ""}\n'),
    )


def test_files_of_the_machine_are_read(root: Path) -> None:
    found = facts(root, RMW_IMPLEMENTATION="rmw_x", ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")
    assert found.realtime_kernel is True
    assert found.load == 1.25
    assert found.memory_gib == 8.0  # 8388608 KiB
    assert found.receive_buffer == 212_992
    assert found.governors == ("performance", "powersave")
    assert (found.rmw, found.discovery_range) == ("rmw_x", "LOCALHOST")
    assert found.clock_synchronized is True
    # The folder does not exist yet: what counts is the disk that it would be on.
    assert found.disk_gib is not None


def test_a_kernel_without_the_patch_is_told_from_one_with_it(root: Path) -> None:
    (root / "proc/sys/kernel/version").write_text("#1 SMP PREEMPT_DYNAMIC\n")
    assert facts(root).realtime_kernel is False
    (root / "sys/kernel").mkdir(parents=True, exist_ok=True)
    (root / "sys/kernel/realtime").write_text("1\n")
    assert facts(root).realtime_kernel is True


def test_what_is_missing_is_not_known_instead_of_good(tmp_path: Path) -> None:
    found = gather(Asked(), root=tmp_path, environment={}, run=Programs())
    for name in ("kernel", "realtime_kernel", "load", "memory_gib", "receive_buffer", "governors"):
        assert getattr(found, name) is None, name
    assert found.clock_synchronized is None
    assert found.hardware is None
    assert found.devices is None
    assert set(found.problems) == {"clock_synchronized", "devices", "hardware"}


def test_devices_are_asked_for_the_parts_that_are_wanted(root: Path) -> None:
    programs = Programs(timedatectl="no\n", ros2='a warning first\n{"problem": "", "arm": {}}\n')
    asked = Asked(robot_file=Path("robot.yaml"), parts=frozenset({"arm"}), run_dir=root)
    found = facts(root, asked, programs)
    assert found.hardware == {"problem": "", "arm": {}}
    assert found.clock_synchronized is False
    command = next(call for call in programs.calls if call[0] == "ros2")
    assert command[:4] == ["ros2", "run", "rfs_drivers", "probe_hardware"]
    assert command[-2:] == ["--no-hand", "--no-camera"]


@pytest.mark.parametrize(("count", "devices"), [("0", ("cpu",)), ("2", ("cpu", "cuda", "cuda:0", "cuda:1"))])
def test_where_a_policy_can_run_is_what_torch_says(root: Path, count: str, devices: tuple[str, ...]) -> None:
    programs = Programs(timedatectl="yes", ros2="{}", **{sys.executable: f"a warning\n{count}\n"})
    assert facts(root, programs=programs).devices == devices


def test_a_program_that_fails_is_a_problem(root: Path) -> None:
    def run(command: Sequence[str]) -> str:
        raise subprocess.TimeoutExpired(command, 60.0)

    found = gather(Asked(robot_file=Path("robot.yaml")), root=root, environment={}, run=run)
    assert found.hardware is None
    assert "timed out" in found.problems["hardware"]


def test_the_age_of_a_calibration_is_counted_from_its_date(root: Path) -> None:
    path = root / "calibration.json"
    made = datetime.now(UTC) - timedelta(days=12)
    path.write_text(json.dumps({"date": made.isoformat(), "camera_serial": "0123"}))
    found = facts(root, Asked(calibration=path, run_dir=root)).calibration
    assert found is not None
    assert found["serial"] == "0123"
    assert found["age_days"] == pytest.approx(12.0, abs=0.01)
    path.write_text("{}")
    broken = facts(root, Asked(calibration=path, run_dir=root)).calibration
    assert broken is not None
    assert "not a camera calibration" in broken["problem"]


def test_a_checkpoint_is_loaded_and_compared_with_robot_and_task(root: Path) -> None:
    good = facts(root, Asked(checkpoint=CHECKPOINTS / "grasp_base.safetensors", run_dir=root))
    assert good.checkpoint is not None
    assert good.checkpoint.startswith("grasp_base@")
    other = facts(root, Asked(checkpoint=CHECKPOINTS / "grasp_base.safetensors", task="stack", run_dir=root))
    assert other.checkpoint is None
    assert "observation" in other.problems["checkpoint"]


def test_a_policy_that_sees_points_is_compared_with_points(root: Path) -> None:
    path = CHECKPOINTS / "grasp_points.safetensors"
    good = facts(root, Asked(checkpoint=path, observation="points", run_dir=root))
    assert good.checkpoint is not None
    assert good.checkpoint.startswith("grasp_points@")
    assert "observation" in facts(root, Asked(checkpoint=path, run_dir=root)).problems["checkpoint"]


def test_without_a_checkpoint_the_shipped_one_of_what_is_seen_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "shipped", lambda folder, name: CHECKPOINTS / name)
    names = [getattr(doctor.checkpoint_of("grasp", "", seen), "name", "") for seen in ("state", "points")]
    assert names == ["grasp_rfs.safetensors", "grasp_points.safetensors"]
    assert doctor.checkpoint_of("pour", "", "points") is None


def test_limits_are_those_that_a_process_gets(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {resource.RLIMIT_RTPRIO: (10, 99), resource.RLIMIT_MEMLOCK: (65536, resource.RLIM_INFINITY)}
    monkeypatch.setattr("rfs_control.doctor_probes.resource.getrlimit", limits.__getitem__)
    found = facts(root, Asked(run_dir=root))
    assert (found.rtprio, found.memlock_kib) == (10, 64)


def test_the_command_prints_json_and_ends_with_1_when_a_check_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "gather", lambda asked, rmw_known: Facts())
    assert doctor.main(["--json", "--no-camera"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["checks"]) == 20
    assert answer["exit_code"] == 1
    assert answer["counts"]["failed"] >= 1


@pytest.mark.parametrize(("strict", "code"), [([], 0), (["--strict"], 1)])
def test_warnings_count_only_where_they_shall(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], strict: list[str], code: int
) -> None:
    finding = Finding("clock", Verdict.WARNING, "not [synchronized]", "timedatectl set-ntp true")
    monkeypatch.setattr(doctor, "gather", lambda asked, rmw_known: Facts())
    monkeypatch.setattr(doctor, "examine", lambda facts: [finding])
    assert doctor.main(strict) == code
    printed = capsys.readouterr().out
    assert "not [synchronized]" in printed
    assert "timedatectl set-ntp true" in printed
    assert doctor.main([*strict, "--json"]) == code
    assert json.loads(capsys.readouterr().out)["exit_code"] == code


def test_an_emulated_robot_is_sent_away(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        doctor.main(["--robot-file", "emulated"])
    assert "fr3_leap" in capsys.readouterr().err
