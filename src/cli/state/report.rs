//! What `state inspect` and `state forget` print.

use std::fmt::Write as _;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::ledger::postgres::upkeep::{Inspection as SharedInspection, TableSize};
use crate::ledger::sqlite::upkeep::Inspection;
use crate::ledger::transfer::Remembered;

/// What is in a file.
pub(super) fn of_file(inspection: &Inspection, now: Timestamp) -> String {
    let Inspection { path, format, bytes, free_bytes, remembered } = inspection;
    let mut rows = vec![
        ("file", format!("{}, format {format}", path.display())),
        ("size", format!("{}, of which {} would be given back by `state compact`", size(*bytes), size(*free_bytes))),
    ];
    rows.extend(of_contents(remembered, now));
    lines(rows, &remembered.series)
}

/// What is in a database, and who counts.
pub(super) fn of_database(inspection: &SharedInspection, now: Timestamp) -> String {
    let SharedInspection { database, schema, server, format, holder, since, is_held, epoch, sequence, folded, .. } =
        inspection;
    let since = since.map_or_else(|| "never".to_owned(), |at| at.to_string());
    let counting = match (&inspection.moved, holder.is_empty(), is_held) {
        (Some(moved), ..) => format!("nobody: the state was moved to {} on {}", moved.to, moved.at),
        (None, true, _) => "nobody yet".to_owned(),
        (None, false, true) => format!("{holder}, since {since}"),
        (None, false, false) => format!("nobody; {holder} was the last to, since {since}"),
    };
    let bytes: i64 = inspection.tables.iter().map(|table| table.bytes).sum();
    let mut rows = vec![
        ("database", format!("{database}, schema {schema}, format {format}, PostgreSQL {server}")),
        ("size", size(bytes.unsigned_abs())),
        ("counting", counting),
        ("lease", format!("epoch {epoch}")),
        ("commits", format!("{sequence}, of which {} are still to be folded into the series", sequence - folded)),
    ];
    for (name, seen) in &inspection.replicas {
        rows.push(("replica", format!("{name}, seen {} ago", rounded(*seen))));
    }
    let oldest = inspection.oldest_delivery.map(|oldest| format!(", the oldest since {}", rounded(oldest)));
    rows.push(("inbox", format!("{} deliveries still to be counted{}", inspection.inbox, oldest.unwrap_or_default())));
    rows.extend(of_contents(&inspection.remembered, now));
    let mut text = lines(rows, &inspection.remembered.series);
    for TableSize { name, rows, bytes } in &inspection.tables {
        // It cannot fail on a string.
        let _ = writeln!(text, "table {name:<14}{rows:>12} rows {:>12}", size(bytes.unsigned_abs()));
    }
    text
}

fn of_contents(remembered: &Remembered, now: Timestamp) -> Vec<(&'static str, String)> {
    let time = |at: Option<Timestamp>, none: &str| {
        at.map_or_else(|| none.to_owned(), |at| format!("{at} ({} ago)", rounded(now.since(at))))
    };
    let Remembered { pending, series, .. } = remembered;
    let mut rows = vec![
        ("counting since", time(remembered.first_start, "the API has not been heard yet")),
        ("look-back", if remembered.look_back_done { "done" } else { "not done" }.to_owned()),
        ("heard of all until", time(remembered.watermark, "the listing has not been read yet")),
        (
            "sessions counted",
            format!("{} remembered, the oldest of {}", remembered.counted, time(remembered.counted_since, "no day")),
        ),
    ];
    rows.extend(pending.iter().map(|(stage, count)| ("sessions pending", format!("{count} {}", stage.as_str()))));
    if remembered.oldest_ended.is_some() {
        rows.push(("longest waiting", format!("ended {}", time(remembered.oldest_ended, ""))));
    }
    rows.push(("agents", remembered.agents.to_string()));
    let total: u64 = series.iter().map(|(_, count)| count).sum();
    rows.push(("series", format!("{total}, {} of them in the initial-zero window", remembered.held)));
    rows
}

