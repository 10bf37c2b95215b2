"""What the tool of a model, not Bitwright, computes: ONNX Runtime, the qonnx package, or torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import helper

__all__ = ["Reference", "exported", "reference_of"]

Arrays = Mapping[str, NDArray[Any]]
QONNX_DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")

IR_VERSION = 10


class Reference(ABC):
    """Values of a model by name, as its own tool computes them.

    Attributes
    ----------
    title : str
        What computes.
    holds_codes : bool
        Whether quantized values are given as codes, not as what they mean.
    """

    title = ""
    holds_codes = True

    @abstractmethod
    def run(self, images: NDArray[np.float32], wanted: Sequence[str]) -> tuple[NDArray[Any], Arrays]:
        """Return the model's first output, and those of the wanted values that the tool has."""


class _OnnxRuntime(Reference):
    """ONNX Runtime as it comes, with all its optimizations: int8 kernels wherever it has them."""

    title = f"ONNX Runtime {onnxruntime.__version__}"

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.shape_inference.infer_shapes(model)

    def run(self, images: NDArray[np.float32], wanted: Sequence[str]) -> tuple[NDArray[Any], Arrays]:
        """Return codes of quantized values: they are made outputs of the model, which leaves what is fused as it is."""
        model, graph = onnx.ModelProto(), self.model.graph
        model.CopyFrom(self.model)
        known = {value.name: value for value in graph.value_info}
        first, made = graph.output[0].name, {name for node in graph.node for name in node.output}
        names = [name for name in wanted if name in made and name != first]
        model.graph.output.extend(known.get(name, helper.make_empty_tensor_value_info(name)) for name in names)
        options = onnxruntime.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 3, 1
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        found = _joined([dict(zip([first, *names], session.run([first, *names], {graph.input[0].name: batch}),
                                  strict=True)) for batch in _batches(images, session.get_inputs()[0].shape[0])])
        return found[first], found


class _Qonnx(Reference):
    """The execution of the qonnx package, node by node."""

    holds_codes = False

    def __init__(self, path: Path) -> None:
        onnx.IR_VERSION = IR_VERSION  # of the models of one node that the package gives to ONNX Runtime
        self.package = import_module("qonnx.core.onnx_exec")
        wrapper = import_module("qonnx.core.modelwrapper")
        inference = import_module("qonnx.transformation.infer_shapes")
        self.model = wrapper.ModelWrapper(str(path)).transform(inference.InferShapes())
        self.title = f"qonnx {import_module('importlib.metadata').version('qonnx')}"

    def run(self, images: NDArray[np.float32], wanted: Sequence[str]) -> tuple[NDArray[Any], Arrays]:
        """Return values of real numbers; a model of a fixed batch gets the images part by part."""
        given, first = (getattr(self.model.graph, kind)[0].name for kind in ("input", "output"))
        shape = self.model.get_tensor_shape(given)
        parts = []
        for batch in _batches(images, shape[0]):
            context = self.package.execute_onnx(self.model, {given: batch.reshape(shape)}, True)
            parts.append({name: context[name] for name in (first, *wanted) if name in context})
        found = _joined(parts)
        return found[first], found


class _Torch(Reference):
    """The exported program in torch, node by node."""

    title = f"torch {torch.__version__}"

    def __init__(self, path: Path) -> None:
        self.module = exported(path).module()

    def run(self, images: NDArray[np.float32], wanted: Sequence[str]) -> tuple[NDArray[Any], Arrays]:
        """Return codes by the names of the program's nodes."""
        runner = _Recorder(self.module, set(wanted))
        with torch.inference_mode():
            (made,) = torch.utils._pytree.tree_leaves(runner.run(torch.from_numpy(images)))
        return made.numpy(), runner.found


class _Recorder(torch.fx.Interpreter):
    def __init__(self, module: torch.fx.GraphModule, wanted: set[str]) -> None:
        super().__init__(module)
        self.wanted, self.found = wanted, dict[str, NDArray[Any]]()

    def run_node(self, n: torch.fx.Node) -> Any:
        made = super().run_node(n)
        if n.name in self.wanted:
            self.found[n.name] = made.numpy()
        return made


def _batches(images: NDArray[np.float32], size: int | str | None) -> list[NDArray[np.float32]]:
    """Return images in batches of the size that a file fixes, or all if it fixes none."""
    return np.split(images, range(size, len(images), size)) if isinstance(size, int) else [images]


def _joined(parts: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def exported(path: Path) -> torch.export.ExportedProgram:
    """Load what torch.export has saved of a model of PT2E."""
    import_module("torch.ao.quantization.fx._decomposed")  # registers the operators
    return torch.export.load(path)


def reference_of(path: Path) -> Reference:
    """Return what a file's own tool is."""
    if path.suffix == ".pt2":
        return _Torch(path)
    model = onnx.load(path)
    if any(node.domain in QONNX_DOMAINS for node in model.graph.node):
        return _Qonnx(path)
    return _OnnxRuntime(model)
