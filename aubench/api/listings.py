"""Lists of the installed methods and protocols, and the check of a method's contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aubench._util.progress import print_line
from aubench.api.planning import AnyPath
from aubench.core.user_paths import user_path

if TYPE_CHECKING:
    import pandas as pd

    from aubench.testing.check_method import Result


def list_methods() -> pd.DataFrame:
    """List the methods.

    With modalities, fidelity, number of parameters and paper.

    Returns:
        Columns ``method``, ``modalities`` (letters), ``fidelity``, ``parameters`` (with the paper's recipe on these
        modalities) and ``paper``.
    """
    import pandas as pd

    from aubench.core import registry
    from aubench.evaluation.flops import count_parameters
    from aubench.leaderboard.tables import modality_code
    from aubench.papers.method_reference import AUS, used_tasks

    rows = []
    for name in registry.method_names():
        entry = registry.find_method(name)
        card, recipe = entry.method_class.card, entry.method_class.Recipe.from_preset("paper", {})
        tasks = used_tasks(entry, recipe)
        if not tasks:
            print_line(f"skipped {name}: supports no task with the AUs 1 to {AUS}")
            continue
        parameters = count_parameters(entry.method_class, tasks[0], recipe)
        rows.append((name, modality_code(tasks[0].modalities), str(card.fidelity), parameters, card.paper))
    return pd.DataFrame(rows, columns=["method", "modalities", "fidelity", "parameters", "paper"])


def write_method_reference(out: AnyPath) -> None:
    """Write the reference page of the built-in methods in Markdown."""
    from aubench._util import atomic
    from aubench._util.output_paths import check_output_file
    from aubench.core import registry
    from aubench.papers import method_reference

    path = user_path(out)
    check_output_file(path)
    atomic.write_text(path, method_reference.page(registry.builtin_methods()))


def write_method_catalogue(out: AnyPath) -> None:
    """Write the facts of the built-in methods that leaderboards compare records with, as JSON; takes minutes."""
    from aubench._util import atomic
    from aubench._util.output_paths import check_output_file
    from aubench.core import method_catalogue
    from aubench.papers import catalogue_writer

    path = user_path(out)
    check_output_file(path)
    atomic.write_text(path, catalogue_writer.to_text(catalogue_writer.catalogue(method_catalogue.content())))


def list_protocols() -> pd.DataFrame:
    """List the protocols: version, data, modalities, folds, digest.

    Returns:
        Columns ``protocol``, ``version``, ``data`` (names of data sets), ``modalities`` (letters), ``folds``,
        ``subjects`` (number), ``digest`` and ``title``.
    """
    import pandas as pd

    from aubench.core import registry

    rows = []
    for name in registry.builtin_protocols():
        protocol = registry.find_protocol(name)
        letters = "+".join(m.letter for m in protocol.modalities)
        counts = (protocol.fold_count, len(protocol.subjects))
        rows.append((name, protocol.version, protocol.data_name, letters, *counts, protocol.digest, protocol.title))
    columns = ["protocol", "version", "data", "modalities", "folds", "subjects", "digest", "title"]
    return pd.DataFrame(rows, columns=columns)


def check_method(name: str, preset: str = "tiny") -> list[Result]:
    """Check the contract of a method.

    The command has exit code 1 if a check fails.

    Args:
        name: Name of a method, or a .py file.
        preset: Recipe preset of the checks.

    Returns:
        One result per check. If a check of the class fails, the checks of instances are omitted.

    Raises:
        AubenchError: There is no such method or preset.
    """
    from aubench.core import registry
    from aubench.testing import check_method as contract

    return contract.check_method(registry.find_method(name, "NAME|PATH"), preset)
