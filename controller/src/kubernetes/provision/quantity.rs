//! Kubernetes quantities: how a claim says how many bytes it wants, and how a volume says how many it has.

/// Why a text is not a number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QuantityError {
    /// Not the syntax of a quantity.
    #[error("\"{0}\" is not a quantity")]
    Syntax(String),
    /// Not representable in 63 bits.
    #[error("\"{0}\" is negative or larger than 8 EiB")]
    Range(String),
}

const BINARY: [(&str, u32); 6] = [("Ki", 1), ("Mi", 2), ("Gi", 3), ("Ti", 4), ("Pi", 5), ("Ei", 6)];
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

/// Bytes of a quantity such as `1Gi`, `1.5G`, `1e9` or `128974848000m`; fractions of a byte are rounded up, as the API
/// server does.
pub(crate) fn parse_bytes(text: &str) -> Result<i64, QuantityError> {
    let syntax = || QuantityError::Syntax(text.to_owned());
    let range = || QuantityError::Range(text.to_owned());
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if unsigned.starts_with('-') {
        return Err(range());
    }
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(syntax());
    }
    let digits: u128 = match format!("{whole}{fraction}").trim_start_matches('0') {
        "" => 0,
        significant => significant.parse().map_err(|_| range())?,
    };
    let places = i32::try_from(fraction.len()).map_err(|_| syntax())?;
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        let scaled = digits.checked_mul(1024_u128.pow(*power)).ok_or_else(range)?;
        return scale(scaled, -places).ok_or_else(range);
    }
    let exponent = match DECIMAL.iter().find(|(name, _)| *name == suffix) {
        Some((_, exponent)) => *exponent,
        None => suffix.strip_prefix(['e', 'E']).and_then(|digits| digits.parse().ok()).ok_or_else(syntax)?,
    };
    scale(digits, exponent.saturating_sub(places)).ok_or_else(range)
}

/// `value * 10^exponent`, rounded up.
fn scale(value: u128, exponent: i32) -> Option<i64> {
    let power = 10_u128.checked_pow(exponent.unsigned_abs());
    let scaled = match (exponent < 0, power) {
        _ if value == 0 => 0,
        (false, power) => value.checked_mul(power?)?,
        (true, Some(power)) => value.div_ceil(power),
        (true, None) => 1,
    };
    i64::try_from(scaled).ok()
}

/// Bytes in the canonical binary form that external-provisioner writes: the largest unit that divides them.
pub(crate) fn format_bytes(bytes: i64) -> String {
    let unit = BINARY.iter().rev().find(|(_, power)| bytes != 0 && bytes % 1024_i64.pow(*power) == 0);
    match unit {
        Some((name, power)) => format!("{}{name}", bytes / 1024_i64.pow(*power)),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suffix_of_a_quantity_is_read() {
        for (text, bytes) in [
            ("0", 0),
            ("1", 1),
            ("1Ki", 1 << 10),
            ("1Mi", 1 << 20),
            ("1Gi", 1 << 30),
            ("1.5Gi", 3 << 29),
            ("1Ti", 1 << 40),
            ("1Pi", 1 << 50),
            ("1Ei", 1 << 60),
            ("1k", 1_000),
            ("5M", 5_000_000),
            ("2G", 2_000_000_000),
            ("1T", 1_000_000_000_000),
            ("1P", 1_000_000_000_000_000),
            ("1E", 1_000_000_000_000_000_000),
            ("1e3", 1_000),
            ("1E3", 1_000),
            ("12e-1", 2),
            ("+7", 7),
            (".5Ki", 512),
            ("128974848000m", 128_974_848),
            ("1n", 1),
            ("1e-40", 1),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_of_bytes_is_refused() {
        for text in ["", "Gi", "1Qi", "1 Gi", "1.2.3", "e3", "1e", "0x10"] {
            assert_eq!(parse_bytes(text), Err(QuantityError::Syntax(text.to_owned())), "{text}");
        }
        for text in ["-1", "8Ei", "16Ei", "1e30", "99999999999999999999999999999999999999999999"] {
            assert_eq!(parse_bytes(text), Err(QuantityError::Range(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn bytes_are_written_in_the_largest_unit_that_divides_them() {
        for (bytes, text) in [
            (0, "0"),
            (1, "1"),
            (1000, "1000"),
            (1 << 10, "1Ki"),
            (1 << 30, "1Gi"),
            (3 << 29, "1536Mi"),
            ((1 << 30) + 1, "1073741825"),
            (5_000_000, "5000000"),
        ] {
            assert_eq!(format_bytes(bytes), text);
        }
    }
}
