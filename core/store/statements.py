"""A SQLAlchemy Core expression that is compiled once per dialect and then run as plain text.

Compiling an expression costs more than running it (docs/benchmark.md), and each of ours is run
thousands of times unchanged. No type processors run on this path: values go in and come out as the
driver has them, so the units of work convert times, JSON and enums themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, bindparam, cast, func, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.engine import Dialect
    from sqlalchemy.sql.compiler import SQLCompiler
    from sqlalchemy.sql.elements import BindParameter, CompilerElement


class Statement:
    """One expression with named parameters.

    `keys` are the columns that an insert sets; other statements name theirs with `p()`.
    """

    __slots__ = ("_compiled", "expression", "keys")

    def __init__(self, expression: CompilerElement, keys: Sequence[str] | None = None) -> None:
        self.expression = expression
        self.keys = keys
        self._compiled: dict[str, tuple[str, dict[str, Any]]] = {}

    def text(self, dialect: Dialect) -> tuple[str, dict[str, Any]]:
        """SQL text, and the constants that the expression itself holds.

        A constant in an expression (`status == "open"`) compiles to a parameter like any other; whoever
        runs the text has to send it along.
        """
        found = self._compiled.get(dialect.name)
        if found is None:
            compiled = self.expression.compile(dialect=dialect, column_keys=self.keys)
            given = self.keys or ()
            constants = {
                name: value
                for name, value in compiled.params.items()
                if value is not None and name not in given
            }
            text = str(compiled).replace(":p_", ":").replace("%(p_", "%(")
            found = self._compiled[dialect.name] = (text, constants)
        return found


def p(name: str) -> BindParameter[Any]:
    """A parameter to be given at each run.

    While SQLAlchemy looks at the expression, `p_` keeps its name apart from every column's, which the
    values of an update would refuse; the compiled text has the plain name.
    """
    return bindparam(f"p_{name}")


def since_1970(at: ColumnElement[Any]) -> ColumnElement[int]:
    """A time of PostgreSQL's, in microseconds as our columns have times."""
    return cast(func.floor(func.extract("epoch", at) * literal_column("1000000")), BigInteger)


class unindexed(FunctionElement[int]):  # noqa: N801 - read as a function of SQL, as `func.min` is
    """A column that SQLite does not look up in an index: its planner takes another condition for that.

    A unary plus, as https://sqlite.org/optoverview.html#uplus has it. PostgreSQL goes by its statistics.
    """

    inherit_cache = True


@compiles(unindexed)
def _as_it_is(element: unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clause_expr, **options)


@compiles(unindexed, "sqlite")
def _after_a_plus(element: unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return f"+{compiler.process(element.clause_expr, **options)}"
