"""Commands that make an entry again, and its citation."""

from __future__ import annotations

import json
import re
import shlex
from functools import cache
from typing import Any

from aubench.core import suites
from aubench.core.conditions import CLEAN
from aubench.core.method_catalogue import builtin_facts
from aubench.core.registry import builtin_protocols, find_protocol
from aubench.leaderboard.entries import Entry
from aubench.leaderboard.preset_differences import preset_differences
from aubench.leaderboard.tables import percent
from aubench.results.record_info import RecordInfo

_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    character: f"\\{character}" for character in "&%$#_{}"
}
_DEFAULT_SELECTION, _DEFAULT_PRECISION = "inner_val", "32-true"
CPU_LIMITS = {"AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}}
"""Variables that limit a newer CPU to the instruction set of a record."""


def checkout_command(info: RecordInfo) -> str | None:
    """Return the commands that install the commit of a run and limit the CPU; None if the commit is not known."""
    commit = info.git.commit
    if commit is None:
        return None
    folder = f"../aubench-{commit[:8]}"
    install = "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e '.[train]'"
    limits = CPU_LIMITS.get(info.device.instructions or "", {}) if info.device else {}
    export = "".join(f" {name}={value}" for name, value in limits.items())
    return f"git worktree add {folder} {commit}\ncd {folder} && {install}" + (export and f"\nexport{export}")


def run_command(entry: Entry) -> str:
    """Return the command that makes the runs of an entry again, or one for each seed that scores its predictions."""
    info = entry.info
    seeds = [str(run.info.seed) for run in entry.runs]
    if info.is_submitted:
        words = ["aubench", "score", "PREDICTIONS", "--protocol", info.protocol.name, "--name", info.method.name]
        words += ["--modalities", ",".join(info.method.modalities), "--seed"]
        return "\n".join(shlex.join([*words, seed]) for seed in seeds)
    source = info.method.name if info.method.source != "path" else f"{info.method.name}.py"
    words = ["aubench", "run", "--method", source, "--protocol", info.protocol.name]
    words += [*_device_words(info), "--preset", info.preset, "--seed", ",".join(seeds)]
    for name in _changed(info):
        words += ["--set", f"{name}={value_text(info.recipe[name])}"]
    if info.protocol.modalities != _installed_modalities(info.protocol.name):
        words += ["--modalities", ",".join(info.protocol.modalities)]
    if info.selection != _DEFAULT_SELECTION:
        words += ["--selection", info.selection]
    if info.device and info.device.precision != _DEFAULT_PRECISION:
        words += ["--precision", info.device.precision]
    for start in dict.fromkeys(item.run for run in entry.runs for item in run.info.pretraining if item.run):
        words += ["--from-run", start]
    for name in dict.fromkeys(name for item in info.pretraining if item.store for name in item.datasets):
        words += ["--pretrain-on", name]
    return ".venv/bin/" + shlex.join(words)


def robustness_commands(entry: Entry) -> list[str]:
    """Return the commands that evaluate the runs again under their conditions, one for each suite."""
    info = entry.info
    left = set(info.conditions) - {str(CLEAN)}
    if info.is_submitted or not left:
        return []
    words = [".venv/bin/aubench", "robustness", "--method", entry.name, "--protocol", info.protocol.name]
    words += _device_words(info)
    names = []
    for name in suites.builtin_suites():
        conditions = set(map(str, suites.find_suite(name).conditions(info.method.modalities)))
        if conditions & left and conditions <= set(info.conditions):
            names.append(name)
            left -= conditions
    names += ["SUITE.toml"] if left else []
    return [shlex.join([*words, "--suite", name]) for name in names]


def papers(entry: Entry) -> list[str]:
    """Return the citation of the paper of a built-in method; none for other methods."""
    facts = builtin_facts().get(entry.name) if entry.info.method.source == "builtin" else None
    return [facts.paper] if facts else []


def bibtex(entry: Entry) -> str:
    """Return a BibTeX entry with all that a number needs to be meaningful."""
    info = entry.info
    year = (info.time.started[:4] if info.time else None) or ""
    runs = ", ".join(run.info.run for run in entry.runs)
    changes = "".join(f", {name}={value_text(info.recipe[name])}" for name in _changed(info))
    commits = ", ".join(dict.fromkeys(run.info.git.commit or "unknown" for run in entry.runs))
    note = (
        f"Preset {info.preset}{changes}; selection {info.selection}; seeds "
        f"{', '.join(str(run.info.seed) for run in entry.runs)} (runs {runs}); aubench at {commits}; store "
        f"{info.dataset.name} {info.dataset.version} {info.dataset.digest[:12]}"
        + "".join(f". Method: {paper}" for paper in papers(entry))
    )
    title = (
        f"{{{latex(info.method.title)}}} on {{{latex(info.protocol.name)}}} version {info.protocol.version}: "
        f"{latex(f'{percent(entry.f1)} % F1')}"
    )
    fields = {
        "title": title,
        "author": "{aubench contributors}",
        "howpublished": "Leaderboard of aubench",
        "note": latex(note),
        **({"year": year} if year else {}),
    }
    key = re.sub(r"\W", "_", f"aubench_{entry.name}_{info.run[:8]}")
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
    return f"@misc{{{key},\n{lines}}}"


def latex(text: str) -> str:
    """Escape the characters that LaTeX treats as commands."""
    return "".join(_LATEX.get(character, character) for character in text)


def _device_words(info: RecordInfo) -> list[str]:
    """Return the option that keeps a run of a CPU from a GPU, which rounds differently."""
    return ["--device", "cpu"] if info.device and info.device.kind == "cpu" else []


def _changed(info: RecordInfo) -> tuple[str, ...]:
    """Return the names of recipe values to set, all of an old tuned recipe.

    They are those that differed from the preset of the run, and those that differ from the present one.
    """
    if info.search.tuned and not info.overrides:
        return tuple(info.recipe)
    names = dict.fromkeys([*info.overrides, *sorted(preset_differences(info))])
    return tuple(name for name in names if name in info.recipe)


def value_text(value: Any) -> str:
    """Format a recipe value as ``--set`` reads it: as JSON, or a text that is not valid JSON as it is."""
    is_plain = isinstance(value, str) and not _is_json(value)
    return value if is_plain else json.dumps(value, sort_keys=True)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@cache
def _installed_modalities(protocol: str) -> tuple[str, ...] | None:
    return tuple(find_protocol(protocol).modalities) if protocol in builtin_protocols() else None
