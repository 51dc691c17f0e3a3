//! Signatures: which deliveries are accepted, and why the others are not.

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const NOW: i64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;

fn secrets(text: &str) -> WebhookSecrets {
    WebhookSecrets::parse(text).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds.saturating_mul(1000))
}

fn headers<'a>(id: &'a str, timestamp: &'a str, signature: &'a str) -> SignatureHeaders<'a> {
    let some = |text: &'a str| Some(text.as_bytes());
    SignatureHeaders { id: some(id), timestamp: some(timestamp), signature: some(signature) }
}

/// Checks `signature` on the one delivery.
fn check(secrets: &WebhookSecrets, signature: &str) -> Result<(), SignatureError> {
    secrets.verify(&headers(ID, &NOW.to_string(), signature), BODY, at(NOW))
}

/// The example of Svix's documentation.
#[test]
fn published_example_gives_the_same_signature() {
    let signature = secrets(SECRET).sign(ID, NOW, BODY);
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_eq!(check(&secrets(SECRET), &signature), Ok(()));
}

#[test]
fn any_of_several_signatures_may_fit_any_of_several_secrets() {
    let (one, two) = (secrets(SECRET), secrets(OTHER));
    let both = secrets(&format!("{SECRET}\n{OTHER}"));
    let (by_one, by_two, by_both) = (one.sign(ID, NOW, BODY), two.sign(ID, NOW, BODY), both.sign(ID, NOW, BODY));
    assert_eq!(by_both, format!("{by_one} {by_two}"));
    for (secrets, signature) in [(&one, &by_both), (&two, &by_both), (&both, &by_one), (&both, &by_two)] {
        assert_eq!(check(secrets, signature), Ok(()));
    }
    assert_eq!(check(&one, &by_two), Err(SignatureError::Mismatch));
    assert_eq!(check(&one, &format!("v1a,xyz v2,{} {by_one}", &by_one[3..])), Ok(()));
    assert_eq!(check(&one, &format!("v2,{}", &by_one[3..])), Err(SignatureError::Mismatch));
}

#[test]
fn only_so_many_signatures_are_looked_at() {
    let secrets = secrets(SECRET);
    let right = secrets.sign(ID, NOW, BODY);
    let behind = |others: usize| format!("{}{right}", format!("v1,{} ", "A".repeat(44)).repeat(others));
    assert_eq!(check(&secrets, &behind(31)), Ok(()));
    assert_eq!(check(&secrets, &behind(32)), Err(SignatureError::Mismatch));
    assert_eq!(check(&secrets, &behind(100)), Err(SignatureError::Malformed), "longer than any header");
}

#[test]
fn missing_and_malformed_headers_are_different_errors() {
    let secrets = secrets(SECRET);
    let (time, signature) = (NOW.to_string(), secrets.sign(ID, NOW, BODY));
    let whole = headers(ID, &time, &signature);
    let verify = |headers: SignatureHeaders<'_>| secrets.verify(&headers, BODY, at(NOW));
    assert_eq!(verify(whole), Ok(()));
    for headers in [
        SignatureHeaders { id: None, ..whole },
        SignatureHeaders { timestamp: None, ..whole },
        SignatureHeaders { signature: None, ..whole },
    ] {
        assert_eq!(verify(headers), Err(SignatureError::Missing));
    }
    let long = [b'1'; MAX_HEADER + 1];
    for strange in [&b"\xff"[..], b"a\nb", b"\0", &long] {
        for headers in [
            SignatureHeaders { id: Some(strange), ..whole },
            SignatureHeaders { timestamp: Some(strange), ..whole },
            SignatureHeaders { signature: Some(strange), ..whole },
        ] {
            assert_eq!(verify(headers), Err(SignatureError::Malformed));
        }
    }
    assert_eq!(secrets.verify(&whole, b"\xff", at(NOW)), Err(SignatureError::Malformed));
}

