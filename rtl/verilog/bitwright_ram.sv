// One-read, one-write synchronous memory, read latency 1; `rdata` holds its value while `ren` is low.
// TRANSPARENT = 1: reading the word that is being written gives the new one, else the old one.
// A word is written in granules of GRANULE bits, each with its own mask bit. There are no initial contents.
// This is the simulation model; put the foundry's or the FPGA's macro in its place.
module bitwright_ram #(
    parameter WIDTH = 8,
    parameter DEPTH = 16,
    parameter GRANULE = WIDTH,
    parameter TRANSPARENT = 0,
    parameter ADDRESS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input wire clk,
    input wire wen,
    input wire [ADDRESS-1:0] waddr,
    input wire [WIDTH-1:0] wdata,
    input wire [WIDTH/GRANULE-1:0] wmask,
    input wire ren,
    input wire [ADDRESS-1:0] raddr,
    output reg [WIDTH-1:0] rdata
);
    reg [WIDTH-1:0] mem [0:DEPTH-1];
    wire [WIDTH-1:0] enabled;

    genvar granule;
    generate
        for (granule = 0; granule < WIDTH / GRANULE; granule = granule + 1) begin : granules
            assign enabled[granule*GRANULE +: GRANULE] = {GRANULE{wmask[granule]}};
        end
    endgenerate

    always @(posedge clk) begin
        if (wen) mem[waddr] <= (mem[waddr] & ~enabled) | (wdata & enabled);
        if (ren) begin
            if (TRANSPARENT != 0 && wen && waddr == raddr) rdata <= (mem[raddr] & ~enabled) | (wdata & enabled);
            else rdata <= mem[raddr];
        end
    end
endmodule
