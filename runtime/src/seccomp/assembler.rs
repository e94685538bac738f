//! Classic BPF, written from its end to its beginning, so that the place a jump
//! leads to is always known and code that several jumps share stands once.
//!
//! Conditional jumps skip at most 255 instructions; a longer one goes by a plain
//! jump that is put in between. Jumps lead forward only.

use sys::packet::Instruction;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const RETURN: u16 = 0x06;
/// Farthest that a conditional jump leads.
const REACH: usize = 255;

/// A place in the program: how many instructions are from it to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// The condition of a jump: the accumulator compared with a number, unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Jump {
    /// `=`
    Equal = 0x15,
    /// `>`
    Greater = 0x25,
    /// `≥`
    GreaterEqual = 0x35,
}

/// A program, last instruction first.
#[derive(Default)]
pub struct Assembler {
    reversed: Vec<Instruction>,
}

impl Assembler {
    /// Where the instruction written last stands.
    pub fn here(&self) -> Label {
        Label(self.reversed.len())
    }

    /// Ends the program with a value.
    pub fn give(&mut self, value: u32) -> Label {
        self.put(RETURN, value, 0, 0)
    }

    /// Loads four bytes of `seccomp_data`, then goes on with what was written last.
    pub fn load(&mut self, offset: u32) -> Label {
        self.put(LOAD, offset, 0, 0)
    }

    /// Keeps the accumulator's bits of `mask`, then goes on with what was written last.
    pub fn and(&mut self, mask: u32) -> Label {
        self.put(AND, mask, 0, 0)
    }

    /// Goes to one place or the other.
    pub fn branch(&mut self, jump: Jump, number: u32, yes: Label, no: Label) -> Label {
        // One more instruction may come between either place and the jump.
        let yes = self.within(yes, REACH - 1);
        let no = self.within(no, REACH);
        let (yes, no) = (self.skip(yes) as u8, self.skip(no) as u8);
        self.put(jump as u16, number, yes, no)
    }

    /// Makes the place the next to be reached from what is written now.
    pub fn continue_at(&mut self, place: Label) -> Label {
        self.within(place, 0)
    }

    /// Whether a conditional jump written soon would reach the place.
    pub fn is_near(&self, place: Label) -> bool {
        self.skip(place) < REACH - 32
    }

    /// The program, first instruction first.
    pub fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }

    fn within(&mut self, place: Label, reach: usize) -> Label {
        match self.skip(place) {
            skip if skip <= reach => place,
            skip => self.put(JUMP, skip as u32, 0, 0),
        }
    }

    fn skip(&self, place: Label) -> usize {
        self.reversed.len() - place.0
    }

    fn put(&mut self, code: u16, operand: u32, jump_true: u8, jump_false: u8) -> Label {
        self.reversed.push(Instruction { code, jump_true, jump_false, operand });
        self.here()
    }
}
