//! Who the device says that it is: in every envelope, and in what the monitor tells.

use std::fmt;
use std::str::FromStr;

/// A FortiOS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Firmware {
    /// 7
    pub major: u16,
    /// 4
    pub minor: u16,
    /// 8
    pub patch: u16,
}

impl Firmware {
    /// The version of that number.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// The build number that belongs to it; an invented one for versions that nobody asked for yet.
    pub fn build(self) -> u32 {
        match (self.major, self.minor, self.patch) {
            (7, 4, 8) => 2795,
            (7, 4, 1) => 2463,
            (7, 2, 8) => 1639,
            (major, minor, patch) => u32::from(major) * 300 + u32::from(minor) * 80 + u32::from(patch),
        }
    }

    /// Whether there are batch transactions by REST, with all that a client needs of them.
    pub fn has_transactions(self) -> bool {
        self >= Self::new(7, 4, 1)
    }

    /// Whether `?access_token=` is refused unless `rest-api-key-url-query` allows it.
    pub fn guards_url_tokens(self) -> bool {
        self >= Self::new(7, 4, 5)
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Firmware {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers: Result<Vec<u16>, _> = text.trim_start_matches('v').split('.').map(str::parse).collect();
        match numbers.as_deref() {
            Ok([major, minor, patch]) => Ok(Self::new(*major, *minor, *patch)),
            _ => Err(format!("{text} is not a version such as 7.4.8")),
        }
    }
}

/// The device.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `system global hostname` at the start.
    pub hostname: String,
    /// Its serial number.
    pub serial: String,
    /// The serial numbers of the other members of its HA cluster.
    pub peers: Vec<String>,
    /// Its version.
    pub firmware: Firmware,
}

impl Identity {
    /// The name of the model, as status pages give it.
    pub const MODEL: &'static str = "FGVM64";
}
