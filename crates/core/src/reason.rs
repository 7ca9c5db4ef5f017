//! Every reason that the project gives for anything, each with what would help: one table, so that none can be added
//! without its advice. Whatever names a reason (a finding, a wait, a blindness, a condition) takes it from here.

use serde::{Deserialize, Serialize};

/// Who has to do something about a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A person: nothing goes on by itself.
    Person,
    /// Nobody: it goes on by itself, and a person can only hurry it or look.
    Nobody,
    /// Whoever removes what it comes from: it only tells that something else hinders.
    Other,
    /// Nobody, because nothing is wrong.
    Well,
}

/// What an advice is about, as far as it is known: the names that are filled in.
#[derive(Clone, Copy, Debug, Default)]
pub struct About<'a> {
    /// How the program is called, such as `kubectl vertskommune`.
    pub program: &'a str,
    /// The tenant.
    pub tenant: &'a str,
    /// The HostProvider.
    pub provider: Option<&'a str>,
    /// The first 12 characters of the step's id.
    pub step: Option<&'a str>,
    /// The server or other thing.
    pub thing: Option<&'a str>,
    /// The namespace of the controller.
    pub namespace: &'a str,
}

impl About<'_> {
    /// The value of a placeholder; a word in capitals where it is not known, as manuals write what the reader fills in.
    fn value(&self, name: &str) -> Option<&str> {
        Some(match name {
            "program" => self.program,
            "tenant" => self.tenant,
            "provider" => self.provider.unwrap_or("PROVIDER"),
            "step" => self.step.unwrap_or("STEP"),
            "thing" => self.thing.unwrap_or("NAME"),
            "namespace" => self.namespace,
            _ => return None,
        })
    }
}

/// Makes the reasons with their words and their advice. The word of a reason is its name.
macro_rules! reasons {
    ($($name:ident $who:ident $advice:literal)*) => {
        /// Every reason, by its CamelCase word. The doc of each is what would help.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Reason {
            $(#[doc = $advice] $name,)*
        }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The reason as a CamelCase word for machines.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// Who has to do something about it.
            pub fn who(self) -> Who {
                match self {
                    $(Self::$name => Who::$who,)*
                }
            }

            /// What would help, with placeholders such as `{tenant}`.
            fn template(self) -> &'static str {
                match self {
                    $(Self::$name => $advice,)*
                }
            }
        }
    };
}

