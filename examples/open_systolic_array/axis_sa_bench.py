import cocotb

import bitwright.testbench as tb

ROWS, COLUMNS = 4, 8  # pixels and output channels at once
LIMITS = tb.LayerLimits(
    weights=tb.Format(8, "signed"), inputs=tb.Format(8, "signed"), outputs=tb.Format(8, "signed"), acc_bits=24,
    channels_in=(19, 30), channels_out=(COLUMNS, COLUMNS), kernel=(1, 1), extent=(1, 6), stride=(1, 1), padding=(0, 0))


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(pattern=["none", "half", "many", "bursts"])
async def sums_are_right(dut, pattern):
    await tb.start(dut.clk, dut.rstn, active_low=True)
    data, lanes = tb.Joined(dut.sx_data, dut.sk_data), tb.Lanes(8, ROWS + COLUMNS, signed=True)
    source = tb.StreamSource(tb.Stream(dut.clk, dut.s_valid, dut.s_ready, data, lanes, dut.s_last),
                             tb.gaps(pattern, tb.seed()))
    outputs = tb.Stream.of(dut, "clk", "m_*", tb.Lanes(24, ROWS, signed=True))
    sink = tb.StreamSink(outputs, tb.gaps(pattern, tb.seed() + 1))
    board = tb.Scoreboard()
    for number, layer in enumerate(tb.random_layers(LIMITS, tb.seed(), count=12)):
        pixels, weights = layer.codes.transpose(0, 2, 3, 1).reshape(-1, layer.codes.shape[1]), layer.weights[:, :, 0, 0]
        pixels = pixels[: len(pixels) // ROWS * ROWS].reshape(-1, ROWS, layer.codes.shape[1])
        board.expect(f"layer {number}", pixels @ weights.T, order=[
            (tile, row, column) for tile in range(len(pixels)) for column in range(COLUMNS) for row in range(ROWS)])
        for tile in pixels:
            source.send([code for both in zip(tile.T, weights.T, strict=True) for codes in both for code in codes])
        board.take(f"layer {number}", await sink.receive(len(pixels) * COLUMNS))
    board.check()
