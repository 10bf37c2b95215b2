"""The one exception that means "the input, not the program, is at fault"."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Something a user gave cannot be used; the message says what, the limit, and what came."""
