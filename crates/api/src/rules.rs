//! The CEL rules of the kinds: what the API server can tell of one object alone, with a message that says field and
//! remedy.
//!
//! `validate` says the same of a manifest that never meets an API server, and more. What a rule costs is reckoned by
//! the API server from the bounds of the lists and texts that it walks (`maxItems`, `maxLength`), and refused above a
//! limit: <https://kubernetes.io/docs/reference/using-api/cel/#resource-use-by-cel-functions>.

/// A rule and what it says when it fails.
pub(crate) type Rule = (&'static str, &'static str);

/// The longest list of networks of a tenant.
pub(crate) const MAX_NETWORKS: u64 = 32;
/// The longest list of servers of a tenant.
pub(crate) const MAX_SERVERS: u64 = 256;
/// The longest list of data disks of a server.
pub(crate) const MAX_DISKS: u64 = 16;
/// The longest list of interfaces of a server.
pub(crate) const MAX_INTERFACES: u64 = 4;

/// The longest list of rules of a tenant or rule set.
pub(crate) const MAX_RULES: u64 = 256;
/// The longest list of objects of one kind of a firewall.
pub(crate) const MAX_OBJECTS: u64 = 128;

/// A DNS label, as Kubernetes and every system behind it take it.
pub(crate) const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A Windows computer name: letters of either case, digits and hyphens, not digits alone.
pub(crate) const COMPUTER_NAME: &str = "^([A-Za-z0-9][-A-Za-z0-9]*)?[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?$";
/// A template of the catalogue with its version.
pub(crate) const TEMPLATE: &str = "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?@[1-9][0-9]{0,5}$";
/// A UUID in lower case.
pub(crate) const UUID: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
/// A VLAN id or a range of them.
pub(crate) const VLANS: &str = "^[1-9][0-9]{0,3}(-[1-9][0-9]{0,3})?$";
/// A port or a range of them.
pub(crate) const PORTS: &str = "^[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?$";
/// A number by which a firewall knows a row.
pub(crate) const ID: &str = "^[1-9][0-9]{0,9}$";
/// Hours and minutes.
pub(crate) const TIME_OF_DAY: &str = "^([01][0-9]|2[0-3]):[0-5][0-9]$";
/// A day.
pub(crate) const DATE: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$";

pub(crate) const TENANT_NAME: Rule = (
    "self.metadata.name.size() <= 32 && !self.metadata.name.contains('.')",
    "metadata.name has more than 32 characters or a dot: choose a shorter name of lower-case letters, digits and hyphens",
);

pub(crate) const CIDR: Rule =
    ("isCIDR(self)", "cidr is no address range: write address and prefix length, such as 10.13.10.0/24");

pub(crate) const CIDR_HOST_BITS: Rule = (
    "!isCIDR(self) || cidr(self) == cidr(self).masked()",
    "cidr has host bits set: write the first address of the range, such as 10.13.10.0/24 for 10.13.10.7/24",
);

pub(crate) const ADDRESS: Rule = ("isIP(self)", "is no IP address: write one such as 10.13.10.11");

pub(crate) const ADDRESSES: Rule =
    ("self.all(a, isIP(a))", "holds what is no IP address: write addresses such as 10.13.10.5");

pub(crate) const GATEWAY_INSIDE: Rule = (
    "!has(self.gateway) || !isIP(self.gateway) || !isCIDR(self.cidr) || cidr(self.cidr).containsIP(self.gateway)",
    "gateway lies outside of cidr: write an address of the network itself, such as its first",
);

pub(crate) const VLANS_UNIQUE: Rule = (
    "self.all(a, self.exists_one(b, b.vlan == a.vlan))",
    "spec.networks has the same vlan twice: give each network a VLAN of its own",
);

pub(crate) const NETWORKS_APART: Rule = (
    "self.all(a, self.all(b, a.name == b.name || !isCIDR(a.cidr) || !isCIDR(b.cidr) || \
     !cidr(a.cidr).containsCIDR(b.cidr)))",
    "spec.networks has overlapping ranges: give each network a cidr of its own",
);

pub(crate) const SERVERS_NEED_COMPUTE: Rule = (
    "!has(self.servers) || self.servers.size() == 0 || has(self.compute)",
    "spec.compute is missing: servers need a provider and a quota",
);

