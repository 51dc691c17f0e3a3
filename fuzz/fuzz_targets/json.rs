//! A body of the API, whatever it is: reading it neither fails nor takes long, and what is JSON is read as it is.

#![no_main]

use agntix_api::JsonText;
use agntix_api::wire::{Page, Session};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let text = JsonText::new(body);
    let value = text.read::<Value>();
    if let Ok(strict) = serde_json::from_slice::<Value>(body) {
        assert_eq!(value.as_ref(), Ok(&strict), "what is JSON is read as it is");
    }
    let list = text.read_list::<Value>();
    if value.is_ok() {
        assert_eq!(list, value, "a list changes nothing of what can be read without it");
    }
    drop(text.read::<Session<'_>>());
    if let Ok(Page { data: Some(items), .. }) = text.read_list::<Page<'_>>() {
        for item in items {
            drop(JsonText::new(item.get().as_bytes()).read::<Session<'_>>());
        }
    }
});
