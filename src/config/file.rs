//! The configuration file: from its text to a layer of settings that are known keys, each with its line.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use ::config::{Value, ValueKind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, credential_advice, may_name_a_credential, shown, shown_name};
use super::keys::{self, Key, Shape};
use super::layer::Layer;
use super::origin::ConfigOrigin;
use super::typing;

/// A longer file is a mistake, such as a device or a log file.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Reads the settings of `file`.
pub(super) fn layer(file: &Path) -> Result<Layer, ConfigError> {
    let bytes = read(file).map_err(|reason| ConfigError::Unreadable { file: file.into(), reason })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good =
            String::from_utf8_lossy(error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default());
        let (line, column) = Lines::new(&good).place(good.len());
        ConfigError::Syntax { file: file.into(), line, column, reason: "it is not UTF-8 text".into() }
    })?;
    parse(file, &text)
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = File::open(file).map_err(|e| e.to_string())?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it is longer than {} MiB", MAX_BYTES >> 20));
    }
    Ok(bytes)
}

/// What `log.format` is in `file`, whatever else is wrong with it.
pub(super) fn log_format(file: &Path) -> Option<String> {
    let bytes = read(file).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    // What is no TOML from some line on may be so before.
    let end = DeTable::parse(&text).err().and_then(|error| error.span()).map_or(text.len(), |span| span.start);
    let before =
        text.get(..end).filter(|_| end < text.len()).map(|text| text.rsplit_once('\n').map_or("", |(all, _)| all));
    let document = DeTable::parse(before.unwrap_or(&text)).ok()?;
    let section = document.get_ref().get("log")?.get_ref().as_table()?;
    section.get("format")?.get_ref().as_str().map(str::to_owned)
}

/// Reads the settings in the text of `file`.
pub(super) fn parse(file: &Path, text: &str) -> Result<Layer, ConfigError> {
    let reader = Reader { path: file.display().to_string(), lines: Lines::new(text) };
    let document = DeTable::parse(text).map_err(|error| {
        let (line, column) = reader.lines.place(error.span().map_or(0, |span| span.start));
        let reason = error.message().replace('\n', ", ");
        let reason = if is_yaml(file, text) { format!("{reason}; {NOT_YAML}") } else { reason };
        ConfigError::Syntax { file: file.into(), line, column, reason }
    })?;
    reader.document(document.get_ref())
}

const NOT_YAML: &str = "it looks like YAML, and the configuration is TOML: a line such as [api] begins a section, and below it each key is written timeout = \"10s\"";

/// Whether whoever wrote this thought of YAML.
fn is_yaml(file: &Path, text: &str) -> bool {
    let is_named_so =
        file.extension().is_some_and(|end| end.eq_ignore_ascii_case("yaml") || end.eq_ignore_ascii_case("yml"));
    let mut lines =
        text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.trim_start().starts_with('#'));
    let is_mapping = |line: &str| {
        line == "---"
            || line.split_once(':').is_some_and(|(key, rest)| {
                let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
                !key.is_empty() && key.chars().all(is_name) && (rest.is_empty() || rest.starts_with(' '))
            })
    };
    is_named_so || lines.next().is_some_and(is_mapping)
}

struct Reader<'a> {
    path: String,
    lines: Lines<'a>,
}

