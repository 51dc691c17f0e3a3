//! How the URL of a database is written, as libpq reads it. Pure.
//!
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS> has all parameters. One that is not
//! supported is rejected by name, since a parameter that is ignored in silence may be the one that keeps a connection safe.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::database_address::{
    Channel, DatabaseAddress, Keepalives, MODES, Password, ServerAddress, ServerHost, SslMode, TlsParameters,
};
use super::keys::nearest_of;

const USUAL_PORT: u16 = 5432;

const SUPPORTED: [&str; 22] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
    "gssencmode",
];

/// What libpq has and this program has not, and what to do instead.
const UNSUPPORTED: [(&str, &str); 22] = [
    ("service", "write host, user and database into the URL"),
    ("servicefile", "write host, user and database into the URL"),
    ("passfile", "name a file that holds nothing but the password in state.password_file"),
    ("hostaddr", "write the address in place of the host"),
    ("requirepeer", "leave it out"),
    ("sslpassword", "use a key without a passphrase, readable by the exporter's user only"),
    ("sslcrl", "leave it out: revoked certificates are not looked up"),
    ("sslcrldir", "leave it out: revoked certificates are not looked up"),
    ("sslcertmode", "leave it out: a certificate is sent if sslcert names one"),
    ("sslcompression", "leave it out: there is no compression"),
    ("sslsni", "leave it out: the host's name is always sent"),
    ("ssl_min_protocol_version", "leave it out: it is always TLS 1.2 at least"),
    ("ssl_max_protocol_version", "leave it out: it is TLS 1.3 where the server has it"),
    ("require_auth", "leave it out; channel_binding=require is supported"),
    ("requiressl", "write sslmode=require"),
    ("krbsrvname", "leave it out: there is no Kerberos"),
    ("gsslib", "leave it out: there is no Kerberos"),
    ("gssdelegation", "leave it out: there is no Kerberos"),
    ("client_encoding", "leave it out: it is always UTF8"),
    ("fallback_application_name", "write application_name"),
    ("replication", "leave it out"),
    ("min_protocol_version", "leave it out"),
];

