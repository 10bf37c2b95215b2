"""Take bits back where a finished network costs more than its budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from quant.bits.allocation import Choice, Problem

__all__ = ["narrower"]


def narrower(problem: Problem, choice: Choice, names: Sequence[str]) -> Choice | None:
    """Return `choice` with one layer's weights or one tensor a width narrower.

    Of all such changes it is the one that loses least for what it saves, by the tables, of the costs `names`, each as
    a share of its limit. None if no change saves anything.
    """
    bargains: list[tuple[float, int, Choice]] = []
    for other in _one_width_less(problem, choice):
        saved = sum(float(problem.used(name, choice) - problem.used(name, other)) / max(abs(problem.limits[name]), 1.0)
                    for name in names)
        if saved > 0:
            bargains.append(((problem.loss(other) - problem.loss(choice)) / saved, len(bargains), other))
    return min(bargains, key=lambda bargain: bargain[:2])[2] if bargains else None


def _one_width_less(problem: Problem, choice: Choice) -> Iterator[Choice]:
    for layer in range(len(problem.layers)):
        if below := [w for w in problem.weight_options(layer) if w < choice[layer, 0]]:
            yield _changed(choice, [layer], 0, below[-1])
    for group, layers in enumerate(problem.groups):
        if below := [a for a in problem.activation_options(group) if a < choice[layers[0], 1]]:
            yield _changed(choice, layers, 1, below[-1])


def _changed(choice: Choice, layers: Sequence[int], side: int, index: int) -> Choice:
    other = choice.copy()
    other[list(layers), side] = index
    return other
