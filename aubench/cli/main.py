"""The command ``aubench``: its sub-commands, global options, and the conversion of errors to exit codes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from aubench._util import atomic, interrupts
from aubench._util.streams import repair_streams
from aubench.cli.commands import app
from aubench.core.errors import AubenchError, UsageError, is_out_of_memory, one_line
from aubench.core.user_paths import expand_home


def _print_version(requested: bool) -> None:
    if requested:
        import aubench

        typer.echo(f"aubench {aubench.__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
    plugin: Annotated[
        list[Path] | None, typer.Option("--plugin", metavar="FILE", help="Load a plug-in file; repeatable.")
    ] = None,
) -> None:
    """Compare multimodal fusion methods for facial action units."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UsageError("the working directory does not exist any more", hint="change to another folder") from None


_EXTRAS = {"cv2", "filelock", "h5py", "jaxtyping", "lightning_fabric", "matplotlib", "mlflow", "numba", "optuna"}
_EXTRAS |= {"pyarrow", "ray", "safetensors", "submitit", "timm", "torch"}
"""Top-level modules that only extras install."""

_PATH_HINT = "check the path and its permissions"
_DISK_FULL_HINT = "the disk is full; free some space and repeat the command"


def main() -> None:
    """Run a command. Exit code 0: success, 1: a check failed, 2: bad usage or input, 130: interrupted."""
    repair_streams()
    with interrupts.like_ctrl_c():
        code = _exit_code(sys.argv[1:])
    sys.exit(code)


def _exit_code(arguments: Iterable[str]) -> int:  # noqa: PLR0911  one for each kind of end
    try:
        words = [_filled(expand_home(word)) for word in arguments]
        _load_plugins(words)
        result = typer.main.get_command(app).main(words, prog_name="aubench", standalone_mode=False)
    except AubenchError as error:
        return print_error(str(error), error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:
        if error.filename is None and error.errno not in atomic.DISK_FULL:
            raise
        reason = _DISK_FULL_HINT if error.errno in atomic.DISK_FULL else f"{error.strerror}; {_PATH_HINT}"
        return print_error(f"{error.filename or 'output'}: {reason}", 2)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message(), file=sys.stderr)  # type: ignore[attr-defined]
            return 2
        line = _usage_line(error)
        if line is None:
            raise
        return print_error(line, 2)
    return result if isinstance(result, int) else 0


def _filled(word: str) -> str:
    """Return an argument that is not empty, as that of an unset variable would be.

    Raises:
        UsageError: The argument, or the value of an option, is empty.
    """
    if not word or re.fullmatch(r"--[\w-]+=", word):
        raise UsageError(f"the argument '{word}' is empty", hint="give a value, or omit it")
    return word


def _usage_line(error: Exception) -> str | None:
    """Return the line for a missing extra, too little memory or an error of the parser; None for any other error."""
    if is_out_of_memory(error):
        return f"needs more memory than there is ({one_line(str(error)) or type(error).__name__})"
    package = (getattr(error, "name", None) or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and package in _EXTRAS:
        return f"needs the package '{package}', which is not installed; pip install 'aubench[all]'"
    message, option = getattr(error, "format_message", None), getattr(error, "param", None)
    problems = getattr(error.__cause__, "errors", None)  # of pydantic, by which typer converts values
    if option and problems:
        from aubench.core.value_problems import problem_with_value

        return str(UsageError(problem_with_value(problems()[0]), where=max(option.opts, key=len)))
    return None if message is None else " ".join(message().split()) or "see --help"


def _load_plugins(words: Iterable[str]) -> None:
    """Load the files of ``--plugin`` in front of the sub-command, which may add sub-commands of ``data prepare``.

    Raises:
        UsageError: A file does not exist or its import fails.
    """
    from aubench.core.plugins import add_plugin_file

    iterator = iter(words)
    for word in iterator:
        option, _, path = word.partition("=")
        if option == "--plugin":
            path = path or next(iterator, "")
            if path:
                _check_plugin(add_plugin_file(Path(path)), path)
        elif not word.startswith("-"):
            return


def _check_plugin(module: ModuleType, path: str) -> None:
    """Check that a plug-in file adds something.

    Raises:
        UsageError: It has no entry of a registry.
    """
    from aubench.core.corruption_registry import CORRUPTIONS
    from aubench.datasets.catalog import DATASETS
    from aubench.metrics.scores import METRICS

    bases = (CORRUPTIONS.base, DATASETS.base, METRICS.base)
    if not any(isinstance(value, bases) for value in vars(module).values()):
        hint = "create one at the level of the module; a method is given by --method FILE"
        raise UsageError("defines no data set, metric or corruption", where=path, hint=hint)


def print_error(line: str, code: int) -> int:
    """Print an error to stderr and return its exit code."""
    print(f"aubench: {line}", file=sys.stderr)
    return code
