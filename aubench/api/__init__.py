"""Python interface to everything that the command ``aubench`` does.

Functions raise :class:`aubench.AubenchError`, show the same progress on stderr as the commands, and return objects with
a ``to_dataframe`` method. They need no ``if __name__ == "__main__"`` guard.
"""

from aubench.api.experiments import evaluate_robustness, run
from aubench.api.listings import list_methods, list_protocols
from aubench.api.paper_exhibits import list_exhibits, reproduce
from aubench.api.results_view import Results, compare, load_leaderboard, load_results
from aubench.api.searches import tune

__all__ = [
    "Results",
    "compare",
    "evaluate_robustness",
    "list_exhibits",
    "list_methods",
    "list_protocols",
    "load_leaderboard",
    "load_results",
    "reproduce",
    "run",
    "tune",
]
