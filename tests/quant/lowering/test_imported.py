"""Models that other tools have quantized become Programs with the same codes, and say where they do not."""

import re
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from quant.frontends.aten.exported import graph_of_module
from quant.frontends.onnx.convert import graph_of_model
from quant.lowering.imported import Imported, InputCodes, import_quantized
from sim.errors import InputError
from sim.functional.engine.simulator import Simulator
from sim.ir.arithmetic import Arithmetic
from sim.ir.formats import Format

EVEN = Arithmetic(rounding="half_even")


class Writer:
    """Writes a model node by node."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, domain=domain, **attributes))
        return name

    def constant(self, array: Any, dtype: type[np.generic] = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def stored(self, x: str, scale: float, zero: int = 0, dtype: type[np.generic] = np.uint8) -> str:
        """Round a value to codes and back."""
        names = self.constant(scale), self.constant(zero, dtype)
        return self.node("DequantizeLinear", self.node("QuantizeLinear", x, *names), *names)

    def weights(self, codes: Any, scale: Any, dtype: type[np.generic] = np.int8, zero: int = 0, axis: int = 0) -> str:
        """Return values of codes, with a scale for each output channel or one for all."""
        zeros = np.full(np.shape(scale), zero)
        return self.node("DequantizeLinear", self.constant(codes, dtype), self.constant(scale),
                         self.constant(zeros, dtype), axis=axis)

    def model(self, shape: Sequence[int], *outputs: str, opset: int = 21) -> onnx.ModelProto:
        value = helper.make_tensor_value_info
        graph = helper.make_graph(self.nodes, "net", [value("x", TensorProto.FLOAT, ["n", *shape])],
                                  [value(name, TensorProto.FLOAT, None) for name in outputs], self.constants)
        return helper.make_model(graph, ir_version=10, opset_imports=[
            helper.make_opsetid("", opset), helper.make_opsetid("qonnx.custom_op.general", 1)])


def residual_network(rng: np.random.Generator, scales: Sequence[float]) -> tuple[onnx.ModelProto, list[str]]:
    """Return a small network with a residual, a max pool, a depthwise layer and a linear one, and what it stores."""
    w, stored = Writer(), []
    step, first, second, last = scales

    def weights(*shape: int) -> str:
        return w.weights(rng.integers(-127, 128, shape), [step * 2.0**(place % 3) for place in range(shape[0])])

    def bias(count: int) -> str:
        return w.constant(rng.integers(-40, 40, count) * step * first)

    x = w.stored("x", first, 3)
    y = w.stored(w.node("Relu", w.node("Conv", x, weights(4, 2, 3, 3), bias(4), pads=[1, 1, 1, 1])), second)
    stored.append(y)
    z = w.stored(w.node("Conv", y, weights(4, 1, 3, 3), bias(4), group=4, pads=[1, 1, 1, 1]), second, 100)
    stored.append(z)
    total = w.stored(w.node("Relu", w.node("Add", y, z)), second)
    stored.append(total)
    pooled = w.stored(w.node("MaxPool", total, kernel_shape=[2, 2], strides=[2, 2]), second)
    row = w.node("Flatten", pooled)
    made = w.stored(w.node("Gemm", row, weights(5, 36), bias(5), transB=1), last, 0, np.int8)
    stored.append(made)
    return w.model((2, 6, 6), made, *stored[:-1]), stored


def reference(model: onnx.ModelProto, x: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return what ONNX Runtime computes as the model is written, without fusing anything."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"x": x}), strict=True))


def values_of(imported: Imported, inputs: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Return the values that the Program's codes mean, by the value that they stand for in the model."""
    program = imported.lowered.program
    tensors = {tensor.name: tensor for tensor in program.tensors}
    given = imported.input_codes(inputs)
    found = Simulator(program, capture=sorted(imported.values.keys() - given.keys())).run(given)
    return {imported.values[name]: (codes - tensors[name].format.zero_point) * imported.lowered.scales[name]
            for name, codes in found.items() if name in imported.values}


