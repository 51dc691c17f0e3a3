//! What the counts of instructions are held against: a count above its limit, one without a limit and a limit of nothing each fail with a sentence.
//! Counting itself is `benches/instructions`.

#[path = "../../benches/instructions/limits.rs"]
mod limits;

use limits::{Count, Limits};

const FILE: &str =
    "[dev]\nrustc = \"1.95.0\"\ncommit_64 = 1_000_000\npage = 20_000\n\n[optimized]\nrustc = \"1.95.0\"\npage = 900\n";

fn counts(of: &[(&str, u64)]) -> Vec<Count> {
    of.iter().map(|(name, instructions)| Count { name: (*name).into(), instructions: *instructions }).collect()
}

fn dev(compiler: &str) -> Limits {
    Limits::parse(FILE, "dev", compiler).unwrap()
}

#[test]
fn a_count_above_its_limit_fails_with_a_sentence() {
    let limits = dev("1.95.0");
    // Five percent are left to what differs from one run to the next.
    assert!(limits.exceeded(&counts(&[("page", 21_000), ("commit_64", 400_000)]), true).is_empty());
    let wrong = limits.exceeded(&counts(&[("page", 21_001), ("commit_64", 1_300_000)]), true);
    assert_eq!(
        wrong,
        [
            "page takes 21,001 instructions, +5.0 % beside its limit of 20,000 in [dev]",
            "commit_64 takes 1,300,000 instructions, +30.0 % beside its limit of 1,000,000 in [dev]",
        ]
    );
    let line = limits.line(&Count { name: "page".into(), instructions: 19_000 });
    assert_eq!(line.split_whitespace().collect::<Vec<_>>().join(" "), "page 19,000 -5.0 % beside 20,000");
    assert!(limits.advice().contains("cargo bench --workspace --profile dev --bench instructions -- --write"));
    assert!(!limits.advice().contains("rustc"));
    assert!(dev("1.96.0").advice().contains("rustc 1.95.0, and this program was built by rustc 1.96.0"));
}

#[test]
fn what_has_no_limit_fails_and_so_does_a_limit_of_nothing() {
    let limits = dev("1.95.0");
    let wrong = limits.exceeded(&counts(&[("page", 1), ("deliver", 1_234_567)]), true);
    assert_eq!(
        wrong,
        [
            "deliver takes 1,234,567 instructions and has no limit in [dev]",
            "the limit commit_64 in [dev] is of nothing that is counted",
        ]
    );
    assert!(limits.exceeded(&counts(&[("page", 1)]), false).is_empty(), "only some were counted");
    for (profile, sentences) in [("dev", 1), ("optimized", 0)] {
        let none = Limits::parse("", profile, "1.95.0").unwrap();
        assert_eq!(none.exceeded(&counts(&[("page", 1)]), true).len(), sentences, "{profile}");
    }
}

#[test]
fn written_limits_leave_other_profiles_and_equal_counts_alone() {
    let mut limits = dev("1.96.0");
    limits.take(&counts(&[("page", 20_199), ("deliver", 5_000_000)]), true);
    let written = limits.write_into(FILE).unwrap();
    let tables = "\n[dev]\nrustc = \"1.96.0\"\ndeliver = 5_000_000\npage = 20_000\n\n[optimized]\nrustc = \"1.95.0\"\npage = 900\n";
    assert!(written.ends_with(tables), "{written}");
    assert_eq!(limits.write_into(&written).unwrap(), written);

    let mut some = dev("1.95.0");
    some.take(&counts(&[("page", 20_201)]), false);
    assert!(some.write_into(FILE).unwrap().contains("commit_64 = 1_000_000\npage = 20_201\n"));
}

#[test]
fn the_file_is_as_it_was_written() {
    let text = std::fs::read_to_string(limits::path()).unwrap();
    let limits = Limits::parse(&text, "dev", "unused").unwrap();
    assert_eq!(limits.write_into(&text).unwrap(), text);
    assert!(Limits::parse("[dev]\npage = \"many\"\n", "dev", "").unwrap_err().contains("page in [dev] is \"many\""));
}
