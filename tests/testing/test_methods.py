import pytest

from aubench.core import registry
from aubench.testing.check_method import CHECKS, check_method

QUICK = "resnet_visual"
"""The method whose check is short enough for the quick test set."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == QUICK else pytest.mark.slow) for name in registry.builtin_methods()],
)
def test_built_in_method_satisfies_the_contract(name):
    results = check_method(registry.find_method(name))
    assert [result for result in results if not result.passed] == []
    assert [result.name for result in results] == list(CHECKS)
