"""The map over offset and mode width: what its points are made of, and that they go on."""

import json
import math

import pytest

from rfs_learning.benchmark import cli
from rfs_learning.benchmark import map as maps
from rfs_learning.benchmark.map import Point
from rfs_learning.benchmark.settings import BenchmarkError


def test_a_point_says_what_is_wrong_with_its_demonstrations():
    point = Point(0.02, 0.364)
    assert point.name == "o20_w364"
    bias = [float(value) for value in point.defects[1:3]]
    assert math.hypot(*bias) == pytest.approx(0.02, abs=1e-5)
    # Half of the widest joint's way: the fingers open half.
    assert float(point.defects[point.defects.index("--partial-opening") + 1]) == pytest.approx(0.5)
    assert Point(0.0, 0.0).defects[-1] == "1.000000"  # no mode: they open fully


@pytest.mark.parametrize(
    ("offset", "width", "said"), [(0.2, 0.1, "offset is 0.2 m"), (0.0, 0.9, "0 to 0.728")]
)
def test_points_off_the_map_are_refused(offset, width, said):
    with pytest.raises(BenchmarkError, match=said):
        Point(offset, width)


def test_a_point_goes_on_where_it_failed(tmp_path, monkeypatch):
    options = maps.parser().parse_args(["--out", str(tmp_path)])
    point, ran = Point(0.01, 0.2), []

    def run(command):
        ran.append(command[3])
        if command[3] == "base_trainer" and ran.count("base_trainer") == 1:
            raise BenchmarkError("killed")
        folder = tmp_path / "p"
        made = {"collect_demonstrations": folder / "demos.npz", "base_trainer": folder / "base" / "report.md"}
        if command[3] in made:
            made[command[3]].parent.mkdir(parents=True, exist_ok=True)
            made[command[3]].touch()

    monkeypatch.setattr(maps, "_run", run)
    with pytest.raises(BenchmarkError):
        maps.make_point(point, tmp_path / "p", options)
    maps.make_point(point, tmp_path / "p", options)
    assert ran == ["collect_demonstrations", "base_trainer", "base_trainer", "benchmark"]


def test_a_point_is_asked_for_more_methods_and_episodes_than_it_was_made_with(tmp_path, monkeypatch):
    folder, ran = tmp_path / "p", []
    (folder / "base").mkdir(parents=True)
    (folder / "demos.npz").touch()
    (folder / "base" / "report.md").touch()
    monkeypatch.setattr(maps, "_run", ran.append)
    for methods, episodes in ((["base", "rfs"], "512"), (["base", "noise", "rfs"], "1024")):
        given = ["--out", str(tmp_path), "--methods", *methods, "--episodes", episodes]
        maps.make_point(Point(0.0, 0.0), folder, maps.parser().parse_args(given))
        asked = cli.parser().parse_args(ran[-1][4:])
        assert (asked.methods, asked.episodes) == (methods, int(episodes))
    assert len(ran) == 2  # the matrix alone, which makes what is not there


def test_an_interrupted_base_policy_is_resumed(tmp_path):
    options = maps.parser().parse_args([])
    command = maps.steps_of(Point(0.0, 0.0), tmp_path, options)[1][1]
    assert command[-1] == "resume:=false"
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "training_state.safetensors").touch()
    assert maps.steps_of(Point(0.0, 0.0), tmp_path, options)[1][1][-1] == "resume:=true"


def test_what_is_there_is_drawn_and_the_rest_is_left_open(tmp_path):
    result = {
        "config": {"task": "stack", "method": "rfs", "seed": 0, "budget": 1},
        "evaluation": {"success_rate": 0.75},
    }
    path = tmp_path / "o10_w200" / "cells" / "stack" / "rfs" / "seed_0" / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(result))
    arguments = [
        "--offsets",
        "0",
        "0.01",
        "--mode-widths",
        "0.2",
        "--methods",
        "noise",
        "rfs",
        "--report-only",
    ]
    with pytest.raises(SystemExit) as ended:
        maps.main([*arguments, "--out", str(tmp_path), "--publish", str(tmp_path / "published")])
    assert ended.value.code == 0
    lines = (tmp_path / "published" / "map.csv").read_text().splitlines()
    assert lines == ["offset_m,mode_width_rad,noise,rfs", "0,0.2,,", "0.01,0.2,,0.7500"]
    assert (tmp_path / "published" / "map.png").read_bytes().startswith(b"\x89PNG")
