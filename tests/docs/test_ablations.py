"""Every row of an ablation is a run of its own that its method accepts, in both presets."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from aubench.registry import find_method, find_protocol

PAGE = (Path(__file__).parents[2] / "docs/ablations.md").read_text()
TABLES = {
    title: body for title, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S) if "| `aub" in body
}


def recipe_of(command: str, preset: str) -> tuple[str, str, dict]:
    """Method, modalities and recipe values of a command; raises what the command would."""
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
    recipe = entry.method.Recipe.make(preset, changes)
    assert entry.method.refuses(protocol.task(recipe.crop), recipe) is None
    return entry.name, ",".join(protocol.modalities), recipe.model_dump(mode="json")


def test_the_tables_of_the_papers_are_there():
    assert [title.split(":")[0] for title in TABLES] == [
        "AMF, Table 4",
        "AMF, Table 3",
        "MCM, Table IV",
        "AU-vMAE, Table 3",
        "AU-vMAE, Table 4",
    ]


@pytest.mark.parametrize("preset", ["paper", "tiny"])
@pytest.mark.parametrize("title", TABLES)
def test_rows_are_different_runs_that_can_be_made(title, preset):
    commands = re.findall(r"\| `(aubench [^`]+)`", TABLES[title])
    found = [json.dumps(recipe_of(command, preset)) for command in commands]
    assert len(set(found)) == len(commands) > 1


def test_switches_named_in_the_text_exist():
    for title, method in (("AMF, Table 4: its parts", "amf"), ("MCM, Table IV: where channels are mixed", "mcm")):
        prose = re.sub(r"\|.*\|", "", TABLES[title])
        for key, value in re.findall(r"`(\w+)=(\w+)`", prose):
            find_method(method).method.Recipe.make("paper", {key: value})
