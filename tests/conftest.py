"""How hypothesis searches."""

from hypothesis import settings

# The same examples in every run, so that a red test is about the change. No deadline: a first call compiles.
settings.register_profile("steady", deadline=None, derandomize=True)
# `make nightly` looks for what the steady examples miss.
settings.register_profile("nightly", deadline=None, max_examples=1000)
settings.load_profile("steady")
