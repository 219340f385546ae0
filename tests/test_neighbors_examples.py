# SPDX-License-Identifier: Apache-2.0
"""The examples of the docstrings of neighbours run, and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

from trouvaille import neighbors

WITH_EXAMPLES = {
    *("autotune", "exact", "faiss_indexes", "graph", "hamming", "kd_forest"),
    *("kmeans_tree", "lsh", "itq", "random_hyperplanes", "semantic", "spectral"),
}


def modules():
    walked = pkgutil.walk_packages(neighbors.__path__, f"{neighbors.__name__}.")
    names = {module.name.rpartition(".")[2]: module.name for module in walked}
    return {last: name for last, name in names.items() if last in WITH_EXAMPLES}


@pytest.mark.parametrize("last", sorted(WITH_EXAMPLES))
def test_the_examples_of_a_module(last):
    if last == "semantic":
        pytest.importorskip("torch", reason="semantic hashing is learned by PyTorch")
    failed, attempted = doctest.testmod(importlib.import_module(modules()[last]))
    assert failed == 0
    assert attempted > 0
