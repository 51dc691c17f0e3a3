//! The `PromQL` of the README and the docs: a reader copies it, so that it must be answered, and must mean what the dashboards mean.

use std::path::Path;

/// What a query has and a mention of a function or a metric has not.
const FUNCTIONS: [&str; 4] = ["rate(", "increase(", "histogram_quantile(", "topk("];

/// A query, and where it stands.
pub struct Documented {
    pub file: String,
    pub query: String,
}

/// All of them, those of the runbooks apart, which name what is to be filled in.
pub fn all() -> Vec<Documented> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut files: Vec<_> = pages.chain([root.join("README.md")]).collect();
    files.sort();
    let of = |path: &std::path::PathBuf| {
        let file = path.strip_prefix(root).unwrap().display().to_string();
        let text = std::fs::read_to_string(path).unwrap();
        queries(&text).into_iter().map(move |query| Documented { file: file.clone(), query }).collect::<Vec<_>>()
    };
    files.iter().flat_map(of).collect()
}

fn queries(page: &str) -> Vec<String> {
    let (mut found, mut prose) = (Vec::new(), String::new());
    for (place, part) in page.split("\n```").enumerate() {
        if place % 2 == 0 {
            prose.push_str(part);
        } else if let Some(block) = part.strip_prefix("promql\n") {
            // A comment or an empty line stands between two queries.
            let lines = block.lines().chain([""]);
            let mut query = String::new();
            for line in lines {
                if line.trim().is_empty() || line.trim_start().starts_with('#') {
                    found.extend(Some(std::mem::take(&mut query)).filter(|query| !query.is_empty()));
                } else {
                    query = format!("{query} {}", line.trim());
                }
            }
        }
    }
    let spans = prose.split('`').skip(1).step_by(2);
    let is_query = |span: &&str| span.contains("agntix_") && FUNCTIONS.iter().any(|function| span.contains(function));
    // In a table a bar is escaped.
    found.extend(spans.filter(is_query).map(|span| span.replace("\\|", "|").replace('\n', " ")));
    found.into_iter().map(|query| query.trim().to_owned()).collect()
}

#[test]
fn queries_are_found_in_blocks_and_in_tables() {
    let page =
        "A\n```promql\n# One\nsum(\n  up)\n\n# Two\nup\n```\n| `rate()` | `sum(rate(agntix_x{a=~\"b\\|c\"}[5m]))` |\n";
    assert_eq!(queries(page), ["sum( up)", "up", "sum(rate(agntix_x{a=~\"b|c\"}[5m]))"]);
    let all = all();
    assert!(all.len() >= 12, "{}", all.len());
    assert!(all.iter().filter(|documented| documented.file == "README.md").count() >= 3);
}
