//! What talks to Agntix: the wire types, the client, the credential, the request budget. Knows nothing of metrics.
pub mod wire;
