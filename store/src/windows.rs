//! The windows of zstd frames: how much of what was unpacked must be kept to unpack the rest, as the
//! frame itself says. Each layer that is unpacked has one, so all of a process's share a budget.
//!
//! A window is counted, and its memory taken, as the next power of two. Who finds
//! no room waits; one alone always has room, so nobody waits for ever. A
//! decoder whose layer has ended goes on with the next one of the same size: the allocator would keep the
//! memory of both.

use ruzstd::decoding::FrameDecoder;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Greatest window that a frame may ask for: what RFC 8878 recommends to
/// support is 8 MiB, what `zstd --ultra -22` uses is 128 MiB.
pub(crate) const WINDOW_MAX: u64 = 128 << 20;

/// What all windows have together, unless there is one alone: two of 8 MiB.
const BUDGET: u64 = 16 << 20;

static LOANS: Mutex<Loans<FrameDecoder>> = Mutex::new(Loans { lent: 0, spare: Vec::new() });
static GIVEN_BACK: Condvar = Condvar::new();

/// A frame of no bytes: what a decoder has seen before it takes memory for a window in one piece.
const EMPTY_FRAME: [u8; 9] = [0x28, 0xb5, 0x2f, 0xfd, 0, 0, 1, 0, 0];

/// A decoder with room for windows of a size.
pub(crate) struct Loan {
    size: u64,
    decoder: Option<FrameDecoder>,
}

/// What is lent and what is not.
struct Loans<D> {
    lent: u64,
    /// All of one size.
    spare: Vec<(u64, D)>,
}

impl Loan {
    /// Waits until there is room for a window. Whoever has a loan must give it back first.
    pub fn take(window: u64) -> Self {
        let size = window.next_power_of_two();
        let mut loans = lock();
        while !loans.has_room(size) {
            loans = GIVEN_BACK.wait(loans).unwrap_or_else(PoisonError::into_inner);
        }
        let decoder = loans.take(size);
        drop(loans);
        Self { size, decoder: decoder.or_else(|| Some(new_decoder())) }
    }

    /// True when a window of this size fits.
    pub fn fits(&self, window: u64) -> bool {
        window <= self.size
    }

    /// The decoder.
    pub fn decoder(&mut self) -> &mut FrameDecoder {
        self.decoder.get_or_insert_with(new_decoder)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(decoder) = self.decoder.take() {
            lock().give_back(self.size, decoder);
        }
        GIVEN_BACK.notify_all();
    }
}

impl<D> Loans<D> {
    fn has_room(&self, size: u64) -> bool {
        self.lent == 0 || self.lent + size <= BUDGET
    }

    fn take(&mut self, size: u64) -> Option<D> {
        self.lent += size;
        self.spare.retain(|(spare, _)| *spare == size);
        self.spare.pop().map(|(_, decoder)| decoder)
    }

    fn give_back(&mut self, size: u64, decoder: D) {
        self.lent -= size;
        match self.lent {
            0 => self.spare.clear(),
            lent => {
                self.spare.retain(|(spare, _)| *spare == size);
                if lent + size * (self.spare.len() as u64 + 1) <= BUDGET {
                    self.spare.push((size, decoder));
                }
            }
        }
    }
}

fn lock() -> MutexGuard<'static, Loans<FrameDecoder>> {
    LOANS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn new_decoder() -> FrameDecoder {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(WINDOW_MAX);
    // The first frame's window would be taken piece by piece, each twice the one before.
    let _ = decoder.reset(&EMPTY_FRAME[..]);
    decoder
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn windows_together_stay_within_the_budget_and_one_alone_has_room() {
        let mut loans = Loans { lent: 0, spare: Vec::new() };
        assert!(loans.has_room(128 * MIB));
        loans.take(8 * MIB);
        assert!(loans.has_room(8 * MIB) && !loans.has_room(16 * MIB));
        loans.take(8 * MIB);
        assert!(!loans.has_room(1024));
        loans.give_back(8 * MIB, 'a');
        assert!(loans.has_room(8 * MIB));
        loans.give_back(8 * MIB, 'b');
        loans.take(128 * MIB);
        assert!(!loans.has_room(1024));
    }

    #[test]
    fn a_spare_decoder_counts_and_is_used_again() {
        let mut loans = Loans { lent: 0, spare: Vec::new() };
        for _ in 0..3 {
            loans.take(4 * MIB);
        }
        loans.give_back(4 * MIB, 'a');
        assert_eq!(loans.take(4 * MIB), Some('a'));
        loans.give_back(4 * MIB, 'b');
        // Another size: what is spare makes room.
        assert_eq!(loans.take(8 * MIB), None);
        assert!(loans.spare.is_empty());
        loans.give_back(8 * MIB, 'c');
        loans.give_back(4 * MIB, 'd');
        assert_eq!(loans.spare, [(4 * MIB, 'd')]);
        loans.give_back(4 * MIB, 'e');
        assert_eq!((loans.lent, loans.spare.len()), (0, 0));
    }

    #[test]
    fn who_waits_for_room_goes_on_when_a_loan_is_given_back() {
        let first = Loan::take(WINDOW_MAX);
        let waiting = std::thread::spawn(|| Loan::take(WINDOW_MAX).fits(WINDOW_MAX));
        drop(first);
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn the_empty_frame_is_one() {
        let mut decoder = new_decoder();
        assert!(decoder.reset(&EMPTY_FRAME[..]).is_ok());
    }
}
