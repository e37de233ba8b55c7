use super::*;

/// An export may be changed: then the share is mounted as a whole, by a plugin that goes on.
#[test]
fn a_share_that_could_not_be_pooled_is_tried_again_after_a_while() {
    let mut slot = Slot::<()>::new();
    let since = Instant::now();
    assert!(!slot.is_refused(since));
    slot.state = State::Refused(since);
    for (after, expected) in [(Duration::ZERO, true), (UNPOOLABLE / 2, true), (UNPOOLABLE, false)] {
        assert_eq!(slot.is_refused(since + after), expected, "{after:?}");
    }
}
