"""``python -m aubench.cli`` is ``aubench``."""

from aubench.cli.main import main

if __name__ == "__main__":
    main()
