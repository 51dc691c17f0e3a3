//! What the messages of a session come to: [`MessageReader`], and whose are read: [`is_sampled`]. Pure.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use agntix_api::{JsonText, wire};

use crate::session::MessageTally;

/// Messages of one session that are read at most.
pub const MOST_MESSAGES: usize = 10_000;
/// A list of which more than this part runs backwards is one that begins with the newest.
const BACKWARDS: (usize, usize) = (2, 3);
/// Messages on a page, where the answer does not say.
const FULL_PAGE: usize = 100;
/// Of fewer gaps it cannot be said.
const FEW: usize = 3;

/// Whether the messages of the session called `id` are among the `share` that is read: the same ones whatever happens.
pub fn is_sampled(id: &str, share: f64) -> bool {
    let digest = ring::digest::digest(&ring::digest::SHA256, id.as_bytes());
    let first = digest.as_ref().first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    f64::from(first) < share * (f64::from(u32::MAX) + 1.0)
}

/// Who has written a message, as far as it matters for turns and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voice {
    User,
    Assistant,
    /// A tool, the system, or what comes later: no part of the conversation as its user sees it.
    Other,
}

/// Reads the messages of one session, page after page, and keeps of each only by whom and when it was written.
#[derive(Debug, Default)]
pub struct MessageReader {
    messages: Vec<(Voice, Option<i64>)>,
    roles: BTreeMap<String, u64>,
    /// Hashes of the ids seen, and of whole pages: a message without an id is known again by its page alone.
    seen: HashSet<u64>,
}

impl MessageReader {
    /// Takes in a page. Gives how many messages on it are new: one that was on a page before is not counted again.
    pub fn read(&mut self, page: &wire::Page<'_>) -> usize {
        let before = self.messages.len();
        let mut whole = DefaultHasher::new();
        page.items().iter().for_each(|raw| raw.get().hash(&mut whole));
        if !self.seen.insert(whole.finish()) {
            return 0;
        }
        for raw in page.items() {
            let text = JsonText::new(raw.get().as_bytes());
            // What is no object has no role and no time, and is a message all the same.
            let message = text.read::<wire::Message<'_>>().unwrap_or_default();
            if let Some(id) = message.id.text() {
                let mut hasher = DefaultHasher::new();
                id.hash(&mut hasher);
                if !self.seen.insert(hasher.finish()) {
                    continue;
                }
            }
            let role = message.role.text().map_or_else(|| "unknown".to_owned(), str::to_lowercase);
            let voice = match role.as_str() {
                "user" => Voice::User,
                "assistant" => Voice::Assistant,
                _ => Voice::Other,
            };
            *self.roles.entry(role).or_default() += 1;
            self.messages.push((voice, message.created_at.time().map(crate::clock::Timestamp::as_millis)));
        }
        self.messages.len() - before
    }

    /// How many messages there are so far.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// What they come to, and whether a response time had to be left out because of what the times say.
    pub fn finish(mut self) -> (MessageTally, bool) {
        if self.begins_with_newest() {
            self.messages.reverse();
        }
        let turns = self.messages.iter().filter(|(voice, _)| *voice == Voice::User).count() as u64;
        let mut tally = MessageTally { roles: self.roles.into_iter().collect(), turns, ..MessageTally::default() };
        let (mut first, mut asked, mut left_out) = (None, None, false);
        let mut is_answered = false;
        for (voice, at) in self.messages {
            match voice {
                Voice::User => {
                    first.get_or_insert(at);
                    asked = Some(at);
                }
                Voice::Assistant => {
                    let Some(last) = asked.take() else { continue };
                    let gap = |from: Option<i64>| u64::try_from(at?.checked_sub(from?)?).ok().filter(|ms| *ms > 0);
                    match gap(last) {
                        Some(ms) => tally.responses_ms.push(ms),
                        None => left_out = true,
                    }
                    if !std::mem::replace(&mut is_answered, true) {
                        tally.first_response_ms = first.and_then(gap);
                    }
                }
                Voice::Other => {}
            }
        }
        tally.unanswered = asked.is_some();
        (tally, left_out)
    }

    fn begins_with_newest(&self) -> bool {
        let times: Vec<i64> = self.messages.iter().filter_map(|(_, at)| *at).collect();
        let gaps = times.len().saturating_sub(1);
        let backwards = times.windows(2).filter(|pair| matches!(pair, [earlier, later] if later < earlier)).count();
        let (part, whole) = BACKWARDS;
        gaps >= FEW && backwards * whole > gaps * part
    }
}

/// Whether the list states that it goes on behind `page`, after which `read` messages are known, `new` ones from that page.
pub fn states_more(list: &wire::Page<'_>, page: u32, read: usize, new: usize) -> bool {
    list.total().map_or_else(
        || list.total_pages().is_some_and(|pages| if new == 0 { page <= pages } else { page < pages }),
        |total| total > read as u64,
    )
}

