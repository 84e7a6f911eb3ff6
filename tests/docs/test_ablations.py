"""Rows of the ablations: distinct runs that their methods support, in both presets."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from aubench.core.registry import find_method, find_protocol

PAGE = (Path(__file__).parents[2] / "docs/ablations.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
TABLES = {title: body for title, body in SECTIONS.items() if "| `aub" in body}
METHODS = {
    "AMF, Table 4: its parts": ("late_fusion", "amf"),
    "AMF, Table 3: its modalities": ("early_fusion", "late_fusion", "amf"),
    "MCM, Table IV: where channels are mixed": ("mcm",),
    "AU-vMAE, Table 3: knowledge and levels": ("au_vmae",),
    "AU-vMAE, Table 4: clips of rare AUs": ("au_vmae",),
    "CAM, MTUT, MFT": ("cam", "mtut", "mft"),
}
"""Methods of each section's table, or of the switches in its text."""
NO_PROSE = ("AMF, Table 3: its modalities", "AU-vMAE, Table 4: clips of rare AUs")
"""Sections that name switches in their tables alone, or none."""


def recipe_of(command: str, preset: str) -> tuple[str, str, dict]:
    """Return method, modalities and recipe values of a command; raises the command's errors."""
    words = shlex.split(command)
    given = dict(zip(words[2::2], words[3::2], strict=True))
    pairs = [value.split("=") for name, value in zip(words[2::2], words[3::2], strict=True) if name == "--set"]
    changes = {
        key: json.loads(value) if value[0].isdigit() or value in ("true", "false") else value for key, value in pairs
    }
    protocol = find_protocol(given["--protocol"])
    if "--modalities" in given:
        protocol = protocol.narrowed(tuple(given["--modalities"].split(",")))
    entry = find_method(given["--method"])
    recipe = entry.method_class.Recipe.from_preset(preset, changes)
    assert entry.method_class.unsupported_reason(protocol.task(recipe.crop), recipe) is None
    return entry.name, ",".join(protocol.modalities), recipe.model_dump(mode="json")


def test_every_ablation_table_exists():
    assert [title.split(":")[0] for title in TABLES] == [
        "AMF, Table 4",
        "AMF, Table 3",
        "MCM, Table IV",
        "AU-vMAE, Table 3",
        "AU-vMAE, Table 4",
    ]


@pytest.mark.parametrize("preset", ["paper", "tiny"])
@pytest.mark.parametrize("title", TABLES)
def test_rows_are_different_supported_runs(title, preset):
    commands = re.findall(r"\| `(aubench [^`]+)`", TABLES[title])
    recipes = [json.dumps(recipe_of(command, preset)) for command in commands]
    assert len(set(recipes)) == len(commands) > 1


def test_tables_run_their_methods():
    for title, body in TABLES.items():
        assert set(re.findall(r"--method (\w+)", body)) == set(METHODS[title])


def test_each_fusion_has_four_sets_of_modalities():
    for method in METHODS["AMF, Table 3: its modalities"]:
        assert len(re.findall(rf"--method {method}\b", TABLES["AMF, Table 3: its modalities"])) == 4


def switches(title: str) -> list[tuple[str, str]]:
    """Field and value of each switch in the text around a section's table."""
    return re.findall(r"`(\w+)=([\w.]+)`", re.sub(r"\|.*\|", "", SECTIONS[title]))


def test_every_section_is_known():
    assert list(SECTIONS) == list(METHODS)
    assert tuple(title for title in METHODS if not switches(title)) == NO_PROSE


@pytest.mark.parametrize("title", [title for title in METHODS if title not in NO_PROSE])
def test_switches_named_in_the_text_exist(title):
    named = switches(title)
    assert named
    recipes = [find_method(method).method_class.Recipe for method in METHODS[title]]
    for key, value in named:
        owners = [recipe for recipe in recipes if key in recipe.model_fields]
        assert owners, f"no method has {key}"
        for recipe in owners:
            recipe.from_preset("paper", {key: value})
