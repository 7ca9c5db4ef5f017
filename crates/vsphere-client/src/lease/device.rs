//! The disks of a lease: where each is read from or written to, and which of the VM's disks it is.

use reqwest::Url;

use super::{LeaseError, Pin};
use crate::xml::Element;
use crate::{Device, VirtualDisk};

/// A disk that a lease has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseDisk {
    /// As the lease names it, such as `/vm-42/ParaVirtualSCSIController0:1`.
    pub key: String,
    /// Where the disk hangs, read from the key.
    pub place: Place,
    /// The file's name, such as `disk-0.vmdk`.
    pub target: String,
    pub(crate) url: Url,
    /// The certificate that the host must show; none when vCenter's CA must cover it.
    pub(crate) pin: Option<Pin>,
    /// Whether it is vCenter itself that has it.
    pub(crate) own: bool,
}

/// A place for a disk in a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The controller's type, such as `ParaVirtualSCSIController`.
    pub controller: Box<str>,
    /// Its number among the controllers of its sort.
    pub bus_number: i32,
    /// The place at the controller.
    pub unit_number: i32,
}

impl LeaseDisk {
    /// Which of these devices it is: those of the snapshot, not of the VM as it is now.
    pub fn of<'a>(&self, devices: &'a [Device]) -> Option<&'a VirtualDisk> {
        let controller = devices.iter().find_map(|device| match device {
            Device::Controller(c)
                if c.kind == self.place.controller && c.bus_number == self.place.bus_number =>
            {
                Some(c.key)
            }
            _ => None,
        })?;
        devices.iter().find_map(|device| match device {
            Device::Disk(disk)
                if disk.controller_key == controller && disk.unit_number == self.place.unit_number =>
            {
                Some(disk)
            }
            _ => None,
        })
    }

    /// Host and port.
    pub(crate) fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

impl Place {
    /// Reads the end of a key: the controller's type and number, and the unit.
    fn read(key: &str) -> Option<Place> {
        let (controller, unit) = key.rsplit('/').next()?.rsplit_once(':')?;
        let kind = controller.trim_end_matches(|c: char| c.is_ascii_digit());
        Some(Place {
            controller: (!kind.is_empty()).then(|| kind.into())?,
            bus_number: controller[kind.len()..].parse().ok()?,
            unit_number: unit.parse().ok()?,
        })
    }
}

/// The disks in a lease's `info`; other files, such as `nvram`, are left out.
pub(crate) fn disks(info: &Element, vcenter: &str) -> Result<Vec<LeaseDisk>, LeaseError> {
    let is_disk = |file: &&Element| file.bool_at("disk").unwrap_or_else(|| file.get("targetId").is_some());
    info.all("deviceUrl").filter(is_disk).map(|file| read(file, vcenter)).collect()
}

fn read(file: &Element, vcenter: &str) -> Result<LeaseDisk, LeaseError> {
    let text = |path: &str| file.text_at(path).unwrap_or_default();
    let key = text("key");
    let wrong = |what: &str| LeaseError::Device(format!("{key}: {what}"));
    let place = Place::read(key).ok_or_else(|| wrong("its key does not tell its controller and unit"))?;
    // The parser of URLs takes no `*`.
    let url = text("url").replacen("://*", &format!("://{vcenter}"), 1);
    let url = Url::parse(&url).map_err(|error| wrong(&format!("its URL cannot be read: {error}")))?;
    if url.scheme() != "https" {
        return Err(wrong("its URL is not https, and a disk does not go over the network as plain text"));
    }
    let pin = match text("sslThumbprint") {
        "" => None,
        thumbprint => Some(Pin::read(thumbprint).ok_or_else(|| wrong("its thumbprint cannot be read"))?),
    };
    let own = pin.is_none() && url.host_str() == Some(vcenter);
    Ok(LeaseDisk { key: key.to_owned(), place, target: text("targetId").to_owned(), url, pin, own })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::parse;

    fn file(key: &str, url: &str, thumbprint: &str, disk: &str) -> String {
        format!(
            "<deviceUrl><key>{key}</key><importKey></importKey><url>{url}</url><sslThumbprint>{thumbprint}</sslThumbprint>\
             {disk}<targetId>disk-0.vmdk</targetId></deviceUrl>"
        )
    }

    fn read_one(key: &str, url: &str, thumbprint: &str) -> Result<LeaseDisk, LeaseError> {
        let info =
            parse(&format!("<info>{}</info>", file(key, url, thumbprint, "<disk>true</disk>"))).unwrap();
        disks(&info, "vcenter.example").map(|mut disks| disks.remove(0))
    }

    #[test]
    fn keys_tell_where_a_disk_hangs() {
        for (key, expected) in [
            ("/vm-13010/ParaVirtualSCSIController0:0", Some(("ParaVirtualSCSIController", 0, 0))),
            ("/vm-1/VirtualLsiLogicSASController3:15", Some(("VirtualLsiLogicSASController", 3, 15))),
            ("/16/VirtualIDEController1:0", Some(("VirtualIDEController", 1, 0))),
            ("/vm-1/nvram", None),
            ("/vm-1/VirtualIDEController:0", None),
            ("/vm-1/0:0", None),
            ("", None),
        ] {
            let place = Place::read(key);
            assert_eq!(
                place.as_ref().map(|p| (&*p.controller, p.bus_number, p.unit_number)),
                expected,
                "{key}"
            );
        }
    }

    #[test]
    fn a_star_stands_for_vcenter() {
        let key = "/vm-1/VirtualIDEController1:0";
        let print = "AB:".repeat(19) + "AB";
        for (url, thumbprint, host, own) in [
            ("https://*/nfc/5/disk-0.vmdk", "", "vcenter.example", true),
            ("https://*:8443/nfc/5/disk-0.vmdk", "", "vcenter.example:8443", true),
            ("https://vcenter.example/nfc/5/disk-0.vmdk", "", "vcenter.example", true),
            ("https://esx1.example/nfc/5/disk-0.vmdk", "", "esx1.example", false),
            ("https://10.0.0.1/nfc/5/disk-0.vmdk", &print, "10.0.0.1", false),
        ] {
            let disk = read_one(key, url, thumbprint).unwrap();
            assert_eq!(
                (disk.host().as_str(), disk.own, disk.pin.is_some()),
                (host, own, !thumbprint.is_empty()),
                "{url}"
            );
        }
        for (key, url, thumbprint, said) in [
            (key, "http://*/nfc/5/disk-0.vmdk", "", "plain text"),
            (key, "/nfc/5/disk-0.vmdk", "", "URL"),
            (key, "https://esx1.example/d", "AB:CD", "thumbprint"),
            ("/vm-1/VirtualDisk", "https://esx1.example/d", "", "controller"),
        ] {
            let error = read_one(key, url, thumbprint).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn only_disks_are_taken() {
        let key = "/vm-1/VirtualIDEController1:0";
        let info = format!(
            "<info>{}{}{}</info>",
            file("/vm-1/nvram", "https://*/n", "", "<disk>false</disk>"),
            file(key, "https://*/a", "", "<disk>true</disk>"),
            file(key, "https://*/b", "", "")
        );
        assert_eq!(disks(&parse(&info).unwrap(), "v").unwrap().len(), 2);
    }
}