impl Reader<'_> {
    fn document(&self, document: &DeTable) -> Result<Layer, ConfigError> {
        let mut layer = Layer::default();
        for (section, entries) in in_order(document) {
            if keys::of_section(section.get_ref()).next().is_none() {
                return Err(self.unknown_section(section, entries));
            }
            let DeValue::Table(entries) = entries.get_ref() else {
                let rule = format!("must be a section, written [{}] on a line of its own", section.get_ref());
                return Err(self.wrong(section.get_ref(), entries, rule));
            };
            for (leaf, value) in in_order(entries) {
                let name = format!("{}.{}", section.get_ref(), leaf.get_ref());
                let key = keys::find(&name).ok_or_else(|| self.unknown_key(&name, leaf))?;
                self.check_tables(key, value)?;
                layer.0.insert(name, self.value(key, value)?);
            }
        }
        Ok(layer)
    }

    /// Finds unknown keys in a list of tables, and tables where none may be.
    fn check_tables(&self, key: &Key, value: &Spanned<DeValue>) -> Result<(), ConfigError> {
        let (DeValue::Array(items), Shape::Tables(known)) = (value.get_ref(), &key.shape) else {
            return match (value.get_ref(), &key.shape) {
                (DeValue::Table(_), Shape::Tables(_)) => {
                    let rule = format!("must be a list of tables, each written [[{}]] on a line of its own", key.name);
                    Err(self.wrong(&key.name, value, rule))
                }
                (DeValue::Table(_), Shape::TextTable) => Ok(()),
                (DeValue::Table(fields), Shape::Table(known)) => {
                    let known: Vec<_> = known.iter().map(|(name, _)| name.clone()).collect();
                    self.check_fields(key, &known, in_order(fields))
                }
                (_, Shape::Table(known)) => {
                    let fields = known.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" = …, ");
                    let rule = format!("must be a table, written {} = {{ {fields} = … }}", key.leaf);
                    Err(self.wrong(&key.name, value, rule))
                }
                (_, Shape::TextTable) => {
                    let rule =
                        format!("must be a table of names and texts, written {} = {{ name = \"text\" }}", key.leaf);
                    Err(self.wrong(&key.name, value, rule))
                }
                (DeValue::Table(_), _) => {
                    let rule = format!("must be a single value, written {} = … under [{}]", key.leaf, key.section);
                    Err(self.wrong(&key.name, value, rule))
                }
                _ => Ok(()),
            };
        };
        let tables = items.iter().filter_map(|item| item.get_ref().as_table());
        self.check_fields(key, known, tables.flat_map(in_order))
    }

    /// Finds an unknown key among those of tables.
    fn check_fields<'t, 'i: 't>(
        &self,
        key: &Key,
        known: &[String],
        mut fields: impl Iterator<Item = (&'t Spanned<toml::de::DeString<'i>>, &'t Spanned<DeValue<'i>>)>,
    ) -> Result<(), ConfigError> {
        let Some((unknown, _)) = fields.find(|(field, _)| !known.iter().any(|known| known == field.get_ref().as_ref()))
        else {
            return Ok(());
        };
        let advice = match keys::nearest_of(unknown.get_ref(), known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("those of {} are {}", key.name, known.join(", ")),
        };
        let name = format!("{}.{}", key.name, unknown.get_ref());
        Err(ConfigError::Unknown { origin: self.origin(unknown), key: shown_name(&name), what: "key", advice })
    }

    fn value(&self, key: &Key, value: &Spanned<DeValue>) -> Result<Value, ConfigError> {
        let kind = match value.get_ref() {
            DeValue::String(text) => ValueKind::String(text.to_string()),
            DeValue::Boolean(value) => ValueKind::Boolean(*value),
            DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
                Ok(number) => ValueKind::I64(number),
                Err(_) => return Err(self.wrong(&key.name, value, "must be a smaller number".into())),
            },
            DeValue::Float(digits) => match digits.as_str().parse() {
                Ok(number) => ValueKind::Float(number),
                Err(_) => return Err(self.wrong(&key.name, value, "must be a number".into())),
            },
            DeValue::Datetime(_) => {
                return Err(self.wrong(&key.name, value, "must not be a date; put text in quotes".into()));
            }
            DeValue::Array(items) => {
                ValueKind::Array(items.iter().map(|item| self.value(key, item)).collect::<Result<_, _>>()?)
            }
            DeValue::Table(fields) if key.shape == Shape::TextTable => self.text_table(key, fields)?,
            DeValue::Table(fields) => {
                let fields =
                    fields.iter().map(|(name, field)| Ok((name.get_ref().to_string(), self.value(key, field)?)));
                ValueKind::Table(fields.collect::<Result<_, _>>()?)
            }
        };
        Ok(Value::new(self.origin(value).to_tag().as_ref(), kind))
    }

    fn text_table(&self, key: &Key, fields: &DeTable) -> Result<ValueKind, ConfigError> {
        let entry = |(name, text): (&Spanned<toml::de::DeString>, &Spanned<DeValue>)| match text.get_ref() {
            DeValue::String(text) => Ok((name.get_ref().to_string(), text.to_string())),
            _ => Err(self.wrong(
                &shown_name(&format!("{}.{}", key.name, name.get_ref())),
                text,
                "must be text in quotes".into(),
            )),
        };
        let entries = in_order(fields).map(entry).collect::<Result<Vec<_>, _>>()?;
        let entries: Vec<_> = entries.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        typing::text_table(&entries).map_err(ConfigError::Internal)
    }

    fn origin<T>(&self, spanned: &Spanned<T>) -> ConfigOrigin {
        ConfigOrigin::File { path: self.path.clone(), line: self.lines.place(spanned.span().start).0 }
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue>, rule: String) -> ConfigError {
        let shown = match value.get_ref() {
            DeValue::Table(_) => "a table".into(),
            DeValue::Array(_) => "a list".into(),
            DeValue::String(text) => shown(text),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Integer(digits) => digits.to_string(),
            DeValue::Float(digits) => digits.to_string(),
            DeValue::Datetime(date) => date.to_string(),
        };
        ConfigError::Value { origin: self.origin(value), key: key.into(), value: shown, rule }
    }

    fn unknown_section(&self, section: &Spanned<impl AsRef<str>>, value: &Spanned<DeValue>) -> ConfigError {
        let name = section.get_ref().as_ref();
        let origin = self.origin(section);
        if !value.get_ref().is_table() {
            return ConfigError::Unknown { origin, key: shown_name(name), what: "key", advice: advice(name) };
        }
        let sections = keys::sections();
        let advice = match keys::nearest_of(name, sections.iter().copied()) {
            Some(near) => format!("did you mean [{near}]?"),
            None => format!("the sections are {}", sections.join(", ")),
        };
        ConfigError::Unknown { origin, key: format!("[{}]", shown_name(name)), what: "section", advice }
    }

    fn unknown_key<T>(&self, name: &str, place: &Spanned<T>) -> ConfigError {
        ConfigError::Unknown { origin: self.origin(place), key: shown_name(name), what: "key", advice: advice(name) }
    }
}

