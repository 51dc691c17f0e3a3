//! The runbooks and the metric reference.

use std::collections::BTreeSet;

use super::look;
use crate::support::{Api, NOON, Setup, standing_at_noon};

#[test]
#[ignore = "needs Chromium and axe-core (.ci/tools)"]
fn runbooks_and_reference_are_good_in_every_view() {
    let api = Api::start(standing_at_noon(NOON, NOON, 0.0));
    let directory = tempfile::tempdir().unwrap();
    // The pages are the same whatever is left off the page of the metrics.
    let disabled = "agntix_session_outcomes_total,agntix_up,process_cpu_seconds_total";
    let setup = Setup::new(api.address, &directory.path().join("state"));
    let daemon = setup.set("METRICS__DISABLED", disabled).start();
    let index = daemon.get("/-/runbooks").1;
    let linked = index.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let runbooks: BTreeSet<&str> = linked.filter(|link| link.starts_with("/-/runbooks/")).collect();
    assert!(runbooks.len() > 40, "{runbooks:?}");
    let at = |path: &str| format!("http://{}{path}", daemon.address);

    // They are of one template, so that one of them stands for all in what depends on that alone.
    let whole = look(
        &["/-/runbooks", "/-/reference", "/-/runbooks/AgntixUnresolvedSpike", "/-/runbooks/Agntix%3Cb%3E"].map(at),
        &[],
    );
    let statuses: Vec<u16> = whole.iter().map(|page| page.status).collect();
    assert_eq!(statuses, [200, 200, 200, 404]);
    assert!(whole[3].text.contains("no alert Agntix<b>"), "{}", whole[3].text);
    let urls: Vec<String> = runbooks.into_iter().map(at).collect();
    let all = look(&urls, &["--briefly"]);
    let titles: BTreeSet<&str> = whole.iter().chain(&all).map(|page| page.title.as_str()).collect();
    assert_eq!(titles.len(), all.len() + 3, "no two pages have one title: {titles:?}");
}
