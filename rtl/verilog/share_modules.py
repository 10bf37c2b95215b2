"""One module for all instances of a component: RTLIL as Amaranth writes it has one for each.

No pass of Yosys does this: `opt_merge` merges equal cells within a module, never equal modules.

Two modules are the same when their text is, once the modules they instantiate are. A module is called after the path
of its first instance, without indices and with underscores, so that `bitwright.array.element_3_1` becomes
`bitwright_array_element`, a name that Verilog need not escape.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["share_modules"]

MODULE = re.compile(r"^(?P<attributes>(?:attribute [^\n]*\n)*)module \\(?P<name>\S+)\n(?P<body>.*?)^end$", re.M | re.S)
CELL = re.compile(r"^(?P<indent> *)cell \\(?P<type>\S+) ", re.M)
INDEX = re.compile(r"(_\d+)+$|\$\d+$")


@dataclass
class _Module:
    attributes: str
    name: str
    body: str


def share_modules(rtlil: str) -> str:
    """RTLIL text with every module written once.

    Examples
    --------
    >>> text = '''
    ... attribute \\\\top 1
    ... module \\\\chip
    ...   cell \\\\chip.pe_0 \\\\pe_0
    ...   end
    ...   cell \\\\chip.pe_1 \\\\pe_1
    ...   end
    ... end
    ... module \\\\chip.pe_0
    ... end
    ... module \\\\chip.pe_1
    ... end
    ... '''
    >>> print(share_modules(text), end="")
    attribute \\top 1
    module \\chip
      cell \\chip_pe \\pe_0
      end
      cell \\chip_pe \\pe_1
      end
    end
    module \\chip_pe
    end
    """
    modules = [_Module(found["attributes"], found["name"], found["body"]) for found in MODULE.finditer(rtlil)]
    shared = _representatives(modules)
    kept = [module for module in modules if shared[module.name] == module.name]
    names = _names(kept, {found["type"] for module in modules for found in CELL.finditer(module.body)} - set(shared))
    final = {name: names[first] for name, first in shared.items()}
    return "".join(f"{module.attributes}module \\{names[module.name]}\n{_with_types(module.body, final)}end\n"
                   for module in kept)


def _representatives(modules: list[_Module]) -> dict[str, str]:
    """Return for each module the first of those equal to it; a module stands before those it instantiates."""
    latest: dict[str, str] = {}
    shared: dict[str, str] = {}
    for module in reversed(modules):
        text = module.attributes + _with_types(module.body, shared)
        shared[module.name] = latest.setdefault(text, module.name)
    first: dict[str, str] = {}
    for module in modules:
        first.setdefault(shared[module.name], module.name)
    return {name: first[other] for name, other in shared.items()}


def _with_types(body: str, names: dict[str, str]) -> str:
    def renamed(cell: re.Match[str]) -> str:
        return f"{cell['indent']}cell \\{names.get(cell['type'], cell['type'])} "

    return CELL.sub(renamed, body)


def _names(modules: list[_Module], taken: set[str]) -> dict[str, str]:
    """Return a name for each module: without indices if that is unique, else with those of its first instance."""
    names: dict[str, str] = {}
    used = set(taken)
    for module in modules:
        parts = module.name.split(".")
        plain = "_".join(INDEX.sub("", part) for part in parts)
        candidates = (plain, module.name.replace(".", "_").replace("$", "_"), f"{plain}_{len(used)}")
        names[module.name] = next(name for name in candidates if name not in used)
        used.add(names[module.name])
    return names
