"""Random machines, random Programs that fit them, and codes that reach the corners: one generator for all tests.

Uniform random numbers almost never meet a tie or the end of a range. So weights and codes come with extremes, and
offsets are chosen for the sums that occur: outputs cover their range, some sums are exact ties, some clamp.
"""

from sim.testing.stimulus.choices import Choices, RandomChoices, SteeredChoices
from sim.testing.stimulus.corner_codes import corner_codes, corner_inputs
from sim.testing.stimulus.machines import random_machine
from sim.testing.stimulus.programs import KINDS, TRAITS, random_program

__all__ = ["KINDS", "TRAITS", "Choices", "RandomChoices", "SteeredChoices", "corner_codes", "corner_inputs",
           "random_machine", "random_program"]
