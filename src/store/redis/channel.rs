//! What is heard of the channel of one partition, and whether something was missed: the arithmetic of numbers.
//!
//! Where the numbers come from is `listener`'s.

/// The channel of a partition, as it is heard.
#[derive(Clone, Copy, Default)]
pub(super) struct Channel {
    /// The ear that hears it.
    pub(super) ear: Option<u64>,
    /// Whether its ear was lost, and with it who knows what.
    cut: bool,
    /// The last number heard.
    pub(super) heard: u64,
    /// What stood in the store at the last comparison, to be heard by the next one.
    expected: u64,
}

/// The number of the last notice of a partition.
pub(super) struct Number {
    pub(super) partition: usize,
    /// What had been heard before it was read.
    pub(super) before: u64,
    pub(super) stands: u64,
}

impl Channel {
    /// From now on notices after a number are heard, if the channel is; says whether none was missed until then.
    pub(super) fn begin(&mut self, number: &Number) -> bool {
        if self.ear.is_none() {
            return self.compare(number);
        }
        // Where an ear was lost, also a number that stands where it stood says nothing.
        let complete = !self.cut && self.has_heard(number.stands) && number.before <= number.stands;
        self.cut = false;
        self.catch_up(number);
        complete
    }

    /// Says whether everything that stood in the store at the last comparison was heard, and no number went back, as it does
    /// where a fail-over loses commits. Of a channel that nobody hears, whether anything new was said.
    pub(super) fn compare(&mut self, number: &Number) -> bool {
        if self.cut && self.ear.is_some() {
            return self.begin(number);
        }
        let due = if self.ear.is_some() { self.expected.min(number.stands) } else { number.stands };
        let complete = self.has_heard(due) && number.before <= number.stands;
        if complete {
            self.expected = number.stands;
        } else {
            self.ear = None;
            self.catch_up(number);
        }
        complete
    }

    /// Takes note of a notice's number; says whether it follows the one before.
    pub(super) fn hear(&mut self, number: u64) -> bool {
        let follows = number <= self.heard + 1;
        self.heard = number.max(self.heard);
        follows
    }

    /// Its ear hears nothing any more.
    pub(super) fn lose_ear(&mut self) {
        (self.ear, self.cut) = (None, true);
    }

    fn has_heard(&self, number: u64) -> bool {
        self.heard >= number
    }

    /// What was said until now need not be heard any more.
    fn catch_up(&mut self, number: &Number) {
        let went_back = number.stands < number.before;
        self.heard = if went_back { number.stands } else { self.heard.max(number.stands) };
        self.expected = number.stands;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A channel that is listened to, of which notices up to this number were heard.
    fn heard(number: u64) -> Channel {
        Channel { ear: Some(1), cut: false, heard: number, expected: number }
    }

    fn number(before: u64, stands: u64) -> Number {
        Number { partition: 0, before, stands }
    }

    #[test]
    fn a_gap_between_notices_is_noticed_and_what_was_heard_before_is_no_gap() {
        let mut channel = heard(5);
        assert!(channel.hear(6) && channel.hear(6) && channel.hear(7));
        assert!(!channel.hear(9));
        assert!(channel.hear(10));
    }

    #[test]
    fn a_notice_that_is_on_its_way_is_not_lost_until_the_next_comparison() {
        let mut channel = heard(5);
        assert!(channel.compare(&number(5, 6)));
        assert!(!channel.compare(&number(5, 6)));
        assert_eq!((channel.ear, channel.heard), (None, 6), "the ear is no good");
    }

    #[test]
    fn a_notice_that_came_while_the_numbers_were_read_is_no_loss() {
        let mut channel = heard(5);
        assert!(channel.hear(6));
        assert!(channel.compare(&number(5, 5)) && channel.begin(&number(5, 5)));
        assert_eq!(channel.heard, 6);
    }

    #[test]
    fn numbers_that_went_back_are_noticed() {
        let mut channel = heard(5);
        assert!(!channel.compare(&number(5, 2)));
        assert_eq!(channel.heard, 2);
    }

    #[test]
    fn a_channel_whose_ear_was_lost_may_have_lost_anything() {
        let mut channel = heard(5);
        channel.lose_ear();
        assert!(channel.compare(&number(5, 5)), "nobody said anything");
        channel.ear = Some(2);
        assert!(!channel.compare(&number(5, 5)), "the same number may be another notice's");
        assert!(channel.compare(&number(5, 5)));
    }

    #[test]
    fn a_channel_that_moved_has_lost_what_was_said_meanwhile() {
        let mut channel = heard(5);
        channel.ear = None;
        assert!(!channel.compare(&number(5, 6)));
        channel.ear = Some(2);
        assert!(channel.begin(&number(6, 6)) && !channel.begin(&number(6, 7)));
    }
}
