"""Values that pydantic refuses, described in plain words wherever a user states them."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aubench.core.errors import RecipeError
from aubench.core.registry import builtin_protocols, find_method
from aubench.core.value_problems import problem, problem_with_value

RAW = re.compile(
    r"nput should|alid string|alid integer|Extra inputs|Field required|unable to|alidation error|tuple|pydantic"
)
"""Words of pydantic."""


def refused(answer, *parts: str) -> None:
    assert answer.code == 2, answer
    line = answer.err.splitlines()[-1]
    assert line.startswith("aubench: ") and not RAW.search(answer.err), answer.err
    assert all(part in line for part in parts), line


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("epochs=0", "recipe key 'epochs': must be at least 1 (got '0')"),
        ("epochs=many", "recipe key 'epochs': must be a whole number (got 'many')"),
        ("epochs=1.5", "recipe key 'epochs': must be a whole number (got '1.5')"),
        (f"epochs={'1' * 5000}", "recipe key 'epochs': must be a whole number (got '1111"),
        ("learning_rate=0", "recipe key 'learning_rate': must be above 0 (got '0')"),
        ("learning_rate=nan", "recipe key 'learning_rate': must be a finite number (got 'nan')"),
        ("learning_rate=fast", "recipe key 'learning_rate': must be a number (got 'fast')"),
        ("learning_rate_schedule=flat", "must be 'constant' or 'triangular' (got 'flat')"),
        ("flip=maybe", "recipe key 'flip': must be true or false (got 'maybe')"),
    ],
)
def test_values_of_recipes(words, part):
    key, _, value = words.partition("=")
    with pytest.raises(RecipeError) as raised:
        find_method("amf").method_class.Recipe.from_preset("tiny", {key: value})
    message = str(raised.value)
    assert part in message and not RAW.search(message) and len(message) < 200, message


def test_the_pattern_of_a_recipe_has_its_description():
    with pytest.raises(RecipeError) as raised:
        find_method("au_vmae").method_class.Recipe.from_preset("tiny", {"minority_aus": "one"})
    assert "(got 'one'); FACS numbers of rare AUs. Empty is 1,2,9 for" in str(raised.value)


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("version = 1", "version = 0", "key 'version': must be at least 1 (got 0)"),
        ("version = 1", 'version = "first"', "key 'version': must be a whole number (got 'first')"),
        ("version = 1\n", "", "key 'version': is missing"),
        ('name = "synth_3fold"', 'name = "My lab"', "key 'name': 'My lab' is not a name; use 1 to 64 letters a to z"),
        ('title = "', f'title = "{"x" * 200}', "key 'title': must have at most 200 characters"),
        ("aus = [", "aus = 1 #", "key 'aus': must be a list (got 1)"),
        ("aus = [1,", 'aus = ["one",', "key 'aus.0': must be a whole number (got 'one')"),
        ('"fixed:0.5"', '"fixed:0.4"', "key 'threshold': must be 'fixed:0.5' (got 'fixed:0.4')"),
        ("fraction = 0.2", "fraction = 0.7", "key 'validation.fraction': must be below 0.5 (got 0.7)"),
        ("validation = {", "validation = 3 #", "key 'validation': must be a table (got 3)"),
        ("candidates", "candidate", "unknown key 'validation.candidate'"),
        ('labels = "occurrence"', "labels = 2", "key 'labels': must be text (got 2)"),
    ],
)
def test_keys_of_protocols(call, tmp_path, old, new, part):
    text = builtin_protocols()["synth_3fold"].read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "own.toml").write_text(text.replace(old, new, 1))
    refused(call("run", "--no-track", "--method", "amf", "--protocol", "own.toml"), "own.toml: ", part)


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("version = 1", "version = 0", "key 'version': must be at least 1 (got 0)"),
        ("version = 1\n", "", "key 'version': is missing"),
        ("version = 1", "version = 1\nversions = 2", "unknown key 'versions'; did you mean 'version'?"),
        ('name = "amf"', 'name = "My lab"', "key 'name': 'My lab' is not a name"),
        ("[[noise]]", "[[noisy]]", "unknown key 'noisy'; did you mean 'noise'?"),
        (
            "[[noise]]",
            "[[blur]]",
            "unknown key 'blur'; known: mask, missing, name, noise, title, version; --plugin FILE loads others",
        ),
        ('which = "each"', 'which = "all"', "key 'missing.0.which': must be 'each' or 'subsets' (got 'all')"),
        ("sigma = [0.1", 'sigma = ["low"', "key 'noise.0.sigma.0': must be a number (got 'low')"),
        ("sigma = [0.1, 0.2, 0.5, 0.8]", "sigma = []", "key 'noise.0.sigma': must have at least 1 entry"),
        ("[[noise]]", "[noise]", "key 'noise': must be a list"),
    ],
)
def test_keys_of_suites(call, tmp_path, fake_run, old, new, part):
    fake_run()
    text = resources.files("aubench.protocols").joinpath("suites", "amf.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "own.toml").write_text(text.replace(old, new, 1))
    refused(call("robustness", "--suite", "own.toml", "--runs", tmp_path / "runs"), "own.toml: ", part)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("synth", "--size", "2000"), "--size: must be at most 256 (got '2000')"),
        (("synth", "--subjects", "0"), "--subjects: must be at least 1 (got '0')"),
        (("disfa", "--camera", "top"), "--camera: cannot be 'top'; it must be 'left' or 'right'"),
    ],
)
def test_options_of_data_sets(call, words, part):
    name, *options = words
    source = [] if name == "synth" else ["--source", "."]
    refused(call("data", "prepare", name, *source, "--store", "new", *options), part)
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("profile", "--method", "amf", "--steps", "many"), "--steps: must be a whole number (got 'many')"),
        (("run", "--method", "amf", "--devices", "1.5"), "--devices: must be a whole number (got '1.5')"),
        (("run", "--method", "amf", "--devices", "9" * 5000), "--devices: must be a whole number (got '9999"),
        (("run", "--method", "amf", "--nodes", "0"), "--nodes: must be at least 1 (got '0')"),
        (("run", "--method", "amf", "--gpus-per-fold", "half"), "--gpus-per-fold: must be a number (got 'half')"),
        (("data", "prepare", "synth", "--frames", "1"), "--frames: must be at least 32 (got '1')"),
    ],
)
def test_options_with_numbers(call, words, part):
    refused(call(*words), part)
    assert not list(Path().iterdir())


class Model(BaseModel):
    """One field of each kind."""

    model_config = ConfigDict(extra="forbid")

    count: int = Field(0, multiple_of=2, le=8)
    word: Literal["a", "b"] = "a"
    code: Annotated[str, Field(pattern="^x$", min_length=1)] = "x"
    path: Path = Path()
    pair: tuple[int, int] = (0, 0)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"count": 3}, "must be a multiple of 2 (got 3)"),
        ({"count": 10}, "must be at most 8 (got 10)"),
        ({"count": 0.5}, "must be a whole number (got 0.5)"),
        ({"word": 3}, "must be 'a' or 'b' (got 3)"),
        ({"code": ""}, "must have at least 1 character (got '')"),
        ({"code": "y"}, "must match the pattern ^x$ (got 'y')"),
        ({"code": [1] * 100}, "must be text"),
        ({"path": 3}, "must be a path (got 3)"),
        ({"pair": [1]}, "is missing"),
        ({"pair": [1, 2, 3]}, "must have at most 2 entries"),
        ({"other": 1}, "is no known key"),
    ],
)
def test_every_kind_has_words(values, words):
    with pytest.raises(ValidationError) as raised:
        Model(**values)
    assert problem_with_value(raised.value.errors()[0]) == words
    assert problem(raised.value.errors()[0]) == words.partition(" (got")[0]
