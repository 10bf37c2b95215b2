// The accelerator as Verilator has translated it: its pins, a clock, and the words of its activation memories.

#pragma once

#include "Vtop.h"
#include "Vtop___024root.h"
#include "shape.h"

#include <cstdint>
#include <cstring>
#include <memory>

template <class Type>
struct Port {
    Type& wire;
    uint64_t get() const { return wire; }
    void set(uint64_t value) { wire = value; }
    uint8_t* data() { return reinterpret_cast<uint8_t*>(&wire); }
};

class Model {
    struct Memory {
        uint8_t* words;
        size_t stride;
    };

    std::unique_ptr<VerilatedContext> context = fresh();
    std::unique_ptr<Vtop> top{new Vtop(context.get())};
    Memory memories[BANKS * REGIONS];

    static std::unique_ptr<VerilatedContext> fresh() {
        std::unique_ptr<VerilatedContext> made{new VerilatedContext};
        made->randReset(2);
        made->randSeed(1);
        return made;
    }

    template <class Words>
    static Memory memory(Words& words) {
        return {reinterpret_cast<uint8_t*>(&words[0]), sizeof words[0]};
    }

    uint8_t* word(unsigned bank, unsigned number) {
        const Memory& memory = memories[bank * REGIONS + number / REGION_WORDS];
        return memory.words + number % REGION_WORDS * memory.stride;
    }

  public:
#define PORT(name) Port<decltype(Vtop::name)> name{top->name};
    PORTS(PORT)
#undef PORT

    Model() {
#define MEMORY(bank, region, name) memories[bank * REGIONS + region] = memory(top->rootp->name);
        MEMORIES(MEMORY)
#undef MEMORY
    }
    ~Model() { top->final(); }

    // One evaluation for a cycle instead of two: nothing happens at the falling edge but that the model remembers it.
    void cycle() {
        top->rootp->__Vtrigprevexpr___TOP__clk__0 = 0;
        top->clk = 1;
        top->eval();
    }

    void peek(unsigned bank, unsigned number, uint8_t* value) { memcpy(value, word(bank, number), WORD_BYTES); }

    void poke(unsigned bank, unsigned number, const uint8_t* value) {
        uint8_t* place = word(bank, number);
        memcpy(place, value, WORD_BYTES);
        place[WORD_BYTES - 1] &= LAST_BYTE;
    }
};
