//! Figures in 16 bits, to three significant decimal figures.
//!
//! Owns the encoding: bit 15 is the sign; the rest is one more than `(exponent - EXPONENT_MIN) *
//! 1000 + mantissa` with a mantissa of 0 to 999, so that what has three figures (12.3, 850, 0.01)
//! comes back exact, and code 0 is no value, which is what fresh memory and a file's holes hold.
//! Promises: between 1e-7 and 9.99e24 the relative error is at most 0.5 %; smaller ones are within
//! 5e-10 of the truth, larger ones become the largest; what is not finite becomes no value; a
//! larger figure never gets a code that decodes to a smaller one; any 16 bits decode to something.
//! May import: nothing.

/// A figure in 16 bits, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal(u16);

/// Steps of a billionth: below every unit's last decimal.
const EXPONENT_MIN: i32 = -9;
/// The last exponent whose codes fit 15 bits: 31 * 1000 + 999 + 1 < 32768.
const EXPONENT_MAX: i32 = EXPONENT_MIN + 31;
const SIGN: u16 = 0x8000;

/// Powers of ten for every exponent that a code can have, the unused ones at its end included.
/// Those up to 1e22 are exact, which `powi` does not promise.
const POWERS: [f64; 24] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22, 1e23,
];

impl Decimal {
    /// No value.
    pub(super) const NONE: Decimal = Decimal(0);

    pub(super) fn encode(figure: Option<f64>) -> Decimal {
        let Some(figure) = figure.filter(|figure| figure.is_finite()) else {
            return Decimal::NONE;
        };
        let size = figure.abs();
        // The binary exponent tells the decimal one, or the one below it: log10(2) = 1233 / 4096,
        // less a little. A mantissa that is too long settles it.
        let binary = (size.to_bits() >> 52) as i32 - 1023;
        let estimate = ((binary * 1233) >> 12) - 2;
        let mut exponent = estimate.clamp(EXPONENT_MIN, EXPONENT_MAX);
        let mut mantissa = mantissa(size, exponent);
        while mantissa > 999 && exponent < EXPONENT_MAX {
            exponent += 1;
            mantissa = self::mantissa(size, exponent);
        }
        let code = 1 + (exponent - EXPONENT_MIN) as u16 * 1000 + mantissa.min(999) as u16;
        // Zero has one code, without a sign.
        let sign = if figure < 0.0 && code != 1 { SIGN } else { 0 };
        Decimal(sign | code)
    }

    pub(super) fn decode(self) -> Option<f64> {
        let code = (self.0 & !SIGN).checked_sub(1)?;
        let size = scale(f64::from(code % 1000), i32::from(code / 1000) + EXPONENT_MIN);
        Some(if self.0 & SIGN == 0 { size } else { -size })
    }

    pub(super) const fn from_bits(bits: u16) -> Decimal {
        Decimal(bits)
    }

    pub(super) const fn bits(self) -> u16 {
        self.0
    }
}

/// `size / 10^exponent`, rounded to whole numbers; the largest there is if it is more than that.
fn mantissa(size: f64, exponent: i32) -> u32 {
    (scale(size, -exponent) + 0.5) as u32
}

/// `value * 10^power`; a negative power divides, which is exact where multiplying by 0.1 is not.
fn scale(value: f64, power: i32) -> f64 {
    let factor = POWERS[power.unsigned_abs() as usize];
    if power < 0 { value / factor } else { value * factor }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(figure: f64) -> f64 {
        Decimal::encode(Some(figure)).decode().unwrap()
    }

    #[test]
    fn three_figures_come_back_exact() {
        for figure in [0.0, 0.01, 0.1, 1.0, 12.3, 99.9, 100.0, 999.0, 1e3, 1.23e12, -4.5, 9.99e24] {
            assert_eq!(kept(figure), figure);
        }
        for tenth in 0..=1000 {
            assert_eq!(kept(f64::from(tenth) / 10.0), f64::from(tenth) / 10.0);
        }
    }

    #[test]
    fn a_carry_goes_into_the_exponent() {
        assert_eq!(kept(999.6), 1000.0);
        assert_eq!(kept(99.96), 100.0);
    }

    #[test]
    fn the_ends_of_the_range_saturate_and_nonsense_is_no_value() {
        assert_eq!(kept(1e300), 9.99e24);
        assert_eq!(kept(-1e300), -9.99e24);
        assert_eq!(kept(1e-300), 0.0);
        assert!(kept(-1e-300).is_sign_positive());
        for nothing in [None, Some(f64::NAN), Some(f64::INFINITY)] {
            assert_eq!(Decimal::encode(nothing).decode(), None);
        }
    }

    proptest! {
        #[test]
        fn the_relative_error_is_at_most_half_a_percent(
            mantissa in 1.0f64..10.0, exponent in -7i32..24, negative: bool
        ) {
            let size = mantissa * 10f64.powi(exponent);
            let figure = if negative { -size } else { size };
            prop_assert!((kept(figure) - figure).abs() <= size * 0.005_000_001);
        }

        #[test]
        fn order_is_kept(one: f64, other: f64) {
            let (low, high) = (one.min(other), one.max(other));
            prop_assert!(kept(low) <= kept(high));
        }

        #[test]
        fn close_figures_keep_their_order(
            bits in 0u64..0x7fef_ffff_ffff_ffff, apart in 0u64..1 << 46
        ) {
            let (low, high) = (f64::from_bits(bits), f64::from_bits(bits.saturating_add(apart)));
            prop_assume!(high.is_finite());
            prop_assert!(kept(low) <= kept(high));
        }

        #[test]
        fn any_bits_decode(bits: u16) {
            prop_assert!(Decimal::from_bits(bits).decode().is_none_or(f64::is_finite));
        }

        #[test]
        fn keeping_twice_is_keeping_once(bits: u64) {
            let once = Decimal::encode(Some(f64::from_bits(bits)));
            prop_assert_eq!(Decimal::encode(once.decode()), once);
        }
    }
}
