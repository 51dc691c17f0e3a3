//! Each fault does what it says, to whom it says, repeatably.

use std::collections::BTreeSet;

use super::*;

/// What is sent of ten minutes under these faults.
fn sent(faults: StreamFaults) -> (Vec<u8>, Then) {
    let (simulator, clock) = frozen(|config| config.stream.heartbeat = SECOND * 100_000);
    let mut connection = simulator.connect(None);
    set_faults(&simulator, faults);
    clock.set(clock.now().plus(SECOND * 600));
    pieces(&simulator, &mut connection)
}

fn whole() -> Vec<u64> {
    ids(&sent(StreamFaults::default()).0)
}

fn share(part: usize, whole: usize) -> usize {
    part * 100 / whole
}

#[test]
fn events_are_missed_repeated_and_swapped() {
    let whole = whole();
    let missed = ids(&sent(StreamFaults { missed_share: 0.3, ..StreamFaults::default() }).0);
    assert!(missed.is_sorted() && (60..80).contains(&share(missed.len(), whole.len())), "{}", missed.len());
    let (again, _) = sent(StreamFaults { missed_share: 0.3, ..StreamFaults::default() });
    assert_eq!(ids(&again), missed, "the same each time");

    let repeated = ids(&sent(StreamFaults { repeated_share: 0.3, ..StreamFaults::default() }).0);
    assert!((120..140).contains(&share(repeated.len(), whole.len())), "{}", repeated.len());
    assert!(repeated.is_sorted() && repeated.iter().copied().collect::<BTreeSet<_>>().into_iter().eq(whole.clone()));

    let mut swapped = ids(&sent(StreamFaults { swapped_share: 0.3, ..StreamFaults::default() }).0);
    let turned = swapped.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!((15..35).contains(&share(turned, whole.len())), "{turned}");
    swapped.sort_unstable();
    assert_eq!(swapped, whole, "none is lost");
}

#[test]
fn a_stream_breaks_falls_silent_or_does_not_end_its_line() {
    let (broken, then) = sent(StreamFaults { drop_after: Some(3), ..StreamFaults::default() });
    assert_eq!((ids(&broken), then), (vec![1, 2, 3], Then::Breaks));

    let (simulator, clock) = frozen(|_| {});
    let mut connection = simulator.connect(None);
    set_faults(&simulator, StreamFaults { silent_after: Some(3), ..StreamFaults::default() });
    clock.set(clock.now().plus(SECOND * 600));
    let (silent, then) = pieces(&simulator, &mut connection);
    assert_eq!((ids(&silent), then), (vec![1, 2, 3], Then::Goes));
    assert_eq!(read(&silent).len(), 3, "no heartbeat either");
    set_faults(&simulator, StreamFaults::default());
    assert_eq!(ids(&pieces(&simulator, &mut connection).0)[0], 4, "it can be woken up");

    let (endless, then) = sent(StreamFaults { endless_after: Some(3), ..StreamFaults::default() });
    assert_eq!(then, Then::Ends);
    let line = endless.rsplit(|byte| *byte == b'\n').next().unwrap();
    assert!(line.starts_with(b"data: xxx") && line.len() == 8 * 1024 * 1024 + 6, "{}", line.len());
}

#[test]
fn byte_order_mark_comments_and_line_ends_change_no_event() {
    let odd = StreamFaults { bom: true, crlf: true, comment_share: 0.5, ..StreamFaults::default() };
    let (bytes, _) = sent(odd);
    assert!(bytes.starts_with("\u{feff}".as_bytes()));
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    assert!(text.matches("\n: ").count() > 100);
    assert_eq!(read(&bytes), read(&sent(StreamFaults::default()).0));
}

#[test]
fn garbage_stands_between_events_and_leaves_them_whole() {
    let (bytes, _) = sent(StreamFaults { garbage_share: 0.5, ..StreamFaults::default() });
    let text = String::from_utf8_lossy(&bytes);
    for senseless in ["nobody.knows", "no JSON", "\u{fffd}", "retry: soon", "[1,"] {
        assert!(text.contains(senseless), "{senseless:?}");
    }
    let numbers: Vec<u64> =
        text.lines().filter_map(|line| line.strip_prefix("id: ")).filter_map(|id| id.parse().ok()).collect();
    assert_eq!(numbers, whole());
}

#[test]
fn nonsense_is_refused() {
    let (simulator, _) = frozen(|_| {});
    let stream = StreamFaults { missed_share: 1.5, ..StreamFaults::default() };
    assert!(simulator.set_faults(crate::Faults { stream, ..Default::default() }).is_err());
}

#[test]
fn stream_ends_or_is_cut_in_the_middle_of_an_event() {
    let (ended, then) = sent(StreamFaults { end_after: Some(1), ..StreamFaults::default() });
    assert_eq!((ids(&ended), then), (vec![1], Then::Ends));
    assert_eq!(sent(StreamFaults { end_after: Some(0), ..StreamFaults::default() }), (Vec::new(), Then::Ends));
    let (cut, then) = sent(StreamFaults { cut_after: Some(1), ..StreamFaults::default() });
    let text = String::from_utf8(cut).unwrap();
    assert!(text.contains("\n\nevent: ") && text.ends_with("\nid: 2\n"), "{text:?}");
    assert_eq!(then, Then::Breaks);
}

#[test]
fn comments_only_replaces_events_and_heartbeats() {
    let (simulator, clock) = frozen(|_| {});
    let mut connection = simulator.connect(None);
    set_faults(&simulator, StreamFaults { comments_only: true, ..StreamFaults::default() });
    let mut sent = Vec::new();
    for _ in 0..90 {
        clock.set(clock.now().plus(SECOND));
        sent.extend(pieces(&simulator, &mut connection).0);
    }
    assert_eq!(String::from_utf8(sent).unwrap(), ": ping\n\n".repeat(3));
    set_faults(&simulator, StreamFaults::default());
    clock.set(clock.now().plus(SECOND * 60));
    assert!(!ids(&pieces(&simulator, &mut connection).0).is_empty(), "it can be switched off");
}

#[test]
fn ids_can_be_left_out_and_retry_is_sent_once_per_connection() {
    let (bytes, _) = sent(StreamFaults { without_ids: true, retry_ms: Some(1_500), ..StreamFaults::default() });
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.starts_with("retry: 1500\n\nevent: "), "{}", &text[..40]);
    assert!(!text.contains("\nid: ") && text.matches("retry").count() == 1);
    let stream = StreamFaults { refused_ids: Some(200), ..StreamFaults::default() };
    let (simulator, _) = frozen(|_| {});
    assert!(simulator.set_faults(crate::Faults { stream, ..Default::default() }).is_err());
}
