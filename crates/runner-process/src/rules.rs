//! The addresses that a network of an ingester's own does not lead to: the machine's, and those of its links.
//!
//! A helper connects from the machine itself, so that the machine's addresses would lead to all that listens there,
//! also to what no other machine can reach. Addresses of the link (RFC 3927, RFC 4291) lead to the same, and to services
//! that give a machine its secrets, as clouds have them at 169.254.169.254.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// Consecutive addresses with the same first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Range {
    address: IpAddr,
    /// The number of bits that they share.
    length: u8,
}

impl Range {
    const fn new(address: IpAddr, length: u8) -> Self {
        Self { address, length }
    }
}

/// The addresses of the link.
const LINK: Range = Range::new(IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16);
/// The same for IPv6.
const LINK_V6: Range = Range::new(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10);

/// The addresses of groups: the machine hears what it sends to a group itself (RFC 5771, RFC 4291 2.7).
const GROUPS: Range = Range::new(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4);
/// The same for IPv6.
const GROUPS_V6: Range = Range::new(IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8);

/// Returns the addresses that this process's network has besides loopback, and those of links and groups.
pub(crate) fn addresses() -> io::Result<BTreeSet<Range>> {
    let mut all = local_ipv4(&fs::read_to_string("/proc/net/fib_trie")?);
    all.extend([LINK, GROUPS]);
    // Missing where the kernel has no IPv6.
    match fs::read_to_string("/proc/net/if_inet6") {
        Ok(text) => {
            all.extend(local_ipv6(&text));
            all.extend(routed_ipv6(&fs::read_to_string("/proc/net/ipv6_route")?));
            all.extend([LINK_V6, GROUPS_V6]);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(all)
}

/// Reads the local addresses of `/proc/net/fib_trie`: a line with the address, and below it one for each of its routes. A
/// local route for all addresses is none of the machine's own: proxies have one, for what is marked.
fn local_ipv4(text: &str) -> BTreeSet<Range> {
    let mut all = BTreeSet::new();
    let mut address = None;
    for line in text.lines().map(str::trim) {
        if let Some(found) = line.strip_prefix("|-- ") {
            address = found.parse::<Ipv4Addr>().ok();
        } else if let Some(length) = line
            .strip_prefix('/')
            .and_then(|route| route.strip_suffix(" host LOCAL"))
            && let (Some(address), Ok(length)) = (address, length.parse::<u8>())
            && !address.is_loopback()
            && length > 0
        {
            all.insert(Range::new(address.into(), length));
        }
    }
    all
}

/// Reads the addresses of `/proc/net/if_inet6`: the first word of each line, in hexadecimal digits.
fn local_ipv6(text: &str) -> BTreeSet<Range> {
    let words = text
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().next());
    words
        .filter_map(|word| u128::from_str_radix(word, 16).ok())
        .map(Ipv6Addr::from_bits)
        .filter(|address| !address.is_loopback())
        .map(|address| Range::new(address.into(), 128))
        .collect()
}

/// Reads the addresses of `/proc/net/ipv6_route` that lead to the machine itself: an address and the length of its prefix
/// first, both in hexadecimal digits, and flags before the last word.
fn routed_ipv6(text: &str) -> BTreeSet<Range> {
    /// `RTF_LOCAL` and `RTF_ANYCAST` (`linux/ipv6_route.h`).
    const OWN: u32 = 0x8000_0000 | 0x0010_0000;
    let route = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [address, length, .., flags, _device] = words.as_slice() else {
            return None;
        };
        let address = Ipv6Addr::from_bits(u128::from_str_radix(address, 16).ok()?);
        let length = u8::from_str_radix(length, 16).ok()?;
        let is_own = u32::from_str_radix(flags, 16).ok()? & OWN != 0;
        (is_own && length > 0 && !address.is_loopback()).then(|| Range::new(address.into(), length))
    };
    text.lines().filter_map(route).collect()
}