/// What became of a session that was to be forgotten; `None` if nothing was remembered of it. `(row, counted, keeps_hash)`: its row
/// was there, and is gone; it was counted; a hash of its id is there now. `hash`: the hash was to go as well.
pub(super) fn forgotten((row, counted, keeps_hash): (bool, bool, bool), hash: bool) -> Option<&'static str> {
    match (row, counted, keeps_hash, hash) {
        (false, false, false, _) => None,
        (true, _, true, _) => Some("its row is gone; a hash of its id stays, so that it is not counted anew"),
        (false, _, true, _) => Some("only a hash of its id is remembered, which stays, so that it is not counted anew"),
        (true, false, false, false) => {
            Some("its row is gone; only its id was known, and it is stored and counted when it is heard of again")
        }
        (_, _, false, _) => Some("nothing is remembered of it any more; if Agntix still gives it, it is counted again"),
    }
}

fn lines(rows: Vec<(&str, String)>, series: &[(&str, u64)]) -> String {
    let rows = rows.into_iter().map(|(name, value)| format!("{name:<20}{value}"));
    let metrics = series.iter().map(|(metric, count)| format!("{count:>18}  {metric}"));
    let mut lines: Vec<String> = rows.chain(metrics).collect();
    lines.push(String::new());
    lines.join("\n")
}

fn rounded(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

/// Bytes for a person.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "one digit behind the point is shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or_default();
    while value >= 1024.0 {
        let Some(larger) = units.next() else { break };
        (value, unit) = (value / 1024.0, larger);
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Stage;

    #[test]
    fn sizes_have_units() {
        for (bytes, text) in [(0, "0.0 KiB"), (4096, "4.0 KiB"), (34_603_008, "33.0 MiB"), (1 << 60, "1048576.0 TiB")] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn what_is_left_of_a_forgotten_session_is_what_is_said() {
        for (known, hash, gone, stays) in [
            ((true, true, true), false, "its row is gone", "a hash of its id stays"),
            ((true, false, true), false, "its row is gone", "a hash of its id stays"),
            ((false, true, true), false, "only a hash of its id is remembered", "which stays"),
            ((true, false, false), false, "its row is gone", "only its id was known"),
            ((true, true, false), true, "nothing is remembered of it any more", "it is counted again"),
            ((true, false, false), true, "nothing is remembered of it any more", "it is counted again"),
            ((false, true, false), true, "nothing is remembered of it any more", "it is counted again"),
        ] {
            let said = forgotten(known, hash).unwrap();
            assert!(said.starts_with(gone) && said.contains(stays), "{known:?}: {said}");
        }
        assert_eq!([false, true].map(|hash| forgotten((false, false, false), hash)), [None; 2]);
    }

    #[test]
    fn inspection_fits_on_a_page() {
        let inspection = Inspection {
            path: "data/ledger.sqlite".into(),
            format: 1,
            bytes: 2_097_152,
            free_bytes: 4096,
            remembered: Remembered {
                first_start: Some(Timestamp::from_millis(1_000)),
                look_back_done: true,
                watermark: None,
                counted: 7,
                counted_since: Some(Timestamp::from_millis(0)),
                pending: vec![(Stage::Open, 2), (Stage::Ended, 1)],
                oldest_ended: Some(Timestamp::from_millis(61_000)),
                series: vec![("agntix_sessions_started_total", 3)],
                agents: 1,
                held: 1,
            },
        };
        let text = of_file(&inspection, Timestamp::from_millis(121_000));
        for expected in [
            "file                data/ledger.sqlite, format 1\n",
            "size                2.0 MiB, of which 4.0 KiB would be given back by `state compact`\n",
            "counting since      1970-01-01T00:00:01.000Z (2m ago)\n",
            "heard of all until  the listing has not been read yet\n",
            "sessions pending    1 ended\n",
            "longest waiting     ended 1970-01-01T00:01:01.000Z (1m ago)\n",
            "series              3, 1 of them in the initial-zero window\n",
            "                 3  agntix_sessions_started_total\n",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
    }
}
