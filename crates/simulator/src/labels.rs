//! How a label set is written on a text page.
//!
//! Written from the Prometheus documentation, "Exposition formats", section "Text format details", and not from the
//! exporter, so that the truth disagrees with an exporter that escapes wrongly: "`label_value` can be any sequence of
//! UTF-8 characters, but the backslash (`\`), double-quote (`"`), and line feed (`\n`) characters have to be escaped as
//! `\\`, `\"`, and `\n`, respectively."

/// `name="value",…` without the braces, in the order given.
///
/// Prometheus takes an empty value for an absent label; the exporter promises `unknown` in its place (docs/metrics.md).
pub(crate) fn label_set(names: &[&str], values: &[&str]) -> String {
    let pairs = names.iter().zip(values).map(|(name, value)| {
        let value = if value.is_empty() { "unknown" } else { value };
        format!("{name}=\"{}\"", escape(value))
    });
    pairs.collect::<Vec<_>>().join(",")
}

/// The backslash first: the other two bring backslashes of their own.
fn escape(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backslash_quote_and_line_feed_are_escaped_and_nothing_else() {
        let page =
            label_set(&["path", "error", "empty"], &[r"C:\DIR\new", "Cannot find file:\n\"FILE.TXT\" é\t{}", ""]);
        let expected = r#"path="C:\\DIR\\new",error="Cannot find file:\n\"FILE.TXT\" é"#;
        assert_eq!(page, format!("{expected}\t{{}}\",empty=\"unknown\""));
        // A backslash before an n is no line feed.
        assert_eq!(label_set(&["a"], &["\\n"]), "a=\"\\\\n\"");
        assert_eq!(label_set(&["a"], &["\n"]), "a=\"\\n\"");
    }
}