pub(crate) const COMPUTE_STAYS: Rule = (
    "!has(oldSelf.compute) || has(self.compute)",
    "spec.compute cannot be taken away: remove the servers and keep compute, or delete the tenant",
);

pub(crate) const PROVIDER_IMMUTABLE: Rule = (
    "self == oldSelf",
    "spec.compute.provider cannot change: servers do not move between providers, so make a new tenant there",
);

pub(crate) const COMPUTER_NAME_SHORT: Rule = (
    "has(self.computerName) || self.name.size() <= 15",
    "name has more than 15 characters: add a computerName of at most 15 for the guest",
);

pub(crate) const COMPUTER_NAMES_UNIQUE: Rule = (
    "self.all(a, !has(a.computerName) || self.exists_one(b, \
     (has(b.computerName) ? b.computerName : b.name) == a.computerName))",
    "spec.servers has the same computerName twice (a name counts where there is none): choose another",
);

pub(crate) const NETWORKS_EXIST: Rule = (
    "!has(self.servers) || self.servers.all(s, !has(s.interfaces) || s.interfaces.all(i, \
     has(self.networks) && self.networks.exists(n, n.name == i.network)))",
    "spec.servers[].interfaces[].network names none of spec.networks: add the network or correct the name",
);

pub(crate) const ADDRESSES_INSIDE: Rule = (
    "!has(self.servers) || !has(self.networks) || self.servers.all(s, !has(s.interfaces) || s.interfaces.all(i, \
     !has(i.address) || !isIP(i.address) || self.networks.all(n, n.name != i.network || !isCIDR(n.cidr) || \
     cidr(n.cidr).containsIP(i.address))))",
    "spec.servers[].interfaces[].address lies outside of its network's cidr: write an address of that network",
);

// The list in the list binds the addresses of all servers to a name, so that they are gathered once. Its cost grows
// with the square of the servers, and above 128 it could pass what the API server allows one rule: there it is left
// to `validate`.
pub(crate) const ADDRESSES_UNIQUE: Rule = (
    "self.size() > 128 || [self.map(s, has(s.interfaces) ? s.interfaces.map(i, has(i.address) ? i.address : '') : \
     [])].all(lists, self.all(a, !has(a.interfaces) || a.interfaces.all(i, !has(i.address) || \
     lists.filter(l, i.address in l).size() == 1)))",
    "spec.servers has the same address twice: give each interface an address of its own",
);

// The same within one server, where the rule above counts the server once.
pub(crate) const INTERFACES_APART: Rule = (
    "self.all(a, !has(a.address) || self.exists_one(b, has(b.address) && b.address == a.address))",
    "interfaces has the same address twice: give each interface an address of its own",
);

pub(crate) const VCPUS_IN_QUOTA: Rule = (
    "!has(self.servers) || !has(self.compute) || \
     self.servers.map(s, s.vcpus).sum() <= self.compute.quota.vcpus",
    "spec.servers use more vcpus than spec.compute.quota.vcpus: raise the quota or make servers smaller",
);

pub(crate) const MEMORY_IN_QUOTA: Rule = (
    "!has(self.servers) || !has(self.compute) || type(self.compute.quota.memory) != string || \
     !quantity(self.compute.quota.memory).isInteger() || self.servers.map(s, type(s.memory) == string && \
     quantity(s.memory).isInteger() ? quantity(s.memory).asInteger() : 0).sum() <= \
     quantity(self.compute.quota.memory).asInteger()",
    "spec.servers use more memory than spec.compute.quota.memory: raise the quota or make servers smaller",
);

pub(crate) const STORAGE_IN_QUOTA: Rule = (
    "!has(self.servers) || !has(self.compute) || type(self.compute.quota.storage) != string || \
     !quantity(self.compute.quota.storage).isInteger() || self.servers.map(s, has(s.disks) ? \
     s.disks.map(d, type(d.size) == string && quantity(d.size).isInteger() ? quantity(d.size).asInteger() : 0).sum() \
     : 0).sum() <= quantity(self.compute.quota.storage).asInteger()",
    "the disks of spec.servers use more than spec.compute.quota.storage: raise the quota or make disks smaller",
);

