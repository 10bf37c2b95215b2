"""The two exceptions that are for the user: the input is at fault, or a tool that an engine needs failed."""

__all__ = ["EngineError", "InputError"]


class InputError(ValueError):
    """Something a user gave cannot be used; the message says what, the limit, and what came."""


class EngineError(RuntimeError):
    """An engine could not finish: an outside tool failed; the message ends with what it said."""
