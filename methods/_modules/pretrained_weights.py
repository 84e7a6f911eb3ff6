# Installed as aubench.methods._modules.pretrained_weights.
"""Initial weights from a model hub or a safetensors file, without unpickling."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aubench import AubenchError, PretrainingSource

if TYPE_CHECKING:
    from torch import Tensor

FILE = "model.safetensors"
"""Name of the weights file in a hub repository."""


def load(source: str | Path, choices: str = "'imagenet', 'none'") -> dict[str, Tensor]:
    """Load the tensors of a safetensors file.

    Args:
        source: Path of the file.
        choices: Values accepted instead of a path, for the error message.

    Raises:
        AubenchError: The file does not exist or has another format.
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
    """Return the path of a hub repository's weights. Download them if necessary.

    Args:
        repository: Name of the repository.
        what: Description of the weights for the error message.

    Raises:
        AubenchError: The weights are not in the cache and cannot be downloaded.
    """
    import huggingface_hub as hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(hub.hf_hub_download(repository, FILE, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    try:
        hub.get_hf_file_metadata(hub.hf_hub_url(repository, FILE))  # fails fast, while a download would retry
        return Path(hub.hf_hub_download(repository, FILE))
    except Exception as error:  # network failures have many types
        raise AubenchError(
            f"cannot be downloaded ({type(error).__name__})",
            where=what,
            hint=f"set weights=PATH to {FILE} of {repository}, or weights=none",
        ) from error


def sources(weights: str, published: Mapping[str, tuple[str, str]]) -> tuple[PretrainingSource, ...]:
    """Return the sources of initial weights, none for random weights.

    Args:
        weights: 'none', a key of ``published`` or a file.
        published: Repository and training data of published weights by name.
    """
    if weights == "none":
        return ()
    repository, dataset = published.get(weights, (Path(weights).name, "unknown"))
    return (PretrainingSource(repository, (dataset,)),)


def check_fits(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str | Path, model: str) -> None:
    """Check that weights contain every tensor of a network in its shape.

    Args:
        state: Weights, possibly with additional tensors.
        expected: Tensors of the network, on any device.
        where: Path of the file.
        model: Description of the expected weights for the error message.

    Raises:
        AubenchError: A tensor is missing or has another shape.
    """
    for name, value in expected.items():
        shape = tuple(state[name].shape) if name in state else "nothing"
        if shape != tuple(value.shape):
            raise AubenchError(
                f"has {shape} for '{name}' instead of {tuple(value.shape)}",
                where=where,
                hint=f"give weights of {model}",
            )
