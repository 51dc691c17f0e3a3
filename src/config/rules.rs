//! The rules that keys of several sections share.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::Path;
use std::time::Duration;

use super::error::{Violation, looks_like_a_credential, shown};

/// More buckets would make every histogram of every channel expensive.
const MAX_BUCKETS: usize = 64;

/// An hour, for the bounds of durations.
pub(super) const HOUR: Duration = Duration::from_secs(3600);
/// A day, for the bounds of durations.
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// Rejects a value unless it keeps the rule, which begins with "must".
pub(super) fn check(
    kept: bool,
    key: &'static str,
    value: impl fmt::Display,
    rule: impl Into<String>,
) -> Result<(), Violation> {
    if kept { Ok(()) } else { Err(Violation { key, value: value.to_string(), rule: rule.into() }) }
}

/// A duration as it is written in the file.
pub(super) fn written(value: Duration) -> String {
    format!("\"{}\"", humantime::format_duration(value))
}

/// Rejects a duration outside `least..=most`; `rule` says the same in words.
pub(super) fn duration(
    key: &'static str,
    value: Duration,
    (least, most): (Duration, Duration),
    rule: &str,
) -> Result<(), Violation> {
    check((least..=most).contains(&value), key, written(value), rule)
}

/// Rejects what is not the path of a route.
pub(super) fn route(key: &'static str, path: &str) -> Result<(), Violation> {
    check(path.starts_with('/'), key, shown(path), "must begin with a slash")?;
    let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '{' | '}' | '?' | '#');
    check(
        !path.contains(strange),
        key,
        shown(path),
        "must be a plain path, without spaces, braces, queries or fragments",
    )
}

/// Rejects what is not the path of a route that the exporter itself could serve.
pub(super) fn served_route(key: &'static str, path: &str) -> Result<(), Violation> {
    route(key, path)?;
    let plain = !path.contains('*') && !path.split('/').any(|part| part.starts_with(':'));
    let rule = "must be a plain path, without stars, and no part of it may begin with a colon";
    check(plain, key, shown(path), rule)?;
    // Clients resolve dots, write other characters as %XX, and some proxies make one slash of two.
    let kept =
        path.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '%' | '"' | '<' | '>' | '\\' | '^' | '`' | '|'));
    let rule = "must be a path that a client sends as it is written here: of letters, digits and -._~!$&'()+,;=@ between slashes";
    check(kept, key, shown(path), rule)?;
    // Those at the end of a prefix are not a part of it.
    let resolved =
        !path.trim_end_matches('/').contains("//") && !path.split('/').any(|part| matches!(part, "." | ".."));
    let rule =
        "must be a path that a client sends as it is written here: without // and without parts that are . or ..";
    check(resolved, key, shown(path), rule)
}

/// Rejects what is not `host:port` or, for every address, `:port`. `example` is an address of IPv4 that would do.
pub(super) fn listen_address(key: &'static str, address: &str, example: &str) -> Result<(), Violation> {
    let v6 = example.replace("0.0.0.0", "[::]");
    check(
        is_host_and_port(address),
        key,
        shown(address),
        format!("must be host:port, such as \"{example}\" or \"{v6}\""),
    )
}

fn is_host_and_port(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok()),
        None => host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_')),
    };
    host && port.parse::<u16>().is_ok() && !port.starts_with('+')
}

/// Rejects what cannot be the path of a file or directory.
pub(super) fn path(key: &'static str, path: &Path, what: &str) -> Result<(), Violation> {
    let text = path.to_string_lossy();
    check(!text.trim().is_empty(), key, shown(&text), format!("must be the path of a {what}, or be left out"))?;
    let secret = looks_like_a_credential(&text) && !text.contains('/');
    check(!secret, key, shown(&text), format!("must be the path of a {what}, not what is in it"))?;
    check(
        !text.contains("://") && !text.contains('\0'),
        key,
        shown(&text),
        format!("must be the path of a local {what}"),
    )
}

