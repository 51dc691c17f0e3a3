//! What is written, decided before anything is asked of the API; and what is refused, because it would be lost or do harm. Pure.

use std::time::Duration;

use super::arguments::BackfillOptions;
use super::prometheus::PrometheusSeen;
use super::samples::SampleTimes;
use crate::clock::Timestamp;

/// Prometheus keeps so much in its head: a block that reaches into it takes the samples of other targets away at the next start.
const HEAD: Duration = Duration::from_secs(3 * 3600);
/// Sessions that began so long before the history and end in it are counted as well.
const MARGIN: Duration = Duration::from_secs(86_400);

/// What the state says of where the live counters begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LiveBegin {
    /// When the daemon first started.
    pub first_start: Timestamp,
    /// The starting values are known.
    pub has_starting_values: bool,
}

/// The state, as far as a plan depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LiveState {
    /// There is none.
    None,
    /// The daemon has not finished its look-back.
    Unfinished,
    /// The live counters have begun.
    Begun(LiveBegin),
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub times: SampleTimes,
    /// Sessions created from here on are listed.
    pub list_from: Timestamp,
    /// Sessions created before then belong to the history.
    pub until: Timestamp,
    /// Where the live counters begin, if the history reaches there.
    pub junction: Option<Timestamp>,
}

/// Decides what is written at `now`, or refuses it with a sentence. `window` is `sessions.recent_window`.
pub(super) fn plan(
    options: &BackfillOptions,
    live: LiveState,
    window: Duration,
    daemon_share: f64,
    prometheus: Option<&PrometheusSeen>,
    now: Timestamp,
) -> Result<Plan, String> {
    if daemon_share + options.budget_share > 1.0 {
        return Err(format!(
            "--budget-share {} and api.budget_share {daemon_share} come to more than the organization's limit; give 1 or less in sum",
            options.budget_share
        ));
    }
    let (fall, end, until) = ends(options, live, window)?;
    if options.from >= fall {
        return Err(format!("--from {} is not before {fall}, where the history ends", options.from));
    }
    let newest = end.unwrap_or(fall);
    if newest > now {
        return Err(format!("the history would end at {newest}, which is yet to come; end it before {now}"));
    }
    // A Prometheus that was asked says where its head begins.
    let limit = now.minus(HEAD);
    if prometheus.is_none() && newest > limit {
        let hours = HEAD.as_secs() / 3600;
        return Err(match options.to {
            Some(to) => format!(
                "--to {to} is less than {hours} h ago: a block that reaches into what Prometheus has in memory takes other targets' samples away; end at {limit}, or let --prometheus.url say since when it has them"
            ),
            None => format!(
                "the exporter first started at {newest}, less than {hours} h ago: a block that reaches into what Prometheus has in memory takes other targets' samples away; run it again after {}, or let --prometheus.url say since when it has them",
                newest.plus(HEAD)
            ),
        });
    }
    if let Some(seen) = prometheus {
        refused_by(seen, options.from, newest, now)?;
    }
    Ok(Plan {
        times: SampleTimes::new(options.from, options.step, fall, end),
        list_from: options.from.minus(MARGIN),
        until,
        junction: end,
    })
}

/// Where every series falls to 0, where it then ends, and until when sessions are counted.
fn ends(
    options: &BackfillOptions,
    live: LiveState,
    window: Duration,
) -> Result<(Timestamp, Option<Timestamp>, Timestamp), String> {
    let begin = match (live, options.to) {
        (LiveState::None, Some(to)) => return Ok((to, None, to)),
        (LiveState::None, None) => {
            return Err(
                "there is no state of the exporter, so that it is not known where its counters begin: start the exporter first, set state.path or state.url to what it uses, or name the end by --to"
                    .into(),
            );
        }
        (LiveState::Unfinished, _) => {
            return Err(
                "the exporter has not finished its first look-back, so that its starting values are not known: wait until /-/ready answers 200"
                    .into(),
            );
        }
        (LiveState::Begun(begin), _) => begin,
    };
    let LiveBegin { first_start, has_starting_values } = begin;
    let look_back = options.step.before(first_start.minus(window));
    match options.to {
        Some(to) if to > first_start => Err(format!(
            "--to {to} is after {first_start}, when the exporter first started: what ended later is in the live counters; leave --to out"
        )),
        Some(to) if to > look_back => Err(format!(
            "--to {to} lies in the look-back of the first start, from {look_back} to {first_start}; leave --to out to end at the live counters"
        )),
        Some(to) => Ok((to, None, to)),
        None if has_starting_values => Ok((look_back, Some(first_start), first_start)),
        None => Ok((look_back, None, first_start)),
    }
}

/// Why this Prometheus would not keep the history, or would lose something by it.
fn refused_by(seen: &PrometheusSeen, from: Timestamp, newest: Timestamp, now: Timestamp) -> Result<(), String> {
    if let Some(head) = seen.head_begins.filter(|head| newest > *head) {
        return Err(format!(
            "the history would reach to {newest}, and Prometheus has everything since {head} in memory: such a block takes other targets' samples away; end before that with --to, or wait until Prometheus has written it to disk"
        ));
    }
    let Some(retention) = seen.retention else { return Ok(()) };
    let oldest = now.minus(retention);
    if from < oldest {
        return Err(format!(
            "Prometheus keeps {}, so that samples before {oldest} would be deleted at once: begin later with --from, or raise --storage.tsdb.retention.time first",
            humantime::format_duration(retention)
        ));
    }
    Ok(())
}
