"""First weights: from a model hub by name or from a safetensors file, never unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aubench import AubenchError

if TYPE_CHECKING:
    from torch import Tensor

FILE = "model.safetensors"
"""What the weights of a hub's repository are called."""


def load(source: str | Path, choices: str = "'imagenet', 'none'") -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Args:
        source: Its path.
        choices: What could have been given instead of a path.

    Raises:
        AubenchError: There is no such file, or it is of another kind.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(source)
    except FileNotFoundError:
        raise AubenchError("no such file", where=source, hint=f"give {choices} or a .safetensors file") from None
    except (SafetensorError, OSError) as error:
        raise AubenchError(
            f"is not a safetensors file ({type(error).__name__})",
            where=source,
            hint="pickled weights (.pt, .pth, .bin) can run code and are not read; convert them first",
        ) from None


def fetch(repository: str, what: str) -> Path:
    """Where the weights of a hub's repository lie, downloaded if they are not here yet.

    Args:
        repository: Its name on the hub.
        what: What a user calls these weights.

    Raises:
        AubenchError: They are not here and cannot be fetched.
    """
    import huggingface_hub as hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(hub.hf_hub_download(repository, FILE, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    try:
        hub.get_hf_file_metadata(hub.hf_hub_url(repository, FILE))  # fails at once where a download would try for long
        return Path(hub.hf_hub_download(repository, FILE))
    except Exception as error:  # the network fails in many ways
        raise AubenchError(
            f"cannot be fetched ({type(error).__name__})",
            where=what,
            hint=f"set weights=PATH to {FILE} of {repository}, or weights=none",
        ) from error


def check_fits(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], where: str | Path, model: str) -> None:
    """Make sure that weights have every tensor of a network, in its shape.

    Args:
        state: The weights; may have more than is wanted.
        wanted: Tensors of the right names and shapes, on any device.
        where: The file.
        model: What weights should have been given.

    Raises:
        AubenchError: One is missing or has another shape.
    """
    for name, value in wanted.items():
        found = tuple(state[name].shape) if name in state else "nothing"
        if found != tuple(value.shape):
            raise AubenchError(
                f"has {found} for '{name}' instead of {tuple(value.shape)}",
                where=where,
                hint=f"give weights of {model}",
            )
