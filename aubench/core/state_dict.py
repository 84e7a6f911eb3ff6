"""State dicts as named tensors and JSON data, for files without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from aubench.core.errors import MethodError


def split_state(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split a state dict into tensors and JSON data.

    Args:
        state: State dict of a module. Extra state may nest tensors, numbers, texts, lists, tuples and dicts.

    Returns:
        Contiguous tensors on the CPU that share no memory, and the other values as JSON data, both by name.

    Raises:
        MethodError: The extra state has a value of another type.
    """
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    storages: set[int] = set()

    def add(name: str, tensor: Tensor) -> None:
        copy = tensor.detach().cpu().contiguous()
        storage = copy.untyped_storage().data_ptr()
        tensors[name] = copy.clone() if storage in storages else copy
        storages.add(storage)

    def encode(name: str, value: Any) -> Any:
        match value:
            case Tensor():
                add(name, value)
                return {"tensor": name}
            case None | bool() | int() | float() | str():
                return value
            case list() | tuple():
                return {type(value).__name__: [encode(f"{name}.{i}", item) for i, item in enumerate(value)]}
            case dict():
                return {"dict": encode(name, [[key, item] for key, item in value.items()])["list"]}
        raise MethodError(
            f"extra state '{name}' has the type {type(value).__name__}, which no checkpoint can hold",
            hint="return tensors, numbers, texts, lists, tuples and dicts from get_extra_state",
        )

    for name, value in state.items():
        if isinstance(value, Tensor):
            add(name, value)
        else:
            plain[name] = encode(name, value)
    return tensors, plain


def join_state(tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state dict that :func:`split_state` split."""
    state: dict[str, Any] = dict(tensors)

    def decode(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        if kind == "tensor":
            return state.pop(content)
        if kind == "dict":
            return dict(map(decode, content))
        return tuple(map(decode, content)) if kind == "tuple" else list(map(decode, content))

    return state | {name: decode(value) for name, value in plain.items()}
