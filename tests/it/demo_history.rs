//! `deploy/prometheus/demo-history`: the past that it invents for the demo goes on to what the demo shows, and its weeks have days and nights.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// A page of a demo that has run for 100 s, once for each request.
fn serve(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = [0; 4096];
    let _ = stream.read(&mut request).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let page = format!(
        "agntix_exporter_catching_up 0\nprocess_start_time_seconds {}\n\
         agntix_agent_info{{agent_id=\"a\",agent_name=\"Desk\"}} 1\n\
         agntix_session_outcomes_total{{agent_id=\"a\",resolution=\"resolved\",sentiment=\"neutral\"}} 1900\n\
         agntix_session_outcomes_total{{agent_id=\"a\",resolution=\"unresolved\",sentiment=\"neutral\"}} 190\n\
         agntix_session_turns_count{{agent_id=\"a\"}} 100\n",
        now - 100
    );
    write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len()).unwrap();
}

/// Series by name and labels: times and values.
fn history(arguments: &[&str]) -> BTreeMap<String, Vec<(i64, f64)>> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || serve(&listener));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/demo-history");
    let output = Command::new(script).args(arguments).args([url.as_str(), "agntix", "demo:9899"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    server.join().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("# EOF\n"));
    let mut found: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut parts = line.rsplitn(3, ' ');
        let (at, value) = (parts.next().unwrap().parse().unwrap(), parts.next().unwrap().parse().unwrap());
        found.entry(parts.next().unwrap().to_owned()).or_default().push((at, value));
    }
    found
}

fn of<'h>(history: &'h BTreeMap<String, Vec<(i64, f64)>>, parts: &[&str]) -> &'h [(i64, f64)] {
    let mut found = history.iter().filter(|(series, _)| parts.iter().all(|part| series.contains(part)));
    let (_, samples) = found.next().unwrap_or_else(|| panic!("{parts:?} in {:?}", history.keys()));
    assert!(found.next().is_none(), "{parts:?} is of several");
    samples
}

/// Rises, but for one fall to 0 where what the demo knows begins, and ends at what the demo shows.
fn continues_to(samples: &[(i64, f64)], shown: f64, known: i64) {
    let last = samples.last().unwrap();
    assert!((last.1 - shown).abs() < 0.5, "{last:?}");
    let pairs = || samples.windows(2).map(|pair| (pair[0], pair[1]));
    assert!(pairs().all(|(before, after)| before.0 < after.0));
    let falls: Vec<_> = pairs().filter(|(before, after)| after.1 < before.1).collect();
    assert!(falls.len() == 1 && last.0 - falls[0].1.0 <= known, "{falls:?}");
}

#[test]
fn past_of_two_days_continues_to_the_page_at_one_pace() {
    let history = history(&[]);
    assert!(!history.keys().any(|series| series.contains("turns")), "alerts look at totals alone");
    let resolved = of(&history, &["agntix_session_outcomes_total", "\"resolved\""]);
    continues_to(resolved, 1_900.0, 1_900);
    assert_eq!(resolved.last().unwrap().0 - resolved[0].0, 2 * 86_400);
    let day = resolved[0].0 + 86_400;
    let half = resolved.iter().find(|(at, _)| *at >= day).unwrap();
    assert!((half.1 - 86_400.0).abs() < 600.0, "one a second: {half:?}");
}

#[test]
fn past_of_weeks_has_days_and_nights_and_weekends() {
    let history = history(&["--weeks=2"]);
    let resolved = of(&history, &["agntix_session_outcomes_total", "\"resolved\""]);
    continues_to(resolved, 1_900.0, 1_900);
    continues_to(of(&history, &["agntix_session_turns_count"]), 100.0, 100);
    assert!(of(&history, &["agntix_agent_info"]).iter().all(|(_, value)| (*value - 1.0).abs() < f64::EPSILON));
    // What was added in each hour, but for the last two, which are of what the demo knows.
    let end = resolved.last().unwrap().0 - 7_200;
    let hours = (1..13 * 24).map(|hour| {
        let at = |time: i64| resolved.iter().rev().find(|(at, _)| *at <= time).unwrap().1;
        at(end - (hour - 1) * 3_600) - at(end - hour * 3_600)
    });
    let hours: Vec<f64> = hours.collect();
    let [least, most] = [hours.iter().copied().fold(f64::MAX, f64::min), hours.iter().copied().fold(0.0, f64::max)];
    assert!(most > 5.0 * least, "{least} in the quietest hour, {most} in the busiest");
    // The rules' own sums are there for each of their windows.
    let judged = of(&history, &["agntix:sessions_judged:sum", "agent_id=\"a\"", "unresolved"]);
    assert!(judged.windows(2).all(|pair| pair[1].0 - pair[0].0 <= 300));
}
