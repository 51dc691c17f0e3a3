//! The metrics page of a running exporter: how many series it has, and of how many agents. Nothing else of it is kept.

use std::collections::HashSet;

/// A larger page is not read to its end.
const MAX_BYTES: usize = 256 << 20;
const SAVES: &[u8] = b"agntix_exporter_state_writable";
const STARTED: &[u8] = b"agntix_sessions_started_total{agent_id=\"";

/// What a page shows.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Samples about sessions and agents, without those about watched sessions.
    pub series: u64,
    /// Agents among them.
    pub agents: u64,
    /// Whether it says that its counts can be saved.
    pub saves: Option<bool>,
    names: HashSet<Box<[u8]>>,
    line: Vec<u8>,
}

/// Reads the page at `url`; `None` if it is not there, or not whole within bounds.
pub(super) async fn read(client: &reqwest::Client, url: &str) -> Option<Page> {
    let mut answer = client.get(url).send().await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    let (mut page, mut bytes) = (Page::default(), 0);
    while let Some(chunk) = answer.chunk().await.ok()? {
        bytes += chunk.len();
        if bytes > MAX_BYTES {
            return None;
        }
        page.take(&chunk);
    }
    Some(page)
}

impl Page {
    fn take(&mut self, chunk: &[u8]) {
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.line_of(&line);
            }
        }
    }

    fn line_of(&mut self, line: &[u8]) {
        // It has labels only if there are static ones.
        if let Some(rest) = line.strip_prefix(SAVES).filter(|rest| rest.starts_with(b" ") || rest.starts_with(b"{")) {
            self.saves = Some(!rest.trim_ascii_end().ends_with(b" 0"));
        }
        // Watched sessions belong to no agent; the estimate adds them by their configured number.
        let others: [&[u8]; 2] = [b"agntix_exporter_", b"agntix_watched_"];
        if !line.starts_with(b"agntix_") || others.iter().any(|name| line.starts_with(name)) {
            return;
        }
        self.series += 1;
        if let Some(rest) = line.strip_prefix(STARTED) {
            // An escaped quote would cut a name short, but agents would still be told apart.
            let name = rest.split(|byte| *byte == b'"').next().unwrap_or_default();
            self.names.insert(name.into());
            self.agents = self.names.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_and_agents_are_counted_across_chunks() {
        let text = b"# HELP agntix_up x\nagntix_up 1\nagntix_exporter_catching_up 0\nprocess_x 1\nagntix_watched_session_info{session_id=\"s\"} 1\n\
            agntix_exporter_state_writable 0\n\
            agntix_sessions_started_total{agent_id=\"a\",x=\"1\"} 1\nagntix_sessions_started_total{agent_id=\"a\",x=\"2\"} 1\n\
            agntix_sessions_started_total{agent_id=\"b\"} 1\n";
        for size in [1, 7, text.len()] {
            let mut page = Page::default();
            text.chunks(size).for_each(|chunk| page.take(chunk));
            assert_eq!((page.series, page.agents, page.saves), (4, 2, Some(false)), "in pieces of {size}");
        }
        let mut page = Page::default();
        page.take(
            b"agntix_exporter_state_writable{organization=\"a b 0\"} 1\n\
              agntix_sessions_started_total{agent_id=\"a\",organization=\"a b 0\"} 1\n",
        );
        assert_eq!((page.series, page.agents, page.saves), (1, 1, Some(true)), "with static labels");
    }
}
