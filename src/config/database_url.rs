//! `state.url`: the URL of a database. Its password is never shown, in whatever way it is printed.

use std::fmt;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize, Serializer};

use super::database_address::DatabaseAddress;

/// The URL of a database. Its password is never shown, in whatever way it is printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole of it, for whoever connects.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What it says.
    ///
    /// # Errors
    /// The rule that it breaks, which begins with "must" and shows no password.
    pub fn address(&self) -> Result<DatabaseAddress, String> {
        DatabaseAddress::parse(&self.0)
    }

    /// It with three stars for a password. Of what is no URL of PostgreSQL nothing is shown, since it may hold one anywhere.
    pub fn redacted(&self) -> String {
        if self.0.trim().is_empty() {
            return self.0.clone();
        }
        let Some((scheme, rest)) = self.0.split_once("://") else {
            return "something that is no URL (not shown)".into();
        };
        // A password may hold any character, though it should not: everything from the first colon to the last at sign is one.
        let rest = match (rest.find(':'), rest.find('@'), rest.rfind('@')) {
            (Some(colon), Some(first), Some(last)) if colon < first => {
                let (user, hosts) = (rest.get(..colon).unwrap_or_default(), rest.get(last..).unwrap_or_default());
                format!("{user}:***{hosts}")
            }
            // Where the host was forgotten, the password stands for a port.
            (Some(colon), None, _) if has_strange_port(rest) => {
                format!("{}:***", rest.get(..colon).unwrap_or_default())
            }
            _ => rest.to_owned(),
        };
        let (address, query) = rest.split_once('?').map_or((&*rest, None), |(address, query)| (address, Some(query)));
        let mut url = format!("{scheme}://{address}");
        for (place, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
            url.push(if place == 0 { '?' } else { '&' });
            match secret_name(pair) {
                Some(name) => url.extend([name, "=***"]),
                None => url.push_str(pair),
            }
        }
        url
    }

    /// Whether there is a password in it.
    pub fn has_password(&self) -> bool {
        self.redacted() != self.0
    }
}

fn has_strange_port(rest: &str) -> bool {
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let ports = authority.split(',').map(|host| host.rsplit_once(']').map_or(host, |(_, port)| port));
    let mut ports = ports.filter_map(|host| host.split_once(':').map(|(_, port)| port));
    ports.any(|port| !port.bytes().all(|digit| digit.is_ascii_digit()))
}

/// The name of a parameter that is a password, however it is spelt.
fn secret_name(pair: &str) -> Option<&'static str> {
    let name = pair.split('=').next().unwrap_or(pair);
    let name = percent_decode_str(name).decode_utf8_lossy().to_ascii_lowercase();
    ["password", "sslpassword"].into_iter().find(|secret| *secret == name)
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.redacted(), f)
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.redacted())
    }
}

impl From<&str> for DatabaseUrl {
    fn from(url: &str) -> Self {
        Self(url.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_is_in_no_print_of_a_url() {
        for (url, shown) in [
            ("postgres://u:s3cret@db1,db2:1/x?a=b", "postgres://u:***@db1,db2:1/x?a=b"),
            ("postgres://u:s3:c@ret@db/x", "postgres://u:***@db/x"),
            ("postgres://u:s3/c?r#et@db/x", "postgres://u:***@db/x"),
            ("postgres://u@db/x?a=b&password=s3cret&c=d", "postgres://u@db/x?a=b&password=***&c=d"),
            ("postgres://u@db/x?pass%77ord=s3cret", "postgres://u@db/x?password=***"),
            ("postgres://u@db/x?sslpassword=s3cret", "postgres://u@db/x?sslpassword=***"),
            ("postgres://u:s3cret", "postgres://u:***"),
            ("postgres://u:s3cret/x", "postgres://u:***"),
            ("postgres://[::1]:5432,db/x", "postgres://[::1]:5432,db/x"),
            ("host=db password=s3cret", "something that is no URL (not shown)"),
            ("", ""),
            ("postgres://u@db:5432/x?sslmode=require", "postgres://u@db:5432/x?sslmode=require"),
        ] {
            let url = DatabaseUrl::from(url);
            assert_eq!(url.redacted(), shown);
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), format!("{shown:?}"));
            assert_eq!(serde_json::to_value(&url).unwrap(), shown);
            assert_eq!(url.has_password(), shown != url.expose());
            assert!(url.address().err().is_none_or(|rule| !rule.contains("s3")), "{url}");
        }
    }
}
