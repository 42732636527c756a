"""A damaged .npz is an error of ours, whichever library finds it out."""

import numpy as np
import pytest

from rfs_data import npz
from rfs_data.npz import NpzError


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_no_flipped_bit_makes_another_error_or_other_values(tmp_path, write):
    path, values = tmp_path / "x.npz", np.arange(64, dtype=np.float32)
    write(path, values=values)
    whole, refused = path.read_bytes(), 0
    for byte in range(len(whole)):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[byte] ^= 1 << bit
            path.write_bytes(flipped)
            try:
                arrays = npz.read(path)
            except NpzError:
                refused += 1
                continue
            # What is not refused: stamps and permissions in the zip, or the array's name.
            (array,) = arrays.values()
            np.testing.assert_array_equal(array, values)
    assert refused > 4 * 64 * 4  # at least half of the bits of what the array holds


def test_another_packing_and_a_file_that_is_no_zip_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, values=np.zeros(8))
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 10  # the method in the directory: 8 is deflate, 9 one that Python lacks
    assert data[at] == 8
    data[at] = 9
    path.write_bytes(data)
    with pytest.raises(NpzError, match="NotImplementedError"):
        npz.read(path)
    path.write_text("hello")
    with pytest.raises(NpzError):
        npz.read(path)
