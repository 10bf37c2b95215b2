// A smoke test without any library: loads a small Program, runs it twice, checks every result and the cycle count.
// Prints PASS or FAIL. From this folder:
//   $ iverilog -g2012 -s bitwright_smoke -o smoke -f bitwright.f bitwright_smoke.sv && vvp smoke
//   $ verilator --binary --top-module bitwright_smoke -f bitwright.f bitwright_smoke.sv && obj_dir/Vbitwright_smoke
module bitwright_smoke;
    `include "bitwright_smoke.svh"

    reg clk = 1'b0;
    reg rst = 1'b1;
    always #5 clk = ~clk;

    // What is sent, {last, data}: the program image, then the beats of a run. What must come, {last, care, data}.
    reg [WIDTH:0] sent [0:IMAGE_BEATS+STREAM_BEATS-1];
    reg [2*WIDTH:0] expected [0:RESULT_BEATS-1];
    initial begin
        $readmemh("bitwright_smoke_sent.hex", sent);
        $readmemh("bitwright_smoke_expected.hex", expected);
    end

    // Streams: always valid up to `limit`, always ready.
    integer position = 0;
    integer limit = 0;
    integer results = 0;
    integer differences = 0;
    reg again = 1'b0;
    wire send_ready, result_valid, result_last;
    wire [WIDTH-1:0] result;
    wire send_valid = position < limit;
    wire [WIDTH:0] beat = send_valid ? sent[position] : {WIDTH+1{1'b0}};
    wire [2*WIDTH:0] wanted = results < RESULT_BEATS ? expected[results] : {2*WIDTH+1{1'b0}};
    wire right = results < RESULT_BEATS && result_last === wanted[2*WIDTH]
        && ((result ^ wanted[WIDTH-1:0]) & wanted[2*WIDTH-1:WIDTH]) === {WIDTH{1'b0}};
    always @(posedge clk) begin
        if (again) begin
            position <= IMAGE_BEATS;
            results <= 0;
        end else begin
            if (send_valid && send_ready) position <= position + 1;
            if (result_valid && !rst) begin
                results <= results + 1;
                if (!right) differences <= differences + 1;
            end
        end
    end

    // AXI4-Lite, driven at falling edges.
    reg [11:0] address = 12'h000;
    reg [31:0] write_data = 32'h0;
    reg write_address_valid = 1'b0, write_valid = 1'b0, read_valid = 1'b0, take = 1'b0;
    wire write_address_ready, write_ready, written, read_ready, answered, irq;
    wire [1:0] write_response, read_response;
    wire [31:0] read_data;
    integer refused = 0;

    bitwright dut (
        .clk(clk), .rst(rst), .irq(irq),
        .s_axis_tvalid(send_valid), .s_axis_tready(send_ready), .s_axis_tdata(beat[WIDTH-1:0]),
        .s_axis_tlast(beat[WIDTH]),
        .m_axis_tvalid(result_valid), .m_axis_tready(1'b1), .m_axis_tdata(result), .m_axis_tlast(result_last),
        .s_axil_awaddr(address), .s_axil_awvalid(write_address_valid), .s_axil_awready(write_address_ready),
        .s_axil_wdata(write_data), .s_axil_wstrb(4'hf), .s_axil_wvalid(write_valid), .s_axil_wready(write_ready),
        .s_axil_bresp(write_response), .s_axil_bvalid(written), .s_axil_bready(take),
        .s_axil_araddr(address), .s_axil_arvalid(read_valid), .s_axil_arready(read_ready),
        .s_axil_rdata(read_data), .s_axil_rresp(read_response), .s_axil_rvalid(answered), .s_axil_rready(take),
        .trace_busy(), .trace_cycle(), .trace_computes(), .trace_loads(), .trace_stores()
    );

    task write(input [11:0] at, input [31:0] value);
        reg address_taken, data_taken;
        begin
            address = at;
            write_data = value;
            write_address_valid = 1'b1;
            write_valid = 1'b1;
            while (write_address_valid || write_valid) begin
                #1 address_taken = write_address_ready;
                data_taken = write_ready;
                @(negedge clk);
                if (address_taken) write_address_valid = 1'b0;
                if (data_taken) write_valid = 1'b0;
            end
            while (!written) @(negedge clk);
            if (write_response != 2'b00) refused = refused + 1;
            take = 1'b1;
            @(negedge clk);
            take = 1'b0;
        end
    endtask

    task read(input [11:0] at, output [31:0] value);
        reg taken;
        begin
            address = at;
            read_valid = 1'b1;
            while (read_valid) begin
                #1 taken = read_ready;
                @(negedge clk);
                if (taken) read_valid = 1'b0;
            end
            while (!answered) @(negedge clk);
            value = read_data;
            if (read_response != 2'b00) refused = refused + 1;
            take = 1'b1;
            @(negedge clk);
            take = 1'b0;
        end
    endtask

    integer waited;
    reg [31:0] happened, cycles;
    task finish_command(output ended);
        begin
            waited = 0;
            while (!irq && waited < LIMIT) begin
                @(negedge clk);
                waited = waited + 1;
            end
            read(INTERRUPT, happened);
            write(INTERRUPT, happened);
            ended = happened == DONE;
        end
    endtask

    integer turn;
    reg ended, good;
    initial begin
        repeat (4) @(negedge clk);
        rst = 1'b0;
        @(negedge clk);
        write(INTERRUPT_ENABLE, DONE | FAULT);
        limit = IMAGE_BEATS;
        write(CONTROL, LOAD);
        finish_command(good);
        if (!good) $display("the program image was refused");
        for (turn = 0; turn < 2 && good; turn = turn + 1) begin
            again = 1'b1;
            @(negedge clk);
            again = 1'b0;
            limit = IMAGE_BEATS + STREAM_BEATS;
            write(CONTROL, START);
            finish_command(ended);
            read(CYCLES_LOW, cycles);
            $display("run %0d: %0d of %0d results, %0d wrong, %0d cycles of %0d", turn, results, RESULT_BEATS,
                     differences, cycles, CYCLES);
            good = ended && results == RESULT_BEATS && differences == 0 && cycles == CYCLES && refused == 0;
        end
        if (good) $display("PASS");
        else $display("FAIL");
        $finish;
    end
endmodule
