"""The entry point of ``aubench`` and of ``python -m aubench.cli``."""

import sys


def main() -> None:
    """Import the commands and run one; Ctrl-C during the import ends it with exit code 130, as it does later."""
    try:
        from aubench.cli import main as commands
    except KeyboardInterrupt:
        sys.exit(130)
    commands.main()


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the working directory, whose random.py would replace the standard module
    main()
