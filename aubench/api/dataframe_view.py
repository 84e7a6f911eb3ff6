"""Short representation of results in a session of Python and in a notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class DataFrameView(ABC):
    """Results that a DataFrame shows."""

    @abstractmethod
    def to_dataframe(self) -> pd.DataFrame:
        """Return the results as a DataFrame."""

    def __repr__(self) -> str:
        """Return the name of the class and the number of rows."""
        return f"<{type(self).__name__}: {self._row_count()} rows, see to_dataframe()>"

    def _row_count(self) -> int:
        """Return the number of rows. Override this where the DataFrame takes long."""
        return len(self.to_dataframe())

    def _repr_html_(self) -> str:
        """Return the DataFrame as a notebook shows it."""
        return str(self.to_dataframe().to_html(max_rows=20, max_cols=20, notebook=True))
