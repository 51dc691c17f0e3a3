//! From the minutes in which a condition holds to the spans in which its alert fires.

use std::ops::Add;

/// From when until when, in minutes.
pub type Spans = Vec<(usize, usize)>;

/// How an alert fires whose condition holds `on` these minutes, with its `for` and `keep_firing_for` in minutes.
pub fn firing(on: &[usize], wait: usize, keep: usize) -> Spans {
    let mut spans: Spans = Vec::new();
    for run in on.chunk_by(|a, b| b - a == 1) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let end = last + 1 + keep;
        match spans.last_mut() {
            Some(open) if *first <= open.1 && keep > 0 => open.1 = end,
            _ if last - first >= wait => spans.push((first + wait, end)),
            _ => {}
        }
    }
    spans
}

/// Spans that are at most `gap` apart are one, whatever they are counted in.
pub fn merged<T: Copy + Ord + Add<Output = T>>(mut spans: Vec<(T, T)>, gap: T) -> Vec<(T, T)> {
    spans.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.0 <= last.1 + gap => last.1 = last.1.max(span.1),
            _ => merged.push(span),
        }
    }
    merged
}
