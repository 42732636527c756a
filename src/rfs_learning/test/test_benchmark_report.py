"""Tables, pictures and the HTML file, from results written by hand."""

import csv
import json

import pytest

from rfs_learning.benchmark import cli, figures, table
from rfs_learning.benchmark.html_report import html_report
from rfs_learning.benchmark.markdown import markdown, missing
from rfs_learning.benchmark.settings import (
    GRASP_TYPES,
    PAPER,
    PAPER_TASKS,
    BenchmarkError,
)


def write(folder, task, method, seed=0, won=50, budget=400, episodes=100, **diagnostics):
    """A cell's result: `won` of `episodes`."""
    path = folder / task / method / f"seed_{seed}" / f"b{budget}" / "result.json"
    path.parent.mkdir(parents=True)
    rate = won / episodes
    figures_of = {
        "success_rate": rate,
        "successes": won,
        "episodes": episodes,
        "interval_95": [rate - 0.1, rate + 0.1],
    }
    trained = method != "base"
    made = {
        "config": {"task": task, "method": method, "seed": seed, "budget": budget},
        "base": f"{task}_base@0123456789ab",
        "revisions": [{"part": "train", "commit": "abcdef0123456789", "changed": []}],
        "steps": budget if trained else 0,
        "best_step": budget if trained else 0,
        "cpu_s": 12.0,
        "curve": [
            {"step": 0, "evaluation/success": 0.1, "train/success": None, "cpu_s": 1.0},
            {"step": budget, "evaluation/success": rate, "train/success": 0.3, "cpu_s": 12.0},
        ]
        if trained
        else [],
        "evaluation": {
            **figures_of,
            "checkpoint": f"{task}_{method}@0123456789ab",
            "seed": 3_000_003 + seed,
            "physics_dt": 0.005,
            "objects": {},
            "a0_norm": 0.5,
            "residual_share": 0.03,
            "residual_saturated": 0.0,
        },
        "diagnostics": {
            name: {**figures_of, "success_rate": value}
            for name, value in diagnostics.get("diagnostics", {}).items()
        },
    }
    path.write_text(json.dumps(made))
    return path


def test_paper_means_are_those_of_its_table():
    means = {method: round(sum(PAPER[method].values()) / 6, 3) for method in table.RELEVANT}
    # Issue and paper: .250, .483 (DSRL), .433 (ResiP; its six numbers give .433), .861
    assert means == {"base": 0.251, "noise": 0.483, "residual": 0.433, "rfs": 0.861}
    assert all(tuple(PAPER[method]) == PAPER_TASKS for method in table.RELEVANT)
    # Two grasps, over the hand: .959 and .878 overall
    assert {tuple(PAPER[method]) for method in ("noise_hand", "rfs_hand")} == {GRASP_TYPES}
    assert sum(PAPER["rfs_hand"].values()) / 2 == pytest.approx(0.959)
    assert sum(PAPER["noise_hand"].values()) / 2 == pytest.approx(0.878)


def test_the_two_grasps_have_a_table_of_their_own_and_do_not_change_the_mean_of_the_six(tmp_path):
    write(tmp_path, "stack", "rfs", won=99)
    write(tmp_path, "power", "rfs_hand", won=80)
    results = table.load(tmp_path)
    six, _, two = markdown(results).partition("## Two types of grasp")
    assert "| 0.990 |" in six
    assert "power" not in six
    assert "| RFS, hand | **0.800** (" in two
    assert "| paper's rfs_hand | 0.988 | 0.988 |" in two
    lines = missing(results)
    assert "power noise_hand: seed 0, 1, 2" in lines
    assert "power rfs_hand: seed 1, 2" in lines
    assert not any(line.startswith(("pinch", "power base", "power residual")) for line in lines)


def test_success_is_the_mean_over_seeds_with_the_interval_of_all_episodes(tmp_path):
    write(tmp_path, "stack", "rfs", seed=0, won=90)
    write(tmp_path, "stack", "rfs", seed=1, won=100)
    (group,) = table.groups(table.load(tmp_path))
    assert group.mean == pytest.approx(0.95)
    assert group.seeds == [0, 1]
    # Wilson, 190 of 200, z 1.96: centre (0.95 + 0.0096) / 1.0192 = .9414, half width .0307
    assert group.interval == pytest.approx((0.9104, 0.9726), abs=2e-3)


def test_table_has_methods_above_the_papers_and_says_what_a_mean_is_over(tmp_path):
    write(tmp_path, "stack", "rfs", won=99)
    write(tmp_path, "place", "rfs", won=97)
    write(tmp_path, "stack", "base", won=6)
    lines = table.success_table(table.groups(table.load(tmp_path)))
    assert lines[0] == "|  | place | stack | mean |"  # the paper's order
    assert lines[3].startswith("| base (flow matching) | - | **0.060** (")
    assert lines[3].endswith("x 1 | 0.060 of 1 |")
    assert lines[4] == "| paper's base | 0.367 | 0.060 | 0.213 |"  # (.367 + .06) / 2 = .2135
    assert lines[5].endswith("| 0.980 |")  # (.97 + .99) / 2


