import cocotb

import bitwright.testbench as tb

LIMITS = tb.LayerLimits(
    weights=tb.Format(8, "signed"), inputs=tb.Format(8, "unsigned"), outputs=tb.Format(8, "signed"), acc_bits=24,
    multiplier_bits=8, most_shift=20, offset_bits=16, before_multiplier=True, rounding="half_up", channels_in=(4, 4),
    channels_out=(4, 4), kernel=(3, 3), extent=(3, 4), relu=False)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(pattern=["none", "half"])
async def equals_the_reference(dut, pattern):
    await tb.start(dut.clk, dut.rst)
    loader = tb.StreamSource(tb.Stream.of(dut, "clk", "w_*", tb.Lanes(1, len(dut.w_data))))
    pixels = tb.StreamSource(tb.Stream.of(dut, "clk", "x_*", tb.Lanes(8, 4)), tb.gaps(pattern, tb.seed()))
    codes = tb.StreamSink(tb.Stream.of(dut, "clk", "y_*", tb.Lanes(8, 4, signed=True)), tb.gaps(pattern, tb.seed() + 1))
    board, coverage = tb.Scoreboard(), tb.ProgramCoverage()
    for number, layer in enumerate(tb.random_layers(LIMITS, tb.seed(), count=6)):
        board.expect(f"layer {number}", layer.outputs, order="nhwc", sums=layer.sums, requantizer=layer.requantizer)
        coverage.add_run(layer.program, {"x": layer.codes})
        for channel, taps in enumerate(layer.weights.transpose(0, 2, 3, 1).reshape(4, 36)):
            fields = (layer.bias[channel], 16), (layer.shift[channel], 5), (layer.multiplier[channel], 8)
            loader.send_words([tb.join(*((tap, 8) for tap in taps), *fields)])
        await loader.sent()
        for window in layer.operands.reshape(-1, 36):
            pixels.send(window)
        board.take(f"layer {number}", await codes.receive(layer.outputs.size // 4))
    coverage.check(goal=80)
    board.check()
