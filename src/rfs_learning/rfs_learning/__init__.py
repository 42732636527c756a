"""Flow base policy, modulation, checkpoints, trainers and evaluation of Residual Flow Steering."""