@pytest.mark.parametrize("seed", range(3))
def test_power_of_two_scales_give_the_codes_of_onnx_runtime(seed: int) -> None:
    """Every stored tensor of a network with residual, depthwise, pooled and linear layers has ONNX Runtime's codes."""
    rng = np.random.default_rng(seed)
    model, stored = residual_network(rng, (2.0**-8, 2.0**-5, 2.0**-4, 2.0**-3))
    x = rng.normal(0, 1, (16, 2, 6, 6)).astype(np.float32)
    imported = import_quantized(graph_of_model(model), EVEN)
    inputs = {"x": torch.from_numpy(x)}
    assert [found.differing for found in imported.compare(inputs)] == [0] * len(stored)
    expected, got = reference(model, x), values_of(imported, inputs)
    by_name = {name.removeprefix("quantizelinear"): value for name, value in got.items()}
    assert len(by_name) == len(got)
    for name in stored:
        place = int(name.rpartition("_")[2]) - 1  # the codes are made by the node before
        value = got[f"quantizelinear_{place}"]
        np.testing.assert_array_equal(value.reshape(expected[name].shape).astype(np.float32), expected[name])


@pytest.mark.parametrize(("axes", "groups"), [(2, 1), (1, 1), (2, 2)])
def test_larger_maps_and_functions_have_the_codes_of_onnx_runtime(axes: int, groups: int) -> None:
    """A transposed layer of maps or sequences, repeated pixels, and functions of codes, alone and one of another."""
    rng, w = np.random.default_rng(axes + groups), Writer()
    kernel = (3, 4)[:axes]
    x = w.stored("x", 2.0**-5, 3)
    steps = 2.0**-7 if groups > 1 else 2.0 ** -np.arange(7, 7 + 6 // groups)
    weights = w.weights(rng.integers(-127, 128, (4, 6 // groups, *kernel)), steps, axis=1)
    up = w.stored(w.node("ConvTranspose", x, weights, w.constant(rng.integers(-40, 40, 6) * 2.0**-12), group=groups,
                         strides=[2] * axes, pads=[1, 0] * axes), 2.0**-4, 120)
    gate = w.stored(w.node("Mul", up, w.stored(w.node("Sigmoid", up), 2.0**-8)), 2.0**-5, 9)
    leaky = w.stored(w.node("LeakyRelu", gate, alpha=0.3), 2.0**-5, -20, np.int8)
    large = w.node("Resize", leaky, "", w.constant([1, 1, *[2] * axes]), mode="nearest", nearest_mode="floor",
                   coordinate_transformation_mode="asymmetric")
    weights = w.weights(rng.integers(-127, 128, (3, 6, *kernel)), 2.0**-9)
    last = w.stored(w.node("Conv", large, weights), 2.0**-2, 7, np.int8)
    model = w.model((4, 5, 6)[:axes + 1], last, leaky)
    x_values = rng.normal(size=(3, *(4, 5, 6)[:axes + 1])).astype(np.float32) * 2
    found = values_of(import_quantized(graph_of_model(model), EVEN), {"x": torch.from_numpy(x_values)})
    wanted = reference(model, x_values)
    for name in (leaky, last):
        codes = f"quantizelinear_{int(name.rpartition('_')[2]) - 1}"  # are made by the node before
        np.testing.assert_array_equal(found[codes].reshape(wanted[name].shape), wanted[name])


def test_slopes_of_channels_and_pixels_between_have_the_codes_of_onnx_runtime() -> None:
    """The negative part of a PReLU has the codes of what the PReLU reads."""
    rng, w = np.random.default_rng(0), Writer()
    weights, others = (w.weights(rng.integers(-127, 128, shape), 2.0**-8) for shape in ((4, 3, 1, 1), (2, 4, 1, 1)))
    first = w.stored(w.node("Conv", w.stored("x", 2.0**-5, 3), weights), 2.0**-4, 120)
    slopes = w.constant(np.float32([0.25, 0.375, 0.5, -0.125]).reshape(4, 1, 1))
    bent = w.stored(w.node("PRelu", first, slopes), 2.0**-5, 60)
    large = w.stored(w.node("Resize", bent, "", w.constant([1, 1, 2, 4]), mode="linear"), 2.0**-5, 70)
    last = w.stored(w.node("Conv", large, others), 2.0**-2, 7, np.int8)
    model = w.model((3, 5, 6), last, bent, large)
    x = rng.normal(size=(3, 3, 5, 6)).astype(np.float32) * 2
    found = values_of(import_quantized(graph_of_model(model), EVEN), {"x": torch.from_numpy(x)})
    wanted = reference(model, x)
    for name in (bent, large, last):
        np.testing.assert_array_equal(found[f"quantizelinear_{int(name.rpartition('_')[2]) - 1}"], wanted[name])


def test_other_scales_are_compared_and_nothing_is_hidden() -> None:
    """With scales that are no powers of two few codes differ, and the comparison finds what ONNX Runtime has."""
    rng = np.random.default_rng(5)
    model, stored = residual_network(rng, (0.0041, 0.031, 0.077, 0.13))
    x = rng.normal(0, 1, (16, 2, 6, 6)).astype(np.float32)
    imported = import_quantized(graph_of_model(model), replace(EVEN, terms=8, window=16))
    found = imported.compare({"x": torch.from_numpy(x)})
    assert len(found) == len(stored)
    assert all(each.share < 0.05 for each in found)
    assert any(each.differing for each in found)
    coarser = import_quantized(graph_of_model(model), replace(EVEN, terms=2)).compare({"x": torch.from_numpy(x)})
    assert all(less.share < more.share for less, more in zip(found, coarser, strict=True))
    expected, got = reference(model, x), values_of(imported, {"x": torch.from_numpy(x)})
    for each, name in zip(found, stored, strict=True):
        place = int(name.rpartition("_")[2]) - 1
        away = np.abs(got[f"quantizelinear_{place}"].reshape(expected[name].shape) - expected[name])
        step = imported.lowered.scales[each.name]
        assert int((away > step / 2).sum()) == pytest.approx(each.differing, abs=2)  # single precision may round a tie


def bipolar_network(rng: np.random.Generator) -> onnx.ModelProto:
    """Return a network of bipolar weights and tensors with any BatchNorms, as Brevitas writes them."""
    w = Writer()

    def quant(x: str) -> str:
        return w.node("BipolarQuant", x, w.constant(1.0), domain="qonnx.custom_op.general")

    x = w.node("Sub", w.node("Mul", w.node("Reshape", "x", w.constant([-1, 16], np.int64)), w.constant(2.0)),
               w.constant(1.0))
    for inputs, outputs in ((16, 24), (24, 12)):
        weight = w.node("Transpose", quant(w.constant(rng.normal(size=(outputs, inputs)))), perm=[1, 0])
        norm = [w.constant(numbers) for numbers in (rng.uniform(0.5, 2, outputs), rng.normal(0, 1, outputs),
                                                    rng.normal(0, 2, outputs), rng.uniform(5, 50, outputs))]
        x = w.node("BatchNormalization", w.node("MatMul", quant(x), weight), *norm)
    return w.model((1, 4, 4), x, opset=15)


@pytest.mark.parametrize("seed", range(3))
def test_bipolar_networks_are_exact(seed: int) -> None:
    """Signs behind any BatchNorm are the model's, so that all that is left are roundings of its real output."""
    rng = np.random.default_rng(seed)
    imported = import_quantized(graph_of_model(bipolar_network(rng)), EVEN)
    x = torch.from_numpy(rng.random((200, 1, 4, 4)).astype(np.float32))
    (found,) = imported.compare({"x": x})
    assert (found.differing, found.codes) == (0, 200 * 24)
    formats = {str(conv.weight_format) for conv in imported.lowered.program.convs}
    assert formats == {"bipolar1"}
    assert [str(tensor.format) for tensor in imported.lowered.program.tensors[:2]] == ["unsigned1", "unsigned1"]


@pytest.mark.parametrize("norm", [None, (0.5, 0.0), (-2.0, 0.0), (0.25, -0.5)])
def test_a_sign_is_plus_at_zero(norm: tuple[float, float] | None) -> None:
    """Sums of 0 occur, and are not rounded to the even code, whatever multiplies or shifts them."""
    w = Writer()
    summed = w.node("Conv", w.stored("x", 0.5), w.weights([[[[1]], [[-1]]], [[[1]], [[1]]]], 0.25))
    if norm is not None:
        summed = w.node("Add", w.node("Mul", summed, w.constant(norm[0])), w.constant(norm[1]))
    made = w.node("BipolarQuant", summed, w.constant(0.5), domain="qonnx.custom_op.general")
    imported = import_quantized(graph_of_model(w.model((2, 3, 3), made)), EVEN)
    x = torch.randint(-4, 5, (50, 2, 3, 3), generator=torch.Generator().manual_seed(0)) * 0.5
    (found,) = imported.compare({"x": x})
    assert (found.codes, found.differing) == (900, 0)
    (value,) = imported.outputs({"x": x}).values()
    total = x[:, 0] - x[:, 1]
    assert bool((value[:, 0][total == (0 if norm is None else -norm[1] / norm[0] / 0.25)] == 0.5).all())


@pytest.mark.parametrize("scale", [0.0, -0.5])
def test_scales_are_above_zero(scale: float) -> None:
    """One sentence says where another one is."""
    w = Writer()
    summed = w.node("Conv", w.stored("x", 0.5), w.weights([[[[1]]]], 0.5))
    made = w.node("Quant", summed, w.constant(scale), w.constant(0), w.constant(4), domain="qonnx.custom_op.general")
    text = f"the scale of the quantizer node '{made}' must be above 0 and finite, not {scale:g}"
    with pytest.raises(InputError, match=f"^{text}$"):
        import_quantized(graph_of_model(w.model((1, 2, 2), made)), EVEN)


def test_an_input_without_a_quantizer_must_be_described() -> None:
    """Its codes are the user's: said once, the Program rounds the input as told."""
    w = Writer()
    made = w.stored(w.node("Relu", w.node("Conv", "x", w.weights([[[[1]]], [[[2]]]], 0.5))), 0.25)
    model = w.model((1, 2, 2), made)
    sentence = ("the model has no quantizer for its input 'x'; say how the host gives it, as 8 signed bits of which a "
                "code means 2**-5: signed:8:-5")
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
        import_quantized(graph_of_model(model), EVEN)
    codes = InputCodes(Format(8, "signed"), -2)
    with pytest.raises(InputError, match=r"^the model has no input 'y', but x$"):
        import_quantized(graph_of_model(model), EVEN, {"y": codes})
    own = r"^the model has a quantizer for its input 'x', which says what the codes mean$"
    with pytest.raises(InputError, match=own):
        import_quantized(graph_of_model(one_layer([[[[1]]]], np.int8, 0)), EVEN, codes)
    imported = import_quantized(graph_of_model(model), EVEN, {"x": codes})
    x = torch.tensor([[[[0.3, 1.0], [-1.0, 0.5]]]])
    assert imported.input_codes({"x": x})["x.codes"].tolist() == [[[[1, 4], [-4, 2]]]]
    assert [each.differing for each in imported.compare({"x": x})] == [0]


def test_several_inputs_have_codes_of_their_own() -> None:
    """A sum of two inputs with other scales and zero points is the model's."""
    w = Writer()
    total = w.stored(w.node("Add", w.stored("x", 0.5, 7), w.stored("y", 0.25, 100)), 0.5, 30)
    model = w.model((2, 3), total)
    model.graph.input.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2, 3]))
    imported = import_quantized(graph_of_model(model), EVEN)
    generator = torch.Generator().manual_seed(2)
    inputs = {name: 9 * torch.randn(30, 2, 3, generator=generator) for name in ("x", "y")}
    assert len(imported.lowered.program.inputs) == 2
    assert [found.differing for found in imported.compare(inputs)] == [0]


def one_layer(weights: Any, dtype: type[np.generic], zero: int) -> onnx.ModelProto:
    """Return a network of one convolution."""
    w = Writer()
    layer = w.node("Conv", w.stored("x", 0.5), w.weights(weights, 0.5, dtype, zero))
    return w.model((1, 2, 2), w.stored(layer, 0.25))


def test_what_the_machine_cannot_hold_is_refused() -> None:
    """Weights whose zero point makes them 9 bits wide are refused by that reason; narrower ones are taken."""
    import_quantized(graph_of_model(one_layer([[[[227]]], [[[0]]]], np.uint8, 100)), EVEN)
    sentence = ("the weights of Conv node 'conv_3' reach from -100 to 155 steps, which takes 9 bits; the machine's "
                "have at most 8")
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
        import_quantized(graph_of_model(one_layer([[[[255]]], [[[0]]]], np.uint8, 100)), EVEN)


class Exported(nn.Module):
    """What PT2E makes of a convolution, a residual and a max pool: integer weights, and rounding to codes and back."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.codes = nn.Buffer(torch.randint(-127, 128, (2, 2, 3, 3), generator=generator, dtype=torch.int8))
        self.steps = nn.Buffer(torch.tensor([2.0**-6, 2.0**-7]))
        self.zeros = nn.Buffer(torch.zeros(2, dtype=torch.int64))
        self.bias = nn.Parameter(torch.tensor([0.3, -1.2]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = rounded(x, 2.0**-4, 128)
        weight = torch.ops.quantized_decomposed.dequantize_per_channel(
            self.codes, self.steps, self.zeros, 0, -127, 127, torch.int8)
        y = torch.relu(torch.conv2d(x, weight, self.bias, padding=1) + x)
        return rounded(nn.functional.max_pool2d(y, 2).flatten(1), 2.0**-3, 0)


def rounded(x: torch.Tensor, scale: float, zero: int) -> torch.Tensor:
    of = scale, zero, 0, 255, torch.uint8
    codes = torch.ops.quantized_decomposed.quantize_per_tensor(x, *of)
    found: torch.Tensor = torch.ops.quantized_decomposed.dequantize_per_tensor(codes, *of)
    return found


def test_models_of_pt2e_are_taken() -> None:
    """Integer weights of a buffer stay codes, and a quantizer behind a max pool stands before it."""
    import_module("torch.ao.quantization.fx._decomposed")  # registers the operators
    model, x = Exported(), torch.randn(20, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    imported = import_quantized(graph_of_module(model, (x[:3],)), EVEN)
    (name,) = (given.name for given in imported.graph.inputs)
    assert [found.differing for found in imported.compare({name: x})] == [0]
    torch.testing.assert_close(imported.outputs({name: x})[imported.graph.outputs[0]].float(), model(x), rtol=0, atol=0)
    (conv,) = [conv for conv in imported.lowered.program.convs if not conv.weight_format.kind == "unit"]
    assert sorted(map(abs, conv.weights.ravel().tolist())) == sorted(map(abs, model.codes.flatten().tolist()))


def test_products_of_steps_are_not_rounded() -> None:
    """Steps whose product is 1/158 of a code lead to sums that are all but ties, and those go where they should."""
    w, rng = Writer(), np.random.default_rng(3)
    steps = [np.float32(1 / 255), np.float32(0.020851589739322662), np.float32(0.012919810600578785)]
    codes = w.node("QuantizeLinear", "x", w.constant(steps[0]), w.constant(0, np.uint8))
    layer = w.node("QLinearConv", codes, w.constant(steps[0]), w.constant(0, np.uint8),
                   w.constant(rng.integers(-127, -60, (64, 1, 1, 1)), np.int8), w.constant(steps[1]),
                   w.constant(0, np.int8), w.constant(steps[2]), w.constant(0, np.uint8),
                   w.constant(rng.integers(10000, 20000, 64), np.int32))
    model = w.model((1, 1, 256), w.node("DequantizeLinear", layer, w.constant(steps[2]), w.constant(0, np.uint8)))
    imported = import_quantized(graph_of_model(model), EVEN)
    x = torch.arange(256).reshape(1, 1, 1, 256) * float(steps[0])
    (found,) = imported.outputs({"x": x}).values()
    (wanted,) = reference(model, x.numpy().astype(np.float32)).values()
    np.testing.assert_array_equal(found.float().numpy(), wanted)


def test_long_names_of_values_stay_apart() -> None:
    """Names in folders, as torch exports them, are cut to parts that differ, and every stored tensor is compared."""
    w = Writer()
    x = w.stored(w.node("Relu", w.stored("x", 0.5)), 0.25)
    model = w.model((1, 2, 2), w.stored(w.node("Conv", x, w.weights([[[[3]]]], 0.5)), 0.25))
    for place, node in enumerate(node for node in w.nodes if node.op_type == "QuantizeLinear"):
        for other in model.graph.node:
            for names in (other.input, other.output):
                names[:] = [f"/net/a_name_of_more_than_twenty_letters_{place}" if name == node.output[0] else name
                            for name in names]
    imported = import_quantized(graph_of_model(model), EVEN)
    assert list(imported.values) == [f"net.a_name_of_more_than_{end}" for end in ("", "_1", "_2")]
    assert [found.differing for found in imported.compare({"x": torch.randn(5, 1, 2, 2)})] == [0, 0]


def test_the_host_rounds_inputs_in_single_precision() -> None:
    """Of a step of 7/255 a half is 127.5 steps in single precision, as ONNX Runtime has it, and not in double."""
    w, step = Writer(), np.float32(7 / 255)
    layer = w.node("Conv", w.stored("x", float(step), 110), w.weights([[[[1]]]], 0.5))
    model = w.model((1, 1, 256), w.stored(layer, float(step) / 2, 110))
    x = np.arange(-128, 128, dtype=np.float32).reshape(1, 1, 1, 256) / 32
    imported = import_quantized(graph_of_model(model), EVEN)
    (codes,) = imported.input_codes({"x": torch.from_numpy(x)}).values()
    (wanted,) = reference(model, x).values()
    np.testing.assert_array_equal(((codes - 110) * (step / 2)).astype(np.float32), wanted)


@pytest.mark.parametrize("operator", [False, True], ids=["qdq", "qoperator"])
def test_quantized_answers_are_left_to_the_host(*, operator: bool) -> None:
    """A softmax whose shares are rounded again is the host's, with its rounding; the Program ends with its operand."""
    w = Writer()
    layer = w.node("Gemm", w.stored("x", 0.25), w.weights([[3, -5], [7, 1]], 0.5), transB=1)
    scale, zero, share = w.constant(0.5), w.constant(3, np.uint8), w.constant(1 / 256)
    none = w.constant(0, np.uint8)
    codes = w.node("QuantizeLinear", layer, scale, zero)
    if operator:
        shares = w.node("QLinearSoftmax", codes, scale, zero, share, none, domain="com.microsoft", axis=-1, opset=13)
    else:
        softmax = w.node("Softmax", w.node("DequantizeLinear", codes, scale, zero))
        shares = w.node("QuantizeLinear", softmax, share, none)
    model = w.model((2,), w.node("DequantizeLinear", shares, share, none))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    imported = import_quantized(graph_of_model(model), EVEN)
    x = torch.linspace(-3, 3, 40).reshape(20, 2)
    assert [found.differing for found in imported.compare({"x": x})] == [0]
    assert [kind.partition(" ")[0] for kind in imported.lowered.host] == ["softmax", "fakequantize"]
    (made,) = imported.outputs({"x": x}).values()
    (wanted,) = reference(model, x.numpy()).values()
    assert np.abs(made.numpy() - wanted).max() <= 1 / 256
