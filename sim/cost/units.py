"""Times, energies and powers in the units of people, each rounded once from exact numbers.

Energy [pJ] times the clock [MHz] over cycles is a power [uW]; cycles over the clock are microseconds.
"""

from __future__ import annotations

from fractions import Fraction

__all__ = ["edp_mj_ms", "energy_mj", "frames_per_s", "latency_ms", "power_mw", "tera_ops_per_s", "tera_ops_per_w"]


def latency_ms(cycles: int, clock_mhz: float) -> float:
    """Return how long cycles take [ms].

    >>> latency_ms(1_000_000, 500)
    2.0
    """
    return float(Fraction(cycles) / (1000 * Fraction(clock_mhz)))


def frames_per_s(cycles: int, clock_mhz: float) -> float:
    """Return how many images of so many cycles follow each other in a second; 0 without cycles.

    >>> frames_per_s(1_000_000, 500)
    500.0
    """
    return float(1_000_000 * Fraction(clock_mhz) / cycles) if cycles else 0.0


def energy_mj(energy_pj: float) -> float:
    """Return an energy [mJ].

    >>> energy_mj(2e9)
    2.0
    """
    return float(Fraction(energy_pj) / 10**9)


def power_mw(energy_pj: float, cycles: int, clock_mhz: float) -> float:
    """Return the mean power of spending an energy in so many cycles [mW]; 0 without cycles.

    >>> power_mw(2e9, 1_000_000, 500)
    1000.0
    """
    return float(Fraction(energy_pj) * Fraction(clock_mhz) / (1000 * cycles)) if cycles else 0.0


def edp_mj_ms(energy_pj: float, cycles: int, clock_mhz: float) -> float:
    """Return the product of energy and delay [mJ ms].

    >>> edp_mj_ms(2e9, 1_000_000, 500)
    4.0
    """
    return float(Fraction(energy_pj) * cycles / (10**12 * Fraction(clock_mhz)))


def tera_ops_per_s(macs: int, cycles: int, clock_mhz: float) -> float:
    """Return tera-operations per second [TOPS], two for each multiply-accumulate; 0 without cycles.

    >>> tera_ops_per_s(10**9, 1_000_000, 500)
    1.0
    """
    return float(2 * macs * Fraction(clock_mhz) / (10**6 * cycles)) if cycles else 0.0


def tera_ops_per_w(macs: int, energy_pj: float) -> float:
    """Return tera-operations per joule, which is TOPS per watt; 0 without energy.

    >>> tera_ops_per_w(10**9, 2e9)
    1.0
    """
    return float(2 * macs / Fraction(energy_pj)) if energy_pj else 0.0
