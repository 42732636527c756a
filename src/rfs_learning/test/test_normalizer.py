import numpy as np
import pytest
import torch

from rfs_core.errors import RfsError
from rfs_learning.normalizer import Normalizer

# Columns: spread 0.03 in a range of +-0.1; constant in a range of +-2; constant without bounds.
DATA = np.array([[0.03, 1.5, 7.0], [-0.03, 1.5, 7.0]])
LOW, HIGH = np.array([-0.1, -2.0, -np.inf]), np.array([0.1, 2.0, np.inf])


def test_std_is_floored_at_a_share_of_half_the_range():
    normalizer = Normalizer.fit(DATA, LOW, HIGH, relative_floor=0.05, absolute_floor=0.01)
    # 0.05 * 0.1 = 0.005 < 0.03: measured; 0.05 * 2 = 0.1; no range: 0.01.
    torch.testing.assert_close(normalizer.std, torch.tensor([0.03, 0.1, 0.01]))
    torch.testing.assert_close(normalizer.mean, torch.tensor([0.0, 1.5, 7.0]))


def test_normalize_and_denormalize_are_inverse():
    normalizer = Normalizer.fit(DATA, LOW, HIGH, relative_floor=0.05)
    x = torch.tensor([[0.03, 1.6, 7.0]])
    torch.testing.assert_close(normalizer.normalize(x), torch.tensor([[1.0, 1.0, 0.0]]), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalizer.denormalize(normalizer.normalize(x)), x)


@pytest.mark.parametrize(("name", "value"), [("std", 0.0), ("std", float("nan")), ("mean", float("inf"))])
def test_unusable_statistics_are_refused_naming_the_dimension(name, value):
    normalizer = Normalizer.fit(DATA, LOW, HIGH, relative_floor=0.05)
    getattr(normalizer, name)[1] = value
    with pytest.raises(RfsError, match="dimension 1"):
        normalizer.check()
