"""Run configurations from names and options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench._util.progress import count_progress, print_line
from aubench.core.user_paths import expand_home, user_path

if TYPE_CHECKING:
    from aubench.core.protocol import Protocol
    from aubench.data.store import Store
    from aubench.runs.config import RunConfig
    from aubench.runs.run_options import RunOptions

AnyPath = str | Path
AnyPaths = AnyPath | Sequence[AnyPath]
"""One path or several."""
Stores = AnyPaths | Mapping[str, AnyPath] | None
"""Folders of stores, one for each data set; ``NAME=DIR`` or a mapping from names to folders also names the data sets.
None is the default folders."""
Names = str | Sequence[str]
"""One name or several; a string may hold several separated by commas."""
Seeds = int | str | Sequence[int]
"""One seed or several; a string may hold several separated by commas."""
Numbers = float | str | Sequence[float]
"""One number or several; a string may hold several separated by commas."""


def open_data(protocol: Protocol, store: Stores) -> Store:
    """Open the store of each data set of a protocol; generate that of a synthetic one if it does not exist.

    Args:
        protocol: Protocol.
        store: Folders, see :func:`aubench.datasets.catalog.find_stores`.

    Returns:
        The store, joined if the protocol is on several data sets.
    """
    from aubench.datasets.catalog import open_stores

    with count_progress(f"{protocol.data_name}: sequences generated") as progress:
        return open_stores(protocol.datasets, store, progress)


def writable_runs(runs: AnyPath) -> Path:
    """Return the folder of all runs, which may not exist.

    Raises:
        UsageError: It is a file.
        DataError: It cannot be written.
    """
    from aubench._util.output_paths import check_output_folder

    folder = user_path(runs)
    check_output_folder(folder, "give the folder of all runs")
    return folder


def check_seeds(seeds: Seeds) -> list[int]:
    """Return the distinct seeds.

    Raises:
        UsageError: A seed is not an integer from 0 to the largest that a record can hold.
    """
    from aubench.core.errors import UsageError
    from aubench.results.field_types import MAX_COUNT

    hint = "use whole numbers such as 0 or 0,1,2"
    if isinstance(seeds, str):
        words = split_names(seeds)
        if not all(word.isascii() and word.isdigit() for word in words):
            raise UsageError(f"'{seeds}' is not a seed", where="--seed", hint=hint)
        try:
            seeds = [int(word) for word in words]
        except ValueError:  # thousands of digits
            raise UsageError(f"one is larger than {MAX_COUNT}", where="--seed", hint=hint) from None
    try:
        values: list[Any] = list(seeds) if isinstance(seeds, Iterable) else [seeds]
    except TypeError:  # an array without dimensions
        values = [seeds]
    for seed in values:
        if not _is_whole(seed) or seed < 0:
            raise UsageError(f"'{seed}' is not a seed", where="--seed", hint=hint)
        if seed > MAX_COUNT:
            raise UsageError(f"one is larger than {MAX_COUNT}", where="--seed", hint=hint)
    if not values:
        raise UsageError("no seed", where="--seed", hint=hint)
    return list(dict.fromkeys(map(int, values)))


def check_seed(seed: int) -> int:
    """Return a single seed.

    Raises:
        UsageError: It is not as of :func:`check_seeds`, or there are several.
    """
    from aubench.core.errors import UsageError

    if not _is_whole(seed):
        raise UsageError(f"{seed!r} is not a seed", where="--seed", hint="use a whole number such as 0")
    return check_seeds(seed)[0]


def check_count(count: int, option: str) -> int:
    """Return a number of things as a Python integer.

    Args:
        count: Number.
        option: Option to name in the error.

    Raises:
        UsageError: It is no whole number from 1 on.
    """
    from aubench.core.errors import UsageError

    if not _is_whole(count) or count < 1:
        raise UsageError(f"cannot be {count!r}", where=option, hint="give a whole number, 1 or more")
    return int(count)


def _is_whole(number: object) -> bool:
    """Return whether a value is a whole number of Python or NumPy, and no truth value."""
    return isinstance(number, Integral) and not isinstance(number, bool)


def check_overrides(overrides: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return recipe values with ``~`` expanded, as in the arguments of commands.

    Raises:
        UsageError: They are no dictionary.
    """
    from aubench.core.errors import UsageError

    if overrides is None or isinstance(overrides, Mapping):
        values = (overrides or {}).items()
        return {name: expand_home(value) if isinstance(value, str) else value for name, value in values}
    raise UsageError(f"{overrides!r} is no dictionary", where="overrides", hint='give e.g. {"epochs": 20}')


def parse_numbers(numbers: Numbers, option: str, what: str, hint: str) -> list[float]:
    """Return numbers.

    Args:
        numbers: Numbers, or text with numbers separated by commas.
        option: Option to name in the error.
        what: Description of the numbers.
        hint: Hint of the error.

    Raises:
        UsageError: A word is not a number.
    """
    from aubench.core.errors import UsageError

    if isinstance(numbers, int | float):
        numbers = [numbers]
    try:
        words = numbers.split(",") if isinstance(numbers, str) else list(numbers)
        if any(isinstance(word, bool) for word in words):
            raise TypeError
        return [float(word) for word in words]
    except (ValueError, TypeError):
        raise UsageError(f"'{numbers}' is not a list of {what}", where=option, hint=hint) from None


