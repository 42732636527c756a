import os
import random
import struct

import pytest
import safetensors.torch
import torch

from rfs_learning import container
from rfs_learning.container import CheckpointError

TENSORS = {
    "b": torch.arange(6.0).view(2, 3),
    "a": torch.tensor([1, 2], dtype=torch.int64),
    "c": torch.tensor(3.0),
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "x.safetensors"
    container.write(path, {"name": "x", "seed": 7, "text": "é"}, TENSORS)
    return path


def test_what_is_written_is_read(file):
    header, tensors = container.read(file)
    assert (header["name"], header["seed"], header["text"]) == ("x", 7, "é")
    assert set(tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_the_file_is_plain_safetensors(file):
    assert torch.equal(safetensors.torch.load_file(file)["b"], TENSORS["b"])


def test_a_changed_bit_anywhere_is_refused_or_changes_nothing(file):
    # Every byte of length, header and tensors: a flipped bit is an error, or (white space that pads
    # the header) reads as the very same content.
    data, want = file.read_bytes(), container.read(file)
    rng = random.Random(0)
    refused = 0
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << rng.randrange(8)
        file.write_bytes(damaged)
        try:
            header, tensors = container.read(file)
        except CheckpointError:
            refused += 1
        else:
            assert header == want[0]
            assert all(torch.equal(tensors[name], want[1][name]) for name in want[1])
    padding = len(data) - len(data.rstrip(b" "))
    assert refused >= len(data) - padding - 8


@pytest.mark.parametrize("bit", range(8))
def test_every_bit_of_every_tensor_byte_counts(file, bit):
    data = file.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    assert len(data) - start == 6 * 4 + 2 * 8 + 4
    for position in range(start, len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << bit
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="damaged"):
            container.read(file)


def test_a_truncated_file_is_refused_at_every_length(file):
    data = file.read_bytes()
    for length in range(len(data)):
        file.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"truncated|damaged"):
            container.read(file)


def test_random_files_are_refused(tmp_path):
    path = tmp_path / "noise"
    rng = random.Random(1)
    for size in (0, 1, 8, 9, 100, 4096):
        path.write_bytes(rng.randbytes(size))
        with pytest.raises(CheckpointError):
            container.read(path)


def test_missing_file_directory_and_pickle_are_called_what_they_are(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        container.read(tmp_path / "absent.safetensors")
    with pytest.raises(CheckpointError, match="is a directory"):
        container.read(tmp_path)
    for new in (True, False):
        path = tmp_path / f"torch_{new}.pt"
        torch.save(TENSORS, path, _use_new_zipfile_serialization=new)
        with pytest.raises(CheckpointError, match="pickle or torch"):
            container.read(path)


def test_safetensors_of_others_are_refused_naming_the_missing_key(tmp_path):
    path = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file(TENSORS, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"\['format'\] where 'rfs' is needed"):
        container.read(path)


def test_a_header_too_deep_to_be_read_is_refused(tmp_path):
    path = tmp_path / "deep.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, {"rfs": "[" * 200_000})
    with pytest.raises(CheckpointError, match="its header is not a JSON object"):
        container.read(path)


def test_a_header_that_is_not_an_object_is_refused(tmp_path):
    path = tmp_path / "odd.safetensors"
    for header in ("[1]", "{", '"text"', '{"x": NaN}'):
        safetensors.torch.save_file(TENSORS, path, {"rfs": header})
        with pytest.raises(CheckpointError, match="not a JSON object"):
            container.read(path)


@pytest.mark.parametrize("fails_at", ["fsync", "replace"])
def test_a_crash_while_writing_leaves_the_old_file_whole(file, monkeypatch, fails_at):
    before = file.read_bytes()

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, fails_at, fail)
    with pytest.raises(OSError, match="disk full"):
        container.write(file, {"name": "y"}, TENSORS)
    monkeypatch.undo()
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file], "no temporary file stays"


def test_bytes_are_on_disk_before_the_name_is(file, monkeypatch):
    order = []
    real = {name: getattr(os, name) for name in ("fsync", "replace")}
    for name, call in real.items():
        monkeypatch.setattr(os, name, lambda *a, n=name, c=call: (order.append(n), c(*a))[1])
    container.write(file, {"name": "y"}, TENSORS)
    assert order == ["fsync", "replace", "fsync"]  # the last one is of the folder


def test_digest_sees_name_type_shape_and_bytes():
    base = {"x": torch.zeros(2, 3)}
    others = (
        {"y": torch.zeros(2, 3)},
        {"x": torch.zeros(3, 2)},
        {"x": torch.zeros(2, 3, dtype=torch.int32)},
        {"x": -torch.zeros(2, 3)},
    )
    digests = {container.tensors_sha256(tensors) for tensors in (base, *others)}
    assert len(digests) == 5
    assert container.tensors_sha256({"x": torch.zeros(3, 2).T}) in digests, "layout in memory does not count"