#[test]
fn five_minutes_are_recent_and_a_second_more_is_not() {
    let secrets = secrets(SECRET);
    let verify = |timestamp: i64, now: Timestamp| {
        let signature = secrets.sign(ID, timestamp, BODY);
        secrets.verify(&headers(ID, &timestamp.to_string(), &signature), BODY, now)
    };
    for recent in [-300, -299, 0, 299, 300] {
        assert_eq!(verify(NOW + recent, at(NOW)), Ok(()), "{recent}");
        assert_eq!(verify(NOW + recent, at(NOW).plus(std::time::Duration::from_millis(999))), Ok(()), "{recent}");
    }
    for stale in [-301, 301, -86_400, 86_400] {
        assert_eq!(verify(NOW + stale, at(NOW)), Err(SignatureError::Stale), "{stale}");
    }
    for extreme in [i64::MIN, i64::MIN + 1, -1] {
        for now in [i64::MIN, -1, 0, NOW * 1000, i64::MAX] {
            let now = Timestamp::from_millis(now);
            assert_eq!(verify(extreme, now), Err(SignatureError::Malformed), "{extreme}");
        }
    }
    assert_eq!(verify(i64::MAX, at(NOW)), Err(SignatureError::Stale));
    assert_eq!(verify(0, Timestamp::from_millis(i64::MAX)), Err(SignatureError::Stale));
    assert_eq!(verify(0, Timestamp::from_millis(-1)), Err(SignatureError::Stale), "such a clock knows nothing");
    assert_eq!(verify(0, Timestamp::from_millis(0)), Ok(()));
}

#[test]
fn each_bit_of_a_delivery_is_covered() {
    let secrets = secrets(SECRET);
    let signature = secrets.sign(ID, NOW, BODY);
    let parts = [ID.as_bytes(), NOW.to_string().as_bytes(), signature.as_bytes(), BODY].map(<[u8]>::to_vec);
    let verify = |[id, timestamp, signature, body]: &[Vec<u8>; 4]| {
        let headers = SignatureHeaders { id: Some(id), timestamp: Some(timestamp), signature: Some(signature) };
        secrets.verify(&headers, body, at(NOW))
    };
    assert_eq!(verify(&parts), Ok(()));
    for part in 0..parts.len() {
        for bit in 0..parts[part].len() * 8 {
            let mut changed = parts.clone();
            changed[part][bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&changed).is_err(), "part {part}, bit {bit}");
        }
    }
}

#[test]
fn the_unbranded_headers_stand_in_for_absent_ones() {
    let of = |pairs: &[(&'static str, &'static str)]| {
        let map: HeaderMap =
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let read = SignatureHeaders::of(&map);
        [read.id, read.timestamp, read.signature].map(|value| value.map(|v| String::from_utf8(v.to_vec()).unwrap()))
    };
    let own = |text: &str| Some(text.to_owned());
    assert_eq!(
        of(&[("Svix-Id", "a"), ("webhook-id", "b"), ("webhook-timestamp", "1"), ("svix-signature", "s")]),
        [own("a"), own("1"), own("s")]
    );
    assert_eq!(of(&[]), [None, None, None]);
}

#[test]
fn secrets_are_read_however_they_were_copied() {
    let both = secrets(&format!("{SECRET}\n{OTHER}\n"));
    let bare = |secret: &'static str| secret.strip_prefix("whsec_").unwrap();
    for text in [
        format!("{SECRET},{OTHER}"),
        format!("  {SECRET} ,\t{OTHER},,"),
        format!("{}\r\n{}", bare(SECRET), bare(OTHER)),
        format!("{SECRET} {}", bare(OTHER)),
    ] {
        assert!(secrets(&text) == both, "{text:?}");
    }
    assert!(secrets(SECRET) != both && secrets(SECRET) != secrets(OTHER));
}

#[test]
fn error_of_an_unusable_secret_does_not_show_it() {
    for (text, expected) in [
        ("", SecretError::Empty),
        (" ,\n", SecretError::Empty),
        ("whsec_", SecretError::Short(1)),
        ("whsec_aHVudGVyMg==", SecretError::Short(1)),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", SecretError::NotBase64(1)),
        ("whsec_whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", SecretError::NotBase64(1)),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS_", SecretError::NotBase64(1)),
        ("hunter2 is the secret", SecretError::NotBase64(1)),
        ("whpk_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", SecretError::Asymmetric(1)),
    ] {
        assert_eq!(WebhookSecrets::parse(text).unwrap_err(), expected, "{text}");
    }
    let second = WebhookSecrets::parse(&format!("{SECRET} hunter2")).unwrap_err();
    assert_eq!(
        second.to_string(),
        "is not a signing secret (number 2, not shown): it must be whsec_ and base64, as the dashboard shows it"
    );
    let many = |count: usize| WebhookSecrets::parse(&format!("{SECRET}\n").repeat(count)).err();
    assert_eq!((many(16), many(17)), (None, Some(SecretError::TooMany)));
    assert_eq!(format!("{:?}", secrets(SECRET)), "WebhookSecrets(<1 secrets>)");
}

#[test]
fn every_refusal_has_its_label() {
    let all = [SignatureError::Missing, SignatureError::Malformed, SignatureError::Stale, SignatureError::Mismatch];
    assert_eq!(all.map(SignatureError::as_str), ["missing", "malformed", "stale", "forged"]);
}
