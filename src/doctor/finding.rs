//! One finding: what was checked, how it is, and what to do about it.

use serde::Serialize;

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// The exporter works, but worse than it could, or not for long.
    Warning,
    /// The exporter cannot do what the configuration asks of it.
    Failure,
}

impl Status {
    /// The word that a person or a program reads.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The name of the check. Programs read it: add names, never change one.
    pub check: &'static str,
    /// How it is.
    pub status: Status,
    /// One sentence, with the value.
    pub says: String,
    /// What to do about it; nothing to do where all is well.
    pub advice: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, says: says.into(), advice: None }
    }

    /// It works, but not as well as it could.
    pub fn warning(check: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, status: Status::Warning, says: says.into(), advice: Some(advice.into()) }
    }

    /// It does not work.
    pub fn failure(check: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, status: Status::Failure, says: says.into(), advice: Some(advice.into()) }
    }
}

/// A number as people read it: `12,345`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 agent`, `2 agents`.
pub(super) fn many(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_nouns_have_a_plural() {
        let texts = [0, 999, 1_000, 12_345, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "12,345", "1,234,567"]);
        assert_eq!((many(1, "agent"), many(0, "agent")), ("1 agent".to_owned(), "0 agents".to_owned()));
    }
}
