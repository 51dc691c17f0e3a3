//! What the messages of a session come to, as bytes. Pure.

use crate::session::MessageTally;

/// Roles, turns, milliseconds until the first response, milliseconds of every response, and whether the user had the last word.
type TallyParts = (Vec<(String, u64)>, u64, Option<u64>, Vec<u64>, bool);

/// What messages come to, as bytes.
pub(super) fn tally_bytes(tally: &MessageTally) -> Vec<u8> {
    let MessageTally { roles, turns, first_response_ms, responses_ms, unanswered } = tally.clone();
    let parts: TallyParts = (roles, turns, first_response_ms, responses_ms, unanswered);
    // Numbers and text only, which always have a JSON.
    serde_json::to_vec(&parts).unwrap_or_default()
}

/// What [`tally_bytes`] has made; `None` of anything else.
pub(super) fn read_tally(bytes: &[u8]) -> Option<MessageTally> {
    let (roles, turns, first_response_ms, responses_ms, unanswered) =
        serde_json::from_slice::<TallyParts>(bytes).ok()?;
    Some(MessageTally { roles, turns, first_response_ms, responses_ms, unanswered })
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn tally_is_read_back() {
        let roles = vec![("user".to_owned(), 2), ("assistant".to_owned(), 3)];
        let tally =
            MessageTally { roles, turns: 2, first_response_ms: Some(5), responses_ms: vec![5, 7], unanswered: true };
        assert_eq!(read_tally(&tally_bytes(&tally)), Some(tally));
        assert_eq!(read_tally(b"{}"), None);
    }
}
