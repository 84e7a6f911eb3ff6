"""Protocols with two folds over a few subjects."""

from __future__ import annotations

import json
from collections.abc import Sequence


def two_folds(
    name: str,
    dataset: str,
    first: Sequence[str],
    second: Sequence[str],
    modalities: Sequence[str] = ("visual", "depth"),
    candidates: int = 20,
) -> str:
    """Return a protocol in TOML, of AU 6 and 12, in which each of two parts is tested once."""
    parts = "\n".join(f"{part} = {json.dumps(list(names))}" for part, names in (("a", first), ("b", second)))
    return f"""
name = "{name}"
version = 1
title = "Two folds"
dataset = "{dataset}"
modalities = {json.dumps(list(modalities))}
aus = [6, 12]
labels = "occurrence"
threshold = "fixed:0.5"
preset = "tiny"
validation = {{ fraction = 0.4, candidates = {candidates} }}
[parts]
{parts}
[[folds]]
train = ["a"]
test = ["b"]
[[folds]]
train = ["b"]
test = ["a"]
"""
