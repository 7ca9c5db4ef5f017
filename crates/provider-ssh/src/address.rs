//! Endpoints as they stand in manifests.

/// sshd's port where an endpoint names none.
const PORT: u16 = 22;

/// Host and port of `ssh://host:port`; none where the text is no such endpoint.
pub fn address(endpoint: &str) -> Option<(String, u16)> {
    let rest = endpoint.strip_prefix("ssh://")?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, port)| (host, port.strip_prefix(':')))?,
        None => match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    let port = port.map_or(Some(PORT), |port| port.parse().ok().filter(|port| *port > 0))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':');
    (!host.is_empty() && !host.starts_with('-') && host.chars().all(plain)).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_perhaps_a_port() {
        for (written, expected) in [
            ("ssh://room-2", Some(("room-2", 22))),
            ("ssh://room-2/", Some(("room-2", 22))),
            ("ssh://10.13.10.5:2222", Some(("10.13.10.5", 2222))),
            ("ssh://[fd00::2]", Some(("fd00::2", 22))),
            ("ssh://[fd00::2]:2222", Some(("fd00::2", 2222))),
            ("ssh://root@room-2", None),
            ("ssh://-oProxyCommand=x", None),
            ("ssh://room-2:0", None),
            ("ssh://room-2:x", None),
            ("ssh://", None),
            ("https://room-2", None),
            ("", None),
        ] {
            assert_eq!(address(written), expected.map(|(host, port)| (host.to_owned(), port)), "{written}");
        }
    }
}