reasons! {
    // Findings between a tenant, the others and the host (`check::FindingReason`).
    Collision Person "choose another value in the field that is named, or have the other tenant give it up first"
    OutsideGround Person "choose a value that the host grants (kubectl get hostprovider {provider} -o jsonpath='{.spec.tenants}'), or let the host extend spec.tenants of HostProvider {provider}"
    UnknownProvider Person "correct the provider's name in the manifest, or apply that HostProvider (kubectl get hostproviders lists those that there are); where the API server does not let the name change, delete the tenant and apply it anew: nothing was made for it there"
    NotOffered Person "name something that HostProvider {provider} offers, or let the host add it to spec.settings there"
    SameSite Person "name a backup provider in another room, whose spec.site differs: take spec.backup out of the manifest and write it anew, since backups do not move"
    BackupWindowTooShort Person "give spec.backup.window a longer duration, back up fewer servers, or let the host raise spec.budget.concurrency of HostProvider {provider}"

    // Refusals (`step::RefusalReason`).
    Immutable Person "put the field back as it was: it is set when the thing is made; for another value, make a second thing and move over"
    CannotShrink Person "put the bigger value back: what is smaller has to be made anew beside it"
    NotOurs Person "adopt what stands there (adopt: in its entry of the manifest), or rename or remove one of the two by hand"
    NotFound Person "make what the manifest names, or correct the name in the manifest"
    Lost Person "restore it ({program} backup restore --cluster {tenant} {thing}), or set recreate: to the identity that is named, for an empty successor"
    DependencyCycle Person "take one of the references out of the manifest that go in a circle"
    NotSupported Person "leave out what the system cannot do, or give it a version or plugin that can ({program} preflight --cluster tells)"

    // Waits of steps (`step::Wait`).
    WaitingForDependency Other "nothing to do: it follows what it waits for, whose own reason is told beside it"
    WaitingForBatch Other "nothing to do: it is done together with the step whose own reason is told beside it"
    InProgress Nobody "nothing to do: the system is at work; {program} top shows how far it is"
    SnapshotPresent Person "remove the snapshot from {thing} when nobody needs it any more: its step runs within seconds of that"
    BackupRunning Nobody "nothing to do: its step runs when the backup has ended"
    TaskRunning Nobody "nothing to do: its step runs when the task has ended; where it hangs, cancel it in the system itself"
    MaintenanceWindow Person "wait for the window, or set restartBefore: to a time that is yet to come on {thing}; without any window, set spec.maintenance"
    OneAtATime Nobody "nothing to do: it follows when the other of its group is back"
    ApprovalNeeded Person "look at what it destroys, then name it: {program} approve {tenant} {step} --apply"
    Retired Nobody "nothing to do: it is kept until that time; {program} approve {tenant} {step} --apply names it beforehand, and to have it back put its entry into the manifest again"
    InUse Person "remove what still uses it, or leave it in the manifest"
    GuestShutdownPending Person "shut the guest of {thing} down by hand: it is never switched off hard"
    Suspended Person "{program} resume {tenant}, and where a pipeline applies the manifest, take spec.suspend out of it there"
    ObserveOnly Person "set spec.mode: Manage on HostProvider {provider} once its plan is what you want"
    Refused Person "mend every field that is named, and apply the manifest again; {program} diff {tenant} -f FILE tells whether it is right"
    DestructionHalted Person "see whether so much shall really go, then set spec.destructionReleasedUntil of HostProvider {provider} to a time soon"
    InsufficientCapacity Person "free room or add some on {provider}, or ask for less in the manifest"
    BudgetExhausted Nobody "nothing to do: it follows when others have ended; spec.budget.concurrency of HostProvider {provider} is how many may run at once"
    RetryLater Person "mend what the error names; it is tried again by itself, at once with {program} reconcile {tenant}"

    // What cannot be told (`observation::Blindness`).
    NotYetObserved Nobody "wait for the first look; where it does not come, see the log of the controller: kubectl -n {namespace} logs deployment/vertskommune"
    Unreachable Person "bring {provider} back, or the way there: {program} preflight --cluster tells what fails; nothing is changed meanwhile"
    Misidentified Person "see who answers at the address of HostProvider {provider}; if it was replaced on purpose, set spec.identity to the new identity"
    CredentialsRefused Person "renew the Secret that HostProvider {provider} names, or unlock the account; {program} preflight --cluster tells whether it is taken"
    NoSight Person "give the account of HostProvider {provider} back what it may not see: {program} preflight --cluster names each right that is missing"
    Incomplete Person "see why {provider} answers only in part; it is asked again by itself"
    AllVanished Person "check the account's rights on {provider}; if the things are truly gone, kubectl annotate tenant {tenant} --field-manager=by-hand vertskommune.no/accept-loss=<a time soon>"
    Ambiguous Person "remove our mark from all but one of the things that are named"
    MaybeInProgress Nobody "nothing to do: it is looked at again until the operation has ended"

    // Why a tenant is not protected (`backup::report::Reason`).
    NoProvider Person "make spec.backup.provider name a HostProvider of the plugin backup that is Ready"
    NoJobStatus Person "see that spec.backup.external.job is the job's name, and that its post-job script runs as in deploy/second-room"
    JobStatusUnreadable Person "let the job's post-job script write what deploy/second-room/job-status writes"
    RepositoryLost Nobody "the keeper puts its copy back with its next run; where it does not, run it: systemctl start vertskommune-keeper on the host in the second room"
    CorruptionFound Person "look at the disks of the second room, and have it backed up and read anew ({program} reconcile {tenant} --backup): what is damaged stays told until it was read again and was whole"
    NoBackupYet Nobody "the next backup window brings it; at once: {program} reconcile {tenant} --backup"
    BackupTooOld Person "see why none was taken (BackupReady tells what failed, and the log of its job where another product takes them); at once: {program} reconcile {tenant} --backup"
    NeverProven Nobody "the proof follows the first backup; where another product takes them, its job has to restore one"
    ProofTooOld Person "see why none was made (BackupReady tells what failed, and the log of its job where another product makes them); at once: {program} reconcile {tenant} --backup"
    NotEverythingCanBeBackedUp Person "exclude what is named in spec.backup, and back it up from within the guest, or change it so that a snapshot can hold it"
    ClockAhead Person "set the clocks right, of the controller's nodes and of the second room; the next backup then counts again"
    BackupFailed Person "mend what the message names; it is tried again within the window, at once with {program} reconcile {tenant} --backup"
    ProofFailed Person "mend what the message names; it is tried again by itself, at once with {program} reconcile {tenant} --backup"
    BackupDamaged Person "look at the disks of the second room, and have it backed up and read anew: {program} reconcile {tenant} --backup"

    // Why something cannot be backed up (`backup::facts::Hindrance`).
    QuiesceFailed Person "see in the guest why it does not hold still (VMware Tools, VSS writers): the backup is one of a machine whose power was cut"
    RawDeviceMapping Person "exclude the disk in spec.backup, and back up what is on the raw device from within the guest"
    IndependentDisk Person "set the disk's mode to dependent in vSphere while the machine is off, or exclude it in spec.backup"
    Encrypted Person "take the encryption or the virtual TPM off, or exclude the server in spec.backup and back it up from within the guest"
    SharedDisk Person "exclude the disk in spec.backup, and back it up from within the cluster of guests"
    SnapshotRefused Person "see in vSphere why no snapshot can be taken: its events on the machine tell"
    ExportRefused Person "give the account the right VApp.Export, and see that the controller reaches the ESXi hosts at port 443"
    JobReports Person "see the log of that job in its own product"
    Other Person "update vertskommune to a version that knows this word"

    // What is wrong with a trust (`directory::health::Problem`, and what directories refuse).
    NotForwarded Person "forward the tenant's domain to spec.directory.dnsServers in the host's DNS"
    DnsNamesNone Person "correct spec.directory.dnsServers, or let the tenant look at the records of its domain controllers"
    DnsSilent Person "let 53/udp and 53/tcp through to spec.directory.dnsServers, and see that the servers run"
    PortsClosed Person "let the ports that are named through to the tenant's domain controllers, in both firewalls"
    ClockSkew Person "set the clock right that is wrong: both sides by the same time servers"
    SidMismatch Person "settle with the tenant which domain is the true one, and remove the other trust by hand"
    OneSided Nobody "nothing to do where the side that stands is ours: the agents make the other anew; one of others is their administrators' to remove, and with partnerSide Manual they make theirs: status.directory.partnerCommands"
    NotMirrored Person "set spec.directory.restartBefore to a time that is yet to come, and the agents make both sides anew; with partnerSide Manual, its administrators make theirs anew in the direction that is named"
    TypeMismatch Person "settle whether it is a forest or an external trust, and remove the other by hand"
    ConflictingTrust Person "change spec.directory to what stands there, or remove that trust by hand"
    OrphanAccount Nobody "nothing to do where our agents are: they remove it; with partnerSide Manual, its administrators remove the account"
    NamesInConflict Person "remove the suffix that is named on that side, or exclude it from the trust, and have the trust's names read anew there as the message says"
    WrongSecret Person "set spec.directory.newSecretAfter to now, and the trust gets another secret"
    StaleChannel Nobody "nothing to do: the agent makes the channel anew with its next look"
    ChannelFailed Person "see what the message names on the domain controllers of both sides (Netlogon's log on that side tells more)"
    TicketRefused Person "see what the message names on that side's domain controllers (the Kerberos log there tells more)"
    NobodyAllowed Person "name computers in allowedToAuthenticate, and let the administrators of that side grant them the right"
    SelectiveAuthenticationUnsupported Person "set selectiveAuthentication to false: that directory lets nobody in with it"
    PartnerNotAllowed Person "let the administrators of that side add the partner to the agent's file of partners (docs/directory-agent.md)"
    NotPdc Person "give the address of the agent on the domain controller that is the PDC emulator now, or move that role back"
    NetbiosNameTaken Person "remove the other trust with that NetBIOS name by hand, and start Samba there again, which remembers it; or correct the name in spec.directory"
    SidTaken Person "remove the other trust with that SID by hand: it is with the same domain under another name"
    OwnName Person "correct spec.directory.netbiosName or domain: it is the name of that directory itself"
    OwnSid Person "correct spec.directory.domainSid: it is that of the directory itself, as after a cloned controller"
    NameCollision Person "exclude the name from one of the two trusts, or let its owner give it up"
    NoRights Person "give the agent's account the rights of docs/directory-agent.md"
    PartnerUnreachable Person "open the way between the domain controllers of both sides: DNS, and the ports of docs/directory-agent.md"
    DirectoryRefuses Person "see what the message names on that side's domain controller"
    WaitingForPartner Person "let the tenant's administrators run what status.directory.partnerCommands says"
    NotMade Nobody "nothing to do: the trust is made with its step; where that waits, its own reason is told beside it"
    Troubled Person "see the problems of status.directory"
    Valid Well "nothing to do"

    // What conditions say besides.
    Pending Nobody "wait for the controller's first pass; where it does not come, see whether it runs: kubectl -n {namespace} get deployment,lease vertskommune"
    Progressing Nobody "nothing to do: it is being done; {program} top shows how far it is"
    NotAllReady Other "see what hinders the single things: {program} tree {tenant}"
    NotReady Other "see the reason of Ready"
    DirectoryNotReady Other "see the reason of DirectoryReady"
    DirectoryUnknown Other "see the reason of DirectoryReady"
    Unknown Other "see the reason of Ready"
    Outdated Other "see the reason of Ready"
    Deferred Other "see what the steps wait for"
    Drifted Person "bring it back by hand, or write it into the manifest as it is; with spec.driftPolicy: Heal it is healed where no restart is needed"
    InvalidSettings Person "correct the fields of HostProvider {provider} that are named, and apply it again"
    Leaving Nobody "it goes when all is removed that spec.deletionPolicy says; what waits has its own reason beside it"
    Converged Well "nothing to do"
    AllReady Well "nothing to do"
    UpToDate Well "nothing to do"
    Onboarded Well "nothing to do"
    External Well "nothing to do"
    FreshAndProven Well "nothing to do"
    NothingToBackUp Well "nothing to do"
    Seen Well "nothing to do"

    // What events tell besides.
    StepFailed Person "mend what the message names; it is tried again by itself, at once with {program} reconcile {tenant}"
    OutcomeUnknown Nobody "nothing to do: the next look tells whether it was done"
}

