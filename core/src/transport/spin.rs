//! Looking again and again for a moment before a thread sleeps.
//!
//! What comes within microseconds is there before a thread has gone to sleep and been woken, and who sends it does not have to
//! wake anybody. Where it takes longer, this is soon left out.

use std::time::{Duration, Instant};

/// The most times in a row that it is left out.
const MOST: u32 = 64;

/// Whether it was worth while lately.
#[derive(Debug, Default)]
pub(super) struct Spin {
    /// How many times it is left out after one that was in vain.
    pause: u32,
    left: u32,
}

impl Spin {
    /// Whether it is worth while this time.
    pub(super) fn is_on(&mut self) -> bool {
        let is_on = self.left == 0;
        self.left = self.left.saturating_sub(1);
        is_on
    }

    /// Looks for so long.
    pub(super) fn look<T>(&mut self, limit: Duration, mut there: impl FnMut() -> Option<T>) -> Option<T> {
        let begin = Instant::now();
        while begin.elapsed() < limit {
            if let Some(found) = there() {
                self.pause = 0;
                return Some(found);
            }
            // Who sends it may need this processor.
            std::thread::yield_now();
        }
        self.pause = (self.pause * 2 + 1).min(MOST);
        self.left = self.pause;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_left_out_the_more_often_the_longer_it_is_in_vain() {
        let looks = |found: bool| {
            let mut spin = Spin::default();
            let mut times = Vec::new();
            for i in 0..300 {
                if spin.is_on() {
                    times.push(i);
                    assert_eq!(spin.look(Duration::from_millis(u64::from(found)), || found.then_some(i)), found.then_some(i));
                }
            }
            times
        };
        assert_eq!(looks(false), [0, 2, 6, 14, 30, 62, 126, 191, 256]);
        assert_eq!(looks(true).len(), 300);
    }
}
