"""Check Dockerfile, compose file and shell scripts without a container engine: python docker/lint.py"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

CHECKS = (
    (BIN / "hadolint", "docker/Dockerfile"),
    (BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker/compose.yaml"),
    (BIN / "shellcheck", "-x", "docker/entrypoint.sh", "scripts/setup.sh", "scripts/build.sh", ".ci/run"),
)


def main() -> int:
    """Run every check; 0 when all pass, 1 otherwise."""
    failed = [check for check in CHECKS if subprocess.run([*map(str, check)], cwd=ROOT).returncode != 0]
    for check in failed:
        print(f"docker/lint.py: {' '.join(map(str, check))} failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