pub(crate) const MEMORY_STEP: Rule = (
    "type(self) != string || !quantity(self).isInteger() || quantity(self).asInteger() % 4194304 == 0",
    "memory is not a multiple of 4Mi: write one, such as 16Gi",
);

pub(crate) const DISK_GROWS: Rule = (
    "type(self) != string || type(oldSelf) != string || quantity(self).compareTo(quantity(oldSelf)) >= 0",
    "size is smaller than before: a disk can only grow, so add a smaller one and move the data",
);

pub(crate) const FREEZE_ORDER: Rule =
    ("self.from <= self.until", "until lies before from: write the first day in from and the last in until");

pub(crate) const HOST_NAME: Rule = (
    "self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')",
    "metadata.name has more than 63 characters or a dot: choose a shorter name of lower-case letters, digits and hyphens",
);

pub(crate) const PLUGIN_IMMUTABLE: Rule =
    ("self == oldSelf", "spec.plugin cannot change: make a HostProvider of another name");

pub(crate) const GROUND_CIDRS: Rule = (
    "self.all(c, isCIDR(c) && cidr(c) == cidr(c).masked())",
    "spec.tenants.networks holds what is no address range: write first address and prefix length, such as 10.13.0.0/16",
);

pub(crate) const GROUND_RESERVED: Rule = (
    "self.all(c, isIP(c) || isCIDR(c) || c.contains('-'))",
    "spec.tenants.reserved holds what is no address: write 10.13.10.1, 10.13.10.0/28 or 10.13.10.1-10.13.10.9",
);

pub(crate) const FIREWALL_PROVIDER_IMMUTABLE: Rule = (
    "self == oldSelf",
    "spec.firewall.provider cannot change: remove the firewall, and write it anew when it is gone",
);

pub(crate) const VDOM_IMMUTABLE: Rule = (
    "self == oldSelf",
    "spec.firewall.vdom cannot change: remove the firewall, and write it anew when it is gone",
);

pub(crate) const ADDRESS_IS_ONE: Rule = (
    "[has(self.cidr), has(self.range), has(self.fqdn)].filter(it, it).size() == 1",
    "has none or several of cidr, range and fqdn: write exactly one",
);

pub(crate) const ADOPTS_SOMETHING: Rule = (
    "has(self.interface) || has(self.address)",
    "names nothing that stands on the firewall: write interface, address or both",
);

pub(crate) const SERVICE_HAS_PORTS: Rule = (
    "(has(self.tcp) && self.tcp.size() > 0) || (has(self.udp) && self.udp.size() > 0)",
    "has no ports: write some in tcp or udp",
);

// That the version stands behind it is left to `validate`: a number as text has no bound that the API server knows.
pub(crate) const RULE_SET_NAME: Rule = (
    "self.metadata.name.startsWith(self.spec.name + '-v')",
    "metadata.name must be the set's name and version, such as municipality-baseline-v3",
);

pub(crate) const RULE_SET_IMMUTABLE: Rule = (
    "self == oldSelf",
    "a version of a rule set never changes: write the next version as an object of its own",
);

/// The longest list of servers and disks that are included in a backup or excluded from it.
pub(crate) const MAX_SELECTED: u64 = 64;
/// A server, or one disk of it.
pub(crate) const SELECTED: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(/[a-z0-9]([-a-z0-9]*[a-z0-9])?)?$";

pub(crate) const BACKUP_PROVIDER_IMMUTABLE: Rule = (
    "self == oldSelf",
    "spec.backup.provider cannot change: backups do not move. Remove backup and write it anew; what was kept stays there",
);

pub(crate) const MANAGED_HAS_ITS_OWN: Rule = (
    "self.mode == 'Managed' ? has(self.window) && has(self.retention) : !has(self.window) && !has(self.retention)",
    "spec.backup needs window and retention in mode Managed, and has neither in mode External: the job has its own",
);

pub(crate) const EXTERNAL_HAS_A_JOB: Rule = (
    "has(self.external) == (self.mode == 'External')",
    "spec.backup.external.job is needed in mode External, and only there: write the job's name or leave it out",
);

pub(crate) const MAX_AGE_IS_A_DAY: Rule = (
    "duration(self.maxAge) >= duration(self.mode == 'Managed' ? '24h' : '1m')",
    "spec.backup.maxAge is shorter than a day, and backups are taken once a day: write more, such as 26h",
);

