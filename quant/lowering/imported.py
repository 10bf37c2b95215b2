"""Models that another tool has quantized become Programs, and are compared with them code by code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quant.emit.emit import emit
from quant.emit.quantizers import stored_layouts
from quant.graph.graph import Graph, Node
from quant.graph.interpret import run
from quant.graph.layout import Layout
from quant.graph.ops.quantization import BipolarQuantize, FakeQuantize
from quant.graph.passes.normalise import normalise_quantized
from quant.lowering.lower import Lowered, lower_with_report
from quant.trace.inputs import Inputs
from quant.trace.naming import name_of_quantizer
from sim.errors import InputError
from sim.functional.engine.simulator import Simulator
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format

__all__ = ["Imported", "InputCodes", "TensorDifference", "bare_inputs", "import_quantized", "is_quantized"]

TOLERANCE = 2.0**-12
"""How far a fitted requantizer may be from the model's where it matters, if the machine can [codes]: few sums lie
closer to the edge between two codes."""
QUANTIZERS = (FakeQuantize, BipolarQuantize)


@dataclass(frozen=True)
class InputCodes:
    """How a host gives an input for which the model has no quantizer.

    Attributes
    ----------
    format : Format
        Signed or unsigned.
    exponent : int
        The value of a code is code * 2**exponent.
    """

    format: Format
    exponent: int


@dataclass(frozen=True)
class TensorDifference:
    """How far the codes of a stored tensor are from those of the model it comes from.

    Attributes
    ----------
    name : str
        Of the Program's tensor.
    codes : int
        How many were compared.
    differing : int
        How many are others.
    largest : int
        Largest distance [codes].
    """

    name: str
    codes: int
    differing: int
    largest: int

    @property
    def share(self) -> float:
        """Share of differing codes."""
        return self.differing / self.codes


@dataclass(frozen=True)
class Imported:
    """A Program and the quantized model that it comes from.

    Attributes
    ----------
    lowered : Lowered
        The Program, what its codes mean, and how well its requantizers fit.
    graph : Graph
        What the model computes, its quantizers as `FakeQuantize` and `BipolarQuantize`.
    layouts : mapping of str to Layout
        Where the numbers of the value that a quantizer makes are in the Program's tensor, by that tensor's name.
    values : mapping of str to str
        The quantizer's value by the tensor's name.
    """

    lowered: Lowered
    graph: Graph
    layouts: Mapping[str, Layout]
    values: Mapping[str, str]

    @property
    def input_names(self) -> dict[str, str]:
        """What the model calls each input of the Program."""
        return {tensor.name: self._source(self.values[tensor.name]) for tensor in self.lowered.program.inputs}

    def _source(self, value: str) -> str:
        while (maker := self.graph.maker(value)) is not None:
            value = maker.inputs[0]
        return value

    def input_codes(self, inputs: Mapping[str, Tensor]) -> dict[str, NDArray[np.int32]]:
        """Return what the host gives the Program for real inputs, by the names of the Program's inputs."""
        return self._given(self._run(inputs))

    def input_range(self, name: str) -> tuple[float, float]:
        """Return the least and the largest value of an input that its quantizer does not clamp."""
        (reader,) = (node for node in self.graph.readers(name) if isinstance(node.operator, QUANTIZERS))
        operator, scale = reader.operator, float(self.graph.constants[reader.inputs[1]])
        assert isinstance(operator, FakeQuantize | BipolarQuantize)
        low, high = -1.0, 1.0
        if isinstance(operator, FakeQuantize):
            zero = float(self.graph.constants[reader.inputs[2]])
            low, high = operator.low - zero, operator.high - zero
        return (low * scale - operator.shift) / operator.gain, (high * scale - operator.shift) / operator.gain

    def compare(self, inputs: Mapping[str, Tensor]) -> list[TensorDifference]:
        """Return how far the Program's codes are from the model's, for every tensor that a quantizer makes.

        Parameters
        ----------
        inputs : mapping of str to float Tensor, shape (batch, ...)
            Real inputs by the names of the model's.
        """
        values, differences = self._run(inputs), []
        for name, got in self._stored(values).items():
            away = np.abs(got - self._codes(name, values).reshape(len(got), -1))
            differences.append(TensorDifference(name, away.size, int((away > 0).sum()), int(away.max(initial=0))))
        return differences

    def program_codes(self, inputs: Mapping[str, Tensor]) -> dict[str, NDArray[np.int64]]:
        """Return the Program's codes of every tensor that a quantizer makes, inputs excepted, in execution order.

        Parameters
        ----------
        inputs : mapping of str to float Tensor, shape (batch, ...)
            Real inputs by the names of the model's.

        Returns
        -------
        dict of str to int64 array, shape (batch, numbers)
            By the Program's tensor; the numbers are in the order of the model's value `values[name]`.
        """
        return self._stored(self._run(inputs))

    def model_codes(self, inputs: Mapping[str, Tensor]) -> dict[str, NDArray[np.int64]]:
        """Return what `program_codes` does for the model itself, computed in double precision."""
        values = self._run(inputs)
        return {name: self._codes(name, values).reshape(-1, self.layouts[name].places.size) for name in self.values}

    def outputs(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what the model itself gives, by its output names."""
        values = self._run(inputs)
        return {name: values[name] for name in self.graph.outputs}

    def placed(self, codes: NDArray[np.integer], name: str) -> NDArray[np.int32]:
        """Return codes of a quantizer's value as the Program's tensor of this name holds them."""
        shape = self.lowered.program.tensor(name).shape
        found = np.zeros((len(codes), int(np.prod(shape))), np.int32)
        found[:, self.layouts[name].places.ravel()] = codes.reshape(len(codes), -1)
        return found.reshape(len(codes), *shape)

    def _given(self, values: Mapping[str, Tensor]) -> dict[str, NDArray[np.int32]]:
        return {tensor.name: self.placed(self._codes(tensor.name, values), tensor.name)
                for tensor in self.lowered.program.inputs}

    def _stored(self, values: Mapping[str, Tensor]) -> dict[str, NDArray[np.int64]]:
        program, given = self.lowered.program, self._given(values)
        made = [tensor.name for tensor in program.tensors if tensor.name in self.values and tensor.name not in given]
        found = Simulator(program, capture=made).run(given)
        return {name: found[name].reshape(len(found[name]), -1)[:, self.layouts[name].places.ravel()].astype(np.int64)
                for name in made}

    def _run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values = {name: self._rounded(name, value) for name, value in inputs.items()}
        return values | run(self.graph, values)

    def _rounded(self, name: str, value: Tensor) -> Tensor:
        """Return what an input means once its quantizer has rounded it, in single precision as the source does."""
        readers = self.graph.readers(name)
        if len(readers) != 1 or not isinstance(readers[0].operator, FakeQuantize):
            return value.double()
        operator = readers[0].operator
        scale, zero = (self.graph.constants[each].float() for each in readers[0].inputs[1:])
        codes = operator.codes(value.float(), scale, zero).double()
        return ((codes - zero.double()) * scale.double() - operator.shift) / operator.gain

    def _codes(self, name: str, values: Mapping[str, Tensor]) -> NDArray[np.int64]:
        node = self.graph.maker(self.values[name])
        assert node is not None
        return _codes_of(self.graph, node, values)


def is_quantized(graph: Graph) -> bool:
    """Return whether a model holds quantizers of another tool."""
    return any("uantize" in type(node.operator).__name__ for node in graph.nodes)


def import_quantized(graph: Graph, arithmetic: Arithmetic,
                     inputs: Mapping[str, InputCodes] | InputCodes | None = None) -> Imported:
    """Return the Program of a quantized model.

    Parameters
    ----------
    graph : Graph
        From a front end; changed.
    arithmetic : Arithmetic
        Of the Program. Its rounding should be that of the model, which is half to even for nearly all.
    inputs : InputCodes, or mapping of str to InputCodes, optional
        How the host gives those inputs for which the model has no quantizer.

    Raises
    ------
    InputError
        With all that has no counterpart on the machine, weights of more than 8 bits among them; if an input has no
        quantizer and is not described, or has one and is; or if a requantizer cannot be fitted.
    """
    graph.constants = {name: value.double() if value.is_floating_point() else value
                       for name, value in graph.constants.items()}
    normalise_quantized(graph)
    _describe_inputs(graph, inputs)
    module = emit(graph, quantized=True).double()
    layouts = stored_layouts(module)
    examples = tuple(torch.zeros(1, *given.shape) for given in graph.inputs)
    lowered = lower_with_report(module, examples[0] if len(examples) == 1 else Inputs(examples), arithmetic,
                                tolerance=TOLERANCE)
    stored = {tensor.name for tensor in lowered.program.tensors}  # some layers write a larger map, phase by phase
    names = {path: found for path in layouts if (found := name_of_quantizer(path)) in stored and found is not None}
    return Imported(lowered, graph, {name: layouts[path][1] for path, name in names.items()},
                    {name: layouts[path][0] for path, name in names.items()})


def bare_inputs(graph: Graph) -> list[str]:
    """Return the inputs of a normalised graph for which it has no quantizer."""
    return [given.name for given in graph.inputs
            if not any(isinstance(reader.operator, QUANTIZERS) for reader in graph.readers(given.name))]


def _describe_inputs(graph: Graph, inputs: Mapping[str, InputCodes] | InputCodes | None) -> None:
    """Let the inputs that have no quantizer be rounded as they are described."""
    names, bare = [given.name for given in graph.inputs], bare_inputs(graph)
    given = dict.fromkeys(bare or names, inputs) if isinstance(inputs, InputCodes) else dict(inputs or {})
    for name in given:
        if name not in names:
            raise InputError(f"the model has no input '{name}', but {', '.join(names)}")
        if name not in bare:
            raise InputError(f"the model has a quantizer for its input '{name}', which says what the codes mean")
    first = next(iter(graph.nodes), None)
    for name in bare:
        if name not in given:
            raise InputError(f"the model has no quantizer for its input '{name}'; say how the host gives it, as 8 "
                             "signed bits of which a code means 2**-5: signed:8:-5")
        _quantize_input(graph, name, given[name], first)


def _quantize_input(graph: Graph, name: str, codes: InputCodes, first: Node | None) -> None:
    """Let an input be rounded to codes before the `first` node."""
    value, scale, zero = (graph.fresh(f"{name}.{what}") for what in ("codes", "scale", "zero"))
    graph.redirect(name, value)
    graph.constants[scale] = torch.tensor(2.0**codes.exponent)
    graph.constants[zero] = torch.tensor(0.0)
    quantizer = Node(FakeQuantize(codes.format.low, codes.format.high, "half_up"), (name, scale, zero), value,
                     f"of input '{name}'")
    graph.add(quantizer, before=first)


def _codes_of(graph: Graph, node: Node, values: Mapping[str, Tensor]) -> NDArray[np.int64]:
    """Return the codes that a quantizer makes."""
    x, *rest = (values[name] if name in values else graph.constants[name] for name in node.inputs)
    if isinstance(node.operator, FakeQuantize):
        codes = node.operator.codes(x, *rest)
    else:
        codes = (node.operator.compute(x, *rest) > 0).double()
    return codes.to(torch.int64).numpy()
