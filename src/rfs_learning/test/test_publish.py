import json

import pytest

from rfs_core.errors import RfsError
from rfs_learning import checkpoint
from rfs_learning.publish import publish


@pytest.fixture
def files(tmp_path, toy_checkpoint):
    made = toy_checkpoint()
    checkpoint.save(tmp_path / "made.safetensors", made)
    figures = {"checkpoint": made.id, "success_rate": 0.4, "wall_s": 3.0, "per_episode": [1, 2]}
    (tmp_path / "normal.json").write_text(json.dumps(figures))
    return tmp_path


def test_results_are_in_the_header_and_the_policy_stays_the_same(files, toy_checkpoint):
    publish(files / "made.safetensors", [files / "normal.json"], files / "out" / "shipped.safetensors")
    shipped = checkpoint.load(files / "out" / "shipped.safetensors")
    assert shipped.header.results == {"normal": {"checkpoint": toy_checkpoint().id, "success_rate": 0.4}}
    assert shipped.id == toy_checkpoint().id


def test_results_of_another_checkpoint_are_refused_naming_both(files, toy_checkpoint):
    checkpoint.save(files / "made.safetensors", toy_checkpoint(seed=1))
    with pytest.raises(RfsError, match=f"{toy_checkpoint().id}.*{toy_checkpoint(seed=1).id}"):
        publish(files / "made.safetensors", [files / "normal.json"], files / "shipped.safetensors")
    assert not (files / "shipped.safetensors").exists()


@pytest.mark.parametrize("text", ["{}", "no json", "[1]"])
def test_files_that_are_no_results_are_refused(files, text):
    (files / "normal.json").write_text(text)
    with pytest.raises(RfsError, match="is not a file that evaluate --json wrote"):
        publish(files / "made.safetensors", [files / "normal.json"], files / "shipped.safetensors")