/// Prohibits these addresses in this process's network. Needs the rights of an administrator over it.
///
/// Rules are made, not routes: an address of the link is looked up for one interface, and a route without one is passed
/// over then.
pub(crate) fn prohibit(ranges: &BTreeSet<Range>) -> io::Result<()> {
    // Without a protocol: NETLINK_ROUTE.
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    for (number, range) in (1_u32..).zip(ranges) {
        send(&socket, &new_rule(*range, number), SendFlags::empty())?;
        let mut answer = [0_u8; 1024];
        let (length, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
        acknowledged(answer.get(..length).unwrap_or_default())?;
    }
    Ok(())
}

/// Returns the message with which the kernel makes a rule (rtnetlink(7)).
fn new_rule(range: Range, number: u32) -> Vec<u8> {
    /// `RTM_NEWRULE`.
    const NEW_RULE: u16 = 32;
    /// `NLM_F_REQUEST`, `NLM_F_ACK`, `NLM_F_CREATE` and `NLM_F_EXCL`.
    const FLAGS: u16 = 0x1 | 0x4 | 0x400 | 0x200;
    /// `FR_ACT_PROHIBIT`.
    const PROHIBIT: u8 = 8;
    /// `FRA_DST`, to which addresses it applies.
    const DESTINATION: u16 = 1;
    /// `FRA_PRIORITY`: behind the rule for a network's own addresses, before that for all others.
    const PRIORITY: u16 = 6;
    /// The size of the header of a message.
    const HEADER: usize = 16;
    let (family, address) = match range.address {
        IpAddr::V4(address) => (2, address.octets().to_vec()),
        IpAddr::V6(address) => (10, address.octets().to_vec()),
    };
    let mut body = vec![family, range.length, 0, 0, 0, 0, 0, PROHIBIT, 0, 0, 0, 0];
    for (kind, value) in [(DESTINATION, address), (PRIORITY, 100_u32.to_ne_bytes().to_vec())] {
        // Both values have a size that is a multiple of 4, as the next attribute needs it.
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        body.extend(length.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(value);
    }
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(NEW_RULE.to_ne_bytes());
    message.extend(FLAGS.to_ne_bytes());
    message.extend(number.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(body);
    message
}

/// Reads the kernel's answer: a header, and an error's number, 0 if there is none.
fn acknowledged(answer: &[u8]) -> io::Result<()> {
    let number = answer
        .get(16..20)
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_ne_bytes);
    match number {
        Some(0) => Ok(()),
        Some(number) => Err(io::Error::from_raw_os_error(number.saturating_neg())),
        None => Err(io::Error::other("the kernel's answer about a rule is too short")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves ISO-1
    #[test]
    fn every_address_of_the_machine_besides_loopback_is_found() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 192.0.2.0\n        /24 link UNICAST\nLocal:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 192.0.2.2\n        /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link BROADCAST\n     |-- 198.51.100.0\n        /24 host LOCAL\n     |-- 0.0.0.0\n        /0 host LOCAL\n";
        let ranges = |all: &[(&str, u8)]| -> BTreeSet<Range> {
            let range = |(address, length): &(&str, u8)| Range::new(address.parse().unwrap(), *length);
            all.iter().map(range).collect()
        };
        assert_eq!(
            local_ipv4(trie),
            ranges(&[("192.0.2.2", 32), ("198.51.100.0", 24)])
        );
        let lines = "00000000000000000000000000000001 01 80 10 80       lo\nfd000000000000000000000000000002 04 40 00 80     eth0\nfe8000000000000000fc00fffe000001 04 40 20 80     eth0\n";
        assert_eq!(
            local_ipv6(lines),
            ranges(&[("fd00::2", 128), ("fe80::fc:ff:fe00:1", 128)])
        );
        let routes = "20010db8000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000400 00000001 00000000 80200001       lo\nfd000000000000000000000000000000 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000003 00000000 80100001     eth0\n20010db8000100000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000003 00000000 80200001       lo\n";
        assert_eq!(
            routed_ipv6(routes),
            ranges(&[("2001:db8::", 64), ("fd00::", 128)])
        );
        let all = addresses().unwrap();
        assert!(all.contains(&LINK) && all.contains(&GROUPS));
    }

    #[test]
    fn a_message_says_how_long_it_and_its_parts_are() {
        let message = new_rule(LINK, 7);
        assert_eq!(message.len(), 16 + 12 + 8 + 8);
        assert_eq!(message[..4], 44_u32.to_ne_bytes());
        assert_eq!(
            message[28..36],
            [&8_u16.to_ne_bytes()[..], &1_u16.to_ne_bytes(), &[169, 254, 0, 0]].concat()
        );
        assert_eq!(new_rule(LINK_V6, 7).len(), 16 + 12 + 20 + 8);
        let answer = |number: i32| [&[0; 16][..], &number.to_ne_bytes()].concat();
        assert!(acknowledged(&answer(0)).is_ok());
        assert_eq!(acknowledged(&answer(-1)).unwrap_err().raw_os_error(), Some(1));
        assert!(acknowledged(&[0; 16]).is_err());
    }
}
