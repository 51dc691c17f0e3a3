//! The first bytes of the file, in which every byte has a meaning to SQLite, and most have only one value in a state.
//! (<https://sqlite.org/fileformat.html#the_database_header>)

/// Bytes of the header.
pub(super) const BYTES: usize = 100;
const PAGE: u64 = 4096;

/// What stands in the header that a state does not have; `length` is that of the file, if all of it is in the file and
/// nothing in the log.
pub(super) fn damage(header: &[u8; BYTES], length: Option<u64>) -> Option<String> {
    let number = |at: usize| header.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes);
    let wrong = |what: &str| Some(format!("the header of the file is damaged: {what} is not that of a state"));
    let versions = [header.get(18), header.get(19)];
    if header.get(16..18) != Some(&[16, 0]) || header.get(20..24) != Some(&[0, 64, 32, 32]) {
        return wrong("the size of a page");
    }
    if versions != [Some(&2); 2] && versions != [Some(&1); 2] {
        return wrong("the version of the file's format");
    }
    if !matches!((number(44), number(56)), (4, 1) | (0, 0 | 1)) {
        return wrong("the encoding of its text");
    }
    if [48, 52, 64].into_iter().any(|at| number(at) != 0) || header.get(72..92).is_none_or(|bytes| *bytes != [0; 20]) {
        return wrong("a setting");
    }
    match length {
        Some(length) if u64::from(number(28)) * PAGE != length => {
            Some(format!("the file has {length} bytes, and its header says {} pages of {PAGE}", number(28)))
        }
        _ => None,
    }
}
