//! Which format and which compression a client gets, by its `Accept` and `Accept-Encoding`.
//!
//! As with `client_golang`, a client that accepts nothing we have gets text 0.0.4, uncompressed: a scrape that works is
//! worth more than a 406.

/// The format of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// `MetricFamily` messages of `io.prometheus.client`, each behind its length.
    Protobuf,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Text, Self::OpenMetrics, Self::Protobuf];

    /// The `Content-Type` of the answer. Prometheus 3 fails a scrape without a good one.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// The compression of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// None.
    Identity,
    /// gzip, RFC 1952.
    Gzip,
    /// Zstandard, RFC 8878.
    Zstd,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Identity, Self::Gzip, Self::Zstd];

    /// The `Content-Encoding` of the answer; `None` where it has none.
    pub const fn token(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// The best format for this `Accept` header (RFC 9110, 12.5.1): the highest weight wins, then the range that names the
/// format more closely, then the earlier one. OpenMetrics must be version 1.0.0 or leave it open; text may be 0.0.4,
/// 1.0.0 (which 0.0.4 is a case of, names being plain) or open. Protobuf must be asked for by name, with its message and as
/// delimited messages: no range gives bytes to somebody who may want to read them. Names need no escaping, so that
/// `escaping` is answered by any format.
pub fn format(accept: Option<&str>) -> Format {
    let Some(accept) = accept else { return Format::Text };
    let wanted = |format, media_type: [&str; 2], takes: &dyn Fn(&Element<'_>) -> bool| {
        preference(accept, media_type, takes).map(|preference| (preference, format))
    };
    let version = |versions: &'static [&str]| move |e: &Element<'_>| e.version.is_none_or(|v| versions.contains(&v));
    let protobuf = preference(accept, ["application", "vnd.google.protobuf"], &|element| {
        element.proto == Some("io.prometheus.client.MetricFamily")
            && element.encoding.is_some_and(|encoding| encoding.eq_ignore_ascii_case("delimited"))
    });
    [
        protobuf.filter(|preference| preference.1 == NAMED).map(|preference| (preference, Format::Protobuf)),
        wanted(Format::OpenMetrics, ["application", "openmetrics-text"], &version(&["", "1.0.0"])),
        wanted(Format::Text, ["text", "plain"], &version(&["", "0.0.4", "1.0.0"])),
    ]
    .into_iter()
    .flatten()
    .max_by_key(|(preference, _)| *preference)
    .map_or(Format::Text, |(_, format)| format)
}

/// How closely a range names a media type that it names.
const NAMED: u8 = 2;

/// Weight in thousandths, closeness, and place in the header (later is less).
type Preference = (u16, u8, std::cmp::Reverse<usize>);

/// How much a client wants a media type; `None` if it does not accept it. An element that names it counts only if its
/// parameters are such as `takes` wants.
fn preference(accept: &str, [kind, subtype]: [&str; 2], takes: &dyn Fn(&Element<'_>) -> bool) -> Option<Preference> {
    // The closest range decides, as `text/plain;q=0, */*` means everything but text/plain; among equals the heaviest.
    let best = elements(accept)
        .enumerate()
        .filter_map(|(place, element)| {
            let range = element.value;
            let (range_kind, range_subtype) = range.split_once('/')?;
            let closeness = if range_kind.eq_ignore_ascii_case(kind) && range_subtype.eq_ignore_ascii_case(subtype) {
                if !takes(&element) {
                    return None;
                }
                NAMED
            } else if range_kind.eq_ignore_ascii_case(kind) && range_subtype == "*" {
                1
            } else if range == "*/*" {
                0
            } else {
                return None;
            };
            Some((closeness, element.weight, std::cmp::Reverse(place)))
        })
        .max()?;
    (best.1 > 0).then_some((best.1, best.0, best.2))
}

/// The best compression for this `Accept-Encoding` header (RFC 9110, 12.5.3): the highest weight wins; among equals
/// zstd, then gzip, then none.
pub fn encoding(accept: Option<&str>) -> Encoding {
    let Some(accept) = accept else { return Encoding::Identity };
    let named = |names: &[&str]| {
        elements(accept).filter(|e| names.iter().any(|n| e.value.eq_ignore_ascii_case(n))).map(|e| e.weight).max()
    };
    let any = named(&["*"]);
    let candidates = [
        // Not naming identity leaves it acceptable, but behind all that is named.
        (named(&["identity"]).unwrap_or(0), Encoding::Identity),
        (named(&["gzip", "x-gzip"]).or(any).unwrap_or(0), Encoding::Gzip),
        (named(&["zstd"]).or(any).unwrap_or(0), Encoding::Zstd),
    ];
    // `max_by_key` takes the last of equals.
    candidates
        .into_iter()
        .filter(|(weight, _)| *weight > 0)
        .max_by_key(|(weight, _)| *weight)
        .map_or(Encoding::Identity, |(_, encoding)| encoding)
}

struct Element<'a> {
    value: &'a str,
    version: Option<&'a str>,
    proto: Option<&'a str>,
    encoding: Option<&'a str>,
    weight: u16,
}

/// The elements of a header; one whose weight cannot be read is left out.
fn elements(header: &str) -> impl Iterator<Item = Element<'_>> {
    header.split(',').filter_map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let value = parts.next().filter(|v| !v.is_empty())?;
        let mut found = Element { value, version: None, proto: None, encoding: None, weight: 1000 };
        for (name, value) in parts.filter_map(|p| p.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => found.weight = weight(value)?,
                "version" => found.version = Some(value),
                "proto" => found.proto = Some(value),
                "encoding" => found.encoding = Some(value),
                _ => {}
            }
        }
        Some(found)
    })
}

