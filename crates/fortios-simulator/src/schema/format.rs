//! Texts with a form: how they are checked, and how FortiOS writes them back.

use std::net::Ipv4Addr;

/// The form of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `10.0.0.1`
    Address,
    /// `10.0.0.0 255.255.255.0`, with the host's bits cleared (`ipv4-classnet`).
    Network,
    /// `10.0.0.1 255.255.255.0`, with the host's bits kept (`ipv4-classnet-host`).
    Host,
    /// `10.0.0.1` or `10.0.0.1-10.0.0.9`; a range of one is written as one address.
    Range,
    /// `80`, `80-81`
    Port,
    /// `80 443-444:1024-65535`: destination ports, each with its source ports where given.
    Ports,
    /// `08:00`
    TimeOfDay,
    /// `08:00 2026/01/31`
    Moment,
    /// `00:50:56:00:00:01`
    Mac,
    /// Six binary digits.
    Dscp,
    /// `0x00`
    Octet,
    /// Seconds, or one of the words `never` and `default`.
    SessionTtl,
}

impl Format {
    /// The normal form of `text`, or `None` when it has not the form.
    pub(crate) fn normalise(self, text: &str) -> Option<String> {
        match self {
            Self::Address => text.parse::<Ipv4Addr>().ok().map(|address| address.to_string()),
            Self::Network => network(text).map(|(address, mask)| {
                format!("{} {mask}", Ipv4Addr::from_bits(address.to_bits() & mask.to_bits()))
            }),
            Self::Host => network(text).map(|(address, mask)| format!("{address} {mask}")),
            Self::Range => range(text),
            Self::Port => port_range(text, '-'),
            Self::Ports => {
                let ports: Option<Vec<String>> = text.split_whitespace().map(ports).collect();
                ports.map(|ports| ports.join(" "))
            }
            Self::TimeOfDay => time_of_day(text),
            Self::Moment => moment(text),
            Self::Mac => mac(text),
            Self::Dscp => (text.len() == 6 && text.bytes().all(|digit| matches!(digit, b'0' | b'1')))
                .then(|| text.to_owned()),
            Self::Octet => octet(text),
            Self::SessionTtl => {
                (matches!(text, "never" | "default") || text.parse::<u32>().is_ok()).then(|| text.to_owned())
            }
        }
    }
}

/// An address and its mask, from `a/24`, `a m.m.m.m`, `a/m.m.m.m` or `a`.
pub(crate) fn network(text: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (address, mask) = text.split_once(['/', ' ']).unwrap_or((text, "32"));
    let address: Ipv4Addr = address.parse().ok()?;
    let mask = mask.trim();
    let mask = match mask.parse::<u32>() {
        Ok(length @ 0..=32) => Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - length).unwrap_or(0)),
        Ok(_) => return None,
        Err(_) => mask.parse::<Ipv4Addr>().ok()?,
    };
    let bits = mask.to_bits();
    (bits.leading_ones() + bits.trailing_zeros() >= 32).then_some((address, mask))
}

fn range(text: &str) -> Option<String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let first: Ipv4Addr = first.trim().parse().ok()?;
    let last: Ipv4Addr = last.trim().parse().ok()?;
    match first.cmp(&last) {
        std::cmp::Ordering::Less => Some(format!("{first}-{last}")),
        std::cmp::Ordering::Equal => Some(first.to_string()),
        std::cmp::Ordering::Greater => None,
    }
}

fn port_range(text: &str, separator: char) -> Option<String> {
    let (first, last) = text.split_once(separator).unwrap_or((text, text));
    let first: u16 = first.parse().ok()?;
    let last: u16 = last.parse().ok()?;
    match first.cmp(&last) {
        std::cmp::Ordering::Less => Some(format!("{first}-{last}")),
        std::cmp::Ordering::Equal => Some(first.to_string()),
        std::cmp::Ordering::Greater => None,
    }
}

fn ports(text: &str) -> Option<String> {
    match text.split_once(':') {
        None => port_range(text, '-'),
        Some((destination, source)) => {
            Some(format!("{}:{}", port_range(destination, '-')?, port_range(source, '-')?))
        }
    }
}

fn time_of_day(text: &str) -> Option<String> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute): (u8, u8) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then(|| format!("{hour:02}:{minute:02}"))
}

fn moment(text: &str) -> Option<String> {
    let (time, date) = text.split_once(' ')?;
    let time = time_of_day(time)?;
    let mut parts = date.splitn(3, '/');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let (year, month, day): (i16, i8, i8) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    let date = jiff::civil::Date::new(year, month, day).ok()?;
    Some(format!("{time} {}", date.strftime("%Y/%m/%d")))
}

fn mac(text: &str) -> Option<String> {
    let octets: Vec<&str> = text.split([':', '-']).collect();
    let well = octets.len() == 6 && octets.iter().all(|octet| u8::from_str_radix(octet, 16).is_ok());
    well.then(|| octets.join(":").to_lowercase())
}

fn octet(text: &str) -> Option<String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u8::from_str_radix(digits, 16).ok().map(|value| format!("0x{value:02x}"))
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn texts_are_written_back_as_fortios_writes_them() {
        let rows = [
            (Format::Network, "10.0.0.0/24", Some("10.0.0.0 255.255.255.0"), "a prefix becomes a mask"),
            (Format::Network, "10.0.0.7 255.255.255.0", Some("10.0.0.0 255.255.255.0"), "host bits go"),
            (Format::Network, "0.0.0.0/0", Some("0.0.0.0 0.0.0.0"), "everything"),
            (Format::Network, "10.0.0.1", Some("10.0.0.1 255.255.255.255"), "an address is its own network"),
            (Format::Network, "10.0.0.0 255.0.255.0", None, "a mask without holes"),
            (Format::Network, "10.0.0.0/33", None, "no such prefix"),
            (Format::Host, "10.0.0.7/24", Some("10.0.0.7 255.255.255.0"), "an interface keeps its host bits"),
            (Format::Range, "10.0.0.1-10.0.0.1", Some("10.0.0.1"), "a range of one"),
            (Format::Range, "10.0.0.2-10.0.0.1", None, "backwards"),
            (Format::Ports, "80 443-444", Some("80 443-444"), "several"),
            (Format::Ports, "80-80:1-65535", Some("80:1-65535"), "with source ports"),
            (Format::Ports, "80,443", None, "commas are the GUI's"),
            (Format::Ports, "70000", None, "not a port"),
            (Format::TimeOfDay, "8:00", Some("08:00"), "two digits"),
            (Format::TimeOfDay, "24:00", None, "there is no such hour"),
            (Format::Moment, "08:00 2026/01/31", Some("08:00 2026/01/31"), "a day"),
            (Format::Moment, "08:00 2026/02/31", None, "no such day"),
        ];
        for (format, given, expected, reason) in rows {
            assert_eq!(format.normalise(given).as_deref(), expected, "{reason}: {given}");
        }
    }
}
