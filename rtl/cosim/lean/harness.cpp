// Drives the pins of the accelerator that Verilator has compiled, as a process that obeys its standard input.
//
// Numbers are little-endian. Commands, a letter each; those with an answer run the clock until it is known:
//
//   m LATENCY:u64 BEATS:u64 PERIOD:u64 STALL:f64 SEED:u64   memory behind the streams, and gaps of probability STALL
//   x SEED:u64                                              random bits in all activation memories
//   k COUNT:u32 {QUEUE:u8 ENDED:u32 TENSOR:u32 BASE:u32 WORDS:u32}   tensors to keep: words BASE.. of every bank, when
//                                                           ENDED ops of a queue have ended
//   l CYCLES:u64                                            from now on, answer h once so many cycles have passed
//   r ADDRESS:u32                      -> v VALUE:u32 RESPONSE:u8          read a register
//   w ADDRESS:u32 VALUE:u32            -> v VALUE:u32 RESPONSE:u8          write a register
//   s BYTES:u32 ...                                         queue a packet for the inward stream
//   g                                  -> p BYTES:u32 ... | i              next outward packet; i: irq is high and none is left
//   q                                  -> i                                wait until irq is high
//   t                                  -> i                                wait until all packets are sent, forget those received
//
// Before an answer: e QUEUE:u8 ENDED:u32 CYCLE:u64 for the end of an op, k TENSOR:u32 BYTES:u32 ... for a tensor that is
// complete, and now and then c CYCLES:u64 for the cycles that were simulated since the last report.

#include "model.h"

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint64_t REPORT_CYCLES = 1 << 12;
constexpr auto REPORT_TIME = std::chrono::milliseconds(500);

struct Random {
    uint64_t state = 1;
    uint64_t next() {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        return state >> 33;
    }
};

struct Packet {
    Bytes bytes;
    uint64_t since;
};

struct Kept {
    uint32_t ended, tensor, base, words;
};

struct Hang {};

template <class Number>
Number read() {
    Number number{};
    if (fread(&number, sizeof number, 1, stdin) != 1) exit(0);
    return number;
}

template <class Number>
void write(Number number) {
    fwrite(&number, sizeof number, 1, stdout);
}

void write(const Bytes& bytes) {
    write<uint32_t>(bytes.size());
    fwrite(bytes.data(), 1, bytes.size(), stdout);
}

class Harness {
  public:
    Harness() {
        dut.rst.set(1);
        for (int i = 0; i < 2; i++) dut.cycle();
        dut.rst.set(0);
        dut.s_axil_wstrb.set(15);
        dut.s_axil_bready.set(1);
        dut.s_axil_rready.set(1);
        dut.m_axis_tready.set(1);
    }

    void obey(char command) {
        switch (command) {
            case 'm': configure(); break;
            case 'x': scramble(); break;
            case 'k': keep(); break;
            case 'l': limit = cycles + read<uint64_t>(); break;
            case 's': queue(); break;
            default:
                try {
                    answer(command);
                } catch (const Hang&) {
                    write('h');
                }
                fflush(stdout);
        }
    }

  private:
    void answer(char command) {
        switch (command) {
            case 'r': read_register(); break;
            case 'w': write_register(); break;
            case 'g': receive(); break;
            case 'q':
                while (!dut.irq.get()) step();
                known = 0;
                step();
                write('i');
                break;
            case 't':
                while (!packets.empty()) step();
                received.clear();
                known = 0;
                write('i');
                break;
            default:
                fprintf(stderr, "no command '%c'\n", command);
                exit(2);
        }
    }

    void configure() {
        latency = read<uint64_t>(), slot_beats = read<uint64_t>(), period = read<uint64_t>();
        stall = read<double>(), random.state = read<uint64_t>();
        ideal = !latency && slot_beats == period && stall == 0;
        dut.m_axis_tready.set(ideal);
    }

    void scramble() {
        Random bits{read<uint64_t>()};
        for (unsigned bank = 0; bank < BANKS; bank++)
            for (unsigned word = 0; word < REGIONS * REGION_WORDS; word++) {
                uint8_t value[WORD_BYTES];
                for (uint8_t& byte : value) byte = bits.next();
                dut.poke(bank, word, value);
            }
    }

    void keep() {
        for (auto& queue : kept) queue.clear();
        for (uint32_t count = read<uint32_t>(); count--;) {
            auto& queue = kept[read<uint8_t>()];
            Kept one{};
            one.ended = read<uint32_t>(), one.tensor = read<uint32_t>(), one.base = read<uint32_t>();
            one.words = read<uint32_t>();
            queue.push_back(one);
        }
    }

    void queue() {
        Packet packet{Bytes(read<uint32_t>()), known ? known + latency : 0};
        if (fread(packet.bytes.data(), 1, packet.bytes.size(), stdin) != packet.bytes.size()) exit(0);
        packets.push_back(std::move(packet));
    }

