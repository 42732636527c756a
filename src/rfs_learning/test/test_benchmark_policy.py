from rfs_learning import benchmark_policy, checkpoint
from rfs_learning.policy import Policy


def test_prints_percentiles_of_the_checkpoints_own_integrator(tmp_path, toy_checkpoint, capsys):
    checkpoint.save(tmp_path / "toy.safetensors", toy_checkpoint())
    benchmark_policy.main(["--checkpoint", str(tmp_path / "toy.safetensors"), "--ticks", "5"])
    printed = capsys.readouterr().out
    assert toy_checkpoint().id in printed
    assert "euler with 10 steps" in printed
    assert "p99" in printed


def test_times_every_tick(toy_checkpoint):
    seconds = benchmark_policy.tick_seconds(Policy.from_checkpoint(toy_checkpoint()), 7)
    assert seconds.shape == (7,)
    assert (seconds >= 0).all()
