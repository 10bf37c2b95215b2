// One-read, one-write synchronous memory, read latency 1; `rdata` holds its value while `ren` is low.
// TRANSPARENT = 1: reading the word that is being written gives the new one, else the old one.
// A word is written in granules of GRANULE bits, each with its own mask bit. There are no initial contents.
// Simulators run it, and FPGA tools infer block RAM from it; for a chip, put the foundry's macro in its place.
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
    integer granule;

    // An undefined mask bit makes its granule undefined.
    always @(posedge clk) begin
        if (wen)
            for (granule = 0; granule < WIDTH / GRANULE; granule = granule + 1)
                if (wmask[granule] !== 1'b0)
                    mem[waddr][granule*GRANULE +: GRANULE]
                        <= wmask[granule] ? wdata[granule*GRANULE +: GRANULE] : {GRANULE{1'bx}};
        if (ren) begin
            rdata <= mem[raddr];
            for (granule = 0; granule < WIDTH / GRANULE; granule = granule + 1)
                if (TRANSPARENT != 0 && wen && waddr == raddr && wmask[granule] !== 1'b0)
                    rdata[granule*GRANULE +: GRANULE]
                        <= wmask[granule] ? wdata[granule*GRANULE +: GRANULE] : {GRANULE{1'bx}};
        end
    end
endmodule
