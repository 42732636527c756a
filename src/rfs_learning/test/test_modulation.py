import pytest
import torch

from rfs_core.errors import RfsError
from rfs_learning.modulation import IdentityModulation

NOISE = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0))
OBSERVATION = torch.ones(3, 5)


def test_identity_passes_noise_or_zero_and_no_residual():
    a_0, a_r = IdentityModulation("normal")(OBSERVATION, NOISE)[:2]
    assert torch.equal(a_0, NOISE)
    assert not a_r.any()
    a_0, a_r = IdentityModulation("zero")(OBSERVATION, NOISE)[:2]
    assert not a_0.any()
    assert not a_r.any()
    assert a_0.shape == a_r.shape == NOISE.shape


def test_unknown_noise_is_refused_with_the_known_ones():
    with pytest.raises(RfsError, match="'uniform', known are normal, zero"):
        IdentityModulation("uniform")