impl Reason {
    /// The reason of that word. None where the word is of another version.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.word() == word)
    }

    /// What would help, with names and commands filled in.
    pub fn advice(self, about: &About<'_>) -> String {
        fill(self.template(), about)
    }
}

/// Puts the names into a template. Braces that hold no placeholder stay as they are.
fn fill(template: &str, about: &About<'_>) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let (before, from) = rest.split_at(start);
        text.push_str(before);
        let end = from.find('}').map_or(from.len(), |end| end + 1);
        let (placeholder, after) = from.split_at(end);
        match about.value(placeholder.trim_matches(['{', '}'])) {
            Some(value) => text.push_str(value),
            None => text.push_str(placeholder),
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ABOUT: About<'_> = About {
        program: "kubectl vertskommune",
        tenant: "ibestad",
        provider: Some("vcenter-main"),
        step: Some("2330b43102f9"),
        thing: Some("ibe-fs01"),
        namespace: "vertskommune-system",
    };

    #[test]
    fn every_reason_has_a_word_of_its_own_and_an_advice() {
        let words: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.word()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(Reason::of(reason.word()), Some(*reason));
            let advice = reason.advice(&ABOUT);
            let begins = advice.starts_with(|first: char| first.is_lowercase());
            assert!(begins && !advice.ends_with('.') && advice.len() > 9, "{reason:?}: {advice}");
            assert!(!advice.contains('\n'), "{reason:?}: {advice}");
        }
    }

    #[test]
    fn every_placeholder_is_filled_in() {
        for reason in Reason::ALL {
            let advice = reason.advice(&ABOUT).replace("'{.spec.tenants}'", "");
            assert!(!advice.contains(['{', '}']), "{reason:?}: {advice}");
        }
        assert_eq!(
            Reason::ApprovalNeeded.advice(&ABOUT),
            "look at what it destroys, then name it: kubectl vertskommune approve ibestad 2330b43102f9 --apply"
        );
        let unknown = About { program: "vertskommune", tenant: "ibestad", ..About::default() };
        assert!(Reason::Unreachable.advice(&unknown).starts_with("bring PROVIDER back"));
    }

    #[test]
    fn nothing_is_to_do_only_where_no_person_is_needed() {
        for reason in Reason::ALL.iter().filter(|reason| reason.who() == Who::Person) {
            assert!(!reason.template().starts_with("nothing to do"), "{reason:?}");
        }
    }

    #[test]
    fn a_word_of_another_version_is_no_reason() {
        for word in ["", "Tomorrow", "collision"] {
            assert_eq!(Reason::of(word), None, "{word:?}");
        }
    }
}
