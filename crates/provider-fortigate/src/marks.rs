//! Our marks on FortiOS objects, and the kinds that carry them.
//!
//! Policies, objects, interfaces, zones and routes carry the mark at the beginning of their comment or description, with
//! what the manifest says of them behind it; a virtual firewall does so in the description of its properties. Schedules have
//! no comment: they are known by their exact name and by the record on the tenant's zone; links just so, by the record on
//! the tenant's virtual firewall.

use vertskommune_core::names::{Installation, Mark, ResourceKey, TenantName};

/// A virtual firewall of the tenant's own.
pub(crate) const VIRTUAL_FIREWALL: &str = "vdom";
/// What links it to the host's.
pub(crate) const LINK: &str = "link";
/// The two interfaces that FortiOS makes with a link.
pub(crate) const LINK_END: &str = "link-end";
pub(crate) const INTERFACE: &str = "interface";
pub(crate) const ZONE: &str = "zone";
pub(crate) const ADDRESS: &str = "address";
pub(crate) const ADDRESS_GROUP: &str = "address-group";
pub(crate) const SERVICE: &str = "service";
pub(crate) const SERVICE_GROUP: &str = "service-group";
pub(crate) const SCHEDULE: &str = "schedule";
pub(crate) const VIP: &str = "vip";
pub(crate) const ROUTE: &str = "route";
pub(crate) const POLICY: &str = "policy";
/// The order of a tenant's policies, which no single policy has.
pub(crate) const ORDER: &str = "order";

/// What the names of things begin with that stand in the host's virtual firewall for a tenant that has its own. No name of a
/// manifest has a colon.
pub(crate) const TRANSIT: &str = "transit:";

/// The order that a policy is part of.
pub(crate) fn order_of(policy: &str) -> &'static str {
    if policy.starts_with(TRANSIT) { "transit" } else { "policies" }
}

/// What stands between the mark and what people read.
const BETWEEN: &str = " | ";
/// What the name of a policy's predecessor ends with, while both stand in the table.
pub(crate) const OLD: char = '~';

/// A comment that begins with the mark, of at most so many bytes: whether FortiOS counts bytes or characters is not said.
pub(crate) fn comment(mark: &Mark, text: &str, most: usize) -> String {
    let mark = mark.to_string();
    let text = plain(text);
    let room = most.saturating_sub(mark.len() + BETWEEN.len());
    let text = text[..text.floor_char_boundary(room)].trim();
    if text.is_empty() { mark } else { format!("{mark}{BETWEEN}{text}") }
}

/// The text with others in place of the signs that FortiOS refuses in comments.
fn plain(text: &str) -> String {
    let plain = |it: char| match it {
        '<' | '(' => '[',
        '>' | ')' => ']',
        '"' | '\'' => '`',
        '#' => '*',
        it if it.is_control() => ' ',
        it => it,
    };
    text.chars().map(plain).collect()
}

/// What stands of a comment where a mark would.
pub(crate) fn text(comment: &str) -> &str {
    comment.split_once(BETWEEN).map_or(comment, |(mark, _)| mark)
}

/// The mark of a comment, where it begins with one, whosever that is.
pub(crate) fn any(comment: &str) -> Option<Mark> {
    Mark::parse(text(comment))
}

/// The mark of a comment, where it begins with one of this installation.
pub(crate) fn read(comment: &str, installation: &Installation) -> Option<Mark> {
    any(comment).filter(|mark| mark.installation == *installation)
}

/// What all marks of a tenant begin with.
pub(crate) fn prefix(installation: &Installation, tenant: &TenantName) -> String {
    format!("{installation}/{tenant}/")
}

/// The comment of what is taken over: the mark of the comment that it should have, and what people wrote behind it, as
/// far as that fits. `None` where the wanted comment has no mark.
pub(crate) fn taken_over(wanted: &str, theirs: &str, most: usize) -> Option<String> {
    Some(comment(&any(wanted)?, theirs, most))
}

/// The mark of one resource of a tenant.
pub(crate) fn mark(installation: &Installation, tenant: &TenantName, key: &ResourceKey) -> Mark {
    Mark { installation: installation.clone(), tenant: tenant.clone(), key: key.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_over_keeps_what_people_wrote() {
        let wanted = "nord/ibestad/address/a | ours";
        for (theirs, most, expected) in [
            ("by hand | in 2019", 255, "nord/ibestad/address/a | by hand | in 2019"),
            ("", 255, "nord/ibestad/address/a"),
            ("too long for it", 30, "nord/ibestad/address/a | too l"),
        ] {
            assert_eq!(taken_over(wanted, theirs, most).as_deref(), Some(expected));
        }
        assert_eq!(taken_over("no mark", "theirs", 255), None);
    }

    #[test]
    fn a_comment_is_cut_between_characters_and_has_no_sign_that_fortios_refuses() {
        let ours = mark(&"nord".into(), &"ibestad".into(), &ResourceKey::new(POLICY, "dns"));
        // The mark and what stands behind it are 26 bytes.
        for (text, most, expected) in [
            ("Gáivuotna", 36, "Gáivuotna"),
            ("Gáivuotna", 35, "Gáivuotn"),
            ("Gáivuotna", 28, "G"),
            ("Gáivuotna", 29, "Gá"),
            ("🏫 school", 29, ""),
            ("🏫 school", 30, "🏫"),
            ("🏫 school", 31, "🏫"),
            ("Bo's \"old\" <rule>\n(#2)", 255, "Bo`s `old` [rule] [*2]"),
        ] {
            let whole = comment(&ours, text, most);
            assert!(whole.len() <= most, "{whole}");
            let said = whole.split_once(BETWEEN).map_or("", |(_, said)| said);
            assert_eq!(said, expected, "{text:?} in {most} bytes");
            assert_eq!(read(&whole, &"nord".into()), Some(ours.clone()), "{whole}");
        }
    }

    #[test]
    fn a_comment_gives_its_mark_back_and_no_other_is_ours() {
        let (nord, tenant) = (Installation::from("nord"), TenantName::from("ibestad"));
        let ours = mark(&nord, &tenant, &ResourceKey::new(POLICY, "municipality-baseline.dns"));
        for text in ["", "sign-on for Ibestad kommune", "a | b"] {
            assert_eq!(read(&comment(&ours, text, 255), &nord), Some(ours.clone()), "{text:?}");
        }
        for comment in [
            "",
            "nord",
            "sor/ibestad/policy/dns",
            "by hand | nord/ibestad/policy/dns",
            "nord/ibestad/policy/dns|x/y",
        ] {
            assert_eq!(read(comment, &nord), None, "{comment:?}");
        }
    }
}
