"""From bytes of a serial line to the machine's buses, and back."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from rtl.board.messages import MOST_BEATS, Answer, Command
from rtl.core.interfaces import beat_layout
from rtl.shell.axi_lite import AXI_LITE_PORTS

__all__ = ["SerialBridge"]

REGISTER_BITS = 32
MOST_ARGUMENT_BYTES = 6


class SerialBridge(wiring.Component):
    """Do what the host's messages say, and tell what the machine does; `rtl.board.messages` has both.

    Parameters
    ----------
    width : int
        Bits of a beat, a multiple of 8.

    Members
    -------
    data : a byte from the host
    valid : `data` is new in this cycle
    o : bytes to the host
    bus : the machine's registers
    inward : beats to the machine
    outward : beats from the machine
    irq : interrupt request of the machine
    """

    def __init__(self, width: int) -> None:
        self.width = width
        beats = stream.Signature(beat_layout(width))
        super().__init__({
            "data": In(8),
            "valid": In(1),
            "o": Out(stream.Signature(8)),
            "bus": In(wiring.Signature(AXI_LITE_PORTS)),
            "inward": Out(beats),
            "outward": In(beats),
            "irq": In(1),
        })
        self._sending = Signal()
        self._drained = Signal()
        self._told = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        queue = m.submodules.queue = SyncFIFOBuffered(width=self.width + 1, depth=MOST_BEATS)
        m.d.comb += [
            self.inward.valid.eq(queue.r_rdy),
            self.inward.payload.data.eq(queue.r_data[1:]),
            self.inward.payload.last.eq(queue.r_data[0]),
            queue.r_en.eq(self.inward.ready),
            self._drained.eq(self._sending & ~queue.r_rdy & (queue.level == 0)),
        ]
        self._listen(m, queue)
        self._speak(m)
        return m

    def _listen(self, m: Module, queue: SyncFIFOBuffered) -> None:
        """Take commands and their arguments; accesses to registers begin when the last byte has come."""
        command, left = Signal(8), Signal(range(MOST_ARGUMENT_BYTES + 1))
        argument = Signal(8 * MOST_ARGUMENT_BYTES)
        beats, place, last = Signal(range(MOST_BEATS + 1)), Signal(range(self.width // 8)), Signal()
        beat = Signal(self.width)
        following = Cat(argument[8:], self.data)
        whole = Cat(beat[8:], self.data)
        m.d.comb += queue.w_data.eq(Cat(last & (beats == 1), whole))
        self._end_accesses(m)
        with m.If(self.valid):
            with m.If(beats != 0):
                m.d.sync += [
                    beat.eq(whole),
                    place.eq(place + 1),
                ]
                with m.If(place == self.width // 8 - 1):
                    m.d.comb += queue.w_en.eq(1)
                    m.d.sync += [
                        place.eq(0),
                        beats.eq(beats - 1),
                        self._sending.eq(beats == 1),
                    ]
            with m.Elif(left != 0):
                m.d.sync += [
                    argument.eq(following),
                    left.eq(left - 1),
                ]
                with m.If(left == 1):
                    with m.Switch(command):
                        with m.Case(Command.READ):
                            m.d.sync += self._read(following)
                        with m.Case(Command.WRITE):
                            m.d.sync += self._write(following)
                        with m.Case(Command.SEND):
                            m.d.sync += [
                                beats.eq(following[-16:-8] + 1),
                                last.eq(following[-8]),
                            ]
            with m.Else():
                m.d.sync += command.eq(self.data)
                with m.Switch(self.data):
                    with m.Case(Command.READ, Command.SEND):
                        m.d.sync += left.eq(2)
                    with m.Case(Command.WRITE):
                        m.d.sync += left.eq(MOST_ARGUMENT_BYTES)

    def _read(self, argument: Value) -> list[object]:
        return [self.bus.araddr.eq(argument[-16:]), self.bus.arvalid.eq(1)]

    def _write(self, argument: Value) -> list[object]:
        return [self.bus.awaddr.eq(argument[:16]), self.bus.wdata.eq(argument[16:]), self.bus.awvalid.eq(1),
                self.bus.wvalid.eq(1)]

    def _end_accesses(self, m: Module) -> None:
        m.d.comb += self.bus.wstrb.eq(~0)
        for channel in ("ar", "aw", "w"):
            with m.If(getattr(self.bus, f"{channel}ready")):
                m.d.sync += getattr(self.bus, f"{channel}valid").eq(0)

    def _speak(self, m: Module) -> None:
        """Send one message after another; answers go before news, and news before beats."""
        longest = 2 + max(REGISTER_BITS, self.width) // 8
        message, left = Signal(8 * longest), Signal(range(longest + 1))
        bus, beat = self.bus, self.outward.payload

        def say(kind: Answer, *content: Value) -> None:
            whole = Cat(C(kind, 8), *content)
            m.d.sync += [
                message.eq(whole),
                left.eq(len(whole) // 8),
            ]

        m.d.comb += [
            self.o.valid.eq(left != 0),
            self.o.payload.eq(message[:8]),
        ]
        with m.If(left != 0):
            with m.If(self.o.ready):
                m.d.sync += [
                    message.eq(message[8:]),
                    left.eq(left - 1),
                ]
        with m.Elif(bus.rvalid):
            m.d.comb += bus.rready.eq(1)
            say(Answer.READ, bus.rresp, C(0, 6), bus.rdata)
        with m.Elif(bus.bvalid):
            m.d.comb += bus.bready.eq(1)
            say(Answer.WRITTEN, bus.bresp, C(0, 6))
        with m.Elif(self._drained):
            m.d.sync += self._sending.eq(0)
            say(Answer.SENT)
        with m.Elif(self.irq != self._told):
            m.d.sync += self._told.eq(self.irq)
            say(Answer.IRQ, self.irq, C(0, 7))
        with m.Elif(self.outward.valid):
            m.d.comb += self.outward.ready.eq(1)
            say(Answer.BEAT, beat.last, C(0, 7), beat.data)
