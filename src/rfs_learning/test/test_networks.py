import math

import pytest
import torch

from rfs_core.errors import RfsError
from rfs_learning.networks import MlpArchitecture, SinusoidalEmbedding, VelocityField


def test_embedding_is_sines_then_cosines_from_1_to_100_rad():
    # 4 features: frequencies 1 and 100 rad.
    got = SinusoidalEmbedding(4)(torch.tensor([[0.5]]))
    want = torch.tensor([[math.sin(0.5), math.sin(50.0), math.cos(0.5), math.cos(50.0)]])
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)


def test_velocity_depends_on_each_of_its_three_arguments():
    torch.manual_seed(0)
    field = VelocityField(MlpArchitecture(3, 4, hidden_width=8, hidden_layers=1, time_features=2))
    a, t, s = torch.zeros(1, 4), torch.zeros(1, 1), torch.zeros(1, 3)
    here = field(a, t, s)
    assert here.shape == (1, 4)
    for other in ((a + 1, t, s), (a, t + 0.5, s), (a, t, s + 1)):
        assert not torch.equal(field(*other), here)


def test_architecture_survives_its_dict():
    architecture = MlpArchitecture(3, 4, hidden_width=8)
    assert MlpArchitecture.from_dict(architecture.to_dict()) == architecture


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hidden_width": 0}, "hidden_width is 0"),
        ({"hidden_layers": 10**9}, "from 1 to 32"),
        ({"time_features": 3}, "even"),
        ({"hidden_width": 8.0}, "8.0"),
        ({"type": "transformer"}, "'transformer'.*'mlp'"),
        ({"depth": 3}, "depth"),
    ],
)
def test_impossible_architectures_are_refused(change, says):
    with pytest.raises(RfsError, match=says):
        MlpArchitecture.from_dict({**MlpArchitecture(3, 4).to_dict(), **change})
