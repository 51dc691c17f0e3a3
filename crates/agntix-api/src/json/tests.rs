use proptest::prelude::*;
use serde_json::{Value, json};

use super::{JsonText, items, repair};
use crate::wire::{Page, Session, named_fields};

fn repaired(text: impl AsRef<[u8]>) -> Option<Value> {
    let strict = repair::repair(text.as_ref()).ok()?;
    Some(serde_json::from_slice(&strict).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&strict))))
}

#[test]
fn invalid_value_costs_only_itself() {
    let spoilt = || json!([]);
    let cases: [(&[u8], Value); 32] = [
        (b"NaN", spoilt()),
        (b"-NaN", spoilt()),
        (b"Infinity", spoilt()),
        (b"-Infinity", spoilt()),
        (b"+Infinity", spoilt()),
        (b"nan", spoilt()),
        (b"None", spoilt()),
        (b"True", spoilt()),
        (b"undefined", json!(null)),
        (b"1e999", spoilt()),
        (b"-1e400", spoilt()),
        (b"0x1F", spoilt()),
        (b"+1", spoilt()),
        (b"01", spoilt()),
        (b"-", spoilt()),
        (b"1.", spoilt()),
        (b".5", spoilt()),
        (b"1.e3", spoilt()),
        (b"1e", spoilt()),
        (b"1_000", spoilt()),
        (b"", spoilt()),
        (b"\"a\x01b\"", spoilt()),
        (b"\"a\nb\"", spoilt()),
        (b"\"a\0b\"", spoilt()),
        (b"\"\xff\"", spoilt()),
        // Overlong, a surrogate, and beyond the last code point.
        (b"\"\xc0\xaf\"", spoilt()),
        (b"\"\xed\xa0\x80\"", spoilt()),
        (b"\"\xf5\x80\x80\x80\"", spoilt()),
        (b"\"\\x41\"", spoilt()),
        (b"\"\\u12G4\"", spoilt()),
        (b"[1,,2,]", json!([1, 2])),
        (b"{\"b\":1,,\"c\":2,}", json!({"b": 1, "c": 2})),
    ];
    for (value, expected) in cases {
        let text = [b"{\"a\" :\t", value, b" , \"z\":\"\xc3\xa4\"}"].concat();
        let shown = String::from_utf8_lossy(&text).into_owned();
        assert_eq!(repaired(&text), Some(json!({"a": expected, "z": "ä"})), "{shown}");
        let in_list = [b"[0,".as_slice(), value, b",{}]"].concat();
        let expected = if value.is_empty() { json!([0, {}]) } else { json!([0, expected, {}]) };
        assert_eq!(repaired(in_list), Some(expected), "{shown}");
    }
}

#[test]
fn what_is_json_stays_as_it_is() {
    for text in [
        r#"{"a":[1,-0,0.5,1E+9,1e-400,"\u0000\ud83d\ude00\\\"\/",true,null,{}],"a":[]}"#,
        "\"\u{7f}\"",
        "7",
        "123456789012345678901234567890",
    ] {
        assert_eq!(repair::repair(text.as_bytes()).as_deref(), Ok(text.as_bytes()));
    }
}

