import pytest

from aubench.core import registry
from aubench.testing.check_method import CHECKS, check_method


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.builtin_methods())
def test_built_in_method_satisfies_the_contract(name):
    results = check_method(registry.find_method(name))
    assert [result for result in results if not result.passed] == []
    assert [result.name for result in results] == list(CHECKS)
