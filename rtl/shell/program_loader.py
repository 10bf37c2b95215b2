"""The program loader: a program image from the inward stream into the machine's tables."""

from __future__ import annotations

from enum import IntEnum
from math import ceil

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from rtl.encoding.geometry import Geometry
from rtl.encoding.hardware_id import signature
from rtl.encoding.program_image import CHECKSUM_BITS, HEADER, IMAGE_VERSION, MAGIC, TABLES, beat_bits, tables
from rtl.shell.fault_codes import FAULT_BITS, FaultCode

__all__ = ["ProgramLoader"]


class Phase(IntEnum):
    """What the next beat belongs to."""

    IDLE = 0
    HEADER = 1
    COMPUTE = 2
    INWARD = 3
    OUTWARD = 4
    CHECKSUM = 5


class ProgramLoader(wiring.Component):
    """Take one image, a beat per cycle, and check what can be checked of it.

    Members
    -------
    start : an image is taken from the next cycle on
    active : beats are taken
    valid : the inward stream offers a beat
    data : that beat
    last : that beat is the last one of its packet
    write_compute : `word` is an entry of the compute table
    write_inward : `word` is an entry of the inward table
    write_outward : `word` is an entry of the outward table
    index : number of that entry
    word : that entry
    done : the last beat is being taken, and the image is right
    failed : a beat is being taken that cannot be right; no more beats are taken
    fault : what is wrong with that beat
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry, self.width = geometry, beat_bits(geometry.machine)
        self.sizes = {Phase.HEADER: HEADER.size, Phase.CHECKSUM: CHECKSUM_BITS,
                      **{Phase[table.name.upper()]: table.layout.size for table in tables(geometry)}}
        super().__init__({
            "start": In(1),
            "active": Out(1),
            "valid": In(1),
            "data": In(self.width),
            "last": In(1),
            **{f"write_{name}": Out(1) for name in TABLES},
            "index": Out(ceil_log2(max(table.depth for table in tables(geometry)))),
            "word": Out(max(self.sizes.values())),
            "done": Out(1),
            "failed": Out(1),
            "fault": Out(FAULT_BITS),
        })
        self._phase = Signal(range(len(Phase)))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat = Signal()
        counts = {name: Signal(16, name=f"{name}_words") for name in TABLES}
        m.d.comb += [
            self.active.eq(self._phase != Phase.IDLE),
            beat.eq(self.active & self.valid),
        ]
        word_end = self._assemble(m, beat)
        checksum = self._checksum(m, beat)
        with m.Switch(self._phase):
            with m.Case(Phase.IDLE), m.If(self.start):
                m.d.sync += self._phase.eq(Phase.HEADER)
            with m.Case(Phase.HEADER), m.If(word_end):
                self._header(m, counts)
            for name in TABLES:
                with m.Case(Phase[name.upper()]), m.If(word_end):
                    m.d.comb += getattr(self, f"write_{name}").eq(1)
                    self._count(m, counts[name])
            with m.Case(Phase.CHECKSUM), m.If(word_end):
                self._end(m, checksum)
        with m.If(beat & self.last & ~((self._phase == Phase.CHECKSUM) & word_end)):
            self._fail(m, FaultCode.LENGTH)
        return m

    def _assemble(self, m: Module, beat: Signal) -> Signal:
        """Assemble words from beats, the earlier ones lower; the result is high when a word is complete."""
        beats = {phase: ceil(size / self.width) for phase, size in self.sizes.items()}
        longest = max(beats.values())
        word_end = Signal()
        earlier = Signal((longest - 1) * self.width, reset_less=True)
        part = Signal(range(longest + 1))
        assembled = Cat(earlier, self.data)
        with m.Switch(self._phase):
            for phase, count in beats.items():
                with m.Case(phase):
                    m.d.comb += [
                        word_end.eq(beat & (part == count - 1)),
                        self.word.eq(assembled[(longest - count) * self.width :]),
                    ]
        with m.If(beat):
            m.d.sync += [
                earlier.eq(assembled[self.width :]),
                part.eq(Mux(word_end, 0, part + 1)),
            ]
        with m.If(~self.active):
            m.d.sync += part.eq(0)
        return word_end

    def _checksum(self, m: Module, beat: Signal) -> Value:
        """Return the CRC-32 of all beats before those of the checksum."""
        m.submodules.checksum = crc = CRC32_ISO_HDLC(self.width).create()
        m.d.comb += [
            crc.start.eq(~self.active),
            crc.valid.eq(beat & (self._phase != Phase.CHECKSUM)),
            crc.data.eq(Mux(crc.valid, self.data, 0)),
        ]
        return crc.crc

    def _header(self, m: Module, counts: dict[str, Signal]) -> None:
        header = data.View(HEADER, self.word[: HEADER.size])
        right = [header.magic == MAGIC, header.version == IMAGE_VERSION,
                 header.signature == signature(self.geometry)]
        for table in tables(self.geometry):
            right += [header[table.name] != 0, header[table.name] <= table.depth]
            m.d.sync += counts[table.name].eq(header[table.name])
        m.d.sync += [
            self._phase.eq(Phase.COMPUTE),
            self.index.eq(0),
        ]
        with m.If(~Cat(*right).all()):
            self._fail(m, FaultCode.HEADER)

    def _count(self, m: Module, count: Signal) -> None:
        """Count a word that has come at `index`; after `count` words the next table is due."""
        m.d.sync += self.index.eq(self.index + 1)
        with m.If(self.index + 1 == count):
            m.d.sync += [
                self.index.eq(0),
                self._phase.eq(self._phase + 1),
            ]

    def _end(self, m: Module, checksum: Value) -> None:
        m.d.sync += self._phase.eq(Phase.IDLE)
        with m.If(~self.last):
            self._fail(m, FaultCode.LENGTH)
        with m.Elif(self.word[:CHECKSUM_BITS] != checksum):
            self._fail(m, FaultCode.CHECKSUM)
        with m.Else():
            m.d.comb += self.done.eq(1)

    def _fail(self, m: Module, fault: FaultCode) -> None:
        m.d.comb += [
            self.failed.eq(1),
            self.fault.eq(fault),
        ]
        m.d.sync += self._phase.eq(Phase.IDLE)
