"""Errors of a command line: always the usage hint, then one line that names every fault."""

from collections.abc import Sequence
from typing import Any

import click


def in_one_line(problems: Sequence[str], what: str = "problems") -> str:
    """One line for all problems; the problem itself if there is only one."""
    if len(problems) == 1:
        return problems[0]
    return f"{len(problems)} {what}: " + "; ".join(f"({number}) {problem}" for number, problem in enumerate(problems, 1))


class Command(click.Command):
    """A command whose errors name all wrong values of the command line. click names the first one.

    click also leaves out the usage hint where a value is missing or superfluous.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse. Raises ``UsageError``."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.BadParameter as error:
            problems = () if isinstance(error, click.MissingParameter) else self.wrong_values(ctx, given)
            if len(problems) > 1:
                raise click.UsageError(in_one_line(problems), ctx) from None
            error.ctx = error.ctx or ctx
            raise
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def wrong_values(self, ctx: click.Context, args: list[str]) -> list[str]:
        """What is wrong with the values in ``args``, which name only options that exist."""
        values, _, order = self.make_parser(ctx).parse_args(list(args))
        given = [param for param in dict.fromkeys(order) if isinstance(param, click.Option) and param.name in values]
        return [problem for param in given if (problem := _problem(ctx, param, values[str(param.name)]))]


def _problem(ctx: click.Context, param: click.Parameter, value: Any) -> str:  # noqa: ANN401 - as click has it
    try:
        param.type_cast_value(ctx, value)
    except click.BadParameter as error:
        error.ctx, error.param = error.ctx or ctx, error.param or param
        return error.format_message()
    return ""
