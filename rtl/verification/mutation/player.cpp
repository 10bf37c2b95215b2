// Plays scripts on a Verilated top module, each on a fresh one, until one of them fails.
//
//   player MUTANT SEED SCRIPT...
//
// MUTANT is the value of the port `mutant`, SEED that of the bits which memories and registers without a reset start
// with. Prints `passed CYCLES`, or `failed SCRIPT LINE CYCLES REASON`, SCRIPT counted from 0. A script is lines of words;
// numbers are decimal, values hexadecimal:
//
//   set PORT VALUE                 from now on
//   offer VALID READY              VALID is high until a cycle in which READY is
//   step N                         N cycles
//   wait PORT VALUE N              cycles until the port has the value, at most N
//   expect PORT VALUE MASK         the port has the value now, in the bits of MASK
//   source VALID READY DATA LAST   ports of the stream that `beat` feeds; LAST may be `-`
//   sink VALID READY DATA LAST     ports of the stream that `take` checks
//   clock BUSY CYCLE               ports from which `slots` and `change` take the time
//   slots LATENCY BEATS PERIOD     a beat passes in cycle t if t >= LATENCY and (t - LATENCY) mod PERIOD < BEATS
//   gaps IN OUT                    besides, per mille of cycles in which a stream pauses, at random
//   beat VALUE LAST TAKEN          queue a beat, not offered before LATENCY cycles after the TAKEN-th beat was taken
//   take VALUE MASK LAST           queue an expected beat
//   watch PORT                     from now on, changes of the port are expected changes
//   change PORT VALUE CYCLE        queue an expected change; CYCLE may be `-`
//   quiet                          nothing is left in the queues
//   forget                         empty the queues
//   loose N                        1: what comes and changes is not compared, 0: it is again

#include "Vtop.h"
#include "ports.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace {

using Bytes = std::vector<uint8_t>;

struct Failure {
    std::string reason;
};

struct Port {
    std::string name;
    uint8_t* data;
    size_t size;

    uint64_t value() const {
        uint64_t number = 0;
        memcpy(&number, data, size < 8 ? size : 8);
        return number;
    }
    void set(uint64_t number) {
        memset(data, 0, size);
        memcpy(data, &number, size < 8 ? size : 8);
    }
    bool matches(const Bytes& expected, const Bytes& mask) const {
        for (size_t i = 0; i < size; i++)
            if ((data[i] ^ expected[i]) & mask[i]) return false;
        return true;
    }
};

struct Beat {
    Bytes value, mask;
    bool last;
    uint64_t taken;
};

struct Change {
    Bytes value;
    int64_t cycle;
};

struct Watch {
    Port* port;
    Bytes before;
    std::deque<Change> expected;
};

struct Stream {
    Port *valid = nullptr, *ready = nullptr, *data = nullptr, *last = nullptr;
    std::deque<Beat> beats;
    unsigned gap = 0;
};

uint8_t digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

Bytes parse(const std::string& text, size_t size) {
    Bytes bytes(size, 0);
    for (size_t i = 0; i < text.size() && i / 2 < size; i++) bytes[i / 2] |= digit(text[text.size() - 1 - i]) << (i % 2 * 4);
    return bytes;
}

std::string hex(const Port& port) {
    std::string text;
    for (size_t i = port.size; i--;) text += "0123456789abcdef"[port.data[i] >> 4], text += "0123456789abcdef"[port.data[i] & 15];
    return text;
}

class Player {
  public:
    uint64_t cycles = 0;

    Player(unsigned mutant, int seed) : random(seed) {
        context.randReset(2);
        context.randSeed(seed);
        top = std::make_unique<Vtop>(&context);
#define PORT(port) ports[#port] = {#port, reinterpret_cast<uint8_t*>(&top->port), sizeof top->port};
        PORTS(PORT)
        for (const char* name : INPUTS) at(name).set(0);
        at("mutant").set(mutant);
    }

    ~Player() { top->final(); }

    void run(const std::string& line) {
        std::istringstream words(line);
        std::string command, name, value, mask;
        words >> command;
        if (command == "set") {
            words >> name >> value;
            Port& port = at(name);
            const Bytes bytes = parse(value, port.size);
            memcpy(port.data, bytes.data(), port.size);
        } else if (command == "offer") {
            words >> name >> value;
            at(name).set(1);
            offers.emplace_back(&at(name), &at(value));
        } else if (command == "step") {
            uint64_t count;
            words >> count;
            while (count--) step();
        } else if (command == "wait") {
            uint64_t limit;
            words >> name >> value >> limit;
            const Port& port = at(name);
            const Bytes expected = parse(value, port.size), all(port.size, 255);
            for (settle(); !port.matches(expected, all); settle()) {
                if (!limit--) throw Failure{name + " did not become " + value};
                step();
            }
        } else if (command == "expect") {
            words >> name >> value >> mask;
            settle();
            const Port& port = at(name);
            if (!port.matches(parse(value, port.size), parse(mask, port.size))) throw Failure{name + " is not " + value + " but " + hex(port)};
        } else if (command == "source" || command == "sink") {
            Stream& stream = command == "source" ? source : sink;
            Port** members[] = {&stream.valid, &stream.ready, &stream.data, &stream.last};
            for (Port** member : members) {
                words >> name;
                *member = name == "-" ? nullptr : &at(name);
            }
        } else if (command == "clock") {
            words >> name >> value;
            busy = &at(name), cycle = &at(value);
        } else if (command == "slots") {
            words >> latency >> slot_beats >> period;
        } else if (command == "gaps") {
            words >> source.gap >> sink.gap;
        } else if (command == "beat") {
            Beat beat{};
            words >> value >> beat.last >> beat.taken;
            beat.value = parse(value, source.data->size);
            source.beats.push_back(beat);
        } else if (command == "take") {
            Beat beat{};
            words >> value >> mask >> beat.last;
            beat.value = parse(value, sink.data->size), beat.mask = parse(mask, sink.data->size);
            sink.beats.push_back(beat);
        } else if (command == "watch") {
            words >> name;
            Port& port = at(name);
            settle();
            watches[name] = {&port, Bytes(port.data, port.data + port.size), {}};
        } else if (command == "change") {
            words >> name >> value >> mask;
            Watch& watch = watches.at(name);
            watch.expected.push_back({parse(value, watch.port->size), mask == "-" ? -1 : std::stoll(mask)});
        } else if (command == "quiet") {
            if (!source.beats.empty()) throw Failure{"beats were not taken"};
            if (!sink.beats.empty()) throw Failure{"beats did not come"};
            for (const auto& [port, watch] : watches)
                if (!watch.expected.empty()) throw Failure{port + " did not change"};
        } else if (command == "forget") {
            source.beats.clear(), sink.beats.clear(), taken.clear();
            for (auto& [port, watch] : watches) watch.expected.clear();
        } else if (command == "loose") {
            words >> loose;
        } else {
            fprintf(stderr, "no command '%s'\n", command.c_str());
            exit(2);
        }
    }

