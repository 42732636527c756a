"""`ros2 pkg list | prefix PACKAGE | executables [PACKAGE]`."""

import argparse

from ament_index_python.packages import get_packages_with_prefixes

from ..packages import executables, prefix_of, share_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ros2 pkg`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="names of all packages")
    prefix = verbs.add_parser("prefix", help="where a package is installed")
    prefix.add_argument("package")
    prefix.add_argument("--share", action="store_true", help="the folder of its files instead")
    runnable = verbs.add_parser("executables", help="what `ros2 run` can run")
    runnable.add_argument("package", nargs="?")
    runnable.add_argument("--full-path", action="store_true")


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    if args.verb == "list":
        print("\n".join(sorted(get_packages_with_prefixes())))
    elif args.verb == "prefix":
        print(share_of(args.package) if args.share else prefix_of(args.package))
    else:
        for package in [args.package] if args.package else sorted(get_packages_with_prefixes()):
            for name, path in executables(package).items():
                print(path if args.full_path else f"{package} {name}" if not args.package else name)
    return 0
