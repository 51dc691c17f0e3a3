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
}

impl Format {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Text, Self::OpenMetrics];

    /// The `Content-Type` of the answer. Prometheus 3 fails a scrape without a good one.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
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
/// 1.0.0 (which 0.0.4 is a case of, names being plain) or open.
pub fn format(accept: Option<&str>) -> Format {
    let Some(accept) = accept else { return Format::Text };
    let text = preference(accept, "text", "plain", &["0.0.4", "1.0.0"]);
    let open_metrics = preference(accept, "application", "openmetrics-text", &["1.0.0"]);
    match open_metrics {
        Some(preference) if Some(preference) > text => Format::OpenMetrics,
        _ => Format::Text,
    }
}

/// Weight in thousandths, closeness, and place in the header (later is less).
type Preference = (u16, u8, std::cmp::Reverse<usize>);

/// How much a client wants a media type; `None` if it does not accept it.
fn preference(accept: &str, kind: &str, subtype: &str, versions: &[&str]) -> Option<Preference> {
    // The closest range decides, as `text/plain;q=0, */*` means everything but text/plain; among equals the heaviest.
    let best = elements(accept)
        .enumerate()
        .filter_map(|(place, element)| {
            let (range, version) = (element.value, element.version.unwrap_or_default());
            let (range_kind, range_subtype) = range.split_once('/')?;
            let closeness = if range_kind.eq_ignore_ascii_case(kind) && range_subtype.eq_ignore_ascii_case(subtype) {
                if !version.is_empty() && !versions.contains(&version) {
                    return None;
                }
                2
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
    weight: u16,
}

/// The elements of a header; one whose weight cannot be read is left out.
fn elements(header: &str) -> impl Iterator<Item = Element<'_>> {
    header.split(',').filter_map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let value = parts.next().filter(|v| !v.is_empty())?;
        let mut found = Element { value, version: None, weight: 1000 };
        for (name, value) in parts.filter_map(|p| p.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => found.weight = weight(value)?,
                "version" => found.version = Some(value),
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
    use super::*;

    /// What Prometheus 2.42 sends.
    const PROMETHEUS_2_42: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    /// What Prometheus 3.5 sends.
    const PROMETHEUS_3_5: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    /// What Prometheus 3.5 sends once native histograms are on.
    const PROTOBUF_FIRST: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

    #[test]
    fn format_follows_the_accept_header() {
        use Format::{OpenMetrics, Text};
        for (accept, expected) in [
            (None, Text),
            (Some(""), Text),
            (Some(PROMETHEUS_2_42), OpenMetrics),
            (Some(PROMETHEUS_3_5), OpenMetrics),
            (Some(PROTOBUF_FIRST), OpenMetrics),
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