fn weight(text: &str) -> Option<u16> {
    let q: f64 = text.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000 after the check")]
    (0.0..=1.0).contains(&q).then(|| (q * 1000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What Prometheus 2.42 sends.
    const PROMETHEUS_2_42: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    /// What Prometheus 3.5 sends.
    const PROMETHEUS_3_5: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    /// What Prometheus 2.42 sends once native histograms are on.
    const PROTOBUF_FIRST_2_42: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    /// What Prometheus 3.5 sends once native histograms are on.
    const PROTOBUF_FIRST: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

    #[test]
    fn format_follows_the_accept_header() {
        use Format::{OpenMetrics, Protobuf, Text};
        for (accept, expected) in [
            (None, Text),
            (Some(""), Text),
            (Some(PROMETHEUS_2_42), OpenMetrics),
            (Some(PROMETHEUS_3_5), OpenMetrics),
            (Some(PROTOBUF_FIRST), Protobuf),
            (Some(PROTOBUF_FIRST_2_42), Protobuf),
            (Some("*/*"), Text),
            (Some("text/*"), Text),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Text),
            (Some("application/openmetrics-text"), OpenMetrics),
            (Some("Application/OpenMetrics-Text; Version=\"1.0.0\""), OpenMetrics),
            (Some("application/openmetrics-text; version=0.0.1"), Text),
            (Some("application/openmetrics-text; version=2.0.0, */*;q=0.1"), Text),
            (Some("application/openmetrics-text;q=0.3, text/plain;q=0.4"), Text),
            (Some("application/openmetrics-text;q=0.4, text/plain;q=0.3"), OpenMetrics),
            (Some("application/openmetrics-text, text/plain"), OpenMetrics),
            (Some("text/plain, application/openmetrics-text"), Text),
            (Some("application/openmetrics-text;q=0, */*"), Text),
            (Some("text/plain;q=0, */*"), OpenMetrics),
            (Some("application/json"), Text),
            (Some("application/openmetrics-text;q=nonsense, text/plain;q=0.1"), Text),
            (Some(";;;,,=,q"), Text),
        ] {
            assert_eq!(format(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn protobuf_is_for_those_who_name_it_with_its_message_and_as_delimited() {
        const NAME: &str = "application/vnd.google.protobuf";
        const PROTO: &str = "proto=io.prometheus.client.MetricFamily";
        use Format::{OpenMetrics, Protobuf, Text};
        for (accept, expected) in [
            (format!("{NAME};{PROTO};encoding=delimited"), Protobuf),
            (format!("{NAME}; encoding=delimited ;escaping=allow-utf-8; q=0.4; {PROTO}"), Protobuf),
            (format!("{NAME};{PROTO};encoding=delimited;escaping=underscores, */*"), Protobuf),
            (format!("{NAME};{PROTO};encoding=delimited, */*;q=0.9"), Protobuf),
            (
                "Application/Vnd.Google.Protobuf;PROTO=\"io.prometheus.client.MetricFamily\";Encoding=\"Delimited\""
                    .to_owned(),
                Protobuf,
            ),
            (format!("{NAME};{PROTO};encoding=delimited;q=0.4, text/plain;q=0.5"), Text),
            (format!("{NAME};{PROTO};encoding=delimited;q=0.6, text/plain;q=0.5"), Protobuf),
            (format!("{NAME};{PROTO};encoding=delimited, application/openmetrics-text"), Protobuf),
            (format!("application/openmetrics-text, {NAME};{PROTO};encoding=delimited"), OpenMetrics),
            (format!("{NAME};{PROTO};encoding=delimited;q=0, */*;q=0.1"), Text),
            (format!("{NAME};{PROTO};encoding=delimited;q=2"), Text),
            // Encodings that we do not have, beside one that we have.
            (format!("{NAME};{PROTO};encoding=text"), Text),
            (format!("{NAME};{PROTO};encoding=compact-text, application/openmetrics-text;q=0.1"), OpenMetrics),
            (format!("{NAME};{PROTO};encoding=text;q=0.9, {NAME};{PROTO};encoding=delimited;q=0.2"), Protobuf),
            (format!("{NAME};{PROTO}"), Text),
            (format!("{NAME};encoding=delimited"), Text),
            (format!("{NAME};proto=io.prometheus.client.Metric;encoding=delimited"), Text),
            (NAME.to_owned(), Text),
            ("application/*".to_owned(), OpenMetrics),
            ("*/*".to_owned(), Text),
            ("text/plain;q=0, application/openmetrics-text;q=0, */*".to_owned(), Text),
        ] {
            assert_eq!(format(Some(&accept)), expected, "{accept}");
        }
    }

    proptest! {
        #[test]
        fn any_header_has_an_answer_and_protobuf_is_only_given_to_those_who_name_it(
            accept in "(application/vnd\\.google\\.protobuf|application/openmetrics-text|text/plain|\\*/\\*|[;,=q\"/*. 0-9]{0,3}|proto=io\\.prometheus\\.client\\.MetricFamily|encoding=(delimited|text)|q=[01]\\.[0-9]|\\PC{0,3}|[;,]){0,16}"
        ) {
            let format = format(Some(&accept));
            let names = |text: &str| accept.to_ascii_lowercase().contains(text);
            if format == Format::Protobuf {
                prop_assert!(names("application/vnd.google.protobuf") && names("encoding=delimited"), "{}", accept);
            }
            encoding(Some(&accept));
        }
    }

    #[test]
    fn encoding_follows_the_accept_encoding_header() {
        use Encoding::{Gzip, Identity, Zstd};
        for (accept, expected) in [
            (None, Identity),
            (Some(""), Identity),
            (Some("gzip"), Gzip),
            (Some("GZIP"), Gzip),
            (Some("x-gzip"), Gzip),
            (Some("gzip, deflate, br, zstd"), Zstd),
            (Some("gzip;q=1.0, zstd;q=0.9"), Gzip),
            (Some("zstd;q=0.5, gzip;q=0.4, identity;q=0.1"), Zstd),
            (Some("gzip;q=0"), Identity),
            (Some("gzip;q=0.5, identity"), Identity),
            (Some("identity;q=0.5, gzip;q=0.5"), Gzip),
            (Some("br, deflate"), Identity),
            (Some("*"), Zstd),
            (Some("zstd;q=0, *;q=0.5"), Gzip),
            (Some("identity;q=0"), Identity),
            (Some("gzip;q=7"), Identity),
        ] {
            assert_eq!(encoding(accept), expected, "{accept:?}");
        }
    }
}
