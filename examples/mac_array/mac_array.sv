// A small MAC array with a requantizer, written by hand: OUTPUTS channels at once from LANES input channels a cycle.
//
// The stream `w` loads one output channel with each word: weights tap by tap, bias, shift, multiplier, from bit 0 on.
// The stream `x` brings the codes under the window, a tap of all lanes with each word; `x_last` ends a pixel.
// The stream `y` gives the codes of all output channels of a pixel in a word.
module mac_array #(
    parameter LANES = 4, parameter OUTPUTS = 4, parameter TAPS = 9,
    parameter ACC_BITS = 24, parameter BIAS_BITS = 16, parameter MULTIPLIER_BITS = 8, parameter SHIFT_BITS = 5,
    parameter AWAY = 1  // the bug: 1 rounds ties of negative numbers away from zero, 0 rounds ties up as specified
) (
    input  wire clk, input wire rst,
    input  wire w_valid, output wire w_ready,
    input  wire [MULTIPLIER_BITS+SHIFT_BITS+BIAS_BITS+TAPS*LANES*8-1:0] w_data,
    input  wire x_valid, output wire x_ready, input wire [LANES*8-1:0] x_data, input wire x_last,
    output reg  y_valid, input wire y_ready, output reg [OUTPUTS*8-1:0] y_data
);
    localparam PRODUCT_BITS = ACC_BITS + MULTIPLIER_BITS + 2;
    reg signed [7:0] weights [0:OUTPUTS*TAPS*LANES-1];
    reg signed [BIAS_BITS-1:0] bias [0:OUTPUTS-1];
    reg [SHIFT_BITS-1:0] shift [0:OUTPUTS-1];
    reg [MULTIPLIER_BITS-1:0] multiplier [0:OUTPUTS-1];
    reg signed [ACC_BITS-1:0] acc [0:OUTPUTS-1];
    reg [$clog2(OUTPUTS)-1:0] loading;
    reg [$clog2(TAPS)-1:0] tap;
    wire take = x_valid && x_ready;
    assign w_ready = 1'b1;
    assign x_ready = !y_valid || y_ready;

    function signed [ACC_BITS-1:0] summed(input integer o);
        integer lane;
        begin
            summed = tap == 0 ? {{(ACC_BITS-BIAS_BITS){bias[o][BIAS_BITS-1]}}, bias[o]} : acc[o];
            for (lane = 0; lane < LANES; lane = lane + 1)
                summed = summed + weights[(o * TAPS + tap) * LANES + lane] * $signed({1'b0, x_data[lane*8 +: 8]});
        end
    endfunction

    function [7:0] requantized(input integer o, input signed [ACC_BITS-1:0] total);
        reg signed [PRODUCT_BITS-1:0] product, half;
        begin
            product = total * $signed({1'b0, multiplier[o]});
            half = shift[o] == 0 ? 0 : 1 <<< (shift[o] - 1);
            if (AWAY && product < 0 && half != 0) half = half - 1;
            product = (product + half) >>> shift[o];
            requantized = product < -128 ? 8'h80 : product > 127 ? 8'h7f : product[7:0];
        end
    endfunction

    integer i, o;
    always @(posedge clk) begin
        if (rst) begin
            loading <= 0; tap <= 0; y_valid <= 0;
        end else begin
            if (w_valid) begin
                loading <= loading == OUTPUTS - 1 ? 0 : loading + 1;
                for (i = 0; i < TAPS * LANES; i = i + 1) weights[loading * TAPS * LANES + i] <= w_data[i*8 +: 8];
                {multiplier[loading], shift[loading], bias[loading]} <= w_data >> TAPS * LANES * 8;
            end
            if (y_ready) y_valid <= 0;
            if (take) begin
                tap <= x_last ? 0 : tap + 1;
                for (o = 0; o < OUTPUTS; o = o + 1) begin
                    acc[o] <= summed(o);
                    y_data[o*8 +: 8] <= requantized(o, summed(o));
                end
                y_valid <= x_last;
            end
        end
    end
endmodule