impl DatabaseAddress {
    /// Reads a URL.
    ///
    /// # Errors
    /// The rule that it breaks, which begins with "must". It shows no value that may be a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let rest = rest.filter(|rest| !rest.is_empty());
        let rest = rest.ok_or("must be a URL such as \"postgres://exporter@db1,db2/agntix?sslmode=verify-full\"")?;
        if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("must have no spaces and no line breaks; in a user or password write a space as %20".into());
        }
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = address.split_once('/').unwrap_or((address, ""));
        // A password that is not encoded would end up as a host or a database, and so in messages.
        let is_plain = authority.matches('@').count() < 2 && !database.contains(['@', '/']) && !rest.contains('#');
        let is_plain = is_plain && (authority.contains('@') || !query.contains('@'));
        if !is_plain {
            return Err(
                "must have @ / ? # : and % in a user, password or database percent-encoded, as %40 %2F %3F %23 %3A \
                        %25; or put the password into a file and name it in state.password_file"
                    .into(),
            );
        }
        let (credentials, hosts) =
            authority.split_once('@').map_or((None, authority), |(credentials, hosts)| (Some(credentials), hosts));
        let (user, password) =
            match credentials.map(|both| both.split_once(':').map_or((both, None), |(u, p)| (u, Some(p)))) {
                Some((user, password)) => (Some(user), password),
                None => (None, None),
            };
        let servers = hosts.split(',').filter(|_| !hosts.is_empty()).map(server).collect::<Result<_, _>>()?;
        let text = |what, text: &str| decoded(what, text).map(|text| Some(text).filter(|text| !text.is_empty()));
        let mut read = Self {
            servers,
            user: text("user", user.unwrap_or_default())?,
            password: text("password", password.unwrap_or_default())?.map(Password),
            database: text("database", database)?,
            tls: TlsParameters::default(),
            channel_binding: None,
            application_name: None,
            options: None,
            connect_timeout: None,
            tcp_user_timeout: None,
            keepalives: Keepalives::default(),
        };
        let mut seen = Seen::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded("name of a parameter", name)?;
            read.set(&name, &decoded(&name, value)?, &mut seen)?;
        }
        read.settle(seen)
    }

    fn set(&mut self, name: &str, value: &str, seen: &mut Seen) -> Result<(), String> {
        let seconds = || number(name, value, 1, 3600).map(|seconds| Some(Duration::from_secs(seconds)));
        let text = || Some(value.to_owned()).filter(|value| !value.is_empty());
        match name {
            "user" => self.user = text(),
            "password" => self.password = text().map(Password),
            "dbname" => self.database = text(),
            "application_name" => self.application_name = text(),
            "options" => self.options = text(),
            "host" => self.servers = value.split(',').map(server).collect::<Result<_, _>>()?,
            "port" => seen.port = Some(port(value)?),
            "connect_timeout" => self.connect_timeout = seconds()?,
            // In milliseconds, unlike all others.
            "tcp_user_timeout" => {
                self.tcp_user_timeout = Some(Duration::from_millis(number(name, value, 1, 3_600_000)?));
            }
            "keepalives" => self.keepalives.are_off = number(name, value, 0, 1)? == 0,
            "keepalives_idle" => self.keepalives.idle = seconds()?,
            "keepalives_interval" => self.keepalives.interval = seconds()?,
            "keepalives_count" => self.keepalives.count = number(name, value, 1, 100)?.try_into().ok(),
            "sslmode" => {
                self.tls.mode = one_of(name, value, &MODES)?;
                seen.mode = true;
            }
            "sslrootcert" => seen.authorities = text(),
            "sslcert" => seen.certificate = text(),
            "sslkey" => seen.key = text(),
            "sslnegotiation" => self.tls.is_direct = one_of(name, value, &[("postgres", false), ("direct", true)])?,
            "channel_binding" => {
                let values =
                    [("disable", Channel::Disable), ("prefer", Channel::Prefer), ("require", Channel::Require)];
                self.channel_binding = Some(one_of(name, value, &values)?);
            }
            // Whatever it says: a server that cannot be written to is of no use, and what it shows may be old.
            "target_session_attrs" => one_of(name, value, &[("read-write", ()), ("primary", ()), ("any", ())])?,
            "load_balance_hosts" => one_of(name, value, &[("disable", ())])?,
            "gssencmode" => one_of(name, value, &[("disable", ()), ("prefer", ())])?,
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    /// What several parameters mean together.
    fn settle(mut self, seen: Seen) -> Result<Self, String> {
        if let Some(port) = seen.port {
            self.servers.iter_mut().filter(|server| server.port == USUAL_PORT).for_each(|server| server.port = port);
        }
        if self.servers.is_empty() {
            return Err("must name a host, or the directory of a Unix socket as host=/var/run/postgresql".into());
        }
        self.tls.certificate = match (seen.certificate, seen.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (Some(_), None) => return Err("must have sslkey beside sslcert".into()),
            (None, Some(_)) => return Err("must have sslcert beside sslkey".into()),
        };
        let is_system = seen.authorities.as_deref() == Some("system");
        // As libpq has it since version 16: who trusts the system's authorities cannot mean them for any name.
        match self.tls.mode {
            _ if is_system && !seen.mode => self.tls.mode = SslMode::VerifyFull,
            SslMode::VerifyFull => {}
            _ if is_system => return Err("must have sslmode=verify-full with sslrootcert=system".into()),
            SslMode::Require if seen.authorities.is_some() => self.tls.mode = SslMode::VerifyCa,
            _ => {}
        }
        self.tls.authorities = seen.authorities.filter(|_| !is_system).map(PathBuf::from);
        let is_weak = matches!(self.tls.mode, SslMode::Disable | SslMode::Allow | SslMode::Prefer);
        if self.tls.is_direct && is_weak {
            return Err("must have sslmode=require, verify-ca or verify-full with sslnegotiation=direct".into());
        }
        if self.channel_binding == Some(Channel::Require) && self.tls.mode == SslMode::Disable {
            return Err("must have another sslmode than disable with channel_binding=require".into());
        }
        Ok(self)
    }
}

/// What is not a part of the address by itself.
#[derive(Debug, Default)]
struct Seen {
    port: Option<u16>,
    mode: bool,
    authorities: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

fn server(text: &str) -> Result<ServerAddress, String> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(v6) => v6.split_once(']').ok_or("must have a closing bracket after an address of IPv6")?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match rest.strip_prefix(':') {
        Some(digits) if digits.contains(':') => {
            return Err("must have addresses of IPv6 in brackets, as [2001:db8::1]:5432".into());
        }
        Some("") => USUAL_PORT,
        Some(digits) => port(digits)?,
        None if rest.is_empty() => USUAL_PORT,
        None => return Err("must have a colon and a port after the bracket of an address of IPv6, or nothing".into()),
    };
    let host = decoded("host", host)?;
    let host = match host {
        host if host.is_empty() => return Err("must have a host between two commas, and none that is empty".into()),
        host if host.starts_with('/') => ServerHost::Directory(host.into()),
        host => ServerHost::Name(host),
    };
    Ok(ServerAddress { host, port })
}

fn port(digits: &str) -> Result<u16, String> {
    let port = digits.parse().ok().filter(|port| *port > 0 && !digits.starts_with('+'));
    // Not what is there: where the host was forgotten it is the password.
    port.ok_or_else(|| "must have a number from 1 to 65535 for a port, after the host and a colon".into())
}

fn number(name: &str, value: &str, least: u64, most: u64) -> Result<u64, String> {
    let number = value.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| {
        format!("must have a whole number from {least} to {most} for {name}, not \"{}\"", shortened(value))
    })
}

