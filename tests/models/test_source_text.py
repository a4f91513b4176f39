"""Source of a class of a notebook: what travels with it makes the same class elsewhere; what cannot is named."""

import itertools
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import make_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from numerai_ray import Model, RequestError

NUMBERS = itertools.count(1)
Notebook = Callable[..., ModuleType]


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    """Runs texts as cells of one notebook, as IPython does: each has a file name of its own in ``linecache``."""
    made = ModuleType(f"notebook_of_a_test_{next(NUMBERS)}")
    sys.modules[made.__name__] = made

    def run(*cells: str) -> ModuleType:
        for text in cells:
            cell = textwrap.dedent(text).lstrip()
            name = f"<cell-{next(NUMBERS)}>"
            linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
            exec(compile(cell, name, "exec"), made.__dict__)
        return made

    yield run
    del sys.modules[made.__name__]


def remade(kind: type) -> Any:
    """The class that its saved text alone makes."""
    source = Model(kind).source
    assert source is not None
    made: dict[str, Any] = {"__name__": "elsewhere"}
    exec(compile(source.text, source.name, "exec"), made)
    return made[kind.__name__]


X = pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=["a", "b", "c"])
FIT = "def fit(self, X, y): return self"


def test_what_it_needs_of_other_cells_travels(notebook: Notebook) -> None:
    cells = notebook(
        """
        import numpy as np
        from numpy import linalg as algebra
        from dataclasses import dataclass
        LIMIT, SCALES = float("inf"), {"a": [1.0, float("nan")], "b": (2,)}
        """,
        """
        def clipped(values):
            return np.minimum(values, LIMIT)

        shorter = clipped
        doubled = lambda values: 2 * values
        """,
        f"""
        @dataclass
        class Base:
            scale: float = 3.0

            {FIT}

        class Mine(Base):
            def predict(self, X):
                assert np.isnan(SCALES["a"][1]) and SCALES["b"] == (2,)
                return shorter(doubled(X.to_numpy().sum(axis=1))) * self.scale / algebra.norm([3, 4])
        """,
    )
    expected = cells.Mine().fit(X, None).predict(X)
    assert np.array_equal(remade(cells.Mine)().fit(X, None).predict(X), expected)
    assert not np.array_equal(remade(cells.Mine)(scale=1.0).predict(X), expected)


def test_values_of_the_function_around_it_travel() -> None:
    def family(power: int) -> type:
        class Raised:
            def predict(self, X: Any) -> Any:  # noqa: N803
                return X.sum(axis=1) ** power

        return Raised

    assert (remade(family(2))().predict(X) == X.sum(axis=1) ** 2).all()
    assert Model(family(2)).source != Model(family(3)).source


def test_what_is_missing_is_named_all_at_once(notebook: Notebook, tmp_path: Path) -> None:
    cells = notebook(
        """
        import pandas as pd, functools
        prices = pd.DataFrame({"a": [1.0]})
        add = functools.partial(sum, start=1)
        """,
        f"""
        log = open({str(tmp_path / "log")!r}, "w")
        class Needy:
            {FIT}

            def predict(self, X):
                log.write("predicts")
                return X.sum(axis=1) * len(prices) + add([forgotten])
        """,
    )
    with pytest.raises(RequestError) as caught:
        Model(cells.Needy)
    cells.log.close()
    said = str(caught.value)
    for named in ("Needy needs", "prices (a DataFrame)", "log (a TextIOWrapper)", "add (a partial)"):
        assert named in said
    assert "forgotten (is defined nowhere around it)" in said
    assert "make it inside the class, give it as a parameter of plain values, or write it into an installed" in said


def test_a_module_beside_the_notebook_is_named(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside_the_notebook.py").write_text("def step(x):\n    return x\n")
    monkeypatch.syspath_prepend(tmp_path)
    body = f"{FIT}\n            def predict(self, X): return"
    cells = notebook(
        "import beside_the_notebook as own\nfrom beside_the_notebook import step",
        f"""
        class One:
            {body} own.step(X)

        class Two:
            {body} step(X)
        """,
    )
    for kind, named in (("One", "own (the module beside_the_notebook"), ("Two", "step (of the module beside_the_")):
        with pytest.raises(RequestError, match=r"which is installed nowhere") as caught:
            Model(getattr(cells, kind))
        assert named in str(caught.value)


def test_a_function_that_its_text_does_not_define_is_named(notebook: Notebook) -> None:
    cells = notebook(
        """
        def first(*functions):
            return functions[0]

        square = first(
            lambda values: values**2,
        )
        """,
        f"""
        def cube(values): return values**3
        old = cube
        def cube(values): return values
        class Mine:
            {FIT}
            def predict(self, X): return square(X) + old(X)
        """,
    )
    with pytest.raises(RequestError) as caught:
        Model(cells.Mine)
    assert "square (a function whose own text does not define it; write it with def)" in str(caught.value)
    assert "old (another name of cube, which is something else now)" in str(caught.value)


NO_SOURCE = "its source cannot be had, and what a fit is depends on it; write the class in a notebook's cell"


def test_classes_without_a_source_are_refused_with_what_to_do() -> None:
    made: dict[str, Any] = {}
    exec("class Executed:\n def fit(self, X, y): return self\n def predict(self, X): return X", made)
    functions = {"fit": lambda self, *_: self, "predict": lambda self, rows: (self, rows)}
    for kind in (made["Executed"], type("Dynamic", (), functions), make_dataclass("Listed", ["alpha"])):
        with pytest.raises(RequestError, match=f"^{kind.__name__}: {NO_SOURCE}"):
            Model(kind)


def test_no_class_at_all_is_refused_with_what_to_do(notebook: Notebook) -> None:
    cells = notebook(f"class Plain:\n    {FIT}\n    def predict(self, X): return X\n")
    for what in (lambda X: X, len, cells.Plain(), 3):  # noqa: N803
        with pytest.raises(RequestError, match=r"must be a class, an estimator or pipeline.*give the class"):
            Model(what)


def test_a_method_put_in_later_is_refused(notebook: Notebook) -> None:
    cells = notebook(
        f"""
        import functools

        def logged(function):
            @functools.wraps(function)
            def wrapper(*given):
                return function(*given)
            return wrapper

        class Plain:
            {FIT}

            @logged
            def predict(self, X):
                return X.sum(axis=1)
        """
    )
    assert (remade(cells.Plain)().predict(X) == X.sum(axis=1)).all()
    notebook("Plain.fit = lambda self, X, y: None")
    with pytest.raises(RequestError, match="Plain: its method fit is not the one of its source"):
        Model(cells.Plain)


def test_a_class_of_a_cell_that_ran_again_is_the_later_one(notebook: Notebook) -> None:
    text = f"class Again:\n    {FIT}\n    def predict(self, X): return X.sum(axis=1) * FACTOR\n"
    first = notebook("FACTOR = 1", text).Again
    second = notebook("FACTOR = 5", text.replace("* FACTOR", "* FACTOR + 1")).Again
    assert (remade(second)().predict(X) == X.sum(axis=1) * 5 + 1).all()
    assert "+ 1" not in Model(first).source.text  # type: ignore[union-attr]
