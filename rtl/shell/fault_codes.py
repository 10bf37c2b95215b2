"""Why the machine stopped: the codes in its FAULT register."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["FAULT_BITS", "FAULT_TEXTS", "FaultCode"]

FAULT_BITS = 4
"""Width of a code."""


class FaultCode(IntEnum):
    """Reasons for which the machine stops until CONTROL.clear."""

    NONE = 0
    HEADER = 1
    ILLEGAL = 2
    ADDRESS = 3
    LENGTH = 4
    TIMEOUT = 5
    COMMAND = 6
    CHECKSUM = 7
    ABORTED = 8


FAULT_TEXTS = {
    FaultCode.NONE: "no fault",
    FaultCode.HEADER: "what was loaded is not a program image of this version for this machine",
    FaultCode.ILLEGAL: "an op breaks a limit of the machine",
    FaultCode.ADDRESS: "an op left the place of its tensor; the access was not made",
    FaultCode.LENGTH: "the inward stream had its tlast too early, or not where it must be",
    FaultCode.TIMEOUT: "no beat passed and no op ended for TIMEOUT cycles",
    FaultCode.COMMAND: "start without a program, or load or start while busy, or two commands at once",
    FaultCode.CHECKSUM: "the program image was altered on its way",
    FaultCode.ABORTED: "the host wrote CONTROL.abort",
}
"""What each code means."""
