"""``aubench methods`` and ``aubench protocols``: what there is to compare, and under which rules."""

from __future__ import annotations

import typer


def methods() -> None:
    """List the methods: modalities, fidelity, parameters of the paper's recipe, paper."""
    from tabulate import tabulate

    from aubench import registry
    from aubench.engine.flops import count
    from aubench.task import Modality, Task

    rows = []
    for name in registry.method_names():
        method = registry.find_method(name).method
        recipe = method.Recipe.make("paper", {})
        offered = Task(tuple(Modality), tuple(range(1, 13)), recipe.crop)
        task = Task(method.uses(offered, recipe), offered.aus, offered.image_size)
        parameters = count(method, task, recipe).total.parameters
        letters = "+".join(m.letter for m in task.modalities)
        rows.append((name, letters, method.card.fidelity, f"{parameters / 1e6:.1f} M", method.card.paper))
    typer.echo(tabulate(rows, ["method", "modalities", "fidelity", "parameters", "paper"], "github"))


def protocols() -> None:
    """List the protocols: version, modalities, folds, digest."""
    from tabulate import tabulate

    from aubench import registry

    found = [registry.find_protocol(name) for name in registry.builtin_protocols()]
    rows = [
        (
            p.name,
            p.version,
            "+".join(m.letter for m in p.modalities),
            len(p.folds),
            len(p.subjects),
            p.digest[:12],
            p.title,
        )
        for p in found
    ]
    typer.echo(tabulate(rows, ["protocol", "version", "modalities", "folds", "subjects", "digest", "title"], "github"))
