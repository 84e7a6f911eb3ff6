"""The command ``aubench``: its sub-commands, and how errors become one line and an exit code."""

from __future__ import annotations

import errno
import sys

import typer

from aubench.cli import compare, data, leaderboard, methods, plot, reproduce, robustness, run, test_method, track, tune
from aubench.core.errors import AubenchError

app = typer.Typer(
    help="Compare multimodal fusion methods for facial action units, fairly.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run.run)
app.command("tune")(tune.tune)
app.command("compare")(compare.compare)
app.command("robustness")(robustness.robustness)
app.command("reproduce")(reproduce.reproduce)
app.command("methods")(methods.methods)
app.command("protocols")(methods.protocols)
app.command("test-method")(test_method.test_method)
app.add_typer(data.app, name="data")
app.add_typer(leaderboard.app, name="leaderboard")
app.add_typer(plot.app, name="plot")
app.add_typer(track.app, name="track")

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_HINT = "the disk is full; free some space and give the same command again"


def main() -> None:
    """Run a command: exit 0 done, 1 a check failed, 2 bad usage or input, 130 interrupted."""
    sys.exit(_exit_code())


def _exit_code() -> int:
    try:
        done = typer.main.get_command(app).main(prog_name="aubench", standalone_mode=False)
    except AubenchError as error:
        return print_error(str(error), error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:
        if error.filename is None and error.errno not in _FULL:
            raise
        why = _FULL_HINT if error.errno in _FULL else error.strerror
        return print_error(f"{error.filename or 'output'}: {why}", 2)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not hasattr(error, "format_message"):  # what the command-line parser raises on bad usage has one
            raise
        return print_error(" ".join(error.format_message().split()) or "see --help", 2)
    return done if isinstance(done, int) else 0


def print_error(line: str, code: int) -> int:
    """Print an error to stderr and return its exit code."""
    print(f"aubench: {line}", file=sys.stderr)
    return code
