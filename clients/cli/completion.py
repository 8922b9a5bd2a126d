"""`wazir completion`: what a shell reads to complete commands, options and study names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .shells import VARIABLE, register

HOW = {
    "bash": 'eval "$(wazir completion bash)"    # in ~/.bashrc',
    "zsh": 'eval "$(wazir completion zsh)"     # in ~/.zshrc',
    "fish": "wazir completion fish | source     # in ~/.config/fish/config.fish",
}


@click.command(epilog="\b\n" + "\n".join(HOW.values()))
@click.argument("shell", type=click.Choice(sorted(HOW)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a SHELL."""
    register()
    kind = get_completion_class(shell)
    assert kind is not None, "click knows the three shells"
    root = ctx.find_root()
    click.echo(kind(root.command, {}, "wazir", VARIABLE).source())
