//! What the tests of this crate are about.

use jiff::Timestamp;
use serde_json::json;
use vertskommune_core::directory::{Access, Direction, Directory, Partner, TrustKind};
use vertskommune_core::host::{Budget, Ground, Host, Mode};
use vertskommune_core::windows::Maintenance;

use crate::observe::Told;
use crate::protocol::{Allowed, Description, Kind, List, Mark, Missing, Origin, Other, Trust};

pub(crate) const HOST_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDTTwXbSGPWcvmPDbTvXwPYO7nFZHSLNBEZDo5LNVhlc";

/// The host's SID.
pub(crate) const HOST_SID: &str = "S-1-5-21-3622643209-1689644744-1135594223";
/// The tenant's.
pub(crate) const TENANT_SID: &str = "S-1-5-21-3633341636-3194244548-271816853";

/// The host's directory as a manifest gives it.
pub(crate) fn host() -> Host {
    Host {
        name: "ad-host".into(),
        plugin: "ad".to_owned(),
        endpoint: "ssh://root@10.77.0.10".to_owned(),
        identity: HOST_KEY.to_owned(),
        ca: None,
        credentials: Some("ad-host".to_owned()),
        site: None,
        mode: Mode::Manage,
        budget: Budget::default(),
        ground: Ground::default(),
        destruction_released_until: None,
        maintenance: Maintenance::default(),
        settings: json!({
            "domain": "host.test",
            "netbiosName": "HOST",
            "domainSid": HOST_SID,
            "controllers": ["hostdc.host.test"],
            "dnsServers": ["10.77.0.1"],
            "ldap": {"server": "hostdc.host.test", "address": "10.77.0.10", "user": "reader@HOST.TEST", "ca": authority()},
        }),
    }
}

/// The certificate of an authority.
fn authority() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::default().self_signed(&key).unwrap().pem()
}

/// A trust both ways.
pub(crate) fn wanted() -> Directory {
    let access = || Some(Access { selective: false, filters_sids: true, allowed: Vec::new() });
    Directory {
        provider: "ad-host".into(),
        domain: "ibestad.test".to_owned(),
        netbios: "IBESTAD".to_owned(),
        sid: None,
        kind: TrustKind::Forest,
        to_host: access(),
        to_tenant: access(),
        controllers: vec!["ibedc.ibestad.test".to_owned()],
        dns: vec!["10.77.0.11".parse().unwrap()],
        partner: Partner::Agent {
            endpoint: "ssh://root@10.77.0.11".to_owned(),
            identity: HOST_KEY.to_owned(),
            secret: "ibestad-dc".to_owned(),
        },
        new_secret_after: None,
        restart_before: None,
    }
}

/// The same where people make the tenant's side.
pub(crate) fn manual() -> Directory {
    let partner = Partner::Manual { secret: "ibestad-agreed".to_owned() };
    Directory { sid: Some(TENANT_SID.to_owned()), partner, ..wanted() }
}

/// What the controllers' clocks show.
pub(crate) const CLOCK: &str = "2026-11-29T12:00:00Z";

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The mark of something that was made for that tenant four weeks ago.
pub(crate) fn mark(tenant: &str) -> Mark {
    let since = at("2026-11-01T12:00:00Z");
    Mark { tenant: tenant.to_owned(), origin: Origin::Made, whole: true, forwarder: false, since }
}

/// A record of another installation, of a trust with that domain.
pub(crate) fn of_sor(domain: &str) -> Other {
    Other { domain: domain.to_owned(), installation: "sor".to_owned() }
}

/// The host's side as the manifest asks for it.
pub(crate) fn host_side() -> Trust {
    side("ibestad.test", "IBESTAD", TENANT_SID)
}

/// The tenant's.
pub(crate) fn tenant_side() -> Trust {
    side("host.test", "HOST", HOST_SID)
}

fn side(domain: &str, netbios: &str, sid: &str) -> Trust {
    Trust {
        domain: domain.to_owned(),
        netbios: netbios.to_owned(),
        sid: Some(sid.to_owned()),
        direction: Some(Direction::Both),
        kind: Kind::Forest,
        attributes: 8,
        selective: false,
        filters_sids: true,
        names_in_conflict: Vec::new(),
        mark: Some(mark("ibestad")),
    }
}

/// How a side may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    Absent,
    Whole,
    /// It is there, and its making was cut off.
    Half,
    /// Our record is there, and no trust.
    Recorded,
    /// Others made it.
    Foreign,
    /// It is another tenant's.
    Anothers,
    /// Another tenant's record is there, and no trust.
    AnothersRecord,
}

/// A side that stands like this.
pub(crate) fn list(stands: Stands, mut trust: Trust) -> List {
    let (mut trusts, mut missing) = (Vec::new(), Vec::new());
    let record = |tenant: &str, trust: &Trust| Missing {
        domain: trust.domain.clone(),
        netbios: trust.netbios.clone(),
        sid: trust.sid.clone(),
        mark: mark(tenant),
    };
    trust.mark = match stands {
        Stands::Absent | Stands::Foreign => None,
        Stands::Whole => trust.mark,
        Stands::Half => trust.mark.map(|mark| Mark { whole: false, ..mark }),
        Stands::Anothers => Some(mark("dyroy")),
        Stands::Recorded => {
            missing.push(record("ibestad", &trust));
            None
        }
        Stands::AnothersRecord => {
            missing.push(record("dyroy", &trust));
            None
        }
    };
    if matches!(stands, Stands::Whole | Stands::Half | Stands::Foreign | Stands::Anothers) {
        trusts.push(trust);
    }
    List { trusts, missing, orphans: Vec::new(), others: Vec::new() }
}

/// What the host's agent tells.
pub(crate) fn host_told(stands: Stands) -> Told {
    Told {
        description: description("host.test", "HOST", HOST_SID, "ibestad.test"),
        trusts: list(stands, host_side()),
    }
}

/// What the tenant's agent tells.
pub(crate) fn tenant_told(stands: Stands) -> Told {
    Told {
        description: description("ibestad.test", "IBESTAD", TENANT_SID, "host.test"),
        trusts: list(stands, tenant_side()),
    }
}

/// A controller with Samba.
fn description(domain: &str, netbios: &str, sid: &str, partner: &str) -> Description {
    let directions = vec![Direction::Inbound, Direction::Outbound, Direction::Both];
    Description {
        agent: "1.0.0".to_owned(),
        implementation: "samba".to_owned(),
        version: "4.22.6".to_owned(),
        domain: domain.to_owned(),
        forest: domain.to_owned(),
        netbios: netbios.to_owned(),
        sid: sid.to_owned(),
        controller: format!("dc.{domain}"),
        is_pdc: true,
        clock: at(CLOCK),
        forwarders: false,
        sets: false,
        selective: false,
        partners: vec![Allowed { domain: partner.to_owned(), directions }],
    }
}
