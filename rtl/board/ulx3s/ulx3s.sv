// The accelerator on a ULX3S (https://ulx3s.github.io), at its oscillator's 25 MHz, behind the USB serial line.
module ulx3s (
    input wire clk_25mhz,
    input wire ftdi_txd,
    output wire ftdi_rxd,
    output wire [7:0] led,
    output wire wifi_gpio0
);
    // Configuration sets registers with an initial value; all others need cycles of reset.
    reg [7:0] age = 8'd0;
    wire rst = !age[7];
    wire busy, irq;

    always @(posedge clk_25mhz)
        if (rst) age <= age + 8'd1;

    bitwright_board board (.clk(clk_25mhz), .rst(rst), .rx(ftdi_txd), .tx(ftdi_rxd), .busy(busy), .irq(irq));

    assign led = {!rst, 5'd0, irq, busy};
    assign wifi_gpio0 = 1'b1;  // keeps the board's other processor from taking the line over
endmodule
