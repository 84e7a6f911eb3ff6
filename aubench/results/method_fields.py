"""Check that a record can hold what a method says of itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from aubench.core.errors import UsageError
from aubench.core.recipe import PretrainingSource
from aubench.results.schema import INITIALISATION, MethodInfo, Pretraining


def source_fields(sources: Iterable[PretrainingSource]) -> list[dict[str, Any]]:
    """Return the fields ``pretraining`` of a record for initial weights."""
    return [{"stage": INITIALISATION, "source": s.source, "datasets": list(s.datasets)} for s in sources]


def require_recordable(method: Mapping[str, Any], sources: Iterable[PretrainingSource], where: str) -> None:
    """Check the name and title of a method, and the sources of its initial weights.

    Args:
        method: Field ``method`` of the record.
        sources: Sources of the initial weights.
        where: Method, for the error.

    Raises:
        UsageError: A record cannot hold one of them.
    """
    try:
        MethodInfo.model_validate_json(json.dumps(method))
    except ValidationError as error:
        what = f"has a {error.errors()[0]['loc'][0]} that no record can hold"
        hint = "names have letters, digits, '_' and '-', titles one line of 300 characters at most"
        raise UsageError(what, where=where, hint=hint) from None
    for fields in source_fields(sources):
        try:
            Pretraining.model_validate_json(json.dumps(fields, default=repr))
        except ValidationError:
            what = f"has a source of pre-training that no record can hold: {fields['source']!r}, {fields['datasets']!r}"
            hint = "sources and data sets are one line of 300 characters at most"
            raise UsageError(what, where=where, hint=hint) from None
