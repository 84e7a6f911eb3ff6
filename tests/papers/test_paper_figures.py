"""Figures of papers: every one that is asked for is made, or named with the reason why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aubench.core.registry import find_protocol
from aubench.data.store import Store
from aubench.papers.exhibits import Exhibit, find_exhibits
from aubench.papers.paper_figures import FIGURES
from aubench.papers.row_specs import ReproductionConfig, resolve_row
from aubench.runs.run_options import RunOptions
from aubench.runs.store_ref import StoreRef

ROOT = Path(__file__).parents[2] / "leaderboard"
UNTRAINED = ("amf-figure-2", "amf-figure-3", "mcm-figure-1", "au-vmae-figure-3", "au-vmae-figure-5")
TRAINED = ("mcm-supplement-figure-1", "mcm-supplement-figure-2")
IMPOSSIBLE = ("mcm-figure-5", "mcm-supplement-figure-3")


@pytest.fixture
def config_on(small_store) -> Callable[..., ReproductionConfig]:
    def make(protocol: str = "synth_3fold", preset: str = "tiny") -> ReproductionConfig:
        reference = StoreRef.from_store(Store(small_store))
        return ReproductionConfig(find_protocol(protocol), RunOptions(preset), (0,), reference, ())

    return make


def exhibit(name: str) -> Exhibit:
    return find_exhibits(ROOT, [name])[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", UNTRAINED)
def test_a_figure_of_inputs_or_labels_is_drawn_without_training(config_on, tmp_path, name):
    config = config_on()
    rows = exhibit(name).resolve(config)
    assert rows and not any(row.runs or row.reason for row in rows)
    said: list[str] = []
    paths = exhibit(name).write(rows, config, tmp_path, "markdown", said.append)
    assert [path.name for path in paths] == [f"{name}.png", f"{name}.svg"] and not said
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_figure_of_disfa_says_why_it_is_not_made(config_on, tmp_path, name):
    config, said = config_on(), []
    rows = exhibit(name).resolve(config)
    assert exhibit(name).write(rows, config, tmp_path, "markdown", said.append) == []
    (number,) = exhibit(name).numbers(rows, config)
    assert "DISFA" in number.reason and number.measured is None
    assert FIGURES[name].reason in exhibit(name).title and "\n" not in exhibit(name).title


def test_every_figure_of_the_papers_has_a_name():
    names = {
        *(f"amf-figure-{i}" for i in range(1, 6)),
        *(f"mcm-figure-{i}" for i in range(1, 7)),
        *(f"mcm-supplement-figure-{i}" for i in range(1, 4)),
        *(f"au-vmae-figure-{i}" for i in range(1, 7)),
        *(f"au-vmae-appendix-figure-{i}" for i in (1, 2)),
    }
    assert {name for name in find_exhibits(ROOT) if "figure" in name} == names


@pytest.mark.parametrize("name", TRAINED)
def test_the_supplement_takes_five_channels(config_on, name):
    rows = [resolve_row(spec, config_on()) for spec in FIGURES[name].rows(config_on())]
    configs = [config for row in rows for config in row.configs]
    assert {config.protocol.name for config in configs} == {"synth_vdt_3fold"}
    assert {config.task.channels for config in configs} == {5}
    only_bp4d = config_on("bp4d_3fold", "paper")
    reasons = [resolve_row(spec, only_bp4d).reason for spec in FIGURES[name].rows(only_bp4d)]
    assert all("needs a protocol of bp4dplus" in reason for reason in reasons)


def test_the_supplement_is_of_the_second_version_at_full_size(config_on):
    config = config_on("synth_vdt_3fold", "paper")
    rows = [resolve_row(spec, config) for spec in FIGURES["mcm-supplement-figure-1"].rows(config)]
    recipes = [config.recipe for row in rows for config in row.configs]
    epochs = [r["pretrain_checkpoint"] for r in recipes if r["inputs"] == "visual" and r["pretrain_epochs"] == 100]
    assert epochs == [25, 50, 75, 100] and sum(r["pretrain_epochs"] == 0 for r in recipes) == 1
    assert [r["mask"] for r in recipes if r["inputs"] == "mixed"] == [0.25, 0.5, 0.75, 0.9]
    assert all(r["pretrain_checkpoint"] == 100 for r in recipes if r["inputs"] == "mixed")


def test_clips_of_rare_aus_raise_the_share_of_rare_aus(config_on):
    from aubench.papers import untrained_figures

    (row,) = exhibit("au-vmae-figure-5").resolve(config_on())
    before, after = untrained_figures.label_shares(row.configs[0])
    aus = row.configs[0].protocol.aus
    rare = [aus.index(au) for au in (1, 2, 4, 15, 23, 24)]
    assert before.shape == after.shape == (len(aus),)
    assert (after[rare] > before[rare]).all() and np.all((before > 0) & (after < 1))
