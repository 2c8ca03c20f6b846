"""The command-line reference: every command of ``posebed`` as Markdown."""

from __future__ import annotations

from typing import Any

import typer.main
from typer.core import TyperArgument

from posestages.cli import app


def page() -> str:
    group: Any = typer.main.get_command(app)
    return "\n\n".join(_command(name, command) for name, command in group.commands.items() if not command.hidden)


def _command(name: str, command: Any) -> str:
    parameters = [p for p in command.params if not getattr(p, "hidden", False) and p.name != "help"]
    arguments = [p for p in parameters if isinstance(p, TyperArgument)]
    options = [p for p in parameters if p not in arguments]
    usage = " ".join([f"posebed {name}", *(_usage(p) for p in arguments), *(["[OPTIONS]"] if options else [])])
    entries = [_entry(_usage(p), p) for p in arguments] + [_entry(_flags(p), p) for p in options]
    text = " ".join((command.help or "").split())
    return "\n\n".join([f"## {name} {{#{name}}}", text, f"```sh\n{usage}\n```", *entries])


def _usage(argument: Any) -> str:
    name = (argument.metavar or argument.name).upper()
    name += " ..." if argument.nargs == -1 else ""
    return name if argument.required else f"[{name}]"


def _flags(option: Any) -> str:
    names = ", ".join([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return names
    return f"{names} {(option.metavar or option.opts[0].lstrip('-')).upper()}"


def _entry(name: str, parameter: Any) -> str:
    facts: list[str] = []
    if isinstance(parameter, TyperArgument):
        facts.append("" if parameter.required else "optional")
    elif parameter.required:
        facts.append("required")
    if parameter.default not in (None, False, (), []):
        facts.append(f"default `{parameter.default}`")
    if getattr(parameter, "min", None) is not None:
        facts.append(f"at least {parameter.min}")
    if getattr(parameter, "multiple", False) and "repeatable" not in (parameter.help or ""):
        facts.append("may be repeated")
    shown = "; ".join(fact for fact in facts if fact)
    return f"**`{name}`** <span class=facts>{shown}</span>\n:   {' '.join((parameter.help or '').split())}"