def split_names(names: Names) -> list[str]:
    """Return single names.

    Raises:
        UsageError: A value is no text, e.g. the class of a method.
    """
    from aubench.core.errors import UsageError

    words = names.split(",") if isinstance(names, str) else names
    is_iterable = isinstance(words, Iterable) and not isinstance(words, type)
    if not is_iterable or not all(isinstance(word, str | Path) for word in words):
        raise UsageError(f"{names!r} is no name", hint="give names, and for a method of your own the path of its file")
    return [str(word).strip() for word in words]


def find_narrowed(protocol: str, modalities: Names | None) -> Protocol:
    """Return a protocol, narrowed to some modalities unless None.

    Raises:
        UsageError: There is no such protocol or modality.
    """
    from aubench.core import registry

    return registry.find_protocol(protocol, None if modalities is None else split_names(modalities))


def select_methods(methods: Names, protocol: Protocol, options: RunOptions) -> list[str]:
    """Return the methods' names, for ``all`` those that support the protocol; print why others are skipped.

    Raises:
        UsageError: There is no such method, none is named, or none supports the protocol.
        RecipeError: A recipe has no such preset, key or value.
    """
    from aubench.core import registry
    from aubench.core.errors import UsageError

    names = list(dict.fromkeys(split_names(methods)))
    if not names:
        raise UsageError("names none", where="--method", hint="give one or more, or all")
    if names != ["all"]:
        for name in names:
            registry.find_method(name)
        return names
    supported = []
    builtin = registry.builtin_methods()
    for name in builtin:
        entry = registry.find_method(name)
        with recipe_errors_of(name, builtin):
            recipe = entry.create_recipe(options.preset or protocol.preset, options.overrides)
        reason = entry.unsupported_reason(protocol, recipe)
        if reason is None:
            supported.append(name)
        else:
            print_line(f"skipped {name}: {reason}")
    if not supported:
        what, hint = f"no built-in method supports {protocol.name}", "give the file of a method of your own"
        raise UsageError(what, where="--method", hint=hint)
    return supported


@contextmanager
def recipe_errors_of(name: str, methods: Sequence[str]) -> Iterator[None]:
    """Begin errors of recipes with the method's name if there are several methods.

    Raises:
        RecipeError: The code in the context raises one.
    """
    from aubench.core.errors import RecipeError

    try:
        yield
    except RecipeError as error:
        if len(methods) == 1:
            raise
        raise RecipeError(error.what, where=f"{name}: {error.where}", hint=error.hint) from None


def plan_runs(
    methods: Names, protocol: Protocol, options: RunOptions, seeds: Sequence[int], store: Stores
) -> list[RunConfig]:
    """Return the configuration of each method's run with each seed, each once, and print a description of the data.

    Args:
        methods: Names or ``.py`` files, or ``all``.
        protocol: Protocol, already narrowed.
        options: Options of every run.
        seeds: Seeds, one run each.
        store: Folders of the data sets' stores, see :func:`open_data`.

    Raises:
        AubenchError: A name or value does not exist, or a method does not support the protocol.
    """
    from aubench.data.splits import ProtocolDataset
    from aubench.runs.config import RunConfig
    from aubench.runs.pretraining import check_pretraining_store
    from aubench.runs.store_ref import StoreRef

    names = select_methods(methods, protocol, options)
    opened = open_data(protocol, store)
    reference = StoreRef.from_store(opened)
    configs = []
    for name in names:
        with recipe_errors_of(name, names):
            configs += [RunConfig.create(name, protocol, reference, options, seed) for seed in seeds]
    configs = list({config.run_id: config for config in configs}.values())  # a file may have several names
    for config in {config.method: config for config in configs}.values():
        check_pretraining_store(config)
    data = ProtocolDataset(opened, protocol)
    variant = data.variant or ("generated" if protocol.dataset == "synth" else "no known variant")
    print_line(f"{protocol.name}: {data.count} labelled frames ({variant}), store {opened.info.digest[:12]}")
    return configs


def plan_tuned_runs(
    study: str, storage: str | None, seeds: Sequence[int], store: Stores, runs: Path
) -> list[RunConfig]:
    """Return the configurations of a study's best recipe.

    Args:
        study: Name of the study.
        storage: Storage of the study; the default one if None.
        seeds: Seeds, none of them used by the trials.
        store: Folders of the data sets' stores, see :func:`open_data`.
        runs: Folder of all runs.

    Raises:
        UsageError: The study does not exist, used another store, method or weights, or used one of the seeds.
    """
    from aubench.core.errors import UsageError
    from aubench.tuning.best_recipe import find_best_trial

    best = find_best_trial(study, storage, runs)
    opened = open_data(best.protocol, store)
    if opened.info.digest != best.store:
        raise UsageError("is not the store of the search", where=opened.path.resolve(), hint="give that with --store")
    if best.seed in seeds:
        raise UsageError(f"{best.seed} was the seed of the trials", where="--seed", hint="give another one")
    configs = plan_runs([best.method], best.protocol, best.options, seeds, store)
    best.check(configs[0])
    return configs