def test_methods_are_compared_at_the_budget_of_rfs_and_more_is_told_apart(tmp_path):
    write(tmp_path, "stack", "rfs", won=99, budget=400)
    write(tmp_path, "stack", "residual", won=70, budget=400)
    write(tmp_path, "stack", "residual", won=80, budget=1200)
    found = table.groups(table.load(tmp_path))
    assert table.at_equal_budget(found)[("stack", "residual")].mean == pytest.approx(0.7)
    (_, _, line) = table.longer_table(found)
    assert line.startswith("| stack | residual only | 1,200 | 0.800 (")
    assert line.endswith("| 0.700 | 0.990 | 0 |")


def test_the_base_policy_has_no_budget_so_all_its_seeds_count(tmp_path):
    for seed, won, budget in ((0, 40, 400), (1, 50, 400), (2, 90, 500)):
        write(tmp_path, "stack", "base", seed=seed, won=won, budget=budget)
    write(tmp_path, "stack", "rfs", won=99, budget=400)
    results = table.load(tmp_path)
    compared = table.at_equal_budget(table.groups(results))
    assert compared[("stack", "base")].seeds == [0, 1, 2]
    assert compared[("stack", "base")].mean == pytest.approx(0.6)  # (.4 + .5 + .9) / 3
    assert "stack base: seed" not in "\n".join(missing(results))
    assert table.longer_table(table.groups(results)) == []


def test_a_longer_training_is_compared_with_the_same_seed(tmp_path):
    write(tmp_path, "stack", "rfs", won=90)
    write(tmp_path, "stack", "rfs", seed=1, won=50)
    write(tmp_path, "stack", "rfs", won=95, budget=1200)
    (_, _, line) = table.longer_table(table.groups(table.load(tmp_path)))
    assert line.endswith("| 0.900 | 0.900 | 0 |")


def test_a_partial_table_says_so_and_lists_what_is_missing(tmp_path):
    for task in PAPER_TASKS:
        for method in table.RELEVANT:
            for seed in range(3):
                if (task, method, seed) != ("kit", "noise", 2):
                    write(tmp_path, task, method, seed)
    results = table.load(tmp_path)
    assert missing(results) == ["kit noise: seed 2"]
    assert "**Partial" in markdown(results)
    write(tmp_path, "kit", "noise", 2)
    complete = markdown(table.load(tmp_path))
    assert "Partial" not in complete
    assert "This benchmark is constructed" in complete


def test_csv_has_one_line_per_cell_with_seed_and_revision(tmp_path):
    write(tmp_path, "stack", "residual", seed=2, won=77, diagnostics={"switch/noise_zero": 0.9})
    (row,) = csv.DictReader(table.to_csv(table.load(tmp_path)).splitlines())
    wanted = {
        "task": "stack", "method": "residual", "seed": "2", "success": "0.77", "paper": "0.67",
        "evaluation_seed": "3000005", "commit": "abcdef012345", "changed": "", "noise_zero": "0.9",
        "residual_off": "", "base": "stack_base@0123456789ab",
    }  # fmt: skip
    assert {name: row[name] for name in wanted} == wanted


def test_published_results_make_the_same_table(tmp_path):
    made = write(tmp_path / "runs", "stack", "rfs", won=99)
    cells = tmp_path / "results" / "cells"
    cells.mkdir(parents=True)
    (cells / "stack-rfs-seed_0.json").write_bytes(made.read_bytes())
    (tmp_path / "results" / "other.json").write_text('{"config": 1}')
    assert markdown(table.load(tmp_path / "results")) == markdown(table.load(tmp_path / "runs"))


def published(out, folder):
    """Contents by name after `--report-only --out OUT --publish FOLDER`."""
    arguments = ["--report-only", "--no-figures", "--out", str(out), "--publish", str(folder)]
    assert cli.run(cli.parser().parse_args(arguments)) == 0
    return {path.name: path.read_bytes() for path in (folder / "cells").iterdir()}


def test_publishing_what_was_published_keeps_every_result_and_its_name(tmp_path):
    write(tmp_path / "runs", "stack", "rfs", won=99)
    write(tmp_path / "runs", "stack", "base", won=6, budget=1)
    first = published(tmp_path / "runs", tmp_path / "one")
    assert set(first) == {"stack-rfs-b400.json", "stack-base-b1.json"}
    assert published(tmp_path / "one", tmp_path / "one") == first
    assert published(tmp_path / "one", tmp_path / "two") == first


