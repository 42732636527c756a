"""Tests of the tasks in Isaac Lab, in its own environment: make test-isaaclab.

Elsewhere nothing is collected.
"""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("isaaclab_newton") is None:
    collect_ignore_glob = ["test_*.py"]
