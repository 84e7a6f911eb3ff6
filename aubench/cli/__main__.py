"""``python -m aubench.cli`` is ``aubench``."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the working directory, whose random.py would replace the standard module
    from aubench.cli.main import main

    main()
