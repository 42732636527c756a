"""BatchReport: what report.json and the table say."""

import io
import json

import pytest
from rich.console import Console

from rfs_control.episode import EpisodeRecord, Outcome
from rfs_control.report import BatchReport, EpisodeRow


def row(index, outcome, steps=60, wall_s=1.5, **changes):
    record = EpisodeRecord(index=index, seed=0, id=f"e{index}", outcome=outcome, steps=steps, wall_s=wall_s)
    return EpisodeRow(record, **changes)


@pytest.fixture
def report():
    return BatchReport(
        task="grasp",
        seed=0,
        control_dt=0.05,
        episodes_asked=4,
        rows=[
            row(0, Outcome.SUCCESS),
            row(1, Outcome.FAILURE, steps=20),
            row(2, Outcome.ABORTED, gate_holds=1, gate_refused=2),
        ],
        stopped="episode 2: the gate holds: no action",
        hold_reasons=["no action"],
        last_refusal="stale",
        policy={
            "checkpoint_id": "base@0123",
            "a0": "normal",
            "missed_ticks": "1",
            "decisions": "39",
            "tick_cpu_ms_p99": "1.250",
            "tick_cpu_ms_p50": "nan",
        },
        sim={"lockstep_misses": "4"},
    )


def shown(report) -> str:
    console = Console(file=io.StringIO(), width=100)
    report.print_table(console)
    return console.file.getvalue()


def test_success_rate_counts_finished_episodes_and_has_the_wilson_interval(report):
    success = report.as_dict()["success"]
    assert (success["successes"], success["trials"], success["rate"]) == (1, 2, 0.5)
    # Wilson at 1 of 2, z = 1.959964: centre 0.5, half width z sqrt(1/(4n) / n + z^2/(4 n^2)) / (1 + z^2/n)
    # with p(1-p)/n = 0.125: 1.959964 * sqrt(0.125 + 0.240091) / 2.920729 = 0.405469.
    assert success["interval"] == pytest.approx([0.094531, 0.905469], abs=1e-5)


def test_lengths_and_real_time_factor_are_of_the_finished_episodes(report):
    d = report.as_dict()
    # 60 and 20 steps of 50 ms: 3 s and 1 s, in 1.5 s each on the wall.
    assert d["episode_length_s"] == pytest.approx({"mean": 2.0, "min": 1.0, "max": 3.0})
    assert d["real_time_factor"] == pytest.approx(4.0 / 3.0)
    assert (d["episodes_finished"], d["episodes_aborted"]) == (2, 1)


def test_what_the_gate_and_the_policy_counted_is_in_the_report(report):
    d = report.as_dict()
    assert d["gate"] == {"holds": 1, "hold_reasons": ["no action"], "refused": 2, "last_refusal": "stale"}
    assert d["policy"]["tick_cpu_ms_p99"] == 1.25
    assert d["policy"]["missed_ticks"] == 1
    assert d["policy"]["tick_cpu_ms_p50"] is None  # not measured is not zero
    assert d["policy"]["tick_wall_ms_p50"] is None
    assert d["sim"] == {"lockstep_misses": 4}


def test_report_json_is_written_whole_and_reads_back(report, tmp_path):
    path = report.write(tmp_path / "run")
    assert [p.name for p in path.parent.iterdir()] == ["report.json"]
    read = json.loads(path.read_text())
    assert read == report.as_dict()
    assert [e["outcome"] for e in read["episodes"]] == ["success", "failure", "aborted"]


def test_the_table_shows_what_a_person_asks_for(report):
    text = shown(report)
    for expected in (
        "50.0%",
        "1 of 2",
        "9.5% to 90.5%",
        "base@0123",
        "1.25",
        "1 of 40",
        "- no action",
        "last: stale",
        "episode 2: the gate holds: no action",
        "1.33",
    ):
        assert expected in text, expected


def test_a_report_of_nothing_says_so():
    empty = BatchReport(task="grasp", seed=0, control_dt=0.05, episodes_asked=4, interrupted=True)
    d = empty.as_dict()
    assert (d["success"]["rate"], d["success"]["interval"], d["real_time_factor"]) == (None, None, None)
    text = shown(empty)
    assert "no episode finished" in text
    assert "not measured" in text
    assert "Ctrl-C" in text
