//! A figure in 16 bits with three significant decimal figures.
//!
//! Owns the encoding: bit 15 is the sign; the rest is `(exponent - EXPONENT_MIN) * 1000 + mantissa`
//! with a mantissa of 0 to 999, so that what has three figures (12.3, 850, 0.01) comes back exact.
//! Promises: between 1e-7 and 9.99e24 the relative error is at most 0.5 %; smaller ones are within
//! 5e-10 of the truth, larger ones become the largest; what is not finite becomes no value.
//! May import: nothing.

/// A figure in 16 bits, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal(u16);

/// Steps of a billionth: below every unit's last decimal.
const EXPONENT_MIN: i32 = -9;
/// The last exponent whose codes fit 15 bits: 31 * 1000 + 999 < 32768.
const EXPONENT_MAX: i32 = EXPONENT_MIN + 31;
const SIGN: u16 = 0x8000;

impl Decimal {
    /// No value. No figure has this code: figures end at 31999.
    pub(super) const NONE: Decimal = Decimal(u16::MAX);

    pub(super) fn encode(figure: Option<f64>) -> Decimal {
        let Some(figure) = figure.filter(|figure| figure.is_finite()) else {
            return Decimal::NONE;
        };
        let size = figure.abs();
        // The estimate may be one off at a power of ten; rounding settles it below.
        let estimate = if size > 0.0 { size.log10().floor() as i32 - 2 } else { EXPONENT_MIN };
        let mut exponent = estimate.clamp(EXPONENT_MIN, EXPONENT_MAX);
        let mut mantissa = scale(size, -exponent).round();
        if mantissa > 999.0 && exponent < EXPONENT_MAX {
            exponent += 1;
            mantissa = scale(size, -exponent).round();
        }
        let code = (exponent - EXPONENT_MIN) as u16 * 1000 + mantissa.min(999.0) as u16;
        // Zero has one code, without a sign.
        let sign = if figure < 0.0 && code != 0 { SIGN } else { 0 };
        Decimal(sign | code)
    }

    pub(super) fn decode(self) -> Option<f64> {
        if self == Decimal::NONE {
            return None;
        }
        let code = self.0 & !SIGN;
        let size = scale(f64::from(code % 1000), i32::from(code / 1000) + EXPONENT_MIN);
        Some(if self.0 & SIGN == 0 { size } else { -size })
    }
}

/// `value * 10^power`; a negative power divides, which is exact where multiplying by 0.1 is not.
fn scale(value: f64, power: i32) -> f64 {
    if power < 0 { value / 10f64.powi(-power) } else { value * 10f64.powi(power) }
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
        fn keeping_twice_is_keeping_once(bits: u64) {
            let once = Decimal::encode(Some(f64::from_bits(bits)));
            prop_assert_eq!(Decimal::encode(once.decode()), once);
        }
    }
}
