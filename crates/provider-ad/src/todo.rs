//! What the tenant's administrators have to run, where they make its side themselves. Pure.

use vertskommune_core::directory::{Access, Direction, Directory, TrustKind};

use crate::settings::Settings;

/// The commands, for Windows PowerShell 5.1 on the PDC emulator of the tenant's domain; none where an agent of ours is there. All
/// names in them have been checked: no quote can end early.
pub(crate) fn commands(wanted: &Directory, settings: &Settings) -> Vec<String> {
    if wanted.has_agent() {
        return Vec::new();
    }
    let host = &settings.domain;
    let servers: Vec<String> = settings.dns.iter().map(ToString::to_string).collect();
    let here = match wanted.kind {
        TrustKind::Forest => "[System.DirectoryServices.ActiveDirectory.Forest]::GetCurrentForest()",
        TrustKind::External => "[System.DirectoryServices.ActiveDirectory.Domain]::GetCurrentDomain()",
    };
    let direction = match wanted.direction().mirrored() {
        Direction::Inbound => "Inbound",
        Direction::Outbound => "Outbound",
        Direction::Both => "Bidirectional",
    };
    let mut commands = vec![
        format!(
            "Add-DnsServerConditionalForwarderZone -Name '{host}' -MasterServers {} -ReplicationScope Forest",
            servers.join(",")
        ),
        format!(
            "{here}.CreateLocalSideOfTrustRelationship('{host}', '{direction}', (Read-Host 'Agreed secret of the trust'))"
        ),
    ];
    if let Some(Access { selective, filters_sids, .. }) = &wanted.to_tenant {
        if *selective {
            commands.push(format!("{here}.SetSelectiveAuthenticationStatus('{host}', $true)"));
        }
        if !filters_sids {
            commands.push(format!("{here}.SetSidFilteringStatus('{host}', $false)"));
        }
    }
    commands
}