fn one_of<T: Copy>(name: &str, value: &str, values: &[(&str, T)]) -> Result<T, String> {
    let found = values.iter().find(|(known, _)| *known == value).map(|(_, meaning)| *meaning);
    found.ok_or_else(|| {
        let names: Vec<_> = values.iter().map(|(name, _)| *name).collect();
        let names = match names.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => String::new(),
        };
        let why =
            if name == "target_session_attrs" { ", since only a server that can be written to is of use" } else { "" };
        format!("must have {names} for {name}{why}, not \"{}\"", shortened(value))
    })
}

fn unknown(name: &str) -> String {
    if let Some((name, advice)) = UNSUPPORTED.iter().find(|(unsupported, _)| *unsupported == name) {
        return format!("must not have the parameter {name}, which is not supported: {advice}");
    }
    let near = nearest_of(name, SUPPORTED).map_or(String::new(), |near| format!("; {near} may be meant"));
    format!("must not have the parameter \"{}\", which PostgreSQL does not know{near}", shortened(name))
}

fn decoded(what: &str, text: &str) -> Result<String, String> {
    let mut parts = text.split('%').skip(1);
    let is_encoded =
        parts.all(|part| part.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)));
    let decoded = percent_decode_str(text).decode_utf8().ok().filter(|text| is_encoded && !text.contains('\0'));
    decoded
        .map(Into::into)
        .ok_or_else(|| format!("must have % only before two hexadecimal digits, and %25 for itself ({what})"))
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rest: &str) -> DatabaseAddress {
        DatabaseAddress::parse(&format!("postgres://{rest}")).unwrap_or_else(|rule| panic!("{rest}: {rule}"))
    }

    #[test]
    fn address_has_servers_user_and_database() {
        for (url, name, user) in [
            ("exporter@db1,db2:6432/agntix", "db1:5432,db2:6432/agntix", Some("exporter")),
            ("ex%40porter:p%2F%3A@db/ag%20ntix", "db:5432/ag ntix", Some("ex@porter")),
            ("u@[2001:db8::1],[::1]:6432/x", "[2001:db8::1]:5432,[::1]:6432/x", Some("u")),
            ("u@%2Fvar%2Frun%2Fpostgresql:6432/x", "/var/run/postgresql/.s.PGSQL.6432/x", Some("u")),
            ("/x?host=/tmp,db2&user=u&port=6432", "/tmp/.s.PGSQL.6432,db2:6432/x", Some("u")),
            ("u@db", "db:5432/u", Some("u")),
            ("db/x?application_name=a@b&user=u@v", "", None),
        ] {
            if name.is_empty() {
                assert!(DatabaseAddress::parse(&format!("postgres://{url}")).is_err());
            } else {
                let address = read(url);
                assert_eq!((address.name().as_str(), address.user.as_deref()), (name, user), "{url}");
            }
        }
        assert_eq!(read("u:p%2F%3A@db/x").password.unwrap().expose(), "p/:");
        assert!(!format!("{:?}", read("u:s3cret@db/x")).contains("s3cret"));
    }

    #[test]
    fn parameters_mean_what_they_mean_to_libpq() {
        let address = read("u@db/x?connect_timeout=7&tcp_user_timeout=1500&keepalives_count=3&options=-c%20jit%3Doff");
        assert_eq!(address.connect_timeout, Some(Duration::from_secs(7)));
        assert_eq!(address.tcp_user_timeout, Some(Duration::from_millis(1500)));
        assert_eq!((address.keepalives.count, address.options.as_deref()), (Some(3), Some("-c jit=off")));
        let tls = |query: &str| {
            let tls = read(&format!("u@db/x?application_name=b{query}")).tls;
            (tls.mode, tls.authorities.is_some())
        };
        assert_eq!(tls(""), (SslMode::Prefer, false));
        assert_eq!(tls("&sslmode=disable"), (SslMode::Disable, false));
        assert_eq!(tls("&sslmode=allow"), (SslMode::Allow, false));
        assert_eq!(tls("&sslmode=require"), (SslMode::Require, false));
        assert_eq!(tls("&sslmode=require&sslrootcert=%2Fca.pem"), (SslMode::VerifyCa, true));
        assert_eq!(tls("&sslmode=verify-full"), (SslMode::VerifyFull, false));
        assert_eq!(tls("&sslrootcert=system"), (SslMode::VerifyFull, false));
    }

    #[test]
    fn mistake_is_named_and_no_password_is_shown() {
        for (rest, named) in [
            ("", "must be a URL"),
            ("/x", "must name a host"),
            ("u@/x", "must name a host"),
            ("u@db1,,db2/x", "none that is empty"),
            ("u@::1:5432/x", "IPv6 in brackets"),
            ("u@[::1/x", "closing bracket"),
            ("u@db:0/x", "1 to 65535"),
            ("u:s3cret", "1 to 65535"),
            ("u:s3@cret@db/x", "percent-encoded"),
            ("u:s3/cret@db/x", "percent-encoded"),
            ("u:s3?cret@db/x", "percent-encoded"),
            ("u:s3#cret@db/x", "percent-encoded"),
            ("u:s3%cret@db/x", "hexadecimal"),
            ("u@db/x?colour=red", "\"colour\", which PostgreSQL does not know"),
            ("u@db/x?ssl_mode=require", "sslmode may be meant"),
            ("u@db/x?service=prod", "service, which is not supported"),
            ("u@db/x?passfile=/p", "state.password_file"),
            ("u@db/x?hostaddr=10.0.0.1", "in place of the host"),
            ("u@db/x?sslmode=on", "verify-ca or verify-full for sslmode, not \"on\""),
            ("u@db/x?sslcert=a", "sslkey beside sslcert"),
            ("u@db/x?sslkey=a", "sslcert beside sslkey"),
            ("u@db/x?sslrootcert=system&sslmode=require", "sslmode=verify-full with sslrootcert=system"),
            ("u@db/x?sslnegotiation=direct", "with sslnegotiation=direct"),
            ("u@db/x?target_session_attrs=standby", "can be written to"),
            ("u@db/x?connect_timeout=0", "1 to 3600 for connect_timeout"),
            ("u@db/x?channel_binding=require&sslmode=disable", "channel_binding=require"),
            ("u:s3 cret@db/x", "%20"),
            ("u@db/x\n", "no line breaks"),
        ] {
            let rule = DatabaseAddress::parse(&format!("postgres://{rest}")).unwrap_err();
            assert!(rule.starts_with("must ") && rule.contains(named) && !rule.contains("s3"), "{rest}: {rule}");
        }
        for text in ["mysql://u@db/x", "host=db password=s3cret", "postgres://"] {
            assert!(DatabaseAddress::parse(text).unwrap_err().starts_with("must be a URL"), "{text}");
        }
    }
}
