"""Completion in bash and zsh: what click brings, with what its scripts lack.

bash breaks words at `=` and `:`, so the script hands over the line and not the words. Neither shell puts a blank behind
what goes on, `digits/` or `lr=`; fish never does.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

VARIABLE = "_WAZIR_COMPLETE"
"""Set by the scripts: what the process is to print."""

_BASH = """\
%(complete_func)s() {
    local type value response
    response=$(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" %(complete_var)s=bash_complete "$1" 2>/dev/null)
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$(printf %%q "$value")") ;;
        esac
    done <<< "$response"
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/] ]]; then
        compopt -o nospace
    fi
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a response described plain goes_on
    local type key descr
    (( ! $+commands[%(prog_name)s] )) && return 1
    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \
%(complete_var)s=zsh_complete %(prog_name)s 2>/dev/null)}")
    for type key descr in ${response}; do
        case $type in
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            plain)
                if [[ $descr != _ ]]; then described+=("$key:$descr")
                elif [[ $key == *[=/] ]]; then goes_on+=("$key")
                else plain+=("$key"); fi ;;
        esac
    done
    [[ -n $described ]] && _describe -V unsorted described -U
    [[ -n $plain ]] && compadd -U -V unsorted -a plain
    [[ -n $goes_on ]] && compadd -S '' -U -V unsorted -a goes_on
    return 0
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""


class Bash(BashComplete):
    name: ClassVar[str] = "bash"
    source_template: ClassVar[str] = _BASH
    _kept = ""
    """What stays in front of the word that bash itself takes for the incomplete one."""

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_LINE"]
        words = split_arg_string(line)
        incomplete = "" if not words or line[-1].isspace() else words.pop()
        self._kept = incomplete[: max(map(incomplete.rfind, "=:")) + 1]
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem[Any]) -> str:
        return f"{item.type},{item.value.removeprefix(self._kept)}"


class Zsh(ZshComplete):
    name: ClassVar[str] = "zsh"
    source_template: ClassVar[str] = _ZSH


def register() -> None:
    """Makes click use them."""
    add_completion_class(Bash)
    add_completion_class(Zsh)
