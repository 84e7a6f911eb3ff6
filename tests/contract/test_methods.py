import pytest

from aubench.core import registry
from aubench.testing.check_method import CHECKS, run_contract


@pytest.mark.parametrize("name", registry.builtin_methods())
def test_built_in_method_keeps_the_contract(name):
    results = run_contract(registry.find_method(name))
    assert [result for result in results if not result.passed] == []
    assert [result.name for result in results] == list(CHECKS)
