//! Numbers as both text formats spell them, and as a reader of the text has them. One value has one spelling, always: `le="1"` and `le="1.0"` would be two
//! series to Prometheus.

/// Appends an integer.
#[inline]
pub fn integer(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends `value / scale` as an exact decimal, without trailing zeros; `scale` is a power of ten.
#[inline]
pub fn scaled(out: &mut Vec<u8>, value: u64, scale: u64) {
    // Most series count in ones, and two divisions a line are felt on a large page.
    if scale <= 1 {
        return integer(out, value);
    }
    integer(out, value / scale);
    let mut fraction = value % scale;
    if fraction == 0 {
        return;
    }
    out.push(b'.');
    let mut digit = scale / 10;
    while fraction > 0 && digit > 0 {
        integer(out, fraction / digit);
        fraction %= digit;
        digit /= 10;
    }
}

/// The double that is nearest to `value / scale`: what a reader of [`scaled`] has.
#[inline]
#[expect(clippy::cast_precision_loss, reason = "both readers of a text and this round to the nearest double")]
pub fn nearest(value: u64, scale: u64) -> f64 {
    // Up to here both are exact, so that the quotient is rounded once.
    const EXACT: u64 = 1 << f64::MANTISSA_DIGITS;
    if scale <= 1 {
        return value as f64;
    }
    if value <= EXACT { value as f64 / scale as f64 } else { read(value, scale) }
}

#[cold]
fn read(value: u64, scale: u64) -> f64 {
    let mut text = Vec::new();
    scaled(&mut text, value, scale);
    // What is written here is a number.
    std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

/// Appends a point in time, given in milliseconds since the Unix epoch, as Unix seconds.
#[inline]
pub fn timestamp(out: &mut Vec<u8>, ms: i64) {
    if ms < 0 {
        out.push(b'-');
    }
    scaled(out, ms.unsigned_abs(), 1_000);
}

/// Appends a sample value: integers without a point, everything else the shortest way that reads back the same.
pub fn float(out: &mut Vec<u8>, value: f64) {
    // Up to here every integer is exact in a double, so the shorter spelling loses nothing.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "integral and below 2^53")]
        let whole = value as i64;
        out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    } else {
        canonical(out, value);
    }
}

/// Appends a bucket's bound as OpenMetrics' canonical numbers are spelled: always with a point or an exponent.
pub fn canonical(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else {
        // -0.0 + 0.0 is 0.0: zero has one spelling.
        out.extend_from_slice(ryu::Buffer::new().format_finite(value + 0.0).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bounds_have_one_spelling() {
        for (value, spelled) in [
            (0.0, "0.0"),
            (-0.0, "0.0"),
            (5.0, "5.0"),
            (-0.8, "-0.8"),
            (7200.0, "7200.0"),
            (f64::INFINITY, "+Inf"),
            (0.1, "0.1"),
        ] {
            assert_eq!(text(|o| canonical(o, value)), spelled);
        }
    }

    #[test]
    fn sums_are_exact_decimals() {
        for (value, scale, spelled) in [
            (9416, 1_000, "9.416"),
            (9000, 1_000, "9"),
            (5, 1_000, "0.005"),
            (1_050_000, 1_000_000, "1.05"),
            (u64::MAX, 1_000_000, "18446744073709.551615"),
            (7, 1, "7"),
            (0, 1_000, "0"),
        ] {
            assert_eq!(text(|o| scaled(o, value, scale)), spelled);
        }
        assert_eq!(text(|o| timestamp(o, 1_775_624_410_546)), "1775624410.546");
    }

    #[test]
    fn gauges_print_integers_as_integers() {
        for (value, spelled) in
            [(1.0, "1"), (-3.0, "-3"), (0.25, "0.25"), (f64::NAN, "NaN"), (f64::NEG_INFINITY, "-Inf"), (-0.0, "0")]
        {
            assert_eq!(text(|o| float(o, value)), spelled);
        }
    }

    proptest! {
        #[test]
        fn any_sum_is_the_double_that_its_text_reads_as(value: u64, shift in 0_u32..64, digits in 0_u32..10) {
            let (value, scale) = (value >> shift, 10_u64.pow(digits));
            let read: f64 = text(|o| scaled(o, value, scale)).parse().unwrap();
            prop_assert_eq!(nearest(value, scale).to_bits(), read.to_bits());
        }

        #[test]
        fn any_gauge_reads_back_the_same(value in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
            let read: f64 = text(|o| float(o, value)).parse().unwrap();
            // Zero has one spelling, so its sign is not kept.
            prop_assert_eq!(read.to_bits(), (value + 0.0).to_bits());
        }
    }
}
