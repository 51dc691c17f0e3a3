//! Rewrites text that is nearly JSON as strict JSON.
//!
//! One pass over the text, with a byte for each level of nesting and no recursion; the result is at most three times as
//! long. An invalid value becomes `[]`, which has the wrong type for every field that is read, so that it counts as present
//! and wrong. Valid JSON is copied as it is.

/// The text cannot be repaired, or is cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// Replaces an invalid value.
const SPOILT: &[u8] = b"[]";
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// `text` as strict JSON.
///
/// # Errors
/// If it is no single value, or not whole.
pub(super) fn repair(text: &[u8]) -> Result<Vec<u8>, Broken> {
    let mut repair = Repair::new(text);
    repair.run()?;
    Ok(repair.out)
}

/// A level of nesting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) is_object: bool,
    /// Something was written in it, so that a comma comes next.
    has_any: bool,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// A value.
    Value,
    /// A key or an item, or the end of its object or array.
    Member,
    /// A comma, or the end.
    After,
}

/// A repair under way.
#[derive(Debug)]
pub(super) struct Repair<'b> {
    pub(super) text: &'b [u8],
    /// Where the next byte is read.
    pub(super) at: usize,
    pub(super) out: Vec<u8>,
    pub(super) levels: Vec<Level>,
    pub(super) want: Want,
    /// Where the present item began, in the text and in what is written, of a list that is the text itself or stands in its
    /// outermost object.
    pub(super) item: Option<(usize, usize)>,
}

impl<'b> Repair<'b> {
    pub(super) fn new(text: &'b [u8]) -> Self {
        let mut begin = 0;
        while text.get(begin..).is_some_and(|rest| rest.starts_with(BOM)) {
            begin += BOM.len();
        }
        let mut repair = Self::at(text, begin);
        repair.out.reserve(text.len());
        repair
    }

    /// Begins with the value at `at`.
    pub(super) fn at(text: &'b [u8], at: usize) -> Self {
        Self { text, at, out: Vec::new(), levels: Vec::new(), want: Want::Value, item: None }
    }

    /// Goes on to the end of the text.
    pub(super) fn run(&mut self) -> Result<(), Broken> {
        self.value()?;
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { Err(Broken) }
    }

