//! The file of the limits, and what a count is when it is held against them. Nothing in here counts or prints.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// So much above its limit a count may be, in percent. Counts of the same program differ by up to 2 %, since hashes are seeded anew each time.
pub const MARGIN_PERCENT: u64 = 5;
/// A count that differs by less does not change the file.
const SAME_PERCENT: u64 = 1;
/// Says which compiler built the program whose counts the limits are.
const COMPILER: &str = "rustc";

const HEAD: &str = "\
# How many instructions each of these takes, as valgrind counted them on x86_64. `cargo bench --workspace --profile dev --bench instructions`
# counts again, and fails where a count is more than 5 % above its limit; `-- --write` at its end writes the present counts in here. Who raises
# one says in the commit what is gained for it. CONTRIBUTING.md, \"Instructions\", says more; `benches/instructions/cases.rs` what each of them does.
";

/// The file.
pub fn path() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "benches", "instructions", "limits.toml"].iter().collect()
}

/// What was counted of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The name of the case.
    pub name: String,
    /// Instructions.
    pub instructions: u64,
}

/// The limits of the programs that are built with one profile.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The table of the file.
    profile: String,
    /// The compiler they were counted with, and the present one.
    compilers: [String; 2],
    by_name: BTreeMap<String, u64>,
}

impl Limits {
    /// Those of `profile` in the text of the file, which may have none.
    ///
    /// # Errors
    /// If the text is not as [`write_into`](Self::write_into) leaves it.
    pub fn parse(text: &str, profile: &str, compiler: &str) -> Result<Self, String> {
        let mut tables = tables(text)?;
        let table = tables.remove(profile).unwrap_or_default();
        Ok(Self {
            profile: profile.into(),
            compilers: [table.compiler.unwrap_or_else(|| compiler.into()), compiler.into()],
            by_name: table.limits,
        })
    }

    /// A sentence for each count that is above its limit or has none, and, if `is_whole`, for each limit that nothing was counted of.
    pub fn exceeded(&self, counts: &[Count], is_whole: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        // The gate counts with the profile of the tests; of an optimized build the file need not have limits.
        if self.by_name.is_empty() && self.profile != "dev" {
            return wrong;
        }
        for Count { name, instructions: is } in counts {
            match self.by_name.get(name) {
                None => wrong.push(format!(
                    "{name} takes {} instructions and has no limit in [{}]",
                    grouped(*is),
                    self.profile
                )),
                Some(limit) if u128::from(*is) * 100 > u128::from(*limit) * u128::from(100 + MARGIN_PERCENT) => {
                    wrong.push(format!(
                        "{name} takes {} instructions, {} beside its limit of {} in [{}]",
                        grouped(*is),
                        percent(*is, *limit),
                        grouped(*limit),
                        self.profile
                    ));
                }
                Some(_) => {}
            }
        }
        let is_counted = |name: &str| counts.iter().any(|count| count.name == name);
        if is_whole {
            let unused = self.by_name.keys().filter(|name| !is_counted(name));
            wrong.extend(
                unused.map(|name| format!("the limit {name} in [{}] is of nothing that is counted", self.profile)),
            );
        }
        wrong
    }

    /// What to do about what [`exceeded`](Self::exceeded) has found.
    pub fn advice(&self) -> String {
        let (dev, [was, is]) = (self.profile == "dev", &self.compilers);
        let command = format!(
            "cargo bench --workspace{} --bench instructions -- --write",
            if dev { " --profile dev" } else { "" }
        );
        let other = if was == is {
            String::new()
        } else {
            format!(
                " The limits were counted with rustc {was}, and this program was built by rustc {is}: that alone may be why."
            )
        };
        format!(
            "What is it that takes more? `callgrind_annotate target/instructions/NAME.out.2` says which functions it is, and the same of the commit before \
             what they took. If it is worth it, `{command}` writes the new counts into benches/instructions/limits.toml; the commit says why.{other}"
        )
    }

    /// A count beside its limit.
    pub fn line(&self, count: &Count) -> String {
        let Count { name, instructions: is } = count;
        let beside = match self.by_name.get(name) {
            Some(limit) => format!("{:>7} beside {:>12}", percent(*is, *limit), grouped(*limit)),
            None => "no limit".into(),
        };
        format!("{name:28} {:>12}  {beside:27}", grouped(*is))
    }

    /// Makes the counts the limits, except where they are the same within a percent; if `is_whole`, in place of all limits.
    pub fn take(&mut self, counts: &[Count], is_whole: bool) {
        let before = self.by_name.clone();
        if is_whole {
            self.by_name.clear();
        }
        for Count { name, instructions: is } in counts {
            let kept = before.get(name).copied().filter(|limit| is.abs_diff(*limit) <= limit / 100 * SAME_PERCENT);
            self.by_name.insert(name.clone(), kept.unwrap_or(*is));
        }
        let [was, is] = &mut self.compilers;
        was.clone_from(is);
    }

    /// The text of the file with these limits in place of those of their profile.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn write_into(&self, text: &str) -> Result<String, String> {
        let mut tables = tables(text)?;
        let [compiler, _] = &self.compilers;
        tables.insert(self.profile.clone(), Table { compiler: Some(compiler.clone()), limits: self.by_name.clone() });
        let mut out = HEAD.to_owned();
        for (profile, table) in tables {
            out.extend([format!("\n[{profile}]\n{COMPILER} = {:?}\n", table.compiler.unwrap_or_default())]);
            let lines = table
                .limits
                .into_iter()
                .map(|(name, limit)| format!("{name} = {}\n", grouped(limit).replace(',', "_")));
            out.extend(lines);
        }
        Ok(out)
    }
}

/// One table of the file.
#[derive(Default)]
struct Table {
    compiler: Option<String>,
    limits: BTreeMap<String, u64>,
}

fn tables(text: &str) -> Result<BTreeMap<String, Table>, String> {
    let mut tables = BTreeMap::new();
    for (profile, entries) in text.parse::<toml::Table>().map_err(|error| error.to_string())? {
        let entries = entries.as_table().ok_or_else(|| format!("{profile} is no table"))?;
        let mut table = Table::default();
        for (name, value) in entries {
            match (name.as_str(), value) {
                (COMPILER, toml::Value::String(compiler)) => table.compiler = Some(compiler.clone()),
                (_, toml::Value::Integer(limit)) if *limit > 0 => {
                    table.limits.insert(name.clone(), limit.unsigned_abs());
                }
                _ => return Err(format!("{name} in [{profile}] is {value}, which is no number of instructions")),
            }
        }
        tables.insert(profile, table);
    }
    Ok(tables)
}

/// By how much `is` differs from `was`, with its sign.
fn percent(is: u64, was: u64) -> String {
    let tenths = (i128::from(is) - i128::from(was)) * 1000 / i128::from(was.max(1));
    let sign = if tenths < 0 { '-' } else { '+' };
    format!("{sign}{}.{} %", tenths.abs() / 10, tenths.abs() % 10)
}

/// A number with commas between its thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
