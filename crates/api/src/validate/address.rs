//! Addresses and address ranges, with what a network cannot give to anybody.

use std::net::IpAddr;

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};

/// An address range whose host bits are zero.
pub(super) fn range(text: &str) -> Result<IpNet, String> {
    let range: IpNet = text.parse().map_err(|_| {
        format!("{text:?} is no address range: write address and prefix length, such as 10.13.10.0/24")
    })?;
    if range != range.trunc() {
        return Err(format!("{text:?} has host bits set: write {}", range.trunc()));
    }
    Ok(range)
}

/// An address.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is no IP address: write one such as 10.13.10.11"))
}

/// An address, a range of them (`10.13.10.250-10.13.10.254`) or a network, as the networks that cover it exactly.
pub(super) fn reserved(text: &str) -> Result<Vec<IpNet>, String> {
    if let Ok(single) = text.parse::<IpAddr>() {
        return Ok(vec![single.into()]);
    }
    let Some((first, last)) = text.split_once('-') else { return Ok(vec![range(text)?]) };
    let (first, last) = (address(first.trim())?, address(last.trim())?);
    if first > last {
        return Err(format!("{text:?} runs backwards: write the lower address first"));
    }
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            Ok(IpSubnets::from(Ipv4Subnets::new(first, last, 0)).collect())
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            Ok(IpSubnets::from(Ipv6Subnets::new(first, last, 0)).collect())
        }
        _ => Err(format!("{text:?} mixes IPv4 and IPv6: write both ends in one of them")),
    }
}

/// Whether `address` can be that of a machine in `network`: not the network's own, not the broadcast address.
pub(super) fn usable(network: &IpNet, address: &IpAddr) -> Result<(), String> {
    if !network.contains(address) {
        return Err(format!("{address} lies outside of {network}: write an address of that network"));
    }
    let tiny = network.prefix_len() + 1 >= network.max_prefix_len();
    if !tiny && *address == network.network() {
        return Err(format!("{address} is the address of {network} itself: write another"));
    }
    if !tiny && network.addr().is_ipv4() && *address == network.broadcast() {
        return Err(format!("{address} is the broadcast address of {network}: write another"));
    }
    Ok(())
}