    /// Goes on to the end of the value that has been begun.
    pub(super) fn value(&mut self) -> Result<(), Broken> {
        loop {
            self.skip_space();
            match self.want {
                Want::Value => self.begin_value()?,
                Want::Member => self.begin_member()?,
                Want::After => match self.levels.last() {
                    None => return Ok(()),
                    Some(_) if self.peek() == Some(b',') => self.want = Want::Member,
                    Some(_) => self.close()?,
                },
            }
        }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(super) fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn begin_value(&mut self) -> Result<(), Broken> {
        match self.peek().ok_or(Broken)? {
            open @ (b'{' | b'[') => {
                self.at += 1;
                self.out.push(open);
                self.levels.push(Level { is_object: open == b'{', has_any: false });
                self.want = Want::Member;
                return Ok(());
            }
            b'"' => self.string(false)?,
            byte if is_of_word(byte) => self.word(),
            // The value is missing.
            b',' | b'}' if self.levels.last().is_some_and(|level| level.is_object) => self.out.extend(SPOILT),
            _ => return Err(Broken),
        }
        self.want = Want::After;
        Ok(())
    }

    /// A key with its colon, or the beginning of an item, or the end. Commas too many are nothing.
    fn begin_member(&mut self) -> Result<(), Broken> {
        while self.peek() == Some(b',') {
            self.at += 1;
            self.skip_space();
        }
        if matches!(self.peek(), Some(b'}' | b']')) {
            return self.close();
        }
        let depth = self.levels.len();
        let is_list = depth == 1 || depth == 2 && self.levels.first().is_some_and(|level| level.is_object);
        let level = self.levels.last_mut().ok_or(Broken)?;
        if std::mem::replace(&mut level.has_any, true) {
            self.out.push(b',');
        }
        self.want = Want::Value;
        if level.is_object {
            if self.peek() != Some(b'"') {
                return Err(Broken);
            }
            self.string(true)?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(Broken);
            }
            self.at += 1;
            self.out.push(b':');
        } else if is_list {
            self.item = Some((self.at, self.out.len()));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Broken> {
        let level = self.levels.last().ok_or(Broken)?;
        let end = if level.is_object { b'}' } else { b']' };
        if self.peek() != Some(end) {
            return Err(Broken);
        }
        self.levels.pop();
        if end == b']' && self.levels.len() <= 1 {
            self.item = None;
        }
        self.at += 1;
        self.out.push(end);
        self.want = Want::After;
        Ok(())
    }

    /// A number or a literal, or what stands in the place of one: `NaN`, `-Infinity`, `0x1F`, `1e999`.
    fn word(&mut self) {
        let begin = self.at;
        while self.peek().is_some_and(is_of_word) {
            self.at += 1;
        }
        let word = self.text.get(begin..self.at).unwrap_or_default();
        match word {
            b"undefined" => self.out.extend(b"null"),
            _ if is_json(word) => self.out.extend(word),
            _ => self.out.extend(SPOILT),
        }
    }

    fn string(&mut self, is_key: bool) -> Result<(), Broken> {
        let begin = self.at + 1;
        let mut end = begin;
        let (mut has_escape, mut has_control) = (false, false);
        loop {
            match *self.text.get(end).ok_or(Broken)? {
                b'"' => break,
                b'\\' => {
                    has_escape = true;
                    // Whatever is escaped: a quote that is, is no end.
                    end += 1;
                }
                byte => has_control |= byte < 0x20,
            }
            end += 1;
        }
        self.at = end + 1;
        let content = self.text.get(begin..end).unwrap_or_default();
        let valid = std::str::from_utf8(content).ok().filter(|_| !has_control);
        match valid {
            Some(_) if !has_escape => self.quoted(content),
            Some(text) => match unescaped_surrogates(text) {
                Some(text) => self.quoted(text.as_bytes()),
                None => self.spoilt(is_key),
            },
            None => self.spoilt(is_key),
        }
        Ok(())
    }

    fn quoted(&mut self, content: &[u8]) {
        self.out.push(b'"');
        self.out.extend(content);
        self.out.push(b'"');
    }

    /// An invalid key must not become one that a reader asks for.
    fn spoilt(&mut self, is_key: bool) {
        if is_key { self.quoted("\u{fffd}".as_bytes()) } else { self.out.extend(SPOILT) }
    }
}

const fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'+' | b'-' | b'.')
}

/// Whether a word is a literal of JSON, or a number (RFC 8259, section 6) that is not too large to be one.
fn is_json(word: &[u8]) -> bool {
    fn digits(text: &[u8]) -> &[u8] {
        let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        text.get(count..).unwrap_or_default()
    }

    if matches!(word, b"true" | b"false" | b"null") {
        return true;
    }
    let integer = word.strip_prefix(b"-").unwrap_or(word);
    let mut rest = match integer {
        [b'0', rest @ ..] => rest,
        [b'1'..=b'9', rest @ ..] => digits(rest),
        _ => return false,
    };
    if let [b'.', fraction @ ..] = rest {
        rest = digits(fraction);
        if rest.len() == fraction.len() {
            return false;
        }
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
        rest = digits(exponent);
        if rest.len() == exponent.len() {
            return false;
        }
    }
    rest.is_empty()
        && std::str::from_utf8(word).ok().and_then(|word| word.parse().ok()).is_some_and(|n: f64| n.is_finite())
}

/// The inside of a string with U+FFFD in place of every lone surrogate; `None` if one of its escapes is none of JSON's.
fn unescaped_surrogates(text: &str) -> Option<String> {
    const REPLACEMENT: &str = "\\ufffd";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(escape) = rest.find('\\') {
        let (before, from) = rest.split_at(escape);
        out.push_str(before);
        let length = match from.as_bytes().get(1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
            b'u' => match code_unit(from)? {
                0xD800..0xDC00 if from.get(6..).and_then(code_unit).is_some_and(is_low) => 12,
                0xD800..0xE000 => {
                    out.push_str(REPLACEMENT);
                    rest = from.get(6..)?;
                    continue;
                }
                _ => 6,
            },
            _ => return None,
        };
        let (escape, behind) = from.split_at_checked(length)?;
        out.push_str(escape);
        rest = behind;
    }
    out.push_str(rest);
    Some(out)
}

/// The code unit of the `\uXXXX` with which `text` begins.
fn code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

const fn is_low(unit: u16) -> bool {
    matches!(unit, 0xDC00..0xE000)
}