pub(crate) const A_DAY: Rule =
    ("duration(self) >= duration('24h')", "is shorter than a day: write at least 24h, such as 168h");

pub(crate) const A_WEEK: Rule = (
    "duration(self) >= duration('168h')",
    "keepAfterExit is shorter than a week, in which nobody notices a mistake: write at least 168h, such as 2160h",
);

pub(crate) const WINDOW_IS_WITHIN_A_DAY: Rule = (
    "duration(self) >= duration('10m') && duration(self) <= duration('24h')",
    "a window lasts at least 10m and at most 24h: write such as 8h",
);

pub(crate) const RETENTION_KEEPS_SOMETHING: Rule = (
    "has(self.last) || has(self.hourly) || has(self.daily) || has(self.weekly) || has(self.monthly) || has(self.yearly)",
    "spec.backup.retention keeps nothing: write at least one number, such as daily: 14",
);

// Whether the disk exists is left to `validate`: three lists within each other cost too much.
pub(crate) const BACKUP_INCLUDES_SERVERS: Rule = (
    "!has(self.backup) || !has(self.backup.servers) || !has(self.backup.servers.include) || \
     self.backup.servers.include.all(i, has(self.servers) && self.servers.exists(s, s.name == i || \
     i.startsWith(s.name + '/')))",
    "spec.backup.servers.include names none of spec.servers: correct the name",
);

pub(crate) const BACKUP_EXCLUDES_SERVERS: Rule = (
    "!has(self.backup) || !has(self.backup.servers) || !has(self.backup.servers.exclude) || \
     self.backup.servers.exclude.all(i, has(self.servers) && self.servers.exists(s, s.name == i || \
     i.startsWith(s.name + '/')))",
    "spec.backup.servers.exclude names none of spec.servers: correct the name",
);

/// The longest list of domain controllers or DNS servers of a directory.
pub(crate) const MAX_CONTROLLERS: u64 = 8;
/// The longest list of computers that let a trusted domain's users in.
pub(crate) const MAX_ALLOWED: u64 = 64;
/// A DNS name of several labels, in lower case.
pub(crate) const DOMAIN: &str =
    "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+$";
/// The SID of a domain.
pub(crate) const DOMAIN_SID: &str = "^S-1-5-21(-(0|[1-9][0-9]{0,9})){3}$";
/// A NetBIOS name of a domain.
pub(crate) const NETBIOS: &str = "^[A-Z0-9]([-A-Z0-9]*[A-Z0-9])?$";

pub(crate) const DIRECTORY_PROVIDER_IMMUTABLE: Rule = (
    "self == oldSelf",
    "spec.directory.provider cannot change: remove directory, and write it anew when the trust is gone",
);

pub(crate) const PARTNER_DOMAIN_STAYS: Rule = (
    "self.domain == oldSelf.domain && (has(self.netbiosName) ? self.netbiosName : '') == \
     (has(oldSelf.netbiosName) ? oldSelf.netbiosName : '')",
    "spec.directory.domain and netbiosName cannot change: remove directory, and write it anew when the trust is gone",
);

pub(crate) const SID_WHERE_NOBODY_TELLS_IT: Rule = (
    "self.partnerSide.mode != 'Manual' || has(self.domainSid)",
    "spec.directory.domainSid is missing: with partnerSide.mode Manual nobody of ours is there to tell it",
);

pub(crate) const ACCESS_GOES_ACROSS: Rule = (
    "self.all(a, a.usersOf != a.servicesOf)",
    "spec.directory.access has the same side as usersOf and servicesOf: write tenant in the one and host in the other",
);

pub(crate) const ALLOWED_NEEDS_SELECTIVE: Rule = (
    "!has(self.allowedToAuthenticate) || self.allowedToAuthenticate.size() == 0 || \
     (has(self.selectiveAuthentication) && self.selectiveAuthentication)",
    "allowedToAuthenticate only counts where authentication is selective: write selectiveAuthentication: true, or remove it",
);

pub(crate) const AGENT_IS_REACHED: Rule = (
    "(self.mode == 'Agent') == has(self.endpoint) && (self.mode == 'Agent') == has(self.identity)",
    "spec.directory.partnerSide needs endpoint and identity in mode Agent, and has neither in mode Manual",
);
