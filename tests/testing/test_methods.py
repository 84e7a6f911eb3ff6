import pytest

from aubench.core import registry
from aubench.testing import check_method as checks
from aubench.testing.cases import supported_cases


def require_contract(name):
    results = checks.check_method(registry.find_method(name))
    assert [result for result in results if not result.passed] == []
    assert [result.name for result in results] == list(checks.CHECKS)


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.builtin_methods())
def test_built_in_method_satisfies_the_contract(name, monkeypatch):
    """On the first supported set of one, two and three modalities."""

    def first_of_each_size(method, recipe):
        tasks = reversed(list(supported_cases(method, recipe)))
        return {(len(task.modalities), task.landmarks): task for task in tasks}.values()

    monkeypatch.setattr(checks, "supported_cases", first_of_each_size)
    require_contract(name)


@pytest.mark.nightly
@pytest.mark.parametrize("name", registry.builtin_methods())
def test_built_in_method_satisfies_the_contract_on_all_sets_of_modalities(name):
    require_contract(name)
