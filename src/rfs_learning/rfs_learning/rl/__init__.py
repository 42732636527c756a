"""Training of a Residual Flow Steering policy by PPO in simulation; nothing here is needed to deploy one."""
