//! `[stream]`: the organization's event stream, as hints of what to poll next. Its route is `api.stream_path`.

use serde::{Deserialize, Serialize};

/// See `config.toml`, section `[stream]`. No value of it can be wrong, so that there is nothing to validate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamConfig {
    /// Listen to the stream.
    pub enabled: bool,
}
