//! An export comes back as it was, or not at all.

use super::*;
use crate::ledger::transfer::FORMAT;

#[test]
fn a_state_comes_back_from_its_lines_as_it_was() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (before, after) = (filled(from.path()), configuration(&to.path().join("new")));
    let text = lines(&before);
    assert_eq!(import_text(&after, &text).unwrap(), text.lines().count() as u64);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&lines(&after)), sorted(&text));
    let (one, other) = (open(&before).1, open(&after).1);
    assert_eq!((one.pending, one.series, one.leases), (other.pending, other.series, other.leases));
    assert_eq!((one.first_start, one.watermark), (other.first_start, other.watermark));
    assert!(one.open_listed && other.open_listed);
    // And it knows what it has counted.
    let again = commit(&after, vec![session("counted 3", Some(5_000), Some("Refund"))]);
    assert_eq!(again, [CommitOutcome::AlreadyCounted]);
    assert!(matches!(import_text(&after, &text), Err(UpkeepError::Occupied { .. })));
}

#[test]
fn an_export_that_is_not_whole_makes_no_state() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let text = lines(&filled(from.path()));
    let config = configuration(&to.path().join("new"));
    let all: Vec<&str> = text.lines().collect();
    let joined = |lines: &[&str]| lines.iter().flat_map(|line| [*line, "\n"]).collect::<String>();
    let without = |place: usize| joined(&[&all[..place], &all[place + 1..]].concat());
    let twice = joined(&[&all[..all.len() - 1], &all[all.len() - 2..]].concat());
    let newer = text.replacen(&format!("\"format\":{FORMAT}"), "\"format\":99", 1);
    for (what, broken, said) in [
        ("no end", joined(&all[..all.len() - 1]), "without its closing line"),
        ("half a line", text[..text.len() / 2].to_owned(), "is not one of an exported state"),
        ("no head", without(0), "the first line must name the format"),
        ("a hole", without(all.len() / 2), "it closes"),
        ("a line twice", twice, "UNIQUE"),
        ("a newer format", newer, "its format is 99"),
        ("something else", "{\"meta\":[\"a\",1],\"check\":\"\"}\n".into(), "the first line must name"),
        ("more behind the end", format!("{text}{}\n", all[1]), "after the closing line"),
        ("no hexadecimal", text.replacen("\"id\":\"", "\"id\":\"zz", 30), "hexadecimal"),
        ("an unknown metric", text.replace("agntix_sessions_started_total", "agntix_x_total"), "there is no metric"),
        ("cells of another histogram", text.replacen("\"cells\":[", "\"cells\":[1,", 1), "wrong length"),
        (
            "buckets that no line has",
            text.replacen("\"layout\":\"duration\"", "\"layout\":\"x\"", 1),
            "has the buckets",
        ),
        ("labels of no page", text.replacen("session_type=", "session_typo=", 1), "they are no labels of agntix_"),
        ("a source that is none", text.replacen("\"source\":", "\"source\":9", 1), "no such stage or source"),
        ("no day", text.replacen("\"day\":", "\"day\":-", 1), "days since 1970"),
        ("nothing", String::new(), "without its closing line"),
    ] {
        let error = import_text(&config, &sealed(&broken)).expect_err(what).to_string();
        assert!(error.contains(said), "{what}: {error}");
        assert!(matches!(inspect(&config.state.path), Err(UpkeepError::NoState { .. })), "{what}");
        assert_eq!(std::fs::read_dir(&config.state.path).unwrap().count(), 0, "{what} leaves something behind");
    }
    assert_eq!(sealed(&text), text);
    import_text(&config, &text).unwrap();
}

#[test]
fn an_export_with_a_changed_byte_or_line_is_refused_with_the_line() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let text = lines(&filled(from.path())).into_bytes();
    let config = configuration(&to.path().join("new"));
    let import = |bytes: &[u8]| import(&config, &mut &*bytes, &mut |_| ());
    for place in (0..text.len()).step_by(211).chain([0, text.len() - 1]) {
        let mut changed = text.clone();
        changed[place] ^= 1;
        let error = import(&changed).unwrap_err();
        let line = text[..place].split(|byte| *byte == b'\n').count() as u64;
        assert!(matches!(error, UpkeepError::Line { line: found, .. } if found == line), "byte {place}: {error}");
    }
    // Each line as it was written, but not each in its place.
    let mut swapped: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    swapped.swap(3, 4);
    assert!(import(&swapped.concat()).unwrap_err().to_string().contains("not those that it closes"));
    let earlier = "{\"agntix_exporter_state\":{\"format\":2,\"version\":\"0.1.0\"}}\n{\"end\":{\"lines\":1}}\n";
    assert!(import_text(&config, earlier).unwrap_err().to_string().contains("format 2, which has no checksums"));
    import_text(&config, std::str::from_utf8(&text).unwrap()).unwrap();
}

#[test]
fn a_log_that_was_left_behind_is_no_place_for_an_import() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (text, config) = (lines(&filled(from.path())), configuration(to.path()));
    // What a killed daemon leaves when only the larger of its two files is moved away.
    for ending in ["-wal", "-journal"] {
        let left = to.path().join(format!("ledger.sqlite{ending}"));
        std::fs::write(&left, "old").unwrap();
        assert!(matches!(import_text(&config, &text), Err(UpkeepError::Occupied { .. })), "{ending}");
        assert_eq!(std::fs::read(&left).unwrap(), b"old");
        std::fs::remove_file(left).unwrap();
    }
    import_text(&config, &text).unwrap();
}

#[test]
fn a_state_that_is_made_during_an_import_is_not_replaced() {
    /// Lets a daemon start when the last line has been read.
    struct Meanwhile<'t>(&'t [u8], &'t Config, Option<SqliteLedger>);
    impl std::io::Read for Meanwhile<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() && self.2.is_none() {
                self.2 = Some(open(self.1).0);
            }
            self.0.read(buffer)
        }
    }
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (text, config) = (lines(&filled(from.path())), configuration(to.path()));
    let mut reader = std::io::BufReader::new(Meanwhile(text.as_bytes(), &config, None));
    let refused = import(&config, &mut reader, &mut |_| ()).unwrap_err();
    assert!(matches!(refused, UpkeepError::Occupied { .. }), "{refused}");
    drop(reader);
    assert_eq!(inspect(to.path()).unwrap().remembered.counted, 0, "the daemon's own state is there");
}

#[test]
fn an_import_leaves_the_buckets_as_they_were_exported() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let text = lines(&filled(from.path()));
    let mut config = configuration(to.path());
    config.metrics.duration_buckets = vec![1.0, 1_000.0];
    import_text(&config, &text).unwrap();
    let sorted = |text: &str| {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    assert_eq!(sorted(&lines(&config)), sorted(&text));
}
