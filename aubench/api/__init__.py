"""Python interface to everything that the command ``aubench`` does.

Functions raise :class:`aubench.AubenchError`, show the same progress on stderr as the commands, and return objects with
a ``to_dataframe`` method, DataFrames or files. They need no ``if __name__ == "__main__"`` guard. Each command is
generated from its function: the parameters are its options, and the docstring is its help.
"""

from aubench.api.execution import sync_runs
from aubench.api.experiments import run
from aubench.api.figures import (
    draw_leaderboard,
    draw_store,
    plot_cut_switch,
    plot_knowledge,
    plot_reconstructions,
    plot_selection,
    plot_studies,
)
from aubench.api.leaderboards import (
    add_records,
    build_leaderboard,
    check_leaderboard,
    export_leaderboard,
    load_leaderboard,
    reproduce_record,
    review_leaderboard,
    submit_runs,
)
from aubench.api.listings import (
    check_method,
    list_methods,
    list_protocols,
    write_method_catalogue,
    write_method_reference,
)
from aubench.api.paper_exhibits import list_exhibits, reproduce
from aubench.api.profiles import profile
from aubench.api.results_view import Results, compare, load_results
from aubench.api.robustness_evaluation import evaluate_robustness
from aubench.api.scoring import score
from aubench.api.searches import tune
from aubench.api.speed import bench
from aubench.api.stores import check_store, export_store, prepare_store, simulate_delivery, write_label_counts
from aubench.api.sweep_status import cancel, status

__all__ = [
    "Results",
    "add_records",
    "bench",
    "build_leaderboard",
    "cancel",
    "check_leaderboard",
    "check_method",
    "check_store",
    "compare",
    "draw_leaderboard",
    "draw_store",
    "evaluate_robustness",
    "export_leaderboard",
    "export_store",
    "list_exhibits",
    "list_methods",
    "list_protocols",
    "load_leaderboard",
    "load_results",
    "plot_cut_switch",
    "plot_knowledge",
    "plot_reconstructions",
    "plot_selection",
    "plot_studies",
    "prepare_store",
    "profile",
    "reproduce",
    "reproduce_record",
    "review_leaderboard",
    "run",
    "score",
    "simulate_delivery",
    "status",
    "submit_runs",
    "sync_runs",
    "tune",
    "write_label_counts",
    "write_method_catalogue",
    "write_method_reference",
]