/// Whether it may go on though it does not state so: behind a page that is full, and where what it states makes no sense.
pub fn may_have_more(list: &wire::Page<'_>, page: u32, read: usize, new: usize) -> bool {
    let full = list.limit().map_or(FULL_PAGE, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let is_told = list.total().is_some_and(|total| total == read as u64) || list.total_pages() == Some(page);
    let items = list.items().len();
    items > 0 && (!is_told || (new > 0 && items >= full))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(messages: &[(&str, &str, &str)]) -> String {
        let item = |(id, role, at): &(&str, &str, &str)| {
            format!(
                r#"{{"id":"{id}","content":"Ann said \"yes\"","role":"{role}","createdAt":"2026-04-08T05:00:{at}Z"}}"#
            )
        };
        format!(r#"{{"data":[{}]}}"#, messages.iter().map(item).collect::<Vec<_>>().join(","))
    }

    fn read(pages: &[String]) -> (MessageTally, bool, Vec<usize>) {
        let mut reader = MessageReader::default();
        let new = pages
            .iter()
            .map(|body| {
                let text = JsonText::new(body.as_bytes());
                reader.read(&wire::Page::read(body.as_bytes(), &text).unwrap())
            })
            .collect();
        let (tally, left_out) = reader.finish();
        (tally, left_out, new)
    }

    fn roles(tally: &MessageTally) -> Vec<(&str, u64)> {
        tally.roles.iter().map(|(role, count)| (role.as_str(), *count)).collect()
    }

    #[test]
    fn answers_are_timed_from_the_last_word_of_the_user_whatever_tools_do_between() {
        let pages = [
            page(&[("1", "ASSISTANT", "00"), ("2", "USER", "05"), ("3", "USER", "07"), ("4", "TOOL", "08")]),
            page(&[("4", "TOOL", "08"), ("5", "ASSISTANT", "10"), ("6", "ASSISTANT", "12"), ("7", "USER", "20")]),
            page(&[("8", "SYSTEM", "21"), ("9", "ASSISTANT", "22.500"), ("10", "USER", "30")]),
        ];
        let (tally, left_out, new) = read(&pages);
        assert_eq!(roles(&tally), [("assistant", 4), ("system", 1), ("tool", 1), ("user", 4)]);
        assert_eq!((tally.turns, tally.first_response_ms, tally.responses_ms), (4, Some(5_000), vec![3_000, 2_500]));
        assert!(tally.unanswered && !left_out);
        assert_eq!(new, [4, 3, 3], "what a page repeats is not counted again");
        assert_eq!(read(&[pages[0].clone(), pages[0].clone()]).2, [4, 0]);
        let nameless = r#"{"data":[{"role":"USER"},{"role":"ASSISTANT"}]}"#.to_owned();
        assert_eq!(read(&[nameless.clone(), nameless]).2, [2, 0]);
    }

    #[test]
    fn times_that_run_backwards_or_are_missing_are_left_out_and_noted() {
        for (user, assistant) in [("05", "05"), ("05", "04"), ("05", "never"), ("never", "05")] {
            let (tally, left_out, _) =
                read(&[page(&[("1", "ASSISTANT", "00"), ("2", "USER", user), ("3", "ASSISTANT", assistant)])]);
            assert_eq!((tally.turns, tally.first_response_ms, &tally.responses_ms[..]), (1, None, &[][..]));
            assert!(left_out && !tally.unanswered, "{user} {assistant}");
        }
    }

    #[test]
    fn a_list_that_begins_with_the_newest_is_read_from_its_end() {
        let forwards = [("1", "ASSISTANT", "00"), ("2", "USER", "05"), ("3", "ASSISTANT", "06"), ("4", "USER", "09")];
        let mut backwards = forwards;
        backwards.reverse();
        assert_eq!(read(&[page(&backwards)]).0, read(&[page(&forwards)]).0);
        assert!(read(&[page(&backwards)]).0.unanswered);
    }

    #[test]
    fn nobody_spoke_and_whatever_is_in_the_list_is_a_message() {
        assert_eq!(read(&[page(&[])]).0, MessageTally::default());
        let odd = r#"{"data":[7,null,{"role":["USER"]},{"role":"NARRATOR","createdAt":5},{"id":"x","role":"user"}]}"#;
        let (tally, left_out, _) = read(&[odd.to_owned()]);
        assert_eq!(roles(&tally), [("narrator", 1), ("unknown", 3), ("user", 1)]);
        assert!(tally.unanswered && !left_out);
    }

    #[test]
    fn the_share_that_is_sampled_is_the_one_that_was_asked_for_and_a_larger_one_holds_it() {
        let ids: Vec<String> = (0..2_000).map(|number| format!("ses_{number}")).collect();
        let sampled = |share| ids.iter().filter(|id| is_sampled(id, share)).collect::<Vec<_>>();
        let (few, many) = (sampled(0.1), sampled(0.5));
        assert!((150..250).contains(&few.len()) && (900..1_100).contains(&many.len()), "{} {}", few.len(), many.len());
        assert!(few.iter().all(|id| many.contains(id)) && sampled(1.0).len() == ids.len());
    }
}