/// What to do about a key that does not exist. Its value is not shown in any case.
fn advice(name: &str) -> String {
    if let Some(near) = keys::nearest(name) {
        return format!("did you mean {}?", near.name);
    }
    if may_name_a_credential(name) {
        return credential_advice(name).into();
    }
    let section = name.split('.').next().unwrap_or(name);
    let siblings: Vec<_> = keys::of_section(section).map(|key| key.leaf.as_str()).collect();
    if siblings.is_empty() {
        format!("the sections are {}", keys::sections().join(", "))
    } else {
        format!("the keys of [{section}] are {}", siblings.join(", "))
    }
}

/// The entries of a table as they stand in the file, so that the first mistake is the first one reported.
fn in_order<'t, 'i>(
    table: &'t DeTable<'i>,
) -> impl Iterator<Item = (&'t Spanned<toml::de::DeString<'i>>, &'t Spanned<DeValue<'i>>)> + use<'t, 'i> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries.into_iter()
}

/// Turns offsets into lines and columns without counting from the start each time.
struct Lines<'a> {
    text: &'a str,
    /// Where each line but the first begins.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, starts: text.match_indices('\n').map(|(at, _)| at + 1).collect() }
    }

    /// Line and column, counted from 1.
    fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|line| self.starts.get(line)).copied().unwrap_or_default();
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        (line + 1, column + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> String {
        parse(Path::new("c.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_mistake_names_its_line_and_what_was_meant() {
        for (text, expected) in [
            (
                "[sessions]\nlistng = true",
                "c.toml, line 2: sessions.listng is not a key; did you mean sessions.listing?",
            ),
            ("listing = true", "c.toml, line 1: listing is not a key; did you mean sessions.listing?"),
            ("[poll]\n[sesions]", "c.toml, line 2: [sesions] is not a section; did you mean [sessions]?"),
            (
                "[tracker]\ncapacity = 5",
                "c.toml, line 1: [tracker] is not a section; the sections are api, sessions, poll, webhook, stream, web, state, ha, messages, metrics, log",
            ),
            (
                "[log]\nlevel = \"info\"\ncolour = true",
                "c.toml, line 3: log.colour is not a key; the keys of [log] are level, format",
            ),
            ("api = 5", "c.toml, line 1: api is 5; it must be a section, written [api] on a line of its own"),
            (
                "[api.timeout]\nx = 1",
                "c.toml, line 1: api.timeout is a table; it must be a single value, written timeout = … under [api]",
            ),
            (
                "[metrics.extracted]\nfield = \"x\"",
                "c.toml, line 1: metrics.extracted is a table; it must be a list of tables, each written [[metrics.extracted]] on a line of its own",
            ),
            (
                "[[metrics.extracted]]\nfield = \"x\"\nknd = \"enum\"",
                "c.toml, line 3: metrics.extracted.knd is not a key; did you mean kind?",
            ),
            (
                "[metrics]\nstatic_labels = \"organization=acme\"",
                "c.toml, line 2: metrics.static_labels is \"organization=acme\"; it must be a table of names and texts, written static_labels = { name = \"text\" }",
            ),
            (
                "[metrics.static_labels]\norganization = \"acme\"\nfloor = 5",
                "c.toml, line 3: metrics.static_labels.floor is 5; it must be text in quotes",
            ),
            (
                "[metrics.static_labels]\n\"sk_live_42 \" = [\"x\"]",
                "c.toml, line 2: something that looks like a credential (not shown) is a list; it must be text in quotes",
            ),
            (
                "[log]\nlevel = 2024-01-01",
                "c.toml, line 2: log.level is 2024-01-01; it must not be a date; put text in quotes",
            ),
            (
                "[api]\nmax_concurrency = 99999999999999999999",
                "c.toml, line 2: api.max_concurrency is 99999999999999999999; it must be a smaller number",
            ),
        ] {
            assert_eq!(error(text), expected);
        }
    }

    #[test]
    fn a_syntax_error_names_line_and_column_and_does_not_show_the_line() {
        let message = error("[api]\nkey = pk_live_42\n");
        assert!(message.starts_with("c.toml, line 2, column 7: this is not valid TOML: "), "{message}");
        assert!(!message.contains("pk_live"), "{message}");
        let twice = error("[api]\ntimeout = \"1s\"\ntimeout = \"2s\"\n");
        assert_eq!(twice, "c.toml, line 3, column 1: this is not valid TOML: duplicate key");
    }

    #[test]
    fn a_secret_in_the_file_is_not_shown() {
        assert_eq!(
            error("[api]\nkey = \"pk_live_42\""),
            "c.toml, line 2: api.key is not a key; put the credential (not shown) into a file and name it in api.key_file, or into AGNTIX_API_KEY"
        );
        assert_eq!(
            error("[api]\nkey_fil = \"pk_live_42\""),
            "c.toml, line 2: api.key_fil is not a key; did you mean api.key_file?"
        );
        assert_eq!(
            error("[webhook]\nsecret = \"whsec_42\""),
            "c.toml, line 2: webhook.secret is not a key; put the secret (not shown) into a file and name it in webhook.secret_file, or into AGNTIX_WEBHOOK_SECRET"
        );
        for name in ["bearer_token", "AUTH_TOKEN", "client-secret", "password", "apikey"] {
            let message = error(&format!("{name} = \"hunter2\""));
            assert!(message.contains("AGNTIX_API_KEY") && !message.contains("hunter2"), "{message}");
        }
        for line in [
            "k hunter2",
            "k = hunter2",
            "k = \"hunter2",
            "k = \"hunter2\\q\"",
            "k = 'hunter2",
            "k = [hunter2]",
            "k = 1hunter2",
        ] {
            let message = error(line);
            assert!(message.contains("not valid TOML") && !message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn file_that_is_not_utf_8_is_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.toml");
        std::fs::write(&file, b"[api]\n# \xff\n").unwrap();
        let message = layer(&file).unwrap_err().to_string();
        assert!(message.ends_with("config.toml, line 2, column 3: this is not valid TOML: it is not UTF-8 text"));
        assert!(layer(directory.path()).unwrap_err().to_string().contains("cannot be read"));
        assert!(layer(Path::new("/dev/zero")).unwrap_err().to_string().contains("longer than 4 MiB"));
    }

    #[test]
    fn a_byte_order_mark_and_carriage_returns_do_no_harm() {
        let layer = parse(Path::new("c.toml"), "\u{feff}[api]\r\ntimeout = \"1s\"\r\n").unwrap();
        assert_eq!(layer.0.get("api.timeout").unwrap().origin(), Some("file:2:c.toml"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(\\PC|[\\[\\]=\"'\n.{},0-9#])*") {
            let _ = parse(Path::new("c.toml"), &text);
        }

        #[test]
        fn no_value_of_a_known_key_makes_it_panic(key in 0..keys::all().len(), value in "(\\PC|[\\[\\]=\"'.{},0-9#])*") {
            let key = &keys::all()[key];
            let _ = parse(Path::new("c.toml"), &format!("[{}]\n{} = {value}", key.section, key.leaf));
        }
    }
}
