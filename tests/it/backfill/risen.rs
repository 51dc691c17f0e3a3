//! By how much counters have risen, as a real Prometheus says, beside the simulator's truth.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::prometheus::{Labels, Prometheus};
use crate::support::risen::{Span, is_near, parts, sum, without_target};

/// Which series, and how far back.
pub struct Scope {
    pub job: &'static str,
    pub range: String,
}

/// Within a hundredth: a series that ends with the history, since the running daemon has seen nothing of it, is extrapolated by half of the mean distance of its
/// samples, which is a minute. It matters only to one that began hours before.
fn is_nearly(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-2 * b.abs().max(1.0)
}

/// Each family has risen by what the truth says, and each of its series.
pub async fn raw_series_rise_by(truth: &BTreeMap<String, f64>, prometheus: &Prometheus, scope: &Scope) {
    let truth = truth.iter().map(|(sample, value)| (parts(sample), *value));
    // In OpenMetrics a histogram without a sum has no count either.
    let truth: Vec<_> = truth.filter(|((name, _), _)| name != "agntix_session_sentiment_score_count").collect();
    let names: BTreeSet<&str> = truth.iter().map(|((name, _), _)| name.as_str()).collect();
    let job = scope.job;
    let span = Span::of(prometheus, &format!(r#"agntix_sessions_ended_total{{job="{job}"}}"#), &scope.range).await;
    let mut wrong = Vec::new();
    for name in names {
        let risen = span.increase(prometheus, &format!(r#"{name}{{job="{job}"}}"#)).await;
        let [all, truly] = [
            risen.iter().map(|(_, value)| value).sum::<f64>(),
            truth.iter().filter(|((of, _), _)| of == name).map(|(_, value)| value).sum(),
        ];
        if !is_near(all, truly) {
            wrong.push(format!("{name}: {all}, truly {truly}"));
        }
        let mut risen = without_target(risen);
        for ((_, labels), value) in truth.iter().filter(|((of, _), _)| of == name) {
            let found = risen.remove(labels);
            if !found.is_some_and(|found| is_nearly(found, *value)) {
                wrong.push(format!("{name}{labels:?}: {found:?}, truly {value}"));
            }
        }
        wrong.extend(
            risen
                .into_iter()
                .filter(|(_, value)| !is_near(*value, 0.0))
                .map(|more| format!("{name}: {more:?}, truly 0")),
        );
    }
    assert!(
        wrong.is_empty(),
        "{} of {} series:\n{}",
        wrong.len(),
        truth.len(),
        wrong[..wrong.len().min(30)].join("\n")
    );
}

/// What the rules have recorded of the whole organization.
pub async fn recorded_rules_rise_by(truth: &BTreeMap<String, f64>, prometheus: &Prometheus, scope: &Scope) {
    let is =
        |label: &'static str, values: &'static [&'static str]| move |of: &Labels| values.contains(&of[label].as_str());
    let outcomes = "agntix_session_outcomes_total";
    let judged = is("resolution", &["resolved", "partially_resolved", "unresolved"]);
    let rated = is("sentiment", &["positive", "neutral", "negative"]);
    let expected = [
        ("agntix:sessions_started:sum", "", sum(truth, "agntix_sessions_started_total", |_| true)),
        ("agntix:sessions_judged:sum", "unresolved", sum(truth, outcomes, judged)),
        ("agntix:sessions_judged:sum", "negative", sum(truth, outcomes, rated)),
        ("agntix:sessions_bad:sum", "unresolved", sum(truth, outcomes, is("resolution", &["unresolved"]))),
        ("agntix:sessions_bad:sum", "negative", sum(truth, outcomes, is("sentiment", &["negative"]))),
    ];
    for (rule, signal, truth) in expected {
        let selector = format!(r#"{rule}{{job="{}", agent_id="", signal="{signal}"}}"#, scope.job);
        // The newest are recorded a moment after what they are recorded from was scraped.
        let live = format!("{selector} and (timestamp({selector}) > time() - 10)");
        prometheus.query_until(&live, |found| found.len() == 1).await;
        let span = Span::of(prometheus, &selector, &scope.range).await;
        let risen = span.increase(prometheus, &selector).await;
        assert!(risen.len() == 1 && is_near(risen[0].1, truth), "{selector}: {risen:?}, truly {truth}");
    }
}
