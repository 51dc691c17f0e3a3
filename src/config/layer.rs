//! One layer of settings, as the `config` crate takes it: flags, environment, file or defaults.

use ::config::{Map, Source, Value};

/// Values by the full name of their key, each tagged with its origin.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer(pub Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ::config::ConfigError> {
        Ok(self.0.clone())
    }
}