  private:
    Port& at(const std::string& name) {
        auto found = ports.find(name);
        if (found == ports.end()) {
            fprintf(stderr, "no port '%s'\n", name.c_str());
            exit(2);
        }
        return found->second;
    }

    void settle() {
        top->clk = 0;
        top->eval();
    }

    uint64_t time() const { return cycle && busy->value() ? cycle->value() : 0; }

    bool passes(unsigned gap) {
        const uint64_t now = time();
        if (now < latency || (now - latency) % period >= slot_beats) return false;
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        return (random >> 33) % 1000 >= gap;
    }

    void step() {
        cycles++;
        bool given = false;
        if (source.valid) {
            source.valid->set(0);
            settle();
            given = !source.beats.empty() && source.ready->value() && may_come(source.beats.front()) && passes(source.gap);
            if (given) {
                const Beat& beat = source.beats.front();
                memcpy(source.data->data, beat.value.data(), source.data->size);
                if (source.last) source.last->set(beat.last);
                source.valid->set(1);
            }
        }
        if (sink.valid) sink.ready->set(passes(sink.gap));
        settle();
        for (auto& [name, watch] : watches) check(name, watch);
        if (sink.valid && sink.valid->value() && sink.ready->value()) take();
        if (given) source.beats.pop_front();
        std::vector<std::pair<Port*, Port*>> open;
        std::vector<Port*> closed;
        for (const auto& offer : offers)
            if (offer.second->value()) closed.push_back(offer.first);
            else open.push_back(offer);
        top->clk = 1;
        top->eval();
        for (Port* valid : closed) valid->set(0);
        offers = open;
    }

    bool may_come(const Beat& beat) const {
        return beat.taken == 0 || (taken.size() >= beat.taken && cycles > taken[beat.taken - 1] + latency);
    }

    void take() {
        if (loose) return;
        if (sink.beats.empty()) throw Failure{"a beat too many"};
        const Beat& beat = sink.beats.front();
        if (!sink.data->matches(beat.value, beat.mask)) throw Failure{"data"};
        if (sink.last && sink.last->value() != beat.last) throw Failure{sink.last->name};
        sink.beats.pop_front();
        taken.push_back(cycles);
    }

    void check(const std::string& name, Watch& watch) {
        Port& port = *watch.port;
        if (!memcmp(watch.before.data(), port.data, port.size)) return;
        watch.before.assign(port.data, port.data + port.size);
        if (loose) return;
        if (watch.expected.empty()) throw Failure{name + " changed"};
        const Change change = watch.expected.front();
        watch.expected.pop_front();
        if (!port.matches(change.value, Bytes(port.size, 255))) throw Failure{name};
        if (change.cycle >= 0 && (uint64_t)change.cycle != cycle->value()) throw Failure{name + " at another time"};
    }

    VerilatedContext context;
    std::unique_ptr<Vtop> top;
    std::map<std::string, Port> ports;
    Stream source, sink;
    bool loose = false;
    Port *busy = nullptr, *cycle = nullptr;
    uint64_t latency = 0, slot_beats = 1, period = 1, random;
    std::map<std::string, Watch> watches;
    std::vector<uint64_t> taken;
    std::vector<std::pair<Port*, Port*>> offers;
};

}  // namespace

int main(int count, char** arguments) {
    if (count < 3) {
        fprintf(stderr, "player MUTANT SEED SCRIPT...\n");
        return 2;
    }
    uint64_t cycles = 0;
    for (int i = 3; i < count; i++) {
        Player player(std::strtoul(arguments[1], nullptr, 10), std::atoi(arguments[2]));
        std::ifstream script(arguments[i]);
        std::string line;
        for (long number = 1; std::getline(script, line); number++) {
            try {
                player.run(line);
            } catch (const Failure& failure) {
                printf("failed %d %ld %llu %s\n", i - 3, number, (unsigned long long)(cycles + player.cycles),
                       failure.reason.c_str());
                return 0;
            }
        }
        cycles += player.cycles;
    }
    printf("passed %llu\n", (unsigned long long)cycles);
    return 0;
}