    void read_register() {
        dut.s_axil_araddr.set(read<uint32_t>());
        dut.s_axil_arvalid.set(1);
        step();
        dut.s_axil_arvalid.set(0);
        while (!dut.s_axil_rvalid.get()) step();
        respond(dut.s_axil_rdata.get(), dut.s_axil_rresp.get());
    }

    void write_register() {
        dut.s_axil_awaddr.set(read<uint32_t>());
        dut.s_axil_wdata.set(read<uint32_t>());
        dut.s_axil_awvalid.set(1);
        dut.s_axil_wvalid.set(1);
        step();
        dut.s_axil_awvalid.set(0);
        dut.s_axil_wvalid.set(0);
        while (!dut.s_axil_bvalid.get()) step();
        respond(0, dut.s_axil_bresp.get());
    }

    void respond(uint32_t value, uint8_t response) {
        step();
        write('v');
        write(value);
        write(response);
    }

    void receive() {
        while (received.empty() && !dut.irq.get()) step();
        if (received.empty()) return write('i');
        write('p');
        write(received.front().bytes);
        known = received.front().since;
        received.pop_front();
    }

    void step() {
        if (cycles >= limit) throw Hang{};
        take();
        feed();
        dut.cycle();
        note_ends();
        if (++cycles % REPORT_CYCLES == 0) report();
    }

    bool passes(uint64_t since) {
        const uint64_t now = dut.trace_cycle.get();
        if (now < since || now < latency || (now - latency) % period >= slot_beats) return false;
        return stall == 0 || random.next() >= stall * (1ull << 31);
    }

    void take() {
        const bool offered = dut.m_axis_tvalid.get();
        const bool taken = ideal || (offered && (!dut.trace_busy.get() || passes(0)));
        dut.m_axis_tready.set(taken);
        if (!offered || !taken) return;
        const uint8_t* beat = dut.m_axis_tdata.data();
        incoming.insert(incoming.end(), beat, beat + BEAT_BYTES);
        if (!dut.m_axis_tlast.get()) return;
        received.push_back({std::move(incoming), dut.trace_cycle.get() + 1});
        incoming.clear();
    }

    void feed() {
        dut.s_axis_tvalid.set(0);
        if (packets.empty() || !dut.s_axis_tready.get()) return;
        Packet& packet = packets.front();
        const bool slotted = !ideal || packet.since;
        if (slotted && dut.trace_busy.get() && !passes(packet.since)) return;
        memcpy(dut.s_axis_tdata.data(), packet.bytes.data() + sent, BEAT_BYTES);
        sent += BEAT_BYTES;
        const bool last = sent == packet.bytes.size();
        dut.s_axis_tlast.set(last);
        dut.s_axis_tvalid.set(1);
        if (!last) return;
        packets.pop_front();
        sent = 0;
    }

    void note_ends() {
        const uint64_t now[] = {dut.trace_computes.get(), dut.trace_loads.get(), dut.trace_stores.get()};
        for (unsigned queue = 0; queue < 3; queue++)
            if (now[queue] != ended[queue]) {
                ended[queue] = now[queue];
                if (now[queue]) note_end(queue);
            }
    }

    void note_end(unsigned queue) {
        write('e');
        write<uint8_t>(queue);
        write<uint32_t>(ended[queue]);
        write<uint64_t>(dut.trace_cycle.get());
        for (const Kept& one : kept[queue])
            if (one.ended == ended[queue]) {
                Bytes bytes(size_t(BANKS) * one.words * WORD_BYTES);
                uint8_t* place = bytes.data();
                for (unsigned bank = 0; bank < BANKS; bank++)
                    for (unsigned word = 0; word < one.words; word++, place += WORD_BYTES)
                        dut.peek(bank, one.base + word, place);
                write('k');
                write(one.tensor);
                write(bytes);
            }
    }

    void report() {
        const auto now = std::chrono::steady_clock::now();
        if (now - reported < REPORT_TIME) return;
        reported = now;
        write('c');
        write(cycles - told);
        told = cycles;
        fflush(stdout);
    }

    Model dut;
    Random random;
    uint64_t cycles = 0, told = 0, limit = ~0ull, latency = 0, slot_beats = 1, period = 1, known = 0;
    double stall = 0;
    bool ideal = true;
    std::deque<Packet> packets, received;
    size_t sent = 0;
    Bytes incoming;
    uint64_t ended[3] = {};
    std::vector<Kept> kept[3];
    std::chrono::steady_clock::time_point reported = std::chrono::steady_clock::now();
};

}  // namespace

int main() {
    static char buffer[1 << 20];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    Harness harness;
    for (int command; (command = getchar()) != EOF;) harness.obey(command);
}