#[test]
fn a_lone_surrogate_is_a_replacement_character_and_a_pair_is_not() {
    let cases = [
        (r#""\ud83d""#, "\u{fffd}"),
        (r#""\udc00x""#, "\u{fffd}x"),
        (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
        (r#""\ud83dA\ude00""#, "\u{fffd}A\u{fffd}"),
        (r#""\uD83D\n""#, "\u{fffd}\n"),
        (r#""\\ud83d\ud83d""#, "\\ud83d\u{fffd}"),
    ];
    for (text, expected) in cases {
        assert_eq!(repaired(text), Some(json!(expected)), "{text}");
        assert_eq!(repaired(format!("{{{text}:1}}")), Some(json!({ expected: 1 })), "{text}");
    }
}

#[test]
fn invalid_key_becomes_no_other_key() {
    for key in [b"id\xff".as_slice(), b"i\x01d", b"\\x69d"] {
        let text = [b"{\"id\":1,\"", key, b"\":2,\"b\":3}"].concat();
        assert_eq!(repaired(text), Some(json!({"id": 1, "\u{fffd}": 2, "b": 3})));
    }
}

#[test]
fn byte_order_marks_before_the_text_are_skipped() {
    assert_eq!(repaired("\u{feff}{\"a\":1}"), Some(json!({"a": 1})));
    assert_eq!(repaired("\u{feff}\u{feff} [1]"), Some(json!([1])));
    assert_eq!(repaired("{\u{feff}}"), None);
}

#[test]
fn text_must_be_one_whole_value() {
    for text in [
        "",
        "\u{feff}",
        "{",
        "[",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":tr",
        "\"a",
        "\"a\\\"",
        "{}{}",
        "{} x",
        "1 2",
        "{'a':1}",
        "{a:1}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "[1}",
        "{]",
        "]",
        "// x\n{}",
        "<html></html>",
        "{\"a\":1}/* x */",
        "[[}]",
    ] {
        assert_eq!(repaired(text), None, "{text}");
    }
    let utf_16: Vec<u8> = "{\"a\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!((repaired(&utf_16), repaired([&[0xff, 0xfe], utf_16.as_slice()].concat())), (None, None));
}

const SESSION: &str = r#"{"id":"s","type":"VOICE","state":"CLOSED","agentId":"A","createdAt":"2026-04-08T05:00:01.130Z",
    "metadata":{"customerName":"x"},"analysis":{"summary":"y","resolution":{"classification":"RESOLVED","confidenceScore":0.5},
    "extractedData":{"ok":true,"n":2.5}}}"#;

#[test]
fn a_session_that_is_cut_short_is_never_read() {
    for end in 0..SESSION.len() {
        let text = JsonText::new(&SESSION.as_bytes()[..end]);
        assert!(text.read::<Session<'_>>().is_err() && text.read_list::<Session<'_>>().is_err(), "{end}");
    }
    assert!(JsonText::new(SESSION.as_bytes()).read::<Session<'_>>().is_ok());
}

#[test]
fn the_last_of_a_repeated_key_counts_at_every_level() {
    let text = SESSION
        .replacen('{', r#"{"id":7,"state":"OPEN","\u0073tate":null,"analysis":{"resolution":null,"summary":1},"#, 1)
        .replace(r#""classification":"#, r#""classification":"UNRESOLVED","classification":"#)
        .replace(r#""ok":true"#, r#""ok":1e999,"ok":false,"\ud800":1,"ok":true"#);
    let text = JsonText::new(text.as_bytes());
    let session: Session<'_> = text.read().unwrap();
    assert_eq!((session.id.text(), session.state.text()), (Some("s"), Some("CLOSED")));
    let analysis = session.analysis.value().unwrap();
    assert_eq!(analysis.resolution.value().unwrap().classification.text(), Some("RESOLVED"));
    let fields = named_fields(analysis.extracted_data.unwrap(), &["ok", "n"]).unwrap();
    assert_eq!((fields[0].boolean(), fields[1].number()), (Some(true), Some(2.5)));
}

#[test]
fn an_object_is_not_read_from_a_list_of_its_values() {
    assert!(JsonText::new(br#"["s","VOICE"]"#).read::<Session<'_>>().is_err());
    let session = JsonText::new(br#"{"id":"s","analysis":["x"]}"#);
    assert!(session.read::<Session<'_>>().unwrap().analysis.is_wrong());
}

fn ids(page: &[u8]) -> Option<Vec<String>> {
    let text = JsonText::new(page);
    let page: Page<'_> = text.read_list().ok()?;
    let ids = page.data?.into_iter().map(|raw| {
        let item = JsonText::new(raw.get().as_bytes());
        item.read::<Session<'_>>().map_or("?".into(), |item| {
            let is_whole = item.created_at.time().is_some();
            format!("{}{}", item.id.text().unwrap_or("-"), if is_whole { "" } else { "!" })
        })
    });
    Some(ids.collect())
}

fn item(id: &str, more: &str) -> String {
    format!(
        r#"{{"id":"{id}","createdAt":"2026-04-08T05:00:00Z","evidence":[{{"said":"a"}},{{"said":"}},{{"}}],"note":"]"{more}}}"#
    )
}

#[test]
fn invalid_item_costs_only_itself() {
    let broken = [
        // What is wrong, and what is left of it.
        (item("b", ",oops"), "b!"),
        (item("b", ",'x':1"), "b!"),
        (item("b", r#","x":1 "y":2"#), "b!"),
        (item("b", r#","x":<html>"#), "b!"),
        (item("b", r#","x":(1)"#), "b!"),
        (item("b", r#","x":"without end"#), "b!"),
        (item("b", r#","x":{"y":1"#), "b!"),
        (item("b", r#","x":[1,2"#), "b!"),
        (item("b", "}"), "b"),
        (item("b", "]"), "b!"),
        ("<html>".into(), "?"),
        ("{id:'b'}".into(), "?"),
        ("'b'".into(), "?"),
        ("{\"a\"".into(), "?"),
        ("{\"id\":\"b".into(), "?"),
        ("null".into(), "?"),
        ("{}".into(), "-!"),
    ];
    for (broken, left) in broken {
        for place in 0..4 {
            let (mut items, mut expected) = (["a", "c", "d"].map(|id| item(id, "")).to_vec(), vec!["a", "c", "d"]);
            items.insert(place, broken.clone());
            expected.insert(place, left);
            let page = format!(r#"{{"data": [{}], "pagination": {{"total": 4}}}}"#, items.join(", "));
            assert_eq!(ids(page.as_bytes()), Some(expected.iter().map(ToString::to_string).collect()), "{page}");
            let reversed = format!(r#"{{"pagination":{{"total":4}},"data":[{}]}}"#, items.join(","));
            assert_eq!(
                ids(reversed.as_bytes()),
                Some(expected.iter().map(ToString::to_string).collect()),
                "{reversed}"
            );
        }
    }
}

#[test]
fn good_items_between_two_broken_ones_are_kept() {
    let unclosed = |id| item(id, r#","x":"without end"#);
    let items = [item("a", ""), unclosed("b"), item("c", ""), item("d", ""), unclosed("e"), item("f", "")].join(",");
    let page = format!(r#"{{"data":[{items}]}}"#);
    assert_eq!(ids(page.as_bytes()).unwrap(), ["a", "b!", "c", "d", "e!", "f"]);
}

#[test]
fn missing_comma_between_items_costs_neither() {
    let page = format!(r#"{{"data":[{}{}, {}]}}"#, item("a", ""), item("b", ""), item("c", ""));
    assert_eq!(ids(page.as_bytes()).unwrap(), ["a", "b", "c"]);
}

#[test]
fn a_page_that_is_cut_short_is_no_page() {
    let page = format!(r#"{{"data":[{},{}],"pagination":{{"total":2}}}}"#, item("a", ""), item("b", ""));
    for end in 0..page.len() {
        assert_eq!(ids(&page.as_bytes()[..end]), None, "{}", &page[..end]);
    }
    let broken = page.replace(r#""note""#, "note");
    for end in 0..broken.len() {
        assert_eq!(ids(&broken.as_bytes()[..end]), None, "{}", &broken[..end]);
    }
}

#[test]
fn the_search_for_items_costs_no_more_than_the_length_of_the_text() {
    // Each of these is read once for every item, unless the search is bounded: 10^10 steps.
    for unit in [r#"{"id":"a"#, r#"{"a":[{"#, r#"{"id":1,'},"#, "{\"x\":x x},{", "[[{", r#"},{"a":"#] {
        let text = format!("{{\"data\":[{}", unit.repeat(200_000 / unit.len()));
        assert!(items::repair(text.as_bytes()).is_err());
    }
    let deep = format!("{}{}", "[".repeat(300_000), "]".repeat(300_000));
    assert_eq!(repair::repair(deep.as_bytes()).as_deref(), Ok(deep.as_bytes()));
}

/// A value as it is written with tolerance, and what is read of it.
fn lenient() -> impl Strategy<Value = (Vec<u8>, Value)> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|n| (n.to_string().into_bytes(), json!(n))),
        (-1e9..1e9_f64)
            .prop_map(|n| n.to_string())
            .prop_map(|n| (n.clone().into_bytes(), serde_json::from_str(&n).unwrap())),
        any::<String>().prop_map(|s| (json!(s).to_string().into_bytes(), json!(s))),
        any::<bool>().prop_map(|b| (b.to_string().into_bytes(), json!(b))),
        "(NaN|-?Infinity|[1-9]e[4-9][0-9]{2,4}|0[0-9]+|[A-Z]{5,9})".prop_map(|w| (w.into_bytes(), json!([]))),
        ("[a-z]*", 0_u8..0x20, "[a-z]*")
            .prop_map(|(a, c, b)| (format!("\"{a}{}{b}\"", char::from(c)).into_bytes(), json!([]))),
        ("[a-z]*", 0x80_u8.., "[a-z]*")
            .prop_map(|(a, c, b)| ([b"\"", a.as_bytes(), &[c], b.as_bytes(), b"\""].concat(), json!([]))),
        ("[a-z]*", 0xd800_u16..0xe000, "[a-z]*")
            .prop_map(|(a, c, b)| (format!("\"{a}\\u{c:04x}{b}\"").into_bytes(), json!(format!("{a}\u{fffd}{b}")))),
    ];
    let space = "[ \n\t]{0,2}";
    leaf.prop_recursive(4, 40, 6, move |inner| {
        let items = proptest::collection::vec((inner.clone(), space), 0..6);
        let members = proptest::collection::vec(("[a-c]{0,2}", inner, space), 0..6);
        prop_oneof![
            items.prop_map(|items| {
                let texts: Vec<_> = items.iter().map(|((t, _), s)| [s.as_bytes(), t, s.as_bytes()].concat()).collect();
                let values = items.into_iter().map(|((_, value), _)| value).collect();
                ([b"[".as_slice(), &texts.join(&b','), b"]"].concat(), Value::Array(values))
            }),
            members.prop_map(|members| {
                let member = |(k, (t, _), s): &(String, (Vec<u8>, Value), String)| {
                    [s.as_bytes(), b"\"", k.as_bytes(), b"\"", s.as_bytes(), b":", t].concat()
                };
                let texts: Vec<_> = members.iter().map(member).collect();
                let values = members.into_iter().map(|(key, (_, value), _)| (key, value)).collect();
                ([b"{".as_slice(), &texts.join(&b','), b"}"].concat(), Value::Object(values))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn a_value_is_read_whatever_stands_beside_it((text, expected) in lenient()) {
        prop_assert_eq!(repaired(&text), Some(expected.clone()));
        // A list changes nothing of what can be read without it.
        let list = items::repair(&text).map(|text| serde_json::from_slice::<Value>(&text).unwrap());
        prop_assert_eq!(list, Ok(expected));
    }

    #[test]
    fn what_serde_json_reads_is_read_the_same(text in "[\\[\\]{}\",:\\\\ 0-9.eE+\\-a-cntrufdls]{0,24}") {
        if let Ok(expected) = serde_json::from_str::<Value>(&text) {
            prop_assert_eq!(repaired(&text), Some(expected));
        }
    }

    #[test]
    fn whatever_comes_the_repaired_text_is_json(
        text in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..64),
            "([\\[\\]{},:\"\\\\ ]|\"[a-z]\"|\"id\":|,\\{|NaN|[0-9]|\\\\u(d8|dc|00)00){0,40}".prop_map(String::into_bytes),
        ]
    ) {
        for strict in [repair::repair(&text), items::repair(&text)].into_iter().flatten() {
            prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&strict).is_ok());
            prop_assert!(strict.len() <= 3 * text.len() + 8);
        }
    }
}
