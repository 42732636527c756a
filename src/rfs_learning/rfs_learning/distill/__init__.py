"""Distillation: a steered policy that sees object poses teaches one that sees a point cloud."""
