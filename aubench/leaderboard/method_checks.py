"""Checks of a record against the catalogue of the built-in methods."""

from __future__ import annotations

import re
from collections.abc import Iterator

from aubench.core import landmarks as facial_points
from aubench.core import method_catalogue
from aubench.core.method_catalogue import MethodFacts, PresetFacts, cost_key
from aubench.core.protocol import Protocol
from aubench.leaderboard.records import Finding, StoredRecord
from aubench.results import record
from aubench.results.schema import INITIALISATION


def check_method(run: StoredRecord, protocol: Protocol) -> Iterator[Finding]:
    """Check title, fidelity, preset, recipe, modalities and cost of a built-in method, and pre-training of any.

    Args:
        run: Record.
        protocol: Its protocol, narrowed to its modalities.
    """
    for what in (*_own_pretraining(run, protocol), *_problems(run, protocol)):
        yield run.finding(record.FILE, what)


def _problems(run: StoredRecord, protocol: Protocol) -> Iterator[str]:
    info, method = run.info, run.info.method
    if info.is_submitted:
        if method.title != method.name:
            yield f"method.title: says {method.title}, that of submitted predictions is their name {method.name}"
        if method.modalities != protocol.modalities:
            yield "method.modalities: those of submitted predictions are those of the protocol"
        return
    if method.source != "builtin":
        if method.file is None:
            yield "method.file: a method that is not built in has the digest of its code"
        return
    facts = method_catalogue.builtin_facts().get(method.name)
    if facts is None:
        yield (
            f"method.source: the catalogue of built-in methods has no '{method.name}' "
            "(`aubench methods --catalogue methods/catalogue.json` writes it)"
        )
        return
    if method.file is not None:
        yield "method.file: a built-in method has none"
    for field in ("title", "fidelity"):
        if (stated := getattr(method, field)) != (expected := getattr(facts, field)):
            yield f"method.{field}: says {stated}, the card of {method.name} says {expected}"
    yield from _preset(run, protocol, facts)


def _preset(run: StoredRecord, protocol: Protocol, facts: MethodFacts) -> Iterator[str]:
    info, version = run.info, run.info.method.version or 1
    if version > facts.version:
        yield f"method.version: says {version}, the present version of {info.method.name} is {facts.version}"
        return
    presets = facts.presets_of(version)
    if info.preset not in presets:
        names = ", ".join(presets) or "none"
        yield f"preset: {info.method.name} version {version} has no preset '{info.preset}' (known: {names})"
        return
    trains_only = set(info.overrides) <= facts.training_fields
    disagreements = []
    for preset in presets[info.preset]:
        of_recipe, others = list(_recipe(run, preset)), []
        if trains_only and not of_recipe:  # overrides of the model change its cost
            others = [*_model(run, protocol, preset), *_pretraining(run, protocol, preset)]
        disagreements.append((of_recipe, others))
    of_recipe, others = min(disagreements, key=lambda pair: (len(pair[0]), len(pair[1])))
    yield from of_recipe + others


def _recipe(run: StoredRecord, preset: PresetFacts) -> Iterator[str]:
    info, expected = run.info, preset.recipe
    listed = "changed" if info.schema_version == 1 else "overrides"
    for name in sorted(info.recipe.keys() ^ expected.keys()):
        problem = "is missing" if name in expected else "is no value of this recipe"
        yield f"recipe.{name}: {problem}"
        return
    changed = preset.changed_values(info.recipe)
    for name, value in expected.items():
        if name in changed and name not in info.overrides:
            says = f"says {str(info.recipe[name])[:80]}, the preset {info.preset} has {value}"
            yield f"recipe.{name}: {says}; {listed} does not name it"
        elif name not in changed and name in info.overrides:
            yield f"{listed}: names {name}, which has the value of the preset {info.preset}"


def _model(run: StoredRecord, protocol: Protocol, preset: PresetFacts) -> Iterator[str]:
    info = run.info
    used, offered = preset.used.get(",".join(protocol.modalities)), ",".join(preset.used).split(",")
    if not {*protocol.modalities} <= {*offered}:  # modalities that data sets declare
        return
    if used is None:
        yield f"method.modalities: {info.method.name} does not support {', '.join(protocol.modalities)}"
        return
    if (stated := ",".join(info.method.modalities)) != used:
        yield f"method.modalities: says {stated}, {info.method.name} uses {used}"
        return
    compute = info.compute
    keys = (cost_key([used], len(protocol.aus), points) for points in (0, facial_points.COUNT))
    known = [preset.costs[key] for key in keys if key in preset.costs]
    if compute is None or not known:
        return
    actual = {name: (cost.macs, cost.parameters) for name, cost in {"total": compute.total, **compute.parts}.items()}
    if actual not in [dict(costs) for costs in known]:
        name = next((name for name in {**known[0], **actual} if actual.get(name) != known[0].get(name)), "total")
        text = " and ".join(f"{value:,} {unit}" for value, unit in zip(known[0].get(name, ()), _UNITS, strict=False))
        field = "total" if name == "total" else f"parts.{name}"
        yield f"compute.{field}: the preset {info.preset} of {info.method.name} has {text or 'no such part'}"


_UNITS = ("macs", "parameters")


def _own_pretraining(run: StoredRecord, protocol: Protocol) -> Iterator[str]:
    """Check source and data sets of the pre-training that the run did on the data of its protocol."""
    for i, item in enumerate(run.info.pretraining):
        if item.stage == INITIALISATION or item.run or item.store:
            continue
        if not re.fullmatch(f"{re.escape(run.info.method.name)} [0-9a-f]{{16}}", item.source):
            yield f"pretraining.{i}.source: says {item.source}, it is the method with the id of its pre-training"
        if unknown := sorted({*item.subjects} - protocol.subjects):
            yield f"pretraining.{i}.subjects: {unknown[0]} is no subject of the protocol"
            continue
        expected = sorted({protocol.dataset_of(subject) for subject in item.subjects})
        if list(item.datasets) != expected:
            stated = ", ".join(item.datasets) or "none"
            yield f"pretraining.{i}.datasets: says {stated}, the subjects are of {', '.join(expected) or 'none'}"


def _pretraining(run: StoredRecord, protocol: Protocol, preset: PresetFacts) -> Iterator[str]:
    info = run.info
    initial = [item for item in info.pretraining if item.stage == INITIALISATION and item.fold is None]
    sources = [(item.source, item.datasets) for item in initial]
    if sources != list(preset.sources):
        yield f"pretraining: states {len(sources)} initial weights, the preset {info.preset} has {len(preset.sources)}"
    if info.origins:  # weights of another run, or pre-training on another store
        return
    for fold in info.folds:
        items = [item for item in info.pretraining if item.fold == fold.fold and item.stage != INITIALISATION]
        if [item.stage for item in items] != list(preset.stages):
            stages = ", ".join(preset.stages) or "no stage"
            yield f"pretraining: fold {fold.fold} must have {stages} of the preset {info.preset}"
            continue
        for item in items:
            everyone = any(preset.stages.values())
            if {*item.subjects} != (protocol.subjects if everyone else {*fold.train}):
                yield f"pretraining: the subjects of {item.stage} in fold {fold.fold} are not those of its training"
