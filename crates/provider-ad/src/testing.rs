//! What the tests of this crate are about.

use serde_json::json;
use vertskommune_core::directory::{Access, Directory, Partner, TrustKind};
use vertskommune_core::host::{Budget, Ground, Host, Mode};
use vertskommune_core::windows::Maintenance;

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
