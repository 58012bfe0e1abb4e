//! Small text rules shared by the parsers: strict base64url, quoting for operator sentences.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const MAX_QUOTED_CHARS: usize = 120;
/// The seconds of the years 1 to 9999, which RFC 3339 can write.
const WRITABLE_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Base64url as RFC 7515 §2 has it: no padding, no white space, and no stray trailing bits (two
/// spellings of one value would make two tokens of one).
pub(crate) fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

pub(crate) fn encode_base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Quotes a value that a token or a document brought, escaped and cut, so that it can neither
/// forge a log line nor fill one.
pub(crate) fn quote(value: &str) -> String {
    let mut quoted = String::from('"');
    quoted.extend(
        value
            .chars()
            .take(MAX_QUOTED_CHARS)
            .flat_map(char::escape_debug),
    );
    quoted.push_str(if value.chars().nth(MAX_QUOTED_CHARS).is_some() {
        "…\""
    } else {
        "\""
    });
    quoted
}

/// A time in Unix seconds as people read it (RFC 3339, UTC); as a number where that cannot be.
pub(crate) fn utc(seconds: i64) -> String {
    if !WRITABLE_SECONDS.contains(&seconds) {
        return format!("{seconds} s");
    }
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years from March of the year 0, so that the leap day is the last one: the 400 years of an
    // era have 146 097 days, and months of 31 and 30 days alternate in runs of five (153 days).
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..=9 => (era * 400 + year, month + 3),
        _ => (era * 400 + year + 1, month - 9),
    };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_has_them() {
        for (seconds, written) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_800_000_000, "2027-01-15T08:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-62_135_596_800, "0001-01-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (253_402_300_800, "253402300800 s"),
            (i64::MIN, "-9223372036854775808 s"),
        ] {
            assert_eq!(utc(seconds), written);
        }
    }

    #[test]
    fn base64url_is_strict() {
        assert_eq!(decode_base64url("-_8"), Some(vec![0xfb, 0xff]));
        for bad in ["-_8=", "+/8", "-_9", "-_ 8", "-_8\n", "A", "%2D"] {
            assert_eq!(decode_base64url(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn quoted_values_stay_on_one_short_line() {
        assert_eq!(quote("a\nb\"\u{1b}[31m"), r#""a\nb\"\u{1b}[31m""#);
        assert_eq!(
            quote(&"x".repeat(500)).chars().count(),
            MAX_QUOTED_CHARS + 3
        );
    }
}
