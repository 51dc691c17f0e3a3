//! False alarms by kind of nuisance, and how soon incidents are found, for volume, handle time and intents: in the models, half a minute a seed.

use std::fmt::Write as _;
use std::ops::Range;

use fastrand::Rng;

use super::activity::{Activity, Fault, Trouble};
use super::judging::per;
use super::nuisance::{DAY, Life, Nuisance, WEEK, seeded};
use super::replay::AGENTS;
use super::spans::{self, Spans};
use super::{handle_time, intents, volume};

const SHARES: [f64; 3] = [0.15, 0.3, 0.5];
const LEARNED: usize = 4;
const SCORED: usize = 4;
const COLUMNS: usize = 7;
/// How long an incident lasts on each agent, and how long after it an alert is still about it, in minutes.
const INCIDENTS: [(usize, usize); 3] = [(120, 60), (360, 360), (2 * DAY, DAY)];
const TROUBLES: [Trouble; 4] =
    [Trouble::Slow(2.0), Trouble::Intent(1, 0.85), Trouble::Volume(0.0), Trouble::Volume(4.0)];
const INCIDENTS_A_SEED: usize = 4;

/// Both tables, over these seeds.
pub fn measure(seeds: Range<u64>) -> String {
    let mut text = String::new();
    nuisances(seeds.clone(), &mut text);
    incidents(seeds, &mut text);
    text
}

fn nuisances(seeds: Range<u64>, text: &mut String) {
    text.push_str(
        "| alarms a week | silent (critical) | missing | flood | handle time | intents, 15 % | 30 % | 50 % |\n",
    );
    writeln!(text, "| --- |{}", " --- |".repeat(COLUMNS)).unwrap();
    let weeks = usize::try_from(seeds.end - seeds.start).unwrap() * SCORED;
    let mut means = [[0.0; COLUMNS]; AGENTS.len()];
    for nuisance in Nuisance::ALL {
        for (number, (name, sessions_per_day, of)) in AGENTS.iter().enumerate() {
            let mut counts = [0; COLUMNS];
            for seed in seeds.clone() {
                for (place, share) in SHARES.into_iter().enumerate() {
                    let minutes = (LEARNED + SCORED) * WEEK;
                    let life = Life {
                        nuisance,
                        share,
                        sessions_per_day: *sessions_per_day,
                        minutes,
                        calm: LEARNED * WEEK,
                        incident: None,
                    };
                    let activity =
                        Activity::draw(&life, *of, &[], &mut seeded(seed, [nuisance as usize, number, place]));
                    // Neither volume nor handle time depends on the share.
                    if place == 0 {
                        let volume = volume::judge(&activity.started, LEARNED * WEEK);
                        let shifts = handle_time::judge(&activity, LEARNED * WEEK);
                        for (count, fires) in
                            counts.iter_mut().zip([volume.silent, volume.missing, volume.flood, shifts])
                        {
                            *count += fires.len();
                        }
                    }
                    let fires: Spans = intents::judge(&activity, LEARNED * WEEK).into_iter().flatten().collect();
                    counts[4 + place] += spans::merged(fires, 5).len();
                }
            }
            write!(text, "| {}, {name} |", nuisance.name()).unwrap();
            for (count, mean) in counts.into_iter().zip(&mut means[number]) {
                write!(text, " {:.2} |", per(count, weeks)).unwrap();
                *mean += per(count, weeks * Nuisance::ALL.len());
            }
            text.push('\n');
        }
    }
    for ((name, ..), means) in AGENTS.iter().zip(means) {
        write!(text, "| **mean, {name}** |").unwrap();
        for mean in means {
            write!(text, " {mean:.2} |").unwrap();
        }
        text.push('\n');
    }
    text.push('\n');
}

fn incidents(seeds: Range<u64>, text: &mut String) {
    text.push_str("| found, median minutes | handle time × 2 | one intent 85 % unresolved | silence | flood × 4 |\n");
    text.push_str("| --- | --- | --- | --- | --- |\n");
    for nuisance in [Nuisance::None, Nuisance::Rhythm, Nuisance::StrongRhythm, Nuisance::Wander, Nuisance::OpeningHours]
    {
        for (number, (name, sessions_per_day, of)) in AGENTS.iter().enumerate() {
            write!(text, "| {}, {name} |", nuisance.name()).unwrap();
            for (place, trouble) in TROUBLES.into_iter().enumerate() {
                let mut found = Vec::new();
                let mut all = 0;
                for seed in seeds.clone() {
                    for n in 0..INCIDENTS_A_SEED {
                        let mut rng = seeded(seed, [nuisance as usize * 10 + number, place, n]);
                        let from = begin(nuisance, &mut rng);
                        let (minutes, settle) = INCIDENTS[number];
                        let life = Life {
                            nuisance,
                            share: 0.15,
                            sessions_per_day: *sessions_per_day,
                            minutes: 6 * WEEK,
                            calm: LEARNED * WEEK,
                            incident: None,
                        };
                        let activity = Activity::draw(&life, *of, &[Fault { trouble, from, minutes }], &mut rng);
                        let within = |at: &usize| (from..from + minutes + settle).contains(at);
                        all += 1;
                        found.extend(
                            fires(trouble, &activity)
                                .iter()
                                .map(|span| span.0)
                                .filter(within)
                                .min()
                                .map(|at| at - from),
                        );
                    }
                }
                found.sort_unstable();
                let median = found.get(all / 2).map_or("–".to_owned(), ToString::to_string);
                write!(text, " {} of {all}, {median} |", found.len()).unwrap();
            }
            text.push('\n');
        }
    }
}

/// At any minute of a week, but while the agent is there.
fn begin(nuisance: Nuisance, rng: &mut Rng) -> usize {
    loop {
        let from = LEARNED * WEEK + rng.usize(0..5 * DAY);
        if nuisance != Nuisance::OpeningHours || (9..15).contains(&(from % DAY / 60)) {
            return from;
        }
    }
}

fn fires(trouble: Trouble, activity: &Activity) -> Spans {
    let from = LEARNED * WEEK;
    match trouble {
        Trouble::Slow(_) => handle_time::judge(activity, from),
        Trouble::Intent(number, _) => intents::judge(activity, from).swap_remove(number),
        Trouble::Volume(times) => {
            let volume = volume::judge(&activity.started, from);
            if times > 1.0 { volume.flood } else { [volume.silent, volume.missing].concat() }
        }
        Trouble::Unresolved(_) => Vec::new(),
    }
}
