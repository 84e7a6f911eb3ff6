"""Id of a run: a digest of everything that determines its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aubench.core import hashing
from aubench.results.record_info import RecordInfo

_DIGITS = 16


def run_id(
    *,
    method: str,
    source: str,
    protocol: str,
    store: str,
    recipe: Mapping[str, Any],
    seed: int,
    selection: str,
    precision: str,
    search: Mapping[str, Any] | None = None,
    start: str | None = None,
    pretraining_store: str | None = None,
) -> str:
    """Return the id of a run: the first 16 hexadecimal digits of a SHA-256.

    Args:
        method: Name of the method.
        source: Version of its code, see :func:`source_of`.
        protocol: Digest of the protocol.
        store: Digest of the store.
        recipe: All recipe values. The digest of a file stands for its path.
        seed: Seed of the run.
        selection: Rule that chooses the scored epoch.
        precision: Precision of the arithmetic.
        search: Cost of the search that chose the recipe; None if there was no search.
        start: Id of the run whose weights the run starts from; None for those of the recipe.
        pretraining_store: Digest of the store of pre-training; None if it is that of the run.
    """
    parts: dict[str, Any] = {"method": method, "source": source, "protocol": protocol, "store": store}
    parts |= {"recipe": dict(recipe), "seed": seed, "selection": selection, "precision": precision}
    optional = {"search": search and dict(search), "start": start, "pretraining_store": pretraining_store}
    parts |= {name: value for name, value in optional.items() if value is not None}
    return hashing.hash_json(parts)[:_DIGITS]


def submission_id(*, name: str, protocol: str, store: str, seed: int, predictions: str) -> str:
    """Return the id of submitted predictions, whose training was not seen.

    Args:
        name: Name of the model.
        protocol: Digest of the protocol.
        store: Digest of the store.
        seed: Seed of the training.
        predictions: Digest of the predictions under clean inputs.
    """
    parts = {"name": name, "protocol": protocol, "store": store, "seed": seed, "predictions": predictions}
    return hashing.hash_json(parts)[:_DIGITS]


def source_of(source: str, version: int, code: str | None) -> str:
    """Return the version of a method's code: a digest, or the kind of origin with its version from 2 on.

    Args:
        source: Kind of origin.
        version: Version of a built-in method.
        code: Digest of the code of a method that is not built in.
    """
    return code or (source if version == 1 else f"{source} version {version}")


def id_of_record(info: RecordInfo) -> str:
    """Compute the id of a run from the content of its ``record.json``."""
    method = info.method
    if info.predictions is not None:
        return submission_id(
            name=method.name,
            protocol=info.protocol.digest,
            store=info.dataset.digest,
            seed=info.seed,
            predictions=info.predictions,
        )
    return run_id(
        method=method.name,
        source=source_of(str(method.source), method.version or 1, method.file),
        protocol=info.protocol.digest,
        store=info.dataset.digest,
        recipe={**info.recipe, **info.files},
        seed=info.seed,
        selection=info.selection,
        precision=info.device.precision if info.device else "",
        search=info.search.model_dump(mode="json") if info.search.tuned else None,
        start=next((item.run for item in info.pretraining if item.run), None),
        pretraining_store=next((item.store for item in info.pretraining if item.store), None),
    )
