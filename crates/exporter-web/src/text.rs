//! Names and values as an error shows them: cut, on one line, and never a credential.

/// Longer values are cut; the start is enough to recognise one.
const MAX_SHOWN: usize = 80;
/// What keys, tokens, hashes of passwords and PEM begin with.
const CREDENTIALS_BEGIN: [&str; 7] = ["pk_", "sk_", "eyJ", "whsec_", "Bearer ", "-----BEGIN", "$2"];

/// Text in quotes: cut, without control characters, and not at all if it may be a credential.
pub(crate) fn shown(text: &str) -> String {
    if looks_like_a_credential(text) {
        return "something that looks like a credential (not shown)".into();
    }
    let mut start: String = text.chars().take(MAX_SHOWN).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    format!("{start:?}")
}

/// A name of a key: without quotes if it is a plain one. Names come from files and may be anything.
pub(crate) fn shown_name(name: &str) -> String {
    if let Some(secret) = name.split('.').find(|part| looks_like_a_credential(part)) {
        return shown(secret);
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.len() <= MAX_SHOWN && !name.is_empty() && name.chars().all(plain) { name.to_owned() } else { shown(name) }
}

/// The one of `names` that `wrong` was probably meant to be.
pub(crate) fn nearest_of<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = names.into_iter().map(|name| (distance(wrong, name), name)).min_by_key(|(distance, _)| *distance);
    near.filter(|(distance, _)| *distance <= likely_typos(wrong)).map(|(_, name)| name)
}

fn looks_like_a_credential(text: &str) -> bool {
    let text = text.trim_start();
    CREDENTIALS_BEGIN.iter().any(|start| text.starts_with(start)) || (text.contains("://") && text.contains(['@', '?']))
}

fn distance(wrong: &str, name: &str) -> usize {
    // The effort is the product of the lengths, and a file may hold a name of any length.
    if wrong.len() > 2 * name.len() { usize::MAX } else { strsim::damerau_levenshtein(wrong, name) }
}

/// How many typos are likely in a word.
fn likely_typos(word: &str) -> usize {
    (word.len() / 5).clamp(1, 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_shown() {
        for secret in ["-----BEGIN x 42", " eyJhbGciOi42", "$2y$10$42", "https://me:42@host", "https://host/?key=42"] {
            assert!(!shown(secret).contains("42") && shown(secret).contains("not shown"), "{secret}");
        }
        assert!(["sk_live_42", "api.sk_live_42"].iter().all(|name| !shown_name(name).contains("42")));
    }

    #[test]
    fn text_is_cut_and_quoted() {
        assert_eq!(shown("a\nb"), "\"a\\nb\"");
        assert_eq!(shown(&"ä".repeat(100)), format!("\"{}…\"", "ä".repeat(80)));
        assert_eq!(shown_name("a.b_c-1"), "a.b_c-1");
        assert_eq!(shown_name("a b\u{7}"), "\"a b\\u{7}\"");
    }

    #[test]
    fn typos_find_the_name_that_was_meant() {
        let names = ["cert_file", "key_file", "cert"];
        assert_eq!(nearest_of("cret_file", names), Some("cert_file"));
        assert_eq!(nearest_of("users", names), None);
        assert_eq!(nearest_of(&"cert".repeat(1_000_000), names), None);
    }
}
