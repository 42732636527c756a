"""rsl_rl's configuration for `isaaclab train`: PPO straight on a task, without a base policy.

It shows that the tasks train in Isaac Lab's own tools. RFS is trained by `rfs_learning`'s trainer with
`engine:=isaaclab`, whose PPO acts on what steers a base policy.
"""

import torch
from isaaclab.utils import configclass
from isaaclab_rl.rsl_rl import RslRlMLPModelCfg, RslRlOnPolicyRunnerCfg, RslRlPpoAlgorithmCfg


@configclass
class RfsPpoRunnerCfg(RslRlOnPolicyRunnerCfg):
    """PPO with the widths of `rfs_learning.rl.ppo_config`."""

    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    num_steps_per_env = 16
    max_iterations = 1500
    save_interval = 50
    experiment_name = "rfs"
    obs_groups = {"actor": ["policy"], "critic": ["policy"]}
    actor = RslRlMLPModelCfg(
        hidden_dims=[256, 256],
        activation="elu",
        obs_normalization=True,
        distribution_cfg=RslRlMLPModelCfg.GaussianDistributionCfg(init_std=0.5),
    )
    critic = RslRlMLPModelCfg(hidden_dims=[256, 256], activation="elu", obs_normalization=True)
    algorithm = RslRlPpoAlgorithmCfg(
        value_loss_coef=1.0,
        use_clipped_value_loss=True,
        clip_param=0.2,
        entropy_coef=0.0,
        num_learning_epochs=5,
        num_mini_batches=4,
        learning_rate=3e-4,
        schedule="adaptive",
        gamma=0.99,
        lam=0.95,
        desired_kl=0.01,
        max_grad_norm=1.0,
    )
