//! Loading as a whole: precedence, mistakes with their places, the credential, the report, the annotated reference.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use super::*;

const KEY: (&str, &str) = ("AGNTIX_API_KEY", " pk_live_42\n");
const REFERENCE: &str = include_str!("../../config.toml");

/// A file in the current directory of nobody: messages name it as `config.toml`, without the directory.
struct File(TempDir);

impl File {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.toml"), text).unwrap();
        Self(directory)
    }

    fn load(&self, variables: &[(&str, &str)], overrides: &Overrides) -> Result<Loaded, String> {
        let environment = Environment::from_pairs(variables.iter().copied());
        let loaded = load(Some(&self.0.path().join("config.toml")), &environment, overrides);
        loaded.map_err(|error| self.without_directory(&error.to_string()))
    }

    fn without_directory(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn loaded(text: &str) -> Loaded {
    File::new(text).load(&[KEY], &Overrides::default()).unwrap()
}

fn error(text: &str) -> String {
    File::new(text).load(&[KEY], &Overrides::default()).unwrap_err()
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let file = File::new("[web]\nlisten_address = \"file:1\"");
    let variables = [KEY, ("AGNTIX_EXPORTER__WEB__LISTEN_ADDRESS", "variable:1")];
    let overrides = Overrides { listen_addresses: vec!["flag:1".into()], ..Overrides::default() };
    let address = |loaded: Loaded| {
        let origin = loaded.origins.get("web.listen_address").to_string();
        (loaded.config.web.listen_address, file.without_directory(&origin))
    };
    let none = Overrides::default();
    let pair = |address: &str, origin: &str| (address.to_owned(), origin.to_owned());
    assert_eq!(address(file.load(&variables, &overrides).unwrap()), pair("flag:1", "flag --web.listen-address"));
    assert_eq!(
        address(file.load(&variables, &none).unwrap()),
        pair("variable:1", "environment variable AGNTIX_EXPORTER__WEB__LISTEN_ADDRESS")
    );
    assert_eq!(address(file.load(&[KEY], &none).unwrap()), pair("file:1", "config.toml, line 2"));
    assert_eq!(address(File::new("").load(&[KEY], &none).unwrap()), pair("0.0.0.0:9899", "default"));
}

#[test]
fn every_flag_reaches_its_key() {
    let overrides = Overrides {
        listen_addresses: vec!["a:1".into(), "[::1]:2".into()],
        systemd_socket: Some(true),
        web_config_file: Some("web.yml".into()),
        telemetry_path: Some("/m".into()),
        external_url: Some("https://x/y/".into()),
        route_prefix: Some("/z".into()),
        max_requests: Some(7),
        disable_exporter_metrics: Some(true),
        log_level: Some("debug".into()),
        log_format: Some(LogFormat::Json),
    };
    let config = File::new("").load(&[KEY], &overrides).unwrap().config;
    let web = WebConfig {
        listen_address: "a:1,[::1]:2".into(),
        systemd_socket: true,
        config_file: Some("web.yml".into()),
        telemetry_path: "/m".into(),
        external_url: Some("https://x/y/".into()),
        route_prefix: Some("/z".into()),
        max_requests: 7,
        disable_exporter_metrics: true,
        ..WebConfig::default()
    };
    assert_eq!(config.web, web);
    assert_eq!(config.log, LogConfig { level: "debug".into(), format: LogFormat::Json });
    let overrides = Overrides { log_level: Some("inof".into()), ..Overrides::default() };
    assert_eq!(
        File::new("").load(&[KEY], &overrides).unwrap_err(),
        "flag --log.level: log.level is \"inof\"; it must be error, warn, info, debug or trace, or a list such as \"info,agntix_exporter::poller=debug\""
    );
}

#[test]
fn the_environment_is_typed_by_the_key() {
    let variables = [
        KEY,
        ("AGNTIX_EXPORTER__SESSIONS__IDS", "a, b ,c,"),
        ("AGNTIX_EXPORTER__SESSIONS__FILES", "/etc/ids,more"),
        ("AGNTIX_EXPORTER__SESSIONS__LISTING", "false"),
        ("AGNTIX_EXPORTER__API__KEY_FILE", "/run/key"),
        ("AGNTIX_EXPORTER__API__BUDGET_SHARE", "1"),
        ("AGNTIX_EXPORTER__API__MAX_CONCURRENCY", "4"),
        ("AGNTIX_EXPORTER__POLL__OPEN_INTERVAL", "50ms"),
        ("AGNTIX_EXPORTER__METRICS__DURATION_BUCKETS", "1,2.5"),
        ("AGNTIX_EXPORTER__LOG__FORMAT", "json"),
        ("AGNTIX_EXPORTER_PORT", "tcp://10.0.0.1:9899"),
    ];
    let config = File::new("[sessions]\nids = [\"x\"]").load(&variables, &Overrides::default()).unwrap().config;
    assert_eq!(config.sessions.ids, ["a", "b", "c"]);
    assert_eq!(config.sessions.files, [Path::new("/etc/ids"), Path::new("more")]);
    assert!(!config.sessions.listing);
    assert_eq!(config.api.key_file.as_deref(), Some(Path::new("/run/key")));
    assert!((config.api.budget_share - 1.0).abs() < f64::EPSILON && config.api.max_concurrency == 4);
    assert_eq!(config.poll.open_interval, Duration::from_millis(50));
    assert_eq!(config.metrics.duration_buckets, [1.0, 2.5]);
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn static_labels_of_a_variable_replace_those_of_the_file() {
    let file = File::new("[metrics]\n\n[metrics.static_labels]\nregion = \"eu\"\n\"organization\" = 'a=\"b\", c'");
    let labels = |variables: &[(&str, &str)]| {
        let loaded = file.load(variables, &Overrides::default()).unwrap();
        let origin = file.without_directory(&loaded.origins.get("metrics.static_labels").to_string());
        let report = file.without_directory(&loaded.report());
        let line = report.lines().find(|line| line.starts_with("metrics.static_labels")).unwrap().to_owned();
        assert_eq!(File::new(&report).load(&[KEY], &Overrides::default()).unwrap().config, loaded.config);
        (loaded.config.metrics.static_labels.into_iter().collect::<Vec<_>>(), origin, line)
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let (from_file, origin, line) = labels(&[KEY]);
    assert_eq!(from_file, [pair("organization", "a=\"b\", c"), pair("region", "eu")]);
    assert_eq!(origin, "config.toml, line 3");
    assert_eq!(line, "metrics.static_labels = { organization = 'a=\"b\", c', region = \"eu\" }  # config.toml:3");
    let variable = "AGNTIX_EXPORTER__METRICS__STATIC_LABELS";
    let (from_variable, origin, _) = labels(&[KEY, (variable, " organization = acme=west , site=a b,")]);
    assert_eq!(from_variable, [pair("organization", "acme=west"), pair("site", "a b")]);
    assert_eq!(origin, format!("environment variable {variable}"));
    let refused = file.load(&[KEY, (variable, "job=x")], &Overrides::default()).unwrap_err();
    assert!(refused.starts_with("environment variable AGNTIX_EXPORTER__METRICS__STATIC_LABELS: metrics.static_labels is a table with the label job in it; it must not name job: "), "{refused}");
}

/// A key whose default is misread as another kind of value would fail here.
#[test]
fn every_default_can_be_set_by_its_variable() {
    let defaults = toml::Table::try_from(Config::default()).unwrap();
    for key in keys::all().iter().filter(|key| !matches!(key.shape, keys::Shape::Tables(_) | keys::Shape::Table(_))) {
        let Some(value) = defaults[&key.section].get(&key.leaf) else { continue };
        let text = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Array(items) => items.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            toml::Value::Table(entries) if entries.is_empty() => String::new(),
            value => value.to_string(),
        };
        let variable = key.variable();
        let loaded = File::new("").load(&[KEY, (&variable, &text)], &Overrides::default()).unwrap();
        assert_eq!(loaded.config, Config::default(), "{variable}");
        assert_eq!(loaded.origins.get(&key.name), ConfigOrigin::Environment(variable));
    }
}

#[test]
fn defaults_make_room_for_what_is_set() {
    let load = |text: &str| File::new(text).load(&[KEY], &Overrides::default());
    let api = |text: &str| load(text).unwrap().config.api;
    let seconds = Duration::from_secs;
    let (quick, slow) = (api("[api]\ntimeout = \"2s\""), api("[api]\nconnect_timeout = \"30s\""));
    assert_eq!((quick.timeout, quick.connect_timeout), (seconds(2), seconds(2)));
    assert_eq!((slow.timeout, slow.connect_timeout), (seconds(30), seconds(30)));
    let sessions = load("[sessions]\nrecent_window = \"90d\"").unwrap().config.sessions;
    assert_eq!(sessions.retention, sessions.recent_window);
    // Two that are both set contradict each other.
    for text in [
        "[api]\ntimeout = \"2s\"\nconnect_timeout = \"5s\"",
        "[sessions]\nretention = \"48h\"\nrecent_window = \"90d\"",
    ] {
        assert!(load(text).is_err(), "{text}");
    }
}

#[test]
fn every_default_gives_way_to_each_single_key_that_keeps_its_own_rule() {
    // The least and the most that each duration may be by itself.
    for (key, values) in [
        ("api.timeout", ["1ms", "5m"]),
        ("api.connect_timeout", ["1ms", "5m"]),
        ("sessions.retention", ["48h", "10years"]),
        ("sessions.recent_window", ["0s", "10years"]),
        ("sessions.look_back_deadline", ["0s", "1h"]),
        ("poll.open_interval", ["10ms", "1d"]),
        ("poll.ended_interval", ["10ms", "1d"]),
        ("poll.listing_interval", ["10ms", "1d"]),
        ("poll.agents_interval", ["10ms", "1d"]),
        ("poll.analysis_deadline", ["1s", "7d"]),
        ("metrics.new_series_hold", ["0s", "1h"]),
        ("web.header_timeout", ["1ms", "1h"]),
        ("web.write_timeout", ["1ms", "1h"]),
        ("ha.lease", ["2s", "5m"]),
    ] {
        let (section, leaf) = key.split_once('.').unwrap();
        for value in values {
            let loaded = File::new(&format!("[{section}]\n{leaf} = \"{value}\"")).load(&[KEY], &Overrides::default());
            assert!(loaded.is_ok(), "{key} = {value}: {}", loaded.unwrap_err());
        }
    }
}

#[test]
fn yaml_is_told_to_be_no_toml() {
    let said = |text: &str| File::new(text).load(&[KEY], &Overrides::default()).unwrap_err();
    for text in ["api:\n  timeout: 10s\n", "---\napi:\n", "# mine\n\nweb.listen_address: :9899\n"] {
        assert!(said(text).contains("it looks like YAML, and the configuration is TOML"), "{}", said(text));
    }
    for text in ["[api\n", "api.base_url = https://x\n", "timeout = 10s: no\n"] {
        assert!(!said(text).contains("YAML"), "{}", said(text));
    }
}

#[test]
fn format_of_the_log_is_known_where_the_rest_is_wrong() {
    let format = |text: &str, variables: &[(&str, &str)], flag| {
        let file = File::new(text);
        let overrides = Overrides { log_format: flag, ..Overrides::default() };
        log_format(
            Some(&file.0.path().join("config.toml")),
            &Environment::from_pairs(variables.iter().copied()),
            &overrides,
        )
    };
    let json = "[log]\nformat = \"json\"\n";
    assert_eq!(format(json, &[], None), LogFormat::Json);
    assert_eq!(format(&format!("{json}[api]\nbase_url = no\n"), &[], None), LogFormat::Json);
    assert_eq!(format(&format!("[api]\nbase_ulr = 7\n{json}"), &[], None), LogFormat::Json);
    assert_eq!(format("[log]\nformat = \"jsn\"\n", &[], None), LogFormat::Logfmt);
    assert_eq!(format("api:\n", &[], None), LogFormat::Logfmt);
    assert_eq!(format("", &[("AGNTIX_EXPORTER__LOG__FORMAT", "json")], None), LogFormat::Json);
    assert_eq!(format(json, &[], Some(LogFormat::Logfmt)), LogFormat::Logfmt);
}

#[test]
fn fields_of_a_table_are_set_by_the_file_by_variables_or_by_both() {
    let set = |text: &str, variables: &[(&str, &str)]| {
        let file = File::new(text);
        let loaded = file.load(&[&[KEY], variables].concat(), &Overrides::default()).unwrap();
        let origin = file.without_directory(&loaded.origins.get("metrics.repeat_contacts").to_string());
        (loaded.config.metrics.repeat_contacts.unwrap(), origin)
    };
    let field = ("AGNTIX_EXPORTER__METRICS__REPEAT_CONTACTS__FIELD", "phone");
    let windows = ("AGNTIX_EXPORTER__METRICS__REPEAT_CONTACTS__WINDOWS", "24h,7d");
    let key_file = ("AGNTIX_EXPORTER__METRICS__REPEAT_CONTACTS__KEY_FILE", "/run/key");
    let text =
        "[metrics]\nrepeat_contacts = { field = \"phone\", windows = [\"24h\", \"7d\"], key_file = \"/run/key\" }";
    let (of_file, origin) = set(text, &[]);
    assert_eq!(origin, "config.toml, line 2");
    let (of_variables, origin) = set("", &[field, windows, key_file]);
    assert_eq!((of_variables, origin), (of_file.clone(), format!("environment variable {}", field.0)));
    assert_eq!(set(&text.replace("7d", "8d"), &[windows]).0, of_file);
    let wrong = File::new(&text.replace("7d", "7h")).load(&[KEY], &Overrides::default()).unwrap_err();
    assert!(
        wrong.contains("config.toml, line 2: metrics.repeat_contacts.windows is a list with \"7h\" in it"),
        "{wrong}"
    );
}

#[test]
fn a_mistake_names_the_key_the_value_its_place_and_what_would_do() {
    for (text, expected) in [
        (
            "[poll]\nopen_interval = \"30 parsecs\"",
            "config.toml, line 2: poll.open_interval is \"30 parsecs\"; it must be a duration such as \"90s\", \"5m\" or \"30d\"",
        ),
        (
            "[api]\ntimeout = 10",
            "config.toml, line 2: api.timeout is 10; it must be a duration such as \"90s\", \"5m\" or \"30d\"",
        ),
        (
            "[api]\ntimeout = \"0s\"",
            "config.toml, line 2: api.timeout is \"0s\"; it must be more than 0s and at most 5m",
        ),
        (
            "[sessions]\nlisting = \"true\"",
            "config.toml, line 2: sessions.listing is \"true\"; it must be true or false",
        ),
        (
            "[api]\nmax_concurrency = \"16\"",
            "config.toml, line 2: api.max_concurrency is \"16\"; it must be a whole number, 0 or more, such as 16",
        ),
        (
            "[api]\nmax_concurrency = -1",
            "config.toml, line 2: api.max_concurrency is -1; it must be a whole number, 0 or more, such as 16",
        ),
        (
            "[api]\nrequests_per_minute = 5000000000",
            "config.toml, line 2: api.requests_per_minute is 5000000000; it must be a whole number from 0 to 4294967295, such as 50",
        ),
        (
            "[api]\nbudget_share = true",
            "config.toml, line 2: api.budget_share is true; it must be a number, such as 0.5",
        ),
        ("[api]\nkey_file = 5", "config.toml, line 2: api.key_file is 5; it must be text in quotes"),
        (
            "[state]\npath = [\"a\"]",
            "config.toml, line 2: state.path is a list; it must be text in quotes, such as \"./data\"",
        ),
        ("[sessions]\nids = \"a\"", "config.toml, line 2: sessions.ids is \"a\"; it must be a list in square brackets"),
        ("[sessions]\nids = [\n\"a\",\n5]", "config.toml, line 4: sessions.ids[1] is 5; it must be text in quotes"),
        ("[log]\nformat = \"xml\"", "config.toml, line 2: log.format is \"xml\"; it must be `logfmt` or `json`"),
        (
            "[[metrics.extracted]]\nfield = \"a\"",
            "config.toml, line 1: metrics.extracted[0] is a table; it must have `kind`",
        ),
        (
            "[[metrics.extracted]]\nfield = \"a\"\nkind = \"text\"",
            "config.toml, line 3: metrics.extracted[0].kind is \"text\"; it must be one of `enum`, `boolean`, `number`",
        ),
        (
            "[api]\nkey_file = \"pk_live_42\"",
            "config.toml, line 2: api.key_file is something that looks like a credential (not shown); it must be the path of a file, not what is in it",
        ),
        (
            "[api]\nkey_file = \"\"",
            "config.toml, line 2: api.key_file is \"\"; it must be the path of a file, or be left out",
        ),
        (
            "[api]\n\n timeout = \"2s\"\n connect_timeout = \"5s\"",
            "config.toml, line 4: api.connect_timeout is \"5s\"; it must be more than 0s and at most api.timeout, which is \"2s\"",
        ),
    ] {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn a_file_must_be_there_only_if_it_was_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("no.toml");
    let environment = Environment::from_pairs([KEY]);
    let error = load(Some(&missing), &environment, &Overrides::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the configuration file {} cannot be read: No such file or directory (os error 2); check the path and the permissions",
            missing.display()
        )
    );
    let settle = |default: &Path| load::settle(None, default, &environment, &Overrides::default());
    let without = settle(&missing).unwrap();
    assert_eq!((without.config, without.file), (Config::default(), None));
    std::fs::write(&missing, "[log]\nlevel = \"warn\"").unwrap();
    let found = settle(&missing).unwrap();
    assert_eq!((found.config.log.level.as_str(), found.file), ("warn", Some(missing.clone())));
    std::fs::write(&missing, "[log]\nlevl = \"warn\"").unwrap();
    assert!(settle(&missing).is_err());
}

#[test]
fn exactly_one_credential_is_in_effect() {
    let key = "[api]\nkey_file = \"k\"\n";
    let token = "[api]\nbearer_token_file = \"t\"\n";
    let both = "[api]\nkey_file = \"k\"\nbearer_token_file = \"t\"\n";
    let load = |text: &str, variables: &[(&str, &str)]| File::new(text).load(variables, &Overrides::default());
    let none = "no credential is set; put the API key into AGNTIX_API_KEY, or name a file that holds it in api.key_file (agntix-exporter demo needs none)";
    assert_eq!(load("", &[]).unwrap_err(), none);
    assert_eq!(load("", &[("AGNTIX_API_KEY", " \n")]).unwrap_err(), none);
    assert_eq!(load("", &[KEY]).unwrap().api_key.unwrap().expose_secret(), "pk_live_42");
    assert!(load(key, &[]).unwrap().api_key.is_none() && load(token, &[]).unwrap().api_key.is_none());
    let overruled = load(key, &[KEY]).unwrap();
    assert!(overruled.api_key.is_some());
    assert_eq!(overruled.warnings.len(), 1);
    assert!(overruled.warnings[0].starts_with("environment variable AGNTIX_API_KEY is set and beats api.key_file ("));
    let files = "api.key_file (config.toml, line 2) and api.bearer_token_file (config.toml, line 3) are both set, and only one can be used; remove one of them";
    assert_eq!(load(both, &[]).unwrap_err(), files);
    assert_eq!(load(both, &[KEY]).unwrap_err(), files);
    assert_eq!(
        load(token, &[KEY]).unwrap_err(),
        "environment variable AGNTIX_API_KEY and api.bearer_token_file (config.toml, line 2) are both set, and only one can be used; remove one of them"
    );
    for malformed in ["pk_live 42", "pk_live_42\npk_live_43", "pk_ü"] {
        let message = load("", &[("AGNTIX_API_KEY", malformed)]).unwrap_err();
        assert!(message.starts_with("environment variable AGNTIX_API_KEY: ") && !message.contains("pk_"), "{message}");
    }
}

#[test]
fn an_enabled_webhook_has_a_secret() {
    const SECRET: (&str, &str) = ("AGNTIX_WEBHOOK_SECRET", " whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    let enabled = "[webhook]\nenabled = true\n";
    let with_file = "[webhook]\nenabled = true\nsecret_file = \"s\"\n";
    let load = |text: &str, secret: &[(&str, &str)]| {
        let variables: Vec<_> = std::iter::once(&KEY).chain(secret).copied().collect();
        let file = File::new(text);
        file.load(&variables, &Overrides::default()).map(|loaded| (file.without_directory(&loaded.report()), loaded))
    };
    let none = "config.toml, line 2: webhook.enabled is true, but there is no secret to check deliveries with; put the signing secret of the endpoint into AGNTIX_WEBHOOK_SECRET, or name a file that holds it in webhook.secret_file";
    assert_eq!(load(enabled, &[]).unwrap_err(), none);
    assert_eq!(load(enabled, &[(SECRET.0, " \n")]).unwrap_err(), none);
    let (report, loaded) = load(enabled, &[SECRET]).unwrap();
    assert_eq!(loaded.webhook_secret.unwrap().expose_secret(), SECRET.1.trim());
    assert!(
        report.contains("\n# webhook secret: AGNTIX_WEBHOOK_SECRET (set, not shown)\n") && !report.contains("MfKQ")
    );
    let (report, loaded) = load(with_file, &[]).unwrap();
    assert!(loaded.webhook_secret.is_none());
    assert!(report.contains("\n# webhook secret: in s (webhook.secret_file)\n"), "{report}");
    let (_, loaded) = load(with_file, &[SECRET]).unwrap();
    assert!(loaded.webhook_secret.is_some() && loaded.warnings.len() == 1);
    assert!(loaded.warnings[0].starts_with("environment variable AGNTIX_WEBHOOK_SECRET is set and beats webhook.s"));
    let (report, loaded) = load("", &[(SECRET.0, "whsec_hunter2")]).unwrap();
    assert!(loaded.webhook_secret.is_none() && !report.contains("webhook secret"), "not enabled, not looked at");
}

#[test]
fn a_reference_to_two_sections_names_the_one_that_is_wrong() {
    assert_eq!(
        error("[web]\nlisten_address = \"a:1\"\n[webhook]\nlisten_address = \"a:1\""),
        "config.toml, line 4: webhook.listen_address is \"a:1\"; it must differ from web.listen_address, or be left out to share that listener"
    );
}

#[test]
fn the_demo_needs_no_credential_and_takes_none() {
    let file = File::new(
        "[api]\nkey_file = \"k\"\nbearer_token_file = \"t\"\n[webhook]\nenabled = true\nsecret_file = \"s\"\n[log]\nlevel = \"warn\"",
    );
    let path = file.0.path().join("config.toml");
    let environment = Environment::from_pairs([KEY]);
    let loaded = load_without_credential(Some(&path), &environment, &Overrides::default()).unwrap();
    let api = &loaded.config.api;
    assert!(loaded.api_key.is_none() && api.key_file.is_none() && api.bearer_token_file.is_none());
    assert!(!loaded.config.webhook.enabled && loaded.config.webhook.secret_file.is_none());
    assert_eq!(loaded.config.log.level, "warn");
    assert!(loaded.report().contains("\n# credential: none\n"));
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    let warnings = loaded("[api]\nbase_url = \"http://gateway\"\n[sessions]\nids = [\"a\", \"b\", \"a\"]").warnings;
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].ends_with(
        "config.toml, line 2: api.base_url is an http:// address, so the credential and what sessions hold go to gateway unencrypted; use https:// if it is there"
    ));
    assert!(
        warnings[1]
            .ends_with("config.toml, line 4: sessions.ids holds ids more than once (1 dropped); each is followed once")
    );
    assert!(loaded("[api]\nbase_url = \"http://127.0.0.1:1\"").warnings.is_empty());
}

#[test]
fn the_report_lists_every_key_with_its_origin_and_no_secret() {
    let file = File::new(
        "[api]\ntimeout = \"9s\"\n[sessions]\nids = [\"a\", \"a\"]\n[[metrics.extracted]]\nfield = \"plan\"\nkind = \"enum\"\n",
    );
    let variables = [KEY, ("AGNTIX_EXPORTER__POLL__OPEN_INTERVAL", "50ms")];
    let overrides = Overrides { listen_addresses: vec!["[::1]:0".into()], ..Overrides::default() };
    let report = file.without_directory(&file.load(&variables, &overrides).unwrap().report());
    for line in [
        "api.base_url = \"https://api.agntix.ai\"  # default",
        "api.timeout = \"9s\"                      # config.toml:2",
        "api.session_path = \"auto\"               # default",
        "sessions.ids = [\"a\"]                    # config.toml:4",
        "poll.open_interval = \"50ms\"             # AGNTIX_EXPORTER__POLL__OPEN_INTERVAL",
        "web.listen_address = \"[::1]:0\"          # --web.listen-address",
        "metrics.confidence_buckets = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]  # default",
        "# credential: AGNTIX_API_KEY (set, not shown)",
        "# warning: config.toml, line 4: sessions.ids holds ids more than once (1 dropped); each is followed once",
    ] {
        assert!(report.lines().any(|found| found == line), "{line}\nis not in\n{report}");
    }
    assert!(!report.contains("pk_live"), "{report}");
    assert!(!format!("{:?}", file.load(&variables, &overrides)).contains("pk_live"));
    let again = File::new(&report).load(&[KEY], &Overrides::default()).unwrap();
    assert_eq!(again.config, file.load(&variables, &overrides).unwrap().config);
}

#[test]
fn the_reference_is_the_default() {
    let file = File::new(REFERENCE);
    let reference = file.load(&[KEY], &Overrides::default()).unwrap();
    assert_eq!(reference.config, Config::default());
    assert!(reference.warnings.is_empty());
    for key in keys::all() {
        let set = matches!(reference.origins.get(&key.name), ConfigOrigin::File { .. });
        let optional = key.name.ends_with("_file")
            || matches!(
                key.name.as_str(),
                "metrics.extracted"
                    | "metrics.repeat_contacts"
                    | "webhook.listen_address"
                    | "web.external_url"
                    | "web.route_prefix"
                    | "state.url"
            );
        assert_eq!(set, !optional, "{}", key.name);
    }
}

#[test]
fn the_reference_shows_every_key_in_order_and_nothing_else() {
    // A comment begins with "# "; what is commented out begins with "#" alone.
    let uncommented: Vec<_> = REFERENCE
        .lines()
        .map(|line| if line.starts_with("# ") { line } else { line.trim_start_matches('#') })
        .collect();
    let mut section = String::new();
    let mut names = Vec::new();
    for line in &uncommented {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.trim_matches(['[', ']']).to_owned();
            names.extend((section == "metrics.extracted").then(|| section.clone()));
        } else if let Some((leaf, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            names.extend((section != "metrics.extracted").then(|| format!("{section}.{leaf}")));
        }
    }
    let known: Vec<_> = keys::all().iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, known);
    let error = error(&uncommented.join("\n"));
    assert!(error.starts_with("api.key_file (config.toml, line "), "all is valid but the two credentials: {error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_file_makes_it_panic(content in prop::collection::vec(any::<u8>(), 0..200)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        std::fs::write(&path, content).unwrap();
        let _ = load(Some(&path), &Environment::default(), &Overrides::default());
    }

    #[test]
    fn no_setting_makes_it_panic(key in 0..keys::all().len(), text in "\\PC*|-?[0-9]{1,20}|[0-9]+ ?[a-z]{1,5}") {
        let variable = keys::all()[key].variable();
        if let Ok(loaded) = File::new("").load(&[KEY, (&variable, &text)], &Overrides::default()) {
            loaded.report();
        }
    }
}
