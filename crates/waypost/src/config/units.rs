//! Values with units, as people write them: `"10s"`, `"7d"`, `"32MiB"`,
//! `"forever"`.

use std::{borrow::Cow, fmt, net::IpAddr, time::Duration};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A number of bytes: `"32MiB"`, `"64 KiB"`, or a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub usize);

/// How long something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Until somebody deletes it.
    Forever,
    For(Duration),
}

/// Reads `"1h30m"`: numbers with units, without spaces or fractions.
pub fn parse_duration(text: &str) -> Option<Duration> {
    const UNITS: &[(&str, u64)] = &[
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*factor)?)?;
        rest = tail;
    }
    (!text.trim().is_empty()).then(|| Duration::from_millis(total))
}

/// Writes a duration in the largest unit that is exact.
pub fn format_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let exact = |unit: u128| (ms > 0 && ms.is_multiple_of(unit)).then(|| ms / unit);
    for (name, unit) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
    ] {
        if let Some(number) = exact(unit) {
            return format!("{number}{name}");
        }
    }
    format!("{ms}ms")
}

/// Networks as people write them: `10.0.0.0/8`, or one address.
pub fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    let read = |text: &String| {
        let one = || text.parse::<IpAddr>().ok().map(IpNet::from);
        text.parse::<IpNet>().ok().or_else(one).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is no network: write an address and the length of its prefix, like \"10.0.0.0/8\", or one address"
            ))
        })
    };
    Vec::<String>::deserialize(from)?.iter().map(read).collect()
}

/// How a duration stands in the configuration: `#[serde(with =
/// "units::duration")]`. A type, not a module, so that the schema of a field
/// that says so is known too.
#[expect(non_camel_case_types, reason = "it stands where a module would")]
pub enum duration {}

impl duration {
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from).map_err(|_| {
            D::Error::custom(
                "a duration is a number and a unit (ms, s, m, h, d) in quotes, like \"30s\"",
            )
        })?;
        parse_duration(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is no duration: write a number and a unit (ms, s, m, h, d), like \"30s\""
            ))
        })
    }

    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format_duration(*duration))
    }
}

impl JsonSchema for duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "duration"})
    }
}

impl JsonSchema for Keep {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Keep".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "duration, or \"forever\""})
    }
}

impl JsonSchema for ByteSize {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "size"})
    }
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text == "forever" {
            return Ok(Self::Forever);
        }
        parse_duration(&text).map(Self::For).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is no duration: write \"30d\", or \"forever\""
            ))
        })
    }
}

impl Serialize for Keep {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Forever => to.serialize_str("forever"),
            Self::For(duration) => to.serialize_str(&format_duration(*duration)),
        }
    }
}

impl ByteSize {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.parse::<usize>().ok()?.checked_mul(factor).map(Self)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n > 0 && n % (1 << 20) == 0 => write!(f, "{}MiB", n >> 20),
            n if n > 0 && n % (1 << 10) == 0 => write!(f, "{}KiB", n >> 10),
            n => write!(f, "{n}B"),
        }
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(usize),
            Text(String),
        }
        match Form::deserialize(from)? {
            Form::Number(bytes) => Ok(Self(bytes)),
            Form::Text(text) => Self::parse(&text).ok_or_else(|| {
                D::Error::custom(format!(
                    "`{text}` is no size: write a number and B, KiB, MiB or GiB, like \"32MiB\""
                ))
            }),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, ms) in [
            ("10s", 10_000),
            ("500ms", 500),
            ("7d", 604_800_000),
            ("1h30m", 5_400_000),
            ("0", 0),
        ] {
            let read = parse_duration(text).expect(text);
            assert_eq!(read, Duration::from_millis(ms));
            assert_eq!(parse_duration(&format_duration(read)), Some(read));
        }
        for text in [
            "",
            "10",
            "s",
            "1.5s",
            "-1s",
            "10 s",
            "1y",
            "99999999999999999d",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in [("32MiB", 32 << 20), ("64 KiB", 64 << 10), ("17", 17)] {
            let read = ByteSize::parse(text).expect(text);
            assert_eq!(read, ByteSize(bytes));
            assert_eq!(ByteSize::parse(&read.to_string()), Some(read));
        }
        for text in ["", "MiB", "1MB", "-1", "99999999999GiB"] {
            assert_eq!(ByteSize::parse(text), None, "{text}");
        }
    }
}
