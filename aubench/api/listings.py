"""Lists of the installed methods and protocols."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def list_methods() -> pd.DataFrame:
    """List the methods.

    Returns:
        Columns ``method``, ``modalities`` (letters), ``fidelity``, ``parameters`` (with the paper's recipe on these
        modalities) and ``paper``.
    """
    import pandas as pd

    from aubench.core import registry
    from aubench.papers import method_reference

    rows = []
    for name in registry.method_names():
        entry = registry.find_method(name)
        cost, card = next(method_reference.costs(entry, "paper")), entry.method_class.card
        rows.append((name, cost.letters, str(card.fidelity), cost.compute.total.parameters, card.paper))
    return pd.DataFrame(rows, columns=["method", "modalities", "fidelity", "parameters", "paper"])


def list_protocols() -> pd.DataFrame:
    """List the built-in protocols.

    Returns:
        Columns ``protocol``, ``version``, ``modalities`` (letters), ``folds``, ``subjects`` (number), ``digest`` and
        ``title``.
    """
    import pandas as pd

    from aubench.core import registry

    rows = []
    for name in registry.builtin_protocols():
        protocol = registry.find_protocol(name)
        letters = "+".join(m.letter for m in protocol.modalities)
        counts = (len(protocol.folds), len(protocol.subjects))
        rows.append((name, protocol.version, letters, *counts, protocol.digest, protocol.title))
    return pd.DataFrame(rows, columns=["protocol", "version", "modalities", "folds", "subjects", "digest", "title"])
