"""Learning from recorded episodes: offline RFS (TD3+BC), IQL, fine-tuning by imitation; no simulator."""