def test_publishing_removes_what_is_no_longer_a_result_when_the_new_is_written(tmp_path, monkeypatch):
    write(tmp_path / "runs", "stack", "rfs", won=99)
    cells = tmp_path / "one" / "cells"
    cells.mkdir(parents=True)
    (cells / "pour-rfs-b400.json").write_text("{}")

    def full(path, content):
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(cli, "write_atomic", full)
        with pytest.raises(OSError, match="no space"):
            cli.publish(table.load(tmp_path / "runs"), tmp_path, tmp_path / "one")
    assert (cells / "pour-rfs-b400.json").exists()
    assert set(published(tmp_path / "runs", tmp_path / "one")) == {"stack-rfs-b400.json"}


def test_two_results_of_one_name_are_not_published_over_each_other(tmp_path):
    write(tmp_path / "runs" / "a", "stack", "rfs", won=99)
    write(tmp_path / "runs" / "b", "stack", "rfs", won=98)
    with pytest.raises(BenchmarkError, match=r"a/stack/.* and .*b/stack/.* as stack-rfs-b400.json: name an"):
        published(tmp_path / "runs", tmp_path / "one")
    assert not (tmp_path / "one").exists()


def test_diagnostics_and_disturbances_are_rows_of_their_own(tmp_path):
    measured = {"switch/residual_off": 0.25, "disturbance/10": 0.5, "disturbance/2": 0.875}
    write(tmp_path, "stack", "rfs", won=99, diagnostics=measured)
    results = table.load(tmp_path)
    assert table.diagnostics_table(results)[2].startswith("| stack rfs 0, 400 | 0.990 | 0.250 | - |")
    head, _, line = table.disturbance_table(results)
    assert head == "| cell | x 2 | x 10 | x 1 (final evaluation) |"  # by size, not by spelling
    assert line == "| stack rfs 0, 400 | 0.875 | 0.500 | 0.990 |"
    assert "multiplied. 100 episodes each, of the final evaluation's seed." in markdown(results)


def test_rows_of_one_method_and_seed_are_told_apart_by_their_budget(tmp_path):
    for budget, rate in ((400, 0.5), (1200, 0.75)):
        path = write(tmp_path, "grasp", "noise", budget=budget, diagnostics={"disturbance/2": 0.5})
        result = json.loads(path.read_text())
        result["evaluation"]["objects"] = {"ball": {"success_rate": rate}, "box": {"success_rate": 1.0}}
        path.write_text(json.dumps(result))
    results = table.load(tmp_path)
    lines = table.object_table(results)
    assert lines[3:] == ["| noise 0, 400 | 0.500 | 1.000 |", "| noise 0, 1,200 | 0.750 | 1.000 |"]
    lines = table.disturbance_table(results)
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| grasp noise 0, 400", "| grasp noise 0, 1,200"]


def test_pictures_are_drawn_of_what_there_is(tmp_path):
    write(tmp_path / "runs", "stack", "base", won=6)
    assert [path.name for path in figures.draw(table.load(tmp_path / "runs"), tmp_path)] == ["success.png"]
    write(tmp_path / "runs", "stack", "rfs", won=99, diagnostics={"disturbance/0": 1.0})
    drawn = figures.draw(table.load(tmp_path / "runs"), tmp_path)
    assert [path.name for path in drawn] == ["curves.png", "success.png", "disturbance.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_without_matplotlib_one_line_says_what_to_do(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(BenchmarkError, match="pip install matplotlib, or pass --no-figures"):
        figures.pyplot()


def test_html_report_needs_no_other_file(tmp_path):
    path = write(tmp_path / "runs", "stack", "rfs", won=99)
    (path.parent / "videos").mkdir()
    (path.parent / "videos" / "episode_3.mp4").write_bytes(b"frames")
    film = {
        "episode": 3,
        "success": False,
        "outcome": "<dropped>",
        "object": "",
        "file": "videos/episode_3.mp4",
    }
    gone = {**film, "file": "videos/gone.mp4"}
    (path.parent / "films.json").write_text(json.dumps({"films": [film, gone]}))
    results = table.load(tmp_path / "runs")
    drawn = figures.draw(results, tmp_path)
    page = html_report(markdown(results, [p.name for p in drawn]), drawn, results)
    assert "data:video/mp4;base64,ZnJhbWVz" in page  # b"frames"
    assert page.count("data:image/png;base64,") == len(drawn) == 2
    assert "&lt;dropped&gt;" in page
    assert "gone.mp4" not in page
    assert page.count("<video") == 1
    for link in ('src="runs', 'src="curves', "http://", "https://", 'href="'):
        assert link not in page
    # The table of the text is a table, with its empty first cell.
    assert "<tr><td></td><td>stack</td><td>mean</td></tr>" in page
    assert "<strong>0.990</strong>" in page
