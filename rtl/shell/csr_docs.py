"""The register map for people (Markdown) and for other tools (SystemRDL 2.0)."""

from __future__ import annotations

from rtl.shell.csr_map import ADDRESS_BITS, REGISTERS, Register, RegisterField
from rtl.shell.fault_codes import FAULT_TEXTS

__all__ = ["registers_markdown", "registers_rdl"]

RDL_ACCESS = {"read": "sw = r; hw = w;", "read-write": "sw = rw; hw = r; reset = 0;",
              "write": "sw = w; hw = r; singlepulse; reset = 0;", "event": "sw = rw; woclr; hw = w; reset = 0;"}
"""Properties of a field with each access."""

ENUM = "fault_code"
"""Name of the fault codes in SystemRDL."""

HEAD = f"""\
# Registers

The AXI4-Lite slave has {ADDRESS_BITS} address bits and 32 data bits. `read` registers refuse writes, unmapped and
misaligned addresses refuse both, with SLVERR. `write` registers read as 0; in `event` registers a one written clears
the bit. The page is made from `rtl.shell.csr_map`, like the hardware, the SystemRDL text and the host driver.
"""


def registers_markdown() -> str:
    """Return a page with a table of all registers and fields.

    >>> print(registers_markdown().splitlines()[0])
    # Registers
    """
    lines = [HEAD, "| offset | register | access | bits | field | meaning |", "|---|---|---|---|---|---|"]
    for register in REGISTERS:
        lines.append(f"| 0x{register.offset:03X} | {register.name} | {register.access} | | | {register.text} |")
        lines += [f"| | | | {_bits(field)} | {field.name} | {_sentence(field.text)} |" for field in register.fields]
    lines += ["", "## Faults", "", "| code | fault | meaning |", "|---|---|---|"]
    lines += [f"| {code.value} | {code.name} | {_sentence(text)} |" for code, text in FAULT_TEXTS.items()]
    return "\n".join(lines) + "\n"


def registers_rdl() -> str:
    """Return the map as the SystemRDL address map `bitwright`."""
    codes = "\n".join(f'    {code.name} = {code.value} {{ desc = "{_sentence(text)}"; }};'
                      for code, text in FAULT_TEXTS.items())
    registers = "\n".join(_rdl_register(register) for register in REGISTERS)
    return (f"enum {ENUM} {{\n{codes}\n}};\n\n"
            f'addrmap bitwright {{\n    name = "Bitwright accelerator";\n    default regwidth = 32;\n'
            f"    default accesswidth = 32;\n\n{registers}}};\n")


def _bits(field: RegisterField) -> str:
    high = field.low + field.width - 1
    return str(high) if field.width == 1 else f"{high}..{field.low}"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _rdl_register(register: Register) -> str:
    lines = ["    reg {", f'        desc = "{register.text}";']
    for field in register.fields:
        high = field.low + field.width - 1
        values = f" encode = {ENUM};" if field.values else ""
        lines.append(f'        field {{ {RDL_ACCESS[register.access]}{values} desc = "{_sentence(field.text)}"; }} '
                     f"{field.name}[{high}:{field.low}];")
    return "\n".join([*lines, f"    }} {register.name} @ 0x{register.offset:03X};", ""])