/// Rejects upper bounds that are not ascending, or that lie outside `least..=most`.
pub(super) fn buckets(key: &'static str, bounds: &[f64], (least, most): (f64, f64)) -> Result<(), Violation> {
    check(!bounds.is_empty(), key, "empty", "must have at least one upper bound")?;
    let count = bounds.len();
    check(count <= MAX_BUCKETS, key, format!("a list of {count}"), format!("must have at most {MAX_BUCKETS} bounds"))?;
    let words = match (least.is_finite(), most.is_finite()) {
        (true, true) => format!("must hold numbers from {least} to {most} only"),
        (true, false) => format!("must hold finite numbers of {least} or more only"),
        _ => "must hold finite numbers only".into(),
    };
    if let Some(bound) = bounds.iter().find(|bound| !bound.is_finite() || !(least..=most).contains(*bound)) {
        return check(false, key, format!("a list with {bound} in it"), words);
    }
    match bounds.windows(2).find(|pair| matches!(pair, [first, second] if first >= second)) {
        Some(pair) => {
            check(false, key, format!("a list with {pair:?} in it"), "must ascend, and no bound may be there twice")
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(result: Result<(), Violation>) -> String {
        result.map_or_else(|v| format!("{} is {}; it {}", v.key, v.value, v.rule), |()| "kept".into())
    }

    #[test]
    fn served_route_is_one_that_a_request_can_match() {
        for path in ["/", "/metrics", "/a/b-c_d.e~f", "/agntix/", "/x/y//"] {
            assert_eq!(said(served_route("r", path)), "kept", "{path}");
        }
        for path in [
            "", "metrics", "/a b", "/a?b", "/a#b", "/{a}", "/*a", "/:a", "/%6D", "/é", "/a//b", "/../a", "/a/.",
            "/a\\b",
        ] {
            assert!(said(served_route("r", path)).starts_with("r is "), "{path}");
        }
    }

    #[test]
    fn buckets_are_finite_ascending_distinct_and_within_range() {
        let positive = |bounds: &[f64]| said(buckets("b", bounds, (0.0, f64::INFINITY)));
        assert_eq!(positive(&[0.0, 1.0, 2.5]), "kept");
        assert_eq!(positive(&[]), "b is empty; it must have at least one upper bound");
        assert_eq!(
            positive(&[1.0, 1.0]),
            "b is a list with [1.0, 1.0] in it; it must ascend, and no bound may be there twice"
        );
        assert_eq!(
            positive(&[1.0, f64::INFINITY]),
            "b is a list with inf in it; it must hold finite numbers of 0 or more only"
        );
        assert_eq!(positive(&[f64::NAN]), "b is a list with NaN in it; it must hold finite numbers of 0 or more only");
        let many: Vec<_> = (0..65).map(f64::from).collect();
        assert_eq!(positive(&many), "b is a list of 65; it must have at most 64 bounds");
        assert_eq!(
            said(buckets("b", &[-1.0, 1.5], (-1.0, 1.0))),
            "b is a list with 1.5 in it; it must hold numbers from -1 to 1 only"
        );
    }

    #[test]
    fn credential_in_place_of_a_path_is_rejected() {
        let said = |text: &str| said(path("k", Path::new(text), "file"));
        assert_eq!(said("/run/secrets/key"), "kept");
        assert_eq!(said(""), "k is \"\"; it must be the path of a file, or be left out");
        assert_eq!(
            said("pk_live_42"),
            "k is something that looks like a credential (not shown); it must be the path of a file, not what is in it"
        );
        assert_eq!(said("postgres://db"), "k is \"postgres://db\"; it must be the path of a local file");
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in [":9899", "0.0.0.0:9899", "localhost:0", "[::]:9899", "[::1]:65535", "my-host.example:80"] {
            assert!(is_host_and_port(good), "{good}");
        }
        for bad in ["", "9899", "localhost", "localhost:", "localhost:65536", "a:+1", "::1:9899", "[x]:1", "http://a:1"]
        {
            assert!(!is_host_and_port(bad), "{bad}");
        }
    }
}
