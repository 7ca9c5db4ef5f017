//! How long ago something was, as kubectl writes it: the shorter it is, the more exactly.

use jiff::Timestamp;

/// The time between the two in at most two units, such as `4m`, `2m40s` or `3d2h`.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |first: i64, one: &str, rest: i64, other: &str| match rest {
        0 => format!("{first}{one}"),
        rest => format!("{first}{one}{rest}{other}"),
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        _ => two(days / 365, "y", days % 365, "d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_as_kubectl_writes_it() {
        for (seconds, expected) in [
            (-5, "0s"),
            (119, "119s"),
            (160, "2m40s"),
            (240, "4m"),
            (3599, "59m"),
            (10_860, "3h1m"),
            (86_400, "24h"),
            (259_200, "3d"),
            (270_000, "3d3h"),
            (8_640_000, "100d"),
            (63_072_000 + 86_400, "2y1d"),
        ] {
            let now = Timestamp::from_second(1_000_000_000).unwrap();
            let since = Timestamp::from_second(1_000_000_000 - seconds).unwrap();
            assert_eq!(age(since, now), expected, "{seconds} s");
        }
    }
}
