"""Pictures show what is there, where the camera's numbers say it is."""

import re
import subprocess

import numpy as np
import pytest
from PIL import Image

from rfs_sim import render
from rfs_sim.cloud import Camera, DepthSensor
from rfs_sim.render import ScenePainter, Snapshot, contact_sheet, main
from rfs_sim.video import find_ffmpeg
from rfs_sim.world import World


@pytest.fixture(scope="module")
def world():
    world = World("grasp")
    world.reset(0, 3)
    yield world
    world.close()


@pytest.fixture(scope="module")
def camera():
    position, target, fovy = render.VIDEO_VIEW
    return Camera.looking_at(position, target, fovy, 160, 120)


@pytest.fixture(scope="module")
def pictures(world, camera):
    """With the object, and with the object out of sight."""
    painter = ScenePainter(160, 120, camera=camera, samples=0, shadow=0)
    model = world.copy_of_model()
    here = painter.paint(Snapshot(model, world.qpos))
    gone = world.qpos
    gone[model.joint("object").qposadr[0]] += 50.0
    away = painter.paint(Snapshot(model, gone))
    painter.close()
    return here, away


def test_object_is_painted_where_rays_hit_it(world, camera, pictures):
    """Painter and rays share nothing but the camera: where they agree, both are right."""
    here, away = pictures
    painted = (here != away).any(axis=2)
    _, geom = DepthSensor(camera).cast(world.model, world.data())
    body = np.where(geom >= 0, world.model.geom_bodyid[geom], -1)
    hit = body == world.model.body("object").id
    assert hit.sum() > 30
    overlap = (painted & hit).sum() / (painted | hit).sum()
    assert overlap > 0.8  # edges are a matter of taste


def test_picture_is_neither_dark_nor_burnt_out(pictures):
    brightness = pictures[0].mean(axis=2)
    assert 60 < brightness.mean() < 215
    assert (brightness > 250).mean() < 0.2
    assert (brightness < 5).mean() < 0.1


def test_whole_object_is_in_the_video_s_view_wherever_it_starts(camera):
    """Corners of the reset range, with the lift on top, project into the picture."""
    f, (cx, cy) = camera.focal, camera.centre
    for x in (0.45, 0.60):
        for y in (-0.12, 0.12):
            for z in (0.0, 0.35):
                local = camera.rotation.T @ (np.array([x, y, z]) - camera.position)
                u, v = f * local[0] / local[2] + cx, f * local[1] / local[2] + cy
                assert 5 <= u <= 154, (x, y, z)
                assert 5 <= v <= 114, (x, y, z)


def test_next_episode_is_painted_with_its_own_object(world):
    painter = ScenePainter(64, 48, samples=0, shadow=0)
    box = world.copy_of_model()
    box.geom_rgba[:, :3] = 0.0
    box.geom_matid[:] = -1
    first = painter.paint(Snapshot(world.copy_of_model(), world.qpos))
    second = painter.paint(Snapshot(box, world.qpos))
    painter.close()
    assert second.mean() < first.mean() - 20


def test_caption_is_painted(world):
    painter = ScenePainter(160, 120, samples=0, shadow=0)
    model = world.copy_of_model()
    plain = painter.paint(Snapshot(model, world.qpos))
    captioned = painter.paint(Snapshot(model, world.qpos, "episode 3"))
    painter.close()
    assert not np.array_equal(plain[-8:], captioned[-8:])


def test_contact_sheet_goes_row_by_row():
    pictures = [np.full((2, 3, 3), value, np.uint8) for value in (100, 150, 200)]
    sheet = contact_sheet(pictures, columns=2)
    # Gaps of 4 pixels around pictures of 3 x 2: the second column begins at 4 + 3 + 4, the second row at 10.
    assert sheet.shape == (2 * (2 + 4) + 4, 2 * (3 + 4) + 4, 3)
    assert [sheet[4, 4, 0], sheet[4, 11, 0], sheet[10, 4, 0], sheet[10, 11, 0]] == [100, 150, 200, 24]


def test_command_writes_a_contact_sheet(tmp_path, capsys):
    out = tmp_path / "new" / "sheet.png"
    assert main(["--episode", "3", "--frames", "4", "--size", "64x48", "--out", str(out)]) == 0
    with Image.open(out) as image:
        assert image.size == (4 * 68 + 4, 48 + 8)
    assert "episode 3: 64 control steps" in capsys.readouterr().out


@pytest.mark.skipif(find_ffmpeg() is None, reason="imageio-ffmpeg is not installed")
def test_command_writes_a_video_of_every_control_step(tmp_path):
    out = tmp_path / "episode.mp4"
    assert main(["--scripted", "--size", "64x48", "--out", str(out)]) == 0
    raw = subprocess.run(
        [find_ffmpeg(), "-loglevel", "error", "-i", str(out), "-f", "rawvideo", "-pix_fmt", "gray", "-"],
        capture_output=True, check=True, timeout=120,
    ).stdout  # fmt: skip
    frames = np.frombuffer(raw, np.uint8).reshape(-1, 48, 64)
    assert len(frames) <= 65 + render.END_FRAMES
    assert len(frames) > 20 + render.END_FRAMES


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--size", "wide", "--out", "a.png"], "480x360"),
        (["--size", "9000x10", "--out", "a.png"], "1280x960"),
        (["--out", "a.avi"], r"known: \.mp4, \.gif"),
        (["--task", "gasp", "--out", "a.png"], "grasp"),
        (["--checkpoint", "none.safetensors", "--out", "a.png"], "none.safetensors: no such file"),
        (["--at", "1000", "--size", "64x48", "--out", "a.png"], "before control step 1000"),
    ],
)
def test_wrong_arguments_are_one_sentence_and_no_file(arguments, why, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("render: ")
    assert re.search(why, error)
    assert list(tmp_path.iterdir()) == []
