//! Repeatable chance: hashes of small numbers, and draws from a generator seeded with one.

use fastrand::Rng;

use crate::profile::Weighted;

/// Hashes a few numbers into one (splitmix64 over each in turn).
pub(crate) fn mix(words: &[u64]) -> u64 {
    words.iter().fold(0x6a09_e667_f3bc_c908, |hash, word| {
        let mut z = (hash ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// A hash as a number in 0..1.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
pub(crate) fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// The index of one value, drawn by weight; `None` from an empty list.
pub(crate) fn pick_index<T>(rng: &mut Rng, values: &Weighted<T>) -> Option<usize> {
    let total: f64 = values.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.f64() * total;
    for (index, (_, weight)) in values.iter().enumerate() {
        if left < *weight {
            return Some(index);
        }
        left -= weight;
    }
    values.len().checked_sub(1)
}

/// One value, drawn by weight; `None` from an empty list.
pub(crate) fn pick<'v, T>(rng: &mut Rng, values: &'v Weighted<T>) -> Option<&'v T> {
    pick_index(rng, values).and_then(|index| values.get(index)).map(|(value, _)| value)
}

/// A draw from a bell curve with mean 0 and standard deviation 1 (twelve uniform draws; never beyond ±6).
pub(crate) fn normal(rng: &mut Rng) -> f64 {
    (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0
}
