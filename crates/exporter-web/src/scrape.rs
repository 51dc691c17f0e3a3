//! What the server and a handler of metrics tell each other: whose request it is, and that the answer is a page of metrics.

/// Who sent a request, as far as the connection shows. The server puts it among the extensions of every request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nothing is known of the client.
    #[default]
    Anybody,
    /// The connection has scraped for a second or longer, as that of a Prometheus does.
    Regular,
    /// The client has not waited for the answers to its earlier requests, which no Prometheus does.
    Pipeliner,
}

/// Marks an answer as a page of metrics, as one of its extensions: its connection scrapes, and keeps its place when others
/// are closed to make room.
#[derive(Clone, Copy, Debug)]
pub struct Scraped;
